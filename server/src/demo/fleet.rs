//! Simulated environments that talk to the server as real ones do: they enrol, pull pins, run, report.
//!
//! How often they fail is drawn from the seed (own breakage: Beta with mean 0.15 and concentration 3; flaky
//! tests on 2 % of the days); what they do with a bad version is a fact.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use indicatif::ProgressBar;
use pinion_core::time::Timestamp;
use pinion_proto::v1 as proto;
use pinion_proto::v1::environment_service_client::EnvironmentServiceClient;
use pinion_proto::v1::outcome_service_client::OutcomeServiceClient;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use sha2::{Digest, Sha256};
use tonic::transport::Channel;

use super::facts::BAD;
use super::manager::{PIN_SET, with_token};
use super::{Demo, Error};

/// Requests under way at once.
const CONCURRENCY: usize = 32;
/// The share of environments that use the consumer that the bad version breaks.
const CONSUMERS: f64 = 0.4;
/// The chance that an environment runs its tests in a working hour.
const RUNS: f64 = 0.5;
/// The chance that a run fails on a day on which the environment is broken.
const BROKEN: f64 = 0.8;
/// The chance that a test is flaky on a day.
const FLAKY: f64 = 0.02;
/// Beta(0.45, 2.55): mean 0.15, concentration 3.
const BETA: (f64, f64) = (0.45, 2.55);

/// All environments.
pub(super) struct Fleet {
    pins: PinServiceClient<Channel>,
    outcomes: OutcomeServiceClient<Channel>,
    environments: Vec<Environment>,
    random: fastrand::Rng,
}

struct Environment {
    token: String,
    etag: String,
    has_bad: bool,
    uses_consumer: bool,
    propensity: f64,
    /// The hour of today from which it is broken by itself, and the hour in which a flaky test fails.
    broken_from: Option<u32>,
    flaky_at: Option<u32>,
    was_harmed: bool,
}

/// A run of one environment.
struct Run {
    index: usize,
    reports: Vec<proto::Report>,
}

impl Run {
    fn has_failed(&self) -> bool {
        self.reports
            .iter()
            .any(|report| report.outcome() == proto::Outcome::Failed)
    }
}

impl Fleet {
    /// Enrols the environments, one after the other, so that the seed decides their ids.
    pub(super) async fn join(
        url: &str,
        token: &str,
        demo: &Demo,
        now: Timestamp,
        bar: &ProgressBar,
    ) -> Result<Self, Error> {
        let channel = Channel::from_shared(url.to_owned())
            .map_err(|error| Error::Unexpected(error.to_string()))?
            .connect()
            .await?;
        let mut random = fastrand::Rng::with_seed(demo.seed ^ now.unix_ms().unsigned_abs());
        let mut enrol = EnvironmentServiceClient::new(channel.clone());
        let mut environments = Vec::new();
        for index in 0..demo.environments {
            let platform = [
                "linux-x86_64-py3.8",
                "linux-x86_64-py3.10",
                "macos-arm64-py3.10",
            ][index as usize % 3];
            let request = proto::EnrollRequest {
                pin_set: PIN_SET.to_owned(),
                reporting: true,
                draw_key: String::new(),
                platform: platform.to_owned(),
                repeats: false,
            };
            let response = enrol
                .enroll(with_token(request, token))
                .await
                .map_err(refused("an enrolment"))?
                .into_inner();
            environments.push(Environment {
                token: response.token,
                etag: String::new(),
                has_bad: false,
                uses_consumer: random.f64() < CONSUMERS,
                propensity: beta(&mut random),
                broken_from: None,
                flaky_at: None,
                was_harmed: false,
            });
            bar.inc(1);
        }
        Ok(Self {
            pins: PinServiceClient::new(channel.clone()),
            outcomes: OutcomeServiceClient::new(channel),
            environments,
            random,
        })
    }

    /// Environments that the bad version breaks.
    pub(super) fn consumers(&self) -> usize {
        self.environments
            .iter()
            .filter(|environment| environment.uses_consumer)
            .count()
    }

    /// Environments that failed and would not have without the bad version.
    pub(super) fn harmed(&self) -> usize {
        self.environments
            .iter()
            .filter(|environment| environment.was_harmed)
            .count()
    }

    /// Draws who is broken today, and from when.
    pub(super) fn begin_day(&mut self, _day: u32) {
        for environment in &mut self.environments {
            let is_broken = self.random.f64() < environment.propensity;
            environment.broken_from = is_broken.then(|| self.random.u32(0..8));
            environment.flaky_at = (self.random.f64() < FLAKY).then(|| self.random.u32(0..8));
        }
    }

    /// A day without rollouts, one report each: passed or failed.
    pub(super) async fn ordinary_day(&mut self, now: Timestamp) -> Result<(), Error> {
        self.begin_day(0);
        let mut runs = Vec::new();
        for index in 0..self.environments.len() {
            let environment = &self.environments[index];
            let failed = environment.broken_from.is_some() || environment.flaky_at.is_some();
            let failure = failed.then(|| self.own_failure());
            runs.push(Run {
                index,
                reports: vec![self.report(now, failure)],
            });
        }
        self.send(runs).await
    }

