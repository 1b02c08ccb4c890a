//! Words a change when it is decided, as a part of that decision's transaction.

use pinion_core::evidence::Evidence;
use pinion_core::filing::{
    self, CategoryCount, FilingKey, FingerprintCount, Kind, Side, Wording, branch_name, message,
};
use pinion_core::outcome::{Category, Fingerprint};
use pinion_core::pin::PackageChange;
use pinion_core::reason::Reason;
use pinion_core::rollout::Rollout;
use pinion_core::state::Actor;
use pinion_core::time::Timestamp;

use crate::controller::{Draft, changes_in_words};
use crate::forge::{Registry, Rules};
use crate::snapshot::Snapshot;
use crate::store::keys;
use crate::store::records::{FilingRecord, FilingState, encode};

/// Kinds of failure that a message lists.
const FINGERPRINTS_MAX: usize = 5;

/// A change that is decided and not worded yet.
#[derive(Debug)]
pub(crate) struct Intent<'a> {
    pub(crate) rollout: &'a Rollout,
    pub(crate) reason: &'a Reason,
    pub(crate) evidence: &'a Evidence,
    pub(crate) actor: &'a Actor,
    pub(crate) at: Timestamp,
    pub(crate) kind: Kind,
    pub(crate) fingerprints: &'a [(Fingerprint, u32)],
    /// The rollout together with which it was harmful.
    pub(crate) together_with: Option<&'a Rollout>,
    /// The rollout's page.
    pub(crate) link: Option<String>,
}

/// Puts the filing of a decision, worded, into the transaction of that decision; nothing where the pin set has no source.
pub(crate) fn intend(
    draft: &mut Draft,
    snapshot: &Snapshot,
    forges: &Registry,
    intent: &Intent<'_>,
) -> Option<FilingKey> {
    let rollout = intent.rollout;
    let pin_set = &snapshot.pin_set(&rollout.pin_set)?.stored.record;
    let source = pin_set.source.clone()?;
    let changes: Vec<PackageChange> = match intent.kind {
        Kind::RollBack => rollout
            .changes
            .iter()
            .map(PackageChange::reversed)
            .collect(),
        Kind::Complete => rollout.changes.clone(),
    };
    let moves: Vec<filing::PackageChange> = changes.iter().map(in_words).collect();
    // The rollout's id stands for the attempt: another rollout of the same move is another filing.
    let key = FilingKey::new(
        rollout.id.as_str(),
        source.forge.as_str(),
        &source.branch,
        &moves,
        1,
    );
    let rules = forges.rules(&source.forge);
    let message = message(&wording(intent, moves.clone(), rules), &key);
    let record = FilingRecord {
        head: branch_name(intent.kind, first_package(&moves), &key),
        key: key.clone(),
        rollout: rollout.id.clone(),
        kind: intent.kind,
        attempt: 1,
        source,
        ecosystem: pin_set.ecosystem,
        changes,
        subject: message.subject,
        body: message.body,
        decided_at: intent.at,
        state: FilingState::Pending {
            parent: None,
            next_try: intent.at,
        },
        tries: 0,
        filed_at: None,
        url: None,
        last_answer: String::new(),
    };
    draft.create(keys::filing(&key), encode(&record));
    Some(key)
}

/// The filing again, as a person asked for one that was declined: another change in the same words.
pub(crate) fn again(declined: &FilingRecord, at: Timestamp) -> FilingRecord {
    let attempt = declined.attempt + 1;
    let moves: Vec<filing::PackageChange> = declined.changes.iter().map(in_words).collect();
    let key = FilingKey::new(
        declined.rollout.as_str(),
        declined.source.forge.as_str(),
        &declined.source.branch,
        &moves,
        attempt,
    );
    FilingRecord {
        head: branch_name(declined.kind, first_package(&moves), &key),
        body: declined.body.replace(declined.key.as_str(), key.as_str()),
        key,
        attempt,
        decided_at: at,
        state: FilingState::Pending {
            parent: None,
            next_try: at,
        },
        tries: 0,
        filed_at: None,
        url: None,
        last_answer: String::new(),
        ..declined.clone()
    }
}

/// The package that the branch is named after: the first one by name.
fn first_package(moves: &[filing::PackageChange]) -> &str {
    moves
        .iter()
        .map(|change| change.package.as_str())
        .min()
        .unwrap_or_default()
}

fn in_words(change: &PackageChange) -> filing::PackageChange {
    let version = |version: &Option<pinion_core::version::Version>| {
        version
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    filing::PackageChange {
        package: change.package.written().to_owned(),
        from_version: version(&change.from),
        to_version: version(&change.to),
    }
}

fn wording(
    intent: &Intent<'_>,
    changes: Vec<filing::PackageChange>,
    rules: Option<&Rules>,
) -> Wording {
    let evidence = intent.evidence;
    let leading = evidence.leading();
    let side = |side: &pinion_core::evidence::Side| Side {
        reported: side.reporting,
        failed: side.failed,
    };
    let mut categories: Vec<CategoryCount> = Category::ALL
        .into_iter()
        .map(|category| CategoryCount {
            category: category.to_string(),
            exposed_failed: evidence.exposed_total.by_category[category.index()],
            control_failed: evidence.control_total.by_category[category.index()],
        })
        .filter(|count| count.exposed_failed + count.control_failed > 0)
        .collect();
    categories.sort_by_key(|count| std::cmp::Reverse(count.exposed_failed));
    Wording {
        kind: intent.kind,
        changes,
        rollout: intent.rollout.id.to_string(),
        pin_set: intent.rollout.pin_set.to_string(),
        share: intent.rollout.last_share().value(),
        exposed: side(&evidence.exposed_total),
        control: side(&evidence.control_total),
        categories,
        evidence: (leading.log_threshold > 0.0).then_some(filing::Evidence {
            log_evidence: leading.log_e,
            log_threshold: leading.log_threshold,
        }),
        reason: match intent.together_with {
            None => intent.reason.to_string(),
            Some(other) => format!(
                "{}; rollout {} tries {}",
                intent.reason,
                other.id,
                changes_in_words(other)
            ),
        },
        decided_at_unix_ms: intent.at.unix_ms(),
        actor: intent.actor.to_string(),
        fingerprints: intent
            .fingerprints
            .iter()
            // What only one environment shows says little to others.
            .filter(|(_, environments)| *environments > 1)
            .take(FINGERPRINTS_MAX)
            .map(|(fingerprint, environments)| FingerprintCount {
                fingerprint: fingerprint.to_string(),
                environments: *environments,
            })
            .collect(),
        link: intent.link.clone(),
        free_text: None,
        subject: rules.and_then(|rules| match intent.kind {
            Kind::RollBack => rules.subject_rollback.clone(),
            Kind::Complete => rules.subject_complete.clone(),
        }),
        trailers: rules
            .map(|rules| rules.trailers.clone())
            .unwrap_or_default(),
    }
}
