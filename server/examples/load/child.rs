//! Processes of this program: how they are started, and what they cost.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pinion_server::app::{App, World};
use pinion_server::config::Config;
use pinion_server::telemetry::{LogFormat, set_up};

use crate::Failure;

/// Clock ticks of `/proc` in a second: what Linux tells user space on every machine.
const TICKS_PER_S: u64 = 100;
/// Where a server keeps its state, for the process that is started.
const STATE: &str = "PINION_LOAD_STATE";

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// The one that measures.
    Load,
    /// The server in question.
    Server,
    /// Bare tonic and bare axum.
    Floor,
    /// The bare store.
    Store,
}

/// A process that serves.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Lines that it says at its beginning.
    pub(crate) said: Vec<String>,
}

impl Process {
    /// Starts this program as `role` with its state in `dir`, and waits for the `lines` that it says.
    pub(crate) fn start(role: &str, dir: &Path, lines: usize) -> Result<Self, Failure> {
        Self::start_with(role, dir, lines, &[])
    }

    /// The same, with variables of its environment.
    pub(crate) fn start_with(
        role: &str,
        dir: &Path,
        lines: usize,
        variables: &[(&str, String)],
    ) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--role", role])
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env(STATE, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("a process without output")?;
        let mut said = Vec::new();
        for line in BufReader::new(stdout).lines().take(lines) {
            said.push(line?);
        }
        match said.len() == lines {
            true => Ok(Self { child, said }),
            false => Err(format!("the {role} did not start").into()),
        }
    }

    /// Processor time so far, of the program and of the system for it.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        cpu_of(&self.child.id().to_string())
    }

    /// Memory in RAM, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.ok_or("no memory in /proc")?.parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already is no matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of this process.
pub(crate) fn own_cpu() -> Result<Duration, Failure> {
    cpu_of("self")
}

fn cpu_of(process: &str) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before may hold anything; the two times are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')').ok_or("no process in /proc")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_S))
}

/// Where this process keeps its state.
pub(crate) fn state_dir() -> Result<std::path::PathBuf, Failure> {
    let dir = std::env::var_os(STATE).ok_or("only the load generator starts this")?;
    Ok(dir.into())
}

/// Is the server, as `piniond` runs it; says where it listens and its first admin token.
pub(crate) async fn serve() -> Result<(), Failure> {
    let telemetry = set_up(LogFormat::Text, "info")?;
    let config = Config {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: state_dir()?,
        ..Config::default()
    };
    let app = App::start(&config, World::default()).await?;
    println!("{}", app.address);
    println!("{}", app.first_admin.as_deref().unwrap_or_default());
    until_left().await;
    app.stop().await;
    telemetry.shutdown();
    Ok(())
}

/// Ends when the process that measures has.
pub(crate) async fn until_left() {
    let read = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    // Whether it was closed or broke: nobody is there.
    let _ = tokio::task::spawn_blocking(read).await;
}
