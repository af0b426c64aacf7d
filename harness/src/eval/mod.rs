//! What is measured of a model, and the baselines it is measured against.
//!
//! Inputs are row-major `f32` slices, `[n, d]`; every sum is accumulated in `f64`, in order.

pub mod baseline;
pub mod classes;
pub mod histogram;
pub mod metrics;
pub mod probe;
pub mod quality;
pub mod ranking;
pub mod ssim;

/// A measurement that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// Two lengths disagree.
    #[error("{what}: length is {found}, expected {expected}")]
    Length {
        /// The operand that does not fit.
        what: &'static str,
        /// Its length.
        found: usize,
        /// What it has to be.
        expected: String,
    },
    /// A scalar outside its valid range.
    #[error("{name} is {found}, expected {expected}")]
    Scalar {
        /// The scalar's name.
        name: &'static str,
        /// Its value, printed.
        found: String,
        /// The valid range.
        expected: String,
    },
    /// A value that is not finite, where one is needed.
    #[error("{what}: element {index} is {found}, expected a finite number")]
    NotFinite {
        /// The operand.
        what: &'static str,
        /// Where in it.
        index: usize,
        /// The value, printed.
        found: String,
    },
    /// The eigenvalue iteration did not converge.
    #[error("PCA: the eigenvalues of the {d} x {d} covariance did not converge, expected data of moderate magnitude")]
    NoConvergence {
        /// Features.
        d: usize,
    },
}

/// The number of rows of a row-major `[n, d]` slice.
///
/// # Errors
/// If `d` is 0, or the length is 0 or no multiple of `d`.
pub(crate) fn rows(what: &'static str, len: usize, d: usize) -> Result<usize, EvalError> {
    if d == 0 {
        return Err(EvalError::Scalar { name: "d", found: "0".into(), expected: "at least 1".into() });
    }
    if len == 0 || !len.is_multiple_of(d) {
        return Err(EvalError::Length { what, found: len, expected: format!("a positive multiple of {d}") });
    }
    Ok(len / d)
}

/// # Errors
/// If an element is not finite.
pub(crate) fn check_finite(what: &'static str, x: &[f32]) -> Result<(), EvalError> {
    match x.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(index) => Err(EvalError::NotFinite { what, index, found: x[index].to_string() }),
    }
}
