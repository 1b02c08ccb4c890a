//! A policy, with every default that the server filled in.

use pinion_client::v1;
use pinion_core::policy::words::{Told, overrides_in_words};

use super::{change, facts};
use crate::effective_policy::{effective, with_defaults};
use crate::terminal::clean;

/// A policy as indented lines.
pub(crate) fn policy(policy: &v1::Policy) -> String {
    let policy = match effective(&with_defaults(policy.clone())) {
        Ok(policy) => policy,
        // One of a newer server, which may admit more.
        Err(refused) => return clean(&format!("  not told here: {}", refused.words)) + "\n",
    };
    let mut text = lines("  ", policy.in_words());
    for one in &policy.overrides {
        text.push_str(&format!("\n  override: {}\n", clean(&one.subject())));
        text.push_str(&lines("    ", one.rules.in_words()));
    }
    if let Some(security) = &policy.security {
        text.push_str("\n  security fixes\n");
        text.push_str(&lines("    ", security.in_words()));
    }
    text
}

/// What a policy comes to for a candidate, and why.
pub(crate) fn resolved_policy(response: &v1::ResolvePolicyResponse) -> String {
    let mut text = String::new();
    for one in &response.changes {
        let step = one.change.as_ref().map(change).unwrap_or_default();
        let places = one.overrides.iter();
        let places: Vec<usize> = places
            .filter_map(|place| usize::try_from(*place).ok())
            .collect();
        let overrides = overrides_in_words(&places);
        let words = format!("{step}: {}, {overrides}", bump(one.bump()));
        text.push_str(&(clean(&words) + "\n"));
    }
    let rules = response.policy.clone().unwrap_or_default();
    format!("{text}\npolicy\n{}", policy(&rules))
}

fn lines(indent: &str, told: Vec<Told>) -> String {
    let told = told.into_iter();
    let told: Vec<(String, String)> = told
        .map(|(name, words)| (format!("{indent}{name}"), words))
        .collect();
    let told = told.iter();
    let told: Vec<(&str, String)> = told
        .map(|(name, words)| (name.as_str(), words.clone()))
        .collect();
    facts(&told)
}

fn bump(bump: v1::Bump) -> &'static str {
    match bump {
        v1::Bump::Unspecified => "",
        v1::Bump::Major => "major",
        v1::Bump::Minor => "minor",
        v1::Bump::Patch => "patch",
    }
}
