//! A simple index of Python packages, in its JSON form (PEP 691 with 700, 714 and 592), and the metadata of wheels beside
//! them (PEP 658).

use std::collections::BTreeMap;

use async_trait::async_trait;
use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PackageName;
use pinion_core::release::{Maturity, Release};
use pinion_core::requires::{Requirement, of_pypi};
use pinion_core::time::Timestamp;
use pinion_core::version::Version;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::http::{Api, Fetched};
use super::{Error, Index, Listed, Listing, Needs, Validator, object, read, version};

/// The one form that is asked for.
const JSON: &str = "application/vnd.pypi.simple.v1+json";
const SDISTS: [&str; 5] = [".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz"];

/// A simple index.
#[derive(Debug)]
pub(super) struct Pypi {
    api: Api,
}

#[derive(Deserialize)]
struct Project {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    url: String,
    #[serde(default, rename = "upload-time")]
    upload_time: Option<String>,
    /// Whether, or why.
    #[serde(default)]
    yanked: Value,
    /// Whether its metadata stand beside it, or their hashes; under three names, of which the first is today's.
    #[serde(default, rename = "core-metadata")]
    core_metadata: Value,
    #[serde(default, rename = "dist-info-metadata")]
    dist_info_metadata: Value,
    #[serde(default, rename = "data-dist-info-metadata")]
    data_dist_info_metadata: Value,
}

impl Pypi {
    pub(super) const fn new(api: Api) -> Self {
        Self { api }
    }
}

#[async_trait]
impl Index for Pypi {
    async fn listing(
        &self,
        package: &PackageName,
        known: Option<&Validator>,
    ) -> Result<Listing, Error> {
        let path = format!("/{}/", package.normal());
        let fetched = self.api.get(&path, JSON, known).await?;
        let base = match &fetched {
            Fetched::Body(answer) => Some(answer.url.clone()),
            _ => None,
        };
        let package = package.clone();
        read(fetched, move |body| releases(&package, base.as_ref(), body)).await
    }

    async fn needs(&self, needs: &Needs) -> Result<Vec<Requirement>, Error> {
        let Needs::At(address) = needs else {
            return Ok(Vec::new());
        };
        let url = Url::parse(address)
            .map_err(|error| Error::garbled(format!("`{address}` is no address: {error}")))?;
        match self.api.get_at(url, "*/*", None).await? {
            Fetched::Body(answer) => {
                let body = answer.body()?;
                Ok(requirements(&String::from_utf8_lossy(&body)))
            }
            // What is promised and not there is not told.
            Fetched::Absent(_) | Fetched::Unchanged => Ok(Vec::new()),
        }
    }
}

/// The files of a version.
#[derive(Default)]
struct Files {
    published_at: Option<Timestamp>,
    /// Of those that were taken back, why; and whether one was not.
    yanked: Vec<String>,
    is_had: bool,
    metadata: Option<String>,
}

fn releases(package: &PackageName, base: Option<&Url>, body: &[u8]) -> Result<Vec<Listed>, String> {
    let Project { files } = object(body).map_err(|error| {
        format!("it is not the JSON form of a simple index, which is asked for: {error}")
    })?;
    let mut by_version: BTreeMap<String, (Version, Files)> = BTreeMap::new();
    for file in files {
        let Some(version) = version_of(package, &file.filename) else {
            continue;
        };
        // Files write one version in several ways.
        let mut known = by_version.values().map(|(version, _)| version);
        let key = known
            .find(|other| **other == version)
            .map_or_else(|| version.to_string(), ToString::to_string);
        let (_, of_version) = by_version
            .entry(key)
            .or_insert_with(|| (version, Files::default()));
        of_version.add(&file, base);
    }
    let listed = |(version, files): (Version, Files)| Listed {
        needs: files.metadata.map_or(Needs::Untold, Needs::At),
        release: Release {
            published_at: files.published_at,
            maturity: Maturity::of(&version),
            yanked: (!files.is_had)
                .then(|| files.yanked.into_iter().find(|why| !why.is_empty()))
                .map(Option::unwrap_or_default),
            version,
        },
    };
    Ok(by_version.into_values().map(listed).collect())
}

impl Files {
    fn add(&mut self, file: &File, base: Option<&Url>) {
        let time = file.upload_time.as_deref().and_then(Timestamp::parse);
        // A file that was added yesterday has been seen by nobody for longer.
        self.published_at = self.published_at.max(time);
        match &file.yanked {
            Value::Bool(true) => self.yanked.push(String::new()),
            Value::String(why) => self.yanked.push(why.trim().to_owned()),
            _ => self.is_had = true,
        }
        let is_wheel = file.filename.ends_with(".whl");
        if is_wheel && self.metadata.is_none() && file.may_have_metadata() {
            let url = base.map_or_else(|| Url::parse(&file.url), |base| base.join(&file.url));
            self.metadata = url.ok().map(|mut url| {
                url.set_fragment(None);
                url.set_path(&format!("{}.metadata", url.path()));
                url.into()
            });
        }
    }
}

impl File {
    /// Whether metadata stand beside it, or the index does not tell: mirrors leave that out and serve them all the same.
    fn may_have_metadata(&self) -> bool {
        let names = [
            &self.core_metadata,
            &self.dist_info_metadata,
            &self.data_dist_info_metadata,
        ];
        let is_there = |value: &&Value| matches!(value, Value::Bool(true) | Value::Object(_));
        names.iter().any(is_there) || names.iter().all(|value| value.is_null())
    }
}

