//! Pin sets: their rules and their baseline.

use pinion_core::audit::Act;
use pinion_core::constraints;
use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::{PinSetName, RolloutId};
use pinion_core::pin::{PackageChange, Pins};
use pinion_core::policy::Policy;
use pinion_core::source_file::Format;
use sha2::{Digest, Sha256};

use super::queue::Planned;
use super::requires::Declared;
use super::{Controller, Draft, Identity, Refusal};
use crate::snapshot::PinSetEntry;
use crate::store::keys;
use crate::store::records::{BaselineChunk, PinSetRecord, Role, SourceRecord, encode};

/// Bytes of a baseline, at most: it is changed in one transaction.
const BASELINE_BYTES_MAX: usize = 440 * 1024;
/// Bytes of a part of a baseline.
const CHUNK_BYTES: usize = 12 * 1024;
/// Bytes of a line that is kept as it stands, as the store writes it: a record has to hold it.
const VERBATIM_BYTES_MAX: usize = 15 * 1024;
/// Unkept lines that a refusal lists, at most, and the characters in which it does: a refusal travels in a header.
const LISTED_MAX: usize = 20;
const LISTED_CHARS_MAX: usize = 1500;
/// Characters of a line that a refusal quotes.
const QUOTED_CHARS_MAX: usize = 60;

/// What becomes of lines that are no exact pins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnkeptLines {
    /// The whole file is refused.
    #[default]
    Refuse,
    /// They are kept and served as they stand.
    KeepVerbatim,
}

/// A request to replace the baseline.
#[derive(Clone, Debug)]
pub struct Import {
    /// The pin set.
    pub name: PinSetName,
    /// The file's text.
    pub content: String,
    /// The revision it was made against; 0: whatever it is.
    pub expected_revision: u64,
    /// What becomes of lines that are no pins.
    pub unkept_lines: UnkeptLines,
    /// Ends open rollouts whose packages the file changes at once.
    pub supersede: bool,
    /// Checks and changes nothing.
    pub validate_only: bool,
    /// What becomes of newer versions.
    pub newer: NewerVersions,
    /// What versions need, beside what is known already.
    pub requires: Vec<Declared>,
}

/// What becomes of newer versions in an imported file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewerVersions {
    /// They are tried: each becomes a rollout, or waits for a place. A pin set without pins takes the whole file at once.
    #[default]
    Try,
    /// The file replaces the baseline at once.
    TakeAtOnce,
}

/// What an import did.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What differs from the baseline before.
    pub changes: Vec<PackageChange>,
    /// Lines that are no pins.
    pub unkept: Vec<constraints::UnkeptLine>,
    /// Rollouts that ended.
    pub superseded: Vec<RolloutId>,
    /// How many of the changes are the baseline at once.
    pub at_once: usize,
    /// Rollouts that were started, of older imports too where their turn has come.
    pub started: Vec<RolloutId>,
    /// Newer versions of the file that wait, or (where nothing was changed) would start or wait.
    pub waiting: Vec<Planned>,
    /// Newer versions that are not tried, and why, in words.
    pub refused: Vec<String>,
}

