//! A developer's machine: a home, a checkout, and the real program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::stub::Stub;

pub(crate) struct Developer {
    home: TempDir,
    checkout: TempDir,
}

impl Developer {
    pub(crate) fn new() -> Self {
        Self {
            home: TempDir::new().expect("a directory"),
            checkout: TempDir::new().expect("a directory"),
        }
    }

    /// One that has joined the stub's pin set, with these words added.
    pub(crate) fn joined(stub: &Stub, words: &[&str]) -> Self {
        let developer = Self::new();
        let mut join = developer.pinion(&["join", "--server", &stub.url(), "--pin-set", "nova"]);
        let output = join
            .args(words)
            .env("PINION_TOKEN", "enrolling-secret")
            .output();
        let output = output.expect("the program runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        developer
    }

    /// The program, with nothing of this machine's environment but the path.
    pub(crate) fn pinion(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinion"));
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .current_dir(self.checkout.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs it and returns exit code, stdout and stderr.
    pub(crate) fn says(&self, words: &[&str]) -> (i32, String, String) {
        said(&mut self.pinion(words))
    }

    pub(crate) fn checkout(&self) -> &Path {
        self.checkout.path()
    }

    /// Every file below the home.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files_below(self.home.path())
    }

    /// The one file of this name below the home.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let files = self.files();
        let found = files
            .into_iter()
            .find(|path| path.file_name().is_some_and(|file| file == name));
        found.unwrap_or_else(|| panic!("no {name}"))
    }
}

pub(crate) fn said(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program runs");
    (
        status.code().expect("not killed"),
        text(&stdout),
        text(&stderr),
    )
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("readable").flatten();
    let below = entries
        .map(|entry| entry.path())
        .map(|path| match path.is_dir() {
            true => files_below(&path),
            false => vec![path],
        });
    below.flatten().collect()
}
