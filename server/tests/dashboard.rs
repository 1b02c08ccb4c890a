//! The dashboard: over plain HTTP, and in a real headless Chromium.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "dashboard/browser.rs"]
mod browser;
#[path = "evidence/fleet.rs"]
#[allow(dead_code, reason = "the evidence's tests use the rest")]
mod fleet;
#[path = "dashboard/forms.rs"]
mod forms;
#[path = "dashboard/http.rs"]
mod http;
#[path = "dashboard/looks.rs"]
mod looks;
#[path = "dashboard/people.rs"]
mod people;
#[path = "dashboard/stand_in.rs"]
mod stand_in;
#[path = "dashboard/story.rs"]
mod story;
#[path = "dashboard/watched.rs"]
mod watched;
#[path = "dashboard/web.rs"]
mod web;
