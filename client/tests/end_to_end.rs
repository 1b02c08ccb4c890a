//! `pinion` against a real server: what a developer and a release manager do, from joining to a rollback.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use pinion_core::time::Timestamp;
use pinion_server::app::{App, World};
use pinion_server::clock::{Clock, ManualClock, SystemClock};
use pinion_server::config::{Config, Tls};
use pinion_server::random::SeededRandom;
use tempfile::{TempDir, tempdir};

/// A server, and folders in which nothing of this machine's owner is found.
struct Place {
    dir: TempDir,
    app: App,
    clock: Arc<ManualClock>,
    url: String,
}

impl Place {
    async fn new() -> Self {
        Self::with(tempdir().unwrap(), Config::default()).await
    }

    /// A server in a folder, with what is set beside its address and its data directory.
    async fn with(dir: TempDir, config: Config) -> Self {
        // A Tuesday, at ten: at most 12 h ago and 6.5 days ahead, since reports carry the client's own time, and are
        // taken up to a day before it and seven days after it.
        let (hour, week) = (3_600_000, 168 * 3_600_000);
        let first = (5 * 24 + 10) * hour;
        let weeks = (SystemClock.now().unix_ms() - 12 * hour - first + week - 1).div_euclid(week);
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_ms(
            first + weeks * week,
        )));
        let config = Config {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: dir.path().join("data"),
            ..config
        };
        let world = World {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(3)),
            exporter: None,
            is_simulated: false,
        };
        let app = App::start(&config, world).await.unwrap();
        let scheme = if config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let url = format!("{scheme}://{}", app.address);
        Self {
            dir,
            app,
            clock,
            url,
        }
    }

    fn checkout(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Runs `pinion` in a checkout, with a token or none.
    async fn pinion(&self, checkout: &Path, token: Option<&str>, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinion"));
        command
            .args(arguments)
            .current_dir(checkout)
            .env_remove("PINION_TOKEN")
            .env_remove("DO_NOT_TRACK")
            .env("HOME", self.dir.path())
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("PINION_SERVER", &self.url);
        if let Some(token) = token {
            command.env("PINION_TOKEN", token);
        }
        tokio::task::spawn_blocking(move || command.output().expect("runs"))
            .await
            .unwrap()
    }

    async fn said(&self, checkout: &Path, token: Option<&str>, arguments: &[&str]) -> String {
        let output = self.pinion(checkout, token, arguments).await;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "pinion {arguments:?}: {out}{err}");
        out.into_owned()
    }

    async fn pass(&self, by: Duration) {
        self.clock.advance(by);
        self.app.controller.tick().await;
    }
}

