//! A registry of npm: one document a package, in its full form, since the short one does not say when a version was
//! published.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PackageName;
use pinion_core::release::{Maturity, Release};
use pinion_core::requires::Requirement;
use pinion_core::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::http::Api;
use super::{Error, Index, Listed, Listing, Needs, Validator, object, read, told, version};

/// A registry.
#[derive(Debug)]
pub(super) struct Npm {
    api: Api,
}

#[derive(Deserialize)]
struct Packument {
    /// What every document of a package has, whatever became of it.
    #[serde(rename = "name")]
    _name: String,
    #[serde(default, rename = "dist-tags")]
    dist_tags: BTreeMap<String, Value>,
    #[serde(default)]
    versions: BTreeMap<String, Manifest>,
    #[serde(default)]
    time: BTreeMap<String, Value>,
}

/// What is deprecated is not taken back: its owners advise against the package, not against the version alone.
#[derive(Deserialize)]
struct Manifest {
    /// An object, and whatever people published before that was checked.
    #[serde(default, rename = "peerDependencies")]
    peer_dependencies: Value,
}

impl Npm {
    pub(super) const fn new(api: Api) -> Self {
        Self { api }
    }
}

#[async_trait]
impl Index for Npm {
    async fn listing(
        &self,
        package: &PackageName,
        known: Option<&Validator>,
    ) -> Result<Listing, Error> {
        // The slash of a scope is a part of the name.
        let path = format!("/{}", package.normal().replace('/', "%2f"));
        let fetched = self.api.get(&path, "application/json", known).await?;
        read(fetched, releases).await
    }

    async fn needs(&self, needs: &Needs) -> Result<Vec<Requirement>, Error> {
        Ok(told(Ecosystem::Npm, needs))
    }
}

fn releases(body: &[u8]) -> Result<Vec<Listed>, String> {
    let packument: Packument =
        object(body).map_err(|error| format!("it is no document of a package: {error}"))?;
    let Packument {
        dist_tags,
        versions,
        time,
        ..
    } = packument;
    let latest = dist_tags.get("latest").and_then(Value::as_str);
    let latest = latest.and_then(|latest| version(Ecosystem::Npm, latest));
    let listed = |(text, manifest): (String, Manifest)| {
        let version = version(Ecosystem::Npm, &text)?;
        let is_ahead = latest
            .as_ref()
            .is_some_and(|latest| version.is_newer_than(latest));
        let time = time.get(&text).and_then(Value::as_str);
        Some(Listed {
            needs: Needs::Told(peers(&manifest.peer_dependencies)),
            release: Release {
                maturity: match is_ahead {
                    true => Maturity::Early,
                    false => Maturity::of(&version),
                },
                version,
                published_at: time.and_then(Timestamp::parse),
                yanked: None,
            },
        })
    };
    Ok(versions.into_iter().filter_map(listed).collect())
}

/// Peers bind the versions beside them; other dependencies are nested, at versions of their own. Optional peers bind too:
/// npm refuses another version of one that is there.
fn peers(peers: &Value) -> Vec<(String, String)> {
    let peers = peers.as_object().into_iter().flatten();
    peers
        .filter_map(|(package, range)| Some((package.clone(), range.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn peers_bind_and_what_is_ahead_of_the_latest_is_early() {
        let body = br#"{"name":"@x/a","dist-tags":{"latest":"1.1.0","next":"2.0.0"},"versions":{
            "1.0.0":{"name":"@x/a","version":"1.0.0","dependencies":{"c":"^1"},"peerDependencies":{"react":"^17 || ^18"},"peerDependenciesMeta":{"react":{"optional":true}},"deprecated":"use b"},
            "1.1.0":{"version":"1.1.0","peerDependencies":[]},
            "2.0.0":{"version":"2.0.0"},"not-a-version":{}},
            "time":{"created":"2024-01-01T00:00:00.000Z","modified":"2024-01-01T00:00:00.000Z","1.0.0":"2024-02-01T00:00:00.000Z","unpublished":{"time":"x"}}}"#;
        let listed = releases(body).expect("reads");
        let shown: Vec<_> = listed
            .iter()
            .map(|one| (one.release.version.as_str(), one.release.maturity))
            .collect();
        assert_eq!(
            shown,
            [
                ("1.0.0", Maturity::Final),
                ("1.1.0", Maturity::Final),
                ("2.0.0", Maturity::Early)
            ]
        );
        let needs = told(Ecosystem::Npm, &listed[0].needs);
        assert_eq!(needs.len(), 1);
        assert_eq!(needs[0].to_string(), "react ^17 || ^18");
        assert_eq!(
            listed[0].release.published_at,
            Timestamp::parse("2024-02-01T00:00:00Z")
        );
        assert_eq!(listed[0].release.yanked, None, "deprecated is not yanked");
    }

    #[test]
    fn what_was_unpublished_whole_has_no_versions() {
        let body = br#"{"name":"a","time":{"unpublished":{"time":"2024-01-01T00:00:00.000Z","versions":["1.0.0"]}}}"#;
        assert!(releases(body).expect("reads").is_empty());
        for body in ["[]", "", "{}", "null", "<html>"] {
            assert!(releases(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_reading(body in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,40}") {
            let _ = releases(&body);
            let mut versions = serde_json::Map::new();
            versions.insert(text.clone(), serde_json::json!({"peerDependencies": {text.clone(): text.clone()}}));
            let document = serde_json::json!({"name": "a", "versions": versions, "time": {"1.0.0": text}, "dist-tags": {"latest": text}});
            let listed = releases(document.to_string().as_bytes());
            prop_assert!(listed.is_ok());
            for one in listed.unwrap_or_default() {
                let _ = told(Ecosystem::Npm, &one.needs);
            }
        }
    }
}
