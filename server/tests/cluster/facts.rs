//! What holds of single faults: a server that is cut off, one that leads and is paused, and restarts one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pinion_client::{ConnectOptions, Connection, Error};
use pinion_proto::v1 as proto;
use pinion_proto::v1::rollout_service_client::RolloutServiceClient;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::check::{check_repository, settled};
use crate::link::Mood;
use crate::machines::{Machines, PACKAGE, enroll, report};
use crate::support::cluster::has_etcd;
use crate::support::{SET, with_token};
use crate::{ALONE, eventually};

const ENVIRONMENTS: usize = 16;
/// How long a server may take to refuse what it cannot store: three times what etcd has for an answer, and some.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(40);

impl Machines {
    async fn start_rollout(&self, server: usize) -> String {
        let request = proto::CreateRolloutRequest {
            pin_set: SET.to_owned(),
            candidates: vec![proto::Candidate {
                package: PACKAGE.to_owned(),
                version: "1.1".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut client = self.servers[server].rollouts();
        let created = client.create_rollout(with_token(request, &self.manager));
        created.await.unwrap().into_inner().rollout.unwrap().id
    }

    async fn promote(&self, server: usize, id: &str, share: f64) -> Result<(), Status> {
        let request = proto::PromoteRolloutRequest {
            id: id.to_owned(),
            share,
            ..Default::default()
        };
        let mut client = self.servers[server].rollouts();
        let promoted = client.promote_rollout(with_token(request, &self.manager));
        promoted.await.map(drop)
    }

    async fn pause(&self, server: usize, id: &str) -> Result<(), Status> {
        let request = proto::PauseRolloutRequest {
            id: id.to_owned(),
            ..Default::default()
        };
        let mut client = self.servers[server].rollouts();
        let paused = client.pause_rollout(with_token(request, &self.manager));
        paused.await.map(drop)
    }

    async fn roll_back(&self, server: usize, id: &str) -> Result<(), Status> {
        let request = proto::RollBackRolloutRequest {
            id: id.to_owned(),
            ..Default::default()
        };
        let mut client = self.servers[server].rollouts();
        let back = client.roll_back_rollout(with_token(request, &self.manager));
        back.await.map(drop)
    }

    /// The actions of all decisions about a rollout, as this server tells them.
    async fn actions(&self, server: usize, id: &str) -> Vec<String> {
        let request = proto::ListDecisionsRequest {
            rollout: id.to_owned(),
            ..Default::default()
        };
        let mut client = self.servers[server].rollouts();
        let list = client.list_decisions(with_token(request, &self.manager));
        let decisions = list.await.unwrap().into_inner().decisions;
        decisions.into_iter().map(|one| one.action).collect()
    }

    /// How many environments this server gives the candidate.
    async fn exposed(&self, server: usize) -> usize {
        let mut count = 0;
        for environment in &self.environments {
            let pins = self.servers[server].pins(&environment.token).await.unwrap();
            let is_candidate = |pin: &proto::Pin| pin.package == PACKAGE && pin.version == "1.1";
            count += usize::from(pins.pins.iter().any(is_candidate));
        }
        count
    }

    /// A rollout that everybody is given, at every server.
    async fn given_to_all(&self) -> String {
        let id = self.start_rollout(0).await;
        eventually("it can be promoted", PATIENCE, async || {
            self.promote(1, &id, 1.0).await.is_ok()
        })
        .await;
        for server in 0..self.servers.len() {
            eventually("everybody has it", PATIENCE, async || {
                self.exposed(server).await == ENVIRONMENTS
            })
            .await;
        }
        id
    }

    async fn check(&self) {
        let stored = settled(&self.store).await;
        stored.check_histories();
        check_repository(&stored, self.repository());
    }
}

/// What was refused, and how long that took.
async fn refused(asked: impl Future<Output = Result<(), Status>>) -> (Status, Duration) {
    let begun = Instant::now();
    (asked.await.unwrap_err(), begun.elapsed())
}

async fn check_cut_off(machines: &Machines, cut: usize, mood: Mood) {
    let id = machines.given_to_all().await;
    let (server, other) = (&machines.servers[cut], (cut + 1) % 3);
    let token = &machines.environments[0].token;
    server.link(mood);
    let (report, pause) = tokio::join!(
        refused(server.report(token)),
        refused(machines.pause(cut, &id))
    );
    for (status, took) in [report, pause] {
        println!("{mood:?}: refused after {took:.1?}: {}", status.message());
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(took < REFUSAL_TIME_MAX, "{took:?}");
    }
    // The others go on, whoever led before.
    eventually("the others go on", PATIENCE, async || {
        machines.roll_back(other, &id).await.is_ok()
    })
    .await;
    eventually("it says how old what it serves is", PATIENCE, async || {
        server.pins(token).await.unwrap().age.is_some()
    })
    .await;
    assert_eq!(
        machines.exposed(cut).await,
        ENVIRONMENTS,
        "as was known last"
    );
    assert_eq!(machines.exposed(other).await, 0, "as is decided");
    assert_eq!(server.gauge("pinion_leads").await, Some(0));
    assert!(server.gauge("pinion_snapshot_age_seconds").await >= Some(10));
    let path = format!("/pin-sets/{SET}/constraints.txt");
    let (headers, text) = server.page(&path, Some(token)).await.unwrap();
    let age: u64 = headers["age"].to_str().unwrap().parse().unwrap();
    assert!(age >= 10 && text.contains("==1.1"), "{age}: {text}");
    let (_, ready) = server.page("/readyz", None).await.unwrap();
    assert!(
        ready.starts_with("ready; cut off from the store"),
        "{ready}"
    );

    server.link(Mood::Open);
    let took = eventually("it catches up by itself", PATIENCE, async || {
        let pins = server.pins(token).await.unwrap();
        let current = server.report(token).await.is_ok() && pins.age.is_none();
        current && machines.exposed(cut).await == 0
    })
    .await;
    println!("{mood:?}: caught up after {took:.1?}");
    let actions = machines.actions(cut, &id).await;
    let backs = actions.iter().filter(|action| *action == "roll back");
    assert_eq!(backs.count(), 1, "{actions:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_cut_off_serves_what_it_knew_and_decides_nothing() {
    if !has_etcd() {
        return;
    }
    let _alone = ALONE.lock().await;
    let machines = Machines::start(ENVIRONMENTS).await;
    let leader = machines.leader().await;
    check_cut_off(&machines, leader, Mood::Silent).await;
    machines.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_connections_end_is_cut_off_in_the_same_way() {
    if !has_etcd() {
        return;
    }
    let _alone = ALONE.lock().await;
    let machines = Machines::start(ENVIRONMENTS).await;
    let leader = machines.leader().await;
    check_cut_off(&machines, leader, Mood::Cut).await;
    machines.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_wants_to_write_after_its_lease_has_ended_is_refused() {
    if !has_etcd() {
        return;
    }
    let _alone = ALONE.lock().await;
    let machines = Machines::start(ENVIRONMENTS).await;
    let id = machines.given_to_all().await;
    let paused = machines.leader().await;
    let other = (paused + 1) % 3;
    // Connected before, so that what is asked waits in the machine of the one that is paused.
    let channel = Endpoint::from_shared(machines.servers[paused].url.clone());
    let channel = channel.unwrap().connect().await.unwrap();
    machines.servers[paused].pause();
    let request = proto::RollBackRolloutRequest {
        id: id.clone(),
        ..Default::default()
    };
    let request = with_token(request, &machines.manager);
    let asked = tokio::spawn(async move {
        let mut client = RolloutServiceClient::new(channel);
        client.roll_back_rollout(request).await.map(drop)
    });
    let begun = Instant::now();
    let leader = machines.leader().await;
    println!("another server led after {:.1?}", begun.elapsed());
    assert_ne!(leader, paused);
    machines.pause(other, &id).await.unwrap();
    let before = machines.actions(other, &id).await;
    assert_eq!(before.last().unwrap(), "pause");

    machines.servers[paused].resume();
    let answer = asked.await.unwrap();
    println!("what it was asked meanwhile: {answer:?}");
    assert_eq!(machines.leader().await, leader, "it leads no more");
    let after = machines.actions(other, &id).await;
    let more = &after[before.len()..];
    match answer {
        // It has asked the one that leads.
        Ok(()) => assert_eq!(more, ["roll back"]),
        Err(status) => {
            // It knew that it leads no more, or found it out when it wrote.
            let codes = [Code::Unavailable, Code::Aborted];
            assert!(codes.contains(&status.code()), "{status}");
            assert!(more.is_empty(), "{more:?}");
        }
    }
    let said = machines.servers[paused].said();
    assert!(said.contains("another server leads now"), "it knows");
    machines.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_enrols_at_one_server_is_known_at_the_others_at_once() {
    if !has_etcd() {
        return;
    }
    let _alone = ALONE.lock().await;
    let machines = Machines::start(1).await;
    for server in &machines.servers {
        // What takes a while is the way from the store to the others.
        server.link(Mood::Slow(Duration::from_millis(50)));
    }
    for number in 0..10 {
        let team = &machines.team;
        let environment = enroll(&machines.servers[number % 3].channel, team).await;
        let other = &machines.servers[(number + 1) % 3];
        other.pins(&environment.token).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..20 {
        let stranger = machines.servers[0].pins("pin_stranger").await;
        assert_eq!(stranger.unwrap_err().code(), Code::Unauthenticated);
    }
}

/// Clients that know all servers, and what they asked in vain.
struct Clients {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    everybody: JoinSet<Vec<String>>,
}

impl Clients {
    /// One for each environment that pulls and reports; and where `steers`, one that pauses and resumes a rollout.
    fn begin(machines: &Machines, steers: Option<&str>) -> Self {
        let urls: Vec<&str> = machines
            .servers
            .iter()
            .map(|one| one.url.as_str())
            .collect();
        let connect = |token: &str| ConnectOptions::new(urls.join(",")).token(token).open();
        let mut clients = Self {
            over: Arc::default(),
            asked: Arc::default(),
            everybody: JoinSet::new(),
        };
        for environment in &machines.environments {
            let connection = connect(&environment.token).unwrap();
            clients.spawn(move |_| pull_and_report(connection.clone()));
        }
        if let Some(id) = steers {
            let connection = connect(&machines.manager).unwrap();
            let id = id.to_owned();
            clients.spawn(move |number| steer(connection.clone(), id.clone(), number));
        }
        clients
    }

    fn spawn<F>(&mut self, ask: impl Fn(usize) -> F + Send + 'static)
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (over, asked) = (Arc::clone(&self.over), Arc::clone(&self.asked));
        self.everybody.spawn(async move {
            let mut failed = Vec::new();
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                if let Err(error) = ask(number).await {
                    failed.push(error.to_string());
                }
                number += 1;
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            failed
        });
    }

    /// What was asked in vain.
    async fn end(self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        let failed = self.everybody.join_all().await.concat();
        let asked = self.asked.load(Ordering::Relaxed);
        println!("{} of {asked} failed", failed.len());
        assert!(asked > 10 * ENVIRONMENTS, "the load was no load");
        failed
    }
}

async fn pull_and_report(connection: Connection) -> Result<(), Error> {
    let pull = proto::GetPinsRequest {
        pin_set: SET.to_owned(),
        ..Default::default()
    };
    let mut pins = connection.pins();
    connection.answer(pins.get_pins(pull)).await?;
    let reports = proto::ReportOutcomesRequest {
        reports: vec![report(false)],
    };
    let mut outcomes = connection.outcomes();
    let sent = connection.answer(outcomes.report_outcomes(reports)).await;
    sent.map(drop)
}

/// Pauses a rollout, and resumes it the next time.
async fn steer(connection: Connection, id: String, number: usize) -> Result<(), Error> {
    let mut rollouts = connection.rollouts();
    if number.is_multiple_of(2) {
        let pause = proto::PauseRolloutRequest {
            id,
            ..Default::default()
        };
        let paused = connection.answer(rollouts.pause_rollout(pause)).await;
        return paused.map(drop);
    }
    let resume = proto::ResumeRolloutRequest {
        id,
        ..Default::default()
    };
    let resumed = connection.answer(rollouts.resume_rollout(resume)).await;
    resumed.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_restarted_one_by_one_and_no_request_fails() {
    if !has_etcd() {
        return;
    }
    let _alone = ALONE.lock().await;
    let mut machines = Machines::start(ENVIRONMENTS).await;
    let id = machines.given_to_all().await;
    let clients = Clients::begin(&machines, Some(&id));
    for number in 0..machines.servers.len() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let server = &mut machines.servers[number];
        server.stop().await;
        server.until_ready().await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let failed = clients.end().await;
    assert!(failed.is_empty(), "{failed:#?}");
    machines.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_killed_one_by_one_and_no_pull_and_no_report_fails() {
    if !has_etcd() {
        return;
    }
    let _alone = ALONE.lock().await;
    let mut machines = Machines::start(ENVIRONMENTS).await;
    let clients = Clients::begin(&machines, None);
    for number in 0..machines.servers.len() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let server = &mut machines.servers[number];
        server.kill();
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.until_ready().await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let failed = clients.end().await;
    assert!(failed.is_empty(), "{failed:#?}");
    machines.check().await;
}
