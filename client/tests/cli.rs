//! The real program, from outside: exit codes, stdout, stderr, and what it leaves behind.

#[path = "cli/developer.rs"]
mod developer;
#[path = "cli/stub.rs"]
mod stub;

#[path = "cli/checkout_facts.rs"]
mod checkout_facts;
#[path = "cli/command_line_facts.rs"]
mod command_line_facts;
#[path = "cli/policy_facts.rs"]
mod policy_facts;
#[path = "cli/run_facts.rs"]
mod run_facts;
#[path = "cli/sdk_facts.rs"]
mod sdk_facts;
