//! Who is in a cohort: a keyed hash that nobody outside can compute while the rollout runs.
//!
//! Frozen: a change of this function moves environments between cohorts of running rollouts.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher24;

/// The secret of one rollout's draws: 16 random bytes, made at its creation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seed([u8; 16]);

impl Seed {
    /// A seed of these bytes, which must come from a random source.
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The SHA-256 of the seed's 16 bytes, hexadecimal: what is published while the rollout runs.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.0))
    }

    /// The seed itself, hexadecimal: what is published when the rollout has ended.
    pub fn reveal(&self) -> String {
        hex::encode(self.0)
    }

    /// The position of `draw_key` in this rollout:
    /// `(SipHash-2-4(key = the seed's 16 bytes, message = the key's UTF-8) >> 11) · 2⁻⁵³`.
    ///
    /// Exact in f64 and in [0, 1).
    pub fn draw(&self, draw_key: &str) -> Draw {
        let hash = SipHasher24::new_with_key(&self.0).hash(draw_key.as_bytes());
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in an f64")]
        let draw = (hash >> 11) as f64 * 2f64.powi(-53);
        Draw(draw)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(secret)")
    }
}

impl TryFrom<String> for Seed {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        seed.reveal()
    }
}

/// An environment's fixed position in one rollout, in [0, 1).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Draw(f64);

impl Draw {
    /// A given position, for simulations and replays; moved into [0, 1) if it lies outside.
    pub fn clamped(position: f64) -> Self {
        Self(position.clamp(0.0, 1.0_f64.next_down()))
    }

    /// The position, in [0, 1).
    pub const fn value(self) -> f64 {
        self.0
    }
}

/// An exposed part of the environments, in [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

/// A number that is no share.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("`{0}` is no share; give a number from 0 to 1")]
pub struct InvalidShare(f64);

impl Share {
    /// Nobody.
    pub const ZERO: Self = Self(0.0);
    /// Everybody.
    pub const ONE: Self = Self(1.0);

    /// A share.
    ///
    /// # Errors
    /// If `share` is not a number from 0 to 1.
    pub fn new(share: f64) -> Result<Self, InvalidShare> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(InvalidShare(share))
        }
    }

    /// The nearest share to a number; nobody for what is no number.
    pub fn clamped(share: f64) -> Self {
        if share.is_nan() {
            Self::ZERO
        } else {
            Self(share.clamp(0.0, 1.0))
        }
    }

    /// The share as a number, 0 to 1.
    pub const fn value(self) -> f64 {
        self.0
    }

    /// Whether a draw lies in the cohort of this share: strictly below it, so that zero is nobody and one everybody.
    pub fn exposes(self, draw: Draw) -> bool {
        draw.0 < self.0
    }

    /// The chance that somebody who is not exposed at `before` is exposed at this share:
    /// `(after − before) / (1 − before)`; 0 if it is no raise.
    pub fn raise_from(self, before: Self) -> f64 {
        if self.0 <= before.0 {
            0.0
        } else {
            (self.0 - before.0) / (1.0 - before.0)
        }
    }
}

impl TryFrom<f64> for Share {
    type Error = InvalidShare;

    fn try_from(share: f64) -> Result<Self, InvalidShare> {
        Self::new(share)
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl fmt::Display for Share {
    /// As a percentage with the digits that matter, such as `1 %`, `7.5 %` or `0.0062 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        let digits = if percent >= 10.0 {
            0
        } else if percent >= 0.1 {
            2
        } else {
            4
        };
        let text = format!("{percent:.digits$}");
        let text = if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.')
        } else {
            &text
        };
        write!(f, "{text} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(n: u8) -> Seed {
        Seed::from_random([n; 16])
    }

