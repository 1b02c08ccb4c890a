//! Runs the `git` program: shut off from this machine's configuration, in bounded time and memory.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// The most that git may print, in bytes; also the largest file that can be edited.
pub(super) const OUTPUT_BYTES_MAX: usize = 8 * 1024 * 1024;
const MESSAGES_BYTES_MAX: usize = 64 * 1024;

/// What git and ssh need of our own environment; the rest is not passed on.
const PASSED_ON: [&str; 14] = [
    "PATH",
    "TMPDIR",
    "SYSTEMROOT",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "USER",
];

/// How git is run for one forge.
#[derive(Debug)]
pub(super) struct Program {
    home: PathBuf,
    protocol: &'static str,
    ca_file: Option<PathBuf>,
    timeout: Duration,
}

/// One call of git.
#[derive(Debug, Default)]
pub(super) struct Call {
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    input: Vec<u8>,
}

/// What git printed, and whether it succeeded.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) success: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) messages: String,
}

/// Why git gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error(
        "the program `git` was not found; install git 2.31 or later and see that it is in PATH"
    )]
    Missing,
    #[error("git gave no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("git printed more than {OUTPUT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("git cannot be run: {0}")]
    Io(#[from] io::Error),
}

impl Call {
    pub(super) fn new<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self {
            arguments: arguments.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    pub(super) fn set(mut self, variable: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((variable, value.into()));
        self
    }

    pub(super) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }
}

impl Program {
    /// Prepares to run git with `home` as its home folder, which is kept empty.
    pub(super) fn new(
        home: PathBuf,
        protocol: &'static str,
        ca_file: Option<PathBuf>,
        timeout: Duration,
    ) -> Self {
        Self {
            home,
            protocol,
            ca_file,
            timeout,
        }
    }

    /// Runs git on the repository and waits for its end; on any error and when dropped, git and what
    /// it started are killed.
    pub(super) async fn run(&self, repository: &Path, call: Call) -> Result<Output, NoAnswer> {
        self.prepare_home().await?;
        let mut child =
            self.command(repository, &call)
                .spawn()
                .map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => NoAnswer::Missing,
                    _ => NoAnswer::Io(error),
                })?;
        let mut group = Group::of(&child);
        let finished = tokio::time::timeout(self.timeout, finish(&mut child, &call.input)).await;
        let output = finished.map_err(|_| NoAnswer::Timeout(self.timeout))??;
        group.has_ended();
        output
    }

    async fn prepare_home(&self) -> io::Result<()> {
        tokio::fs::create_dir_all(self.home.join("hooks")).await?;
        tokio::fs::write(self.home.join("gitconfig"), "").await
    }

    fn command(&self, repository: &Path, call: &Call) -> Command {
        let mut command = Command::new("git");
        command.env_clear();
        command.envs(
            PASSED_ON
                .iter()
                .filter_map(|name| std::env::var_os(name).map(|value| (name, value))),
        );
        command
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.home.join("gitconfig"))
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", self.protocol)
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_SSH_COMMAND", self.ssh())
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        command.envs(call.environment.iter().map(|(name, value)| (name, value)));
        for setting in self.settings() {
            command.arg("-c").arg(setting);
        }
        command
            .arg("--git-dir")
            .arg(repository)
            .args(&call.arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command
    }

    fn settings(&self) -> Vec<OsString> {
        let mut hooks = OsString::from("core.hooksPath=");
        hooks.push(self.home.join("hooks"));
        let mut settings = vec![
            hooks,
            "core.logAllRefUpdates=false".into(),
            "credential.helper=".into(),
            "fetch.recurseSubmodules=false".into(),
            "gc.auto=0".into(),
            "maintenance.auto=false".into(),
            "http.followRedirects=false".into(),
            "http.lowSpeedLimit=1".into(),
            format!("http.lowSpeedTime={}", self.timeout.as_secs()).into(),
        ];
        if let Some(file) = &self.ca_file {
            let mut setting = OsString::from("http.sslCAInfo=");
            setting.push(file);
            settings.push(setting);
        }
        settings
    }

    /// ssh asks nothing, knows its hosts beforehand, and gives up when the other side is silent.
    fn ssh(&self) -> String {
        let patience_s = self.timeout.as_secs();
        format!(
            "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oConnectTimeout={patience_s} \
             -oServerAliveInterval={patience_s} -oServerAliveCountMax=1"
        )
    }
}

async fn finish(child: &mut Child, input: &[u8]) -> io::Result<Result<Output, NoAnswer>> {
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    let write = async move {
        // git may end before it has read everything; what it says then is the better error.
        let _ = stdin.write_all(input).await;
    };
    let ((), printed, messages) = tokio::join!(
        write,
        read(stdout, OUTPUT_BYTES_MAX),
        read(stderr, MESSAGES_BYTES_MAX)
    );
    let (printed, messages) = (printed?, messages?);
    let status = child.wait().await?;
    Ok(match printed.is_whole {
        true => Ok(Output {
            success: status.success(),
            bytes: printed.bytes,
            messages: String::from_utf8_lossy(&messages.bytes).into_owned(),
        }),
        false => Err(NoAnswer::TooLarge),
    })
}

struct Read {
    bytes: Vec<u8>,
    is_whole: bool,
}

/// Reads to the end and keeps the first `bytes_max` bytes.
async fn read(mut from: impl AsyncRead + Unpin, bytes_max: usize) -> io::Result<Read> {
    let mut bytes = Vec::new();
    (&mut from)
        .take(bytes_max as u64)
        .read_to_end(&mut bytes)
        .await?;
    let left = tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(Read {
        bytes,
        is_whole: left == 0,
    })
}

/// Kills a child and what it started when dropped, unless it has ended.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

#[cfg(unix)]
impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            leader: id.and_then(rustix::process::Pid::from_raw),
        }
    }

    fn has_ended(&mut self) {
        self.leader = None;
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // It fails only where all have ended already.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(not(unix))]
impl Group {
    fn of(_child: &Child) -> Self {
        Self {}
    }

    fn has_ended(&mut self) {}
}
