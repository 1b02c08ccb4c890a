//! Patterns of package names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ecosystem::Ecosystem;
use crate::name::{PACKAGE_BYTES_MAX, PackageName, normal};

/// A pattern of package names: `*` stands for any run of characters, also none and also with `/`, everything else for
/// itself, compared in the ecosystem's normal form: in pypi, `oslo.*` matches `Oslo_Config`. 1 to
/// [`PACKAGE_BYTES_MAX`] bytes of printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackagePattern(String);

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no pattern of package names; write a name, with `*` for any run of characters, such as `oslo.*`"
)]
pub struct InvalidPattern(String);

impl PackagePattern {
    /// Whether a package's name is one of those.
    pub fn matches(&self, ecosystem: Ecosystem, package: &PackageName) -> bool {
        is_match(&normal(ecosystem, &self.0), package.normal())
    }
}

/// Looks for the parts between the stars from the left, each as early as it comes, the last one at the end.
pub(crate) fn is_match(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else {
        return pattern == name;
    };
    let rest = name
        .strip_prefix(first)
        .and_then(|rest| rest.strip_suffix(last));
    let found = rest.and_then(|rest| {
        parts.try_fold(rest, |rest, part| {
            let at = rest.find(part)?;
            rest.get(at + part.len()..)
        })
    });
    found.is_some()
}

impl FromStr for PackagePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let is_fine = (1..=PACKAGE_BYTES_MAX).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"*@/._-~".contains(&byte));
        match is_fine {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidPattern(text.chars().take(64).collect())),
        }
    }
}

impl TryFrom<String> for PackagePattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl From<PackagePattern> for String {
    fn from(pattern: PackagePattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for PackagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(ecosystem: Ecosystem, pattern: &str, name: &str) -> bool {
        let pattern: PackagePattern = pattern.parse().expect("a pattern");
        pattern.matches(
            ecosystem,
            &PackageName::parse(ecosystem, name).expect("a name"),
        )
    }

    #[test]
    fn names_match_in_the_normal_form_of_their_ecosystem() {
        use Ecosystem::{Cargo, Go, Npm, Pypi};
        for (ecosystem, pattern, name) in [
            (Pypi, "oslo.*", "Oslo_Config"),
            (Pypi, "Oslo.Config", "oslo-config"),
            (Pypi, "*client", "python-novaclient"),
            (Pypi, "*", "six"),
            (Cargo, "serde_*", "serde-json"),
            (Npm, "@babel/*", "@babel/core"),
            (Go, "golang.org/x/*", "golang.org/x/text/unicode"),
        ] {
            assert!(matches(ecosystem, pattern, name), "{pattern} {name}");
        }
        for (ecosystem, pattern, name) in [
            (Pypi, "oslo.*", "oslo"),
            (Pypi, "oslo", "oslo.config"),
            (Pypi, "a*a", "a"),
            (Npm, "@babel/*", "babel"),
        ] {
            assert!(!matches(ecosystem, pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "a b", "[a-z]", "a?", "é", &"x".repeat(215)] {
            assert!(bad.parse::<PackagePattern>().is_err(), "{bad}");
        }
    }

    /// The definition, slowly.
    fn slowly(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skip| slowly(rest, &name[skip..])),
            Some((byte, rest)) => name.first() == Some(byte) && slowly(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_star_stands_for_any_run(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(is_match(&pattern, &name), slowly(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