/// The version in the name of a wheel or of a source distribution; eggs and installers are of another time.
fn version_of(package: &PackageName, filename: &str) -> Option<Version> {
    if let Some(stem) = filename.strip_suffix(".whl") {
        let mut parts = stem.split('-');
        let name = PackageName::parse(Ecosystem::Pypi, parts.next()?).ok()?;
        return (name == *package).then(|| version(Ecosystem::Pypi, parts.next()?))?;
    }
    let stem = SDISTS.iter().find_map(|end| filename.strip_suffix(end))?;
    // Names have hyphens too, and so have versions of old.
    stem.match_indices('-').find_map(|(at, _)| {
        let name = PackageName::parse(Ecosystem::Pypi, &stem[..at]).ok()?;
        (name == *package).then(|| version(Ecosystem::Pypi, &stem[at + 1..]))?
    })
}

/// The requirements in the metadata of a wheel.
fn requirements(metadata: &str) -> Vec<Requirement> {
    let header = metadata.lines().take_while(|line| !line.trim().is_empty());
    let mut fields: Vec<String> = Vec::new();
    for line in header {
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some(last)) => last.push_str(line),
            _ => fields.push(line.to_owned()),
        }
    }
    let value = |field: &String| {
        let (name, value) = field.split_once(':')?;
        name.eq_ignore_ascii_case("requires-dist")
            .then(|| of_pypi(value.trim()))?
    };
    fields.iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn package(text: &str) -> PackageName {
        PackageName::parse(Ecosystem::Pypi, text).expect("a name")
    }

    #[test]
    fn versions_are_read_from_the_names_of_files() {
        let of = |name: &str, file: &str| {
            version_of(&package(name), file).map(|version| version.to_string())
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(
            of("requests", "requests-2.31.0-py3-none-any.whl"),
            is("2.31.0")
        );
        assert_eq!(of("zope.interface", "zope.interface-6.0.tar.gz"), is("6.0"));
        assert_eq!(
            of("zope.interface", "zope_interface-7.0.1.tar.gz"),
            is("7.0.1")
        );
        assert_eq!(
            of("python-dateutil", "python-dateutil-2.9.0.post0.tar.gz"),
            is("2.9.0.post0")
        );
        assert_eq!(
            of("a", "a-1!2.0-1-cp311-cp311-linux_x86_64.whl"),
            is("1!2.0")
        );
        assert_eq!(
            of("a", "a-1.0-1.tar.gz"),
            is("1.0-1"),
            "a post release of old"
        );
        for file in [
            "a-1.0-py2.7.egg",
            "a-1.0.win32.exe",
            "b-1.0.tar.gz",
            "a.tar.gz",
            "a-x.zip",
        ] {
            assert_eq!(of("a", file), None, "{file}");
        }
    }

    #[test]
    fn a_version_is_yanked_where_all_its_files_are() {
        let body = br#"{"meta":{"api-version":"1.3"},"name":"a","files":[
            {"filename":"a-1.0.tar.gz","url":"a-1.0.tar.gz","hashes":{},"yanked":false,"upload-time":"2024-01-01T00:00:00.5Z"},
            {"filename":"a-1.0-py3-none-any.whl","url":"../../p/a-1.0-py3-none-any.whl#sha256=0","hashes":{},"core-metadata":{"sha256":"0"},"yanked":"bad","upload-time":"2024-01-02T00:00:00Z"},
            {"filename":"a-1.1.tar.gz","url":"a-1.1.tar.gz","hashes":{},"yanked":"breaks on 3.12"},
            {"filename":"a-1.1-py3-none-any.whl","url":"x.whl","hashes":{},"core-metadata":false,"yanked":true},
            {"filename":"a-1.2-py3-none-any.whl","url":"a-1.2-py3-none-any.whl","hashes":{}},
            {"filename":"a-1.1rc1.tar.gz","url":"x","hashes":{}}]}"#;
        let base = Url::parse("http://127.0.0.1:1/simple/a/").expect("a URL");
        let listed = releases(&package("a"), Some(&base), body).expect("reads");
        let shown: Vec<_> = listed
            .iter()
            .map(|one| (one.release.version.as_str(), one.release.yanked.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                ("1.0", None),
                ("1.1", Some("breaks on 3.12")),
                ("1.1rc1", None),
                ("1.2", None)
            ]
        );
        assert_eq!(
            listed[0].needs,
            Needs::At("http://127.0.0.1:1/p/a-1.0-py3-none-any.whl.metadata".to_owned())
        );
        let published = Timestamp::parse("2024-01-02T00:00:00Z");
        assert_eq!(listed[0].release.published_at, published, "the last file");
        assert_eq!(listed[2].release.maturity, Maturity::Early);
        assert_eq!(listed[1].needs, Needs::Untold, "it says so");
        assert_eq!(listed[2].needs, Needs::Untold, "no wheel");
        assert_eq!(
            listed[3].needs,
            Needs::At("http://127.0.0.1:1/simple/a/a-1.2-py3-none-any.whl.metadata".to_owned()),
            "it does not say"
        );
    }

    #[test]
    fn requirements_stand_in_the_header_of_metadata() {
        let text = "Metadata-Version: 2.1\nName: a\nRequires-Dist: b>=1\nRequires-Dist: c (<2);\n  python_version < '3.9'\nRequires-Dist: d>=1; extra == 'x'\n\nRequires-Dist: e>=1\n";
        let shown: Vec<String> = requirements(text).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["b >=1", "c <2"]);
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_reading(body in proptest::collection::vec(any::<u8>(), 0..200), name in "\\PC{0,40}", why in "\\PC{0,20}") {
            let _ = releases(&package("a"), None, &body);
            let _ = requirements(&String::from_utf8_lossy(&body));
            let file = serde_json::json!({"files": [{"filename": name, "url": why, "yanked": why, "upload-time": why}]});
            prop_assert!(releases(&package("a"), None, file.to_string().as_bytes()).is_ok());
        }
    }
}
