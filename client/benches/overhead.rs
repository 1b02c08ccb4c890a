//! What `pinion run -- true` costs beyond `true`, with the server up and with it down, in one run.
//!
//! `cargo bench -p pinion-client --bench overhead`
#![allow(missing_docs, reason = "a benchmark")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinion_client::{ConnectOptions, v1};
use pinion_server::app::{App, World};
use pinion_server::clock::{Clock, SystemClock};
use pinion_server::config::Config;
use pinion_server::random::SeededRandom;

const ROUNDS: usize = 60;

/// A checkout of its own, and a home in which nothing else is found.
struct Checkout {
    dir: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self { dir }
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn pinion(&self, arguments: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_pinion"), arguments)
    }

    fn join(&self, server: &str, token: &str) {
        let joining = [
            "join",
            "--pin-set",
            "bench",
            "--accept-reporting",
            "--server",
            server,
        ];
        let joined = self.pinion(&joining).env("PINION_TOKEN", token).status();
        assert!(joined.expect("runs").success());
        let synced = self.pinion(&["sync"]).status();
        assert!(synced.expect("runs").success());
    }

    /// How long a command takes.
    fn time(&self, mut command: Command) -> Duration {
        let begun = Instant::now();
        let status = command.status().expect("runs");
        assert!(status.success(), "{status}");
        begun.elapsed()
    }
}

async fn server(dir: &Path) -> App {
    let config = Config {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: dir.to_owned(),
        ..Config::default()
    };
    let world = World {
        clock: Arc::new(SystemClock) as Arc<dyn Clock>,
        random: Arc::new(SeededRandom::new(1)),
        exporter: None,
        is_simulated: false,
    };
    App::start(&config, world).await.expect("starts")
}

/// A pin set as large as OpenStack's, and a token to join it with.
async fn pin_set(url: &str, admin: &str) -> String {
    let connection = ConnectOptions::new(url).token(admin).open().expect("opens");
    let set = v1::CreatePinSetRequest {
        name: "bench".to_owned(),
        ecosystem: v1::Ecosystem::Pypi.into(),
        ..Default::default()
    };
    let created = connection
        .answer(connection.pin_sets().create_pin_set(set))
        .await;
    created.expect("creates");
    let pins = v1::ImportPinsRequest {
        name: "bench".to_owned(),
        content: (0..570).map(|n| format!("package-{n}==1.{n}\n")).collect(),
        ..Default::default()
    };
    let imported = connection
        .answer(connection.pin_sets().import_pins(pins))
        .await;
    imported.expect("imports");
    let token = v1::CreateTokenRequest {
        name: "team".to_owned(),
        role: v1::Role::Environment.into(),
        ..Default::default()
    };
    let made = connection
        .answer(connection.admin().create_token(token))
        .await;
    made.expect("creates").secret
}

/// The least and the median.
fn summary(times: &mut [Duration]) -> [Duration; 2] {
    times.sort();
    [times[0], times[times.len() / 2]]
}

/// The cost beyond the bare command, in alternation, so that a busy machine slows both.
fn measure(name: &str, checkout: &Checkout, target: Duration) {
    let (mut bare, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(checkout.time(checkout.command("true", &[])));
        with.push(checkout.time(checkout.pinion(&["run", "--", "true"])));
    }
    let (bare, with) = (summary(&mut bare), summary(&mut with));
    for (which, bare, with) in [("least", bare[0], with[0]), ("median", bare[1], with[1])] {
        let cost = with.saturating_sub(bare);
        let verdict = match cost <= target {
            true => "within",
            false => "OVER",
        };
        println!(
            "{name:<12} {which:<7} true {bare:>9.1?}   pinion run -- true {with:>9.1?}   cost {cost:>9.1?}   \
             {verdict} {target:?}"
        );
    }
}

#[tokio::main]
async fn main() {
    let data = tempfile::tempdir().expect("a folder");
    let app = server(data.path()).await;
    let url = format!("http://{}", app.address);
    let admin = app.first_admin.clone().expect("a new folder");
    let token = pin_set(&url, &admin).await;
    let checkout = Checkout::new();
    tokio::task::block_in_place(|| {
        checkout.join(&url, &token);
        measure("server up", &checkout, Duration::from_millis(30));
    });
    app.stop().await;
    tokio::task::block_in_place(|| {
        measure("server down", &checkout, Duration::from_millis(50));
    });
}
