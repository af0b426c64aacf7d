//! The smooth rectifier, and the binary cross-entropy's logarithm.

use super::exp::exp_neg_abs;
use super::{LN_2, LN_2_REST, polynomial};
use crate::simd::Simd;

/// `ln(1 + eˣ)`: 0 below −103.97, ∞ at ∞, ln 2 at ±0.
///
/// Below ln 2 in magnitude it is `ln 2 + x/2 + x²·p(x²)`, the part behind x/2 being even, with `p` of degree 3 and error
/// x²·p before rounding 2⁻³¹·⁵. All but ln 2 is summed first: steps between neighbouring arguments are far smaller than those
/// between neighbouring results there, and a sum that rises with x is rounded to one that does.
///
/// Beyond, it is `max(x, 0) + ln(1 + e)`, `e = e^−|x|` at most ½: `ln(1 + e) = e + e²·q(e)` with `q` of degree 6, relative
/// error before rounding 2⁻²⁶·⁹.
#[inline(always)]
pub(crate) fn softplus<S: Simd>(s: S, x: S::F) -> S::F {
    let square = s.mul(x, x);
    let p = polynomial(s, square, [-2.401_154_6e-5, 3.463_008e-4, -5.208_189e-3, 0.124_999_99]);
    let rise = s.mul_add(s.splat(0.5), x, s.mul(square, p));
    let near = s.add(s.splat(LN_2), s.add(rise, s.splat(LN_2_REST)));

    let e = exp_neg_abs(s, x);
    let q = polynomial(
        s,
        e,
        [-0.027_853_075, 0.087_516_32, -0.147_363_6, 0.196_021_42, -0.249_545_02, 0.333_308_13, -0.499_999_52],
    );
    let far = s.add(s.max(x, s.splat(0.0)), s.mul_add(s.mul(e, e), q, e));
    // NaN is not near, and stays: it is in e.
    s.select(s.lt(s.abs(x), s.splat(LN_2)), near, far)
}
