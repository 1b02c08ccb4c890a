//! A bare repository to file changes in, made with git itself.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use pinion_core::filing::{FilingKey, PackageChange};
use pinion_server::forge::{Change, FileEdit, Forge, ForgeConfig, Signature, open};
use tempfile::TempDir;

pub(crate) const PINS: &str = "pins/größe/upper-constraints.txt";
pub(crate) const BEFORE: &[u8] = b"# caf\xe9\r\noslo.log===7.0.0\ntooz===9.0.0";
pub(crate) const AFTER: &[u8] = b"# caf\xe9\r\noslo.log===7.0.0\ntooz===8.1.0";

/// A bare repository with one commit on `master`; gone when dropped.
pub(crate) struct Repository {
    folder: TempDir,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let repository = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        repository.git(&["init", "--quiet", "--bare"]);
        repository.commit(
            "master",
            &[
                (PINS, BEFORE),
                ("README", b"pins\n"),
                ("run.sh", b"#!/bin/sh\n"),
            ],
        );
        repository
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("pins.git")
    }

    pub(crate) fn url(&self) -> String {
        self.path().to_str().expect("a path in UTF-8").to_owned()
    }

    /// Runs git in the repository and gives what it printed; git must be there and succeed.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.git_with(arguments, b""))
            .expect("UTF-8")
            .trim_end()
            .to_owned()
    }

    pub(crate) fn git_with(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(self.path()).args(arguments);
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.folder.path().join("none"));
        command.env("GIT_INDEX_FILE", self.folder.path().join("index"));
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "Ada")
                .env(format!("GIT_{role}_EMAIL"), "ada@example.org")
                // The same commits in every repository, whenever they are made.
                .env(format!("GIT_{role}_DATE"), "@1772446400 +0000");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .expect("these tests need the program git; install it");
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(input)
            .expect("git reads");
        let output = child.wait_with_output().expect("git ends");
        assert!(output.status.success(), "git {arguments:?} failed");
        output.stdout
    }

    /// Commits files on top of a branch, `run.sh` as an executable; gives the commit.
    pub(crate) fn commit(&self, branch: &str, files: &[(&str, &[u8])]) -> String {
        let tip = self.branch(branch);
        self.git(&["read-tree", if tip.is_some() { branch } else { "--empty" }]);
        for (path, bytes) in files {
            let blob = self.git_with(&["hash-object", "-w", "--stdin"], bytes);
            let mode = if *path == "run.sh" {
                "100755"
            } else {
                "100644"
            };
            let blob = String::from_utf8(blob).expect("an id");
            self.git(&[
                "update-index",
                "--add",
                "--cacheinfo",
                mode,
                blob.trim_end(),
                path,
            ]);
        }
        let tree = self.git(&["write-tree"]);
        let mut arguments = vec!["commit-tree", &tree, "-m", "pins"];
        if let Some(tip) = &tip {
            arguments.extend(["-p", tip]);
        }
        let commit = self.git(&arguments);
        self.git(&["update-ref", &format!("refs/heads/{branch}"), &commit]);
        commit
    }

    /// The commit at the tip of the branch, if it exists.
    pub(crate) fn branch(&self, name: &str) -> Option<String> {
        let listing = self.git(&[
            "for-each-ref",
            "--format=%(objectname)",
            &format!("refs/heads/{name}"),
        ]);
        listing.lines().next().map(str::to_owned)
    }

    pub(crate) fn branches(&self) -> Vec<String> {
        self.git(&["for-each-ref", "--format=%(refname:short)"])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn file(&self, commit: &str, path: &str) -> Vec<u8> {
        self.git_with(&["cat-file", "blob", &format!("{commit}:{path}")], b"")
    }

    /// Installs a hook that runs the given lines of shell, or removes it.
    pub(crate) fn hook(&self, name: &str, lines: Option<&str>) {
        let hook = self.path().join("hooks").join(name);
        let Some(lines) = lines else {
            return std::fs::remove_file(hook).expect("the hook was there");
        };
        std::fs::create_dir_all(self.path().join("hooks")).expect("a folder");
        std::fs::write(&hook, format!("#!/bin/sh\n{lines}\n")).expect("a hook");
        let mut chmod = Command::new("chmod");
        assert!(
            chmod
                .arg("+x")
                .arg(&hook)
                .status()
                .expect("chmod runs")
                .success()
        );
    }

    /// The rollback of tooz on top of the present `master`.
    pub(crate) fn rollback(&self) -> Change {
        let moved = PackageChange {
            package: "tooz".into(),
            from_version: "9.0.0".into(),
            to_version: "8.1.0".into(),
        };
        let key = FilingKey::new("test", "pins", "master", &[moved], 1);
        Change {
            branch: "master".into(),
            head: format!("rollback/tooz-{}", key.key8()),
            parent: self.branch("master").expect("a master"),
            edits: vec![FileEdit {
                path: PINS.into(),
                bytes: AFTER.into(),
            }],
            subject: "revert(deps): roll back tooz 9.0.0 -> 8.1.0".into(),
            body: format!("Grüße.\n\n# kept\n\nFiling-Id: {key}\nReverts-Pin: tooz 9.0.0"),
            author: Signature {
                name: "Pinion".into(),
                email: "pinion@example.org".into(),
            },
            at_unix_s: 1_772_446_500,
            key,
        }
    }
}

/// A forge at the address, working in the folder, that waits for `timeout_s`.
pub(crate) fn forge_at(url: &str, work: &Path, timeout_s: u64) -> Arc<dyn Forge> {
    open(&config_at(url, timeout_s), work).expect("a forge")
}

pub(crate) fn config_at(url: &str, timeout_s: u64) -> ForgeConfig {
    ForgeConfig {
        author_email: "pinion@example.org".into(),
        timeout_s,
        ..ForgeConfig::git("pins".parse().expect("a name"), url)
    }
}
