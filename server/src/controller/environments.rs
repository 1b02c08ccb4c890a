//! Enrolled environments: what their owners ask for.

use pinion_core::ecosystem::Ecosystem;
use pinion_core::evidence::Ordinal;
use pinion_core::name::{DrawKey, EnvironmentId, PackageName, PinSetName, Platform};
use pinion_core::resolve::Hold;

use super::tokens::new_secret;
use super::{Controller, Draft, Identity, Refusal};
use crate::random::bytes;
use crate::snapshot::Snapshot;
use crate::store::records::{EnvironmentRecord, LeftRecord, Role, TokenRecord, encode};
use crate::store::{Condition, keys};

/// Holds of one environment, at most.
const HOLDS_MAX: usize = 100;

/// Packages that one environment volunteers for, at most.
const VOLUNTEERS_MAX: usize = 100;

/// A request to enrol.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The pin set to follow.
    pub pin_set: PinSetName,
    /// Whether the owner agreed to reporting.
    pub reporting: bool,
    /// What it is drawn by, if not by its id.
    pub draw_key: Option<DrawKey>,
    /// Such as `linux-x86_64-py3.11`.
    pub platform: Option<Platform>,
    /// Whether the owner agreed that failing runs are repeated with the baseline.
    pub repeats: bool,
}

/// A request to change an environment; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Gives or withdraws consent.
    pub reporting: Option<bool>,
    /// What the owner refuses.
    pub holds: Option<Vec<Hold>>,
    /// Packages whose candidates the owner takes at once.
    pub volunteers: Option<Vec<PackageName>>,
    /// What it is drawn by; the inner none: by its id.
    pub draw_key: Option<Option<DrawKey>>,
    /// Gives or withdraws the agreement to repeat failing runs.
    pub repeats: Option<bool>,
}

impl Controller {
    /// Enrols an environment; its own token's secret is returned here and never again.
    ///
    /// # Errors
    /// If the token is an environment's own, or the pin set is unknown or not the token's.
    pub async fn enroll(
        &self,
        caller: &Identity,
        enrolment: Enrolment,
    ) -> Result<(EnvironmentRecord, String), Refusal> {
        caller.require(&[Role::Environment, Role::Ci])?;
        caller.require_pin_set(&enrolment.pin_set)?;
        if caller.environment.is_some() {
            return Err(Refusal::Precondition {
                code: "ENROLLED",
                cause: "this token belongs to an environment that is enrolled already".to_owned(),
                hint: "enrol with the token your team was given".to_owned(),
            });
        }
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        if snapshot.pin_set(&enrolment.pin_set).is_none() {
            return Err(Refusal::no_pin_set(&enrolment.pin_set));
        }
        let id = EnvironmentId::from_random(bytes(self.random.as_ref()));
        let secret = new_secret(self.random.as_ref());
        let token_key = keys::token(&secret);
        let now = self.clock.now();
        let mut draft = Draft::default();
        let draw_key = enrolment
            .draw_key
            .as_ref()
            .map_or(id.as_str(), |key| key.as_str());
        let ordinal = self
            .ordinal_for(&snapshot, &enrolment.pin_set, draw_key, &mut draft)
            .await?;
        let environment = EnvironmentRecord {
            id: id.clone(),
            pin_set: enrolment.pin_set.clone(),
            ordinal,
            draw_key: enrolment.draw_key.clone(),
            reporting: enrolment.reporting,
            repeats: enrolment.repeats,
            platform: enrolment.platform,
            holds: Vec::new(),
            volunteers: Vec::new(),
            token: token_key.as_str()[keys::TOKEN.len()..].to_owned(),
            created_at: now,
        };
        let token = TokenRecord {
            name: None,
            role: caller.role,
            pin_set: Some(enrolment.pin_set),
            environment: Some(id.clone()),
            created_at: now,
            expires_at: None,
        };
        draft.create(keys::environment(&id), encode(&environment));
        draft.create(token_key, encode(&token));
        // Many enrol at once, and none of them depends on another.
        self.commit_alone(draft).await?;
        Ok((environment, secret))
    }

    /// The ordinal of a draw key, which it keeps for ever; the draft claims the next one where it has none.
    async fn ordinal_for(
        &self,
        snapshot: &Snapshot,
        pin_set: &PinSetName,
        draw_key: &str,
        draft: &mut Draft,
    ) -> Result<Ordinal, Refusal> {
        let link = keys::draw_key(pin_set, draw_key);
        if let Some(ordinal) = snapshot.ordinal(pin_set, draw_key) {
            draft.put(link, encode(&ordinal));
            return Ok(ordinal);
        }
        let counter = keys::next_ordinal();
        let found = self.store.get(&counter).await?;
        let ordinal: u32 = match &found {
            Some(entry) => crate::store::records::decode(&counter, &entry.value)?,
            None => 0,
        };
        match found {
            Some(entry) => draft.replace(counter, entry.modified, encode(&(ordinal + 1))),
            None => draft.create(counter, encode(&(ordinal + 1))),
        }
        draft.create(link, encode(&Ordinal(ordinal)));
        Ok(Ordinal(ordinal))
    }

    /// An environment: the caller's own, or any for a viewer.
    ///
    /// # Errors
    /// If there is none, or it is somebody else's.
    pub fn environment(
        &self,
        caller: &Identity,
        id: Option<&EnvironmentId>,
    ) -> Result<EnvironmentRecord, Refusal> {
        let id = own_or(caller, id, &[Role::Viewer])?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .environment(&id)
            .ok_or_else(|| Refusal::no_environment(&id))?;
        caller.require_pin_set(&entry.stored.record.pin_set)?;
        Ok(EnvironmentRecord::clone(&entry.stored.record))
    }

