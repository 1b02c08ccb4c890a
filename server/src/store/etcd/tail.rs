//! What a watcher has yet to take: bounded, so that a slow one costs no more than being told to resync.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::store::Event;

/// The most events that wait.
const EVENTS_MAX: usize = 4096;
/// The most bytes of keys and values that wait.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Events between one who adds and one who takes.
#[derive(Debug, Default)]
pub(super) struct Tail {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    bytes: usize,
    is_closed: bool,
}

impl Tail {
    /// Adds an event; what does not fit becomes one [`Event::Resync`].
    pub(super) fn push(&self, event: Event) {
        let mut waiting = self.waiting();
        waiting.push(event);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Lets the stream end once everything is taken.
    pub(super) fn close(&self) {
        self.waiting().is_closed = true;
        self.changed.notify_one();
    }

    /// The next event; nothing once it is closed.
    pub(super) async fn next(self: &Arc<Self>) -> Option<Event> {
        loop {
            {
                let mut waiting = self.waiting();
                if let Some(event) = waiting.events.pop_front() {
                    waiting.bytes -= bytes(&event);
                    return Some(event);
                }
                if waiting.is_closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, event: Event) {
        let is_resync = event == Event::Resync;
        self.bytes += bytes(&event);
        if is_resync || self.events.len() >= EVENTS_MAX || self.bytes > BYTES_MAX {
            // What waits is in what will be listed, too.
            self.events.clear();
            self.bytes = 0;
            self.events.push_back(Event::Resync);
        } else {
            self.events.push_back(event);
        }
    }
}

fn bytes(event: &Event) -> usize {
    let Event::Change { puts, deletes, .. } = event else {
        return 0;
    };
    let puts: usize = puts
        .iter()
        .map(|put| put.key.as_str().len() + put.value.len())
        .sum();
    let deletes: usize = deletes.iter().map(|key| key.as_str().len()).sum();
    puts + deletes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Key;

    fn change(revision: u64) -> Event {
        Event::Change {
            revision,
            puts: Vec::new(),
            deletes: vec![Key::new("t/a")],
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_becomes_one_resync_and_what_follows_is_kept() {
        let tail = Arc::new(Tail::default());
        for revision in 0..=EVENTS_MAX as u64 {
            tail.push(change(revision));
        }
        tail.push(change(9999));
        tail.close();
        assert_eq!(tail.next().await, Some(Event::Resync));
        assert_eq!(tail.next().await, Some(change(9999)));
        assert_eq!(tail.next().await, None);
    }
}
