//! The smooth rectifier, and the binary cross-entropy's logarithm.

use super::exp::exp_neg_abs;
use super::log::log_parts;
use crate::simd::Simd;

/// `ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|)`: 0 below −103.97, ∞ at ∞.
///
/// `e = e^−|x|` is at most 1, so that `1 + e` is `m·2ᵏ` with k 0 or 1: `m − 1` is `e` up to ½ and `(e − 1)/2`, exactly,
/// above. The two terms are added with the rounding error of the sum (T. J. Dekker, *Numerische Mathematik* 18, 1971):
/// rounded apart, the logarithm's steps would show where x is small.
#[inline(always)]
pub(crate) fn softplus<S: Simd>(s: S, x: S::F) -> S::F {
    let (half, zero) = (s.splat(0.5), s.splat(0.0));
    let e = exp_neg_abs(s, x);
    let above = s.gt(e, half);
    let f = s.select(above, s.mul(s.sub(e, s.splat(1.0)), half), e);
    let (high, low) = log_parts(s, f, s.select(above, s.splat(1.0), zero));

    let line = s.max(x, zero);
    let (larger, smaller) = (s.max(line, high), s.min(line, high));
    let sum = s.add(larger, smaller);
    let rest = s.sub(smaller, s.sub(sum, larger));
    let y = s.add(sum, s.add(rest, low));
    // ∞ and NaN stay.
    s.select(s.lt(x, s.splat(f32::INFINITY)), y, x)
}
