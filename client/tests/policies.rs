//! What release managers do about policies, by `pinion` against a real server.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use pinion_core::time::Timestamp;
use pinion_server::app::{App, World};
use pinion_server::clock::{Clock, ManualClock};
use pinion_server::config::Config;
use pinion_server::random::SeededRandom;
use tempfile::{TempDir, tempdir};

const POLICY: &str = r#"
[[override]]
packages = ["oslo.*"]
bake = "1d"

[[override]]
bumps = ["major"]
approvals = 2
lift_approvals = 2

[security]
approvals = 0
stages = [0.5]
"#;

/// Tuesday, 2024-03-05, 10:00 UTC.
const TUESDAY_TEN: Timestamp = Timestamp::from_unix_ms(1_709_632_800_000);

/// A server with the pin set `mine`, and three people who run rollouts.
struct Place {
    dir: TempDir,
    app: App,
    people: [String; 3],
}

impl Place {
    async fn new() -> Self {
        let dir = tempdir().unwrap();
        let config = Config {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: dir.path().join("data"),
            ..Config::default()
        };
        let world = World {
            clock: Arc::new(ManualClock::new(TUESDAY_TEN)) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(3)),
            exporter: None,
            is_simulated: false,
        };
        let app = App::start(&config, world).await.unwrap();
        let admin = app.first_admin.clone().unwrap();
        let mut place = Self {
            dir,
            app,
            people: Default::default(),
        };
        std::fs::create_dir(place.desk()).unwrap();
        for (n, name) in ["me", "ann", "bob"].into_iter().enumerate() {
            let create = format!("token create {name} --role release-manager");
            place.people[n] = place.said(&admin, &create).await.trim().to_owned();
        }
        std::fs::write(place.desk().join("policy.toml"), POLICY).unwrap();
        let pins = "requests==1.0\noslo.config==1.0\nsix==1.0\n";
        std::fs::write(place.desk().join("pins.txt"), pins).unwrap();
        place
            .i("pin-set create mine --ecosystem pypi --policy policy.toml")
            .await;
        place.i("pin-set import mine pins.txt").await;
        place
    }

    fn desk(&self) -> PathBuf {
        self.dir.path().join("desk")
    }

    async fn output(&self, token: &str, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinion"));
        command
            .args(line.split(' '))
            .current_dir(self.desk())
            .env("HOME", self.dir.path())
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("PINION_SERVER", format!("http://{}", self.app.address))
            .env("PINION_TOKEN", token);
        let output = tokio::task::spawn_blocking(move || command.output().expect("runs"));
        output.await.unwrap()
    }

    async fn said(&self, token: &str, line: &str) -> String {
        let output = self.output(token, line).await;
        assert!(output.status.success(), "pinion {line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit code and stderr.
    async fn refused(&self, token: &str, line: &str) -> (i32, String) {
        let output = self.output(token, line).await;
        let words = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), words)
    }

    async fn i(&self, line: &str) -> String {
        self.said(&self.people[0], line).await
    }
}

fn rollout_id(text: &str) -> &str {
    let start = text.find("ro-").expect("an id");
    &text[start..start + 19]
}

