//! Indexes, as release managers look at them. They are watched by their [loop](crate::loops::indexes).

use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::{PackageName, PinSetName};
use pinion_core::release::Maturity;

use super::pin_sets::no_index;
use super::{Controller, Identity, Refusal};
use crate::forge::Finding;
use crate::index::{Error, Index, Listed, Listing};
use crate::store::records::Role;

/// Requirements that a finding names, at most.
const NAMED_MAX: usize = 12;

/// An index, as people see it.
#[derive(Clone, Debug)]
pub struct IndexListing {
    /// Whose versions it has.
    pub ecosystem: Ecosystem,
    /// Where it is, without secrets.
    pub url: String,
    /// Pin sets for which it is watched.
    pub pin_sets: Vec<PinSetName>,
    /// Why it gave no answer last; empty: it did, or was not asked.
    pub problem: String,
}

impl Controller {
    /// The indexes of the configuration.
    ///
    /// # Errors
    /// If the caller is no viewer.
    pub fn list_indexes(&self, caller: &Identity) -> Result<Vec<IndexListing>, Refusal> {
        caller.require(&[Role::Viewer])?;
        let snapshot = self.snapshot();
        let listing = |(ecosystem, configured): (Ecosystem, &crate::index::Configured)| {
            let records = snapshot.pin_sets().map(|entry| &entry.stored.record);
            let watched = records.filter(|record| record.track && record.ecosystem == ecosystem);
            let visible = watched.filter(|record| caller.require_pin_set(&record.name).is_ok());
            IndexListing {
                ecosystem,
                url: configured.url.clone(),
                pin_sets: visible.map(|record| record.name.clone()).collect(),
                problem: self.index_problem(ecosystem),
            }
        };
        Ok(self.indexes.iter().map(listing).collect())
    }

    /// Asks an index for a package, and says what was found.
    ///
    /// # Errors
    /// If no index of the ecosystem is configured, or the name is none there.
    pub async fn check_index(
        &self,
        caller: &Identity,
        ecosystem: Ecosystem,
        package: &str,
    ) -> Result<Vec<Finding>, Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        let package = PackageName::parse(ecosystem, package)
            .map_err(|error| Refusal::invalid("package", error))?;
        let configured = self
            .indexes
            .get(ecosystem)
            .ok_or_else(|| Refusal::invalid("ecosystem", no_index(ecosystem)))?;
        Ok(findings(configured.index.as_ref(), &package).await)
    }
}

async fn findings(index: &dyn Index, package: &PackageName) -> Vec<Finding> {
    let first = index.listing(package, None).await;
    let found = match first {
        Ok(Listing::Found(found)) => found,
        Ok(Listing::Absent(words)) => return vec![ask(package, Err(words))],
        Ok(Listing::Unchanged) => {
            let words = "it says that nothing has changed since nothing was known";
            return vec![ask(package, Err(words.to_owned()))];
        }
        Err(error) => return vec![ask(package, Err(error.to_string()))],
    };
    let newest = newest(&found.releases);
    let mut findings = vec![ask(package, Ok(counted(&found.releases, newest)))];
    let again = match &found.validator {
        None => Ok(
            "it gives neither ETag nor Last-Modified, so that every answer is whole; mind `track_interval_s`"
                .to_owned(),
        ),
        Some(known) => match index.listing(package, Some(known)).await {
            Ok(Listing::Unchanged) => Ok("nothing has changed, in a few bytes".to_owned()),
            Ok(_) => Err("it answers in full although nothing has changed".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    };
    findings.push(Finding {
        what: "ask whether that has changed".to_owned(),
        found: again,
    });
    if let Some(newest) = newest {
        let needs = index.needs(&newest.needs).await;
        findings.push(Finding {
            what: format!("read what {} needs", newest.release.version),
            found: needs
                .map(in_words)
                .map_err(|error: Error| error.to_string()),
        });
    }
    findings
}

fn ask(package: &PackageName, found: Result<String, String>) -> Finding {
    Finding {
        what: format!("ask for {}", package.written()),
        found,
    }
}

/// The newest version that is for everybody and was not taken back.
fn newest(releases: &[Listed]) -> Option<&Listed> {
    let is_fit =
        |one: &&Listed| one.release.maturity == Maturity::Final && one.release.yanked.is_none();
    let fit = releases.iter().filter(is_fit);
    fit.max_by(|a, b| a.release.version.cmp_precedence(&b.release.version))
}

fn counted(releases: &[Listed], newest: Option<&Listed>) -> String {
    let yanked = releases.iter().filter(|one| one.release.yanked.is_some());
    let counts = format!("{} versions, {} yanked", releases.len(), yanked.count());
    let Some(newest) = newest else {
        return format!("{counts}; none that is for everybody");
    };
    let published = match newest.release.published_at {
        Some(at) => format!("published {at}"),
        None => "it does not say when that was published, which counts from when it is seen".into(),
    };
    format!(
        "{counts}; the newest is {}, {published}",
        newest.release.version
    )
}

fn in_words(needs: Vec<pinion_core::requires::Requirement>) -> String {
    if needs.is_empty() {
        return "nothing that binds other pins, or it does not tell".to_owned();
    }
    let named: Vec<String> = needs
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    match needs.len().saturating_sub(NAMED_MAX) {
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}