fn rollout_id(text: &str) -> String {
    let start = text.find("ro-").expect("an id");
    text[start..start + 19].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_joining_to_a_rollback() {
    let place = Place::new().await;
    let admin = place.app.first_admin.clone().unwrap();
    let desk = place.checkout("desk");
    let manager = place
        .said(
            &desk,
            Some(&admin),
            &["token", "create", "me", "--role", "release-manager"],
        )
        .await;
    let manager = Some(manager.trim());
    let team = place
        .said(
            &desk,
            Some(&admin),
            &["token", "create", "team", "--role", "environment"],
        )
        .await;
    std::fs::write(desk.join("team.token"), &team).unwrap();

    std::fs::write(
        desk.join("pins.txt"),
        "requests===2.31.0\n-e git+https://example.org/x#egg=x\n",
    )
    .unwrap();
    place
        .said(
            &desk,
            manager,
            &["pin-set", "create", "mine", "--ecosystem", "pypi"],
        )
        .await;
    let refused = place
        .pinion(&desk, manager, &["pin-set", "import", "mine", "pins.txt"])
        .await;
    assert_eq!(refused.status.code(), Some(7), "bad input");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("line 2"),
        "{refused:?}"
    );
    place
        .said(
            &desk,
            manager,
            &["pin-set", "import", "mine", "pins.txt", "--keep-unkept"],
        )
        .await;

    let token_file = desk.join("team.token").display().to_string();
    let mut checkouts = Vec::new();
    for n in 0..12 {
        let checkout = place.checkout(&format!("checkout-{n}"));
        place
            .said(
                &checkout,
                None,
                &[
                    "join",
                    "--pin-set",
                    "mine",
                    "--token-file",
                    &token_file,
                    "--accept-reporting",
                ],
            )
            .await;
        checkouts.push(checkout);
    }
    let plain = place.checkout("plain");
    place
        .said(
            &plain,
            None,
            &[
                "join",
                "--pin-set",
                "mine",
                "--token-file",
                &token_file,
                "--no-reporting",
            ],
        )
        .await;

    let started = place
        .said(
            &desk,
            manager,
            &["rollout", "start", "mine", "requests==2.32.0"],
        )
        .await;
    let id = rollout_id(&started);
    place.app.controller.tick().await;
    place
        .said(
            &desk,
            manager,
            &["rollout", "promote", &id, "--share", "0.5", "--yes"],
        )
        .await;

    let pinned = |text: &str| text.contains("requests==2.32.0");
    let mut exposed = 0;
    for checkout in &checkouts {
        place
            .said(checkout, None, &["sync", "--out", "pins.txt"])
            .await;
        let has_it = pinned(&std::fs::read_to_string(checkout.join("pins.txt")).unwrap());
        exposed += usize::from(has_it);
        let command = if has_it { "exit 3" } else { "exit 0" };
        let run = place
            .pinion(checkout, None, &["run", "--", "sh", "-c", command])
            .await;
        assert_eq!(
            run.status.code(),
            Some(if has_it { 3 } else { 0 }),
            "the command's own status: {run:?}"
        );
    }
    assert!((1..12).contains(&exposed), "{exposed} of 12 at a half");
    place
        .said(&plain, None, &["sync", "--out", "pins.txt"])
        .await;
    assert!(
        !pinned(&std::fs::read_to_string(plain.join("pins.txt")).unwrap()),
        "no consent, no candidate"
    );
    let why = place.said(&checkouts[0], None, &["why", "requests"]).await;
    assert!(why.contains(&id), "{why}");

    place.pass(Duration::from_secs(1)).await;
    let shown = place
        .said(
            &desk,
            manager,
            &["--output", "json", "rollout", "show", &id],
        )
        .await;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let failed = shown
        .pointer("/evidence/exposed_total/failed")
        .or(shown.pointer("/rollout/evidence/exposed_total/failed"));
    assert_eq!(failed, Some(&serde_json::json!(exposed)), "{shown}");

    place
        .said(
            &desk,
            manager,
            &["rollout", "rollback", &id, "--reason", "breaks us", "--yes"],
        )
        .await;
    for checkout in &checkouts {
        place
            .said(checkout, None, &["sync", "--out", "pins.txt"])
            .await;
        assert!(
            !pinned(&std::fs::read_to_string(checkout.join("pins.txt")).unwrap()),
            "the baseline on the very next pull"
        );
    }
    let history = place
        .said(&desk, manager, &["rollout", "history", &id])
        .await;
    assert!(
        history.contains("roll back") && history.contains("breaks us"),
        "{history}"
    );
    let again = place
        .pinion(
            &desk,
            manager,
            &["rollout", "start", "mine", "requests==2.32.0"],
        )
        .await;
    assert_eq!(again.status.code(), Some(1), "refused: {again:?}");
    place
        .said(
            &desk,
            manager,
            &[
                "pin-set", "lift", "mine", "requests", "2.32.0", "--reason", "fixed",
            ],
        )
        .await;
    place
        .said(
            &desk,
            manager,
            &["rollout", "start", "mine", "requests==2.32.0"],
        )
        .await;

    std::fs::write(checkouts[1].join("r.tap"), "1..1\nnot ok 1 - KeyError: a\n").unwrap();
    let reported = place
        .said(&checkouts[1], None, &["report", "--report", "*.tap"])
        .await;
    assert!(
        reported.starts_with("reported: failed (test)"),
        "{reported}"
    );

    place.said(&checkouts[0], None, &["leave"]).await;
    let gone = place.pinion(&checkouts[0], None, &["sync"]).await;
    assert!(!gone.status.success(), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_is_reached_by_its_authority_only() {
    let dir = tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config = Config {
        tls: Some(Tls {
            certificate: certificate.clone(),
            key,
        }),
        ..Config::default()
    };
    let place = Place::with(dir, config).await;
    let admin = place.app.first_admin.clone().unwrap();
    let desk = place.checkout("desk");
    let create = ["token", "create", "me", "--role", "viewer"];
    let untrusted = place.pinion(&desk, Some(&admin), &create).await;
    assert!(!untrusted.status.success());
    let said = String::from_utf8_lossy(&untrusted.stderr).into_owned();
    assert!(
        said.contains("certificate") && !said.contains(&admin),
        "{said}"
    );
    let trusting = [&["--ca-file", certificate.to_str().unwrap()], &create[..]].concat();
    let token = place.said(&desk, Some(&admin), &trusting).await;
    assert!(token.starts_with("pinion_"), "{token}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volunteer_takes_a_candidate_finds_what_it_breaks_and_leaves_no_trace() {
    let place = Place::new().await;
    let admin = place.app.first_admin.clone().unwrap();
    let desk = place.checkout("desk");
    let create = |name: &'static str, role: &'static str| {
        let words = ["token", "create", name, "--role", role];
        let (place, desk, admin) = (&place, &desk, &admin);
        async move { place.said(desk, Some(admin), &words).await }
    };
    let manager = create("me", "release-manager").await;
    let manager = Some(manager.trim());
    std::fs::write(desk.join("token"), create("team", "environment").await).unwrap();
    std::fs::write(
        desk.join("pins.txt"),
        "lib-a==1.0\nlib-b==1.0\nlib-c==1.0\n",
    )
    .unwrap();
    let token_file = desk.join("token").display().to_string();
    for words in [
        &["pin-set", "create", "mine", "--ecosystem", "pypi"][..],
        &["pin-set", "import", "mine", "pins.txt"],
    ] {
        place.said(&desk, manager, words).await;
    }
    let eager = place.checkout("eager");
    let join = [
        "join",
        "--pin-set",
        "mine",
        "--token-file",
        &token_file,
        "--accept-reporting",
    ];
    place.said(&eager, None, &join).await;
    let equal = place.pinion(&eager, None, &["bisect", "true"]).await;
    let said = String::from_utf8_lossy(&equal.stderr).into_owned();
    assert!(said.contains("has the baseline of `mine`"), "{said}");

    place.said(&eager, None, &["now", "lib-b"]).await;
    let start = ["rollout", "start", "mine", "lib-a==2.0", "lib-b==2.0"];
    let id = rollout_id(&place.said(&desk, manager, &start).await);
    place.app.controller.tick().await;
    let promote = ["rollout", "promote", &id, "--share", "0.0001", "--yes"];
    place.said(&desk, manager, &promote).await;
    place.said(&eager, None, &["sync"]).await;
    let why = place.said(&eager, None, &["why", "lib-b"]).await;
    assert!(why.contains("volunteers"), "{why}");

    let script = "! grep -q lib-b==2.0 $PIP_CONSTRAINT";
    let bisect = ["bisect", "--", "sh", "-c", script];
    let found = place.pinion(&eager, None, &bisect).await;
    let (out, err) = (
        String::from_utf8_lossy(&found.stdout).into_owned(),
        String::from_utf8_lossy(&found.stderr).into_owned(),
    );
    assert!(
        out.starts_with("culprit: lib-b 1.0 -> 2.0\nfound among 2 changes"),
        "{out}{err}"
    );
    assert!(
        err.contains(&format!("reported as a failure with {id}")),
        "{err}"
    );
    let sent = place.said(&eager, None, &["telemetry", "show"]).await;
    assert!(sent.lines().count() == 2 && sent.contains(&id), "{sent}");

    // Withdrawn consent: found all the same, and told to nobody. Its own pins are the baseline then.
    std::fs::write(
        eager.join("bad.txt"),
        "lib-a==2.0\nlib-b==2.0\nlib-c==1.0\n",
    )
    .unwrap();
    place.said(&eager, None, &["telemetry", "off"]).await;
    let good = desk.join("pins.txt").display().to_string();
    let files = [
        "bisect", "--good", &good, "--bad", "bad.txt", "--", "sh", "-c", script,
    ];
    let out = place.said(&eager, None, &files).await;
    assert!(out.starts_with("culprit: lib-b"), "{out}");
    assert_eq!(
        place
            .said(&eager, None, &["telemetry", "show"])
            .await
            .lines()
            .count(),
        2
    );

    let left = place.pinion(&eager, None, &["leave"]).await;
    let said = String::from_utf8_lossy(&left.stderr).into_owned();
    assert!(
        left.status.success() && said.contains("read back: UNAUTHENTICATED"),
        "{said}"
    );
}

/// Whether this machine can make virtual environments; a part that must be there is named where it is not.
fn has_venv() -> bool {
    let found = std::process::Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    assert!(
        found || std::env::var_os("PINION_REQUIRE_PARTS").is_none(),
        "python3 with venv and ensurepip is missing"
    );
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_run_is_repeated_with_the_baseline_and_says_what_came_of_it() {
    if !has_venv() {
        eprintln!("skipped: python3 cannot make virtual environments here");
        return;
    }
    let place = Place::new().await;
    let admin = place.app.first_admin.clone().unwrap();
    let admin = Some(admin.as_str());
    let desk = place.checkout("desk");
    let team = ["token", "create", "team", "--role", "environment"];
    std::fs::write(desk.join("token"), place.said(&desk, admin, &team).await).unwrap();
    std::fs::write(desk.join("pins.txt"), "lib-a==1.0\n").unwrap();
    std::fs::write(desk.join("policy.toml"), "repeat_failures = true\n").unwrap();
    for words in [
        &[
            "pin-set",
            "create",
            "mine",
            "--ecosystem",
            "pypi",
            "--policy",
            "policy.toml",
        ][..],
        &["pin-set", "import", "mine", "pins.txt"],
    ] {
        place.said(&desk, admin, words).await;
    }
    let own = place.checkout("own");
    let token_file = desk.join("token").display().to_string();
    for words in [
        &[
            "join",
            "--pin-set",
            "mine",
            "--token-file",
            &token_file,
            "--accept-reporting",
        ][..],
        &["repeat", "on", "--prepare", "test -n \"$VIRTUAL_ENV\""],
    ] {
        place.said(&own, None, words).await;
    }
    let id = rollout_id(
        &place
            .said(&desk, admin, &["rollout", "start", "mine", "lib-a==2.0"])
            .await,
    );
    place.app.controller.tick().await;
    let promote = ["rollout", "promote", &id, "--share", "1", "--yes"];
    place.said(&desk, admin, &promote).await;
    place.said(&own, None, &["sync"]).await;

    // Breaks with the candidate alone, and writes a report each time.
    let report = "echo '<testsuite><testcase name=\"a\"/></testsuite>' > report.xml; \
                  grep lib-a $PIP_CONSTRAINT >> report.xml; ! grep -q lib-a==2.0 $PIP_CONSTRAINT";
    let run = place
        .pinion(
            &own,
            None,
            &["run", "--report", "report.xml", "--", "sh", "-c", report],
        )
        .await;
    assert_eq!(run.status.code(), Some(1), "the run's own status");
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(said.contains("with the baseline it passed"), "{said}");
    let kept = std::fs::read_to_string(own.join("report.xml")).unwrap();
    assert!(kept.contains("lib-a==2.0"), "the run's own report: {kept}");
    // Breaks whatever it gets.
    let run = place.pinion(&own, None, &["run", "--", "false"]).await;
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(said.contains("with the baseline it failed too"), "{said}");
    // Does not agree any more.
    place.said(&own, None, &["repeat", "off"]).await;
    let run = place.pinion(&own, None, &["run", "--", "false"]).await;
    assert!(!String::from_utf8_lossy(&run.stderr).contains("repeated"));

    let sent = place.said(&own, None, &["telemetry", "show"]).await;
    let repeats: Vec<&str> = ["REPEAT_PASSED", "REPEAT_FAILED", "REPEAT_UNSPECIFIED"]
        .into_iter()
        .filter(|repeat| {
            sent.lines()
                .any(|line| line.contains("OUTCOME_FAILED") && line.contains(repeat))
        })
        .collect();
    assert_eq!(repeats.len(), 3, "{sent}");
}
