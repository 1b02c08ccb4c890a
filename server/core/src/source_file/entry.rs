//! A place in a file that names a package, and what it says of it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::dialect::Dialect;
use super::literal::Literal;
use crate::ecosystem::Ecosystem;
use crate::name::PackageName;
use crate::pin::{Marker, Pin};

/// Which packages are looked for.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Every one.
    All,
    /// These.
    These(BTreeSet<PackageName>),
}

impl Wanted {
    /// The package that a text names, if it is one and looked for.
    pub(super) fn package(&self, ecosystem: Ecosystem, name: &str) -> Option<PackageName> {
        let package = PackageName::parse(ecosystem, name).ok()?;
        match self {
            Self::All => Some(package),
            Self::These(packages) => packages.contains(&package).then_some(package),
        }
    }
}

/// How far what is said holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everywhere, or where the marker holds.
    Whole,
    /// For a part of the dependencies, or under a condition that is no marker: edited, but no pin of the set.
    Part,
    /// It follows another place: edited if it is an exact pin of the old version, else left alone.
    Following,
}

/// What is said of a package.
#[derive(Clone, Debug)]
pub(super) enum Says<'a> {
    /// The versions that are asked for.
    Versions(Dialect, Literal<'a>),
    /// Versions together with a hash.
    Hashed(Dialect, Literal<'a>),
    /// No version; why.
    Nothing(String),
}

/// A place in a file that names a package.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) package: PackageName,
    pub(super) marker: Option<Marker>,
    /// Where it begins in the body of the file.
    pub(super) at: usize,
    /// All of it with its line end, where it can go as a whole.
    pub(super) whole: Option<Range<usize>>,
    pub(super) scope: Scope,
    pub(super) says: Says<'a>,
}

impl<'a> Entry<'a> {
    /// An entry without a marker that holds everywhere.
    pub(super) fn new(package: PackageName, at: usize, says: Says<'a>) -> Self {
        Self {
            package,
            marker: None,
            at,
            whole: None,
            scope: Scope::Whole,
            says,
        }
    }

    /// Its pin, or why it has none.
    pub(super) fn pin(&self) -> Result<Pin, String> {
        let (dialect, literal) = match &self.says {
            Says::Versions(dialect, literal) => (dialect, literal),
            Says::Hashed(..) => return Err("it carries a hash, which fits one version only".into()),
            Says::Nothing(reason) => return Err(reason.clone()),
        };
        match (dialect.exact(literal.part()), self.scope) {
            (None, _) => Err(match literal.part() {
                "" => "it allows every version".to_owned(),
                range => format!("it allows `{range}`"),
            }),
            (Some(_), Scope::Part) => Err("it holds under a condition only".to_owned()),
            (Some(_), Scope::Following) => Err("another place decides its version".to_owned()),
            (Some((version, _)), Scope::Whole) => Ok(Pin {
                package: self.package.clone(),
                version,
                marker: self.marker.clone(),
            }),
        }
    }
}
