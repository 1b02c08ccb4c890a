//! Everything that was done, held against what is kept: decisions about rollouts, and the audit log of all else.

use std::collections::HashMap;

use pinion_core::audit::{Act, AuditEntry, AuditHead};
use pinion_core::evidence::{Order, Ordinal};
use pinion_core::log::LogEntry;
use pinion_core::name::{PinSetName, RolloutId};
use pinion_core::outcome::Fingerprint;
use pinion_core::reason::Reason;
use pinion_core::replay::{FirstSeen, Kept, KeptCell, KeptEntry, KeptEpoch, Verified, verify};
use pinion_core::rollout::{Epoch, Rollout};
use pinion_core::state::{Actor, Step};
use pinion_core::time::Timestamp;
use sha2::{Digest, Sha256};

use super::{Controller, Draft, Identity, Refusal, read_all};
use crate::snapshot::Snapshot;
use crate::store::records::{Role, decode, decode_cells, decode_looks, decode_members, encode};
use crate::store::{Error, PAGE_MAX, Store, keys};

/// What of the audit log is asked for.
#[derive(Clone, Debug)]
pub struct AuditQuery {
    /// Only what concerns this pin set.
    pub pin_set: Option<PinSetName>,
    /// Only from then on.
    pub since: Option<Timestamp>,
    /// Only until then.
    pub until: Option<Timestamp>,
    /// After this entry; 0: from the start.
    pub after: u64,
    /// Entries that are looked at, at most.
    pub max: usize,
}

/// What came of checking the audit log.
#[derive(Clone, Debug, Default)]
pub struct AuditChecked {
    /// How many entries there are.
    pub entries: u64,
    /// What is wrong, each with the number of its entry.
    pub problems: Vec<(u64, String)>,
}

/// Problems that are told of, at most.
const PROBLEMS_MAX: usize = 100;

impl Controller {
    /// Puts an act into the audit log, in the transaction that does it. The caller holds the lock.
    ///
    /// # Errors
    /// If the end of the log cannot be read.
    pub(crate) async fn put_audit(
        &self,
        draft: &mut Draft,
        actor: &Actor,
        act: Act,
        reason: &str,
    ) -> Result<(), Refusal> {
        let key = keys::audit_head();
        let stored = self.store.get(&key).await?;
        let head: AuditHead = match &stored {
            Some(entry) => decode(&key, &entry.value)?,
            None => AuditHead::default(),
        };
        let at = self.clock.now();
        let entry = AuditEntry::after(&head, at, actor.clone(), act, reason.to_owned());
        draft.create(keys::audit(entry.sequence), encode(&entry));
        match stored {
            Some(stored) => draft.replace(key, stored.modified, encode(&entry.head())),
            None => draft.create(key, encode(&entry.head())),
        }
        Ok(())
    }

    /// Entries of the audit log that a caller may see, the number of the last one that was looked at, and whether more
    /// follow.
    ///
    /// # Errors
    /// If the caller may not see any, or they cannot be read.
    pub async fn audit_entries(
        &self,
        caller: &Identity,
        query: &AuditQuery,
    ) -> Result<(Vec<AuditEntry>, u64, bool), Refusal> {
        caller.require(&[Role::Viewer])?;
        if let Some(pin_set) = &query.pin_set {
            caller.require_pin_set(pin_set)?;
        }
        let after = (query.after > 0).then(|| keys::audit(query.after));
        let max = query.max.clamp(1, PAGE_MAX);
        let page = self.store.page(keys::AUDIT, after.as_ref(), max).await?;
        let (mut entries, mut last) = (Vec::new(), query.after);
        for stored in &page.entries {
            let entry: AuditEntry = decode(&stored.key, &stored.value)?;
            last = entry.sequence;
            let pin_set = entry.act.pin_set();
            let is_visible = caller
                .pin_set
                .as_ref()
                .or(query.pin_set.as_ref())
                .is_none_or(|only| pin_set == Some(only));
            let is_in_time = query.since.is_none_or(|since| entry.at >= since)
                && query.until.is_none_or(|until| entry.at < until);
            if is_visible && is_in_time {
                entries.push(entry);
            }
        }
        Ok((entries, last, page.more))
    }

    /// Checks the whole audit log.
    ///
    /// # Errors
    /// If the caller may not see all of it, or the store cannot be read.
    pub async fn verify_audit(&self, caller: &Identity) -> Result<AuditChecked, Refusal> {
        caller.require(&[Role::Viewer])?;
        if let Some(own) = &caller.pin_set {
            return Err(Refusal::Precondition {
                code: "ONE_PIN_SET_ONLY",
                cause: format!(
                    "the token is good for `{own}` only, and the chain goes through all pin sets"
                ),
                hint: "use a token that is good for all of them".to_owned(),
            });
        }
        // No act is under way while this is read, so that the end belongs to the entries.
        let _lock = self.lock().await;
        let (mut checked, mut head) = (AuditChecked::default(), AuditHead::default());
        let mut after = None;
        loop {
            let page = self
                .store
                .page(keys::AUDIT, after.as_ref(), PAGE_MAX)
                .await?;
            for stored in &page.entries {
                checked.entries += 1;
                let number = keys::sequence_of_audit(&stored.key).unwrap_or(0);
                match decode::<AuditEntry>(&stored.key, &stored.value) {
                    Ok(entry) => {
                        if let Some(problem) = entry.problem_after(&head) {
                            checked.problem(number, problem);
                        }
                        head = entry.head();
                    }
                    Err(error) => {
                        checked.problem(number, error.to_string());
                        head.sequence = number;
                    }
                }
            }
            after = page.entries.last().map(|entry| entry.key.clone());
            if !page.more {
                break;
            }
        }
        let key = keys::audit_head();
        let recorded: AuditHead = match self.store.get(&key).await? {
            Some(stored) => decode(&key, &stored.value)?,
            None => AuditHead::default(),
        };
        if recorded != head {
            let problem = format!(
                "the log ends with entry {}, and it is noted that it ends with {}, or with another hash",
                head.sequence, recorded.sequence
            );
            checked.problem(recorded.sequence, problem);
        }
        Ok(checked)
    }

