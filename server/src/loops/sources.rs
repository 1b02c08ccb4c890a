//! The source loop: reads the files that pin sets follow, and hands what they say to the controller. It chooses nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pinion_core::constraints;
use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PinSetName;
use pinion_core::time::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Wake;
use crate::controller::{Controller, Followed, Following, in_words};
use crate::forge::{Error as ForgeError, Tip};
use crate::store::records::{PinSetRecord, SourceRecord};

/// How often it looks whether a file is to be read.
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// The source loop.
#[derive(Debug)]
pub struct Sources {
    controller: Arc<Controller>,
    wake: Wake,
    /// How often a file is read without being asked for.
    interval: Duration,
    turns: HashMap<PinSetName, Turn>,
}

/// When a file is read next.
#[derive(Clone, Debug)]
struct Turn {
    source: SourceRecord,
    failures: u32,
    next: Timestamp,
}

/// What came of reading a file.
struct Reading {
    pin_set: PinSetName,
    result: Result<Following, (Following, Option<Duration>)>,
}

impl Sources {
    /// A loop that reads each file once in an `interval`, and when it is woken.
    pub fn new(controller: Arc<Controller>, wake: Wake, interval: Duration) -> Self {
        Self {
            controller,
            wake,
            interval,
            turns: HashMap::new(),
        }
    }

    /// Runs until it is cancelled.
    pub async fn run(mut self, cancelled: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = cancelled.cancelled() => return,
                () = self.read_due() => {}
            }
            tokio::select! {
                () = cancelled.cancelled() => return,
                () = self.wake.woken() => self.turns.clear(),
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Reads the files that are due, side by side.
    async fn read_due(&mut self) {
        let now = self.controller.clock.now();
        let snapshot = self.controller.snapshot();
        let mut followed = Vec::new();
        let mut readings = JoinSet::new();
        for entry in snapshot.pin_sets() {
            let record = Arc::clone(&entry.stored.record);
            let source = record.source.as_ref().filter(|source| source.follow);
            let Some(source) = source.cloned() else {
                continue;
            };
            followed.push(record.name.clone());
            let turn = self.turns.get(&record.name);
            let is_due = turn.is_none_or(|turn| turn.source != source || turn.next <= now);
            if is_due {
                readings.spawn(read(Arc::clone(&self.controller), record, source));
            }
        }
        self.turns.retain(|name, _| followed.contains(name));
        self.controller.keep_followings(&followed);
        while let Some(reading) = readings.join_next().await {
            match reading {
                Ok((source, reading)) => self.note(source, reading),
                Err(error) => tracing::error!(%error, "reading a followed file failed"),
            }
        }
    }

    fn note(&mut self, source: SourceRecord, reading: Reading) {
        let now = self.controller.clock.now();
        let before = self.turns.get(&reading.pin_set);
        let (following, failures, pause) = match reading.result {
            Ok(following) => (following, 0, self.interval),
            Err((following, asked)) => {
                let failures = before.map_or(0, |turn| turn.failures).saturating_add(1);
                let longer = self.interval.saturating_mul(1 << failures.min(10));
                (following, failures, asked.unwrap_or(longer.min(PAUSE_MAX)))
            }
        };
        self.controller.show_following(&reading.pin_set, following);
        let turn = Turn {
            source,
            failures,
            next: now.plus(pause),
        };
        self.turns.insert(reading.pin_set, turn);
    }
}

async fn read(
    controller: Arc<Controller>,
    record: Arc<PinSetRecord>,
    source: SourceRecord,
) -> (SourceRecord, Reading) {
    let result = try_read(&controller, &record, &source).await;
    let reading = Reading {
        pin_set: record.name.clone(),
        result,
    };
    (source, reading)
}

async fn try_read(
    controller: &Controller,
    record: &PinSetRecord,
    source: &SourceRecord,
) -> Result<Following, (Following, Option<Duration>)> {
    let before = controller.following(&record.name).unwrap_or_default();
    let failed = |problem: String, pause: Option<Duration>| {
        let following = Following {
            problem,
            ..before.clone()
        };
        (following, pause)
    };
    let Some(forge) = controller.forges.get(&source.forge) else {
        return Err(failed(
            format!("no forge `{}` is configured", source.forge),
            None,
        ));
    };
    let Tip { commit, bytes } = forge
        .read(&source.branch, &source.path)
        .await
        .map_err(|error: ForgeError| failed(error.answer().to_owned(), error.retry_after()))?;
    let (pins, verbatim) = pins_of(record.ecosystem, &bytes)
        .map_err(|problem| failed(format!("`{}`: {problem}", source.path), None))?;
    let followed = Followed {
        source: source.clone(),
        commit: commit.clone(),
        pins,
        verbatim,
    };
    let problems = controller
        .follow(&record.name, &followed)
        .await
        .map_err(|refusal| failed(refusal.to_string(), None))?;
    Ok(Following {
        commit,
        read_at: Some(controller.clock.now()),
        problem: in_words(&problems),
    })
}

/// The pins of a file, and its lines that are none.
fn pins_of(
    ecosystem: Ecosystem,
    bytes: &[u8],
) -> Result<(pinion_core::pin::Pins, Vec<String>), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let parsed = constraints::parse(ecosystem, text).map_err(|error| error.to_string())?;
    let verbatim = parsed.unkept.into_iter().map(|line| line.text).collect();
    Ok((parsed.pins, verbatim))
}
