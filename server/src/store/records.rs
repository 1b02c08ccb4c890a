//! What the values hold. Control records are JSON in an envelope with their format; evidence is packed.
//!
//! Old formats stay readable: the fixtures under `tests/fixtures/records` hold one of each.

use pinion_core::ask::Verb;
use pinion_core::calendar::StandingFreeze;
use pinion_core::ecosystem::Ecosystem;
use pinion_core::evidence::Ordinal;
use pinion_core::filing::{FilingKey, Kind};
use pinion_core::name::{
    DrawKey, EnvironmentId, ForgeName, NoticeId, PackageName, PinSetName, Platform, RolloutId,
    RouteName, TokenName,
};
use pinion_core::notice::Notice;
use pinion_core::pin::{Marker, PackageChange, Pin};
use pinion_core::policy::Policy;
use pinion_core::queue::Wanted;
use pinion_core::requires::Requirement;
use pinion_core::resolve::Hold;
use pinion_core::rollout::Approval;
use pinion_core::standing::Standing;
use pinion_core::state::Actor;
use pinion_core::time::Timestamp;
use pinion_core::version::Version;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Error, Key};

mod packed;

pub use packed::{
    CELLS_PER_CHUNK, HISTORY_PER_CHUNK, HistoryChunk, JournalEntry, JournalEvent, JournalRecord,
    MEMBERS_PER_CHUNK, decode_cells, decode_looks, decode_members, decode_seen, encode_cells,
    encode_looks, encode_members, encode_seen,
};

/// The format that is written.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    format: u32,
    record: T,
}

/// A control record as a value.
///
/// # Panics
/// Never: every record has a JSON form.
pub fn encode<T: Serialize>(record: &T) -> bytes::Bytes {
    serde_json::to_vec(&Envelope {
        format: FORMAT,
        record,
    })
    .expect("every record has a JSON form")
    .into()
}

/// The control record of a value.
///
/// # Errors
/// [`Error::Damaged`] if it is none, or of a format that this version does not know.
pub fn decode<T: DeserializeOwned>(key: &Key, value: &[u8]) -> Result<T, Error> {
    let damaged = |cause: String| Error::Damaged {
        key: key.to_string(),
        cause,
    };
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } =
        serde_json::from_slice(value).map_err(|error| damaged(error.to_string()))?;
    if format != FORMAT {
        return Err(damaged(format!(
            "its format {format} is not known to this version; it was written by a newer one"
        )));
    }
    let envelope: Envelope<T> =
        serde_json::from_slice(value).map_err(|error| damaged(error.to_string()))?;
    Ok(envelope.record)
}

/// A pin set without its baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PinSetRecord {
    /// Its name.
    pub name: PinSetName,
    /// Its ecosystem.
    pub ecosystem: Ecosystem,
    /// Its policy.
    pub policy: Policy,
    /// The file its changes are filed against.
    pub source: Option<SourceRecord>,
    /// Whether the index of its ecosystem is watched for new versions of its pins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub track: bool,
    /// The freeze that somebody set at once; it may have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<StandingFreeze>,
    /// Rises with every change.
    pub revision: u64,
    /// Parts of the baseline.
    pub chunks: usize,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its revision last rose.
    pub updated_at: Timestamp,
}

/// A file in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The forge, by its name in the configuration.
    pub forge: ForgeName,
    /// The branch.
    pub branch: String,
    /// The path.
    pub path: String,
    /// The path of a file beside it in which a rollback also excludes the version, such as `global-requirements.txt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusions_path: Option<String>,
    /// Whether the pin set follows the file.
    #[serde(default)]
    pub follow: bool,
}

/// A part of a baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineChunk {
    /// How its names and versions are read.
    pub ecosystem: Ecosystem,
    /// Package as written, version, marker.
    pub pins: Vec<(String, String, Option<String>)>,
    /// Lines that are no pins, as they stand.
    pub verbatim: Vec<String>,
}

impl BaselineChunk {
    /// The pins of the part.
    ///
    /// # Errors
    /// What is wrong with the first one that is none.
    pub fn parse(&self) -> Result<Vec<Pin>, String> {
        let parse = |(package, version, marker): &(String, String, Option<String>)| {
            let package =
                PackageName::parse(self.ecosystem, package).map_err(|error| error.to_string())?;
            let version =
                Version::parse(self.ecosystem, version).map_err(|error| error.to_string())?;
            let marker = marker
                .as_ref()
                .map(|marker| Marker::parse(self.ecosystem, marker))
                .transpose();
            Ok(Pin {
                package,
                version,
                marker: marker.map_err(|error| error.to_string())?,
            })
        };
        self.pins.iter().map(parse).collect()
    }
}

/// A version that was rolled back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockRecord {
    /// Where.
    pub pin_set: PinSetName,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// When.
    pub at: Timestamp,
    /// By which rollout.
    pub rollout: RolloutId,
    /// Why, as a sentence.
    pub reason: String,
    /// Versions together with which alone it is harmful; empty: it is harmful by itself.
    #[serde(default)]
    pub incompatible_with: Vec<(PackageName, Version)>,
    /// Who has asked for it to be lifted, too few so far, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lift_votes: Vec<Approval>,
}

