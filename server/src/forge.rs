//! Forges: the places where changes are put forward for review.
//!
//! A forge is given finished bytes, a finished message and a parent, and makes sure that the change
//! exists, once. What is filed, when, and how often it is tried is not decided here. A further kind
//! of forge is one file beside `git.rs`, its `mod` line and its line in `KINDS`. Two ways to talk to
//! one are shared: `repository` runs the `git` program, `http` speaks REST.

mod gerrit;
mod git;
mod gitea;
mod github;
mod gitlab;
mod http;
mod repository;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pinion_core::filing::{FilingKey, Template, check_trailers};
use pinion_core::name::ForgeName;
use serde::{Deserialize, Serialize};

pub(crate) use self::http::{said_by, wait_asked};
pub(crate) use self::repository::is_loopback;
use crate::secret::{Secret, Source};

type Open = fn(&ForgeConfig, &Path) -> Result<Arc<dyn Forge>, ConfigError>;

const KINDS: &[(&str, Open)] = &[
    ("gerrit", gerrit::open),
    ("github", github::open),
    ("gitlab", gitlab::open),
    ("gitea", gitea::open),
    ("forgejo", gitea::open),
    ("git", git::open),
];

/// A file at the tip of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The commit at the tip, hexadecimal.
    pub commit: String,
    /// The file's bytes there.
    pub bytes: Vec<u8>,
}

/// A file's new content. The file exists and keeps its mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEdit {
    /// The path in the repository, with `/` between its parts.
    pub path: String,
    /// All of its bytes after the change.
    pub bytes: Vec<u8>,
}

/// A name and an e-mail address, as a commit records them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Such as `Pinion`.
    pub name: String,
    /// Such as `pinion@example.org`.
    pub email: String,
}

/// A change in full: equal changes give the same commit, on every try and every server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its identity; also in the trailers of `body`.
    pub key: FilingKey,
    /// The branch it is for.
    pub branch: String,
    /// The new branch that holds it.
    pub head: String,
    /// The commit it is built on, hexadecimal: the tip of `branch` when the edits were made.
    pub parent: String,
    /// One edit a file, at least one.
    pub edits: Vec<FileEdit>,
    /// The first line of the message.
    pub subject: String,
    /// The rest of the message, ending in its trailers.
    pub body: String,
    /// Author and committer.
    pub author: Signature,
    /// When it was decided, in seconds of Unix time; the date of author and committer, in UTC.
    pub at_unix_s: i64,
}

/// How the forge came to hold the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FiledOutcome {
    /// This call made it, or another one at the same time.
    Created,
    /// It was there before this call.
    Existed,
}

/// A change that the forge holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// The commit, hexadecimal.
    pub commit: String,
    /// The branch that holds it; for a forge without one, the name that it has instead.
    pub branch: String,
    /// Where people look at it, if it has an address.
    pub url: Option<String>,
    /// What has become of it.
    pub state: ChangeState,
    /// What the forge said, in words.
    pub answer: String,
    /// How it came to be there.
    pub outcome: FiledOutcome,
}

/// What has become of a change that was filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeState {
    /// It waits for people.
    Open,
    /// Its branch has it.
    Merged,
    /// A person closed it without taking it.
    Declined,
}

/// A change that was filed, as far as it takes to find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiledChange {
    /// Its identity.
    pub key: FilingKey,
    /// The branch it is for.
    pub branch: String,
    /// The branch that holds it, as in [`Change::head`].
    pub head: String,
    /// The commit that was filed.
    pub commit: String,
}

/// A file that changes are filed against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The branch.
    pub branch: String,
    /// The path in the repository.
    pub path: String,
}

/// One thing that was looked at to see whether changes can be filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was tried, such as `reach the repository`.
    pub what: String,
    /// What was found, in words; or what is missing and what to do.
    pub found: Result<String, String>,
}

impl Finding {
    /// What came of trying `what`.
    pub fn new(what: impl Into<String>, found: Result<String, Error>) -> Self {
        Self {
            what: what.into(),
            found: found.map_err(|error| error.answer().to_owned()),
        }
    }

