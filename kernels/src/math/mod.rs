//! Elementary functions: own polynomials, the same sequence of IEEE operations on every instruction set.
//!
//! Each function is branch-free and generic over the vector trait, made to be inlined into an epilogue; the public
//! functions of the same names apply them to whole slices. None uses an approximate reciprocal or the C library, so all
//! instruction sets with fused multiplication and addition give the same bits: AVX-512, AVX2 and NEON always, the
//! portable tier where the target has FMA at compile time. A NaN gives a NaN; which one is the processor's choice.
//!
//! | function | formula | error in ULP, with FMA | without |
//! | --- | --- | --- | --- |
//! | [`exp`] | `eˣ` | 0.991 | 0.964 |
//! | [`log`] | `ln x` | 0.915 | 0.970 |
//! | [`sigmoid`] | `1 / (1 + e⁻ˣ)` | 1.473 | 1.475 |
//! | [`tanh`] | `(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)` | 1.047 | 1.051 |
//! | [`log1p`] | `ln(1 + x)` | 0.917 | 0.993 |
//! | [`softplus`] | `ln(1 + eˣ)` | 1.658 | 1.722 |
//!
//! The errors are the largest over all 2³² inputs, in units in the last place of the correctly rounded result, rounded
//! up; `tests/ulp` measures them and holds the inputs at which they occur. A result that underflows is rounded into the
//! subnormal numbers, never flushed. All are monotone, with FMA and without: a larger argument never gives a smaller
//! result.
//!
//! Coefficients: minimax fits of the stated error weight by linear programming on Chebyshev nodes in 40-digit arithmetic,
//! rounded to f32 one by one from the lowest degree up, with the rest fitted again after each; those of `softplus` by
//! E. Remez's exchange in 60-digit arithmetic, rounded; those of `sigmoid` by C. L. Lawson's reweighted least squares in f64, rounded.
//!
//! Beside them, for kernels alone, stand the optimisers' rules on a vector of weights: `optimizer`.

mod exp;
mod log;
mod log1p;
pub(crate) mod optimizer;
mod sigmoid;
mod slice;
mod softplus;
mod tanh;

pub use slice::{exp, log, log1p, sigmoid, softplus, tanh};

/// The functions of a vector, for kernels.
pub(crate) mod vector {
    pub(crate) use super::exp::exp;
    pub(crate) use super::log::log;
    pub(crate) use super::log1p::log1p;
    pub(crate) use super::sigmoid::sigmoid;
    pub(crate) use super::softplus::softplus;
    pub(crate) use super::tanh::tanh;
}

use crate::simd::Simd;

/// ln 2 rounded, and what is left of it.
const LN_2: f32 = std::f32::consts::LN_2;
const LN_2_REST: f32 = -1.904_654_3e-9;

/// ln 2 in two parts. The first has 15 bits, so that its product with a whole number below 2⁹ is exact without FMA too.
const LN2_HI: f32 = 0.693_145_75;
const LN2_LO: f32 = 1.428_606_8e-6;

/// `Σ c[i]·xⁿ⁻¹⁻ⁱ` by Horner's rule: the highest degree comes first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F, c: [f32; N]) -> S::F {
    let mut sum = s.splat(c[0]);
    for &c in &c[1..] {
        sum = s.mul_add(sum, x, s.splat(c));
    }
    sum
}