impl Controller {
    /// Creates an empty pin set.
    ///
    /// # Errors
    /// If the name is taken, the policy is out of range, or the forge is not configured.
    pub async fn create_pin_set(
        &self,
        caller: &Identity,
        name: &PinSetName,
        ecosystem: Ecosystem,
        (policy, source): (Policy, Option<SourceRecord>),
        track: bool,
    ) -> Result<(), Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        caller.require_pin_set(name)?;
        self.check_rules(ecosystem, &policy, source.as_ref())?;
        self.check_track(ecosystem, source.as_ref(), track)?;
        let _lock = self.lock().await;
        if self.snapshot().pin_set(name).is_some() {
            return Err(Refusal::Exists {
                kind: "pin set",
                name: name.to_string(),
            });
        }
        let now = self.clock.now();
        let record = PinSetRecord {
            name: name.clone(),
            ecosystem,
            policy,
            source,
            track,
            freeze: None,
            revision: 1,
            chunks: 0,
            created_at: now,
            updated_at: now,
        };
        let mut draft = Draft::default();
        draft.create(keys::pin_set(name), encode(&record));
        let act = Act::PinSetCreated {
            pin_set: name.clone(),
            policy_sha256: policy_hash(&record.policy),
        };
        self.put_audit(&mut draft, &caller.actor, act, "").await?;
        self.commit(draft).await?;
        Ok(())
    }

    fn check_rules(
        &self,
        ecosystem: Ecosystem,
        policy: &Policy,
        source: Option<&SourceRecord>,
    ) -> Result<(), Refusal> {
        policy
            .validate()
            .map_err(|error| Refusal::invalid("policy", error))?;
        let Some(source) = source else { return Ok(()) };
        if self.forges.get(&source.forge).is_none() {
            let known: Vec<String> = self.forges.names().map(ToString::to_string).collect();
            return Err(Refusal::invalid(
                "source.forge",
                format!(
                    "no forge `{}` is configured; the server knows: {}",
                    source.forge,
                    none_or(&known)
                ),
            ));
        }
        check_git_name("source.branch", &source.branch)?;
        check_git_name("source.path", &source.path)?;
        let has_format = |field: &'static str, path: &str| {
            let format = Format::of(ecosystem, path);
            format.map_err(|error| Refusal::invalid(field, error))
        };
        has_format("source.path", &source.path)?;
        match &source.exclusions_path {
            Some(path) if *path == source.path => Err(Refusal::invalid(
                "source.exclusions_path",
                "it is the file that the pins stand in; name another one",
            )),
            Some(path) => {
                check_git_name("source.exclusions_path", path)?;
                has_format("source.exclusions_path", path).map(|_| ())
            }
            None => Ok(()),
        }
    }

    /// Fails if the index of an ecosystem cannot be watched for a pin set.
    fn check_track(
        &self,
        ecosystem: Ecosystem,
        source: Option<&SourceRecord>,
        track: bool,
    ) -> Result<(), Refusal> {
        if !track {
            return Ok(());
        }
        if source.is_some_and(|source| source.follow) {
            return Err(Refusal::invalid(
                "track",
                "the pin set follows a file, which has its versions; follow no file, or watch no index",
            ));
        }
        match self.indexes.get(ecosystem) {
            Some(_) => Ok(()),
            None => Err(Refusal::invalid("track", no_index(ecosystem))),
        }
    }

    /// Replaces the policy, the source, or whether the index is watched.
    ///
    /// # Errors
    /// If the revision is stale, or what is new is refused.
    pub async fn update_pin_set(
        &self,
        caller: &Identity,
        name: &PinSetName,
        expected_revision: u64,
        policy: Option<Policy>,
        source: Option<Option<SourceRecord>>,
        track: Option<bool>,
    ) -> Result<(), Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        caller.require_pin_set(name)?;
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let entry = current(&snapshot, name, expected_revision)?;
        let mut record = PinSetRecord::clone(&entry.stored.record);
        let (is_ruled, is_moved) = (policy.is_some(), source.is_some());
        if let Some(policy) = policy {
            record.policy = policy;
        }
        if let Some(source) = source {
            record.source = source;
        }
        record.track = track.unwrap_or(record.track);
        self.check_rules(record.ecosystem, &record.policy, record.source.as_ref())?;
        self.check_track(record.ecosystem, record.source.as_ref(), record.track)?;
        record.revision += 1;
        record.updated_at = self.clock.now();
        let mut draft = Draft::default();
        draft.replace(keys::pin_set(name), entry.stored.modified, encode(&record));
        let act = Act::PinSetUpdated {
            pin_set: name.clone(),
            revision: record.revision,
            policy_sha256: is_ruled.then(|| policy_hash(&record.policy)),
            source: is_moved,
            track,
        };
        self.put_audit(&mut draft, &caller.actor, act, "").await?;
        self.commit(draft).await?;
        Ok(())
    }

    /// A pin set, for a viewer.
    ///
    /// # Errors
    /// If there is none, or the caller may not see it.
    pub fn visible_pin_set(
        &self,
        caller: &Identity,
        name: &PinSetName,
    ) -> Result<PinSetEntry, Refusal> {
        caller.require(&[Role::Viewer])?;
        caller.require_pin_set(name)?;
        let snapshot = self.snapshot();
        let entry = snapshot.pin_set(name);
        entry.cloned().ok_or_else(|| Refusal::no_pin_set(name))
    }

    /// The pin sets that a viewer may see, by name.
    ///
    /// # Errors
    /// If the caller is no viewer.
    pub fn visible_pin_sets(&self, caller: &Identity) -> Result<Vec<PinSetEntry>, Refusal> {
        caller.require(&[Role::Viewer])?;
        let snapshot = self.snapshot();
        let visible = snapshot
            .pin_sets()
            .filter(|entry| caller.require_pin_set(&entry.stored.record.name).is_ok());
        Ok(visible.cloned().collect())
    }
}

