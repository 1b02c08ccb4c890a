//! The load: environments that pull and report, each at any server, and a release manager who tries one version after
//! the other. What they were told is kept.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pinion_proto::v1 as proto;
use pinion_proto::v1::rollout_service_client::RolloutServiceClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::check::{Found, Stored};
use crate::machines::{PACKAGE, file, pins, report, send};
use crate::support::repository::merge;
use crate::support::{Environment, SET, with_token};

/// How long an environment works between two runs, at most.
const WORK_TIME_MAX: Duration = Duration::from_millis(500);
/// How long a release manager waits for an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// How long a release manager thinks, at most.
const STEERING_TIME_MAX: Duration = Duration::from_millis(300);

/// What somebody was given.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    pub(crate) environment: String,
    pub(crate) minor: u32,
    /// The store's revision that it was given as of.
    pub(crate) revision: u64,
}

/// What everybody was told.
#[derive(Debug)]
pub(crate) struct Told {
    /// Reports, each with its environment's id.
    pub(crate) acknowledged: Vec<(String, Uuid)>,
    /// Pulls that are not checked yet.
    pub(crate) pulls: Vec<Pull>,
    /// Decisions that were answered as done: the rollout, and the revision that it then had.
    pub(crate) decided: HashMap<String, u64>,
    /// The longest time in which no report was acknowledged.
    pub(crate) longest_silence: Duration,
    /// Requests that failed, and were made again.
    pub(crate) failures: usize,
    acknowledged_at: Instant,
}

/// Everybody who asks servers for something.
pub(crate) struct Load {
    told: Arc<Mutex<Told>>,
    over: Arc<AtomicBool>,
    everybody: JoinSet<()>,
}

impl Load {
    pub(crate) fn begin(
        channels: Vec<Channel>,
        environments: &[Environment],
        manager: &str,
        repository: PathBuf,
        seed: u64,
    ) -> Self {
        let told = Arc::new(Mutex::new(Told {
            acknowledged: Vec::new(),
            pulls: Vec::new(),
            decided: HashMap::new(),
            longest_silence: Duration::ZERO,
            failures: 0,
            acknowledged_at: Instant::now(),
        }));
        let over = Arc::new(AtomicBool::new(false));
        let mut everybody = JoinSet::new();
        for (number, environment) in (1..).zip(environments) {
            let caller = Caller {
                channels: channels.clone(),
                token: environment.token.clone(),
                random: fastrand::Rng::with_seed(seed ^ (number << 32)),
                told: Arc::clone(&told),
                over: Arc::clone(&over),
            };
            everybody.spawn(caller.work(environment.id.clone()));
        }
        let caller = Caller {
            channels,
            token: manager.to_owned(),
            random: fastrand::Rng::with_seed(seed),
            told: Arc::clone(&told),
            over: Arc::clone(&over),
        };
        everybody.spawn(caller.manage(repository));
        Self {
            told,
            over,
            everybody,
        }
    }

    pub(crate) fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    /// Holds everything that was told against what is stored.
    pub(crate) fn check(&self, stored: &Stored) -> Found {
        let told = self.told();
        stored.check(&told, &told.acknowledged, &told.decided)
    }

    /// How many requests failed, and the longest time without an acknowledged report.
    pub(crate) fn failures(&self) -> (usize, Duration) {
        let told = self.told();
        (told.failures, told.longest_silence)
    }

    /// Lets everybody come to the end of what they do; every report is acknowledged then.
    pub(crate) async fn end(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.everybody.join_next().await {
            ended.unwrap();
        }
    }

    /// Fails with whoever has failed.
    pub(crate) fn is_sound(&mut self) {
        while let Some(ended) = self.everybody.try_join_next() {
            ended.unwrap();
        }
    }
}

/// Who asks any server.
struct Caller {
    channels: Vec<Channel>,
    token: String,
    random: fastrand::Rng,
    told: Arc<Mutex<Told>>,
    over: Arc<AtomicBool>,
}

