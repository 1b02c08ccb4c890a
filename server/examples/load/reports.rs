//! Reports that are durable when they are acknowledged, beside the bare store with the same bytes, and beside a handler
//! that only parses them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use pinion_core::evidence::Ordinal;
use pinion_core::outcome::Outcome;
use pinion_core::time::Timestamp;
use pinion_proto::v1 as proto;
use pinion_proto::v1::outcome_service_client::OutcomeServiceClient;
use pinion_server::store::records::{JournalEntry, JournalEvent, JournalRecord};
use pinion_server::store::sled::{SledOptions, SledStore};
use pinion_server::store::{Commit, Condition, Operation, Store, Transaction, keys};
use tonic::transport::Channel;

use crate::child::{Process, state_dir};
use crate::drive::{self, Run, median};
use crate::fleet::{Fleet, connect, with_token};
use crate::table::{Line, Reach, Table};
use crate::{Arguments, Failure};

/// Who reports at a time.
const CLIENTS: usize = 64;

/// How long somebody waits whose reports were refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// A journal record of a batch, as the server writes it.
fn record(batch: usize) -> JournalRecord {
    let entry = |n: usize| JournalEntry {
        ordinal: Ordinal(u32::try_from(n).unwrap_or(u32::MAX)),
        report: fastrand::u64(1..),
        at: Timestamp::from_unix_ms(1_700_000_000_000),
        event: JournalEvent::Reported(Outcome::Passed),
    };
    JournalRecord {
        entries: (0..batch).map(entry).collect(),
    }
}

/// Is the bare store: for each line `BATCH SECONDS` that it is told, says how many batches became durable in a second.
pub(crate) async fn commit_forever() -> Result<(), Failure> {
    let store = Arc::new(SledStore::open(&state_dir()?, SledOptions::default())?);
    let sequence = Arc::new(AtomicU64::new(0));
    let plan = std::env::var(PLAN)?;
    let (batch, seconds) = plan.split_once(' ').ok_or("no plan")?;
    let (batch, span) = (batch.parse()?, Duration::from_secs(seconds.parse()?));
    let (started, until) = (Instant::now(), Instant::now() + span);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (store, sequence) = (Arc::clone(&store), Arc::clone(&sequence));
        tasks.spawn(async move {
            while Instant::now() < until {
                let key = keys::journal(1, sequence.fetch_add(1, Ordering::Relaxed));
                let put = Transaction {
                    conditions: vec![Condition::Absent(key.clone())],
                    operations: vec![Operation::Put(key, record(batch).encode())],
                };
                if let Commit::Conflict = store.commit(put).await? {
                    return Err(Failure::from("a record was there already"));
                }
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let commits = sequence.load(Ordering::Relaxed);
    println!("{}", commits as f64 / started.elapsed().as_secs_f64());
    Ok(())
}

/// What the bare store is to do: reports of a batch, and seconds.
pub(crate) const PLAN: &str = "PINION_LOAD_PLAN";

pub(crate) fn measure<'a>(
    arguments: &'a Arguments,
    table: &'a mut Table,
) -> BoxFuture<'a, Result<(), Failure>> {
    Box::pin(async move {
        for batch in [1, 100] {
            of_batch(arguments, table, batch).await?;
        }
        Ok(())
    })
}

async fn of_batch(arguments: &Arguments, table: &mut Table, batch: usize) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let fleet = Fleet::start(&dir.path().join("server"), 1, CLIENTS).await?;
    let floor = Process::start("floor", dir.path(), 2)?;
    let (mut ratios, mut costs, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..arguments.rounds {
        let bare = bare(&dir.path().join(format!("store-{round}")), batch, arguments)?;
        let parsed = report(
            &floor,
            &floor.said[0],
            &fleet.environments,
            batch,
            arguments,
        )
        .await?;
        let run = report(
            &fleet.process,
            &fleet.address,
            &fleet.environments,
            batch,
            arguments,
        )
        .await?;
        ratios.push(run.per_s() / bare);
        costs.push(run.cpu_us() / parsed.cpu_us());
        runs.push((run, parsed, bare));
    }
    let middle = |of: &dyn Fn(&(Run, Run, f64)) -> f64| median(runs.iter().map(of).collect());
    let reports = batch as f64;
    table.add(Line {
        name: format!("reports, batches of {batch}, {CLIENTS} clients: CPU"),
        value: median(costs),
        unit: "x the CPU of parsing",
        reach: Reach::AtMost(2.0),
        detail: format!(
            "{:.2} us a report beside {:.2} us",
            middle(&|(run, ..)| run.cpu_us()) / reports,
            middle(&|(_, parsed, _)| parsed.cpu_us()) / reports,
        ),
        times_us: None,
    });
    table.add(Line {
        name: format!("reports, batches of {batch}, {CLIENTS} clients"),
        value: median(ratios),
        unit: "x the bare store",
        reach: Reach::AtLeast(0.7),
        detail: format!(
            "{:.0} durable reports a second beside {:.0}",
            middle(&|(run, ..)| run.per_s()) * reports,
            middle(&|(.., bare)| *bare) * reports,
        ),
        times_us: runs.pop().map(|(run, ..)| run.times_us),
    });
    Ok(())
}

/// Batches a second that the bare store makes durable.
fn bare(dir: &Path, batch: usize, arguments: &Arguments) -> Result<f64, Failure> {
    std::fs::create_dir(dir)?;
    let store = Process::start_with(
        "store",
        dir,
        1,
        &[(PLAN, format!("{batch} {}", arguments.seconds.max(1)))],
    )?;
    Ok(store.said[0].parse()?)
}

async fn report(
    process: &Process,
    address: &str,
    tokens: &[String],
    batch: usize,
    arguments: &Arguments,
) -> Result<Run, Failure> {
    let mut channels = Vec::new();
    for _ in 0..4 {
        channels.push(connect(address).await?);
    }
    let askers = tokens.iter().zip(channels.iter().cycle());
    let askers = askers.map(|(token, channel)| {
        let (token, channel) = (token.clone(), channel.clone());
        move || send(channel.clone(), token.clone(), batch)
    });
    drive::closed(process, arguments.span(), askers.collect()).await
}

async fn send(channel: Channel, token: String, batch: usize) -> Result<(), Failure> {
    let reports = std::iter::repeat_with(passed).take(batch).collect();
    let request = proto::ReportOutcomesRequest { reports };
    let mut client = OutcomeServiceClient::new(channel);
    loop {
        let sent = client.report_outcomes(with_token(request.clone(), &token)?);
        match sent.await {
            Ok(_) => return Ok(()),
            // More waits to be counted than the server lets wait: it takes no more than it can count.
            Err(status) if status.code() == tonic::Code::ResourceExhausted => {
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

fn passed() -> proto::Report {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_ms = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    let id = uuid::Builder::from_unix_timestamp_millis(now_ms, &random).into_uuid();
    proto::Report {
        report_id: id.to_string(),
        outcome: proto::Outcome::Passed.into(),
        ..Default::default()
    }
}
