//! The logarithm of one more, accurate near 0.

use super::log::{EXPONENT, THREE_QUARTERS, log_parts};
use crate::simd::Simd;

/// `ln(1 + x)`: −∞ at −1, NaN below, ±0 at ±0, ∞ at ∞; subnormal arguments are their own results.
///
/// With `k` from `1 + x = m·2ᵏ`, 3/4 ≤ m < 3/2, the reduced argument `m − 1` is `x·2⁻ᵏ + (2⁻ᵏ − 1)`, rounded once. For
/// k = 0 it is x; for small |k| the two terms lie within a factor of two of each other and their sum is exact.
#[inline(always)]
pub(crate) fn log1p<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let i = s.sub_i(s.bits(s.add(one, x)), s.splat_i(THREE_QUARTERS));
    let exponent = s.and_i(i, s.splat_i(EXPONENT));
    // x·2⁻ᵏ by its exponent field: k is 0 where x is so small that it could have none.
    let scaled = s.from_bits(s.sub_i(s.bits(x), exponent));
    // 2⁻ᵏ, or 0 where that is no normal number (and 2⁻ᵏ − 1 rounds to −1 as well).
    let power = s.max(s.from_bits(s.sub_i(s.bits(one), exponent)), s.splat(0.0));
    let f = s.add(scaled, s.sub(power, one));
    let (high, low) = log_parts(s, f, s.to_float(s.shr_i::<23>(i)));
    let y = s.add(high, low);

    let y = s.select(s.lt(x, s.splat(f32::INFINITY)), y, x);
    let y = s.select(s.lt(x, s.splat(-1.0)), s.splat(f32::NAN), y);
    let y = s.select(s.eq(x, s.splat(-1.0)), s.splat(f32::NEG_INFINITY), y);
    // For −0, whose sign the sum has lost.
    s.copysign(s.abs(y), x)
}
