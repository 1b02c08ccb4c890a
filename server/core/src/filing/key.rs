//! The identity of a filed change, and the branch named after it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

/// The longest part of a package's name that a branch name takes, in bytes.
const BRANCH_PACKAGE_BYTES_MAX: usize = 80;

/// What a filed change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Restores the baseline after a rollout did harm.
    RollBack,
    /// Writes the candidate down as the new baseline.
    Complete,
}

/// One package that a filed change moves from one version to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageChange {
    /// The package, as its owner writes it.
    pub package: String,
    /// The version before the change; empty: there was no such pin.
    pub from_version: String,
    /// The version after the change; empty: the pin goes.
    pub to_version: String,
}

/// The identity of a filed change: the same decision has the same key on every try and server.
///
/// Invariant: 40 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilingKey(String);

/// A text that is no filing key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no filing key; expected 40 lower-case hexadecimal digits")]
pub struct ParseFilingKeyError(String);

impl FilingKey {
    /// The key of the change that brings `changes` to `branch` of `project`.
    ///
    /// SHA-1 over the UTF-8 bytes of these fields, in this order, with one NUL between any two and
    /// none at the end: `v1`; `instance` (the installation's name); `project` (the repository, as
    /// the forge names it); `branch` (the target); for every change, sorted by package, then
    /// `from_version`, then `to_version` (all by bytes; equal ones are kept): these three;
    /// `attempt` in decimal. No field contains NUL, which names and versions never do.
    ///
    /// `attempt` counts from 1 and goes up when a person asks to file a declined change again, or
    /// when the same move is decided anew.
    pub fn new(
        instance: &str,
        project: &str,
        branch: &str,
        changes: &[PackageChange],
        attempt: u32,
    ) -> Self {
        let mut sorted: Vec<&PackageChange> = changes.iter().collect();
        sorted.sort();
        let attempt = attempt.to_string();
        let mut fields = vec!["v1", instance, project, branch];
        for change in sorted {
            fields.extend([
                change.package.as_str(),
                change.from_version.as_str(),
                change.to_version.as_str(),
            ]);
        }
        fields.push(&attempt);
        Self(hex::encode(Sha1::digest(fields.join("\0"))))
    }

    /// All 40 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 8 digits, for names that people read.
    pub fn key8(&self) -> &str {
        &self.0[..8]
    }
}

impl fmt::Display for FilingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FilingKey {
    type Err = ParseFilingKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for FilingKey {
    type Error = ParseFilingKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_key =
            text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_key {
            Ok(Self(text))
        } else {
            Err(ParseFilingKeyError(text))
        }
    }
}

impl From<FilingKey> for String {
    fn from(key: FilingKey) -> Self {
        key.0
    }
}

/// The branch that holds the change: `rollback/<first package>-<key8>`, or `complete/…`.
///
/// Bytes of the package's name other than ASCII letters, digits, `_`, `-` and single inner dots
/// become `-`, and 80 of them are taken: the key makes the name unique, the package makes it readable.
pub fn branch_name(kind: Kind, first_package: &str, key: &FilingKey) -> String {
    let folder = match kind {
        Kind::RollBack => "rollback",
        Kind::Complete => "complete",
    };
    match branch_part(first_package) {
        part if part.is_empty() => format!("{folder}/{}", key.key8()),
        part => format!("{folder}/{part}-{}", key.key8()),
    }
}

fn branch_part(package: &str) -> String {
    let mut part = String::new();
    for byte in package.bytes().take(BRANCH_PACKAGE_BYTES_MAX) {
        match byte {
            b'.' if part.ends_with('.') => part.push('-'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => part.push(byte.into()),
            _ => part.push('-'),
        }
    }
    part.trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change(package: &str, from_version: &str, to_version: &str) -> PackageChange {
        PackageChange {
            package: package.to_owned(),
            from_version: from_version.to_owned(),
            to_version: to_version.to_owned(),
        }
    }

    #[test]
    fn the_bytes_under_the_key_never_change() {
        // printf 'v1\0openstack\0openstack/requirements\0master\0tooz\x009.0.0\x008.1.0\x001' | sha1sum
        let one = FilingKey::new(
            "openstack",
            "openstack/requirements",
            "master",
            &[change("tooz", "9.0.0", "8.1.0")],
            1,
        );
        assert_eq!(one.as_str(), "cbb397cfa9f59ac2bd6bec2e96c89f0532f6bc8a");
        assert_eq!(one.key8(), "cbb397cf");
        // printf 'v1\0openstack\0openstack/requirements\0master\0oslo.log\x007.0.0\x006.2.1\0tooz\x009.0.0\x008.1.0\x002' | sha1sum
        let two = FilingKey::new(
            "openstack",
            "openstack/requirements",
            "master",
            &[
                change("tooz", "9.0.0", "8.1.0"),
                change("oslo.log", "7.0.0", "6.2.1"),
            ],
            2,
        );
        assert_eq!(two.as_str(), "205b0c9b620213078f9c8173dff700c9ca4326d9");
    }

    #[test]
    fn a_key_is_read_back_and_nothing_else_is() {
        let key = FilingKey::new("i", "p", "b", &[], 1);
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        for bad in ["", "abc", &key.as_str().to_uppercase(), &format!("{key}0")] {
            assert!(bad.parse::<FilingKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn branches_are_named_after_the_first_package() {
        let key = FilingKey::new("i", "p", "b", &[], 1);
        let name = |kind, package| branch_name(kind, package, &key).replace(key.key8(), "K");
        assert_eq!(name(Kind::RollBack, "oslo.log"), "rollback/oslo.log-K");
        assert_eq!(name(Kind::Complete, "@types/node"), "complete/types-node-K");
        assert_eq!(
            name(Kind::RollBack, "golang.org/x/net"),
            "rollback/golang.org-x-net-K"
        );
        assert_eq!(name(Kind::RollBack, "..a..lock"), "rollback/a.-lock-K");
        assert_eq!(name(Kind::RollBack, "日本"), "rollback/K");
    }

    proptest! {
        #[test]
        fn the_order_of_the_packages_does_not_change_the_key(
            mut changes in prop::collection::vec(("[a-z]{1,3}", "[0-9]{0,2}", "[0-9]{0,2}"), 0..6)
        ) {
            let key = |triples: &[(String, String, String)]| {
                let changes: Vec<_> = triples.iter().map(|(p, f, t)| change(p, f, t)).collect();
                FilingKey::new("i", "p", "b", &changes, 1)
            };
            let first = key(&changes);
            changes.reverse();
            prop_assert_eq!(first, key(&changes));
        }

        #[test]
        fn any_package_gives_a_branch_that_git_takes(package in "\\PC{0,120}") {
            let name = branch_name(Kind::RollBack, &package, &FilingKey::new("i", "p", "b", &[], 1));
            prop_assert!(name.len() <= 98);
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b)), "{name}");
            prop_assert!(!name.contains(".."), "{name}");
            prop_assert!(!name.contains("/.") && !name.contains("/-") && !name.contains("//"), "{name}");
        }
    }
}
