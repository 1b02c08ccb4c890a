//! A git checkout that follows a pin set, and the programs that work in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pinion_client::v1;
use tempfile::TempDir;

use super::stub::Stub;

/// A checkout; its state is kept in a folder of its own.
pub(crate) struct Checkout {
    pub(crate) stub: Stub,
    directory: TempDir,
    state: TempDir,
    variables: Vec<(String, OsString)>,
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Whether these programs are there; says so if a test is skipped for the lack of one.
pub(crate) fn has(programs: &[&str]) -> bool {
    let is_missing = |program: &&&str| {
        let mut version = Command::new(program);
        version.arg(if **program == "go" {
            "version"
        } else {
            "--version"
        });
        let ran = version.stdout(Stdio::null()).stderr(Stdio::null()).status();
        !ran.is_ok_and(|status| status.success())
    };
    match programs.iter().find(is_missing) {
        None => true,
        Some(missing) if std::env::var_os("PINION_REQUIRE_PARTS").is_some() => {
            panic!("`{missing}` is required")
        }
        Some(missing) => {
            eprintln!("skipped: `{missing}` is needed");
            false
        }
    }
}

impl Checkout {
    /// A repository with these files, that has joined.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let checkout = Self {
            stub: Stub::start(),
            directory: TempDir::new().expect("a directory"),
            state: TempDir::new().expect("a directory"),
            variables: Vec::new(),
        };
        for (name, text) in files {
            checkout.write(name, text);
        }
        checkout.write(".gitignore", "node_modules\n.venv\n.yarn\n/target\n");
        checkout.run("git", &["init", "--quiet"]);
        let url = checkout.stub.url();
        let mut join = checkout.command(
            env!("CARGO_BIN_EXE_pinion"),
            &[
                "join",
                "--server",
                &url,
                "--pin-set",
                "nova",
                "--accept-reporting",
            ],
        );
        let said = said(join.env("PINION_TOKEN", "enrolling-secret"));
        assert_eq!(said.code, 0, "{said:?}");
        checkout
    }

    /// Sets a variable for every program from now on.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Puts these programs before all others of the same names.
    pub(crate) fn put_first(&mut self, directory: &Path) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = [directory.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&path));
        self.set("PATH", std::env::join_paths(paths).expect("a path"));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let directory = self.directory.path().canonicalize().expect("there");
        directory.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("readable")
    }

    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(self.directory.path())
            .env("XDG_STATE_HOME", self.state.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::null());
        for inherited in [
            "VIRTUAL_ENV",
            "GOWORK",
            "PIP_CONSTRAINT",
            "UV_CONSTRAINT",
            "CI",
        ] {
            command.env_remove(inherited);
        }
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    /// Runs a program that must succeed, and returns its stdout.
    pub(crate) fn run(&self, program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> String {
        let said = said(&mut self.command(program, words));
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        said.out
    }

    /// Commits everything, and returns what is tracked.
    pub(crate) fn commit(&self) -> BTreeMap<String, Vec<u8>> {
        self.run("git", &["add", "--all"]);
        let name = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let commit = ["commit", "--quiet", "--message", "before"];
        self.run("git", &[name, commit].concat());
        self.tracked()
    }

    pub(crate) fn tracked(&self) -> BTreeMap<String, Vec<u8>> {
        let files = self.run("git", &["ls-files"]);
        let bytes = |name: &str| std::fs::read(self.path(name)).expect("readable");
        files
            .lines()
            .map(|name| (name.to_owned(), bytes(name)))
            .collect()
    }

    pub(crate) fn status(&self) -> String {
        self.run("git", &["status", "--porcelain"])
    }

    /// Asserts that every tracked file is as it was, and that nothing was added.
    pub(crate) fn is_as(&self, before: &BTreeMap<String, Vec<u8>>) {
        assert_eq!(self.status(), "");
        assert!(self.tracked() == *before, "a file differs");
    }

    /// Serves these pins to the checkout from now on.
    pub(crate) fn pin(&self, ecosystem: v1::Ecosystem, pins: &[(&str, &str)]) {
        self.stub.serve(response(ecosystem, pins));
    }

    /// Serves these pins as the baseline.
    pub(crate) fn pin_baseline(&self, ecosystem: v1::Ecosystem, pins: &[(&str, &str)]) {
        self.stub.serve_baseline(response(ecosystem, pins));
    }

    pub(crate) fn pinion(&self, words: &[&str]) -> Said {
        said(&mut self.command(env!("CARGO_BIN_EXE_pinion"), words))
    }

    /// The same, and it must succeed.
    pub(crate) fn pinions(&self, words: &[&str]) -> Said {
        let said = self.pinion(words);
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        said
    }

    /// The packages that `pinion verify` says took, and those that did not with what is there.
    pub(crate) fn verified(&self) -> (Vec<String>, Vec<(String, String)>) {
        let said = self.pinion(&["verify", "--output", "json"]);
        let found: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let list = |key: &str| found[key].as_array().expect("a list").clone();
        let took = list("took")
            .iter()
            .map(|pin| text(&pin["package"]))
            .collect();
        let missed = list("missed");
        assert_eq!(said.code, i32::from(!missed.is_empty()), "{said:?}");
        let missed = missed
            .iter()
            .map(|pin| (text(&pin["package"]), text(&pin["reason"])));
        (took, missed.collect())
    }

    /// The one file of this name in the state folder.
    pub(crate) fn state_file(&self, name: &str) -> Option<PathBuf> {
        let folders = std::fs::read_dir(self.state.path().join("pinion")).expect("readable");
        folders
            .flatten()
            .map(|entry| entry.path().join(name))
            .find(|path| path.exists())
    }
}

fn response(ecosystem: v1::Ecosystem, pins: &[(&str, &str)]) -> v1::GetPinsResponse {
    let pin = |(package, version): &(&str, &str)| v1::Pin {
        package: (*package).into(),
        version: (*version).into(),
        marker: String::new(),
    };
    v1::GetPinsResponse {
        etag: format!("{pins:?}"),
        revision: 7,
        pins: pins.iter().map(pin).collect(),
        pin_set: "nova".into(),
        ecosystem: ecosystem.into(),
        ..Default::default()
    }
}

pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}
