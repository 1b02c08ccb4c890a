//! Runs a command with a server's pins and reports how it ended.
//!
//! `cargo run -p pinion-client --example report -- pytest -q`, in an environment with
//! `PINION_SERVER` and `PINION_TOKEN`: an environment's own token, whose owner agreed to report.

use std::process::{Command, ExitCode};

use pinion_client::v1::Category;
use pinion_client::{ConnectOptions, Pins, Run, constraints, reports};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let server = std::env::var("PINION_SERVER")?;
    let token = std::env::var("PINION_TOKEN")?;
    let mut words = std::env::args().skip(1);
    let program = words.next().ok_or("name a command")?;

    let connection = ConnectOptions::new(server).token(token).open()?;
    let pins = Pins::get(&connection, None).await?;
    let pins = pins.ok_or("the server said \"unchanged\" to a caller without pins")?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), constraints::render(&pins)?)?;

    // Announced first: a run that never comes back counts as silent, not as passed.
    let run = Run::of(&pins);
    reports::send(&connection, &[run.started()]).await?;
    let status = Command::new(program)
        .args(words)
        .env("PIP_CONSTRAINT", file.path())
        .env("UV_CONSTRAINT", file.path())
        .status()?;
    let outcome = match status.success() {
        true => run.passed(),
        false => run.failed(Category::Test, None),
    };
    let taken = reports::send(&connection, &[outcome]).await?;
    println!("{status}; {} report is durable", taken.accepted);
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
