//! Notices: into the transaction of what they tell of, and as release managers see them. Sending is the notice loop's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pinion_core::name::{NoticeId, PinSetName, RolloutId, RouteName};
use pinion_core::notice::{self, Kind, Notice, candidate_stuck, digest, rollout_stuck};
use pinion_core::reason::Reason;
use pinion_core::rollout::Rollout;
use pinion_core::time::Timestamp;
use sha2::{Digest, Sha256};

use super::{Controller, Draft, Identity, Planned, Refusal, Verdict};
use crate::loops::notices::in_short;
use crate::notice::{Error, Route, Sending};
use crate::random::bytes;
use crate::store::keys;
use crate::store::records::{Delivery, DeliveryState, NoticeRecord, Role, encode};

/// Notices of one kind and pin set in one transaction; of more, one tells of all.
const ALIKE_MAX: usize = 3;
/// A record, at most, in bytes: it grows by the receivers' words.
const RECORD_BYTES_MAX: usize = 10 * 1024;
/// How long a version waits before people are told what stands in its way.
const STUCK_AFTER: Duration = Duration::from_secs(86_400);

/// Which notices are listed.
#[derive(Clone, Debug, Default)]
pub struct NoticeFilter {
    /// Only of this pin set.
    pub pin_set: Option<PinSetName>,
    /// Only those that stand so on some route, such as `waiting`; empty: all.
    pub state: String,
}

/// A route, as people see it.
#[derive(Clone, Debug)]
pub struct RouteListing {
    /// The route.
    pub route: Arc<Route>,
    /// Notices that wait on it.
    pub waiting: usize,
    /// Notices that were not taken, of those that are kept.
    pub failed: usize,
}

/// What became of a test.
#[derive(Clone, Debug)]
pub struct Tested {
    /// Whether the receiver has taken it.
    pub is_sent: bool,
    /// Its words, or why there are none.
    pub answer: String,
}

impl Controller {
    /// Wakes every route: something is to be told.
    pub(super) fn wake_notices(&self) {
        self.routes.all().for_each(|route| route.wake.wake());
    }

    /// Puts what a draft tells into it, as records, for the routes that want it.
    pub(super) fn put_notices(&self, draft: &mut Draft) {
        let notices = std::mem::take(&mut draft.notices);
        if self.routes.is_empty() {
            return;
        }
        let mut told: BTreeSet<(RouteName, RolloutId)> = BTreeSet::new();
        for notice in condensed(notices) {
            let mut routes = self.routes.of(&notice);
            // Of several about one rollout, a route is told the first.
            if let Some(rollout) = &notice.rollout {
                routes.retain(|route| told.insert((route.clone(), rollout.clone())));
            }
            if routes.is_empty() {
                continue;
            }
            let id = self.new_id(notice.at);
            self.put_notice(draft, id, notice, routes);
        }
    }

    fn put_notice(
        &self,
        draft: &mut Draft,
        id: NoticeId,
        mut notice: Notice,
        routes: Vec<RouteName>,
    ) {
        notice.link = self.link_of(&notice);
        let next_try = notice.at;
        let deliveries = routes.into_iter().map(|route| Delivery {
            route,
            state: DeliveryState::Waiting { next_try },
            tries: 0,
            last_answer: String::new(),
        });
        let mut record = NoticeRecord {
            id,
            notice,
            deliveries: deliveries.collect(),
        };
        let mut value = encode(&record);
        if value.len() > RECORD_BYTES_MAX {
            record.notice = record.notice.cut();
            value = encode(&record);
        }
        // What has happened is not kept back by the telling.
        let key = keys::notice(&record.id);
        if !draft.has_room_for(&key, value.len()) {
            tracing::error!(kind = %record.notice.kind, subject = record.notice.subject, "a transaction has no room for this notice; nobody is told");
            self.metrics.notice("lost");
            return;
        }
        draft.create(key, value);
    }

    /// The page of what a notice is about.
    fn link_of(&self, notice: &Notice) -> Option<String> {
        let pin_set = || {
            let name = notice.pin_set.as_ref()?;
            Some(self.public_url.as_ref()?.page(&format!("pin-sets/{name}")))
        };
        match &notice.rollout {
            Some(rollout) => self.page_of(rollout),
            None => pin_set(),
        }
    }

    /// An id that no other notice has: the moment, its place among ours of that moment, then random bytes.
    fn new_id(&self, at: Timestamp) -> NoticeId {
        let mut id = [0; 12];
        let place = self.notices_so_far.fetch_add(1, Ordering::Relaxed);
        id[..6].copy_from_slice(&at.unix_ms().to_be_bytes()[2..]);
        id[6..8].copy_from_slice(&place.to_be_bytes());
        id[8..].copy_from_slice(&bytes::<4>(self.random.as_ref()));
        NoticeId::from_bytes(id)
    }

    /// Tells that a rollout cannot go on without a person, once for as long as that notice is kept.
    pub(crate) async fn tell_stuck(&self, rollout: &Rollout, reason: &Reason) {
        if self.routes.is_empty() {
            return;
        }
        if let Some(notice) = rollout_stuck(rollout, reason, self.clock.now()) {
            let epoch = rollout.epoch_index();
            self.tell_once(&format!("{}/{epoch}", rollout.id), notice)
                .await;
        }
    }

