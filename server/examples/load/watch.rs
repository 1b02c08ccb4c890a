//! Streams of pins: what each costs in memory, and how long it takes to tell all of them of a version taken back.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use pinion_proto::v1 as proto;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use pinion_proto::v1::rollout_service_client::RolloutServiceClient;
use tokio::sync::mpsc;

use crate::drive::{median, times};
use crate::fleet::{Fleet, connect, set_name, with_token};
use crate::table::{Line, Reach, Table};
use crate::{Arguments, Failure};

/// Streams that share a connection.
const STREAMS_EACH: usize = 100;
/// Enrolled environments that share the streams.
const ENVIRONMENTS: usize = 100;
/// How long the last stream may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a stream was told, and when.
struct Told {
    at: Instant,
    has_candidate: bool,
}

pub(crate) fn measure<'a>(
    arguments: &'a Arguments,
    table: &'a mut Table,
) -> BoxFuture<'a, Result<(), Failure>> {
    Box::pin(measured(arguments, table))
}

async fn measured(arguments: &Arguments, table: &mut Table) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let fleet = Fleet::start(dir.path(), 1, ENVIRONMENTS).await?;
    let channel = connect(&fleet.address).await?;
    let rollout = &fleet.rollouts[0];
    fleet.promote(&channel, rollout, 0.95).await?;
    let before = fleet.process.resident_bytes()?;
    let (tell, mut told) = mpsc::unbounded_channel();
    for connection in 0..arguments.streams.div_ceil(STREAMS_EACH) {
        let channel = connect(&fleet.address).await?;
        let streams = STREAMS_EACH.min(arguments.streams - connection * STREAMS_EACH);
        for stream in 0..streams {
            let token = &fleet.environments[stream % fleet.environments.len()];
            let request = proto::WatchPinsRequest {
                pin_set: set_name(0),
                ..Default::default()
            };
            let mut client = PinServiceClient::new(channel.clone());
            let stream = client.watch_pins(with_token(request, token)?).await?;
            tokio::spawn(listen(stream.into_inner(), tell.clone()));
        }
    }
    let (mut first, mut with) = (0, 0);
    while first < arguments.streams {
        let told = next(&mut told).await?;
        first += 1;
        with += usize::from(told.has_candidate);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let each =
        (fleet.process.resident_bytes()?.saturating_sub(before)) as f64 / arguments.streams as f64;
    table.add(Line {
        name: format!("watch, {} streams: memory of each", arguments.streams),
        value: each / 1024.0,
        unit: "KiB",
        reach: Reach::AtMost(8.0),
        detail: format!("{STREAMS_EACH} streams share a connection"),
        times_us: None,
    });
    let idle = (fleet.process.cpu()?, Instant::now());
    tokio::time::sleep(arguments.span()).await;
    let idle = (fleet.process.cpu()? - idle.0).as_secs_f64() / idle.1.elapsed().as_secs_f64();
    let cpu = fleet.process.cpu()?;
    let request = proto::RollBackRolloutRequest {
        id: rollout.clone(),
        ..Default::default()
    };
    let request = with_token(request, &fleet.manager)?;
    let asked = Instant::now();
    RolloutServiceClient::new(channel)
        .roll_back_rollout(request)
        .await?;
    let mut times_us = times()?;
    while times_us.len() < with as u64 {
        let told = next(&mut told).await?;
        if !told.has_candidate {
            let took = told.at.saturating_duration_since(asked);
            times_us.saturating_record(u64::try_from(took.as_micros())?);
        }
    }
    let cpu = fleet.process.cpu()? - cpu;
    table.add(Line {
        name: format!("watch, {with} of {} streams told", arguments.streams),
        value: median(vec![times_us.value_at_quantile(0.99) as f64 / 1e6]),
        unit: "s (p99)",
        reach: Reach::AtMost(1.0),
        detail: format!(
            "from the request to roll back, its commit included; median {:.2} s, the last {:.2} s; {:.2} s of CPU; while nothing changes {:.3} s of CPU a second",
            times_us.value_at_quantile(0.5) as f64 / 1e6,
            times_us.max() as f64 / 1e6,
            cpu.as_secs_f64(),
            idle,
        ),
        times_us: Some(times_us),
    });
    Ok(())
}

async fn next(told: &mut mpsc::UnboundedReceiver<Told>) -> Result<Told, Failure> {
    let next = tokio::time::timeout(PATIENCE, told.recv()).await?;
    Ok(next.ok_or("every stream has ended")?)
}

async fn listen(
    mut stream: tonic::Streaming<proto::WatchPinsResponse>,
    tell: mpsc::UnboundedSender<Told>,
) {
    // A stream that ends tells nothing more, and is missed.
    while let Ok(Some(response)) = stream.message().await {
        let told = Told {
            at: Instant::now(),
            has_candidate: response.pins.is_some_and(|pins| !pins.rollouts.is_empty()),
        };
        if tell.send(told).is_err() {
            return;
        }
    }
}
