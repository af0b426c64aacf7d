//! The exponential function, and its parts for the functions built on it.

use super::{LN2_HI, LN2_LO, polynomial};
use crate::simd::Simd;

/// `q` of `eʳ = 1 + r + r²·q(r)`, highest degree first; relative error on |r| ≤ ½·ln 2 before rounding 2⁻²⁷·⁹, and a third
/// of that below −0.27, where `1 + r + …` loses most by rounding (the fit's weight is `r²/eʳ`, there three times as much).
const Q: [f32; 5] = [0.001_365_034_5, 0.008_368_925, 0.041_670_97, 0.166_665_18, 0.499_999_85];

/// `eˣ`: 0 below −103.97, subnormal below −87.33, ∞ above 88.72.
///
/// With `n` the whole number nearest to `x/ln 2` and `r = x − n·ln 2`, `eˣ = 2ⁿ·eʳ` (W. J. Cody and W. Waite, *Software
/// Manual for the Elementary Functions*, 1980).
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    // Beyond these the result is 0 or ∞ already, and `n` stays where `scale` is defined. A NaN passes.
    let (p, n) = parts(s, s.min(s.splat(89.0), s.max(s.splat(-104.0), x)));
    s.scale(p, n)
}

/// `e^−|x|`.
#[inline(always)]
pub(super) fn exp_neg_abs<S: Simd>(s: S, x: S::F) -> S::F {
    let (p, n) = parts(s, s.max(s.splat(-104.0), s.neg(s.abs(x))));
    s.scale(p, n)
}

/// `eʳ` and `n`, for −104 ≤ x ≤ 89.
#[inline(always)]
pub(super) fn parts<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let (r, n) = reduce(s, x);
    // r is added in its full precision, so that rounding errors stay below the step between neighbouring arguments.
    let p = s.mul_add(s.mul(r, r), polynomial(s, r, Q), r);
    (s.add(s.splat(1.0), p), n)
}

/// `r` and `n` of `x = n·ln 2 + r`, |r| ≤ ½·ln 2, for −104 ≤ x ≤ 89; |n| ≤ 150.
///
/// `x·log₂e` is rounded to a whole number by adding 1.5·2²³, where f32 has no fractions.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let magic = s.splat(12_582_912.0);
    let n = s.sub(s.mul_add(x, s.splat(std::f32::consts::LOG2_E), magic), magic);
    let r = s.neg_mul_add(n, s.splat(LN2_HI), x);
    (s.neg_mul_add(n, s.splat(LN2_LO), r), n)
}
