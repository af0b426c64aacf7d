//! The natural logarithm, and the part of it that `log1p` shares.

use super::{LN2_HI, LN2_LO, polynomial};
use crate::simd::Simd;

/// The bits of 3/4, from which exponents are counted: `x = m·2ᵏ` with 3/4 ≤ m < 3/2.
pub(super) const THREE_QUARTERS: i32 = 0x3f40_0000;
/// Sign and exponent field.
pub(super) const EXPONENT: i32 = 0xff80_0000_u32 as i32;

/// `ln x`: −∞ at ±0, NaN below 0, ∞ at ∞; subnormal arguments are exact.
#[inline(always)]
pub(crate) fn log<S: Simd>(s: S, x: S::F) -> S::F {
    let zero = s.splat(0.0);
    let infinity = s.splat(f32::INFINITY);
    // Subnormal numbers are brought into the range of normal ones.
    let subnormal = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let normal = s.select(subnormal, s.mul(x, s.splat(8_388_608.0)), x);
    let shifted = s.select(subnormal, s.splat(-23.0), zero);

    let i = s.sub_i(s.bits(normal), s.splat_i(THREE_QUARTERS));
    let k = s.add(s.to_float(s.shr_i::<23>(i)), shifted);
    let m = s.from_bits(s.sub_i(s.bits(normal), s.and_i(i, s.splat_i(EXPONENT))));
    let (high, low) = log_parts(s, s.sub(m, s.splat(1.0)), k);
    let y = s.add(high, low);

    let y = s.select(s.lt(x, infinity), y, x);
    let y = s.select(s.lt(x, zero), s.splat(f32::NAN), y);
    s.select(s.eq(x, zero), s.splat(f32::NEG_INFINITY), y)
}

/// `k·ln 2 + ln(1 + f)` as an unrounded sum of two, the larger first, for whole k, |k| ≤ 160, and −1/4 ≤ f ≤ 1/2.
///
/// `ln(1 + f) = f + f²·q(f)` with `q` of degree 8 and q(0) = −½; relative error before rounding 2⁻²⁷·⁵. The sum
/// `k·ln2_hi + f` is carried with its rounding error (T. J. Dekker, *Numerische Mathematik* 18, 1971): the product is exact
/// and larger than f, or 0.
#[inline(always)]
pub(super) fn log_parts<S: Simd>(s: S, f: S::F, k: S::F) -> (S::F, S::F) {
    let q = polynomial(
        s,
        f,
        [
            -0.045_152_206,
            0.104_725_54,
            -0.131_639_42,
            0.144_776_31,
            -0.166_468_78,
            0.199_908_48,
            -0.250_001_1,
            0.333_334_5,
            -0.5,
        ],
    );
    let whole = s.mul(k, s.splat(LN2_HI));
    let high = s.add(whole, f);
    let low = s.sub(f, s.sub(high, whole));
    let low = s.mul_add(k, s.splat(LN2_LO), low);
    (high, s.mul_add(s.mul(f, f), q, low))
}