/// What one version of a pin set needs of others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequiresRecord {
    /// Where.
    pub pin_set: PinSetName,
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// What people said.
    #[serde(default)]
    pub declared: Vec<Requirement>,
    /// What the index says; none: it was not asked, or does not have the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Vec<Requirement>>,
}

/// A server that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRecord {
    /// The number of its process.
    pub process: u64,
    /// Its version of Pinion.
    pub version: String,
    /// When it started, by its clock.
    pub started_at: Timestamp,
    /// When it last wrote this, by its clock.
    pub at: Timestamp,
    /// Milliseconds since its start, by its monotonic clock: when it sees this, it knows everything that was written
    /// until then.
    pub mark: u64,
}

/// What a person asked of a rollout at a server that does not lead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AskRecord {
    /// The rollout.
    pub rollout: RolloutId,
    /// What is asked.
    pub verb: Verb,
    /// By whom.
    pub actor: Actor,
    /// Why.
    pub words: String,
    /// The decisions that whoever asked has seen; 0: any.
    pub expected_revision: u64,
    /// When, by the clock of the server that was asked.
    pub at: Timestamp,
    /// What became of it; none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerRecord>,
}

/// What became of what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerRecord {
    /// It was done.
    Done,
    /// It was refused.
    Refused(RefusalRecord),
}

/// A refusal as another server tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalRecord {
    /// What kind of refusal it is.
    pub kind: RefusalKind,
    /// Its short identifier, for programs.
    pub code: String,
    /// What was wrong and what to do next.
    pub words: String,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// Nobody knows who asks.
    Unauthenticated,
    /// Who asks may not.
    Forbidden,
    /// It is not there.
    NotFound,
    /// It is there already.
    Exists,
    /// The request is wrong in itself.
    Invalid,
    /// It was made on an older state.
    Stale,
    /// It does not fit what is.
    Precondition,
    /// There are too many already.
    Exhausted,
    /// The store could not do it; it may be tried again.
    Unavailable,
    /// What is stored cannot be trusted.
    Damaged,
    /// This is our fault.
    Internal,
}

/// How an open rollout fares, as the server that leads tells the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandingRecord {
    /// How it fares.
    pub standing: Standing,
}

/// A part of the versions that wait for their trial in a pin set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WantChunk {
    /// The oldest first, over all parts.
    pub wanted: Vec<Wanted>,
}

/// What remains of a draw key whose last environment has left, for as long as a rollout runs: its position
/// there, and nothing by which it could be found again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftRecord {
    /// Its number.
    pub ordinal: Ordinal,
    /// Its position in the rollout, in [0, 1).
    pub draw: f64,
}

/// An enrolled environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentRecord {
    /// Its id.
    pub id: EnvironmentId,
    /// The pin set it follows.
    pub pin_set: PinSetName,
    /// The number of its draw key.
    pub ordinal: Ordinal,
    /// What it is drawn by, if not by its id.
    pub draw_key: Option<DrawKey>,
    /// Whether its owner agreed to reporting.
    pub reporting: bool,
    /// Whether its owner agreed that failing runs are repeated with the baseline.
    #[serde(default)]
    pub repeats: bool,
    /// Such as `linux-x86_64-py3.11`.
    pub platform: Option<Platform>,
    /// What its owner refuses.
    pub holds: Vec<Hold>,
    /// Packages whose candidates its owner takes at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volunteers: Vec<PackageName>,
    /// The SHA-256 of its token's secret, hexadecimal.
    pub token: String,
    /// When it was enrolled.
    pub created_at: Timestamp,
}

impl EnvironmentRecord {
    /// What it is drawn by.
    pub fn draw_key(&self) -> &str {
        self.draw_key
            .as_ref()
            .map_or_else(|| self.id.as_str(), |key| key.as_str())
    }
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Pull pins, enrol, report for its environment.
    Environment,
    /// The same, for CI fleets.
    Ci,
    /// Read everything but secrets.
    Viewer,
    /// Run rollouts and pin sets.
    ReleaseManager,
    /// Everything.
    Admin,
}

