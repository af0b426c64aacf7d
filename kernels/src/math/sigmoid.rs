//! The logistic function.

use super::exp::{Q, reduce};
use super::polynomial;
use crate::simd::Simd;

/// `1 / (1 + e⁻ˣ)`: ½ exactly at ±0, 0 below −103.97, subnormal below −87.33, 1 above 16.64.
///
/// With `x = n·ln 2 + r` it is `2ⁿ / (2ⁿ + e⁻ʳ)`, which overflows nowhere and needs no case for the sign of x. The
/// divisor `d = 2ⁿ + 1 − w`, `w = 1 − e⁻ʳ`, is rounded; what it has lost, `(1 − d) + 2ⁿ − w`, goes into one Newton step on
/// its reciprocal, together with the error of the division. The quotient is scaled last, so that a subnormal result is
/// rounded from an accurate one.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    // Beyond these the result is 0 or 1 already. A NaN passes.
    let (r, n) = reduce(s, s.min(s.splat(17.0), s.max(s.splat(-104.0), x)));
    // Where it is no normal number it is far below the divisor's last place.
    let power = s.power_of_two(n);
    // 1 − e⁻ʳ = r − r²·q(−r).
    let q = polynomial(s, r, [Q[0], -Q[1], Q[2], -Q[3], Q[4]]);
    let w = s.neg_mul_add(s.mul(r, r), q, r);
    let divisor = s.sub(s.add(one, power), w);
    let lost = s.sub(s.add(s.sub(one, divisor), power), w);
    let reciprocal = s.div(one, divisor);
    let error = s.neg_mul_add(lost, reciprocal, s.residual(divisor, reciprocal));
    s.scale_by(s.mul_add(error, reciprocal, reciprocal), n, power)
}
