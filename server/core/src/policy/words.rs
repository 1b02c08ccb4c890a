//! A policy in words, the same in every place in which people read it: names of rules, and what they say.

use super::{Bump, OnHarm, OnInconclusive, Overlap, Override, Policy, Rules};
use crate::calendar::{Calendar, Freeze};
use crate::draw::Share;
use crate::name::{Approver, ConsumerName};
use crate::reason::points;
use crate::time::in_full;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A rule and what it says.
pub type Told = (&'static str, String);

impl Policy {
    /// Its rules, without overrides and security lane; what says nothing is left out.
    pub fn in_words(&self) -> Vec<Told> {
        let mut told = vec![
            ("stages", shares(&self.stages)),
            ("pilot", yes_no(self.pilot)),
            ("pilot bake", in_full(self.pilot_bake)),
            ("bake", in_full(self.bake)),
            ("alpha", self.alpha.to_string()),
            ("beta", self.beta.to_string()),
            (
                "margin",
                self.margin
                    .map_or_else(|| "what the fleet can resolve".to_owned(), points),
            ),
            (
                "minimum environments",
                self.minimum_environments.to_string(),
            ),
            ("minimum age", in_full(self.minimum_age)),
            ("gates", names(&self.gates, ConsumerName::as_str)),
            ("gate timeout", in_full(self.gate_timeout)),
            ("gate runs", self.gate_runs.to_string()),
            (
                "approvals",
                approvals(Some(self.approvals), Some(&self.approvers)),
            ),
            ("lift approvals", self.lift_approvals.to_string()),
            ("shadow", shadow(self.shadow)),
            ("on harm", self.on_harm.in_words().to_owned()),
            (
                "on inconclusive",
                self.on_inconclusive.in_words().to_owned(),
            ),
            ("repeat failures", yes_no(self.repeat_failures)),
            ("overlap", self.overlap.in_words().to_owned()),
            ("open rollouts at most", self.open_rollouts_max.to_string()),
            ("open", hours(&self.calendar)),
        ];
        let freezes = self.calendar.freezes.iter();
        told.extend(freezes.map(|freeze| ("frozen", planned(freeze))));
        told.retain(|(_, words)| !words.is_empty());
        told
    }
}

impl Override {
    /// What it matches.
    pub fn subject(&self) -> String {
        let bumps: Vec<String> = self.bumps.iter().map(Bump::to_string).collect();
        let packages: Vec<String> = self.packages.iter().map(ToString::to_string).collect();
        let packages = match packages.is_empty() {
            true => "every package".to_owned(),
            false => packages.join(", "),
        };
        match bumps.is_empty() {
            true => packages,
            false => format!("{packages}; {}", bumps.join(", ")),
        }
    }
}

impl Rules {
    /// The rules that it changes, and no others.
    pub fn in_words(&self) -> Vec<Told> {
        let none_or = |words: String| match words.is_empty() {
            true => "none".to_owned(),
            false => words,
        };
        let gates = self.gates.as_ref();
        let mut told = vec![
            ("stages", self.stages.as_deref().map(shares)),
            ("pilot", self.pilot.map(yes_no)),
            ("pilot bake", self.pilot_bake.map(in_full)),
            ("bake", self.bake.map(in_full)),
            ("alpha", self.alpha.map(|rate| rate.to_string())),
            ("beta", self.beta.map(|rate| rate.to_string())),
            ("margin", self.margin.map(points)),
            (
                "minimum environments",
                self.minimum_environments.map(|n| n.to_string()),
            ),
            ("minimum age", self.minimum_age.map(in_full)),
            (
                "gates",
                gates.map(|gates| none_or(names(gates, ConsumerName::as_str))),
            ),
            ("gate timeout", self.gate_timeout.map(in_full)),
            ("gate runs", self.gate_runs.map(|n| n.to_string())),
            (
                "approvals",
                Some(approvals(self.approvals, self.approvers.as_deref())),
            ),
            ("lift approvals", self.lift_approvals.map(|n| n.to_string())),
            ("shadow", self.shadow.map(shadow)),
            ("on harm", self.on_harm.map(|one| one.in_words().to_owned())),
            (
                "on inconclusive",
                self.on_inconclusive.map(|one| one.in_words().to_owned()),
            ),
            ("repeat failures", self.repeat_failures.map(yes_no)),
        ];
        told.retain(|(_, words)| words.as_ref().is_some_and(|words| !words.is_empty()));
        told.into_iter()
            .map(|(name, words)| (name, words.unwrap_or_default()))
            .collect()
    }
}

impl OnHarm {
    /// What is done.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::RollBack => "roll back",
            Self::Pause => "pause and wait for a person",
        }
    }
}