impl Role {
    /// Its name, as people and programs see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Ci => "ci",
            Self::Viewer => "viewer",
            Self::ReleaseManager => "release-manager",
            Self::Admin => "admin",
        }
    }
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its name; none for an environment's own.
    pub name: Option<TokenName>,
    /// What it may do.
    pub role: Role,
    /// The only pin set it is good for.
    pub pin_set: Option<PinSetName>,
    /// The environment whose own it is.
    pub environment: Option<EnvironmentId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// A change to be filed: worded when decided, then only carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilingRecord {
    /// The same on every try.
    pub key: FilingKey,
    /// For which rollout.
    pub rollout: RolloutId,
    /// What it does.
    pub kind: Kind,
    /// Counted from 1; a further one is asked for by a person when the one before was declined.
    pub attempt: u32,
    /// Where.
    pub source: SourceRecord,
    /// The ecosystem of the file.
    pub ecosystem: Ecosystem,
    /// What changes in the file.
    pub changes: Vec<PackageChange>,
    /// The branch that will hold it.
    pub head: String,
    /// The subject of its message.
    pub subject: String,
    /// The rest of its message.
    pub body: String,
    /// When it was decided; also the date of its commit.
    pub decided_at: Timestamp,
    /// How far it is.
    pub state: FilingState,
    /// Tries so far.
    pub tries: u32,
    /// When the forge first had it.
    pub filed_at: Option<Timestamp>,
    /// Where people look at it.
    pub url: Option<String>,
    /// The forge's last words.
    pub last_answer: String,
}

/// How far a filing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum FilingState {
    /// To be tried.
    Pending {
        /// The commit it is built on, once that was read.
        parent: Option<String>,
        /// When it is tried next.
        next_try: Timestamp,
    },
    /// It is there and waits for people.
    Filed {
        /// As which commit.
        commit: String,
        /// When it is looked at next.
        next_look: Timestamp,
    },
    /// The branch has it.
    Merged {
        /// As which commit it was filed.
        commit: String,
    },
    /// A person closed it. It is never filed again unless a person asks.
    Declined {
        /// As which commit it was filed.
        commit: String,
    },
    /// The branch holds the version already.
    Unneeded,
    /// It cannot be done without a person. It is tried once more when the server starts, or when a person asks.
    Stopped {
        /// The commit it is built on, once that was read.
        parent: Option<String>,
    },
}

impl FilingState {
    /// Its name, as people and programs see it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Filed { .. } => "filed",
            Self::Merged { .. } => "merged",
            Self::Declined { .. } => "declined",
            Self::Unneeded => "unneeded",
            Self::Stopped { .. } => "stopped",
        }
    }

    /// Whether a person may have it filed once more.
    pub const fn may_be_filed_again(&self) -> bool {
        matches!(
            self,
            Self::Pending { .. } | Self::Stopped { .. } | Self::Declined { .. }
        )
    }

    /// The commit that was filed.
    pub fn commit(&self) -> Option<&str> {
        match self {
            Self::Filed { commit, .. } | Self::Merged { commit } | Self::Declined { commit } => {
                Some(commit)
            }
            Self::Pending { .. } | Self::Unneeded | Self::Stopped { .. } => None,
        }
    }

    /// When something is done about it next.
    pub const fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Pending { next_try, .. } => Some(*next_try),
            Self::Filed { next_look, .. } => Some(*next_look),
            Self::Merged { .. } | Self::Declined { .. } | Self::Unneeded | Self::Stopped { .. } => {
                None
            }
        }
    }
}

/// A notice with every route by which it goes: worded with the change that it tells of, then only sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoticeRecord {
    /// The same on every try and by every route.
    pub id: NoticeId,
    /// What is told.
    pub notice: Notice,
    /// By which routes.
    pub deliveries: Vec<Delivery>,
}

/// A notice on one route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The route, by its name in the configuration.
    pub route: RouteName,
    /// How far it is.
    pub state: DeliveryState,
    /// Tries so far.
    pub tries: u32,
    /// The receiver's last words.
    pub last_answer: String,
}

/// How far a notice is on one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum DeliveryState {
    /// To be tried.
    Waiting {
        /// When it is tried next; while a try runs, when another may be made.
        next_try: Timestamp,
    },
    /// The receiver has taken it.
    Sent {
        /// When.
        at: Timestamp,
    },
    /// The receiver does not take it.
    Refused {
        /// When.
        at: Timestamp,
    },
    /// It could not be sent for as long as is tried.
    GivenUp {
        /// When.
        at: Timestamp,
    },
    /// Its route is not configured any more.
    Dropped {
        /// When.
        at: Timestamp,
    },
}

impl DeliveryState {
    /// Its name, as people and programs see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Sent { .. } => "sent",
            Self::Refused { .. } => "refused",
            Self::GivenUp { .. } => "given-up",
            Self::Dropped { .. } => "dropped",
        }
    }

    /// When it ended; none: it waits.
    pub const fn ended(self) -> Option<Timestamp> {
        match self {
            Self::Waiting { .. } => None,
            Self::Sent { at }
            | Self::Refused { at }
            | Self::GivenUp { at }
            | Self::Dropped { at } => Some(at),
        }
    }
}

impl NoticeRecord {
    /// When it ended on its last route; none: it waits on one.
    pub fn ended(&self) -> Option<Timestamp> {
        let ends = self
            .deliveries
            .iter()
            .map(|delivery| delivery.state.ended());
        ends.collect::<Option<Vec<Timestamp>>>()?.into_iter().max()
    }

    /// How it is on a route.
    pub fn delivery(&self, route: &RouteName) -> Option<&Delivery> {
        self.deliveries
            .iter()
            .find(|delivery| delivery.route == *route)
    }
}
