//! Whether a range of npm's admits a version.

use nodejs_semver::{Range, Version};

use super::pinned::Pinned;

/// Whether a range such as `^1.2` admits the pin; a tag, an address or a path admits none.
pub(super) fn admits(range: &str, pinned: &Pinned) -> bool {
    let range = range.strip_prefix("npm:").unwrap_or(range);
    let range = Range::parse(range);
    let version = Version::parse(pinned.version.as_str());
    matches!((range, version), (Ok(range), Ok(version)) if range.satisfies(&version))
}

/// Whether two versions are compatible as a caret has it.
pub(super) fn is_near(found: &str, pinned: &Pinned) -> bool {
    admits(&format!("^{found}"), pinned) || {
        let back = Range::parse(format!("^{}", pinned.version));
        let found = Version::parse(found);
        matches!((back, found), (Ok(back), Ok(found)) if back.satisfies(&found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Pin;
    use pinion_core::ecosystem::Ecosystem;

    #[test]
    fn ranges_admit_what_npm_says_they_do() {
        let pin = |version: &str| {
            let pin = Pin {
                package: "a".into(),
                version: version.into(),
                marker: String::new(),
            };
            Pinned::parse_all(Ecosystem::Npm, &[pin])
                .expect("valid")
                .remove(0)
        };
        for (range, version, expected) in [
            ("^1.2.0", "1.9.0", true),
            ("^0.1.2", "0.2.0", false),
            ("1", "1.5.0", true),
            ("1.2.3", "1.2.4", false),
            ("~1.2 || >=3", "3.0.0", true),
            ("1.0.0 - 2.0.0", "1.5.0", true),
            (">=1 <2", "2.0.0", false),
            ("*", "5.0.0", true),
            ("npm:^6.0.0", "6.0.1", true),
            ("^1.0.0", "1.1.0-beta.1", false),
            ("latest", "1.0.0", false),
            ("github:a/b", "1.0.0", false),
            ("workspace:*", "1.0.0", false),
        ] {
            assert_eq!(admits(range, &pin(version)), expected, "{range} {version}");
        }
        assert!(is_near("1.2.3", &pin("1.0.0")) && is_near("1.0.0", &pin("1.2.3")));
        assert!(!is_near("1.0.0", &pin("2.0.0")));
    }
}
