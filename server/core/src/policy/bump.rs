//! How large a step from one version to another is, by the place of the release number that changes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pin::PackageChange;
use crate::version::Version;

/// How large a step is, the same upwards and downwards.
///
/// Counted from the first place of the release number that is not zero in either version, so that before 1.0 every place
/// counts as the one above it: `1.2.3`, `0.2.3` and `0.0.3` have their major place at 1, 2 and 3. A change there is major,
/// at the next place minor, at any later one patch, and so is one of pre-releases, post-releases, local versions and build
/// metadata alone. Places that are not written are zero. Another epoch (PEP 440) is major, and so is any change between versions without a
/// release number, such as Go's `v0.0.0-...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bump {
    /// Dependents may break.
    Major,
    /// New things, compatibly.
    Minor,
    /// The same, repaired.
    Patch,
}

impl Bump {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Major, Self::Minor, Self::Patch];

    /// The step between two versions.
    pub fn between(from: &Version, to: &Version) -> Self {
        let (from, to) = (from.release(), to.release());
        if from.epoch != to.epoch {
            return Self::Major;
        }
        let places = from.places.len().max(to.places.len());
        let place = |places: &[u64], n: usize| places.get(n).copied().unwrap_or(0);
        let differing = (0..places).find(|n| place(&from.places, *n) != place(&to.places, *n));
        let leading = (0..places)
            .find(|n| place(&from.places, *n) != 0 || place(&to.places, *n) != 0)
            .unwrap_or(usize::MAX);
        match differing {
            None if leading == usize::MAX => Self::Major,
            None => Self::Patch,
            Some(place) => match place.saturating_sub(leading) {
                0 => Self::Major,
                1 => Self::Minor,
                _ => Self::Patch,
            },
        }
    }

    /// The step of a change; a pin that comes or goes is a major one.
    pub fn of(change: &PackageChange) -> Self {
        match (&change.from, &change.to) {
            (Some(from), Some(to)) => Self::between(from, to),
            _ => Self::Major,
        }
    }

    /// Its name, as people and programs see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Major => "major",
            Self::Minor => "minor",
            Self::Patch => "patch",
        }
    }
}

impl fmt::Display for Bump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::Ecosystem;

    #[test]
    fn the_place_that_changes_says_how_large_a_step_is() {
        use Bump::{Major, Minor, Patch};
        use Ecosystem::{Cargo, Go, Npm, Pypi};
        for (ecosystem, from, to, bump) in [
            (Pypi, "2.31.0", "3.0", Major),
            (Pypi, "2.31", "2.32.0", Minor),
            (Pypi, "2.31.0", "2.31.1", Patch),
            (Pypi, "1.2.3.4", "1.2.3.5", Patch),
            (Pypi, "1.0", "1.0.post1", Patch),
            (Pypi, "1.0rc1", "1.0", Patch),
            (Pypi, "1.0", "1!1.0", Major),
            (Pypi, "2024.1", "2025.1", Major),
            (Pypi, "0.24", "0.25", Major),
            (Pypi, "0.24.1", "0.24.2", Minor),
            (Cargo, "1.0.0", "2.0.0", Major),
            (Cargo, "1.0.0", "1.0.1", Patch),
            (Npm, "0.2.3", "0.3.0", Major),
            (Npm, "0.2.3", "0.2.4", Minor),
            (Npm, "0.0.3", "0.0.4", Major),
            (Npm, "0.9.0", "1.0.0", Major),
            (Npm, "0.0.9", "0.1.0", Major),
            (Npm, "1.2.3+a", "1.2.3+b", Patch),
            (Go, "v1.2.3", "v1.3.0", Minor),
            (
                Go,
                "v0.0.0-20220101000000-abcdefabcdef",
                "v0.0.0-20230101000000-abcdefabcdef",
                Major,
            ),
        ] {
            let version = |text| Version::parse(ecosystem, text).expect("a version");
            let (from, to) = (version(from), version(to));
            assert_eq!(Bump::between(&from, &to), bump, "{from} -> {to}");
            assert_eq!(Bump::between(&to, &from), bump, "{to} -> {from}");
        }
    }
}
