//! Indexes: where the versions of an ecosystem are published.
//!
//! An index is asked for one package at a time, with what it said last, so that it can say that nothing has changed. What
//! is tried, and when an index is asked, is not decided here. A further ecosystem is one file beside `pypi.rs`, its `mod`
//! line and its arm in `open`. The Go module proxy is none yet: it takes one request a version to tell when that was
//! published.

mod cargo;
mod http;
mod npm;
mod pypi;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PackageName;
use pinion_core::release::Release;
use pinion_core::requires::{Requirement, of_cargo, of_npm, of_pypi};
use pinion_core::version::Version;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use self::http::Validator;
use self::http::{Api, Fetched};
use crate::forge::SecretUrl;

/// What an index says of a package.
#[derive(Clone, Debug)]
pub enum Listing {
    /// The same as last time.
    Unchanged,
    /// These versions, in no order.
    Found(Found),
    /// It has no such package, or none for us; in its words.
    Absent(String),
}

/// The versions of a package.
#[derive(Clone, Debug)]
pub struct Found {
    /// Each once. What is no version by the rules of its ecosystem is left out.
    pub releases: Vec<Listed>,
    /// By which the index tells next time whether anything has changed.
    pub validator: Option<Validator>,
}

/// A version with what leads to its requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The version.
    pub release: Release,
    /// What it needs.
    pub needs: Needs,
}

/// What a version needs of others, as far as the listing says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Packages and ranges, as written.
    Told(Vec<(String, String)>),
    /// It stands in a file of its own, at this address.
    At(String),
    /// The index does not tell.
    Untold,
}

/// Why an index gave no answer. No secret stands in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The index cannot be used at the moment, or asks for patience.
    #[error("the index cannot be used at the moment: {answer}")]
    Away {
        /// What happened, in words.
        answer: String,
        /// The least time to wait, where the index asks for one.
        retry_after: Option<Duration>,
    },
    /// The index refuses us until a person acts.
    #[error("the index refuses until a person acts: {answer}")]
    Refused {
        /// What happened and what to do, in words.
        answer: String,
    },
    /// The answer about this package is not understood.
    #[error("the answer of the index is not understood: {answer}")]
    Garbled {
        /// What is wrong, in words.
        answer: String,
    },
}

impl Error {
    /// The words of the index.
    pub fn answer(&self) -> &str {
        match self {
            Self::Away { answer, .. } | Self::Refused { answer } | Self::Garbled { answer } => {
                answer
            }
        }
    }

    fn garbled(answer: impl Into<String>) -> Self {
        Self::Garbled {
            answer: answer.into(),
        }
    }
}

/// Where the versions of an ecosystem are published. Every method may be repeated without harm.
#[async_trait]
pub trait Index: Send + Sync + fmt::Debug {
    /// The versions of a package, unless nothing has changed since `known`.
    async fn listing(
        &self,
        package: &PackageName,
        known: Option<&Validator>,
    ) -> Result<Listing, Error>;

    /// What a version of a listing needs of others.
    async fn needs(&self, needs: &Needs) -> Result<Vec<Requirement>, Error>;
}

/// An index of the server's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexConfig {
    /// Where it is: for pypi a simple index, as pip's `index-url`; for cargo a sparse index, with `sparse+` before it or
    /// not; for npm a registry. `https://`, or `http://` on loopback.
    pub url: SecretUrl,
    /// The account, where it takes a user and a password. None: the password is a token.
    pub user: Option<String>,
    /// A file that holds the password or token, read again for every call.
    pub password_file: Option<PathBuf>,
    /// A program with its arguments that prints the password or token; run again when it is refused.
    pub password_command: Option<Vec<String>>,
    /// A file of certificates to trust instead of the system's, for `https`.
    pub ca_file: Option<PathBuf>,
    /// How the owners of the index reach those of this server, such as an e-mail address; goes into every request.
    pub contact: Option<String>,
    /// The longest that one request takes, in seconds. 1 to 600.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
    /// The most requests in a second. 1 to 100.
    #[serde(default = "default_requests_per_s")]
    pub requests_per_s: u32,
}

const fn default_timeout_s() -> u64 {
    60
}

const fn default_requests_per_s() -> u32 {
    5
}

impl IndexConfig {
    /// An index that asks for no login.
    pub fn new(url: &str) -> Self {
        Self {
            url: SecretUrl::new(url),
            user: None,
            password_file: None,
            password_command: None,
            ca_file: None,
            contact: None,
            timeout_s: default_timeout_s(),
            requests_per_s: default_requests_per_s(),
        }
    }
}

