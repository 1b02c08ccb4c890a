//! Random numbers from a seed: xoshiro256++ 1.0, seeded by splitmix64 (Blackman and Vigna,
//! <https://prng.di.unimi.it>). For simulations only; secrets come from the system.

/// A stream of random numbers. Equal seeds and streams give equal numbers.
#[derive(Clone, Debug)]
pub(super) struct Random([u64; 4]);

impl Random {
    /// One of the independent streams of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        // Two rounds of splitmix64 keep neighbouring seeds and streams apart.
        let mut state = seed;
        let mut state = splitmix64(&mut state) ^ stream;
        Self(std::array::from_fn(|_| splitmix64(&mut state)))
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        let s = &mut self.0;
        let bits = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        bits
    }

    /// Uniform in [0, 1), of 53 bits.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * 2f64.powi(-53)
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform below `n`, which is above 0; no `n` up to 2³² is off by more than 2⁻³².
    pub(super) fn below(&mut self, n: usize) -> usize {
        let product = u128::from(self.bits()) * n as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }

    /// Puts items into a random order.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// A beta variate, by Jöhnk's rejection: good for a concentration (the sum of both parameters) of a few.
    pub(super) fn beta(&mut self, mean: f64, concentration: f64) -> f64 {
        let (a, b) = (mean * concentration, (1.0 - mean) * concentration);
        loop {
            let (x, y) = (self.unit().powf(1.0 / a), self.unit().powf(1.0 / b));
            if x + y <= 1.0 && x + y > 0.0 {
                return x / (x + y);
            }
        }
    }
}

fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generators_are_those_of_their_authors() {
        // The first numbers of the published C programs, for the seed 0 and for the state 1, 2, 3, 4.
        let mut state = 0;
        assert_eq!(splitmix64(&mut state), 0xe220_a839_7b1d_cdaf);
        assert_eq!(splitmix64(&mut state), 0x6e78_9e6a_a1b9_65f4);
        let mut random = Random([1, 2, 3, 4]);
        assert_eq!(
            [random.bits(), random.bits(), random.bits()],
            [41_943_041, 58_720_359, 3_588_806_011_781_223]
        );
    }

    #[test]
    fn streams_differ_and_repeat() {
        let first = |seed, stream| Random::new(seed, stream).bits();
        assert_eq!(first(1, 1), first(1, 1));
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
    }

    #[test]
    fn a_beta_variate_has_its_mean_and_variance() {
        let mut random = Random::new(7, 0);
        for mean in [0.05, 0.15, 0.3] {
            let draws: Vec<f64> = (0..40_000).map(|_| random.beta(mean, 3.0)).collect();
            let found = draws.iter().sum::<f64>() / 40_000.0;
            let square = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 40_000.0;
            let variance = mean * (1.0 - mean) / 4.0;
            // Five standard errors of the mean; the variance within 5 %.
            assert!((found - mean).abs() < 5.0 * (variance / 40_000.0).sqrt());
            assert!(
                (square / variance - 1.0).abs() < 0.05,
                "{square} {variance}"
            );
        }
    }

    #[test]
    fn numbers_below_and_orders_are_uniform() {
        let mut random = Random::new(3, 0);
        let mut first = [0u32; 5];
        for _ in 0..10_000 {
            let mut items = [0, 1, 2, 3, 4];
            random.shuffle(&mut items);
            first[items[0]] += 1;
        }
        let chi2: f64 = first
            .iter()
            .map(|n| (f64::from(*n) - 2000.0).powi(2) / 2000.0)
            .sum();
        // The 99.99th percentile of chi-square with 4 degrees of freedom is 23.5.
        assert!(chi2 < 23.5, "{chi2}");
    }
}
