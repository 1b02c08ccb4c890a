//! Load: a closed loop, in which everybody waits for an answer before asking again, and an open one, in which nobody does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::Failure;
use crate::child::{Process, own_cpu};

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Run {
    /// Requests that were answered.
    pub(crate) answered: u64,
    /// How long it took.
    pub(crate) took: Duration,
    /// Processor time of the server.
    pub(crate) cpu: Duration,
    /// Processor time of this process.
    pub(crate) own_cpu: Duration,
    /// Times to the answer, in microseconds.
    pub(crate) times_us: Histogram<u64>,
}

impl Run {
    /// Processor time of the server for each request, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answered.max(1) as f64
    }

    /// Requests a second.
    pub(crate) fn per_s(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }
}

/// Times up to a minute, in microseconds, with three digits.
pub(crate) fn times() -> Result<Histogram<u64>, Failure> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Everybody of `askers` asks, waits for the answer, and asks again, for as long as `span`.
pub(crate) async fn closed<A, F>(
    server: &Process,
    span: Duration,
    askers: Vec<A>,
) -> Result<Run, Failure>
where
    A: FnMut() -> F + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send,
{
    let (cpu, own) = (server.cpu()?, own_cpu()?);
    let started = Instant::now();
    let until = started + span;
    let mut tasks = JoinSet::new();
    for mut ask in askers {
        tasks.spawn(async move {
            let mut times_us = times()?;
            while Instant::now() < until {
                let asked = Instant::now();
                ask().await?;
                times_us.saturating_record(micros(asked.elapsed()));
            }
            Ok::<_, Failure>(times_us)
        });
    }
    let mut times_us = times()?;
    while let Some(done) = tasks.join_next().await {
        times_us.add(done??)?;
    }
    Ok(Run {
        answered: times_us.len(),
        took: started.elapsed(),
        cpu: server.cpu()? - cpu,
        own_cpu: own_cpu()? - own,
        times_us,
    })
}

/// Asks `rate` times a second, whether what was asked before is answered or not. A time counts from the moment at which
/// it should have been asked, so that a server that stands still is not asked less.
pub(crate) async fn open<A, F>(
    server: &Process,
    span: Duration,
    rate: u64,
    ask: A,
) -> Result<Run, Failure>
where
    A: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let (cpu, own) = (server.cpu()?, own_cpu()?);
    let started = Instant::now();
    let times_us = Arc::new(std::sync::Mutex::new(times()?));
    let failed = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let count = rate * span.as_secs();
    for n in 0..count {
        let due = started + span.mul_f64(n as f64 / count as f64);
        tokio::time::sleep_until(due.into()).await;
        let (asked, times_us, failed) = (ask(), Arc::clone(&times_us), Arc::clone(&failed));
        tasks.spawn(async move {
            match asked.await {
                Ok(()) => {
                    if let Ok(mut times_us) = times_us.lock() {
                        times_us.saturating_record(micros(due.elapsed()));
                    }
                }
                Err(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
            }
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    match failed.load(Ordering::Relaxed) {
        0 => {}
        failed => return Err(format!("{failed} of {count} requests were not answered").into()),
    }
    let times_us = times_us
        .lock()
        .map_err(|_| "a request ended badly")?
        .clone();
    Ok(Run {
        answered: times_us.len(),
        took: started.elapsed(),
        cpu: server.cpu()? - cpu,
        own_cpu: own_cpu()? - own,
        times_us,
    })
}

/// The middle of some numbers; 0 of none.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}
