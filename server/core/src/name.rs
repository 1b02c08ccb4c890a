//! Names, each checked when it is made and carried as its own type from then on.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ecosystem::Ecosystem;

/// The longest package name, in bytes: npm's limit.
pub const PACKAGE_BYTES_MAX: usize = 214;

/// A text that is no name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is no {kind}: {cause}")]
pub struct InvalidName {
    /// What it was to be.
    pub kind: &'static str,
    /// The text, cut at 64 characters.
    pub value: String,
    /// What a name of this kind looks like.
    pub cause: &'static str,
}

impl InvalidName {
    fn new(kind: &'static str, value: &str, cause: &'static str) -> Self {
        Self {
            kind,
            value: value.chars().take(64).collect(),
            cause,
        }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $check:expr, $cause:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(InvalidName::new($kind, text, $cause)) }
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_person(text: &str) -> bool {
    let name = text.strip_prefix("oidc:").unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'`<>/\\,;".contains(&byte);
    (1..=200).contains(&name.len()) && name.bytes().all(is_plain)
}

fn is_plain(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !text.contains("..")
}

fn is_hex_after(prefix: &str, digits: usize, text: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|hex| {
        hex.len() == digits
            && hex
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

name!(
    /// The name of a pin set: 1 to 63 of `a-z`, `0-9`, `-`, `.`; begins with a letter or digit; no `..`.
    PinSetName, "pin set name", is_plain, "give 1 to 63 of a-z, 0-9, `-` and `.`, beginning with a letter or digit"
);
name!(
    /// The name of a token, in the form of a pin set's.
    TokenName, "token name", is_plain, "give 1 to 63 of a-z, 0-9, `-` and `.`, beginning with a letter or digit"
);
name!(
    /// The name of a forge in the configuration, in the form of a pin set's.
    ForgeName, "forge name", is_plain, "give 1 to 63 of a-z, 0-9, `-` and `.`, beginning with a letter or digit"
);
name!(
    /// The name of a route by which notices go, in the form of a pin set's.
    RouteName, "route name", is_plain, "give 1 to 63 of a-z, 0-9, `-` and `.`, beginning with a letter or digit"
);
name!(
    /// The name of a consumer, in the form of a pin set's.
    ConsumerName, "consumer name", is_plain, "give 1 to 63 of a-z, 0-9, `-` and `.`, beginning with a letter or digit"
);
name!(
    /// Who may approve: the name of a token or of a role, in the form of a pin set's; or a person whom an identity provider
    /// knows, as `oidc:` and up to 200 plain characters.
    Approver, "approver", |text| is_plain(text) || is_person(text),
    "give the name of a token, a person as oidc:alice@example.org, or the role release-manager, admin or viewer"
);
name!(
    /// What environments are drawn by: 1 to 100 bytes of printable ASCII without blank and `/`.
    DrawKey, "draw key",
    |text| (1..=100).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'),
    "give 1 to 100 printable ASCII characters without blank and `/`"
);
name!(
    /// A platform, such as `linux-x86_64-py3.11`: 1 to 64 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`.
    Platform, "platform",
    |text| (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)),
    "give 1 to 64 letters, digits, `.`, `_` and `-`"
);
name!(
    /// An environment's id: `env-` and 32 lower-case hexadecimal digits.
    EnvironmentId, "environment id", |text| is_hex_after("env-", 32, text), "it is `env-` and 32 hexadecimal digits"
);
name!(
    /// A rollout's id: `ro-` and 16 lower-case hexadecimal digits.
    RolloutId, "rollout id", |text| is_hex_after("ro-", 16, text), "it is `ro-` and 16 hexadecimal digits"
);
name!(
    /// The id of a gate's lease: `lease-` and 32 lower-case hexadecimal digits.
    LeaseId, "lease id", |text| is_hex_after("lease-", 32, text), "it is `lease-` and 32 hexadecimal digits"
);

name!(
    /// A notice's id: `nt-` and 24 lower-case hexadecimal digits.
    NoticeId, "notice id", |text| is_hex_after("nt-", 24, text), "it is `nt-` and 24 hexadecimal digits"
);

impl EnvironmentId {
    /// An id of these bytes, which must come from a random source.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(format!("env-{}", hex::encode(bytes)))
    }
}

impl RolloutId {
    /// An id of these bytes, which must come from a random source.
    pub fn from_random(bytes: [u8; 8]) -> Self {
        Self(format!("ro-{}", hex::encode(bytes)))
    }
}

impl NoticeId {
    /// An id of these bytes, which no other notice has.
    pub fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(format!("nt-{}", hex::encode(bytes)))
    }
}

impl LeaseId {
    /// An id of these bytes, which must come from a random source.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(format!("lease-{}", hex::encode(bytes)))
    }
}

/// A package's name, such as `MarkupSafe`.
///
/// Keeps the text as its owner writes it; compares, orders and hashes by the ecosystem's normal form, so that
/// `MarkupSafe` and `markupsafe` are one. 1 to [`PACKAGE_BYTES_MAX`] bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PackageName {
    written: String,
    normal: String,
}

