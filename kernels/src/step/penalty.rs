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
    let r = rho_hat.clamp(RHO_HAT_MARGIN, 1.0 - RHO_HAT_MARGIN);
    Divergence {
        value: rho * (rho / r).ln() + (1.0 - rho) * ((1.0 - rho) / (1.0 - r)).ln(),
        slope: (1.0 - rho) / (1.0 - r) - rho / r,
        clamped: r != rho_hat && !rho_hat.is_nan(),
    }
}
