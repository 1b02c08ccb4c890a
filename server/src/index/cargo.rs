//! A sparse index of Rust crates: a line of JSON a version.

use async_trait::async_trait;
use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PackageName;
use pinion_core::release::{Maturity, Release};
use pinion_core::requires::Requirement;
use pinion_core::time::Timestamp;
use serde::Deserialize;

use super::http::{Api, Fetched};
use super::{Error, Index, Listed, Listing, Needs, Validator, read, told, version};

/// A sparse index.
#[derive(Debug)]
pub(super) struct Cargo {
    api: Api,
}

#[derive(Deserialize)]
struct Line {
    vers: String,
    #[serde(default)]
    deps: Vec<Dependency>,
    #[serde(default)]
    yanked: bool,
    #[serde(default)]
    pubtime: Option<String>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    #[serde(default)]
    optional: bool,
    /// `normal`, `build` or `dev`.
    #[serde(default)]
    kind: Option<String>,
    /// Another index; none: this one.
    #[serde(default)]
    registry: Option<String>,
    /// The name of the crate, where the other one is what the code calls it.
    #[serde(default)]
    package: Option<String>,
}

impl Cargo {
    pub(super) const fn new(api: Api) -> Self {
        Self { api }
    }
}

#[async_trait]
impl Index for Cargo {
    async fn listing(
        &self,
        package: &PackageName,
        known: Option<&Validator>,
    ) -> Result<Listing, Error> {
        let mut absent = Listing::Absent("it has no name".to_owned());
        for name in spellings(package) {
            let fetched = self.api.get(&path_of(&name), "text/plain", known).await?;
            match fetched {
                Fetched::Absent(words) => absent = Listing::Absent(words),
                fetched => return read(fetched, releases).await,
            }
        }
        Ok(absent)
    }

    async fn needs(&self, needs: &Needs) -> Result<Vec<Requirement>, Error> {
        Ok(told(Ecosystem::Cargo, needs))
    }
}

/// As written first, then with the other of the two signs that Cargo takes for one.
fn spellings(package: &PackageName) -> Vec<String> {
    let written = package.written().to_ascii_lowercase();
    let mut all = vec![
        written.clone(),
        written.replace('_', "-"),
        written.replace('-', "_"),
    ];
    all.dedup();
    if all.last() == all.first() && all.len() > 1 {
        all.pop();
    }
    all
}

/// Where a crate stands: by its first letters, so that no folder has too many.
fn path_of(name: &str) -> String {
    match name.len() {
        0..=2 => format!("/{}/{name}", name.len()),
        3 => format!("/3/{}/{name}", &name[..1]),
        _ => format!("/{}/{}/{name}", &name[..2], &name[2..4]),
    }
}

fn releases(body: &[u8]) -> Result<Vec<Listed>, String> {
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii().is_empty());
    let mut all = Vec::new();
    for (index, line) in lines.enumerate() {
        let line: Line = serde_json::from_slice(line)
            .map_err(|error| format!("line {} is none of a sparse index: {error}", index + 1))?;
        all.extend(listed(line));
    }
    Ok(all)
}

fn listed(line: Line) -> Option<Listed> {
    let version = version(Ecosystem::Cargo, &line.vers)?;
    // Dependencies for the tests of the crate itself are never built for others, optional ones only where asked for.
    let binds = |dependency: &Dependency| {
        !dependency.optional
            && dependency.kind.as_deref() != Some("dev")
            && dependency.registry.is_none()
    };
    let need = |dependency: Dependency| {
        let package = dependency.package.unwrap_or(dependency.name);
        (package, dependency.req)
    };
    Some(Listed {
        needs: Needs::Told(line.deps.into_iter().filter(binds).map(need).collect()),
        release: Release {
            maturity: Maturity::of(&version),
            version,
            published_at: line.pubtime.as_deref().and_then(Timestamp::parse),
            yanked: line.yanked.then(String::new),
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn crates_stand_by_their_first_letters() {
        let paths = ["a", "ab", "abc", "serde", "serde_json"].map(path_of);
        assert_eq!(
            paths,
            [
                "/1/a",
                "/2/ab",
                "/3/a/abc",
                "/se/rd/serde",
                "/se/rd/serde_json"
            ]
        );
        let name = |text| PackageName::parse(Ecosystem::Cargo, text).expect("a name");
        assert_eq!(spellings(&name("Inflector")), ["inflector"]);
        assert_eq!(spellings(&name("serde_json")), ["serde_json", "serde-json"]);
        assert_eq!(spellings(&name("serde-json")), ["serde-json", "serde_json"]);
        assert_eq!(spellings(&name("a-b_c")), ["a-b_c", "a-b-c", "a_b_c"]);
    }

    #[test]
    fn a_line_is_a_version_with_what_is_built_for_others() {
        let body = br#"{"name":"a","vers":"1.0.0","deps":[{"name":"b","req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal"},{"name":"c","req":"^2","optional":true,"kind":"normal"},{"name":"d","req":"^3","optional":false,"kind":"dev"},{"name":"renamed","package":"e","req":">=1, <3","optional":false,"target":"cfg(windows)","kind":"build"},{"name":"f","req":"1","optional":false,"kind":"normal","registry":"https://example.org/index"}],"cksum":"00","features":{},"yanked":false,"pubtime":"2024-03-01T10:00:00Z"}
{"name":"a","vers":"1.1.0-rc.1","deps":[],"cksum":"00","features":{},"yanked":true}
"#;
        let listed = releases(body).expect("reads");
        let needs: Vec<_> = told(Ecosystem::Cargo, &listed[0].needs)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(needs, ["b ^1", "e >=1, <3"]);
        let published = Timestamp::parse("2024-03-01T10:00:00Z");
        assert_eq!(listed[0].release.published_at, published);
        assert_eq!(listed[1].release.yanked.as_deref(), Some(""));
        assert_eq!(listed[1].release.maturity, Maturity::Early);
        assert!(releases(b"<html>").is_err());
        assert!(releases(b"").expect("nothing").is_empty());
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_reading(body in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,40}") {
            let _ = releases(&body);
            let line = serde_json::json!({"vers": text, "deps": [{"name": text, "req": text}], "pubtime": text});
            let listed = releases(line.to_string().as_bytes());
            prop_assert!(listed.is_ok());
            for one in listed.unwrap_or_default() {
                let _ = told(Ecosystem::Cargo, &one.needs);
            }
        }
    }
}
