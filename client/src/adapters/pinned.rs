//! Pins, checked before any of their words reaches a command line or a file.

use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PackageName;
use pinion_core::version::Version;

use crate::v1;

/// A pin whose name and version are what they should be in their ecosystem.
#[derive(Clone, Debug)]
pub(super) struct Pinned {
    pub(super) package: PackageName,
    pub(super) version: Version,
    pub(super) pin: v1::Pin,
}

/// A pin that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pin of `{package}` is invalid: {problem}")]
pub struct InvalidPin {
    /// The package as sent.
    pub package: String,
    /// What is wrong.
    pub problem: String,
}

impl Pinned {
    /// Checks every pin.
    pub(super) fn parse_all(
        ecosystem: Ecosystem,
        pins: &[v1::Pin],
    ) -> Result<Vec<Self>, InvalidPin> {
        pins.iter().map(|pin| Self::parse(ecosystem, pin)).collect()
    }

    fn parse(ecosystem: Ecosystem, pin: &v1::Pin) -> Result<Self, InvalidPin> {
        let invalid = |problem: String| InvalidPin {
            package: pin.package.chars().take(64).collect(),
            problem,
        };
        Ok(Self {
            package: PackageName::parse(ecosystem, &pin.package)
                .map_err(|error| invalid(error.to_string()))?,
            version: Version::parse(ecosystem, &pin.version)
                .map_err(|error| invalid(error.to_string()))?,
            pin: pin.clone(),
        })
    }

    /// The package's name as its owner writes it.
    pub(super) fn name(&self) -> &str {
        self.package.written()
    }
}

/// A name in its ecosystem's normal form; one that is no name there stays as it is.
pub(super) fn normal(ecosystem: Ecosystem, name: &str) -> String {
    match PackageName::parse(ecosystem, name) {
        Ok(name) => name.normal().to_owned(),
        Err(_) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_that_could_be_an_option_or_a_path_is_refused() {
        let pin = |package: &str, version: &str| v1::Pin {
            package: package.into(),
            version: version.into(),
            marker: String::new(),
        };
        let parse = |ecosystem, pin| Pinned::parse_all(ecosystem, &[pin]).is_ok();
        assert!(parse(Ecosystem::Cargo, pin("itoa", "1.0.0")));
        for (ecosystem, name, version) in [
            (Ecosystem::Npm, "--registry=x", "1.0.0"),
            (Ecosystem::Npm, "a", "file:../b"),
            (Ecosystem::Cargo, "-Z", "1.0.0"),
            (Ecosystem::Pypi, "-r", "1.0"),
            (Ecosystem::Go, "../m", "v1.0.0"),
            (Ecosystem::Go, "example.com/m", "v1.0.0 => ../evil"),
        ] {
            assert!(!parse(ecosystem, pin(name, version)), "{name} {version}");
        }
    }
}
