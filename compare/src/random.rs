//! Random operands: no zeros, the same in every run.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A source of numbers.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new() -> Self {
        Self(ChaCha8Rng::seed_from_u64(0))
    }

    /// Uniform numbers in [low, high).
    pub(crate) fn values(&mut self, len: usize, low: f32, high: f32) -> Vec<f32> {
        let unit = |bits: u32| (bits >> 8) as f32 / (1u32 << 24) as f32;
        (0..len).map(|_| low + (high - low) * unit(self.0.next_u32())).collect()
    }
}