    /// What came of reading the file.
    pub(crate) fn of_file(target: &Target, read: Result<Tip, Error>) -> Self {
        let found = read.map(|tip| {
            format!(
                "{} bytes in commit {}",
                tip.bytes.len(),
                tip.commit.get(..12).unwrap_or(&tip.commit)
            )
        });
        Self::new(
            format!("read `{}` on `{}`", target.path, target.branch),
            found,
        )
    }
}

/// Why the forge did not do it. No secret stands in an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A passing fault: try the same again, which is harmless.
    #[error("the forge cannot be used at the moment: {answer}")]
    Retry {
        /// What happened, in words.
        answer: String,
        /// The least time to wait, where the forge asks for one.
        retry_after: Option<Duration>,
    },
    /// A fault of the configuration, or a person's act: trying again does not help.
    #[error("the forge refuses until a person acts: {answer}")]
    Stopped {
        /// What happened and what to do, in words.
        answer: String,
    },
}

impl Error {
    /// A passing fault, to be tried again after the caller's own back-off.
    pub(crate) fn retry(answer: impl Into<String>) -> Self {
        Self::Retry {
            answer: answer.into(),
            retry_after: None,
        }
    }

    /// A fault that stays until a person acts.
    pub(crate) fn stopped(answer: impl Into<String>) -> Self {
        Self::Stopped {
            answer: answer.into(),
        }
    }

    /// The words of the forge.
    pub fn answer(&self) -> &str {
        match self {
            Self::Retry { answer, .. } | Self::Stopped { answer } => answer,
        }
    }

    /// The least time to wait before the next try; `None`: the caller's own back-off.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Retry { retry_after, .. } => *retry_after,
            Self::Stopped { .. } => None,
        }
    }
}

/// A place where changes are put forward. Every method may be repeated without harm.
#[async_trait]
pub trait Forge: Send + Sync + fmt::Debug {
    /// The repository, as the forge names it; goes into the key of a change. Without secrets.
    fn project(&self) -> &str;

    /// Whom the changes are recorded with.
    fn author(&self) -> &Signature;

    /// The commit at the tip of the branch and the bytes of the file there.
    async fn read(&self, branch: &str, path: &str) -> Result<Tip, Error>;

    /// The bytes of the file in a commit that [`Forge::read`] found on the branch, maybe long ago.
    async fn read_at(&self, branch: &str, commit: &str, path: &str) -> Result<Vec<u8>, Error>;

    /// Makes sure that the change exists, once, unless a person has closed it; then it stays closed.
    async fn ensure_change(&self, change: &Change) -> Result<Filed, Error>;

    /// What has become of a change that was filed.
    async fn state(&self, change: &FiledChange) -> Result<ChangeState, Error>;

    /// Looks what works and what is missing, for this file if one is given; files nothing.
    async fn check(&self, target: Option<&Target>) -> Vec<Finding>;
}

/// A forge of the server's configuration. Keys that a kind has no use for are refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgeConfig {
    /// What pin sets call it.
    pub name: ForgeName,
    /// What it is; `KINDS` lists them.
    pub kind: String,
    /// Where it is. For `git`, the repository: `https://`, `ssh://`, `user@host:path`, `file://` or an
    /// absolute path; for the others, the server: `https://`. `http://` on loopback only.
    pub url: SecretUrl,
    /// The repository on the server, such as `openstack/requirements`.
    pub project: Option<String>,
    /// Where the API is, where it is not where it usually is for this `url`.
    pub api_url: Option<SecretUrl>,
    /// How changes are put forward, where a forge takes them in two ways.
    pub via: Option<Via>,
    /// Who is asked to review: e-mail addresses or names, as the forge has them.
    #[serde(default)]
    pub reviewers: Vec<String>,
    /// Who is told.
    #[serde(default)]
    pub cc: Vec<String>,
    /// Labels, which Gerrit calls hashtags.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Files drafts, which wait for a person to say that they are ready. Default: false.
    #[serde(default)]
    pub draft: bool,
    /// The name in commits.
    #[serde(default = "default_author_name")]
    pub author_name: String,
    /// The e-mail address in commits.
    #[serde(default = "default_author_email")]
    pub author_email: String,
    /// The account, where a password needs one.
    pub user: Option<String>,
    /// A file that holds the password or token, read again for every call.
    pub password_file: Option<PathBuf>,
    /// A program with its arguments that prints the password or token; run again when it is refused.
    pub password_command: Option<Vec<String>>,
    /// A file of certificates to trust instead of the system's, for `https`.
    pub ca_file: Option<PathBuf>,
    /// The longest that one request or one run of git takes, in seconds. 1 to 600.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
    /// The subject of rollbacks; see `pinion_core::filing::Template`.
    pub subject_rollback: Option<String>,
    /// The subject of changes that complete a rollout.
    pub subject_complete: Option<String>,
    /// Lines that a project wants at the end of every message, such as `Signed-off-by: …`.
    #[serde(default)]
    pub trailers: Vec<String>,
    /// The most changes that wait for people here at once; further ones wait for theirs. 1 to 1,000.
    #[serde(default = "default_open_max")]
    pub open_max: u32,
    /// The most changes that are filed here in 24 hours. 1 to 10,000.
    #[serde(default = "default_per_day_max")]
    pub per_day_max: u32,
    /// A file that holds the secret with which the forge signs what it sends to `/hooks/<name>`; none: nothing is taken.
    pub webhook_secret_file: Option<PathBuf>,
}

