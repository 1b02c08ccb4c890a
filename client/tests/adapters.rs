//! Pins applied to real checkouts by the real program with the real tools, and undone.
//!
//! Packages come from the registries, by the tools' own settings on this machine. A tool that is missing
//! skips its tests, unless PINION_REQUIRE_PARTS is set.

#[path = "adapters/checkout.rs"]
mod checkout;
#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "cli/stub.rs"]
mod stub;

#[cfg(unix)]
#[path = "adapters/bisect_facts.rs"]
mod bisect_facts;
#[path = "adapters/cargo_facts.rs"]
mod cargo_facts;
#[path = "adapters/go_facts.rs"]
mod go_facts;
#[path = "adapters/guard_facts.rs"]
mod guard_facts;
#[path = "adapters/javascript_facts.rs"]
mod javascript_facts;
#[path = "adapters/journal_facts.rs"]
mod journal_facts;
#[path = "adapters/python_facts.rs"]
mod python_facts;
#[path = "adapters/report_facts.rs"]
mod report_facts;
