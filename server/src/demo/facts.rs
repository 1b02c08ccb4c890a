//! What is known of the versions in the demo: nothing here is made up.

use std::fmt;

/// A package and where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) package: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.package, self.from, self.to)
    }
}

/// A bad release and whom it breaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct BadRelease {
    pub(super) package: &'static str,
    pub(super) good_version: &'static str,
    pub(super) bad_version: &'static str,
    /// Whoever uses this fails with the bad version, and with it only.
    pub(super) consumer: &'static str,
    /// How it fails.
    pub(super) bad_last_line: &'static str,
}

impl BadRelease {
    pub(super) const fn candidate(&self) -> Candidate {
        Candidate {
            package: self.package,
            from: self.good_version,
            to: self.bad_version,
        }
    }
}

/// MarkupSafe 2.1.0, of 2022-02-18, removed `soft_unicode`: every user of Jinja2 2.x without an upper bound failed at
/// import. Replayed with the real packages; the row is `markupsafe-2.1.0` of the replays.
pub(super) const BAD: BadRelease = BadRelease {
    package: "MarkupSafe",
    good_version: "2.0.1",
    bad_version: "2.1.0",
    consumer: "Jinja2 2.11.3",
    bad_last_line: "ImportError: cannot import name 'soft_unicode' from 'markupsafe' (<env>/lib/python3.11/site-packages/markupsafe/__init__.py)",
};

/// requests 2.22.0, of 2019-05-16: an ordinary release that nobody remembers.
pub(super) const GOOD: Candidate = Candidate {
    package: "requests",
    from: "2.21.0",
    to: "2.22.0",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bad_release_is_the_replayed_one() {
        let row = include_str!("../../tests/fixtures/markupsafe-2.1.0.json");
        let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
        for (field, value) in [
            ("package", BAD.package),
            ("good_version", BAD.good_version),
            ("bad_version", BAD.bad_version),
            ("consumer", BAD.consumer),
            ("bad_last_line", BAD.bad_last_line),
        ] {
            assert_eq!(row[field], value, "{field}");
        }
        assert_eq!(
            (&row["good_passes"], &row["bad_passes"]),
            (&true.into(), &false.into())
        );
    }
}