/// How a change is put forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// By `git push`.
    Push,
    /// By requests.
    Rest,
}

/// A URL that may hold a password, which it never shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Takes the URL as written.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL as written, secrets included.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&repository::without_userinfo(&self.0))
    }
}

/// Why a forge of the configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("forge `{forge}`: {problem}")]
pub struct ConfigError {
    /// The forge's name.
    pub forge: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// The forges of the configuration, by name.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<BTreeMap<ForgeName, Entry>>);

#[derive(Debug)]
struct Entry {
    forge: Arc<dyn Forge>,
    rules: Rules,
    webhook: Option<Secret>,
}

/// What a project asks of the changes that are filed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The forge's kind, such as `gerrit`.
    pub kind: String,
    /// The subject of rollbacks, if not ours.
    pub subject_rollback: Option<Template>,
    /// The subject of changes that complete a rollout, if not ours.
    pub subject_complete: Option<Template>,
    /// Further trailers.
    pub trailers: Vec<String>,
    /// The most changes that wait for people at once.
    pub open_max: u32,
    /// The most changes in 24 hours.
    pub per_day_max: u32,
}

impl Registry {
    /// Opens every forge; nothing is contacted. Each works in its own folder of `work_dir`.
    pub fn open(configs: &[ForgeConfig], work_dir: &Path) -> Result<Self, ConfigError> {
        let mut forges = BTreeMap::new();
        for config in configs {
            let entry = Entry {
                forge: open(config, work_dir)?,
                rules: config.rules()?,
                webhook: config
                    .webhook_secret_file
                    .clone()
                    .map(|path| Secret::of("webhook_secret", Source::File(path))),
            };
            if forges.insert(config.name.clone(), entry).is_some() {
                return Err(config.error("is configured twice; give each forge its own name"));
            }
        }
        Ok(Self(Arc::new(forges)))
    }

    /// Forges of kinds that the configuration does not know, each with what its project asks.
    pub fn of(forges: impl IntoIterator<Item = (ForgeName, Arc<dyn Forge>, Rules)>) -> Self {
        let entry = |(name, forge, rules)| {
            let entry = Entry {
                forge,
                rules,
                webhook: None,
            };
            (name, entry)
        };
        Self(Arc::new(forges.into_iter().map(entry).collect()))
    }

    /// The forge of this name.
    pub fn get(&self, name: &ForgeName) -> Option<&Arc<dyn Forge>> {
        self.0.get(name).map(|entry| &entry.forge)
    }

    /// What its project asks.
    pub fn rules(&self, name: &ForgeName) -> Option<&Rules> {
        self.0.get(name).map(|entry| &entry.rules)
    }

    /// The secret with which it signs what it sends us; none where it sends nothing.
    pub(crate) async fn webhook_secret(&self, name: &ForgeName) -> Option<Result<String, String>> {
        match &self.0.get(name)?.webhook {
            Some(secret) => Some(secret.get().await),
            None => None,
        }
    }

