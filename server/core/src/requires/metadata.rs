//! Requirements as the indexes of the ecosystems write them. What is not about other versions, or not understood, is
//! none: a version of which nothing is known needs nothing.

use super::{Range, Reach, Requirement};
use crate::ecosystem::Ecosystem;
use crate::name::PackageName;
use crate::pin::Marker;

/// The requirement of a `Requires-Dist`, such as `Jinja2 (>=3) ; extra == 'html' or python_version < '3.8'`.
///
/// It is as where no extra is asked for: pins do not say which are. A marker stays, and a requirement counts wherever it
/// may hold. `None`: any version will do, or it is an address, or no requirement at all.
pub fn of_pypi(text: &str) -> Option<Requirement> {
    let (exact, marker) = match text.split_once(';') {
        Some((exact, marker)) => (exact, Marker::without_extras(marker).ok()??),
        None => (text, None),
    };
    let requirement = Requirement::parse(Ecosystem::Pypi, exact).ok()?;
    Some(Requirement {
        marker,
        ..requirement
    })
}

/// The requirement of a dependency in a line of a Cargo index.
///
/// It is about compatible versions alone: Cargo builds one of each that are not.
pub fn of_cargo(package: &str, range: &str) -> Option<Requirement> {
    of_semver(Ecosystem::Cargo, package, range, Reach::Compatible)
}

/// The requirement of one of the `peerDependencies` of npm.
pub fn of_npm(package: &str, range: &str) -> Option<Requirement> {
    of_semver(Ecosystem::Npm, package, range, Reach::Every)
}

fn of_semver(
    ecosystem: Ecosystem,
    package: &str,
    range: &str,
    reach: Reach,
) -> Option<Requirement> {
    Some(Requirement {
        package: PackageName::parse(ecosystem, package).ok()?,
        range: Range::parse(ecosystem, range).ok()?,
        marker: None,
        reach,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::version::Version;

    fn pypi(text: &str) -> Option<(String, String)> {
        let one = of_pypi(text)?;
        let marker = one.marker.as_ref().map(ToString::to_string);
        Some((one.to_string(), marker.unwrap_or_default()))
    }

    #[test]
    fn what_an_extra_needs_is_not_needed_without_it() {
        let is = |text: &str, marker: &str| Some((text.to_owned(), marker.to_owned()));
        assert_eq!(pypi("urllib3 (<3,>=1.21.1)"), is("urllib3 <3,>=1.21.1", ""));
        assert_eq!(pypi("PySocks!=1.5.7,>=1.5.6; extra == \"socks\""), None);
        assert_eq!(
            pypi("PySocks>=1 ; (python_version < '3.8') and extra == 'socks'"),
            None
        );
        assert_eq!(
            pypi("tomli>=2; python_version < '3.11'"),
            is("tomli >=2", "python_version < '3.11'")
        );
        assert_eq!(
            pypi("tomli>=2; python_version < '3.11' or extra == 'toml'"),
            is("tomli >=2", "python_full_version < '3.11'")
        );
        assert_eq!(pypi("tomli>=2; extra != 'x'"), is("tomli >=2", ""));
        assert_eq!(
            pypi("charset_normalizer[unicode]~=2.0"),
            is("charset_normalizer ~=2.0", "")
        );
        for none in [
            "idna",
            "idna @ https://example.org/i.whl",
            "",
            ">=1",
            "idna>=x",
            "a>=1;b",
        ] {
            assert_eq!(pypi(none), None, "{none}");
        }
    }

    #[test]
    fn a_crate_of_another_compatible_range_may_stand_beside() {
        let needs = of_cargo("serde", "^1.0.100").expect("a requirement");
        let admits = |text| needs.admits(&Version::parse(Ecosystem::Cargo, text).expect(text));
        assert!(admits("1.0.100") && admits("2.0.0") && admits("0.9.1"));
        assert!(!admits("1.0.99"));
        let peer = of_npm("react", "^17 || ^18").expect("a requirement");
        let admits = |text| peer.admits(&Version::parse(Ecosystem::Npm, text).expect(text));
        assert!(admits("18.2.0") && !admits("19.0.0"));
        assert_eq!(of_npm("react", "file:../react"), None);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reading(text in "\\PC{0,80}", other in "[a-z<>=!~;.,()\\[\\] '0-9]{0,60}") {
            for text in [&text, &other] {
                let _ = (of_pypi(text), of_cargo("a", text), of_npm(text, text));
                let _ = of_pypi(&format!("a>=1;{text}"));
            }
        }
    }
}
