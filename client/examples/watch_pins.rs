//! Keeps a constraints file as the server has it: a rollback reaches it at once.
//!
//! `cargo run -p pinion-client --example watch_pins -- constraints.txt`, in an environment with
//! `PINION_SERVER` and `PINION_TOKEN`. With a second argument it ends after that many changes.

use std::time::Duration;

use pinion_client::{ConnectOptions, Connection, Error, Pins, constraints};
use tokio_stream::StreamExt as _;

/// The wait before a broken stream is opened again.
const PAUSE: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::var("PINION_SERVER")?;
    let token = std::env::var("PINION_TOKEN")?;
    let mut words = std::env::args().skip(1);
    let file = words.next().ok_or("name a file")?;
    let mut left: Option<u32> = words.next().map(|count| count.parse()).transpose()?;

    let connection = ConnectOptions::new(server).token(token).open()?;
    let mut etag = None;
    loop {
        match follow(&connection, &file, &mut etag, &mut left).await {
            Ok(true) => return Ok(()),
            // The stream ended, or the server is away: the file stays, and the last etag is asked with.
            Ok(false) => {}
            Err(error) if error.is_transient() => eprintln!("{error}; trying again"),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Writes the file whenever the pins change; true once as many changes came as were asked for.
async fn follow(
    connection: &Connection,
    file: &str,
    etag: &mut Option<String>,
    left: &mut Option<u32>,
) -> Result<bool, Error> {
    let mut stream = std::pin::pin!(Pins::watch(connection, etag.as_deref()).await?);
    while let Some(pins) = stream.next().await {
        let pins = pins?;
        let written = std::fs::write(file, constraints::render(&pins)?);
        match written {
            Ok(()) => println!(
                "{file}: revision {}, {} pins",
                pins.revision,
                pins.pins.len()
            ),
            Err(error) => eprintln!("{file}: {error}"),
        }
        *etag = Some(pins.etag);
        if let Some(left) = left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