    /// The names of all forges.
    pub fn names(&self) -> impl Iterator<Item = &ForgeName> {
        self.0.keys()
    }
}

/// Opens one forge; nothing is contacted. It works in the folder `work_dir/<name>`, which can be
/// deleted while the server is stopped.
pub fn open(config: &ForgeConfig, work_dir: &Path) -> Result<Arc<dyn Forge>, ConfigError> {
    config.validate()?;
    let open = KINDS
        .iter()
        .find(|(kind, _)| *kind == config.kind)
        .map(|(_, open)| open);
    match open {
        Some(open) => open(config, &work_dir.join(config.name.as_str())),
        None => {
            let known: Vec<_> = KINDS.iter().map(|(kind, _)| format!("`{kind}`")).collect();
            Err(config.error(format!(
                "has the unknown kind `{}`; known: {}",
                config.kind,
                known.join(", ")
            )))
        }
    }
}

impl ForgeConfig {
    /// A plain git repository with every default.
    pub fn git(name: ForgeName, url: &str) -> Self {
        Self::new(name, "git", url)
    }

    /// A forge with every default.
    pub fn new(name: ForgeName, kind: &str, url: &str) -> Self {
        Self {
            name,
            kind: kind.to_owned(),
            url: SecretUrl::new(url),
            project: None,
            api_url: None,
            via: None,
            reviewers: Vec::new(),
            cc: Vec::new(),
            labels: Vec::new(),
            draft: false,
            author_name: default_author_name(),
            author_email: default_author_email(),
            user: None,
            password_file: None,
            password_command: None,
            ca_file: None,
            timeout_s: default_timeout_s(),
            subject_rollback: None,
            subject_complete: None,
            trailers: Vec::new(),
            open_max: default_open_max(),
            per_day_max: default_per_day_max(),
            webhook_secret_file: None,
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (key, value) in [
            ("author_name", &self.author_name),
            ("author_email", &self.author_email),
        ] {
            if let Some(problem) = signature_problem(value) {
                return Err(self.error(format!("`{key}` {problem}")));
            }
        }
        for (key, value, most) in [
            ("timeout_s", self.timeout_s, 600),
            ("open_max", self.open_max.into(), 1000),
            ("per_day_max", self.per_day_max.into(), 10_000),
        ] {
            if !(1..=most).contains(&value) {
                return Err(self.error(format!("`{key}` is {value}; use 1 to {most}")));
            }
        }
        Ok(())
    }

    fn rules(&self) -> Result<Rules, ConfigError> {
        let template = |key: &str, text: &Option<String>| {
            let parsed = text.as_deref().map(Template::parse).transpose();
            parsed.map_err(|error| self.error(format!("`{key}`: {error}")))
        };
        check_trailers(&self.trailers)
            .map_err(|error| self.error(format!("`trailers`: {error}")))?;
        Ok(Rules {
            kind: self.kind.clone(),
            subject_rollback: template("subject_rollback", &self.subject_rollback)?,
            subject_complete: template("subject_complete", &self.subject_complete)?,
            trailers: self.trailers.clone(),
            open_max: self.open_max,
            per_day_max: self.per_day_max,
        })
    }

    fn author(&self) -> Signature {
        Signature {
            name: self.author_name.clone(),
            email: self.author_email.clone(),
        }
    }

    /// Where its password or token comes from, if it has one.
    fn secret(&self) -> Result<Option<Arc<Secret>>, ConfigError> {
        let source = match (&self.password_file, &self.password_command) {
            (None, None) => return Ok(None),
            (Some(path), None) => Source::File(path.clone()),
            (None, Some(words)) if words.first().is_some_and(|word| !word.is_empty()) => {
                Source::Command(words.clone())
            }
            (None, Some(_)) => return Err(self.error("`password_command` is empty")),
            (Some(_), Some(_)) => {
                return Err(
                    self.error("both `password_file` and `password_command` are given; give one")
                );
            }
        };
        Ok(Some(Arc::new(Secret::new(source))))
    }

    /// Refuses keys that are set and of no use to the kind.
    fn refuse_keys(&self, keys: &[&str]) -> Result<(), ConfigError> {
        let set = [
            ("project", self.project.is_some()),
            ("api_url", self.api_url.is_some()),
            ("via", self.via.is_some()),
            ("reviewers", !self.reviewers.is_empty()),
            ("cc", !self.cc.is_empty()),
            ("labels", !self.labels.is_empty()),
            ("draft", self.draft),
            ("user", self.user.is_some()),
        ];
        match set
            .iter()
            .find(|(key, is_set)| *is_set && keys.contains(key))
        {
            Some((key, _)) => Err(self.error(format!(
                "`{key}` has no meaning for the kind `{}`; take it out",
                self.kind
            ))),
            None => Ok(()),
        }
    }

    fn error(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError {
            forge: self.name.to_string(),
            problem: problem.into(),
        }
    }
}

/// What git would change or refuse in a name or an address.
fn signature_problem(text: &str) -> Option<&'static str> {
    let is_crud = |c: char| c.is_whitespace() || ".,:;<>\"\\'".contains(c);
    if text.is_empty() || text.len() > 200 {
        Some("must have 1 to 200 bytes")
    } else if text.contains(|c: char| c.is_control() || c == '<' || c == '>') {
        Some("must not contain `<`, `>` or control characters")
    } else if text.starts_with(is_crud) || text.ends_with(is_crud) {
        Some("must not begin or end with blanks or punctuation, which git drops")
    } else {
        None
    }
}