impl OnInconclusive {
    /// What is done.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Wait => "wait for a person",
            Self::Complete => "give it to everybody",
        }
    }
}

impl Overlap {
    /// What is done.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Refuse => "refuse the new one",
            Self::Supersede => "supersede the old one",
        }
    }
}

/// Which overrides match, by their places, counted from 1.
pub fn overrides_in_words(places: &[usize]) -> String {
    let places: Vec<String> = places.iter().map(ToString::to_string).collect();
    match places.as_slice() {
        [] => "no override matches".to_owned(),
        [place] => format!("override {place} matches"),
        places => format!("overrides {} match", places.join(", ")),
    }
}

fn shares(shares: &[Share]) -> String {
    let shares: Vec<String> = shares.iter().map(ToString::to_string).collect();
    shares.join(", ")
}

fn names<T>(names: &[T], as_str: impl Fn(&T) -> &str) -> String {
    names.iter().map(as_str).collect::<Vec<_>>().join(", ")
}

fn yes_no(yes: bool) -> String {
    match yes {
        true => "yes".to_owned(),
        false => "no".to_owned(),
    }
}

fn shadow(shadow: bool) -> String {
    match shadow {
        true => "yes: rollouts are only played, nothing is served".to_owned(),
        false => "no".to_owned(),
    }
}

/// How many approvals and whose; what is left out is not said.
fn approvals(count: Option<u32>, approvers: Option<&[Approver]>) -> String {
    let of = approvers.map(|approvers| match approvers {
        [] => "of release managers and admins".to_owned(),
        approvers => format!("of {}", names(approvers, Approver::as_str)),
    });
    let of = of.filter(|_| count != Some(0));
    let words = [count.map(|count| count.to_string()), of];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn hours(calendar: &Calendar) -> String {
    let open = DAYS.iter().zip(calendar.days).filter(|(_, open)| *open);
    let days: Vec<&str> = open.map(|(day, _)| *day).collect();
    let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!(
        "{} {}-{} {}",
        days.join(" "),
        time(calendar.opens_minute),
        time(calendar.closes_minute),
        calendar.time_zone
    )
}

fn planned(freeze: &Freeze) -> String {
    let Freeze { start, end, reason } = freeze;
    format!("{start} to {end}: {reason}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_default_policy_is_told_in_full() {
        let told = Policy::default().in_words();
        let of = |name| {
            let found = told.iter().find(|(known, _)| *known == name);
            found.map(|(_, words)| words.as_str())
        };
        assert_eq!(of("stages"), Some("1 %, 5 %, 10 %, 25 %, 50 %"));
        assert_eq!(of("bake"), Some("8 h"));
        assert_eq!(of("margin"), Some("what the fleet can resolve"));
        assert_eq!(of("approvals"), Some("0"));
        assert_eq!(of("open"), Some("Mon Tue Wed Thu Fri 09:00-17:00 UTC"));
        assert_eq!(of("gates"), None);
    }

    #[test]
    fn rules_tell_what_they_change_and_no_more() {
        assert_eq!(Rules::default().in_words(), []);
        let rules = Rules {
            gates: Some(Vec::new()),
            bake: Some(Duration::from_secs(5400)),
            approvers: Some(vec!["admin".parse().expect("a name")]),
            ..Rules::default()
        };
        let told = rules.in_words();
        let expected = [
            ("bake", "1 h 30 min"),
            ("gates", "none"),
            ("approvals", "of admin"),
        ];
        assert_eq!(told, expected.map(|(name, words)| (name, words.to_owned())));
        assert_eq!(overrides_in_words(&[1, 3]), "overrides 1, 3 match");
    }
}
