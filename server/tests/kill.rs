//! `kill -9` of the server, and power that fails, again and again, under load: nothing that was acknowledged is lost,
//! nothing counts twice.
//!
//! 50 kills and 30 power cuts; `PINION_KILLS` and `PINION_CUTS` ask for other numbers, `PINION_SEED` for another sequence.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[cfg(target_os = "linux")]
#[path = "kill/power_cut.rs"]
mod power_cut;
mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pinion_core::time::Timestamp;
use pinion_proto::v1 as proto;
use pinion_proto::v1::admin_service_client::AdminServiceClient;
use pinion_proto::v1::environment_service_client::EnvironmentServiceClient;
use pinion_proto::v1::outcome_service_client::OutcomeServiceClient;
use pinion_proto::v1::pin_set_service_client::PinSetServiceClient;
use pinion_proto::v1::rollout_service_client::RolloutServiceClient;
use support::{SET, uuid_at, with_token};
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

const ENVIRONMENTS: usize = 32;

/// The server as a process of its own.
struct Process(Child);

impl Process {
    /// Starts it and returns its address.
    fn start(dir: &Path, environment: &[(&str, PathBuf)]) -> (Self, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_piniond"))
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            .envs(environment.iter().cloned())
            .env("RUST_LOG", "error")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut seen = Vec::new();
        let address = loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("piniond ended: {seen:?}"))
                .expect("text");
            if let Some((_, address)) = line.split_once("listens on ") {
                break address.to_owned();
            }
            seen.push(line);
        };
        // What it says later is shown with the test's own output.
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| eprintln!("piniond: {line}"))
        });
        (Self(child), address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL by process id; it may have ended already.
        let _ = self.0.kill();
        self.0.wait().expect("was our child");
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .map_or(default, |text| text.parse().expect("a number"))
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).expect("before the year 292 million"))
}

fn channel(address: &str) -> Channel {
    Endpoint::from_shared(address.to_owned())
        .expect("a URL")
        .connect_timeout(Duration::from_secs(1))
        .timeout(Duration::from_secs(5))
        .connect_lazy()
}

