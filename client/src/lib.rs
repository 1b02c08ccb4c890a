//! The Rust SDK of Pinion: connect to a server, pull pins, report outcomes.
//!
//! The `pinion` command is built on it. What lives here needs no terminal, and no state on disk but the
//! folder that [`adapters`] are given; consent, checkouts and everything printed belong to the command.
//!
//! ```no_run
//! use pinion_client::{ConnectOptions, Pins, Run, reports};
//!
//! # async fn example(token: &str) -> Result<(), pinion_client::Error> {
//! let connection = ConnectOptions::new("https://pinion.example:7460").token(token).open()?;
//!
//! // Nothing is known yet, so the whole pins come back.
//! let pins = Pins::get(&connection, None).await?.expect("without an etag the answer is whole");
//! std::fs::write("constraints.txt", pinion_client::constraints::render(&pins)?).expect("writable");
//!
//! // Only with the consent of the environment's owner; the server refuses reports otherwise.
//! let run = Run::of(&pins);
//! let taken = reports::send(&connection, &[run.started(), run.passed()]).await?;
//! println!("{} reports are durable", taken.accepted + taken.repeated);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/report.rs` and `examples/watch_pins.rs` are whole programs. What breaks a command when many pins
//! changed is found by [`bisect`], which needs no server.
//!
//! Of several servers on one store, [`ConnectOptions::new`] takes all URLs, separated by commas, and asks the next where
//! one fails.
//!
//! Every call has a deadline ([`ConnectOptions::deadline`]); every error is an [`Error`], and what
//! a server refused says which field was wrong and what to do next ([`Refusal::sentences`]).

pub mod adapters;
pub mod bisect;
pub mod connection;
pub mod constraints;
pub mod error;
pub mod ingest;
pub mod pins;
pub mod reports;
mod trace;

pub use connection::{ConnectOptions, Connection};
pub use error::{Error, Refusal};
pub use pins::{Pins, Pulled};
pub use reports::Run;

/// The messages and services of the contract.
pub use pinion_proto::v1;
