//! The audit log: what was done that is no decision about a rollout, each entry bound to the one before.
//!
//! Decisions about rollouts have a log of their own ([`crate::log`]). What an environment's owner does with the
//! environment stands in neither: who leaves is forgotten.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::name::{PinSetName, RolloutId, TokenName};
use crate::numbers::counted;
use crate::pin::PackageChange;
use crate::rollout::Origin;
use crate::state::Actor;
use crate::time::Timestamp;

/// Pins that one entry names, at most; how many more there are is counted.
pub const PINS_MAX: usize = 50;
/// The bytes of JSON that the pins of one entry take, at most: an entry has to fit into one value of the store.
const PINS_BYTES_MAX: usize = 8 * 1024;

/// One act. Written once, never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Counted from 1.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What was done.
    pub act: Act,
    /// Why, in the actor's words; may be empty.
    pub reason: String,
    /// The hash of the entry before; empty for the first.
    pub previous_hash: String,
    /// SHA-256 of this entry's JSON with this field empty, hexadecimal.
    pub hash: String,
}

/// The end of the log, to which the next entry is bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// Entries so far.
    pub sequence: u64,
    /// The hash of the last one.
    pub hash: String,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum Act {
    /// A token was made.
    TokenCreated {
        /// Its name.
        name: TokenName,
        /// What it may do.
        role: String,
        /// The only pin set it is good for.
        pin_set: Option<PinSetName>,
        /// When it stops working.
        expires_at: Option<Timestamp>,
    },
    /// A token was made useless.
    TokenRevoked {
        /// Its name.
        name: TokenName,
        /// What it could do.
        role: String,
    },
    /// A pin set was made.
    PinSetCreated {
        /// Its name.
        pin_set: PinSetName,
        /// The hash of its policy's JSON, hexadecimal.
        policy_sha256: String,
    },
    /// The rules of a pin set were changed.
    PinSetUpdated {
        /// Which one.
        pin_set: PinSetName,
        /// Its revision from then on.
        revision: u64,
        /// The hash of its new policy's JSON, hexadecimal; none: the policy stayed.
        policy_sha256: Option<String>,
        /// Whether its source was changed.
        source: bool,
        /// Whether its index is watched from then on; none: as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        track: Option<bool>,
    },
    /// A baseline was replaced by a file's pins.
    PinsImported {
        /// Of which pin set.
        pin_set: PinSetName,
        /// Its revision from then on.
        revision: u64,
        /// What changed.
        pins: Pins,
        /// Rollouts that ended because of it.
        superseded: u64,
    },
    /// Pins of a followed file were taken without a rollout.
    TakenFromSource {
        /// By which pin set.
        pin_set: PinSetName,
        /// Its revision from then on.
        revision: u64,
        /// The file, as it was read.
        origin: Origin,
        /// What changed.
        pins: Pins,
    },
    /// A version may be proposed again.
    BlockLifted {
        /// In which pin set.
        pin_set: PinSetName,
        /// The package.
        package: String,
        /// The version.
        version: String,
        /// The rollout that had been rolled back.
        rollout: RolloutId,
    },
}

/// Pins that changed: the first ones by name, the others by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pins {
    /// Package, version before, version after, as `requests 2.0 -> 2.1`; `none` where there was, or is, no pin.
    pub named: Vec<String>,
    /// How many more.
    pub more: u64,
}

impl Pins {
    /// As many as an entry has room for.
    pub fn of(changes: &[PackageChange]) -> Self {
        let (mut pins, mut bytes) = (Self::default(), 0);
        for change in changes {
            let version = |version: &Option<crate::version::Version>| {
                version
                    .as_ref()
                    .map_or_else(|| "none".to_owned(), ToString::to_string)
            };
            let words = format!(
                "{} {} -> {}",
                change.package.written(),
                version(&change.from),
                version(&change.to)
            );
            // A character takes six bytes of JSON at the most.
            bytes += 6 * words.len();
            if pins.named.len() == PINS_MAX || bytes > PINS_BYTES_MAX {
                break;
            }
            pins.named.push(words);
        }
        pins.more = (changes.len() - pins.named.len()) as u64;
        pins
    }
}

impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named.join(", "))?;
        match (self.named.is_empty(), self.more) {
            (true, 0) => f.write_str("no pins"),
            (true, more) => f.write_str(&counted(more, "pin")),
            (false, 0) => Ok(()),
            (false, more) => write!(f, " and {}", counted(more, "more pin")),
        }
    }
}