/// One environment: sends a report, and the same again until it is acknowledged. Every third run fails.
async fn report(
    token: String,
    address: watch::Receiver<String>,
    done: Arc<AtomicBool>,
) -> Vec<proto::Report> {
    let mut acknowledged = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let outcome = if acknowledged.len() % 3 == 2 {
            proto::Outcome::Failed
        } else {
            proto::Outcome::Passed
        };
        let report = proto::Report {
            report_id: uuid_at(now()),
            outcome: outcome.into(),
            category: if outcome == proto::Outcome::Failed {
                proto::Category::Test.into()
            } else {
                0
            },
            ..Default::default()
        };
        loop {
            let to = address.borrow().clone();
            let request = proto::ReportOutcomesRequest {
                reports: vec![report.clone()],
            };
            let sent = OutcomeServiceClient::new(channel(&to))
                .report_outcomes(with_token(request, &token))
                .await;
            match sent {
                Ok(_) => {
                    acknowledged.push(report);
                    break;
                }
                Err(status) => {
                    use tonic::Code::{Cancelled, DeadlineExceeded, Unavailable, Unknown};
                    assert!(
                        [Cancelled, DeadlineExceeded, Unavailable, Unknown]
                            .contains(&status.code()),
                        "{status}"
                    );
                    if done.load(Ordering::Relaxed) {
                        return acknowledged;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
    acknowledged
}

/// A release manager: pauses and resumes, and remembers the revision of every step that was acknowledged.
async fn manage(
    token: String,
    id: String,
    address: watch::Receiver<String>,
    done: Arc<AtomicBool>,
) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let mut client = RolloutServiceClient::new(channel(&address.borrow().clone()));
        let pause = proto::PauseRolloutRequest {
            id: id.clone(),
            ..Default::default()
        };
        if let Ok(response) = client.pause_rollout(with_token(pause, &token)).await {
            acknowledged.push(response.into_inner().rollout.expect("a rollout").revision);
        }
        let resume = proto::ResumeRolloutRequest {
            id: id.clone(),
            ..Default::default()
        };
        if let Ok(response) = client.resume_rollout(with_token(resume, &token)).await {
            acknowledged.push(response.into_inner().rollout.expect("a rollout").revision);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    acknowledged
}

async fn prepare(address: &str, admin: &str) -> (String, Vec<String>, String) {
    let channel = channel(address);
    let mut tokens = AdminServiceClient::new(channel.clone());
    let mut token = async |name: &str, role: proto::Role| {
        let request = proto::CreateTokenRequest {
            name: name.to_owned(),
            role: role.into(),
            ..Default::default()
        };
        tokens
            .create_token(with_token(request, admin))
            .await
            .unwrap()
            .into_inner()
            .secret
    };
    let manager = token("manager", proto::Role::ReleaseManager).await;
    let team = token("team", proto::Role::Environment).await;
    let always = proto::Calendar {
        days: (1..=7).collect(),
        opens_minute: Some(0),
        closes_minute: Some(1440),
        ..Default::default()
    };
    let policy = proto::Policy {
        calendar: Some(always),
        ..Default::default()
    };
    let mut sets = PinSetServiceClient::new(channel.clone());
    let create = proto::CreatePinSetRequest {
        name: SET.to_owned(),
        ecosystem: 1,
        policy: Some(policy),
        source: None,
        track: false,
    };
    sets.create_pin_set(with_token(create, &manager))
        .await
        .unwrap();
    let import = proto::ImportPinsRequest {
        name: SET.to_owned(),
        content: "requests==1.0\n".to_owned(),
        ..Default::default()
    };
    sets.import_pins(with_token(import, &manager))
        .await
        .unwrap();
    let mut environments = Vec::new();
    for _ in 0..ENVIRONMENTS {
        let request = proto::EnrollRequest {
            pin_set: SET.to_owned(),
            reporting: true,
            ..Default::default()
        };
        let enrolled = EnvironmentServiceClient::new(channel.clone())
            .enroll(with_token(request, &team))
            .await
            .unwrap();
        environments.push(enrolled.into_inner().token);
    }
    let create = proto::CreateRolloutRequest {
        pin_set: SET.to_owned(),
        candidates: vec![proto::Candidate {
            package: "requests".to_owned(),
            version: "2.0".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut rollouts = RolloutServiceClient::new(channel);
    let rollout = rollouts
        .create_rollout(with_token(create, &manager))
        .await
        .unwrap()
        .into_inner()
        .rollout
        .unwrap();
    // The pilot begins by itself and lasts an hour: two of 32 in expectation, and everybody fails now and then, so
    // nothing rolls it back meanwhile.
    for _ in 0..100 {
        let get = proto::GetRolloutRequest {
            id: rollout.id.clone(),
        };
        let now = rollouts
            .get_rollout(with_token(get, &manager))
            .await
            .unwrap()
            .into_inner()
            .rollout
            .unwrap();
        if now.state() == proto::RolloutState::Baking {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (manager, environments, rollout.id)
}

/// What is done to the files of a server that was killed.
trait Ending {
    /// With what the server is started.
    fn environment(&self, dir: &Path) -> Vec<(&'static str, PathBuf)>;
    /// What becomes of its files.
    fn end(&self, dir: &Path, random: &mut fastrand::Rng);
}

/// The system has everything that was written.
struct Killed;

impl Ending for Killed {
    fn environment(&self, _: &Path) -> Vec<(&'static str, PathBuf)> {
        Vec::new()
    }

    fn end(&self, _: &Path, _: &mut fastrand::Rng) {}
}

#[cfg(target_os = "linux")]
impl Ending for power_cut::Disk {
    fn environment(&self, dir: &Path) -> Vec<(&'static str, PathBuf)> {
        power_cut::Disk::environment(self, dir).into()
    }

    fn end(&self, dir: &Path, random: &mut fastrand::Rng) {
        let parts = random.bool();
        self.cut(dir, parts, random);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_counts_twice() {
    endure(number("PINION_KILLS", 50), &Killed).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_power_fails() {
    let Some(disk) = power_cut::Disk::new() else {
        assert!(
            std::env::var_os("PINION_REQUIRE_PARTS").is_none(),
            "there is no C compiler"
        );
        println!("skipped: there is no C compiler, `cc`");
        return;
    };
    endure(number("PINION_CUTS", 30), &disk).await;
}

async fn endure(endings: u64, ending: &impl Ending) {
    let seed = number("PINION_SEED", fastrand::u64(..));
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    ending.end(dir.path(), &mut random);
    let start = || Process::start(dir.path(), &ending.environment(dir.path()));
    let (process, first) = start();
    let admin = std::fs::read_to_string(dir.path().join("first-admin-token")).unwrap();
    let (manager, environments, id) = prepare(&first, admin.trim()).await;

    let (addresses, address) = watch::channel(first);
    let done = Arc::new(AtomicBool::new(false));
    let mut reporting = Vec::new();
    for token in &environments {
        reporting.push(tokio::spawn(report(
            token.clone(),
            address.clone(),
            Arc::clone(&done),
        )));
    }
    let managing = tokio::spawn(manage(
        manager.clone(),
        id.clone(),
        address.clone(),
        Arc::clone(&done),
    ));
    let mut process = Some(process);
    for _ in 0..endings {
        tokio::time::sleep(Duration::from_millis(random.u64(20..250))).await;
        drop(process.take());
        ending.end(dir.path(), &mut random);
        let (started, address) = start();
        process = Some(started);
        addresses.send_replace(address);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    done.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for task in reporting {
        acknowledged.push(task.await.unwrap());
    }
    let steps = managing.await.unwrap();

    // Once more, so that everything comes from the disk.
    drop(process.take());
    ending.end(dir.path(), &mut random);
    let (_process, address) = start();
    let channel = channel(&address);
    let total: usize = acknowledged.iter().map(Vec::len).sum();
    for (token, reports) in environments.iter().zip(&acknowledged) {
        for reports in reports.chunks(100) {
            let request = proto::ReportOutcomesRequest {
                reports: reports.to_vec(),
            };
            let again = OutcomeServiceClient::new(channel.clone())
                .report_outcomes(with_token(request, token))
                .await;
            let again = again.unwrap().into_inner();
            assert_eq!(
                (again.accepted, again.repeated as usize),
                (0, reports.len()),
                "an acknowledged report was lost"
            );
        }
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut rollouts = RolloutServiceClient::new(channel);
    let get = proto::GetRolloutRequest { id: id.clone() };
    let rollout = rollouts
        .get_rollout(with_token(get, &manager))
        .await
        .unwrap()
        .into_inner()
        .rollout
        .unwrap();
    let evidence = rollout.evidence.expect("evidence");
    let failed = acknowledged
        .iter()
        .filter(|reports| {
            reports
                .iter()
                .any(|r| r.outcome() == proto::Outcome::Failed)
        })
        .count();
    let reported = acknowledged
        .iter()
        .filter(|reports| !reports.is_empty())
        .count();
    let (exposed, control) = (evidence.exposed.unwrap(), evidence.control.unwrap());
    assert_eq!(
        (exposed.failed + control.failed) as usize,
        failed,
        "each failing environment counts once"
    );
    assert_eq!((exposed.reporting + control.reporting) as usize, reported);

    let mut decisions = Vec::new();
    let mut page_token = String::new();
    loop {
        let list = proto::ListDecisionsRequest {
            rollout: id.clone(),
            page_size: 1000,
            page_token,
        };
        let page = rollouts
            .list_decisions(with_token(list, &manager))
            .await
            .unwrap()
            .into_inner();
        decisions.extend(page.decisions);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let sequences: Vec<u64> = decisions.iter().map(|decision| decision.sequence).collect();
    assert_eq!(
        sequences,
        (1..=decisions.len() as u64).collect::<Vec<_>>(),
        "decisions form one history"
    );
    assert!(
        decisions
            .windows(2)
            .all(|pair| pair[1].previous_hash == pair[0].hash)
    );
    let lost: Vec<&u64> = steps
        .iter()
        .filter(|step| !sequences.contains(step))
        .collect();
    assert!(
        lost.is_empty(),
        "acknowledged decisions were lost: {lost:?}"
    );
    println!(
        "{endings} times: {total} acknowledged reports and {} acknowledged decisions are all there, once",
        steps.len()
    );
    assert!(
        total > ENVIRONMENTS && !steps.is_empty(),
        "the load was no load"
    );
}
