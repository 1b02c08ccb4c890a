//! The `pinion` command: pull pins, report outcomes, run rollouts.

mod args;
mod checkout;
mod command;
mod effective_policy;
mod exit;
mod failure;
mod policy_file;
mod session;
mod settings;
mod table;
mod terminal;
mod times;
mod view;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    command::run(args::Args::parse()).await
}