/// Why an index of the configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("index `{ecosystem}`: {problem}")]
pub struct ConfigError {
    /// Whose it is.
    pub ecosystem: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// The indexes of the configuration, one an ecosystem.
#[derive(Clone, Debug, Default)]
pub struct Indexes(Arc<BTreeMap<Ecosystem, Configured>>);

/// An index with how often it may be asked.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The index.
    pub index: Arc<dyn Index>,
    /// Where it is, without secrets.
    pub url: String,
    /// The most requests in a second.
    pub requests_per_s: u32,
}

impl Indexes {
    /// Opens every index; nothing is contacted.
    ///
    /// # Errors
    /// If an ecosystem has none, or a key is wrong.
    pub fn open(configs: &BTreeMap<String, IndexConfig>) -> Result<Self, ConfigError> {
        let mut indexes = BTreeMap::new();
        for (name, config) in configs {
            let refuse = |problem: String| ConfigError {
                ecosystem: name.clone(),
                problem,
            };
            let ecosystem: Ecosystem = name.parse().map_err(|error| refuse(format!("{error}")))?;
            let api = Api::open(config).map_err(refuse)?;
            let configured = Configured {
                url: api.base().to_owned(),
                index: open(ecosystem, api).map_err(refuse)?,
                requests_per_s: config.requests_per_s,
            };
            indexes.insert(ecosystem, configured);
        }
        Ok(Self(Arc::new(indexes)))
    }

    /// The index of an ecosystem, if one is configured.
    pub fn get(&self, ecosystem: Ecosystem) -> Option<&Configured> {
        self.0.get(&ecosystem)
    }

    /// Every index.
    pub fn iter(&self) -> impl Iterator<Item = (Ecosystem, &Configured)> {
        self.0.iter().map(|(ecosystem, one)| (*ecosystem, one))
    }
}

fn open(ecosystem: Ecosystem, api: Api) -> Result<Arc<dyn Index>, String> {
    match ecosystem {
        Ecosystem::Pypi => Ok(Arc::new(pypi::Pypi::new(api))),
        Ecosystem::Cargo => Ok(Arc::new(cargo::Cargo::new(api))),
        Ecosystem::Npm => Ok(Arc::new(npm::Npm::new(api))),
        Ecosystem::Go => Err("the module proxies of Go are not watched; take it out".to_owned()),
    }
}

/// Packages and ranges that a listing told, as requirements; what is none is left out.
fn told(ecosystem: Ecosystem, needs: &Needs) -> Vec<Requirement> {
    let Needs::Told(needs) = needs else {
        return Vec::new();
    };
    let parse = |(package, range): &(String, String)| match ecosystem {
        Ecosystem::Pypi => of_pypi(&format!("{package}{range}")),
        Ecosystem::Cargo => of_cargo(package, range),
        Ecosystem::Npm => of_npm(package, range),
        Ecosystem::Go => None,
    };
    needs.iter().filter_map(parse).collect()
}

/// The object that an answer is; a list of nothing would be taken for one without versions.
fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).map_err(|error| error.to_string()),
        _ => Err("it is no JSON object".to_owned()),
    }
}

/// The version that a text is, and none if it is no version there: indexes hold what their rules of old let in.
fn version(ecosystem: Ecosystem, text: &str) -> Option<Version> {
    Version::parse(ecosystem, text).ok()
}

/// What came of asking for a listing, read in a thread of its own, since an answer can be of many megabytes.
async fn read(
    fetched: Fetched,
    parse: impl FnOnce(&[u8]) -> Result<Vec<Listed>, String> + Send + 'static,
) -> Result<Listing, Error> {
    let answer = match fetched {
        Fetched::Unchanged => return Ok(Listing::Unchanged),
        Fetched::Absent(words) => return Ok(Listing::Absent(words)),
        Fetched::Body(answer) => answer,
    };
    let validator = answer.validator.clone();
    let parsed = tokio::task::spawn_blocking(move || {
        let body = answer.body()?;
        parse(&body).map_err(|problem| Error::garbled(format!("{}: {problem}", answer.asked)))
    });
    let releases = parsed
        .await
        .map_err(|error| Error::garbled(format!("it could not be read: {error}")))??;
    Ok(Listing::Found(Found {
        releases,
        validator,
    }))
}
