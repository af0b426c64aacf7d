//! The yardstick: a loop of fused multiply-adds and nothing else.

use std::hint::black_box;

use crate::epilogue::vectorize_on;
use crate::isa::Isa;
use crate::ops::Result;
use crate::simd::{Simd, Task};

/// Chains that are in flight at once: more than any processor's FMA units times their latency.
const CHAINS: usize = 12;
const UNROLL: usize = 8;

struct FmaLoop(usize);

impl Task for FmaLoop {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        let (a, b) = (simd.splat(black_box(0.999)), simd.splat(black_box(1e-3)));
        let mut chains = [simd.splat(black_box(1.0)); CHAINS];
        for _ in 0..self.0 {
            for _ in 0..UNROLL {
                for chain in &mut chains {
                    *chain = simd.mul_add(*chain, a, b);
                }
            }
        }
        let mut sum = chains[0];
        for &chain in &chains[1..] {
            sum = simd.add(sum, chain);
        }
        let mut first = 0.0;
        // SAFETY: one lane into one f32.
        unsafe { simd.store_partial(&mut first, sum, 1) };
        black_box(first);
        (self.0 * UNROLL * CHAINS * S::LANES * 2) as f64
    }
}

/// Runs `rounds` rounds of independent fused multiply-adds on this thread, in registers, and returns how many floating
/// point operations that were (two a multiply-add). Timed, it is the peak that kernels of this instruction set can
/// reach.
///
/// # Errors
/// [`Error::IsaUnavailable`](crate::Error::IsaUnavailable).
pub fn fma_loop(isa: Isa, rounds: usize) -> Result<f64> {
    Ok(vectorize_on(isa.require()?, FmaLoop(rounds)))
}
