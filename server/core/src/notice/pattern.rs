//! Patterns of names of notices and pin sets, by which routes choose.

use std::fmt;

use crate::policy::pattern::is_match;

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 63;

/// A pattern of names: `*` stands for any run of characters, everything else for itself. 1 to 63 of `a-z`, `0-9`, `-`,
/// `.`, `_` and `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no pattern; write a name, with `*` for any run of characters, such as `rollout.*`"
)]
pub struct InvalidPattern(String);

impl Pattern {
    /// The pattern that a text is.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let is_fine = (1..=PATTERN_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._*".contains(&byte)
            });
        match is_fine {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidPattern(text.chars().take(64).collect())),
        }
    }

    /// Whether a name is one of those.
    pub fn matches(&self, name: &str) -> bool {
        is_match(&self.0, name)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_and_the_rest_for_itself() {
        let matches =
            |pattern: &str, name: &str| Pattern::parse(pattern).expect("one").matches(name);
        assert!(matches("*", "rollout.frozen") && matches("rollout.*", "rollout.frozen"));
        assert!(matches("*.person_needed", "candidate.person_needed"));
        assert!(!matches("rollout.*", "gate.failed") && !matches("rollout", "rollout.frozen"));
        for refused in ["", "Rollout.*", "a b", "a/b", &"a".repeat(64)] {
            assert!(Pattern::parse(refused).is_err(), "{refused:?}");
        }
    }
}
