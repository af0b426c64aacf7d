//! Linear probes: how much of a label or of a number can be read off features by a linear map.
//!
//! A probe is fitted on some rows and judged on others. Features are scaled to mean 0 and variance 1 on the rows it is fitted on; everything
//! is computed in `f64`, and comes out the same for any number of threads.
//!
//! ```
//! use sae_harness::eval::probe::{SoftmaxOptions, SoftmaxProbe};
//!
//! // Two features; the class is whether the first is the larger.
//! let x = [0.9, 0.1, 0.2, 0.8, 0.7, 0.3, 0.4, 0.6, 0.8, 0.1, 0.3, 0.9];
//! let labels = [1, 0, 1, 0, 1, 0];
//! let probe = SoftmaxProbe::fit(&x, 2, &labels, &SoftmaxOptions::default())?;
//! assert_eq!(probe.score(&x, &labels)?.accuracy, 1.0);
//! # Ok::<(), sae_harness::eval::EvalError>(())
//! ```

mod design;
mod newton;
mod ridge;
mod softmax;
mod spectrum;

pub use ridge::{RidgeOptions, RidgeProbe, r2};
pub use softmax::{ClassScore, SoftmaxOptions, SoftmaxProbe};

use super::EvalError;
use crate::data::Split;

/// The strengths of regularisation that are tried where none is given.
pub const L2: [f64; 5] = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5];

/// A tenth of `rows` rows, at least one, to choose a strength by, and the others.
fn held_out(rows: usize, seed: u64) -> Result<(Vec<usize>, Vec<usize>), EvalError> {
    let split = Split::new(rows, 0.1, 0.0, true, seed).map_err(|_| EvalError::Length {
        what: "rows",
        found: rows,
        expected: "at least 2, to choose a strength of regularisation by".into(),
    })?;
    Ok((split.train, split.validation))
}

/// Rows of `x [n, d]`, one after the other.
fn gather<T: Copy>(x: &[T], d: usize, rows: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|&row| &x[row * d..][..d]).copied().collect()
}
