//! `pinion gate` against a real server, with real pip: a candidate is tested by its consumer before anybody gets it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use pinion_core::time::Timestamp;
use pinion_server::app::{App, World};
use pinion_server::clock::{Clock, ManualClock};
use pinion_server::config::Config;
use pinion_server::random::SeededRandom;
use tempfile::{TempDir, tempdir};

/// Writes the wheels of `shapes` 1.0, 2.0 and 3.0; in 2.0 an area is a text.
const WHEELS: &str = r#"
import base64, hashlib, pathlib, sys, zipfile

CODE = {"1.0": "side * side", "2.0": "str(side * side)", "3.0": "side ** 2"}
for version, code in CODE.items():
    info = f"shapes-{version}.dist-info"
    files = {
        "shapes.py": f"def area(side): return {code}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: shapes\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text)}")
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    with zipfile.ZipFile(pathlib.Path(sys.argv[1], f"shapes-{version}-py3-none-any.whl"), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
"#;

const POLICY: &str = "gates = [\"nova\"]\ngate_runs = 2\n";

/// Tuesday, 2024-03-05, 10:00 UTC.
const TUESDAY_TEN: Timestamp = Timestamp::from_unix_ms(1_709_632_800_000);

/// A server with one pin set of which `nova` is a consumer, and its checkout.
struct Place {
    dir: TempDir,
    app: App,
    manager: String,
    ci: String,
}

impl Place {
    async fn new() -> Self {
        let dir = tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(TUESDAY_TEN));
        let config = Config {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: dir.path().join("data"),
            ..Config::default()
        };
        let world = World {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(3)),
            exporter: None,
            is_simulated: false,
        };
        let app = App::start(&config, world).await.unwrap();
        let admin = app.first_admin.clone().unwrap();
        let mut place = Self {
            dir,
            app,
            manager: admin.clone(),
            ci: String::new(),
        };
        std::fs::create_dir(place.nova()).unwrap();
        let create = ["token", "create", "zuul", "--role", "ci"];
        place.ci = place.said(&admin, &create).await.trim().to_owned();
        let create = ["token", "create", "me", "--role", "release-manager"];
        place.manager = place.said(&admin, &create).await.trim().to_owned();
        std::fs::write(place.nova().join("policy.toml"), POLICY).unwrap();
        std::fs::write(place.nova().join("pins.txt"), "shapes==1.0\n").unwrap();
        let create = "pin-set create mine --ecosystem pypi --policy policy.toml";
        place.manages(create).await;
        place.manages("pin-set import mine pins.txt").await;
        place
    }

    /// The consumer's checkout, which has not joined.
    fn nova(&self) -> PathBuf {
        self.dir.path().join("nova")
    }

    async fn pinion(&self, token: &str, arguments: &[&str]) -> Output {
        self.output(env!("CARGO_BIN_EXE_pinion"), token, arguments)
            .await
    }

    async fn output(&self, program: &str, token: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.nova())
            .env_remove("PIP_CONSTRAINT")
            .env_remove("GITHUB_RUN_ID")
            .env_remove("BUILD_URL")
            .env("CI_JOB_URL", "https://ci.example/job/7")
            .env("HOME", self.dir.path())
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("PINION_SERVER", format!("http://{}", self.app.address))
            .env("PINION_TOKEN", token);
        tokio::task::spawn_blocking(move || command.output().expect("runs"))
            .await
            .unwrap()
    }

    async fn said(&self, token: &str, arguments: &[&str]) -> String {
        let output = self.pinion(token, arguments).await;
        assert!(output.status.success(), "pinion {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a release manager does, and what is said.
    async fn manages(&self, line: &str) -> String {
        let words: Vec<_> = line.split(' ').collect();
        self.said(&self.manager, &words).await
    }

    /// Starts a rollout; its id.
    async fn start(&self, version: &str) -> String {
        let line = format!("rollout start mine shapes=={version}");
        let text = self.manages(&line).await;
        let start = text.find("ro-").expect("an id");
        text[start..start + 19].to_owned()
    }

    async fn shown(&self, id: &str) -> String {
        self.app.controller.tick().await;
        self.manages(&format!("rollout show {id}")).await
    }

    /// `pinion gate run` with these words; its exit code and what it said on stderr.
    async fn gate(&self, words: &[&str]) -> (Option<i32>, String) {
        let run = [&["gate", "run", "--consumer", "nova"], words].concat();
        let output = self.pinion(&self.ci, &run).await;
        let err = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), err)
    }
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_is_run_with_the_candidate_s_pins_and_reported() {
    let place = Place::new().await;
    let (code, err) = place.gate(&["--", "sh", "-c", "exit 9"]).await;
    assert_eq!(code, Some(0), "nothing waits, so nothing runs: {err}");
    assert!(err.contains("no gate waits for `nova`"), "{err}");

    let id = place.start("2.0").await;
    let listed = place.said(&place.ci, &["gate", "list"]).await;
    assert!(listed.contains("nova") && listed.contains(&id), "{listed}");
    let before = files_of(&place.nova());
    let look = "grep -qx shapes==2.0 \"$PIP_CONSTRAINT\" && test \"$PIP_CONSTRAINT\" = \"$UV_CONSTRAINT\" || exit 9; exit 3";
    let (code, err) = place.gate(&["--no-verify", "--", "sh", "-c", look]).await;
    assert_eq!(code, Some(3), "the command's own: {err}");
    assert_eq!(files_of(&place.nova()), before, "no file of the checkout");
    assert!(
        err.contains("reported: waiting for another run, 1 of 2 failed; last failed (test)"),
        "{err}"
    );
    let shown = place.shown(&id).await;
    assert!(
        shown.contains("by zuul, https://ci.example/job/7"),
        "{shown}"
    );

    let (code, err) = place.gate(&["--install", "exit 4", "--", "true"]).await;
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("last failed (install)"), "{err}");
    let shown = place.shown(&id).await;
    assert!(
        shown.contains(
            "the gate of nova failed: 2 runs failed with the candidate, the last in install"
        ),
        "{shown}"
    );
    assert_eq!(
        place.gate(&["--", "false"]).await.0,
        Some(0),
        "it waits no more"
    );
    place
        .manages(&format!("rollout promote {id} --share 0.5 --yes"))
        .await;
    let history = place.manages(&format!("rollout history {id}")).await;
    assert!(
        history.contains("a person asked for it although the gate of nova has not passed"),
        "{history}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reported_is_said() {
    let place = Place::new().await;
    let id = place.start("2.0").await;
    let (code, err) = place.gate(&["--no-verify", "--", "no-such-command"]).await;
    assert_eq!(code, Some(127), "{err}");
    assert!(err.contains("nothing is reported"), "{err}");
    assert!(err.contains("the gate waits for another job"), "{err}");
    let (code, err) = place.gate(&["--tool", "npm", "--", "true"]).await;
    assert_eq!(code, Some(2), "not of this ecosystem: {err}");
    let (code, err) = place.gate(&["--link", "job 7", "--", "true"]).await;
    assert_eq!(code, Some(2), "before anything is taken: {err}");
    let (code, err) = place.gate(&["--", "sh", "-c", "kill -TERM $$"]).await;
    assert_eq!(code, Some(143), "{err}");
    assert!(err.contains("the command was stopped"), "{err}");
    let shown = place.shown(&id).await;
    assert!(shown.contains("nova: waiting\n"), "given back: {shown}");
    let (code, err) = place.gate(&["--consumer", "nowa", "--", "true"]).await;
    assert_eq!(code, Some(2), "given twice: {err}");
    let unknown = ["gate", "run", "--consumer", "nowa", "--", "true"];
    let output = place.pinion(&place.ci, &unknown).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pins_of_a_joined_checkout_give_way_to_the_candidate() {
    let place = Place::new().await;
    place.start("2.0").await;
    let join = ["join", "--pin-set", "mine", "--no-reporting"];
    place.said(&place.ci, &join).await;
    let script = "\
eval \"$(\"$0\" sync)\" && export PIP_CONSTRAINT=\"theirs.txt $PIP_CONSTRAINT\" || exit 9
grep -qx shapes==1.0 \"${PIP_CONSTRAINT#* }\" || exit 8
exec \"$0\" gate run --consumer nova --no-verify -- sh -c 'echo \"$PIP_CONSTRAINT\"; cat ${PIP_CONSTRAINT#* }'";
    let words = ["-c", script, env!("CARGO_BIN_EXE_pinion")];
    let output = place.output("sh", &place.ci, &words).await;
    assert!(output.status.success(), "{output:?}");
    let out = String::from_utf8(output.stdout).unwrap();
    let files: Vec<_> = out.lines().next().unwrap().split(' ').collect();
    assert_eq!((files.len(), files[0]), (2, "theirs.txt"), "{out}");
    assert!(out.contains("\nshapes==2.0\n"), "{out}");
    assert!(
        !out.contains("shapes==1.0"),
        "one constraint, not two: {out}"
    );
}

/// A virtual environment in the checkout, and a folder of wheels; nothing where this machine has no python with
/// venv and pip, and its absence is allowed.
fn python(place: &Place) -> Option<(String, String)> {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let output = output.map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    };
    let made = || {
        // The interpreter itself: a shim in the search path may look for its settings in the home folder.
        let python = run("python3", &["-c", "import sys; print(sys.executable)"])?;
        let venv = place.nova().join(".venv");
        run(&python, &["-m", "venv", venv.to_str().unwrap()])?;
        let wheels = place.dir.path().join("wheels");
        std::fs::create_dir(&wheels).unwrap();
        let wheels = wheels.to_str().unwrap().to_owned();
        run(&python, &["-c", WHEELS, &wheels])?;
        Ok::<_, String>((venv.join("bin/python").display().to_string(), wheels))
    };
    match made() {
        Ok(found) => Some(found),
        Err(missing) if std::env::var_os("PINION_REQUIRE_PARTS").is_some() => {
            panic!("python3 with venv and pip is required: {missing}")
        }
        Err(missing) => {
            eprintln!("skipped: python3 with venv and pip is needed: {missing}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_real_pip_a_bad_candidate_is_stopped_and_a_good_one_begins() {
    let place = Place::new().await;
    let Some((python, wheels)) = python(&place) else {
        return;
    };
    let install =
        format!("{python} -m pip install -q --no-index --find-links {wheels} --upgrade shapes");
    let test = "import shapes; assert shapes.area(2) + shapes.area(1) == 5";
    let command = ["--install", &install, "--", &python, "-c", test];

    let bad = place.start("2.0").await;
    for _ in 0..2 {
        let (code, err) = place.gate(&command).await;
        assert_eq!(code, Some(1), "{err}");
    }
    let shown = place.shown(&bad).await;
    assert!(shown.contains("the gate of nova failed: 2 runs"), "{shown}");
    place.manages(&format!("rollout abort {bad} --yes")).await;

    let good = place.start("3.0").await;
    let stale = ["--", &python, "-c", "pass"];
    let (code, err) = place.gate(&stale).await;
    assert_eq!(code, Some(1), "shapes 2.0 is still installed: {err}");
    assert!(err.contains("shapes 2.0 is there, not 3.0"), "{err}");
    let (code, err) = place.gate(&command).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("reported: passed"), "{err}");
    let shown = place.shown(&good).await;
    assert!(!shown.contains("the tests of consumers"), "{shown}");
    assert!(shown.contains("nova: passed"), "{shown}");
}
