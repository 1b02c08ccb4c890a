//! The examples of the SDK, and the README's line for curl, against a real server.
#![allow(missing_docs, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use pinion_client::{ConnectOptions, Connection, v1};
use pinion_server::app::{App, World};
use pinion_server::clock::{Clock, SystemClock};
use pinion_server::config::Config;
use pinion_server::random::SeededRandom;

/// A server with a pin set, and an environment that follows it and reports.
struct Place {
    dir: tempfile::TempDir,
    app: App,
    manager: Connection,
    token: String,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let config = Config {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: dir.path().join("data"),
            ..Config::default()
        };
        let world = World {
            clock: Arc::new(SystemClock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(5)),
            exporter: None,
            is_simulated: false,
        };
        let app = App::start(&config, world).await.expect("starts");
        let admin = app.first_admin.clone().expect("a new folder");
        let url = format!("http://{}", app.address);
        let manager = ConnectOptions::new(&url)
            .token(admin)
            .open()
            .expect("opens");
        let set = v1::CreatePinSetRequest {
            name: "mine".to_owned(),
            ecosystem: v1::Ecosystem::Pypi.into(),
            ..Default::default()
        };
        let created = manager.answer(manager.pin_sets().create_pin_set(set)).await;
        created.expect("creates");
        let place = Self {
            token: Self::enroll(&manager, &url).await,
            dir,
            app,
            manager,
        };
        place.import("six==1.0\n").await;
        place
    }

    async fn enroll(manager: &Connection, url: &str) -> String {
        let token = v1::CreateTokenRequest {
            name: "team".to_owned(),
            role: v1::Role::Environment.into(),
            ..Default::default()
        };
        let made = manager.answer(manager.admin().create_token(token)).await;
        let team = made.expect("creates").secret;
        let team = ConnectOptions::new(url).token(team).open().expect("opens");
        let request = v1::EnrollRequest {
            pin_set: "mine".to_owned(),
            reporting: true,
            ..Default::default()
        };
        let enrolled = team.answer(team.environments().enroll(request)).await;
        enrolled.expect("enrols").token
    }

    async fn import(&self, content: &str) {
        let request = v1::ImportPinsRequest {
            name: "mine".to_owned(),
            content: content.to_owned(),
            newer_versions: v1::NewerVersions::TakeAtOnce.into(),
            ..Default::default()
        };
        let imported = self
            .manager
            .answer(self.manager.pin_sets().import_pins(request))
            .await;
        imported.expect("imports");
    }

    fn command(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .env("PINION_SERVER", format!("http://{}", self.app.address))
            .env("PINION_TOKEN", &self.token)
            .env("NO_PROXY", "127.0.0.1")
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    async fn run(&self, program: &Path, words: &[&str]) -> Output {
        let mut command = self.command(program, words);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        output.expect("joins").expect("runs")
    }
}

/// An example's program. `cargo test` builds it beside the tests, but `--test examples` alone does not.
fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("known");
    let target = own.parent().and_then(Path::parent).expect("a folder");
    let program = target.join("examples").join(name);
    assert!(
        program.is_file(),
        "build it first: `cargo test -p pinion-client --examples --test examples`"
    );
    program
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_that_reports_runs_a_command_and_its_report_is_durable() {
    let place = Place::new().await;
    let words = ["sh", "-c", "cat $PIP_CONSTRAINT; exit 3"];
    let output = place.run(&example("report"), &words).await;
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        out.contains("\nsix==1.0\n") && out.contains("1 report is durable"),
        "{out}"
    );
    place.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_that_watches_writes_every_change() {
    let place = Place::new().await;
    let file = place.dir.path().join("pins.txt");
    let mut watching = place
        .command(&example("watch_pins"), &["pins.txt", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    while !file.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert!(
            watching.try_wait().expect("waits").is_none(),
            "it ended early"
        );
    }
    place.import("six==2.0\n").await;
    let ended = tokio::task::spawn_blocking(move || watching.wait());
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), ended).await;
    assert!(
        ended
            .expect("in time")
            .expect("joins")
            .expect("waits")
            .success()
    );
    let written = std::fs::read_to_string(&file).expect("written");
    assert!(written.contains("\nsix==2.0\n"), "{written}");
    place.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_s_line_for_curl_gets_the_constraints() {
    let place = Place::new().await;
    let readme = include_str!("../README.md");
    let line = readme
        .lines()
        .find(|line| line.contains("| curl "))
        .expect("a line for curl")
        .replace(
            "https://pinion.example:7420",
            &format!("http://{}", place.app.address),
        )
        .replace("nova", "mine");
    let missing = Command::new("curl").arg("--version").output().is_err();
    if missing && std::env::var_os("PINION_REQUIRE_PARTS").is_none() {
        eprintln!("skipped: curl is needed");
        return;
    }
    for _ in 0..2 {
        // Twice: with the ETag of the first answer the second changes nothing.
        let output = place.run(Path::new("sh"), &["-c", &line]).await;
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        let written = std::fs::read_to_string(place.dir.path().join("constraints.txt"));
        let written = written.expect("written");
        assert!(written.contains("\nsix==1.0\n"), "{written}");
    }
    place.app.stop().await;
}