fn default_author_name() -> String {
    "Pinion".to_owned()
}

fn default_author_email() -> String {
    "pinion@localhost".to_owned()
}

fn default_timeout_s() -> u64 {
    60
}

fn default_open_max() -> u32 {
    20
}

fn default_per_day_max() -> u32 {
    50
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ForgeConfig, toml::de::Error> {
        toml::from_str(text)
    }

    fn config(name: &str, kind: &str, url: &str) -> ForgeConfig {
        parse(&format!("name = '{name}'\nkind = '{kind}'\nurl = '{url}'")).expect("a forge")
    }

    #[test]
    fn a_forge_needs_a_name_a_kind_and_a_url_and_takes_no_unknown_key() {
        let forge = config("upstream", "git", "/srv/pins.git");
        assert_eq!(forge.author_name, "Pinion");
        assert_eq!(forge.timeout_s, 60);
        assert!(parse("name = 'a'\nkind = 'git'").is_err());
        assert!(parse("name = 'a'\nkind = 'git'\nurl = '/a'\ncolour = 'red'").is_err());
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_known_ones() {
        let error = open(&config("a", "svn", "/a"), Path::new("/tmp")).expect_err("svn");
        assert_eq!(
            error.to_string(),
            "forge `a`: has the unknown kind `svn`; known: `gerrit`, `github`, `gitlab`, `gitea`, `forgejo`, `git`"
        );
    }

    #[test]
    fn names_are_folders_and_given_once() {
        for name in ["", "..", "a/b", "-a", "A"] {
            let text = format!("name = '{name}'\nkind = 'git'\nurl = '/a'");
            assert!(parse(&text).is_err(), "{name}");
        }
        let twice = [config("a", "git", "/a"), config("a", "git", "/b")];
        assert!(Registry::open(&twice, Path::new("/tmp")).is_err());
    }

    #[test]
    fn an_author_that_git_would_change_is_refused() {
        for name in ["", " a", "a.", "a<b", "a\nb"] {
            let forge = ForgeConfig {
                author_name: name.to_owned(),
                ..config("a", "git", "/a")
            };
            assert!(open(&forge, Path::new("/tmp")).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_not_shown() {
        let forge = config("a", "git", "https://eve:s3cret@x.example/r");
        assert!(!format!("{forge:?}").contains("s3cret"));
        let refused = open(&forge, Path::new("/tmp")).expect_err("a password");
        assert!(!refused.to_string().contains("s3cret"), "{refused}");
    }

    #[test]
    fn a_key_without_meaning_for_the_kind_is_refused() {
        let forge = ForgeConfig {
            project: Some("a/b".to_owned()),
            ..config("a", "git", "/a")
        };
        let refused = open(&forge, Path::new("/tmp")).expect_err("a project");
        assert!(refused.to_string().contains("`project`"), "{refused}");
    }
}
