//! The real program, from outside: exit codes, stdout, stderr, and what it leaves behind.

#[path = "cli/developer.rs"]
mod developer;
#[path = "cli/stub.rs"]
mod stub;

#[path = "cli/bisect_facts.rs"]
mod bisect_facts;
#[path = "cli/checkout_facts.rs"]
mod checkout_facts;
#[path = "cli/command_line_facts.rs"]
mod command_line_facts;
#[path = "cli/consent_facts.rs"]
mod consent_facts;
#[path = "cli/doctor_facts.rs"]
mod doctor_facts;
#[path = "cli/ingest_facts.rs"]
mod ingest_facts;
#[path = "cli/offline_facts.rs"]
mod offline_facts;
#[path = "cli/policy_facts.rs"]
mod policy_facts;
#[path = "cli/real_tool_facts.rs"]
mod real_tool_facts;
#[path = "cli/report_facts.rs"]
mod report_facts;
#[path = "cli/run_facts.rs"]
mod run_facts;
#[path = "cli/sdk_facts.rs"]
mod sdk_facts;
