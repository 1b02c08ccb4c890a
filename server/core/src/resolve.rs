//! What an environment gets: the baseline, with the candidates whose cohort it is in, without its holds and without
//! what the rest of its pins does not admit ([`unmet`]).

mod admission;

use crate::draw::{Draw, Share};
use crate::name::PackageName;
use crate::pin::Pins;
use crate::rollout::Rollout;
use crate::version::Version;

pub use admission::{breaches, unmet};

/// A standing refusal of an environment's owner.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hold {
    /// The package.
    pub package: PackageName,
    /// The version; none: every candidate of the package.
    pub version: Option<Version>,
}

impl Hold {
    /// Whether this refuses the candidate of `rollout`, all of it: what moves together stays together.
    pub fn refuses(&self, rollout: &Rollout) -> bool {
        rollout.changes.iter().any(|change| {
            change.package == self.package
                && self
                    .version
                    .as_ref()
                    .is_none_or(|version| change.to.as_ref() == Some(version))
        })
    }
}

/// What decides which candidates an environment gets.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// By what it is drawn.
    pub draw_key: &'a str,
    /// Whether its owner agreed to reporting; without that it is in no cohort.
    pub reporting: bool,
    /// What its owner refuses.
    pub holds: &'a [Hold],
    /// Packages whose candidates its owner takes at once.
    pub volunteers: &'a [PackageName],
}

impl Subject<'_> {
    /// Whether the rollout can draw it at all: a volunteer is exposed by choice, which no test can use.
    pub fn is_eligible(&self, rollout: &Rollout) -> bool {
        self.may_have(rollout) && !self.volunteers_for(rollout)
    }

    /// Whether its owner takes the candidate of `rollout` whatever the draw.
    pub fn volunteers_for(&self, rollout: &Rollout) -> bool {
        self.volunteers
            .iter()
            .any(|package| rollout.concerns(package))
    }

    /// Whether it is to have the candidate of `rollout` now; it has it if the rest of its pins admits it ([`unmet`]). Nobody has
    /// that of one in shadow.
    pub fn is_exposed(&self, rollout: &Rollout) -> bool {
        rollout.state.is_open() && self.is_within(rollout, rollout.share())
    }

    /// Whether it had the candidate of `rollout` when that was last given to anybody.
    pub fn was_exposed(&self, rollout: &Rollout) -> bool {
        self.is_within(rollout, rollout.last_share())
    }

    // A volunteer waits for the first epoch like everybody: before it, nobody has the candidate.
    fn is_within(&self, rollout: &Rollout, share: Share) -> bool {
        let is_drawn = share.exposes(self.draw(rollout));
        let by_choice = share != Share::ZERO && self.volunteers_for(rollout);
        !rollout.is_shadow() && self.may_have(rollout) && (is_drawn || by_choice)
    }

    fn may_have(&self, rollout: &Rollout) -> bool {
        self.reporting && !self.holds.iter().any(|hold| hold.refuses(rollout))
    }

    /// Its position in `rollout`.
    pub fn draw(&self, rollout: &Rollout) -> Draw {
        rollout.seed.draw(self.draw_key)
    }
}

/// The baseline with the candidates of `exposed` put in.
pub fn resolve<'a>(baseline: &Pins, exposed: impl IntoIterator<Item = &'a Rollout>) -> Pins {
    let mut pins = baseline.clone();
    for rollout in exposed {
        for change in &rollout.changes {
            pins.apply(change);
        }
    }
    pins
}