    #[test]
    fn draws_are_frozen() {
        // From an implementation of SipHash-2-4 written for this purpose, after its authors' test vectors.
        let golden = [
            (
                0,
                "env-00000000000000000000000000000000",
                0.331_576_552_976_259_76,
            ),
            (7, "team-nova", 0.446_646_608_894_920_7),
            (255, "ü", 0.108_825_118_285_757_58),
        ];
        for (bytes, key, draw) in golden {
            assert_eq!(seed(bytes).draw(key).value(), draw, "{key}");
        }
    }

    #[test]
    fn share_zero_reaches_nobody_and_share_one_everybody() {
        let lowest = Draw(0.0);
        let highest = Draw(1.0 - 2f64.powi(-53));
        assert!(!Share::ZERO.exposes(lowest));
        assert!(!Share::ZERO.exposes(highest));
        assert!(Share::ONE.exposes(lowest));
        assert!(Share::ONE.exposes(highest));
    }

    #[test]
    fn a_draw_equal_to_the_share_is_outside() {
        assert!(!Share(0.25).exposes(Draw(0.25)));
        assert!(Share(0.25).exposes(Draw(0.25_f64.next_down())));
    }

    #[test]
    fn the_ends_of_the_hash_stay_inside_the_range() {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let largest = (u64::MAX >> 11) as f64 * 2f64.powi(-53);
        assert!(largest < 1.0);
        assert_eq!(largest, 1.0 - 2f64.powi(-53));
    }

    #[test]
    fn draws_are_uniform() {
        let mut bins = [0u32; 64];
        for i in 0..64_000 {
            let draw = seed(3).draw(&format!("env-{i:032x}")).value();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in 0..64"
            )]
            let bin = (draw * 64.0) as usize;
            bins[bin] += 1;
        }
        let chi2: f64 = bins
            .iter()
            .map(|n| (f64::from(*n) - 1000.0).powi(2) / 1000.0)
            .sum();
        // The 99.99th percentile of chi-square with 63 degrees of freedom is 113.
        assert!(chi2 < 113.0, "chi-square {chi2}");
    }

    #[test]
    fn draws_of_two_rollouts_are_independent() {
        const BINS: usize = 10;
        let (a, b) = (seed(1), seed(2));
        let mut table = [[0u32; BINS]; BINS];
        for i in 0..100_000 {
            let key = format!("env-{i:032x}");
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in 0..BINS"
            )]
            let bin = |seed: &Seed| (seed.draw(&key).value() * BINS as f64) as usize;
            table[bin(&a)][bin(&b)] += 1;
        }
        let chi2: f64 = table
            .iter()
            .flatten()
            .map(|n| (f64::from(*n) - 1000.0).powi(2) / 1000.0)
            .sum();
        // The 99.99th percentile of chi-square with 99 degrees of freedom is 161.
        assert!(chi2 < 161.0, "chi-square {chi2}");
    }

    #[test]
    fn raising_the_share_only_adds() {
        let draws: Vec<Draw> = (0..1000).map(|i| seed(9).draw(&format!("{i}"))).collect();
        for (low, high) in [(0.0, 0.01), (0.01, 0.1), (0.1, 0.5), (0.5, 1.0)] {
            assert!(
                draws
                    .iter()
                    .all(|draw| !Share(low).exposes(*draw) || Share(high).exposes(*draw))
            );
        }
    }

    #[test]
    fn a_seed_is_never_printed_and_its_hash_can_be_checked() {
        assert_eq!(format!("{:?}", seed(1)), "Seed(secret)");
        assert_eq!(seed(0).sha256(), hex::encode(Sha256::digest([0u8; 16])));
        let text = serde_json::to_string(&seed(5)).expect("serialises");
        assert_eq!(
            serde_json::from_str::<Seed>(&text).expect("deserialises"),
            seed(5)
        );
    }

    #[test]
    fn what_is_no_share_is_refused() {
        assert!(Share::new(f64::NAN).is_err());
        assert!(Share::new(1.0000001).is_err());
        assert!(Share::new(-0.1).is_err());
        assert_eq!(Share::clamped(f64::NAN), Share::ZERO);
        assert_eq!(Share::clamped(7.0), Share::ONE);
    }
}
