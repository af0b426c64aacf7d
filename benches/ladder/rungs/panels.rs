//! Rung 6: the strip of b as one piece of memory.

use pulp::Simd;
use sae_kernels::AlignedVec;

use super::Problem;
use super::vectors::{Loops, Rows, Strip, dispatch};

/// 6. The strip is copied into a panel first: its rows, which lie a row of b apart, become neighbours.
pub(super) fn panels(p: &Problem, c: &mut [f32]) {
    struct Panels<'a>(&'a Problem, Rows<'a>);

    impl Loops for Panels<'_> {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(mut self, simd: S) {
            let width = NV * S::F32_LANES;
            let mut panel = AlignedVec::zeros(self.0.k * width);
            for j in (0..self.0.n).step_by(width) {
                pack(self.0, j, width, &mut panel);
                for i in (0..self.0.m).step_by(MR) {
                    self.1.times::<S, MR, NV>(simd, Strip { b: &panel, stride: width }, [i, j]);
                }
            }
        }
    }

    dispatch(Panels(p, Rows { a: &p.a, k: p.k, c, n: p.n }));
}

/// Columns `j..j + width` of b, as a panel `[k, width]`.
pub(super) fn pack(p: &Problem, j: usize, width: usize, panel: &mut [f32]) {
    for (row, b) in panel.chunks_mut(width).zip(p.b.chunks(p.n)) {
        row.copy_from_slice(&b[j..][..width]);
    }
}