    /// The ecosystem of an environment's pin set.
    ///
    /// # Errors
    /// As for [`Controller::environment`].
    pub fn ecosystem_of(
        &self,
        caller: &Identity,
        id: Option<&EnvironmentId>,
    ) -> Result<Ecosystem, Refusal> {
        let environment = self.environment(caller, id)?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .pin_set(&environment.pin_set)
            .ok_or_else(|| Refusal::no_pin_set(&environment.pin_set))?;
        Ok(entry.stored.record.ecosystem)
    }

    /// Changes the caller's own environment.
    ///
    /// # Errors
    /// If it is somebody else's, or there are too many holds or packages that it volunteers for.
    pub async fn update_environment(
        &self,
        caller: &Identity,
        id: Option<&EnvironmentId>,
        change: Change,
    ) -> Result<EnvironmentRecord, Refusal> {
        let id = own_or(caller, id, &[])?;
        if change
            .holds
            .as_ref()
            .is_some_and(|holds| holds.len() > HOLDS_MAX)
        {
            return Err(Refusal::invalid(
                "holds",
                format!("more than the {HOLDS_MAX} holds that an environment may have"),
            ));
        }
        if change
            .volunteers
            .as_ref()
            .is_some_and(|packages| packages.len() > VOLUNTEERS_MAX)
        {
            return Err(Refusal::invalid(
                "volunteers",
                format!(
                    "more than the {VOLUNTEERS_MAX} packages that an environment may volunteer for"
                ),
            ));
        }
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let entry = snapshot
            .environment(&id)
            .ok_or_else(|| Refusal::no_environment(&id))?;
        let mut record = EnvironmentRecord::clone(&entry.stored.record);
        let mut draft = Draft::default();
        if let Some(reporting) = change.reporting {
            record.reporting = reporting;
        }
        if let Some(holds) = change.holds {
            record.holds = holds;
        }
        if let Some(repeats) = change.repeats {
            record.repeats = repeats;
        }
        if let Some(volunteers) = change.volunteers {
            record.volunteers = volunteers;
        }
        if let Some(draw_key) = change.draw_key {
            put_left(&mut draft, &snapshot, &record);
            record.draw_key = draw_key;
            record.ordinal = self
                .ordinal_for(&snapshot, &record.pin_set, record.draw_key(), &mut draft)
                .await?;
        }
        draft.replace(
            keys::environment(&id),
            entry.stored.modified,
            encode(&record),
        );
        self.commit(draft).await?;
        Ok(record)
    }

    /// Forgets an environment: id, token, and the link from its draw key to its history.
    ///
    /// The anonymous cells in open rollouts stay until those have ended.
    ///
    /// # Errors
    /// If it is somebody else's and the caller is no admin.
    pub async fn delete_environment(
        &self,
        caller: &Identity,
        id: Option<&EnvironmentId>,
    ) -> Result<EnvironmentId, Refusal> {
        let id = own_or(caller, id, &[Role::Admin])?;
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let entry = snapshot
            .environment(&id)
            .ok_or_else(|| Refusal::no_environment(&id))?;
        let record = &entry.stored.record;
        let mut draft = Draft::default();
        draft.require(Condition::Modified(
            keys::environment(&id),
            entry.stored.modified,
        ));
        draft.delete(keys::environment(&id));
        draft.delete(super::Key::new(format!("{}{}", keys::TOKEN, record.token)));
        if snapshot.members(record.ordinal).count() <= 1 {
            draft.delete(keys::draw_key(&record.pin_set, record.draw_key()));
        }
        if record.draw_key.is_some() {
            // It may have been drawn by its id before.
            draft.delete(keys::draw_key(&record.pin_set, record.id.as_str()));
        }
        put_left(&mut draft, &snapshot, record);
        self.commit(draft).await?;
        Ok(id)
    }
}

/// Keeps the position of a draw key that loses its last environment, in every open rollout, so that what it
/// did still counts on the side on which it was drawn. Nothing leads from there to whose it was.
fn put_left(draft: &mut Draft, snapshot: &Snapshot, record: &EnvironmentRecord) {
    if snapshot.members(record.ordinal).count() > 1 {
        return;
    }
    for rollout in snapshot.open_rollouts(&record.pin_set) {
        let left = LeftRecord {
            ordinal: record.ordinal,
            draw: rollout.seed.draw(record.draw_key()).value(),
        };
        draft.put(keys::left(&rollout.id, record.ordinal), encode(&left));
    }
}

/// The environment that is meant: the caller's own, or another if the caller has one of the roles.
fn own_or(
    caller: &Identity,
    id: Option<&EnvironmentId>,
    others: &[Role],
) -> Result<EnvironmentId, Refusal> {
    match (id, &caller.environment) {
        (Some(id), Some(own)) if id == own => Ok(id.clone()),
        (None, Some(own)) => Ok(own.clone()),
        (None, None) => Err(Refusal::invalid(
            "id",
            "this token belongs to no environment; name one",
        )),
        (Some(id), _) => {
            if others.is_empty() {
                return Err(Refusal::WrongRole {
                    has: caller.role,
                    needs: vec![Role::Environment],
                });
            }
            caller.require(others)?;
            Ok(id.clone())
        }
    }
}