fn assert_has(text: &str, words: &[&str]) {
    let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in words {
        assert!(plain.contains(words), "`{words}` is not in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_for_a_candidate_is_shown_before_it_is_started() {
    let place = Place::new().await;
    let shown = place.i("policy show mine").await;
    assert_has(
        &shown,
        &[
            "override: oslo.* bake 1 d",
            "override: every package; major",
        ],
    );
    let line = "policy show mine --package oslo.config --to 2.0 --package six --to 1.0.1";
    assert_has(
        &place.i(line).await,
        &[
            "oslo.config 1.0 -> 2.0: major, overrides 1, 2 match",
            "six 1.0 -> 1.0.1: patch, no override matches",
            "bake 1 d",
            "approvals 2 of release managers and admins",
        ],
    );
    let checked = place.i("rollout start mine requests==2.0 --check").await;
    assert_has(
        &checked,
        &["approvals 0 of 2", "policy", "lift approvals 2"],
    );
    let checked = place
        .i("rollout start mine requests==2.0 --check --security")
        .await;
    assert_has(&checked, &["started as a security fix", "stages 50 %"]);
    let me = &place.people[0];
    let line = "policy show mine --package six --to 2.0 --to 3.0";
    assert_eq!(place.refused(me, line).await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_major_step_takes_two_people_to_begin_and_two_to_try_again() {
    let place = Place::new().await;
    let [me, ann, bob] = &place.people;
    let started = place.i("rollout start mine requests==2.0").await;
    let id = rollout_id(&started);
    let approve = format!("rollout approve {id} --reason fine");
    let (code, words) = place.refused(me, &approve).await;
    assert_eq!(code, 1);
    assert!(words.contains("me started it"), "{words}");
    let shown = place.said(ann, &approve).await;
    assert_has(&shown, &["approvals 1 of 2: ann on 2024-03-05"]);
    place
        .said(ann, &format!("rollout approve {id} --withdraw"))
        .await;
    place.said(bob, &approve).await;
    let (code, words) = place.refused(me, &format!("rollout promote {id}")).await;
    assert_eq!(code, 1);
    assert!(words.contains("`--override-approvals`"), "{words}");
    let history = place.i(&format!("rollout history {id}")).await;
    assert_has(
        &history,
        &[
            "approve at 0 % by ann",
            "withdraw at 0 % by ann",
            "approved, 1 of 2: fine",
        ],
    );

    place.i(&format!("rollout rollback {id}")).await;
    let lift = "pin-set lift mine requests 2.0 --reason fixed";
    let asked = place.said(ann, lift).await;
    assert_has(
        &asked,
        &["requests 2.0 stays blocked: ann asked, 1 more must"],
    );
    assert_has(
        &place.i("pin-set blocks mine").await,
        &["ann asked, 1 more must"],
    );
    assert_has(
        &place.said(bob, lift).await,
        &["requests 2.0 may be tried again"],
    );

    let again = place.i("rollout start mine requests==2.0").await;
    let deny = format!("rollout deny {} --reason no", rollout_id(&again));
    assert_has(
        &place.said(ann, &deny).await,
        &["state aborted", "refused it: no"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_is_set_shown_and_taken_away() {
    let place = Place::new().await;
    let shown = place
        .i("pin-set freeze mine --until 2024-03-06T08:00:00Z --reason incident")
        .await;
    assert_has(
        &shown,
        &["FROZEN until 2024-03-06 08:00 UTC, by me since 2024-03-05 10:00 UTC: incident"],
    );
    assert_has(
        &place.i("pin-set list").await,
        &["until 2024-03-06 08:00 UTC"],
    );
    let started = place.i("rollout start mine six==1.0.1").await;
    assert_has(&started, &["FROZEN until 2024-03-06 08:00 UTC, by me"]);
    let unfrozen = place.i("pin-set unfreeze mine").await;
    assert!(!unfrozen.contains("FROZEN"), "{unfrozen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_cannot_be_overlooked() {
    let place = Place::new().await;
    std::fs::write(place.desk().join("shadow.toml"), "shadow = true\n").unwrap();
    place.i("pin-set update mine --policy shadow.toml").await;
    let started = place.i("rollout start mine six==2.0").await;
    assert_has(
        &started,
        &[
            "state gating (shadow)",
            "shadow only played: nobody has the candidate",
        ],
    );
    assert_has(&place.i("rollout list").await, &["gating (shadow)"]);
    let history = place
        .i(&format!("rollout history {}", rollout_id(&started)))
        .await;
    assert_has(
        &history,
        &[
            "create (shadow)",
            "in shadow, nothing is served: a person asked for it",
        ],
    );
}
