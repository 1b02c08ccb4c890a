//! Pin sets on the wire.

use pinion_core::calendar::StandingFreeze;
use pinion_core::constraints;
use pinion_core::pin::PackageChange;
use pinion_core::policy::Bump;
use pinion_core::rollout::{Approval, Lane};
use pinion_core::time::Timestamp;
use pinion_proto::v1 as proto;

use super::{
    Unreadable, declared, from_bump, from_change, from_ecosystem, from_policy, from_timestamp, name,
};
use crate::controller::{
    Following, Import, NewerVersions, Planned, Resolve, Resolved, Tracking, UnkeptLines,
};
use crate::snapshot::{PinSetEntry, Snapshot};
use crate::store::records::{BlockRecord, PinSetRecord, SourceRecord};

/// The longest text of a line that is shown, in bytes.
const LINE_BYTES_MAX: usize = 200;
/// Packages that a list of some names, at most.
const LISTED_MAX: usize = 20;

pub(crate) fn source(source: proto::Source) -> Result<SourceRecord, Unreadable> {
    let proto::Source {
        forge,
        branch,
        path,
        exclusions_path,
        follow,
    } = source;
    Ok(SourceRecord {
        forge: name("source.forge", &forge)?,
        branch,
        path,
        exclusions_path: Some(exclusions_path).filter(|path| !path.is_empty()),
        follow,
    })
}

pub(crate) fn import(request: proto::ImportPinsRequest) -> Result<Import, Unreadable> {
    let proto::ImportPinsRequest {
        name: text,
        content,
        expected_revision,
        unkept_lines,
        supersede,
        validate_only,
        newer_versions,
        requires,
    } = request;
    let newer = match proto::NewerVersions::try_from(newer_versions) {
        Ok(proto::NewerVersions::TakeAtOnce) => NewerVersions::TakeAtOnce,
        Ok(proto::NewerVersions::Try | proto::NewerVersions::Unspecified) => NewerVersions::Try,
        Err(_) => return Err(Unreadable::new("newer_versions", "say try or take at once")),
    };
    let unkept_lines = match proto::UnkeptLines::try_from(unkept_lines) {
        Ok(proto::UnkeptLines::KeepVerbatim) => UnkeptLines::KeepVerbatim,
        Ok(proto::UnkeptLines::Refuse | proto::UnkeptLines::Unspecified) => UnkeptLines::Refuse,
        Err(_) => {
            return Err(Unreadable::new(
                "unkept_lines",
                "say refuse or keep verbatim",
            ));
        }
    };
    Ok(Import {
        name: name("name", &text)?,
        content,
        expected_revision,
        unkept_lines,
        supersede,
        validate_only,
        newer,
        requires: requires.into_iter().map(declared).collect(),
    })
}

/// What goes out in one rollout, and what it waits for.
pub(crate) fn wanted(planned: &Planned) -> proto::Wanted {
    let Planned {
        wanted,
        changes,
        verdict,
    } = planned;
    let oldest = wanted.first();
    let youngest = wanted.iter().filter_map(|one| one.published_at).max();
    let since = wanted.iter().map(|one| one.since).min();
    proto::Wanted {
        changes: changes.iter().map(from_change).collect(),
        wait_start_time: since.map(from_timestamp),
        asked_by: oldest.map_or_else(String::new, |one| one.by.to_string()),
        asked_in: oldest.map_or_else(String::new, |one| one.from.to_string()),
        reason: verdict.words(),
        publish_time: youngest.map(from_timestamp),
    }
}

/// What is known of a pin set beside its records.
#[derive(Clone, Debug)]
pub(crate) struct PinSetNews {
    /// How following its file goes.
    pub(crate) following: Option<Following>,
    /// How watching its index goes.
    pub(crate) tracking: Option<Tracking>,
    /// The moment of it.
    pub(crate) now: Timestamp,
}

pub(crate) fn pin_set(
    entry: &PinSetEntry,
    snapshot: &Snapshot,
    news: &PinSetNews,
) -> proto::PinSet {
    let PinSetNews {
        following,
        tracking,
        now,
    } = news;
    let PinSetRecord {
        name,
        ecosystem,
        policy,
        source,
        track,
        freeze,
        revision,
        chunks: _,
        created_at,
        updated_at,
    } = &*entry.stored.record;
    let (environments, reporting) = snapshot.environment_counts(name);
    proto::PinSet {
        name: name.to_string(),
        ecosystem: from_ecosystem(*ecosystem).into(),
        revision: *revision,
        pin_count: u32::try_from(entry.baseline.len()).unwrap_or(u32::MAX),
        verbatim_lines: entry.verbatim.to_vec(),
        policy: Some(from_policy(policy)),
        source: source.as_ref().map(from_source),
        create_time: Some(from_timestamp(*created_at)),
        update_time: Some(from_timestamp(*updated_at)),
        environment_count: environments,
        reporting_environment_count: reporting,
        open_rollout_count: u32::try_from(snapshot.open_rollouts(name).len()).unwrap_or(u32::MAX),
        following: following.as_ref().map(from_following),
        freeze: freeze
            .as_ref()
            .filter(|freeze| freeze.holds(*now))
            .map(from_freeze),
        track: *track,
        tracking: tracking.as_ref().map(from_tracking),
    }
}

