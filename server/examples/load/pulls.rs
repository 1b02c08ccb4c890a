//! Pulls of pins: what one costs, beside what any call and what these bytes cost.

use std::path::Path;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use pinion_proto::v1 as proto;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::Channel;

use crate::bytes_codec::BytesCodec;
use crate::child::Process;
use crate::drive::{self, Run, median};
use crate::fleet::{Fleet, PINS, connect, set_name, with_token};
use crate::floor::{ANSWER, ECHO, READY};
use crate::table::{Line, Reach, Table};
use crate::{Arguments, Failure};

const GET_PINS: &str = "/pinion.v1.PinService/GetPins";
/// Connections, and calls at a time on each.
const CONNECTIONS: usize = 4;
const CALLS_EACH: usize = 8;

/// Calls a method with bytes for as long as a round takes.
#[derive(Clone, Debug)]
struct Caller {
    channel: Channel,
    path: &'static str,
    token: String,
    message: Bytes,
}

impl Caller {
    async fn call(self) -> Result<Bytes, Failure> {
        let mut grpc = Grpc::new(self.channel);
        grpc.ready().await?;
        let request = with_token(self.message, &self.token)?;
        let path = PathAndQuery::from_static(self.path);
        Ok(grpc.unary(request, path, BytesCodec).await?.into_inner())
    }
}

/// What is asked of one server.
struct Question<'a> {
    process: &'a Process,
    address: &'a str,
    path: &'static str,
    token: &'a str,
    message: Bytes,
}

impl Question<'_> {
    async fn callers(&self) -> Result<Vec<Caller>, Failure> {
        let mut callers = Vec::new();
        for _ in 0..CONNECTIONS {
            let caller = Caller {
                channel: connect(self.address).await?,
                path: self.path,
                token: self.token.to_owned(),
                message: self.message.clone(),
            };
            callers.extend(std::iter::repeat_n(caller, CALLS_EACH));
        }
        Ok(callers)
    }

    async fn ask(&self, arguments: &Arguments) -> Result<Run, Failure> {
        let callers = self.callers().await?;
        let ask = |caller: Caller| {
            move || {
                let call = caller.clone().call();
                async move { call.await.map(drop) }
            }
        };
        let askers = callers.into_iter().map(ask).collect();
        drive::closed(self.process, arguments.span(), askers).await
    }
}

pub(crate) fn measure<'a>(
    arguments: &'a Arguments,
    table: &'a mut Table,
) -> BoxFuture<'a, Result<(), Failure>> {
    Box::pin(async move {
        for (open, at_most) in [(20, 1.3), (200, 1.5)] {
            of_open(arguments, table, open, at_most).await?;
        }
        Ok(())
    })
}

async fn of_open(
    arguments: &Arguments,
    table: &mut Table,
    open: usize,
    at_most: f64,
) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let fleet = Fleet::start(&dir.path().join("server"), open, 20).await?;
    let request = proto::GetPinsRequest {
        pin_set: set_name(0),
        ..Default::default()
    };
    let whole = Caller {
        channel: connect(&fleet.address).await?,
        path: GET_PINS,
        token: fleet.environments[0].clone(),
        message: request.encode_to_vec().into(),
    };
    let answer = whole.clone().call().await?;
    let pins = proto::GetPinsResponse::decode(answer.clone())?;
    if pins.pins.len() != PINS {
        return Err(format!("{} pins instead of {PINS}", pins.pins.len()).into());
    }
    let known = proto::GetPinsRequest {
        etag: pins.etag,
        ..request
    };
    let known: Bytes = known.encode_to_vec().into();
    let floor = start_floor(dir.path(), &answer)?;
    let ask = |path, message: &Bytes| Question {
        process: if path == GET_PINS {
            &fleet.process
        } else {
            &floor
        },
        address: if path == GET_PINS {
            &fleet.address
        } else {
            &floor.said[0]
        },
        path,
        token: &fleet.environments[0],
        message: message.clone(),
    };
    let of = |what: &str| format!("pulls {what}, {PINS} pins, {open} open");
    for (what, path, message) in [
        ("unchanged", ECHO, &known),
        ("whole", READY, &whole.message),
    ] {
        let (ours, theirs) = (ask(GET_PINS, message), ask(path, message));
        let (mut ratios, mut runs) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            let least = theirs.ask(arguments).await?;
            let run = ours.ask(arguments).await?;
            ratios.push(run.cpu_us() / least.cpu_us());
            runs.push((run, least));
        }
        let middle = |of: &dyn Fn(&(Run, Run)) -> f64| median(runs.iter().map(of).collect());
        table.add(Line {
            name: of(what),
            value: median(ratios),
            unit: "x the CPU of bare tonic",
            reach: Reach::AtMost(at_most),
            detail: format!(
                "{:.1} us a call beside {:.1} us; {:.0} calls a second; p99 {:.1} ms; the load itself {:.1} us a call",
                middle(&|(run, _)| run.cpu_us()),
                middle(&|(_, least)| least.cpu_us()),
                middle(&|(run, _)| run.per_s()),
                middle(&|(run, _)| run.times_us.value_at_quantile(0.99) as f64 / 1e3),
                middle(&|(run, _)| run.own_cpu.as_secs_f64() * 1e6 / run.answered as f64),
            ),
            times_us: runs.pop().map(|(run, _)| run.times_us),
        });
    }
    open_loop(arguments, table, &ask(GET_PINS, &known), open).await
}

async fn open_loop(
    arguments: &Arguments,
    table: &mut Table,
    question: &Question<'_>,
    open: usize,
) -> Result<(), Failure> {
    let callers = question.callers().await?;
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let ask = move || {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let call = callers[turn % callers.len()].clone().call();
        async move { call.await.map(drop) }
    };
    let run = drive::open(question.process, arguments.span(), arguments.rate, ask).await?;
    table.add(Line {
        name: format!("pulls unchanged, {} a second, {open} open", arguments.rate),
        value: run.times_us.value_at_quantile(0.99) as f64 / 1e3,
        unit: "ms (p99)",
        reach: Reach::Nothing,
        detail: format!(
            "median {:.2} ms, the longest {:.1} ms, from when it was due; {:.1} us of CPU a call",
            run.times_us.value_at_quantile(0.5) as f64 / 1e3,
            run.times_us.max() as f64 / 1e3,
            run.cpu_us(),
        ),
        times_us: Some(run.times_us),
    });
    Ok(())
}

fn start_floor(dir: &Path, answer: &[u8]) -> Result<Process, Failure> {
    let dir = dir.join("floor");
    std::fs::create_dir(&dir)?;
    std::fs::write(dir.join(ANSWER), answer)?;
    Process::start("floor", &dir, 2)
}
