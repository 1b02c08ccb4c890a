//! The `piniond` program.

use std::process::ExitCode;

use clap::Parser;
use pinion_server::args::Cli;

fn main() -> ExitCode {
    pinion_server::run(Cli::parse())
}
