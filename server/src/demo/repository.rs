//! A bare git repository with a constraints file, in which both new versions were merged this morning.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Error;
use super::facts::{BAD, GOOD};

/// The branch that people merge to.
pub(super) const BRANCH: &str = "master";
/// The file with the pins.
pub(super) const FILE: &str = "upper-constraints.txt";

/// OpenStack's upper-constraints.txt as of 2018-12-22, with MarkupSafe and Jinja2 as they stood in February 2022.
const PINS: &str = include_str!("upper-constraints.txt");

/// The repository.
#[derive(Debug)]
pub(super) struct Repository {
    path: PathBuf,
}

impl Repository {
    /// Makes the repository with two commits: the pins, and the two new versions.
    pub(super) async fn create(path: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(path)?;
        let repository = Self {
            path: path.to_owned(),
        };
        repository
            .git(
                &["init", "--quiet", "--bare", "--initial-branch", BRANCH, "."],
                None,
            )
            .await?;
        let first = repository.commit(PINS, "Update constraints", None).await?;
        let mut bumped = PINS.to_owned();
        for candidate in [GOOD, BAD.candidate()] {
            let line = |version| format!("\n{}==={version}\n", candidate.package);
            bumped = bumped.replace(&line(candidate.from), &line(candidate.to));
        }
        let message = format!(
            "Updated from generate-constraints\n\n{GOOD}\n{}",
            BAD.candidate()
        );
        let second = repository.commit(&bumped, &message, Some(&first)).await?;
        repository
            .git(
                &["update-ref", &format!("refs/heads/{BRANCH}"), &second],
                None,
            )
            .await?;
        Ok(repository)
    }

    async fn commit(
        &self,
        file: &str,
        message: &str,
        parent: Option<&str>,
    ) -> Result<String, Error> {
        let blob = self
            .git(&["hash-object", "-w", "--stdin"], Some(file))
            .await?;
        let tree = self
            .git(&["mktree"], Some(&format!("100644 blob {blob}\t{FILE}\n")))
            .await?;
        let mut arguments = vec!["commit-tree", &tree, "-m", message];
        arguments.extend(parent.iter().flat_map(|parent| ["-p", parent]));
        self.git(&arguments, None).await
    }

    /// The pins before this morning's bump: what everybody has.
    pub(super) async fn baseline(&self) -> Result<String, Error> {
        self.git(&["show", &format!("{BRANCH}~1:{FILE}")], None)
            .await
    }

    /// Where it is, for git.
    pub(super) fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// The last commit of a branch, with what it changes.
    pub(super) async fn log(&self, branch: &str) -> Result<String, Error> {
        self.git(&["log", "-p", "-1", "--no-color", branch, "--"], None)
            .await
    }

    async fn git(&self, arguments: &[&str], input: Option<&str>) -> Result<String, Error> {
        let failed = |cause: String| {
            Error::Git(format!(
                "`git {}` failed: {cause}; is git installed?",
                arguments.first().unwrap_or(&"")
            ))
        };
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(&self.path)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.path.join("no-config"))
            .envs([
                ("GIT_AUTHOR_NAME", "OpenStack Proposal Bot"),
                ("GIT_AUTHOR_EMAIL", "bot@example.org"),
            ])
            .envs([
                ("GIT_COMMITTER_NAME", "OpenStack Proposal Bot"),
                ("GIT_COMMITTER_EMAIL", "bot@example.org"),
            ])
            .envs([
                ("GIT_AUTHOR_DATE", "2022-02-21T08:00:00Z"),
                ("GIT_COMMITTER_DATE", "2022-02-21T08:00:00Z"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(input.unwrap_or_default().as_bytes())
                .await?;
        }
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            return Err(failed(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ));
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    }
}
