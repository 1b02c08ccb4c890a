//! The thread that owns sled, and turns everything that waits into one durable group.

use std::any::Any;
use std::convert::identity;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::disk::Disk;
use super::group::Group;
use super::shared::{Alarm, Shared, Status};
use crate::store::{Commit, Error, Transaction};

/// The most transactions of one group.
const GROUP_TRANSACTIONS_MAX: usize = 1024;
/// About how many bytes of keys and values make one group full.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long upkeep waits for a quiet moment, and how often it is done at most.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What the thread is asked for, in order.
#[derive(Debug)]
pub(super) enum Request {
    /// To commit a transaction that was checked, and to answer if anyone waits.
    Commit(Transaction, Option<Answer>),
    /// To end, and to say so once everything is let go.
    Close(Closed),
}

/// Where the outcome of a transaction goes.
pub(super) type Answer = oneshot::Sender<Result<Commit, Error>>;

/// Where the end is reported.
pub(super) type Closed = oneshot::Sender<()>;

/// A transaction, and who waits for its outcome.
type Waiting = (Transaction, Option<Answer>);

/// The owner of a disk.
#[derive(Debug)]
pub(super) struct Owner<D> {
    disk: D,
    shared: Arc<Shared>,
    commit_bytes_free_min: u64,
    last_upkeep: Instant,
    is_settled: bool,
}

impl<D: Disk> Owner<D> {
    /// The owner of `disk`, which refuses transactions while fewer bytes than given are free.
    pub(super) fn new(disk: D, shared: Arc<Shared>, commit_bytes_free_min: u64) -> Self {
        Self {
            disk,
            shared,
            commit_bytes_free_min,
            last_upkeep: Instant::now(),
            is_settled: true,
        }
    }

    /// Serves requests until it is asked to close, nobody can ask any more, or the disk fails.
    pub(super) fn run(mut self, requests: Receiver<Request>) {
        let mut closing = None;
        while let Some(first) = self.next(&requests) {
            let (group, close) = gather(first, &requests);
            self.commit(group);
            if self.shared.check_open().is_err() {
                break;
            }
            if close.is_some() {
                closing = close;
                break;
            }
        }
        self.shared.end(Status::Closed);
        // Whoever still waits in it is told that the store has ended.
        drop(requests);
        // Its own way to end may panic too, and nobody is left to be told.
        let _ = catch_unwind(AssertUnwindSafe(move || {
            let _ = self.disk.settle();
            drop(self.disk);
        }));
        if let Some(closing) = closing {
            let _ = closing.send(());
        }
    }

    /// The next request; upkeep is done while there is none.
    fn next(&mut self, requests: &Receiver<Request>) -> Option<Request> {
        while !self.is_settled {
            let wait = UPKEEP_INTERVAL.saturating_sub(self.last_upkeep.elapsed());
            match requests.recv_timeout(wait) {
                Ok(request) => return Some(request),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.upkeep(),
            }
            if self.shared.check_open().is_err() {
                return None;
            }
        }
        requests.recv().ok()
    }

    fn commit(&mut self, transactions: Vec<Waiting>) {
        if let Some(refusal) = self.space_refusal() {
            for (_, answer) in transactions {
                reply(answer, Err(Error::Unavailable(refusal.clone())));
            }
            return;
        }
        let mut group = Group::on(&self.shared.last_view());
        let outcomes: Vec<_> = transactions
            .into_iter()
            .map(|(transaction, answer)| (answer, group.take(&transaction)))
            .collect();
        if !group.is_unchanged() {
            self.is_settled = false;
            if let Err(cause) = guarded(|| self.disk.commit(&mut group), identity) {
                self.fail(&cause);
                for (answer, _) in outcomes {
                    reply(answer, Err(Error::Unknown(cause.clone())));
                }
                return;
            }
            self.shared.publish(group.view, group.changes);
        }
        for (answer, outcome) in outcomes {
            reply(answer, outcome);
        }
        if self.last_upkeep.elapsed() >= UPKEEP_INTERVAL {
            self.upkeep();
        }
    }

    /// Why no transaction is taken now, if too little space is free.
    fn space_refusal(&mut self) -> Option<String> {
        match self.disk.free_bytes() {
            Ok(free) if free >= self.commit_bytes_free_min => None,
            Ok(free) => {
                let alarm = Alarm::SpaceLow {
                    free,
                    need: self.commit_bytes_free_min,
                };
                let refusal = alarm.to_string();
                self.shared.set_passing_alarms(vec![alarm]);
                // Upkeep takes the alarm back.
                self.is_settled = false;
                Some(refusal)
            }
            Err(cause) => Some(cause.to_string()),
        }
    }

    fn upkeep(&mut self) {
        self.last_upkeep = Instant::now();
        if let Err(cause) = guarded(|| self.disk.settle(), identity) {
            return self.fail(&cause);
        }
        let mut alarms = Vec::new();
        match self.disk.count_blobs() {
            Ok(0) => {}
            Ok(files) => alarms.push(Alarm::Blobs { files }),
            Err(cause) => return self.fail(&cause.to_string()),
        }
        let need = self.commit_bytes_free_min;
        let low = self.disk.free_bytes().ok().filter(|free| *free < need);
        alarms.extend(low.map(|free| Alarm::SpaceLow { free, need }));
        self.is_settled = low.is_none();
        self.shared.set_passing_alarms(alarms);
    }

    fn fail(&self, cause: &str) {
        tracing::error!(
            cause,
            "the store has failed: it takes nothing more until it is opened again"
        );
        self.shared.end(Status::Failed(cause.to_owned()));
    }
}

/// Does what may panic inside sled, and makes an error of the panic.
pub(super) fn guarded<T, E>(
    work: impl FnOnce() -> Result<T, E>,
    to_error: impl FnOnce(String) -> E,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(to_error(panic_text(&*panic))))
}

/// Everything that waits, up to the size of a group, and whether to end after it.
fn gather(first: Request, requests: &Receiver<Request>) -> (Vec<Waiting>, Option<Closed>) {
    let mut group = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(request) = next {
        match request {
            Request::Commit(transaction, answer) => {
                bytes += transaction.bytes();
                group.push((transaction, answer));
            }
            Request::Close(answer) => return (group, Some(answer)),
        }
        let is_full = group.len() >= GROUP_TRANSACTIONS_MAX || bytes >= GROUP_BYTES_MAX;
        next = if is_full {
            None
        } else {
            requests.try_recv().ok()
        };
    }
    (group, None)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("sled panicked: {}", text.unwrap_or("without a message"))
}

fn reply(answer: Option<Answer>, outcome: Result<Commit, Error>) {
    // Who gave up waiting needs no answer.
    let _ = answer.map(|answer| answer.send(outcome));
}