impl Act {
    /// Its name, as programs see it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TokenCreated { .. } => "token-created",
            Self::TokenRevoked { .. } => "token-revoked",
            Self::PinSetCreated { .. } => "pin-set-created",
            Self::PinSetUpdated { .. } => "pin-set-updated",
            Self::PinsImported { .. } => "pins-imported",
            Self::TakenFromSource { .. } => "taken-from-source",
            Self::BlockLifted { .. } => "block-lifted",
        }
    }

    /// The pin set that it concerns; none: the server as a whole.
    pub const fn pin_set(&self) -> Option<&PinSetName> {
        match self {
            Self::TokenCreated { pin_set, .. } => pin_set.as_ref(),
            Self::TokenRevoked { .. } => None,
            Self::PinSetCreated { pin_set, .. }
            | Self::PinSetUpdated { pin_set, .. }
            | Self::PinsImported { pin_set, .. }
            | Self::TakenFromSource { pin_set, .. }
            | Self::BlockLifted { pin_set, .. } => Some(pin_set),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenCreated {
                name,
                role,
                pin_set,
                expires_at,
            } => {
                write!(f, "token `{name}` was created, role {role}")?;
                if let Some(pin_set) = pin_set {
                    write!(f, ", for pin set `{pin_set}` only")?;
                }
                match expires_at {
                    Some(at) => write!(f, ", until {at}"),
                    None => Ok(()),
                }
            }
            Self::TokenRevoked { name, role } => {
                write!(f, "token `{name}` was revoked, role {role}")
            }
            Self::PinSetCreated { pin_set, .. } => write!(f, "pin set `{pin_set}` was created"),
            Self::PinSetUpdated {
                pin_set,
                revision,
                policy_sha256,
                source,
                track,
            } => {
                let parts = [
                    policy_sha256.is_some().then_some("policy"),
                    source.then_some("source"),
                    track.map(|_| "watching of the index"),
                ];
                let parts: Vec<_> = parts.into_iter().flatten().collect();
                let what = match parts.is_empty() {
                    true => "nothing".to_owned(),
                    false => parts.join(" and "),
                };
                write!(
                    f,
                    "pin set `{pin_set}`, now at revision {revision}: {what} changed"
                )
            }
            Self::PinsImported {
                pin_set,
                revision,
                pins,
                superseded,
            } => {
                write!(
                    f,
                    "pins were imported into `{pin_set}`, now at revision {revision}: {pins}"
                )?;
                match superseded {
                    0 => Ok(()),
                    n => write!(f, "; {} ended", counted(*n, "rollout")),
                }
            }
            Self::TakenFromSource {
                pin_set,
                revision,
                origin,
                pins,
            } => write!(
                f,
                "`{pin_set}`, now at revision {revision}, took from `{}` at {}: {pins}",
                origin.path,
                origin.commit12()
            ),
            Self::BlockLifted {
                pin_set,
                package,
                version,
                rollout,
            } => write!(
                f,
                "the block of {package} {version} in `{pin_set}` was lifted; rollout {rollout} had been rolled back"
            ),
        }
    }
}

impl AuditEntry {
    /// The entry that follows `head`, bound to it.
    ///
    /// # Panics
    /// Never: an entry has a JSON form.
    pub fn after(head: &AuditHead, at: Timestamp, actor: Actor, act: Act, reason: String) -> Self {
        Self {
            sequence: head.sequence + 1,
            at,
            actor,
            act,
            reason,
            previous_hash: head.hash.clone(),
            hash: String::new(),
        }
        .sealed()
    }

    fn sealed(mut self) -> Self {
        self.hash = String::new();
        let json = serde_json::to_vec(&self).expect("an entry has a JSON form");
        self.hash = hex::encode(Sha256::digest(json));
        self
    }

    /// The end of the log with this entry.
    pub fn head(&self) -> AuditHead {
        AuditHead {
            sequence: self.sequence,
            hash: self.hash.clone(),
        }
    }

    /// What is wrong with the entry where it follows `head`; none: nothing.
    pub fn problem_after(&self, head: &AuditHead) -> Option<String> {
        if self.sequence != head.sequence + 1 {
            return Some(format!(
                "entry {} is not there, and {} follows",
                head.sequence + 1,
                self.sequence
            ));
        }
        if self.clone().sealed().hash != self.hash {
            return Some("it was changed: its hash is not that of what it says".to_owned());
        }
        (self.previous_hash != head.hash)
            .then(|| "the entry before it has another hash than it names".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revoked(name: &str) -> Act {
        Act::TokenRevoked {
            name: name.parse().expect("a name"),
            role: "admin".to_owned(),
        }
    }

    fn chain(names: &[&str]) -> Vec<AuditEntry> {
        let mut head = AuditHead::default();
        let entry = |name: &&str| {
            let at = Timestamp::from_unix_ms(1);
            let entry =
                AuditEntry::after(&head, at, Actor::Controller, revoked(name), String::new());
            head = entry.head();
            entry
        };
        names.iter().map(entry).collect()
    }

    #[test]
    fn a_changed_a_missing_and_a_swapped_entry_are_found() {
        let whole = chain(&["a", "b", "c"]);
        assert_eq!(whole[1].problem_after(&whole[0].head()), None);
        assert!(whole[2].problem_after(&whole[0].head()).is_some());
        let mut changed = whole[1].clone();
        changed.act = revoked("d");
        assert!(changed.problem_after(&whole[0].head()).is_some());
        let other = chain(&["x", "b"]);
        assert!(other[1].problem_after(&whole[0].head()).is_some());
    }

    #[test]
    fn an_entry_has_a_bounded_size_however_many_pins_change() {
        let change = |n: usize| PackageChange {
            package: crate::name::PackageName::parse(
                crate::ecosystem::Ecosystem::Npm,
                &format!("p{n}{}", "x".repeat(150)),
            )
            .expect("a name"),
            marker: None,
            from: None,
            to: None,
        };
        let changes: Vec<PackageChange> = (0..500).map(change).collect();
        let pins = Pins::of(&changes);
        assert_eq!(pins.named.len() as u64 + pins.more, 500);
        let bytes = serde_json::to_vec(&pins).expect("JSON").len();
        assert!(bytes < 9 * 1024, "{bytes}");
    }
}
