//! Backups: taken from a running server, restored into either engine, and refused where they are not whole.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "evidence/fleet.rs"]
mod fleet;

#[path = "backup/engines.rs"]
mod engines;
#[path = "backup/moves.rs"]
mod moves;
#[path = "backup/program.rs"]
mod program;
