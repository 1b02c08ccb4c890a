//! Delivery figures, of what was written when rollouts ended.

use std::sync::Arc;
use std::time::Duration;

use pinion_core::figures::{Delivery, Ended};
use pinion_core::name::PinSetName;
use pinion_core::time::Timestamp;

use super::{Controller, Identity, Refusal};
use crate::store::records::Role;

/// How far back figures go where nothing else is asked for.
pub(crate) const OVER: Duration = Duration::from_secs(90 * 86_400);
/// The longest time that is looked back: ten years.
const OVER_MAX: Duration = Duration::from_secs(3650 * 86_400);
/// Packages that are told of by themselves, at most.
const PACKAGES_MAX: usize = 100;

/// Which rollouts figures are asked of.
#[derive(Clone, Debug, Default)]
pub struct FiguresQuery {
    /// Only of this pin set.
    pub pin_set: Option<PinSetName>,
    /// Only of this package, as it is written or normalised.
    pub package: Option<String>,
    /// How long before `until` they ended at most; none: 90 days.
    pub over: Option<Duration>,
    /// They ended before this; none: now.
    pub until: Option<Timestamp>,
}

impl Controller {
    /// Delivery figures of the rollouts that a caller may see. Cheap: nothing but records in memory is looked at.
    ///
    /// # Errors
    /// If the caller may not see them, or the time is too long.
    pub fn figures(&self, caller: &Identity, query: &FiguresQuery) -> Result<Delivery, Refusal> {
        let (ended, over) = self.ended(caller, query)?;
        let ended: Vec<&Ended> = ended.iter().map(AsRef::as_ref).collect();
        Ok(Delivery::of(&ended, over, PACKAGES_MAX))
    }

    /// The rollouts that the figures are of, and the time in which they ended.
    ///
    /// # Errors
    /// As of [`Self::figures`].
    pub fn ended(
        &self,
        caller: &Identity,
        query: &FiguresQuery,
    ) -> Result<(Vec<Arc<Ended>>, Duration), Refusal> {
        caller.require(&[Role::Viewer])?;
        if let Some(pin_set) = &query.pin_set {
            caller.require_pin_set(pin_set)?;
            if self.snapshot().pin_set(pin_set).is_none() {
                return Err(Refusal::no_pin_set(pin_set));
            }
        }
        let over = query.over.unwrap_or(OVER);
        if over.is_zero() || over > OVER_MAX {
            return Err(Refusal::invalid(
                "over",
                "give more than nothing and at most 3650 d",
            ));
        }
        let own = caller.pin_set.as_ref().or(query.pin_set.as_ref());
        let ended = self.ended_of(own, query.package.as_deref(), over, query.until);
        Ok((ended, over))
    }

    /// The figures of everything, by pin set.
    pub(crate) fn delivery(&self, over: Duration) -> Delivery {
        let ended = self.ended_of(None, None, over, None);
        let ended: Vec<&Ended> = ended.iter().map(AsRef::as_ref).collect();
        Delivery::of(&ended, over, PACKAGES_MAX)
    }

    fn ended_of(
        &self,
        pin_set: Option<&PinSetName>,
        package: Option<&str>,
        over: Duration,
        until: Option<Timestamp>,
    ) -> Vec<Arc<Ended>> {
        let until = until.unwrap_or_else(|| self.clock.now().plus(Duration::from_millis(1)));
        let since = until.minus(over);
        let is_asked = |ended: &Arc<Ended>| {
            let names_package = |package| {
                let mut names = ended.packages.iter();
                names.any(|name| same_name(name, package))
            };
            pin_set.is_none_or(|name| *name == ended.pin_set)
                && package.is_none_or(names_package)
                && (since..until).contains(&ended.ended_at)
        };
        self.snapshot().ended().filter(is_asked).collect()
    }
}

/// Names in several ecosystems differ in case and in `-`, `_` and `.` only where they are the same.
fn same_name(one: &str, other: &str) -> bool {
    let normal = |name: &str| name.to_lowercase().replace(['_', '.'], "-");
    one == other || normal(one) == normal(other)
}
