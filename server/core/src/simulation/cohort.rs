//! Who is exposed in a simulated rollout: the real rule on drawn positions.

use crate::draw::{Draw, Share};

use super::random::Random;

/// The positions of a fleet in one rollout, and its share.
#[derive(Debug)]
pub(super) struct Cohort {
    draws: Vec<Draw>,
    /// The environments by their position.
    order: Vec<u32>,
    share: Share,
    exposed: usize,
    /// The largest share so far.
    peak: Share,
}

impl Cohort {
    pub(super) fn new(environments: u32, random: &mut Random) -> Self {
        let draws: Vec<Draw> = (0..environments)
            .map(|_| Draw::clamped(random.unit()))
            .collect();
        let mut order: Vec<u32> = (0..environments).collect();
        order.sort_unstable_by(|a, b| {
            let at = |index: &u32| draws[*index as usize].value();
            at(a).total_cmp(&at(b))
        });
        Self {
            draws,
            order,
            share: Share::ZERO,
            exposed: 0,
            peak: Share::ZERO,
        }
    }

    pub(super) const fn share(&self) -> Share {
        self.share
    }

    pub(super) const fn peak(&self) -> Share {
        self.peak
    }

    pub(super) fn draw(&self, index: usize) -> Draw {
        self.draws[index]
    }

    pub(super) fn exposes(&self, index: usize) -> bool {
        self.share.exposes(self.draws[index])
    }

    /// Those who are exposed, and those who are not.
    pub(super) fn sides(&self) -> (&[u32], &[u32]) {
        self.order.split_at(self.exposed)
    }

    pub(super) fn set_share(&mut self, share: Share) {
        self.exposed = self
            .order
            .partition_point(|index| share.exposes(self.draws[*index as usize]));
        self.share = share;
        if share > self.peak {
            self.peak = share;
        }
    }
}
