//! Versions as the index of their ecosystem has them, and which of them a pin is moved to next.

use crate::time::Timestamp;
use crate::version::Version;

/// A version as its index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The version.
    pub version: Version,
    /// When the last of its files was published, where the index tells.
    pub published_at: Option<Timestamp>,
    /// Whom it is for.
    pub maturity: Maturity,
    /// Why it was taken back, in the words of who did; may be empty. `None`: it was not.
    pub yanked: Option<String>,
}

/// Whom a version is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maturity {
    /// Everybody.
    Final,
    /// Who asks for it: a pre-release, or what its owners do not call the latest yet.
    Early,
}

impl Maturity {
    /// That of a version of which nothing else is known.
    pub fn of(version: &Version) -> Self {
        match version.is_early() {
            true => Self::Early,
            false => Self::Final,
        }
    }
}

/// The version that a pin at `pin` is moved to next: the newest that is old enough; if none is, the one that will be
/// first, so that a package with a release a day has its turn. `None`: it stays.
///
/// What was taken back is left out, and so is what is early, unless the pin is. `old_enough_at` says when a version is
/// old enough; `None`: it is not to be tried, and then nothing older than it is either, so that nobody is led down the
/// releases of a package, one harm after the other.
pub fn next<'a>(
    releases: impl Iterator<Item = &'a Release> + Clone,
    pin: &Version,
    old_enough_at: impl Fn(&Release) -> Option<Timestamp>,
    now: Timestamp,
) -> Option<&'a Release> {
    let of_pin = releases.clone().find(|release| release.version == *pin);
    let maturity = of_pin.map_or_else(|| Maturity::of(pin), |release| release.maturity);
    let is_fit = |release: &&Release| {
        release.version.is_newer_than(pin)
            && release.yanked.is_none()
            && (release.maturity == Maturity::Final || maturity == Maturity::Early)
    };
    let mut newer: Vec<&Release> = releases.filter(is_fit).collect();
    newer.sort_by(|a, b| b.version.cmp_precedence(&a.version));
    let mut soonest: Option<(Timestamp, &Release)> = None;
    for release in newer {
        let Some(at) = old_enough_at(release) else {
            break;
        };
        if at <= now {
            return Some(release);
        }
        if soonest.is_none_or(|(soonest, _)| at < soonest) {
            soonest = Some((at, release));
        }
    }
    soonest.map(|(_, release)| release)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ecosystem::Ecosystem;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000 * 86_400_000);

    fn version(text: &str) -> Version {
        Version::parse(Ecosystem::Pypi, text).expect("a version")
    }

    /// Versions with their age in days; `!`: yanked.
    fn releases(rows: &[(&str, u64)]) -> Vec<Release> {
        let release = |(text, days): &(&str, u64)| {
            let version = version(text.trim_end_matches('!'));
            Release {
                maturity: Maturity::of(&version),
                version,
                published_at: Some(NOW.minus(Duration::from_secs(days * 86_400))),
                yanked: text.ends_with('!').then(String::new),
            }
        };
        rows.iter().map(release).collect()
    }

    /// What a pin is moved to where versions have to be three days old, and `barred` is not to be tried.
    fn chosen(rows: &[(&str, u64)], pin: &str, barred: &str) -> Option<String> {
        let releases = releases(rows);
        let at = |release: &Release| {
            let published = release.published_at.expect("a time");
            (release.version.as_str() != barred)
                .then(|| published.plus(Duration::from_secs(3 * 86_400)))
        };
        next(releases.iter(), &version(pin), at, NOW).map(|release| release.version.to_string())
    }

    #[test]
    fn the_newest_that_is_old_enough_is_next() {
        let rows = [
            ("1.0", 90),
            ("1.1", 50),
            ("1.10", 5),
            ("1.9", 9),
            ("2.0", 1),
        ];
        assert_eq!(chosen(&rows, "1.0", "").as_deref(), Some("1.10"));
        assert_eq!(chosen(&rows, "2.0", ""), None);
        assert_eq!(chosen(&rows, "3!0.1", ""), None, "an epoch comes first");
        assert_eq!(chosen(&[], "1.0", ""), None);
    }

    #[test]
    fn where_all_are_too_young_it_is_the_one_that_is_old_enough_first() {
        let rows = [("1.0", 90), ("1.1", 2), ("1.2", 1), ("1.3", 0)];
        assert_eq!(chosen(&rows, "1.0", "").as_deref(), Some("1.1"));
    }

    #[test]
    fn what_is_yanked_or_early_is_left_out() {
        let rows = [
            ("1.0", 90),
            ("1.1", 50),
            ("1.2!", 40),
            ("2.0rc1", 30),
            ("2.0.dev3", 20),
        ];
        assert_eq!(chosen(&rows, "1.0", "").as_deref(), Some("1.1"));
        assert_eq!(chosen(&rows, "2.0.dev1", "").as_deref(), Some("2.0rc1"));
        let mut tagged = releases(&[("1.0", 90), ("1.1", 50)]);
        tagged[1].maturity = Maturity::Early;
        let none = next(tagged.iter(), &version("1.0"), |_| Some(NOW), NOW);
        assert_eq!(none, None, "its owners do not call it the latest");
    }

    #[test]
    fn nothing_is_tried_below_what_was_taken_back() {
        let rows = [("1.0", 90), ("1.1", 50), ("1.2", 40), ("1.3", 30)];
        assert_eq!(chosen(&rows, "1.0", "1.2").as_deref(), Some("1.3"));
        assert_eq!(chosen(&rows, "1.0", "1.3"), None);
    }
}