    /// Tells what has stood in the way of a waiting version for long, once for as long as that notice is kept.
    pub(super) async fn tell_waiting(&self, pin_set: &PinSetName, waiting: &[Planned]) {
        if self.routes.is_empty() {
            return;
        }
        let now = self.clock.now();
        for planned in waiting {
            let Verdict::Waits(words) = &planned.verdict else {
                continue;
            };
            let since = planned.wanted.iter().map(|wanted| wanted.since).min();
            let Some(since) = since.filter(|since| since.plus(STUCK_AFTER) <= now) else {
                continue;
            };
            let changes: Vec<String> = planned.changes.iter().map(ToString::to_string).collect();
            let of = format!("{pin_set}/{}", changes.join(","));
            let notice = candidate_stuck(pin_set, &planned.changes, since, words, now);
            self.tell_once(&of, notice).await;
        }
    }

    /// Tells what no transaction says, unless that was told: its id follows from what it is about.
    async fn tell_once(&self, of: &str, notice: Notice) {
        let routes = self.routes.of(&notice);
        let hash = Sha256::digest(format!("{}/{of}", notice.kind));
        let mut id = [0; 12];
        id.copy_from_slice(&hash[..12]);
        let id = NoticeId::from_bytes(id);
        if routes.is_empty() || self.snapshot().notice(&id).is_some() {
            return;
        }
        let _lock = self.lock().await;
        let mut draft = Draft::default();
        self.put_notice(&mut draft, id, notice, routes.clone());
        match self.commit(draft).await {
            Ok(_) => routes
                .iter()
                .filter_map(|name| self.routes.get(name))
                .for_each(|route| route.wake.wake()),
            // Another server was faster, or it is tried again.
            Err(refusal) => tracing::debug!(%refusal, "a notice was not written"),
        }
    }
}

impl Controller {
    /// The notices that are kept and that a release manager may see, the newest first.
    ///
    /// # Errors
    /// If the caller is none.
    pub fn list_notices(
        &self,
        caller: &Identity,
        filter: &NoticeFilter,
    ) -> Result<Vec<Arc<NoticeRecord>>, Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        let snapshot = self.snapshot();
        let is_visible = |pin_set: &PinSetName| caller.require_pin_set(pin_set).is_ok();
        let is_so = |record: &NoticeRecord| {
            let mut states = record
                .deliveries
                .iter()
                .map(|delivery| delivery.state.as_str());
            filter.state.is_empty() || states.any(|state| state == filter.state)
        };
        let mut listed: Vec<Arc<NoticeRecord>> = snapshot
            .notices()
            .map(|stored| Arc::clone(&stored.record))
            .filter(|record| record.notice.pin_set.as_ref().is_none_or(is_visible))
            .filter(|record| filter.pin_set.is_none() || record.notice.pin_set == filter.pin_set)
            .filter(|record| is_so(record))
            .collect();
        listed.sort_by(|a, b| (b.notice.at, &b.id).cmp(&(a.notice.at, &a.id)));
        Ok(listed)
    }

    /// The routes of the configuration, in its order.
    ///
    /// # Errors
    /// If the caller may not see them.
    pub fn list_routes(&self, caller: &Identity) -> Result<Vec<RouteListing>, Refusal> {
        caller.require(&[Role::ReleaseManager])?;
        let snapshot = self.snapshot();
        let listing = |route: &Arc<Route>| {
            let notices = snapshot.notices();
            let deliveries = notices.filter_map(|stored| stored.record.delivery(&route.name));
            let states: Vec<&str> = deliveries.map(|delivery| delivery.state.as_str()).collect();
            let count = |of: &[&str]| states.iter().filter(|state| of.contains(state)).count();
            RouteListing {
                route: Arc::clone(route),
                waiting: count(&["waiting"]),
                failed: count(&["refused", "given-up"]),
            }
        };
        Ok(self.routes.all().map(listing).collect())
    }

    /// Sends a test by a route now, once, and gives what the receiver said. Nothing is kept of it.
    ///
    /// # Errors
    /// If no such route is configured, or the caller may not ask.
    pub async fn test_route(&self, caller: &Identity, name: &RouteName) -> Result<Tested, Refusal> {
        caller.require(&[Role::Admin])?;
        let route = self.routes.get(name).ok_or_else(|| Refusal::NotFound {
            kind: "route of notices",
            name: name.to_string(),
            hint: "`pinion notice routes` shows those of the server's configuration",
        })?;
        let at = self.clock.now();
        let sending = Sending {
            id: &self.new_id(at),
            notice: &notice::test(name, &caller.actor, at),
            at,
        };
        let sent = route.sender.send(sending).await;
        tracing::info!(actor = %caller.actor, route = %name, ok = sent.is_ok(), "a route was tried");
        Ok(match sent {
            Ok(answer) => Tested {
                is_sent: true,
                answer: in_short(&answer),
            },
            Err(Error::Retry { answer, .. } | Error::Refused { answer }) => Tested {
                is_sent: false,
                answer: in_short(&answer),
            },
        })
    }
}

/// The notices in the order in which routes prefer them; of one kind and pin set no more than a few.
fn condensed(mut notices: Vec<Notice>) -> Vec<Notice> {
    notices.sort_by_key(|notice| notice.kind);
    let mut condensed: Vec<Notice> = Vec::with_capacity(notices.len());
    while let Some(first) = notices.first() {
        let (kind, pin_set): (Kind, _) = (first.kind, first.pin_set.clone());
        let is_alike = |notice: &Notice| notice.kind == kind && notice.pin_set == pin_set;
        let (alike, rest): (Vec<_>, Vec<_>) = notices.into_iter().partition(is_alike);
        notices = rest;
        match alike.split_first() {
            Some((first, others)) if others.len() >= ALIKE_MAX => {
                condensed.push(digest(first.clone(), others));
            }
            _ => condensed.extend(alike),
        }
    }
    condensed
}
