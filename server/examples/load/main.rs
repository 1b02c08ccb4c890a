//! How near the server is to what its parts can do at all: the server under load, and floors beside it in the same run.
//!
//! ```sh
//! cargo run --release -p pinion-server --example load -- --seconds 2 --rounds 3 --json load.json --picture load.svg
//! ```
//!
//! Servers and floors run as processes of their own, so that the processor time of each is its own. They take turns,
//! round by round, so that a machine on which other things run disturbs both alike; what is printed are medians of rounds.
#![allow(clippy::print_stderr, reason = "a command line")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

mod bytes_codec;
mod child;
mod constraints;
mod drive;
mod fleet;
mod floor;
mod picture;
mod pulls;
mod reports;
mod table;
mod watch;

use child::Role;
use table::Table;

/// Whatever stops a measurement.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is measured, and for how long.
#[derive(Clone, Debug, Parser)]
#[command(name = "load")]
struct Arguments {
    /// How long each measurement of a round takes, in seconds.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Rounds of which the median is taken.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Streams of `WatchPins` at a time.
    #[arg(long, default_value_t = 10_000)]
    streams: usize,
    /// Only lines whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Pulls a second for the open loop, which shows how long they take when nobody waits for the last one.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// Where the figures go as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where they go as a picture (SVG).
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// What this process is; others than the first are started by it.
    #[arg(long, hide = true, value_enum, default_value_t = Role::Load)]
    role: Role,
}

impl Arguments {
    fn span(&self) -> Duration {
        Duration::from_secs(self.seconds.max(1))
    }

    fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("load: no threads can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match arguments.role {
            Role::Load => load(&arguments).await,
            Role::Server => child::serve().await,
            Role::Floor => floor::serve().await,
            Role::Store => reports::commit_forever().await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn load(arguments: &Arguments) -> Result<(), Failure> {
    let mut table = Table::default();
    for (name, measure) in [
        ("pulls", pulls::measure as table::Measure),
        ("constraints", constraints::measure),
        ("reports", reports::measure),
        ("watch", watch::measure),
    ] {
        if arguments.wants(name) {
            // What cannot be measured is a line of the table too, and not met.
            if let Err(error) = measure(arguments, &mut table).await {
                table.failed(name, &error);
            }
        }
    }
    print!("{table}");
    if let Some(path) = &arguments.json {
        std::fs::write(path, table.json()?)?;
    }
    if let Some(path) = &arguments.picture {
        std::fs::write(path, picture::draw(&table))?;
    }
    Ok(())
}
