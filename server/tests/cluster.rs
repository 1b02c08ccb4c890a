//! Three servers on an etcd of three members, as processes on loopback and under load, while machines are killed, stop
//! and are cut off: nothing acknowledged is lost or counts twice, and history is one.
//!
//! 20 rounds of faults; `PINION_ROUNDS` asks for another number, `PINION_SEED` for another sequence. A failure names its
//! seed.
//!
//! `PINION_PREVIOUS` names an older piniond, with which every server starts; whoever is started again is today's, so that
//! both run side by side.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "cluster/check.rs"]
mod check;
#[path = "cluster/clocks.rs"]
mod clocks;
#[path = "cluster/facts.rs"]
mod facts;
#[path = "cluster/link.rs"]
mod link;
#[path = "cluster/load.rs"]
mod load;
#[path = "cluster/machines.rs"]
mod machines;
#[path = "cluster/rounds.rs"]
mod rounds;

use std::time::{Duration, Instant};

/// One test at a time has the machine: several would be a fault of their own.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .map_or(default, |text| text.parse().expect("a number"))
}

/// Waits until it holds, and says what did not if it never does; how long it took.
async fn eventually(
    what: &str,
    patience: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) -> Duration {
    let begun = Instant::now();
    while !holds().await {
        assert!(
            begun.elapsed() < patience,
            "it never came to be that {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}
