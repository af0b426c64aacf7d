//! The logistic function.

use super::{LN_2, LN_2_REST};
use crate::simd::{Simd, Table};

/// `c·2⁻ʲᐟ⁸` for `j` from 0 to 7, times 2⁶⁴.
///
/// Which `c` is free: it is chosen so that all eight lie within 2⁻²⁶·⁸ of a number that f32 has, and that the divisor, whose
/// rounding is most of the error, is not just above a power of two where the quotient is just below one.
const POWERS: Table = Table::new([
    2.844_384_2e19,
    2.608_311_8e19,
    2.391_832_5e19,
    2.193_32e19,
    2.011_283_4e19,
    1.844_355e19,
    1.691_281e19,
    1.550_911_5e19,
]);

/// 1.5·2²⁰: a sum with it is rounded to eighths, and its lowest bits count them.
const TO_EIGHTHS: f32 = 1_572_864.0;
/// Bits of a number that count its eighths, so rounded.
const EIGHTHS: i32 = 3;

/// ln 2 in two parts for products rounded before they are subtracted: the first has 12 bits, as many as leave its product with
/// a number of eighths below 2⁸ exact.
const LN_2_SHORT: f32 = 0.693_115_23;
const LN_2_SHORT_REST: f32 = 3.194_618_3e-5;

/// `1 / (1 + e⁻ˣ)`: ½ exactly at ±0, 0 below −103.97, subnormal below −87.33, 1 above 17.07.
///
/// With `x = (n + j/8)·ln 2 + r` for whole n, j from 0 to 7 and |r| ≤ ln 2 / 16 it is `2ⁿ / (2ⁿ + 2⁻ʲᐟ⁸·e⁻ʳ)`, which overflows nowhere
/// and needs no case for the sign of x; `2⁻ʲᐟ⁸` comes from a table (P. T. P. Tang, *ACM Transactions on Mathematical Software* 15,
/// 1989). Both sides are computed `c·2⁶⁴` times as large, so that they are normal numbers: a subnormal quotient is rounded once.
///
/// `e⁻ʳ = 1 − r + r²·q(r)`, relative error before rounding 2⁻³²·⁵. The larger term of the divisor is added last, in its full precision.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    // Beyond these the result is 0 or 1 already. A NaN passes.
    let x = s.min(s.splat(18.0), s.max(s.splat(-104.0), x));
    let shifted = s.mul_add(x, s.splat(std::f32::consts::LOG2_E), s.splat(TO_EIGHTHS));
    let eighths = s.bits(shifted);
    let n = s.sub(shifted, s.splat(TO_EIGHTHS));
    let (ln_2, rest) = if S::FUSED { (LN_2, LN_2_REST) } else { (LN_2_SHORT, LN_2_SHORT_REST) };
    let r = s.neg_mul_add(n, s.splat(rest), s.neg_mul_add(n, s.splat(ln_2), x));
    // 1 − e⁻ʳ.
    let q = s.mul_add(s.mul_add(s.splat(0.041_670_63), r, s.splat(-0.166_680_26)), r, s.splat(0.5));
    let w = s.neg_mul_add(s.mul(r, r), q, r);

    let power = s.lookup(&POWERS, eighths);
    // All above the eighths ends in the exponent's field, or beyond it.
    let whole = s.shl_i::<{ 23 - EIGHTHS }>(s.and_i(eighths, s.splat_i(-1 << EIGHTHS)));
    let dividend = s.from_bits(s.add_i(s.bits(s.splat(POWERS.first())), whole));
    let (large, small) = (s.max(dividend, power), s.min(dividend, power));
    s.div(dividend, s.add(large, s.neg_mul_add(power, w, small)))
}
