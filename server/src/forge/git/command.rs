//! Calls of the `git` program: with nobody's configuration, without prompts or hooks, bounded in time and size.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::forge::Error;

/// How long a call without the network may take.
const LOCAL_MAX: Duration = Duration::from_secs(60);
/// How long a call to the remote repository may take.
const REMOTE_MAX: Duration = Duration::from_secs(120);
/// How long an HTTP connection may stand still: less than [`REMOTE_MAX`].
const STALLED_MAX: Duration = Duration::from_secs(90);
/// The most that is read of a call's output, in bytes.
const OUTPUT_MAX: u64 = 16 * 1024 * 1024;
/// The most that is shown of an error, in characters.
const SHOWN_MAX: usize = 500;
/// Words of git and of remotes that a person has to look at; everything else may pass.
const FOR_A_PERSON: [&str; 12] = [
    "Authentication failed",
    "Permission denied",
    "could not read Username",
    "does not appear to be a git repository",
    "does not exist",
    "error: 403",
    "not found",
    "pre-receive hook declined",
    "protected branch",
    "remote rejected",
    "repository not exported",
    "transport 'ext' not allowed",
];

/// Words that a passing fault has besides words for a person: somebody else is pushing just now.
const PASSING: &str = ".lock': File exists";

/// What a call came to.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) success: bool,
    pub(super) stdout: Vec<u8>,
    stderr: String,
}

/// The program, with the work repository that it runs in.
#[derive(Debug)]
pub(super) struct Program {
    url: String,
    dir: PathBuf,
}

impl Program {
    pub(super) fn new(url: &str, dir: &Path) -> Self {
        Self {
            url: url.to_owned(),
            dir: dir.to_owned(),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn repository(&self) -> PathBuf {
        self.dir.join("work.git")
    }

    /// A path at which no index is.
    pub(super) fn fresh_index(&self) -> String {
        let path = self.dir.join("index");
        // A missing index is what is wanted.
        let _ = std::fs::remove_file(&path);
        path.display().to_string()
    }

    /// Makes the work repository if it is missing.
    pub(super) async fn prepare(&self) -> Result<(), Error> {
        let failed = |cause: std::io::Error| Error::Retry {
            answer: format!(
                "the work folder `{}` cannot be used: {cause}",
                self.dir.display()
            ),
            retry_after: None,
        };
        std::fs::create_dir_all(self.dir.join("home")).map_err(failed)?;
        std::fs::create_dir_all(self.dir.join("hooks")).map_err(failed)?;
        std::fs::write(self.dir.join("home/config"), "").map_err(failed)?;
        if !self.repository().join("HEAD").exists() {
            std::fs::create_dir_all(self.repository()).map_err(failed)?;
            self.local_ok(&["init", "--quiet", "--bare", "--template=", "."], &[], &[])
                .await?;
            self.local_ok(&["config", "gc.auto", "0"], &[], &[]).await?;
        }
        Ok(())
    }

    /// A call without the network, whatever it comes to.
    pub(super) async fn local(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Output, Error> {
        self.call(arguments, environment, &[], LOCAL_MAX).await
    }

    /// A call without the network that has to succeed, and its output.
    pub(super) async fn local_ok(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        input: &[u8],
    ) -> Result<String, Error> {
        let output = self.call(arguments, environment, input, LOCAL_MAX).await?;
        if output.success {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(Error::Stopped {
            answer: format!("git {} failed: {}", arguments[0], shown(&output.stderr)),
        })
    }

    /// A call to the remote repository that has to succeed, and its output.
    pub(super) async fn remote(&self, arguments: &[&str]) -> Result<String, Error> {
        let output = self.call(arguments, &[], &[], REMOTE_MAX).await?;
        let stdout = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.success {
            return Ok(stdout);
        }
        let refused = stdout
            .lines()
            .filter(|line| line.starts_with('!'))
            .collect::<Vec<_>>()
            .join("; ");
        let answer = format!(
            "git {} failed: {}",
            arguments[0],
            shown(&format!("{refused} {}", output.stderr))
        );
        if !output.stderr.contains(PASSING)
            && FOR_A_PERSON.iter().any(|words| answer.contains(words))
        {
            return Err(Error::Stopped { answer });
        }
        Err(Error::Retry {
            answer,
            retry_after: None,
        })
    }

    async fn call(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        input: &[u8],
        most: Duration,
    ) -> Result<Output, Error> {
        let mut command = Command::new("git");
        command
            .args(["-c", "protocol.allow=never"])
            .args([
                "-c",
                "protocol.file.allow=always",
                "-c",
                "protocol.https.allow=always",
            ])
            .args([
                "-c",
                "protocol.http.allow=always",
                "-c",
                "protocol.ssh.allow=always",
            ])
            .args(["-c", "http.followRedirects=false"])
            // A killed git leaves its HTTP helper behind; the helper has to give up by itself, and before that.
            .args(["-c", "http.lowSpeedLimit=1", "-c"])
            .arg(format!("http.lowSpeedTime={}", STALLED_MAX.as_secs()))
            .arg("-c")
            .arg(format!(
                "core.hooksPath={}",
                self.dir.join("hooks").display()
            ))
            .args(arguments)
            .current_dir(self.repository())
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.dir.join("home/config"))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let run = async {
            let mut child = command.spawn()?;
            let mut stdin = child.stdin.take();
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let give = async {
                if let Some(stdin) = &mut stdin {
                    stdin.write_all(input).await?;
                }
                stdin.take();
                Ok::<_, std::io::Error>(())
            };
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let take = async {
                let out = async {
                    match out {
                        Some(out) => out.take(OUTPUT_MAX).read_to_end(&mut stdout).await,
                        None => Ok(0),
                    }
                };
                let err = async {
                    match err {
                        Some(err) => err.take(OUTPUT_MAX).read_to_end(&mut stderr).await,
                        None => Ok(0),
                    }
                };
                tokio::try_join!(out, err)
            };
            tokio::try_join!(give, take)?;
            let success = child.wait().await?.success();
            Ok::<_, std::io::Error>(Output {
                success,
                stdout,
                stderr: String::from_utf8_lossy(&stderr).into_owned(),
            })
        };
        match tokio::time::timeout(most, run).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::Stopped {
                answer: "the program `git` is not installed where piniond runs".to_owned(),
            }),
            Ok(Err(error)) => Err(Error::Retry {
                answer: format!("git {} failed: {error}", arguments[0]),
                retry_after: None,
            }),
            Err(_) => Err(Error::Retry {
                answer: format!(
                    "git {} did not end within {} s and was killed",
                    arguments[0],
                    most.as_secs()
                ),
                retry_after: None,
            }),
        }
    }
}

/// An error's words on one line, cut.
fn shown(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars()
        .filter(|c| !c.is_control())
        .take(SHOWN_MAX)
        .collect()
}
