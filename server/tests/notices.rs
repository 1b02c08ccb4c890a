//! Notices on a real server: who is told what, once, whatever fails on the way.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "notices/faults.rs"]
mod faults;
#[path = "notices/kill.rs"]
mod kill;
#[path = "notices/mail.rs"]
mod mail;
#[path = "notices/process.rs"]
mod process;
#[path = "notices/receiver.rs"]
mod receiver;
#[path = "notices/route.rs"]
mod route;
#[path = "notices/story.rs"]
mod story;
