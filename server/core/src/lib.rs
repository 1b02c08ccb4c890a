//! What Pinion decides, as pure functions of values: draws and cohorts, evidence and verdicts, decisions
//! with their reasons, and the words in which they are told.
//!
//! Nothing here waits, asks what time it is, draws at random, logs, or reads a file. Simulations follow from
//! the seed that they are given.

pub mod ask;
pub mod audit;
pub mod calendar;
pub mod clearance;
pub mod constraints;
pub mod decide;
pub mod draw;
pub mod ecosystem;
pub mod event_bet;
pub mod event_trail;
pub mod evidence;
pub mod figures;
pub mod filing;
pub mod gate;
pub mod guard;
pub mod log;
pub mod mixture;
pub mod name;
pub mod notice;
pub mod numbers;
pub mod outcome;
pub mod path;
pub mod pin;
pub mod policy;
pub mod prediction;
pub mod queue;
pub mod reason;
pub mod release;
pub mod replay;
pub mod requires;
pub mod resolve;
pub mod rollout;
pub mod simulation;
pub mod source_file;
pub mod standing;
pub mod state;
pub mod time;
pub mod version;
pub mod window_bet;
