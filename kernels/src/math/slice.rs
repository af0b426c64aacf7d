//! The functions over slices.

use super::vector;
use crate::error::{Error, expect};
use crate::isa::Isa;
use crate::simd::{Simd, Task, dispatch};

/// A function of one vector.
trait Elementwise: Copy {
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F;
}

/// `out[i] = f(x[i])`; both have the same length.
struct Apply<'a, E> {
    x: &'a [f32],
    out: &'a mut [f32],
    function: E,
}

impl<E: Elementwise> Task for Apply<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, out, function } = self;
        let len = x.len().min(out.len());
        let whole = len - len % S::LANES;
        let mut i = 0;
        // Four vectors at a time, as four values: each is one long chain of operations that wait for each other, and a
        // loop over an array would compute one after the other.
        while i + 4 * S::LANES <= whole {
            // SAFETY: 4·LANES elements from `i` end at or before `whole`, which is inside both slices.
            unsafe {
                let (from, to) = (x.as_ptr().add(i), out.as_mut_ptr().add(i));
                let (a, b) = (s.load(from), s.load(from.add(S::LANES)));
                let (c, d) = (s.load(from.add(2 * S::LANES)), s.load(from.add(3 * S::LANES)));
                let (a, b, c, d) = (function.eval(s, a), function.eval(s, b), function.eval(s, c), function.eval(s, d));
                s.store(to, a);
                s.store(to.add(S::LANES), b);
                s.store(to.add(2 * S::LANES), c);
                s.store(to.add(3 * S::LANES), d);
            }
            i += 4 * S::LANES;
        }
        while i < whole {
            // SAFETY: LANES elements from `i` end at or before `whole`, which is inside both slices.
            unsafe { s.store(out.as_mut_ptr().add(i), function.eval(s, s.load(x.as_ptr().add(i)))) }
            i += S::LANES;
        }
        if whole < len {
            // SAFETY: the `len − whole` elements from `whole` are inside both slices, and fewer than LANES.
            unsafe {
                let v = s.load_partial(x.as_ptr().add(whole), len - whole);
                s.store_partial(out.as_mut_ptr().add(whole), function.eval(s, v), len - whole);
            }
        }
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $(
            $(#[$doc])*
            ///
            /// An element's result depends on nothing but the element: not on the length, its place, or `isa` (see the module
            /// for the portable tier's exemption).
            ///
            /// # Errors
            /// [`Error::Shape`] where `x` and `out` differ in length, [`Error::IsaUnavailable`] where the processor lacks `isa`.
            pub fn $name(isa: Isa, x: &[f32], out: &mut [f32]) -> Result<(), Error> {
                #[derive(Clone, Copy)]
                struct Function;
                impl Elementwise for Function {
                    #[inline(always)]
                    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
                        vector::$name(s, x)
                    }
                }
                expect("out", "length", out.len(), x.len(), "the length of x")?;
                dispatch(isa, Apply { x, out, function: Function })
            }
        )*
    };
}

functions! {
    /// `out[i] = e^x[i]`: 0 below −103.97, subnormal below −87.33, ∞ above 88.72.
    ///
    /// Within 0.991 units in the last place, with FMA.
    exp
    /// `out[i] = ln x[i]`: −∞ at ±0, NaN below.
    ///
    /// Within 0.915 units in the last place, with FMA.
    log
    /// `out[i] = 1 / (1 + e^−x[i])`: ½ exactly at ±0, 0 below −103.97, subnormal below −87.33, 1 above 17.07.
    ///
    /// Within 1.473 units in the last place, with FMA.
    sigmoid
    /// `out[i] = tanh x[i]`: ±0 at ±0, ±1 beyond 9.01.
    ///
    /// Within 1.047 units in the last place, with FMA.
    tanh
    /// `out[i] = ln(1 + x[i])`: ±0 at ±0, −∞ at −1, NaN below.
    ///
    /// Within 0.917 units in the last place, with FMA.
    log1p
    /// `out[i] = ln(1 + e^x[i])`: 0 below −103.97.
    ///
    /// Within 1.658 units in the last place, with FMA.
    softplus
}