    /// Makes every decision of a rollout again, from what is kept of it.
    ///
    /// # Errors
    /// If there is no such rollout, or the store cannot be read. What is kept and cannot be understood is a finding.
    pub async fn verify_decisions(
        &self,
        caller: &Identity,
        id: &RolloutId,
    ) -> Result<Verified, Refusal> {
        self.visible_rollout(caller, id)?;
        let lock = self.lock().await;
        let snapshot = self.snapshot();
        let stored = snapshot
            .rollout(id)
            .ok_or_else(|| Refusal::no_rollout(id))?;
        let rollout = Rollout::clone(&stored.record);
        let kept = kept(self.store.as_ref(), &snapshot, rollout).await?;
        drop(lock);
        let looks = first_seen(self.store.as_ref()).await?;
        let verified = tokio::task::spawn_blocking(move || {
            let first_seen = |look: Fingerprint| {
                let known = looks.get(&look);
                known.map_or(FirstSeen::Forgotten, |order| FirstSeen::At(*order))
            };
            verify(&kept, &first_seen)
        });
        verified
            .await
            .map_err(|error| Refusal::Store(Error::Unavailable(error.to_string())))
    }
}

impl AuditChecked {
    fn problem(&mut self, number: u64, problem: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push((number, problem));
        }
    }
}

/// Everything that the store has of a rollout.
async fn kept(store: &dyn Store, snapshot: &Snapshot, rollout: Rollout) -> Result<Kept, Error> {
    let log = decisions(store, &rollout.id).await?;
    let mut partners = Vec::new();
    for entry in log.iter().filter_map(|entry| entry.entry.as_ref().ok()) {
        if let Reason::HarmfulTogether { with, .. } = &entry.reason {
            let restarts = decisions(store, with).await?.into_iter();
            let restarts = restarts.filter_map(|entry| entry.entry.ok());
            partners.extend(restarts.filter(|entry| entry.action == Step::Restart.as_str()));
        }
    }
    let mut epochs = Vec::new();
    for entry in read_all(store, &keys::epoch_prefix(&rollout.id)).await? {
        let epoch: Result<Epoch, String> =
            decode(&entry.key, &entry.value).map_err(|error: Error| error.to_string());
        let number = entry.key.as_str().rsplit('/').next();
        let index = number.and_then(|number| number.parse().ok()).unwrap_or(0);
        epochs.push(kept_epoch(store, snapshot, &rollout, index, epoch).await?);
    }
    Ok(Kept {
        gates: snapshot.gates(&rollout),
        rollout,
        epochs,
        log,
        partners,
    })
}

async fn decisions(store: &dyn Store, id: &RolloutId) -> Result<Vec<KeptEntry>, Error> {
    let entries = read_all(store, &keys::log_prefix(id)).await?.into_iter();
    let entry = |entry: crate::store::Entry| KeptEntry {
        sequence: keys::sequence_of_log(&entry.key).unwrap_or(0),
        entry: decode::<LogEntry>(&entry.key, &entry.value).map_err(|error| error.to_string()),
    };
    Ok(entries.map(entry).collect())
}

async fn kept_epoch(
    store: &dyn Store,
    snapshot: &Snapshot,
    rollout: &Rollout,
    index: u32,
    epoch: Result<Epoch, String>,
) -> Result<KeptEpoch, Error> {
    let draw = |ordinal: Ordinal| snapshot.draw(rollout, ordinal);
    let (mut members, mut cells, mut damage) = (Vec::new(), Vec::new(), Vec::new());
    let mut hash = Sha256::new();
    let prefix = keys::pool_prefix(&rollout.id, index);
    for entry in read_all(store, &prefix).await? {
        hash.update(&entry.value);
        match decode_members(&entry.key, &entry.value) {
            Ok(part) => members.extend(part),
            Err(error) => damage.push(error.to_string()),
        }
    }
    if let Ok(epoch) = &epoch
        && hex::encode(hash.finalize()) != epoch.pool
    {
        damage.push(format!(
            "the pool `{prefix}` is not the one that the epoch was opened with"
        ));
    }
    for entry in read_all(store, &keys::cells_prefix(&rollout.id, index)).await? {
        match decode_cells(&entry.key, &entry.value) {
            Ok(part) => cells.extend(part),
            Err(error) => damage.push(error.to_string()),
        }
    }
    // The hash of what was counted goes by ordinals.
    cells.sort_by_key(|(ordinal, _)| *ordinal);
    Ok(KeptEpoch {
        epoch,
        members: members
            .into_iter()
            .map(|member| (member, draw(member.ordinal)))
            .collect(),
        cells: cells
            .into_iter()
            .map(|(ordinal, cell)| KeptCell {
                ordinal,
                draw: draw(ordinal),
                cell,
            })
            .collect(),
        damage,
    })
}

/// Where every look that is known was first seen.
async fn first_seen(store: &dyn Store) -> Result<HashMap<Fingerprint, Order>, Error> {
    let mut looks: HashMap<Fingerprint, Order> = HashMap::new();
    for entry in read_all(store, keys::LOOK).await? {
        for (look, order) in decode_looks(&entry.key, &entry.value)? {
            let first = looks.entry(look).or_insert(order);
            *first = order.min(*first);
        }
    }
    Ok(looks)
}
