//! `h = f(z + bias)`, small ones cut where asked for, and its column sums.

use super::{Nonlinearity, Partials, TileOp, columns, load_n, load_whole, side_by_side, store_n, with_nonlinearity};
use crate::gemm::raw::Raw;
use crate::gemm::{Ahead, Finished};
use crate::ops::Activation;
use crate::ops::REDUCE_ROWS;
use crate::simd::Simd;

/// The epilogue of [`Encode`](crate::ops::Encode).
pub(crate) struct EncodeTile<'a> {
    pub(crate) bias: &'a [f32],
    pub(crate) n: usize,
    pub(crate) activation: Activation,
    pub(crate) threshold: Option<&'a [f32]>,
    pub(crate) h: Raw,
    pub(crate) sums: Option<Partials>,
}

impl TileOp for EncodeTile<'_> {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, simd: S, tile: &Finished) {
        with_nonlinearity!(self.activation, F => match self.threshold {
            None => side_by_side!(simd, tile, true, WHOLE => {
                // SAFETY: the caller's.
                unsafe { self.rows::<_, F, WHOLE, false>(simd, tile, 0.0) }
            }),
            // SAFETY: the caller's.
            Some(threshold) => unsafe { self.rows::<S, F, false, true>(simd, tile, threshold[tile.problem]) },
        })
    }

    #[inline(always)]
    fn ahead(&self, problem: usize, row: usize, col: usize, ahead: &mut Ahead) {
        ahead.push(self.h.at(problem, row, col), self.h.row_stride());
    }
}

impl EncodeTile<'_> {
    #[inline(always)]
    unsafe fn rows<S: Simd, F: Nonlinearity, const WHOLE: bool, const CUT: bool>(
        &self,
        simd: S,
        tile: &Finished,
        threshold: f32,
    ) {
        let bias = self.bias.as_ptr().wrapping_add(tile.problem * self.n + tile.col);
        let h = self.h.at(tile.problem, tile.row, tile.col);
        let sums = self.sums.map(|sums| sums.at(tile.problem, tile.row, tile.col));
        let fresh = tile.row.is_multiple_of(REDUCE_ROWS);
        let (threshold, zero) = (simd.splat(threshold), simd.splat(0.0));
        for c in columns::<S, WHOLE>(tile.cols) {
            let n = S::LANES.min(tile.cols - c);
            // SAFETY: `n` columns of this tile from `c` are inside bias, h and sums.
            unsafe {
                let bias = load_n(simd, bias.add(c), n);
                let mut sum = match sums {
                    Some(sums) if !fresh => load_n(simd, sums.add(c), n),
                    _ => simd.splat(0.0),
                };
                let room = tile.room(S::LANES, n);
                for r in 0..tile.rows {
                    let z = simd.add(load_whole::<S, WHOLE>(simd, tile.z.add(r * tile.z_stride + c), room), bias);
                    let mut y = F::forward(simd, z);
                    if CUT {
                        // 0, or NaN.
                        let cut = simd.add(simd.mul(y, zero), zero);
                        y = simd.select(simd.gt(simd.abs(y), threshold), y, cut);
                    }
                    store_n(simd, h.add(r * self.h.row_stride() + c), y, n);
                    sum = simd.add(sum, y);
                }
                if let Some(sums) = sums {
                    store_n(simd, sums.add(c), sum, n);
                }
            }
        }
    }
}
