//! The command line of `piniond`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Gives a new version of a dependency to 1 % of the developer environments, then 10 %, then all, and takes it
/// back when it does harm.
#[derive(Debug, Parser)]
#[command(name = "piniond", version, about)]
pub struct Cli {
    /// What to do; without it, the server runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of the server; they stand before a subcommand.
    #[command(flatten)]
    pub serve: Serve,
}

/// What piniond can do beside running.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows a good and a bad version going through a fleet of simulated environments, on a real server.
    Demo(Demo),
    /// Prints a new admin token; for whoever has lost the last one. The server must be stopped.
    AdminToken,
    /// Takes a backup of everything, through the running server: as of one moment, checked, whole or not there.
    Backup(Remote),
    /// The same as lines of JSON, for people and other programs; `-` writes to the terminal.
    Export(Remote),
    /// Makes the store of a backup, in whichever engine is configured. The server must be stopped, the store empty.
    Restore(Local),
    /// The same from lines of JSON that `export` wrote.
    Import(Local),
    /// Asks the server that runs here with these settings whether it is ready. Exit code 0: yes; 1: no, or nobody answers.
    Health,
}

/// What is taken from a running server, and where it goes.
#[derive(Clone, Debug, Args)]
pub struct Remote {
    /// The file to write.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The server; by default the one that the configuration describes, on this machine.
    #[arg(long, env = "PINION_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// A file with an admin token; else it is in the environment as PINION_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The certificates that sign the server's, PEM; needed for https.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// What the store is made of.
#[derive(Clone, Debug, Args)]
pub struct Local {
    /// The file to read.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Settings of the server; each overrides the configuration file.
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration file (TOML).
    #[arg(long, env = "PINION_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, env = "PINION_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where the state is.
    #[arg(long, env = "PINION_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Serve plain text on an address that is not loopback: tokens cross the network readable for everybody.
    #[arg(long)]
    pub allow_plaintext: bool,
}

/// Settings of the demo.
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// Repeats a demo exactly.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Simulated environments.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(50..=5000))]
    pub environments: u32,
    /// Goes on serving its dashboard, with everything that was played, until it is interrupted.
    #[arg(long)]
    pub stay: bool,
    /// Leaves the server's directory and the repository behind, there.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}