    /// A working hour: some environments pull, run their tests and report.
    pub(super) async fn hour(&mut self, hour: u32, now: Timestamp) -> Result<(), Error> {
        let active: Vec<usize> = (0..self.environments.len())
            .filter(|_| self.random.f64() < RUNS)
            .collect();
        self.pull(&active).await?;
        let mut runs = Vec::new();
        for index in active {
            let by_itself = self.fails_by_itself(index, hour);
            let environment = &mut self.environments[index];
            let by_bad = environment.has_bad && environment.uses_consumer;
            environment.was_harmed |= by_bad && !by_itself;
            let failure = match (by_bad, by_itself) {
                (true, _) => Some((proto::Category::Build, fingerprint(BAD.bad_last_line))),
                (false, true) => Some(self.own_failure()),
                (false, false) => None,
            };
            let mut started = self.report(now, None);
            started.outcome = proto::Outcome::Started.into();
            let ended = self.report(now.plus(Duration::from_secs(60)), failure);
            runs.push(Run {
                index,
                reports: vec![started, ended],
            });
        }
        self.send(runs).await
    }

    fn fails_by_itself(&mut self, index: usize, hour: u32) -> bool {
        let environment = &self.environments[index];
        let (broken_from, flaky_at) = (environment.broken_from, environment.flaky_at);
        let broken = broken_from.is_some_and(|from| hour >= from) && self.random.f64() < BROKEN;
        broken || flaky_at == Some(hour)
    }

    fn own_failure(&mut self) -> (proto::Category, String) {
        let category = match self.random.u32(0..100) {
            0..2 => proto::Category::Install,
            2..30 => proto::Category::Build,
            30..95 => proto::Category::Test,
            _ => proto::Category::Crash,
        };
        (
            category,
            fingerprint(&format!("own failure {}", self.random.u32(0..1000))),
        )
    }

    fn report(
        &mut self,
        at: Timestamp,
        failure: Option<(proto::Category, String)>,
    ) -> proto::Report {
        let mut bytes = [0; 10];
        self.random.fill(&mut bytes);
        let id = uuid::Builder::from_unix_timestamp_millis(at.unix_ms().unsigned_abs(), &bytes)
            .into_uuid();
        let (outcome, category, fingerprint) = match failure {
            None => (
                proto::Outcome::Passed,
                proto::Category::Unspecified,
                String::new(),
            ),
            Some((category, fingerprint)) => (proto::Outcome::Failed, category, fingerprint),
        };
        proto::Report {
            report_id: id.to_string(),
            outcome: outcome.into(),
            category: category.into(),
            fingerprint,
            ..proto::Report::default()
        }
    }

    async fn pull(&mut self, active: &[usize]) -> Result<(), Error> {
        let requests = active.iter().map(|index| {
            let environment = &self.environments[*index];
            let request = proto::GetPinsRequest {
                pin_set: String::new(),
                etag: environment.etag.clone(),
                ..Default::default()
            };
            (*index, with_token(request, &environment.token))
        });
        let client = &self.pins;
        let answers: Vec<(
            usize,
            Result<tonic::Response<proto::GetPinsResponse>, tonic::Status>,
        )> = stream::iter(requests)
            .map(|(index, request)| {
                let mut client = client.clone();
                async move { (index, client.get_pins(request).await) }
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        for (index, answer) in answers {
            let answer = answer.map_err(refused("a pull of pins"))?.into_inner();
            let environment = &mut self.environments[index];
            environment.etag = answer.etag;
            if !answer.unchanged {
                let is_bad =
                    |pin: &proto::Pin| pin.package == BAD.package && pin.version == BAD.bad_version;
                environment.has_bad = answer.pins.iter().any(is_bad);
            }
        }
        Ok(())
    }

    /// Sends the passing runs as they come and the failing ones in order, since evidence may depend on it.
    async fn send(&self, runs: Vec<Run>) -> Result<(), Error> {
        let (failing, passing): (Vec<Run>, Vec<Run>) =
            runs.into_iter().partition(|run| run.has_failed());
        self.send_together(passing, CONCURRENCY).await?;
        self.send_together(failing, 1).await
    }

    async fn send_together(&self, runs: Vec<Run>, concurrency: usize) -> Result<(), Error> {
        let requests = runs.into_iter().map(|Run { index, reports }| {
            with_token(
                proto::ReportOutcomesRequest { reports },
                &self.environments[index].token,
            )
        });
        let mut answers = stream::iter(requests)
            .map(|request| {
                let mut client = self.outcomes.clone();
                async move { client.report_outcomes(request).await }
            })
            .buffered(concurrency);
        while let Some(answer) = answers.next().await {
            answer.map_err(refused("a report"))?;
        }
        Ok(())
    }
}

pub(super) fn refused(what: &'static str) -> impl Fn(tonic::Status) -> Error {
    move |status| {
        Error::Refused(format!(
            "{what}: {} ({:?})",
            status.message(),
            status.code()
        ))
    }
}

fn fingerprint(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}

/// A draw from the Beta distribution [`BETA`], by Jöhnk's method (Metrika 8, 1964).
fn beta(random: &mut fastrand::Rng) -> f64 {
    loop {
        let (x, y) = (
            random.f64().powf(1.0 / BETA.0),
            random.f64().powf(1.0 / BETA.1),
        );
        if x + y > 0.0 && x + y <= 1.0 {
            return x / (x + y);
        }
    }
}
