//! What keeps hidden activations sparse: the KL divergence of mean activations, or an L1 norm.

use crate::real::Real;

/// The sparsity term of the objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Penalty<T = f32> {
    /// None.
    None,
    /// `β·Σ_j KL(ρ‖ρ̂_j)`, with the mean activation `ρ̂_j` of hidden unit j; for sigmoid units. Its gradient is one row,
    /// the same for every sample. See [`divergence`].
    Kl {
        /// ρ: the mean activation aimed at.
        rho: T,
        /// β.
        beta: T,
        /// What ρ̂ is averaged over.
        average: RhoHat<T>,
    },
    /// `β/n·Σ_i Σ_j |h_ij|`; the subgradient at 0 is 0.
    L1 {
        /// β.
        beta: T,
    },
}

/// What the mean activation ρ̂ is averaged over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RhoHat<T = f32> {
    /// The batch: `dρ̂_j/dh_ij = 1/n`.
    Batch,
    /// The batches so far, by an exponential moving average. The first step takes its batch's mean; every later one
    /// `ρ̂ ← decay·ρ̂ + (1 − decay)·mean`. The past is a constant of the step, so the exact derivative is
    /// `dρ̂_j/dh_ij = (1 − decay)/n`, and `1/n` in the first step.
    Ema {
        /// The share of the past, from 0 up, below 1.
        decay: T,
    },
}

impl<T: Real> RhoHat<T> {
    /// The share of the batch's mean in ρ̂, where there is a past and where there is none.
    pub(super) fn batch_share(&self, has_past: bool) -> f64 {
        match self {
            Self::Ema { decay } if has_past => 1.0 - decay.to_f64(),
            _ => 1.0,
        }
    }
}

/// ε: [`divergence`] takes ρ̂ to be at least this far from 0 and 1. One f32 step below 1 is of this size.
pub const RHO_HAT_MARGIN: f64 = 1e-7;

/// The KL divergence of one unit and its derivative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence {
    /// `KL(ρ‖ρ̂) = ρ·ln(ρ/ρ̂) + (1−ρ)·ln((1−ρ)/(1−ρ̂))`.
    pub value: f64,
    /// `dKL/dρ̂ = −ρ/ρ̂ + (1−ρ)/(1−ρ̂)`.
    pub slope: f64,
    /// Whether ρ̂ was outside [ε, 1−ε].
    pub clamped: bool,
}

/// The divergence of a unit with mean activation `rho_hat` from the target `rho` in (0, 1), in nats.
///
/// ρ̂ is clamped to [ε, 1−ε], ε = [`RHO_HAT_MARGIN`]. Where it is, the slope is that at the clamped value, not 0 (as the
/// derivative of the clamp would have it): a unit that has gone dead keeps being pushed back. NaN gives NaN.
///
/// ```
/// use sae_kernels::step::divergence;
/// let d = divergence(0.5, 0.25);
/// assert!((d.value - 0.5 * (4.0f64 / 3.0).ln()).abs() < 1e-15);
/// assert!((d.slope - (-2.0 + 2.0 / 3.0)).abs() < 1e-15);
/// assert!(divergence(0.05, 0.0).clamped && divergence(0.05, 0.0).value.is_finite());
/// ```
pub fn divergence(rho: f64, rho_hat: f64) -> Divergence {
    let Ratios { aimed, idle, clamped } = Ratios::new(rho, rho_hat);
    Divergence { value: rho * aimed.ln() + (1.0 - rho) * idle.ln(), slope: idle - aimed, clamped }
}

/// What a unit's divergence is made of.
struct Ratios {
    /// `ρ/ρ̂`.
    aimed: f64,
    /// `(1−ρ)/(1−ρ̂)`.
    idle: f64,
    /// Whether ρ̂ was outside [ε, 1−ε].
    clamped: bool,
}

impl Ratios {
    #[inline]
    fn new(rho: f64, rho_hat: f64) -> Self {
        let r = rho_hat.clamp(RHO_HAT_MARGIN, 1.0 - RHO_HAT_MARGIN);
        Self { aimed: rho / r, idle: (1.0 - rho) / (1.0 - r), clamped: r != rho_hat && !rho_hat.is_nan() }
    }
}

/// The divergences of many units from one target. The logarithm of a product is the sum of logarithms, and takes the time of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divergences {
    rho: f64,
    sum: f64,
    /// Products of the ratios of units that are not in the sum yet.
    aimed: f64,
    idle: f64,
    waiting: usize,
    together: usize,
    clamped: usize,
}

impl Divergences {
    pub(super) fn from(rho: f64) -> Self {
        // As many have a product in f64: no ratio is below ρ or 1−ρ, which is 0 or above 10⁻¹⁶, and none is above 1/ε, or 10⁷.
        let together = (300.0 / -rho.log10()).clamp(1.0, 16.0) as usize;
        Self { rho, sum: 0.0, aimed: 1.0, idle: 1.0, waiting: 0, together, clamped: 0 }
    }

    /// Adds a unit's, of which it returns the slope.
    #[inline]
    pub(super) fn add(&mut self, rho_hat: f64) -> f64 {
        let Ratios { aimed, idle, clamped } = Ratios::new(self.rho, rho_hat);
        self.aimed *= aimed;
        self.idle *= idle;
        self.clamped += usize::from(clamped);
        self.waiting += 1;
        if self.waiting == self.together {
            *self = Self { sum: self.sum(), aimed: 1.0, idle: 1.0, waiting: 0, ..*self };
        }
        idle - aimed
    }

    /// The sum of all.
    pub(super) fn sum(&self) -> f64 {
        self.sum + (self.rho * self.aimed.ln() + (1.0 - self.rho) * self.idle.ln())
    }

    /// Units whose ρ̂ was outside [ε, 1−ε].
    pub(super) fn clamped(&self) -> usize {
        self.clamped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_many_divergences_is_that_of_each() {
        let mut seed = 1u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 11) as f64 / (1u64 << 53) as f64
        };
        for rho in [1e-300, f64::from(f32::from_bits(1)), 1e-30, 1e-4, 0.05, 0.5, 0.99, f64::from(1.0f32.next_down())] {
            for units in [0, 1, 3, 4, 5, 8, 1001] {
                let mut all = Divergences::from(rho);
                let (mut sum, mut size, mut clamped) = (0.0, 0.0, 0);
                for unit in 0..units {
                    // All over, at both ends and beyond, and near the target.
                    let rho_hat = match unit % 5 {
                        0 => 0.0,
                        1 => 1.0,
                        2 => rho * (1.0 + 1e-6 * random()),
                        3 => 1e-6 * random(),
                        _ => random(),
                    };
                    let one = divergence(rho, rho_hat);
                    assert_eq!(all.add(rho_hat), one.slope);
                    sum += one.value;
                    // Terms of both signs are rounded before they cancel, and so is every sum on the way.
                    let r = rho_hat.clamp(RHO_HAT_MARGIN, 1.0 - RHO_HAT_MARGIN);
                    size += 1.0 + rho * (rho / r).ln().abs() + (1.0 - rho) * ((1.0 - rho) / (1.0 - r)).ln().abs();
                    clamped += usize::from(one.clamped);
                }
                let error = (all.sum() - sum).abs();
                assert!(error <= f64::EPSILON * f64::from(units + 4) * size, "{rho} {units}: {} {sum}", all.sum());
                assert_eq!(all.clamped(), clamped);
            }
        }
        let mut all = Divergences::from(0.05);
        all.add(0.1);
        assert!(all.add(f64::NAN).is_nan() && all.sum().is_nan() && all.clamped() == 0);
    }
}