/// What a server may say that fails; anything else is no answer to a request like these.
fn check(status: &Status) {
    use Code::{Cancelled, DeadlineExceeded, Unavailable, Unknown};
    let codes = [Cancelled, DeadlineExceeded, Unavailable, Unknown];
    // A server that was paused finds many calls at once that nobody waits for any more, and ends the connection.
    let is_hurried = status.message().contains("h2 protocol error");
    assert!(is_hurried || codes.contains(&status.code()), "{status:?}");
}

impl Caller {
    fn anyone(&mut self) -> Channel {
        let number = self.random.usize(0..self.channels.len());
        self.channels[number].clone()
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    async fn rest(&mut self, most: Duration) {
        let time = most.mul_f64(self.random.f64());
        tokio::time::sleep(time).await;
    }

    fn failed(&self, status: &Status) {
        check(status);
        self.told.lock().unwrap().failures += 1;
    }

    /// An environment: pulls, works and reports, the same report until it is acknowledged.
    async fn work(mut self, id: String) {
        while !self.is_over() {
            let channel = self.anyone();
            let (minor, rollouts) = match pins(&channel, &self.token).await {
                Ok(pins) => (self.note_pull(&id, &pins), pins.rollouts),
                Err(status) => {
                    self.failed(&status);
                    self.rest(Duration::from_millis(50)).await;
                    continue;
                }
            };
            self.rest(WORK_TIME_MAX).await;
            let chance = if is_bad(minor) { 0.9 } else { 0.02 };
            let report = proto::Report {
                rollouts,
                ..report(self.random.f64() < chance)
            };
            loop {
                let channel = self.anyone();
                match send(&channel, &self.token, &report).await {
                    Ok(()) => break,
                    Err(status) => self.failed(&status),
                }
                self.rest(Duration::from_millis(50)).await;
            }
            self.note_acknowledged(id.clone(), report.report_id.parse().unwrap());
        }
    }

    fn note_pull(&self, id: &str, pins: &proto::GetPinsResponse) -> u32 {
        let mut all = pins.pins.iter();
        let pin = all
            .find(|pin| pin.package == PACKAGE)
            .expect("it is pinned");
        let minor = minor_of(&pin.version);
        self.told.lock().unwrap().pulls.push(Pull {
            environment: id.to_owned(),
            minor,
            revision: pins.store_revision,
        });
        minor
    }

    fn note_acknowledged(&self, id: String, report: Uuid) {
        let mut told = self.told.lock().unwrap();
        told.acknowledged.push((id, report));
        let silence = told.acknowledged_at.elapsed();
        told.longest_silence = told.longest_silence.max(silence);
        told.acknowledged_at = Instant::now();
    }

    /// A release manager: one version after the other is merged, tried, and given up or left to the evidence.
    async fn manage(mut self, repository: PathBuf) {
        let mut minor = 0;
        while !self.is_over() {
            self.rest(STEERING_TIME_MAX).await;
            let Some(all) = self.list().await else {
                continue;
            };
            let mut all = all.into_iter();
            let rollout = all.find(|rollout| minor_of(&rollout.changes[0].to_version) == minor);
            match rollout {
                Some(rollout) if !has_ended(&rollout) => self.steer(&rollout).await,
                // What is filed is built on the file as it was merged, so that this comes first.
                Some(rollout) if is_pending(&rollout) => {}
                None if minor > 0 => self.create(minor).await,
                _ => {
                    minor += 1;
                    let (folder, content) = (repository.clone(), file(minor));
                    let merged = tokio::task::spawn_blocking(move || merge(&folder, &content));
                    merged.await.unwrap();
                }
            }
        }
    }

    fn rollouts(&mut self) -> RolloutServiceClient<Channel> {
        RolloutServiceClient::new(self.anyone())
    }

    /// What the release manager asks, and for how long.
    fn asks<T>(&self, message: T) -> Request<T> {
        let mut request = with_token(message, &self.token);
        request.set_timeout(ANSWER_TIME_MAX);
        request
    }

    async fn list(&mut self) -> Option<Vec<proto::Rollout>> {
        let request = proto::ListRolloutsRequest {
            pin_set: SET.to_owned(),
            page_size: 1000,
            ..Default::default()
        };
        let request = self.asks(request);
        match self.rollouts().list_rollouts(request).await {
            Ok(list) => Some(list.into_inner().rollouts),
            Err(status) => {
                self.failed(&status);
                None
            }
        }
    }

    async fn create(&mut self, minor: u32) {
        let request = proto::CreateRolloutRequest {
            pin_set: SET.to_owned(),
            candidates: vec![proto::Candidate {
                package: PACKAGE.to_owned(),
                version: format!("1.{minor}"),
                ..Default::default()
            }],
            ..Default::default()
        };
        let request = self.asks(request);
        let created = self.rollouts().create_rollout(request).await;
        self.note_decided(created.map(|answer| answer.into_inner().rollout));
    }

    /// Promotes what is open, mostly; pauses it, or takes it back. What is bad is left to the
    /// evidence, at a share of half, mostly.
    async fn steer(&mut self, rollout: &proto::Rollout) {
        let (id, reason) = (rollout.id.clone(), "a test".to_owned());
        let mut client = self.rollouts();
        let choice = self.random.u32(0..20);
        // Nothing is left open for ever, and what everybody has for a while only.
        let back_up_to = if rollout.share < 1.0 { 1 } else { 4 };
        let is_bad = is_bad(minor_of(&rollout.changes[0].to_version));
        let decided = match rollout.state() {
            proto::RolloutState::Paused | proto::RolloutState::Frozen => {
                let resume = proto::ResumeRolloutRequest {
                    id,
                    reason,
                    ..Default::default()
                };
                let resumed = client.resume_rollout(self.asks(resume)).await;
                resumed.map(|answer| answer.into_inner().rollout)
            }
            _ if choice == 19 || (choice < back_up_to && !is_bad) => {
                let back = proto::RollBackRolloutRequest {
                    id,
                    reason,
                    ..Default::default()
                };
                let back = client.roll_back_rollout(self.asks(back)).await;
                back.map(|answer| answer.into_inner().rollout)
            }
            _ if choice == 5 => {
                let pause = proto::PauseRolloutRequest {
                    id,
                    reason,
                    ..Default::default()
                };
                let paused = client.pause_rollout(self.asks(pause)).await;
                paused.map(|answer| answer.into_inner().rollout)
            }
            _ if choice < 15 && !(is_bad && rollout.share >= 0.5) => {
                let promote = proto::PromoteRolloutRequest {
                    id,
                    reason,
                    share: match rollout.share < 0.5 {
                        true => 0.5,
                        false => 0.0,
                    },
                    ..Default::default()
                };
                let promoted = client.promote_rollout(self.asks(promote)).await;
                promoted.map(|answer| answer.into_inner().rollout)
            }
            // It is left to the evidence for a while.
            _ => return,
        };
        self.note_decided(decided);
    }

    fn note_decided(&self, decided: Result<Option<proto::Rollout>, Status>) {
        match decided {
            Ok(rollout) => {
                let rollout = rollout.expect("a rollout");
                let mut told = self.told.lock().unwrap();
                let known = told.decided.entry(rollout.id).or_default();
                *known = rollout.revision.max(*known);
            }
            // It was decided otherwise meanwhile.
            Err(status) if is_overtaken(&status) => {}
            Err(status) => self.failed(&status),
        }
    }
}

/// Every second version fails where it is used.
fn is_bad(minor: u32) -> bool {
    minor % 2 == 1
}

/// Whether what was asked is not possible any more.
fn is_overtaken(status: &Status) -> bool {
    use Code::{Aborted, AlreadyExists, FailedPrecondition, InvalidArgument};
    let codes = [Aborted, AlreadyExists, FailedPrecondition, InvalidArgument];
    codes.contains(&status.code())
}

fn has_ended(rollout: &proto::Rollout) -> bool {
    use proto::RolloutState::{Aborted, Completed, RolledBack, Superseded};
    [Aborted, Completed, RolledBack, Superseded].contains(&rollout.state())
}

fn is_pending(rollout: &proto::Rollout) -> bool {
    let filing = rollout.filing.as_ref();
    filing.is_some_and(|filing| filing.state == "pending")
}

pub(crate) fn minor_of(version: &str) -> u32 {
    version.rsplit('.').next().unwrap().parse().unwrap()
}
