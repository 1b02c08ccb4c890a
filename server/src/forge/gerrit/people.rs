//! Who is asked to review a change, and who is told.
//!
//! A name that the server does not know, or no longer knows, must not keep a rollback from being filed: it is left out,
//! and the answer says so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Reviewers and those in copy, as Gerrit knows them: e-mail addresses, user names, groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct People {
    pub(super) reviewers: Vec<String>,
    pub(super) cc: Vec<String>,
}

/// One of them, as REST takes it.
#[derive(Debug, Serialize)]
pub(super) struct Asked<'a> {
    reviewer: &'a str,
    state: &'static str,
}

/// What REST answers to a review whose reviewers it does not all take.
#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    #[serde(default)]
    reviewers: BTreeMap<String, Reviewer>,
}

#[derive(Debug, Deserialize)]
struct Reviewer {
    error: Option<String>,
}

impl Refused {
    /// Whether it refuses this one.
    pub(super) fn names(&self, name: &str) -> bool {
        let reviewer = self.reviewers.get(name);
        reviewer.is_some_and(|reviewer| reviewer.error.is_some())
    }
}

impl People {
    /// Nobody at all.
    pub(super) fn is_empty(&self) -> bool {
        self.reviewers.is_empty() && self.cc.is_empty()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.reviewers.iter().chain(&self.cc)
    }

    /// As options of a push.
    pub(super) fn options(&self) -> impl Iterator<Item = String> {
        let reviewers = self.reviewers.iter().map(|name| format!("r={name}"));
        reviewers.chain(self.cc.iter().map(|name| format!("cc={name}")))
    }

    /// As a part of a review by REST.
    pub(super) fn asked(&self) -> Vec<Asked<'_>> {
        let states = [(&self.reviewers, "REVIEWER"), (&self.cc, "CC")];
        let asked = states
            .into_iter()
            .flat_map(|(names, state)| names.iter().map(move |reviewer| Asked { reviewer, state }));
        asked.collect()
    }

    /// Those who are left without the refused ones; `None` if nobody is refused.
    pub(super) fn without(&self, is_refused: impl Fn(&str) -> bool) -> Option<Self> {
        let left = |names: &[String]| {
            let names = names.iter().filter(|name| !is_refused(name));
            names.cloned().collect::<Vec<_>>()
        };
        let left = Self {
            reviewers: left(&self.reviewers),
            cc: left(&self.cc),
        };
        (left != *self).then_some(left)
    }

    /// Which of these are not among `asked`, in words; empty if all are.
    pub(super) fn words_of_missing(&self, asked: &Self) -> String {
        let is_missing = |name: &&String| !asked.all().any(|other| other == *name);
        let missing: Vec<_> = self.all().filter(is_missing).map(String::as_str).collect();
        match missing.is_empty() {
            true => String::new(),
            false => format!(
                "; without `{}`, whom the server does not know",
                missing.join("`, `")
            ),
        }
    }
}

/// Whether the refusal of a push is about this name.
pub(super) fn is_about(summary: &str, name: &str) -> bool {
    summary.contains(&format!("Account '{name}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(reviewers: &[&str], cc: &[&str]) -> People {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        People {
            reviewers: owned(reviewers),
            cc: owned(cc),
        }
    }

    #[test]
    fn who_is_refused_is_left_out_and_named() {
        let all = people(&["ada", "eve"], &["ops", "eve@example.org"]);
        let summary = "[remote rejected] (Account 'eve' not found";
        let left = all.without(|name| is_about(summary, name)).expect("eve");
        assert_eq!(left, people(&["ada"], &["ops", "eve@example.org"]));
        assert_eq!(
            all.words_of_missing(&left),
            "; without `eve`, whom the server does not know"
        );
        assert_eq!(left.without(|name| is_about(summary, name)), None);
        assert_eq!(all.words_of_missing(&all), "");
    }

    #[test]
    fn rest_names_whom_it_refuses() {
        let refused: Refused = serde_json::from_str(
            r#"{"reviewers":{"eve":{"input":"eve","error":"Account 'eve' not found"},"ada":{"input":"ada"}}}"#,
        )
        .expect("an answer");
        assert!(refused.names("eve") && !refused.names("ada") && !refused.names("ops"));
    }
}