/// What is missing, and where the address is found that belongs there.
pub(super) fn no_index(ecosystem: Ecosystem) -> String {
    let own = match ecosystem {
        Ecosystem::Pypi => "the `index-url` of pip",
        Ecosystem::Cargo => "the sparse index of Cargo",
        Ecosystem::Npm => "what `npm config get registry` prints",
        Ecosystem::Go => return "the module proxies of Go are not watched".to_owned(),
    };
    format!(
        "no index of {ecosystem} is configured; set `url` in `[index.{ecosystem}]` of the server's configuration, such as to {own}"
    )
}

/// What tells one policy from another.
fn policy_hash(policy: &Policy) -> String {
    hex::encode(Sha256::digest(encode(policy)))
}

/// The pin set as it is, if the caller's view of it is not stale.
pub(super) fn current<'a>(
    snapshot: &'a crate::snapshot::Snapshot,
    name: &PinSetName,
    expected_revision: u64,
) -> Result<&'a PinSetEntry, Refusal> {
    let entry = snapshot
        .pin_set(name)
        .ok_or_else(|| Refusal::no_pin_set(name))?;
    let revision = entry.stored.record.revision;
    if expected_revision != 0 && expected_revision != revision {
        return Err(Refusal::Stale {
            what: format!("pin set `{name}`"),
            now: format!("at revision {revision}"),
        });
    }
    Ok(entry)
}

/// Fails if a change leads to a blocked version.
pub(super) fn check_blocks(
    snapshot: &crate::snapshot::Snapshot,
    pin_set: &PinSetName,
    changes: &[PackageChange],
) -> Result<(), Refusal> {
    for change in changes {
        if let Some(to) = &change.to
            && let Some(block) = snapshot.block(pin_set, &change.package, to)
        {
            let block = &block.record;
            return Err(Refusal::blocked(
                pin_set,
                &change.package,
                to.as_str(),
                block.at,
                &block.rollout,
            ));
        }
    }
    Ok(())
}

/// Puts a whole baseline, its parts and its pin set with the next revision, into one transaction.
pub(crate) fn put_baseline(
    draft: &mut Draft,
    entry: &PinSetEntry,
    pins: &Pins,
    verbatim: &[String],
    now: pinion_core::time::Timestamp,
) -> Result<(), Refusal> {
    let old = entry.stored.record.as_ref();
    let chunks = chunks_of(old.ecosystem, pins, verbatim);
    let encoded: Vec<bytes::Bytes> = chunks.iter().map(encode).collect();
    let bytes: usize = encoded.iter().map(bytes::Bytes::len).sum();
    if bytes > BASELINE_BYTES_MAX {
        return Err(Refusal::Exhausted {
            cause: format!(
                "{} pins of {bytes} bytes are more than the {BASELINE_BYTES_MAX} bytes of one pin set",
                pins.len()
            ),
            hint: "split the file into several pin sets".to_owned(),
        });
    }
    let record = PinSetRecord {
        revision: old.revision + 1,
        chunks: encoded.len(),
        updated_at: now,
        ..old.clone()
    };
    for (index, chunk) in encoded.into_iter().enumerate() {
        draft.put(keys::baseline(&old.name, index), chunk);
    }
    for index in record.chunks..old.chunks {
        draft.delete(keys::baseline(&old.name, index));
    }
    draft.replace(
        keys::pin_set(&old.name),
        entry.stored.modified,
        encode(&record),
    );
    Ok(())
}

