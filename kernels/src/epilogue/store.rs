//! The product itself.

use super::{TileOp, load_n, store_n};
use crate::gemm::raw::Raw;
use crate::gemm::{Ahead, Finished};
use crate::simd::Simd;

/// The epilogue of [`Gemm`](crate::ops::Gemm).
pub(crate) struct StoreTile {
    pub(crate) c: Raw,
}

impl TileOp for StoreTile {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, simd: S, tile: &Finished) {
        let out = self.c.at(tile.problem, tile.row, tile.col);
        for r in 0..tile.rows {
            for c in (0..tile.cols).step_by(S::LANES) {
                let n = S::LANES.min(tile.cols - c);
                // SAFETY: `n` columns of this tile from `c` are inside the result.
                unsafe {
                    let z = load_n(simd, tile.z.add(r * tile.z_stride + c), tile.room(S::LANES, n));
                    store_n(simd, out.add(r * self.c.row_stride() + c), z, n);
                }
            }
        }
    }

    #[inline(always)]
    fn place(&self, problem: usize, row: usize, col: usize) -> Option<(*mut f32, usize)> {
        Some((self.c.at(problem, row, col), self.c.row_stride()))
    }

    #[inline(always)]
    fn ahead(&self, problem: usize, row: usize, col: usize, ahead: &mut Ahead) {
        ahead.push(self.c.at(problem, row, col), self.c.row_stride());
    }
}
