//! What the decision engine makes of what environments do, as facts on a real server with its real store.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "evidence/blame.rs"]
mod blame;
#[path = "evidence/clearance.rs"]
mod clearance;
#[path = "evidence/fleet.rs"]
mod fleet;
#[path = "evidence/guard.rs"]
mod guard;
#[path = "evidence/people.rs"]
mod people;
#[path = "evidence/repeats.rs"]
mod repeats;
#[path = "evidence/restarts.rs"]
mod restarts;
#[path = "evidence/silence.rs"]
mod silence;
#[path = "evidence/units.rs"]
mod units;
