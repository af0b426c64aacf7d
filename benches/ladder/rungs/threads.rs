//! Rung 7: every thread of the pool.

use pulp::Simd;
use rayon::prelude::*;
use sae_kernels::AlignedVec;

use super::Problem;
use super::panels::pack;
use super::vectors::{Loops, Rows, Strip, dispatch};

/// 7. Threads copy panels of b, all of them, and then take rows: some tiles high, so that every thread finds several.
pub(super) fn threads(p: &Problem, c: &mut [f32]) {
    struct Threads<'a>(&'a Problem, &'a mut [f32]);

    impl Loops for Threads<'_> {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(self, _: S) {
            let (p, width) = (self.0, NV * S::F32_LANES);
            let mut packed = AlignedVec::zeros(p.k * p.n);
            packed.par_chunks_mut(p.k * width).enumerate().for_each(|(i, panel)| pack(p, i * width, width, panel));
            let rows = MR * (p.m / MR / rayon::current_num_threads() / 2).max(1);
            p.a.par_chunks(rows * p.k).zip(self.1.par_chunks_mut(rows * p.n)).for_each(|(a, c)| {
                // A closure on another thread is a function of its own, to be compiled for the processor again.
                dispatch(Packed(&packed, Rows { a, k: p.k, c, n: p.n }));
            });
        }
    }

    dispatch(Threads(p, c));
}

/// Some rows times all panels of b.
struct Packed<'a>(&'a [f32], Rows<'a>);

impl Loops for Packed<'_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(mut self, simd: S) {
        let width = NV * S::F32_LANES;
        for (strip, panel) in self.0.chunks(self.1.k * width).enumerate() {
            for i in (0..self.1.count()).step_by(MR) {
                self.1.times::<S, MR, NV>(simd, Strip { b: panel, stride: width }, [i, strip * width]);
            }
        }
    }
}