fn from_tracking(tracking: &Tracking) -> proto::Tracking {
    let Tracking {
        packages,
        answered,
        unread,
        absent,
        yanked,
        problem,
    } = tracking;
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    proto::Tracking {
        package_count: count(*packages),
        answered_count: count(*answered),
        unread_count: count(*unread),
        absent_packages: absent.iter().take(LISTED_MAX).cloned().collect(),
        yanked_pins: yanked.iter().take(LISTED_MAX).cloned().collect(),
        problem: problem.clone(),
    }
}

pub(super) fn from_freeze(freeze: &StandingFreeze) -> proto::PinSetFreeze {
    let StandingFreeze {
        since,
        until,
        by,
        reason,
    } = freeze;
    proto::PinSetFreeze {
        actor: by.to_string(),
        start_time: Some(from_timestamp(*since)),
        end_time: until.map(from_timestamp),
        reason: reason.clone(),
    }
}

fn from_following(following: &Following) -> proto::Following {
    let Following {
        commit,
        read_at,
        problem,
    } = following;
    proto::Following {
        commit: commit.clone(),
        read_time: read_at.map(from_timestamp),
        problem: problem.clone(),
    }
}

fn from_source(source: &SourceRecord) -> proto::Source {
    let SourceRecord {
        forge,
        branch,
        path,
        exclusions_path,
        follow,
    } = source;
    proto::Source {
        forge: forge.to_string(),
        branch: branch.clone(),
        path: path.clone(),
        exclusions_path: exclusions_path.clone().unwrap_or_default(),
        follow: *follow,
    }
}

/// A block, and how many more people have to ask before it is lifted.
pub(crate) fn block(block: &BlockRecord, votes_missing: u32) -> proto::Block {
    let BlockRecord {
        pin_set: _,
        package,
        version,
        at,
        rollout,
        reason,
        incompatible_with,
        lift_votes,
    } = block;
    let vote = |Approval { by, at }: &Approval| proto::LiftVote {
        actor: by.to_string(),
        time: Some(from_timestamp(*at)),
    };
    proto::Block {
        package: package.written().to_owned(),
        version: version.to_string(),
        create_time: Some(from_timestamp(*at)),
        rollout: rollout.to_string(),
        reason: reason.clone(),
        incompatible_with: incompatible_with
            .iter()
            .map(|(package, version)| format!("{}=={version}", package.written()))
            .collect(),
        lift_votes: lift_votes.iter().map(vote).collect(),
        lift_votes_missing: votes_missing,
    }
}

pub(crate) fn to_resolve(request: proto::ResolvePolicyRequest) -> Result<Resolve, Unreadable> {
    let proto::ResolvePolicyRequest {
        pin_set,
        candidates,
        security,
    } = request;
    Ok(Resolve {
        pin_set: name("pin_set", &pin_set)?,
        candidates: candidates
            .into_iter()
            .map(|proto::ResolvedCandidate { package, version }| (package, version))
            .collect(),
        lane: match security {
            true => Lane::Security,
            false => Lane::Ordinary,
        },
    })
}

pub(crate) fn resolved(resolved: &Resolved) -> proto::ResolvePolicyResponse {
    let Resolved { policy, changes } = resolved;
    let change = |(change, overrides): &(PackageChange, Vec<usize>)| proto::ResolvedChange {
        change: Some(from_change(change)),
        bump: from_bump(Bump::of(change)).into(),
        overrides: overrides
            .iter()
            .map(|number| u32::try_from(*number).unwrap_or(u32::MAX))
            .collect(),
    };
    proto::ResolvePolicyResponse {
        policy: Some(from_policy(policy)),
        changes: changes.iter().map(change).collect(),
    }
}

pub(crate) fn unkept_line(line: &constraints::UnkeptLine) -> proto::UnkeptLine {
    let constraints::UnkeptLine { line, text, reason } = line;
    let mut end = text.len().min(LINE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    proto::UnkeptLine {
        line: u32::try_from(*line).unwrap_or(u32::MAX),
        text: text[..end].to_owned(),
        reason: reason.to_string(),
    }
}
