//! The logistic function.

use super::exp::exp_neg_abs;
use crate::simd::Simd;

/// `1 / (1 + e⁻ˣ)`: ½ exactly at ±0, 0 below −103.97, subnormal below −87.33, 1 above 16.64.
///
/// With `e = e^−|x|`, which cannot overflow: `1/(1 + e)` for x ≥ 0, `e/(1 + e)` below.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let e = exp_neg_abs(s, x);
    s.div(s.select(s.lt(x, s.splat(0.0)), e, one), s.add(one, e))
}
