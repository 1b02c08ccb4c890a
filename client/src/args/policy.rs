//! What is typed to check a policy and to see what it would do.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// `pinion policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Check a policy file, here, and show what it comes to with every default.
    Check {
        /// The policy, a TOML file.
        file: PathBuf,
    },
    /// Show the policy of a pin set, or what it comes to for a candidate.
    Show(ShowPolicy),
    /// Simulate rollouts under a policy without its overrides, good ones and bad ones, next to other ways.
    Simulate(SimulatePolicy),
}

/// `pinion policy show`.
#[derive(Debug, Parser)]
pub(crate) struct ShowPolicy {
    /// The pin set.
    pub(crate) pin_set: String,
    /// A package; several move together.
    #[arg(long = "package", value_name = "PACKAGE", requires = "to")]
    pub(crate) packages: Vec<String>,
    /// The version it would go to, for each package one.
    #[arg(long, value_name = "VERSION", requires = "packages")]
    pub(crate) to: Vec<String>,
    /// As a security fix.
    #[arg(long, requires = "packages")]
    pub(crate) security: bool,
}

/// `pinion policy simulate`.
#[derive(Debug, Parser)]
pub(crate) struct SimulatePolicy {
    /// The policy, a TOML file; without it: the default policy.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Environments that report.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) fleet: u32,
    /// The share of an environment's days that fail by themselves, as 0.15 or 15%.
    #[arg(long, value_name = "SHARE", default_value = "15%", value_parser = parse_rate)]
    pub(crate) failure_rate: f64,
    /// Simulated rollouts of each kind.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rollouts: u64,
    /// Equal seeds give equal answers, on any number of cores.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Failing runs are repeated with the baseline and count only if that passes, whatever the policy says.
    #[arg(long)]
    pub(crate) verified: bool,
    /// Draw a picture too, an SVG file.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let (digits, unit) = match text.strip_suffix('%') {
        Some(digits) => (digits.trim(), 100.0),
        None => (text, 1.0),
    };
    match digits.parse::<f64>().map(|number| number / unit) {
        Ok(rate) if (0.001..=0.9).contains(&rate) => Ok(rate),
        _ => Err("a failure rate lies between 0.1% and 90%, such as 0.15 or 15%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_rate_is_a_fraction_or_a_percentage_that_can_be_simulated() {
        assert_eq!(parse_rate("15%"), Ok(0.15));
        assert_eq!(parse_rate("0.3"), Ok(0.3));
        for text in ["0", "15", "91%", "-1", "NaN", ""] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }
}
