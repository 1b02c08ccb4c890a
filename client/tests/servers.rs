//! `pinion` and its SDK against several real servers on one store, of which some fail in every way that servers do.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "servers/relay.rs"]
mod relay;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinion_client::{ConnectOptions, Connection, Error, Pins, Run, reports, v1};
use pinion_server::app::{App, World};
use pinion_server::config::Config;
use pinion_server::store::memory::MemoryStore;
use pinion_server::store::records::decode_seen;
use pinion_server::store::{PAGE_MAX, Store};
use tempfile::{TempDir, tempdir};
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tower::util::MapResponseLayer;

use relay::{Mood, Relay, eventually};

/// What the failure of one of three servers may cost a command.
const COST_MAX: Duration = Duration::from_secs(1);

/// Three servers on one store, each behind a relay, and folders in which nothing of this machine's owner is found.
struct Fleet {
    dir: TempDir,
    store: Arc<dyn Store>,
    apps: Vec<App>,
    relays: Vec<Relay>,
    manager: String,
    team: String,
}

impl Fleet {
    async fn new() -> Self {
        let dir = tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let (mut apps, mut relays) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let config = Config {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                data_dir: dir.path().join(format!("server-{number}")),
                ..Config::default()
            };
            let app = App::start_beside(Arc::clone(&store), &config, World::default()).await;
            let app = app.unwrap();
            relays.push(Relay::to(app.address).await);
            apps.push(app);
        }
        let mut fleet = Self {
            dir,
            store,
            apps,
            relays,
            manager: String::new(),
            team: String::new(),
        };
        fleet.set_up().await;
        fleet
    }

    /// Gives tokens, and makes the pin set `mine`.
    async fn set_up(&mut self) {
        let admin = self.apps.iter().find_map(|app| app.first_admin.clone());
        let admin = admin.unwrap();
        let desk = self.folder("desk");
        let first = self.relays[0].url();
        let said = async |token: &str, words: &str| {
            let (code, out, err) = said(self.pinion(&desk, &first, token, words)).await;
            assert_eq!(code, 0, "{words}: {err}");
            out.trim().to_owned()
        };
        let manager = said(&admin, "token create me --role release-manager").await;
        let team = said(&admin, "token create team --role environment").await;
        std::fs::write(desk.join("pins.txt"), "requests==2.31.0\nurllib3==2.0.7\n").unwrap();
        said(&manager, "pin-set create mine --ecosystem pypi").await;
        said(&manager, "pin-set import mine pins.txt").await;
        (self.manager, self.team) = (manager, team);
        for app in &self.apps {
            let connection = self.connection(&format!("http://{}", app.address));
            eventually("every server knows the pin set", async || {
                list(&connection).await.is_ok()
            })
            .await;
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// The URLs of all of them.
    fn urls(&self) -> String {
        let urls: Vec<String> = self.relays.iter().map(Relay::url).collect();
        urls.join(",")
    }

    fn options(&self, servers: &str) -> ConnectOptions {
        ConnectOptions::new(servers).token(&self.manager)
    }

    fn connection(&self, servers: &str) -> Connection {
        self.options(servers).open().unwrap()
    }

    /// The relay of the server that a connection asks first.
    fn first_of(&self, connection: &Connection) -> &Relay {
        let first = connection.answering();
        let mut relays = self.relays.iter();
        relays.find(|relay| relay.url() == first).unwrap()
    }

    fn pinion(&self, folder: &Path, servers: &str, token: &str, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinion"));
        command
            .args(words.split(' '))
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("PINION_SERVER", servers)
            .stdin(Stdio::null());
        if !token.is_empty() {
            command.env("PINION_TOKEN", token);
        }
        command
    }

    /// A checkout that has joined all of the servers, reports, and has its pins.
    async fn checkout(&self, name: &str) -> PathBuf {
        let folder = self.folder(name);
        let join = "join --pin-set mine --accept-reporting";
        let (code, _, err) = said(self.pinion(&folder, &self.urls(), &self.team, join)).await;
        assert_eq!(code, 0, "{err}");
        eventually("every server knows the checkout", async || {
            let mut known = 0;
            for _ in 0..6 {
                let sync = self.pinion(&folder, "", "", "sync --no-apply");
                known += usize::from(said(sync).await.0 == 0);
            }
            known == 6
        })
        .await;
        folder
    }

    /// The ids of the reports that were counted, once nothing waits to be; one that was counted twice is there twice.
    async fn counted(&self) -> Vec<u64> {
        let entries = async |prefix: &str| {
            let page = self.store.page(prefix, None, PAGE_MAX).await.unwrap();
            page.entries
        };
        eventually("nothing waits to be counted", async || {
            entries("j/").await.is_empty()
        })
        .await;
        let records = entries("seen/").await;
        let counted = records
            .iter()
            .flat_map(|entry| decode_seen(&entry.key, &entry.value).unwrap());
        counted.collect()
    }

    /// An environment of its own that reports.
    async fn enroll(&self) -> v1::EnrollResponse {
        let connection = ConnectOptions::new(self.relays[0].url()).token(&self.team);
        let connection = connection.open().unwrap();
        let request = v1::EnrollRequest {
            pin_set: "mine".to_owned(),
            reporting: true,
            platform: "linux".to_owned(),
            ..Default::default()
        };
        let mut client = connection.environments();
        let enrolled = connection.answer(client.enroll(request)).await.unwrap();
        for relay in &self.relays {
            let options = ConnectOptions::new(relay.url()).token(&enrolled.token);
            let connection = options.open().unwrap();
            eventually("every server knows the environment", async || {
                Pins::get(&connection, None).await.is_ok()
            })
            .await;
        }
        enrolled
    }
}

async fn list(connection: &Connection) -> Result<Vec<v1::Rollout>, Error> {
    let mut client = connection.rollouts();
    let request = v1::ListRolloutsRequest::default();
    let answer = connection.answer(client.list_rollouts(request)).await?;
    Ok(answer.rollouts)
}

async fn start(connection: &Connection, version: &str) -> Result<v1::Rollout, Error> {
    let mut client = connection.rollouts();
    let request = v1::CreateRolloutRequest {
        pin_set: "mine".to_owned(),
        candidates: vec![v1::Candidate {
            package: "requests".to_owned(),
            version: version.to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = connection.answer(client.create_rollout(request)).await?;
    Ok(answer.rollout.unwrap_or_default())
}

/// Runs it and returns exit code, stdout and stderr.
async fn said(mut command: Command) -> (i32, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let Output {
        status,
        stdout,
        stderr,
    } = output.await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap(), text(&stdout), text(&stderr))
}

/// A port on which nobody listens.
fn closed() -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A server that answers everything with UNAVAILABLE.
fn unavailable() -> String {
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = incoming.local_addr().unwrap();
    let refusing = |_: http::Response<Body>| Status::unavailable("it stops").into_http::<Body>();
    let server = Server::builder()
        .layer(MapResponseLayer::new(refusing))
        .add_routes(Routes::default())
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    format!("http://{address}")
}

/// What `sync`, `report` and `rollout list` take, each three times, with every one of them having to succeed.
async fn commands(fleet: &Fleet, checkout: &Path, servers: &str) -> Duration {
    moved(fleet, servers);
    let mut most = Duration::ZERO;
    for _ in 0..3 {
        for (token, words) in [
            ("", "sync --no-apply --fresh"),
            ("", "report --report report.xml"),
            (fleet.manager.as_str(), "rollout list"),
        ] {
            let begun = Instant::now();
            let (code, _, err) = said(fleet.pinion(checkout, servers, token, words)).await;
            assert_eq!(code, 0, "{words}: {err}");
            assert!(!err.contains("not reported"), "{words}: {err}");
            most = most.max(begun.elapsed());
        }
    }
    most
}

/// Points the one checkout that has joined at other servers.
fn moved(fleet: &Fleet, servers: &str) {
    let state = fleet.dir.path().join(".local/state/pinion");
    let mut folders = std::fs::read_dir(state).unwrap().flatten();
    let path = folders.next().unwrap().path().join("membership.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["server"] = servers.into();
    std::fs::write(&path, value.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_servers_that_dies_costs_a_command_less_than_a_second_and_loses_nothing() {
    let fleet = Fleet::new().await;
    let checkout = fleet.checkout("checkout").await;
    let report = r#"<testsuite tests="1"><testcase classname="a" name="b"/></testsuite>"#;
    std::fs::write(checkout.join("report.xml"), report).unwrap();
    let usual = commands(&fleet, &checkout, &fleet.urls()).await;

    // In the middle of every command that begins with it.
    fleet.relays[0].turn(Mood::LosingAnswers);
    let dying = commands(&fleet, &checkout, &fleet.urls()).await;
    fleet.relays[0].kill();
    let dead = commands(&fleet, &checkout, &fleet.urls()).await;
    let servers = format!("{},{},{}", unavailable(), closed(), fleet.relays[1].url());
    let other = commands(&fleet, &checkout, &servers).await;
    println!("usual {usual:?}, dying {dying:?}, dead {dead:?}, unavailable {other:?}");
    for with_failures in [dying, dead, other] {
        assert!(
            with_failures < usual + COST_MAX,
            "{with_failures:?} and not {usual:?}"
        );
    }
    let counted = fleet.counted().await;
    // That a run began, and how it ended.
    let reported = 4 * 3 * 2;
    assert_eq!(counted.len(), reported, "each report");
    let different: BTreeSet<u64> = counted.into_iter().collect();
    assert_eq!(different.len(), reported, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_its_server_whatever_that_dies_of() {
    let fleet = Fleet::new().await;
    let environment = fleet.enroll().await;
    for mood in [Some(Mood::LosingAnswers), Some(Mood::Frozen), None] {
        let options = fleet
            .options(&fleet.urls())
            .deadline(Duration::from_secs(3));
        let connection = options.token(&environment.token).open().unwrap();
        let pins = Pins::get(&connection, None).await.unwrap().unwrap();
        let first = fleet.first_of(&connection);
        match mood {
            Some(mood) => first.turn(mood),
            None => first.kill(),
        }
        let begun = Instant::now();
        let run = Run::of(&pins);
        let taken = reports::send(&connection, &[run.started()]).await.unwrap();
        assert_eq!(taken.accepted + taken.repeated, 1);
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(1500), "{mood:?}: {took:?}");
        assert_ne!(connection.answering(), first.url());
        // It is not asked again for a while.
        let begun = Instant::now();
        assert!(
            Pins::get(&connection, Some(&pins.etag))
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            begun.elapsed() < Duration::from_millis(700),
            "{:?}",
            begun.elapsed()
        );
        first.turn(Mood::Well);
    }
    assert_eq!(fleet.counted().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_answer_was_lost_is_sent_again_and_counted_once() {
    let fleet = Fleet::new().await;
    let environment = fleet.enroll().await;
    let options = ConnectOptions::new(fleet.urls()).token(&environment.token);
    let connection = options.open().unwrap();
    let first = fleet.first_of(&connection);
    first.turn(Mood::LosingAnswers);
    let report = Run::with("", &[]).started();
    let taken = reports::send(&connection, &[report]).await.unwrap();
    assert_eq!(taken.accepted + taken.repeated, 1);
    assert_eq!(first.lost(), 1, "the first had taken it");
    assert_eq!(fleet.counted().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_whose_answer_was_lost_is_started_once_and_the_error_says_how_to_find_out() {
    let fleet = Fleet::new().await;
    let desk = fleet.folder("desk");
    for relay in &fleet.relays {
        relay.turn(Mood::LosingAnswers);
    }
    let start = "rollout start mine requests==2.32.0";
    let start = fleet.pinion(&desk, &fleet.urls(), &fleet.manager, start);
    let (code, out, err) = said(start).await;
    assert_eq!(code, 5, "{out}{err}");
    assert!(
        err.contains("no server answered: `http://127.0.0.1:"),
        "{err}"
    );
    assert!(
        err.contains("may have been done") && err.contains("`pinion rollout list`"),
        "{err}"
    );
    let lost: usize = fleet.relays.iter().map(Relay::lost).sum();
    assert_eq!(lost, 1, "asked once");

    for relay in &fleet.relays {
        relay.turn(Mood::Well);
    }
    let look = fleet.pinion(&desk, &fleet.urls(), &fleet.manager, "rollout list");
    let (code, out, err) = said(look).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.matches("ro-").count(), 1, "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_done_twice_goes_on_where_a_server_was_not_even_reached() {
    let fleet = Fleet::new().await;
    let servers = format!("{},{},{}", closed(), closed(), fleet.relays[2].url());
    let rollout = start(&fleet.connection(&servers), "2.32.0").await.unwrap();
    assert!(!rollout.id.is_empty());

    // Reached, and not able to: it is for the caller to look.
    let connection = fleet.connection(&unavailable());
    let refused = start(&connection, "2.33.0").await.unwrap_err();
    assert!(refused.to_string().contains("it stops"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_none_answers_each_is_named_with_what_it_said_and_no_secret() {
    let fleet = Fleet::new().await;
    let (away, stopping) = (closed(), unavailable());
    fleet.relays[0].turn(Mood::Frozen);
    let frozen = fleet.relays[0].url();
    let servers = format!("{away},{stopping},{frozen}");
    let options = fleet.options(&servers).deadline(Duration::from_millis(900));
    let begun = Instant::now();
    let error = list(&options.open().unwrap()).await.unwrap_err();
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        matches!(
            &error,
            Error::Unreachable {
                may_be_done: false,
                ..
            }
        ),
        "{error:?}"
    );
    let words = error.to_string();
    for (url, said) in [
        (away, "refused"),
        (stopping, "it stops"),
        (frozen, "no answer within"),
    ] {
        let start = words
            .find(&format!("`{url}`: "))
            .unwrap_or_else(|| panic!("{words}"));
        let rest = &words[start..];
        let end = rest.find("; ").unwrap_or(rest.len());
        assert!(rest[..end].contains(said), "{words}");
    }
    assert!(!format!("{error:?}").contains(&fleet.manager));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_spread_over_the_servers() {
    let fleet = Fleet::new().await;
    let desk = fleet.folder("desk");
    let before: Vec<usize> = fleet.relays.iter().map(Relay::connections).collect();
    for _ in 0..20 {
        let list = || said(fleet.pinion(&desk, &fleet.urls(), &fleet.manager, "rollout list"));
        let (first, second, third) = tokio::join!(list(), list(), list());
        for (code, _, err) in [first, second, third] {
            assert_eq!(code, 0, "{err}");
        }
    }
    let after = fleet.relays.iter().map(Relay::connections);
    let shares: Vec<usize> = after
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    println!("of 60 commands: {shares:?}");
    assert_eq!(shares.iter().sum::<usize>(), 60);
    // A fair draw gives one of them fewer than six in one of fifty thousand tests.
    assert!(shares.iter().all(|share| *share >= 6), "{shares:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_goes_on_at_another_server_when_the_first_dies() {
    let fleet = Fleet::new().await;
    let environment = fleet.enroll().await;
    let options = ConnectOptions::new(fleet.urls()).token(&environment.token);
    let connection = options.open().unwrap();
    let watch = Pins::watch(&connection, None).await.unwrap();
    let mut stream = std::pin::pin!(watch);
    let pins = stream.next().await.unwrap().unwrap();
    let rollouts = fleet.connection(&fleet.urls());
    let rollout = start(&rollouts, "2.32.0").await.unwrap();

    let desk = fleet.folder("desk");
    let words = format!("rollout watch {}", rollout.id);
    let watch = fleet.pinion(&desk, &fleet.urls(), &fleet.manager, &words);
    let mut watch = tokio::process::Command::from(watch);
    let watching = tokio::spawn(watch.kill_on_drop(true).output());
    let dying = fleet.first_of(&connection);
    tokio::time::sleep(Duration::from_secs(1)).await;
    dying.kill();
    let broken = stream.next().await;
    assert!(broken.is_none_or(|item| item.is_err()));
    let again = Pins::watch(&connection, None).await.unwrap();
    let again = std::pin::pin!(again).next().await.unwrap().unwrap();
    assert_eq!(again.etag, pins.etag);
    assert_ne!(connection.answering(), dying.url());

    // Whichever server the other one watches at, it dies too, but for the last.
    let last = fleet.first_of(&connection);
    let others = fleet
        .relays
        .iter()
        .filter(|relay| relay.url() != last.url());
    others.for_each(Relay::kill);
    let rollouts = fleet.connection(&fleet.urls());
    let mut client = rollouts.rollouts();
    let request = v1::AbortRolloutRequest {
        id: rollout.id.clone(),
        reason: "seen enough".to_owned(),
        ..Default::default()
    };
    rollouts
        .answer(client.abort_rollout(request))
        .await
        .unwrap();
    let output = tokio::time::timeout(Duration::from_secs(30), watching).await;
    let output = output.expect("it sees the end").unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("aborted"), "{text}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn of_a_name_with_several_addresses_the_one_that_answers_is_found() {
    let fleet = Fleet::new().await;
    let desk = fleet.folder("desk");
    for addresses in [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]] {
        let hosts = addresses
            .map(|address| format!("{address} pins.test\n"))
            .concat();
        std::fs::write(desk.join("hosts"), hosts).unwrap();
        let url = format!("http://pins.test:{}", fleet.relays[0].port());
        let mut command = fleet.pinion(&desk, &url, &fleet.manager, "unused");
        let script = "mount --bind hosts /etc/hosts && exec \"$0\" --insecure-http rollout list";
        let mut inside = Command::new("unshare");
        inside
            .args(["--map-root-user", "--mount", "sh", "-c", script])
            .arg(command.get_program())
            .current_dir(&desk)
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        command.stdin(Stdio::null());
        let (code, _, err) = said(inside).await;
        if err.starts_with("unshare:") || err.starts_with("mount:") {
            // What the kernel lets this user do is no part that could be installed.
            println!("skipped: no names can be made up here: {err}");
            return;
        }
        assert_eq!(code, 0, "{addresses:?}: {err}");
    }
}
