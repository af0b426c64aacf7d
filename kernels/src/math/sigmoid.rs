//! The logistic function.

use super::exp::{Q, reduce};
use super::polynomial;
use crate::simd::Simd;

/// `1 / (1 + e⁻ˣ)`: ½ exactly at ±0, 0 below −103.97, subnormal below −87.33, 1 above 16.64.
///
/// With `x = n·ln 2 + r` it is `2ⁿ / (2ⁿ + e⁻ʳ)`, which overflows nowhere and needs no case for the sign of x. The
/// divisor `2ⁿ + 1 + (e⁻ʳ − 1)` is rounded once: `2ⁿ + 1` is carried with its rounding error (T. J. Dekker, *Numerische
/// Mathematik* 18, 1971; its range of exponents allows either order), and the quotient is scaled after the division, so
/// that a subnormal result is rounded from an accurate one.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    // Beyond these the result is 0 or 1 already. A NaN passes.
    let (r, n) = reduce(s, s.min(s.splat(17.0), s.max(s.splat(-104.0), x)));
    // Far below the last place of 1, any small power will do.
    let power = s.power_of_two(s.max(s.splat(-126.0), n));
    let high = s.add(one, power);
    let low = s.sub(power, s.sub(high, one));
    // e⁻ʳ − 1 = −r + r²·q(−r).
    let q = polynomial(s, r, [Q[0], -Q[1], Q[2], -Q[3], Q[4]]);
    let divisor = s.add(high, s.mul_add(s.mul(r, r), q, s.sub(low, r)));
    s.scale(s.div(one, divisor), n)
}