fn chunks_of(ecosystem: Ecosystem, pins: &Pins, verbatim: &[String]) -> Vec<BaselineChunk> {
    let empty = || BaselineChunk {
        ecosystem,
        pins: Vec::new(),
        verbatim: Vec::new(),
    };
    let (mut chunks, mut chunk, mut bytes) = (Vec::new(), empty(), 0);
    let pin_row = |pin: &pinion_core::pin::Pin| {
        let marker = pin.marker.as_ref().map(ToString::to_string);
        (
            pin.package.written().to_owned(),
            pin.version.to_string(),
            marker,
        )
    };
    let rows = pins
        .iter()
        .map(|pin| Err(pin_row(pin)))
        .chain(verbatim.iter().map(|line| Ok(line.clone())));
    for row in rows {
        let size = 24
            + match &row {
                Ok(line) => line.len() * 2,
                Err((package, version, marker)) => {
                    package.len() + version.len() + marker.as_ref().map_or(0, |m| m.len() * 2)
                }
            };
        if bytes + size > CHUNK_BYTES {
            chunks.push(std::mem::replace(&mut chunk, empty()));
            bytes = 0;
        }
        bytes += size;
        match row {
            Ok(line) => chunk.verbatim.push(line),
            Err(pin) => chunk.pins.push(pin),
        }
    }
    if !chunk.pins.is_empty() || !chunk.verbatim.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

/// Whether the store can keep each line that is kept as it stands.
pub(super) fn check_lengths(lines: &[constraints::UnkeptLine]) -> Result<(), Refusal> {
    let Some(line) = lines
        .iter()
        .find(|line| encode(&line.text).len() > VERBATIM_BYTES_MAX)
    else {
        return Ok(());
    };
    let (number, bytes) = (line.line, line.text.len());
    Err(Refusal::invalid(
        "content",
        format!(
            "line {number} is no exact pin, and its {bytes} bytes are more than the about {VERBATIM_BYTES_MAX} that can be kept as they stand; shorten it, such as by leaving out hashes"
        ),
    ))
}

pub(super) fn unkept_in_words(lines: &[constraints::UnkeptLine]) -> String {
    let mut chars_left = LISTED_CHARS_MAX;
    let listed: Vec<String> = lines
        .iter()
        .take(LISTED_MAX)
        .map(|line| {
            format!(
                "line {}: {} (`{}`)",
                line.line,
                line.reason,
                quoted(&line.text)
            )
        })
        .take_while(|words| {
            let fits = words.len() <= chars_left;
            chars_left = chars_left.saturating_sub(words.len());
            fits
        })
        .collect();
    let more = match lines.len() - listed.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let are = match lines.len() {
        1 => "1 line is no exact pin".to_owned(),
        count => format!("{count} lines are no exact pins"),
    };
    format!(
        "{are}: {}{more}; change them, or import with `--keep-unkept` to keep them as they stand",
        listed.join("; ")
    )
}

/// The beginning of a line, on one line.
fn quoted(text: &str) -> String {
    let mut words: String = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(QUOTED_CHARS_MAX + 1)
        .collect();
    if words.chars().count() > QUOTED_CHARS_MAX {
        words.pop();
        words.push('…');
    }
    words
}

/// What git takes as a branch or path, and no shell or option parser misreads.
fn check_git_name(field: &'static str, name: &str) -> Result<(), Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/+@".contains(&byte);
    let fine = (1..=200).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with(['-', '/', '.'])
        && !name.ends_with('/')
        && !name.contains("..")
        && !name.contains("//");
    if fine {
        Ok(())
    } else {
        Err(Refusal::invalid(
            field,
            format!("`{name}` is not a plain name of 1 to 200 letters, digits and ._-/+@"),
        ))
    }
}

fn none_or(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
