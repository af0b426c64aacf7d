//! `h = f(z + bias)`, small ones cut where asked for, and its column sums.

use super::{Nonlinearity, Partials, Strip, TileOp, columns, load_n, side_by_side, store_n, with_nonlinearity};
use crate::gemm::raw::Raw;
use crate::gemm::{Ahead, Finished};
use crate::ops::Activation;
use crate::ops::REDUCE_ROWS;
use crate::simd::{Side, Simd};

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
            None => side_by_side!(simd, tile, true, WHOLE, ROWS => {
                // SAFETY: the caller's.
                unsafe { self.rows::<_, F, WHOLE, false, ROWS>(simd, tile, 0.0) }
            }),
            // SAFETY: the caller's.
            Some(threshold) => unsafe { self.rows::<S, F, false, true, 1>(simd, tile, threshold[tile.problem]) },
        })
    }

    #[inline(always)]
    fn ahead(&self, problem: usize, row: usize, col: usize, ahead: &mut Ahead) {
        ahead.push(self.h.at(problem, row, col), self.h.row_stride());
    }
}

impl EncodeTile<'_> {
    #[inline(always)]
    unsafe fn rows<S: Simd, F: Nonlinearity, const WHOLE: bool, const CUT: bool, const ROWS: usize>(
        &self,
        simd: S,
        tile: &Finished,
        threshold: f32,
    ) {
        let bias = self.bias.as_ptr().wrapping_add(tile.problem * self.n + tile.col);
        let h = self.h.at(tile.problem, tile.row, tile.col);
        let sums = self.sums.map(|sums| sums.at(tile.problem, tile.row, tile.col));
        let fresh = tile.row.is_multiple_of(REDUCE_ROWS);
        for c in columns::<S, WHOLE>(tile.cols) {
            // SAFETY: the tile's columns from `c` on are inside bias, h and sums.
            unsafe {
                let strip = Strip::new(simd, tile, c, bias);
                let n = strip.n;
                let sum = match sums {
                    Some(sums) if !fresh => load_n(simd, sums.add(c), n),
                    _ => simd.splat(0.0),
                };
                let (h, h_stride) = (h.add(c), self.h.row_stride());
                let mut hidden = Hidden { strip, h, h_stride, threshold: simd.splat(threshold), sum };
                for _ in 0..tile.rows / ROWS {
                    hidden.rows::<F, WHOLE, CUT, ROWS>();
                }
                for _ in 0..tile.rows % ROWS {
                    hidden.rows::<F, WHOLE, CUT, 1>();
                }
                if let Some(sums) = sums {
                    store_n(simd, sums.add(c), hidden.sum, n);
                }
            }
        }
    }
}

/// What becomes of a strip.
struct Hidden<S: Simd> {
    strip: Strip<S>,
    h: *mut f32,
    h_stride: usize,
    threshold: S::F,
    sum: S::F,
}

impl<S: Simd> Hidden<S> {
    /// Takes the next `R` rows.
    ///
    /// # Safety
    /// There are as many, and nobody else touches them in `h`.
    #[inline(always)]
    unsafe fn rows<F: Nonlinearity, const WHOLE: bool, const CUT: bool, const R: usize>(&mut self) {
        let simd = self.strip.simd;
        // SAFETY: the caller's.
        let z = unsafe { self.strip.rows::<WHOLE, R>() };
        for mut y in F::forward(Side::<S, R>(simd), z) {
            if CUT {
                let zero = simd.splat(0.0);
                // 0, or NaN.
                let cut = simd.add(simd.mul(y, zero), zero);
                y = simd.select(simd.gt(simd.abs(y), self.threshold), y, cut);
            }
            // SAFETY: the caller's.
            unsafe { store_n(simd, self.h, y, self.strip.n) };
            self.h = self.h.wrapping_add(self.h_stride);
            self.sum = simd.add(self.sum, y);
        }
    }
}
