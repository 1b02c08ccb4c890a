//! Who has a candidate now, as counts, and as ids for those who run the rollout.

use std::collections::BTreeMap;

use pinion_core::name::{EnvironmentId, RolloutId};

use super::{Controller, Identity, Refusal};
use crate::snapshot::subject;
use crate::store::records::Role;

/// Ids that are listed, at most.
const IDS_MAX: usize = 100;

/// Who has a candidate now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Environments of the pin set.
    pub environments: u32,
    /// Of those, the ones that agreed to reporting.
    pub reporting: u32,
    /// Of those, the ones that get the candidate on their next pull.
    pub exposed: u32,
    /// The exposed ones by platform; empty: not told.
    pub by_platform: BTreeMap<String, u32>,
    /// Their ids, in order, at most 100; none where the caller only looks.
    pub ids: Option<Vec<EnvironmentId>>,
}

impl Controller {
    /// Who has the candidate of a rollout now. Ids are for release managers.
    ///
    /// # Errors
    /// If there is no such rollout, or the caller may not see it.
    pub fn exposure(&self, caller: &Identity, id: &RolloutId) -> Result<Exposure, Refusal> {
        let rollout = self.visible_rollout(caller, id)?;
        let snapshot = self.snapshot();
        let mut exposure = Exposure::default();
        let mut ids = Vec::new();
        for environment in snapshot
            .environments()
            .filter(|environment| environment.pin_set == rollout.pin_set)
        {
            exposure.environments += 1;
            exposure.reporting += u32::from(environment.reporting);
            if !subject(environment).is_exposed(&rollout) {
                continue;
            }
            exposure.exposed += 1;
            let platform = environment.platform.as_ref();
            let platform = platform.map(ToString::to_string).unwrap_or_default();
            *exposure.by_platform.entry(platform).or_default() += 1;
            ids.push(environment.id.clone());
        }
        ids.sort();
        ids.truncate(IDS_MAX);
        let may_know = caller.require(&[Role::ReleaseManager]).is_ok();
        exposure.ids = may_know.then_some(ids);
        Ok(exposure)
    }
}
