//! The hyperbolic tangent.

use super::exp::parts;
use super::polynomial;
use crate::simd::Simd;

/// `tanh x`: ±0 at ±0, ±1 beyond 9.01; subnormal arguments are their own results.
///
/// Up to 0.8, `x + x·x²·q(x²)` with `q` of degree 5, relative error before rounding 2⁻²⁸; above, `1 − 2/(1 + e²ˣ)`. Both
/// are computed and one is kept.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let a = s.abs(x);
    let square = s.mul(a, a);
    let q = polynomial(
        s,
        square,
        [0.001_587_038_9, -0.007_414_17, 0.021_306_526, -0.053_853_597, 0.133_322_42, -0.333_333],
    );
    let near = s.mul_add(s.mul(a, square), q, a);

    // The result is 1 already at this bound. A NaN passes.
    let bounded = s.min(s.splat(10.0), a);
    let (p, n) = parts(s, s.add(bounded, bounded));
    let e = s.mul(p, s.power_of_two(n));
    let far = s.sub(one, s.div(s.splat(2.0), s.add(one, e)));

    s.copysign(s.select(s.lt(a, s.splat(0.8)), near, far), x)
}
