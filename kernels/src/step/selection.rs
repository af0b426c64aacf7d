//! Which hidden activations of a sample stay.

use crate::error::Error;
use crate::ops::Result;
use crate::real::Real;

use super::config::not_negative;

/// Which hidden activations of a sample stay; the others become 0, and no gradient goes through them.
///
/// What the penalty sees, the mean activations that are reported, and the features that are encoded, are what stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Selection<T = f32> {
    /// All.
    All,
    /// The k largest (A. Makhzani, B. Frey, "k-Sparse autoencoders", 2013); of equal ones the first.
    TopK {
        /// k, at least 1.
        k: usize,
    },
    /// Those of a size above a threshold: hard thresholding, `h·[|h| > θ]`.
    Threshold {
        /// θ.
        threshold: T,
    },
}

impl<T: Real> Selection<T> {
    /// Its name in messages.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::TopK { .. } => "top-k",
            Self::Threshold { .. } => "threshold",
        }
    }

    pub(super) fn check(&self) -> Result {
        match *self {
            Self::TopK { k: 0 } => Err(Error::Scalar { name: "k", found: "0".to_owned(), expected: "at least 1" }),
            Self::Threshold { threshold } => not_negative("threshold", threshold),
            Self::All | Self::TopK { .. } => Ok(()),
        }
    }

    /// Whether `other` differs in numbers only.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// k, of no meaning for others.
    pub(super) fn k(&self) -> usize {
        match *self {
            Self::TopK { k } => k,
            _ => usize::MAX,
        }
    }

    /// θ, of no meaning for others.
    pub(super) fn threshold(&self) -> T {
        match *self {
            Self::Threshold { threshold } => threshold,
            _ => T::ZERO,
        }
    }
}
