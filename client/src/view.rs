//! The server's answers in words and tables, for people.

mod audit;
mod figures;
mod forge;
mod gate;
mod index;
mod notice;
mod pin_set;
mod policy;
mod rollout;
mod token;

pub(crate) use audit::{audit_checked, audit_entry, checked, verified};
pub(crate) use figures::{figures, figures_notes};
pub(crate) use forge::{findings, forges};
pub(crate) use gate::{changes, gate_standing, gates};
pub(crate) use index::indexes;
pub(crate) use notice::{notices, routes};
pub(crate) use pin_set::{blocks, explanation, imported, lifted, pin_set, pin_sets, pins, wanted};
pub(crate) use policy::{policy, resolved_policy};
pub(crate) use rollout::{candidate, decision, headline, progress, rollout, rollouts, standing};
pub(crate) use token::{role, tokens};

use pinion_client::v1;

/// A change of one package: `requests 2.0 -> 2.1`.
pub(crate) fn change(change: &v1::PackageChange) -> String {
    let marker = match change.marker.as_str() {
        "" => String::new(),
        marker => format!(" ({marker})"),
    };
    let package = &change.package;
    match (change.from_version.as_str(), change.to_version.as_str()) {
        ("", to) => format!("{package}{marker} new at {to}"),
        (from, "") => format!("{package}{marker} {from} goes"),
        (from, to) => format!("{package}{marker} {from} -> {to}"),
    }
}

/// A share as a percentage: `0.5 %`, `25 %`.
pub(crate) fn percent(share: f64) -> String {
    let rounded = (share * 10_000.0).round() / 100.0;
    format!("{rounded} %")
}

/// The next planned share, and its earliest time where that is known.
fn next_share(share: f64, time: Option<&prost_types::Timestamp>) -> String {
    match time {
        Some(_) => format!(
            "{}, not before {}",
            percent(share),
            crate::times::show_time(time)
        ),
        None => percent(share),
    }
}

/// Lines of a name and a value, the values one below the other.
fn facts(facts: &[(&str, String)]) -> String {
    let widest = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let shown = facts.iter().filter(|(_, value)| !value.is_empty());
    shown
        .map(|(name, value)| format!("{name:<widest$}  {}\n", crate::terminal::clean(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages_without_noise() {
        assert_eq!(percent(0.1), "10 %");
        assert_eq!(percent(0.005), "0.5 %");
        assert_eq!(percent(0.07), "7 %");
        assert_eq!(percent(1.0), "100 %");
    }
}