impl PackageName {
    /// The name that a text is in an ecosystem.
    ///
    /// # Errors
    /// If it is none there.
    pub fn parse(ecosystem: Ecosystem, text: &str) -> Result<Self, InvalidName> {
        let (kind, fine, cause) = match ecosystem {
            Ecosystem::Pypi => (
                "package name of pypi",
                is_pypi(text),
                "give letters, digits, `.`, `_` and `-`, beginning and ending with a letter or digit",
            ),
            Ecosystem::Cargo => (
                "package name of cargo",
                is_cargo(text),
                "give ASCII letters, digits, `_` and `-`, beginning with a letter",
            ),
            Ecosystem::Npm => (
                "package name of npm",
                is_npm(text),
                "give lower-case letters, digits, `.`, `_` and `-`, with `@scope/` before it or not",
            ),
            Ecosystem::Go => (
                "package name of go",
                is_go(text),
                "give a module path such as `golang.org/x/text`",
            ),
        };
        if !fine || !(1..=PACKAGE_BYTES_MAX).contains(&text.len()) {
            return Err(InvalidName::new(kind, text, cause));
        }
        Ok(Self {
            written: text.to_owned(),
            normal: normal(ecosystem, text),
        })
    }

    /// The name as its owner writes it.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The name in the ecosystem's normal form.
    pub fn normal(&self) -> &str {
        &self.normal
    }

    /// The normal form as one segment of a store key or a branch name: what is not a letter, digit, `-` or `.`
    /// becomes `_` and two hexadecimal digits. Different names have different segments.
    pub fn key_segment(&self) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        self.normal
            .bytes()
            .fold(String::new(), |mut segment, byte| {
                if plain(byte) {
                    segment.push(char::from(byte));
                } else {
                    segment.push_str(&format!("_{byte:02x}"));
                }
                segment
            })
    }
}

/// The normal form of a name, or of a pattern of names.
pub(crate) fn normal(ecosystem: Ecosystem, text: &str) -> String {
    match ecosystem {
        Ecosystem::Pypi => normal_pypi(text),
        Ecosystem::Cargo => text.to_ascii_lowercase().replace('_', "-"),
        Ecosystem::Npm | Ecosystem::Go => text.to_owned(),
    }
}

/// PEP 508: `^([A-Z0-9]|[A-Z0-9][A-Z0-9._-]*[A-Z0-9])$`, whatever the case.
fn is_pypi(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(ends)
        && text.ends_with(ends)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// PEP 503: lower case, runs of `-`, `_` and `.` become one `-`.
fn normal_pypi(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.push(c.to_ascii_lowercase()),
        }
    }
    normal
}

fn is_cargo(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn is_npm(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '_'])
            && part.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-~".contains(&byte)
            })
    };
    match text.strip_prefix('@') {
        Some(scoped) => scoped
            .split_once('/')
            .is_some_and(|(scope, name)| part(scope) && part(name)),
        None => part(text),
    }
}

fn is_go(text: &str) -> bool {
    let element = |element: &str| {
        !element.is_empty()
            && !element.starts_with('.')
            && !element.ends_with('.')
            && element
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    text.split('/').all(element)
}

impl PartialEq for PackageName {
    fn eq(&self, other: &Self) -> bool {
        self.normal == other.normal
    }
}

impl Eq for PackageName {}

impl PartialOrd for PackageName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PackageName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.normal.cmp(&other.normal)
    }
}

impl Hash for PackageName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.normal.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pypi(text: &str) -> Result<PackageName, InvalidName> {
        PackageName::parse(Ecosystem::Pypi, text)
    }

    #[test]
    fn pypi_names_are_one_whatever_their_case_and_separators() {
        assert_eq!(
            pypi("Django_OpenStack.Auth").expect("a name"),
            pypi("django-openstack-auth").expect("a name")
        );
        assert_eq!(
            pypi("zope..interface").expect("a name").normal(),
            "zope-interface"
        );
        assert_eq!(pypi("PyKafka").expect("a name").written(), "PyKafka");
    }

    #[test]
    fn what_is_no_package_name_is_refused() {
        for bad in ["", "-x", "x-", "a b", "é", "a/b", "x\n"] {
            assert!(pypi(bad).is_err(), "{bad:?}");
        }
        assert!(pypi(&"x".repeat(215)).is_err());
        assert!(PackageName::parse(Ecosystem::Npm, "@babel/core").is_ok());
        assert!(PackageName::parse(Ecosystem::Npm, "@babel").is_err());
        assert!(PackageName::parse(Ecosystem::Npm, "Left-Pad").is_err());
        assert!(PackageName::parse(Ecosystem::Go, "golang.org/x/text").is_ok());
        assert!(PackageName::parse(Ecosystem::Go, "golang.org//text").is_err());
        assert!(PackageName::parse(Ecosystem::Go, "../etc/passwd").is_err());
        assert!(PackageName::parse(Ecosystem::Cargo, "serde_json").is_ok());
        assert!(PackageName::parse(Ecosystem::Cargo, "1serde").is_err());
    }

    #[test]
    fn key_segments_are_safe_and_distinct() {
        let segment = |name| {
            PackageName::parse(Ecosystem::Npm, name)
                .expect("a name")
                .key_segment()
        };
        assert_eq!(segment("@babel/core"), "_40babel_2fcore");
        assert_ne!(segment("a_40b"), segment("a-40b"));
    }

    #[test]
    fn ids_have_their_form() {
        assert_eq!(
            RolloutId::from_random([0xab; 8]).as_str(),
            "ro-abababababababab"
        );
        assert!("ro-ABABABABABABABAB".parse::<RolloutId>().is_err());
        assert!("env-00".parse::<EnvironmentId>().is_err());
        assert!("openstack-master".parse::<PinSetName>().is_ok());
        for bad in ["", "-a", "A", "a..b", "a/b"] {
            assert!(bad.parse::<PinSetName>().is_err(), "{bad}");
        }
        assert!("team nova".parse::<DrawKey>().is_err());
    }
}
