//! The smooth rectifier, and the binary cross-entropy's logarithm.

use super::exp::exp_neg_abs;
use super::log::log_reduced;
use crate::simd::Simd;

/// `ln(1 + eˣ) = max(x, 0) + log1p(e^−|x|)`: 0 below −103.97, ∞ at ∞.
///
/// `e = e^−|x|` is at most 1, so that `1 + e` is `m·2ᵏ` with k 0 or 1: `m − 1` is `e` up to 1/3 and `(e − 1)/2` above.
#[inline(always)]
pub(crate) fn softplus<S: Simd>(s: S, x: S::F) -> S::F {
    let (half, zero) = (s.splat(0.5), s.splat(0.0));
    let e = exp_neg_abs(s, x);
    let large = s.gt(e, s.splat(1.0 / 3.0));
    let f = s.select(large, s.mul(s.sub(e, s.splat(1.0)), half), e);
    let k = s.select(large, s.splat(1.0), zero);
    s.add(s.max(x, zero), log_reduced(s, f, k))
}
