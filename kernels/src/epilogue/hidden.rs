//! `delta_hid = (z ⊙ gate + row_term + l1·sign h) ⊙ f'(h)` and its column sums.

use super::{Nonlinearity, Partials, TileOp, columns, load_n, load_whole, side_by_side, store_n, with_nonlinearity};
use crate::gemm::raw::Raw;
use crate::gemm::{Ahead, Finished};
use crate::ops::{Activation, REDUCE_ROWS};
use crate::simd::Simd;

/// The epilogue of [`HiddenDelta`](crate::ops::HiddenDelta).
pub(crate) struct HiddenTile<'a> {
    pub(crate) n: usize,
    pub(crate) activation: Activation,
    pub(crate) h: Raw,
    pub(crate) support: bool,
    pub(crate) gate: Option<Raw>,
    pub(crate) row_term: Option<&'a [f32]>,
    pub(crate) l1: Option<&'a [f32]>,
    pub(crate) delta_hid: Raw,
    pub(crate) sums: Option<Partials>,
}

impl TileOp for HiddenTile<'_> {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, simd: S, tile: &Finished) {
        with_nonlinearity!(self.activation, F => match self.support || self.gate.is_some() {
            false => side_by_side!(simd, tile, self.h.is_padded(), WHOLE => {
                // SAFETY: the caller's.
                unsafe { self.rows::<_, F, WHOLE, false>(simd, tile) }
            }),
            // SAFETY: the caller's.
            true => unsafe { self.rows::<S, F, false, true>(simd, tile) },
        })
    }

    #[inline(always)]
    fn ahead(&self, problem: usize, row: usize, col: usize, ahead: &mut Ahead) {
        ahead.push(self.h.at(problem, row, col), self.h.row_stride());
        ahead.push(self.delta_hid.at(problem, row, col), self.delta_hid.row_stride());
    }
}

impl HiddenTile<'_> {
    #[inline(always)]
    unsafe fn rows<S: Simd, F: Nonlinearity, const WHOLE: bool, const GATED: bool>(&self, simd: S, tile: &Finished) {
        let &Finished { problem, row, col, .. } = tile;
        let h = self.h.at(problem, row, col).cast_const();
        let delta = self.delta_hid.at(problem, row, col);
        let row_term = self.row_term.map(|term| term.as_ptr().wrapping_add(problem * self.n + col));
        let sums = self.sums.map(|sums| sums.at(problem, row, col));
        let gate = self.gate.map(|gate| (gate.at(problem, row, col).cast_const(), gate.row_stride()));
        let fresh = row % REDUCE_ROWS == 0;
        let l1 = self.l1.map_or(0.0, |l1| l1[problem]);
        let zero = simd.splat(0.0);
        for c in columns::<S, WHOLE>(tile.cols) {
            let n = S::LANES.min(tile.cols - c);
            // SAFETY: `n` columns of this tile from `c` are inside every operand.
            unsafe {
                let term = match row_term {
                    Some(term) => load_n(simd, term.add(c), n),
                    None => zero,
                };
                let mut sum = match sums {
                    Some(sums) if !fresh => load_n(simd, sums.add(c), n),
                    _ => zero,
                };
                let room = tile.room(S::LANES, n);
                for r in 0..tile.rows {
                    let y = load_whole::<S, WHOLE>(simd, h.add(r * self.h.row_stride() + c), n);
                    let mut z = load_whole::<S, WHOLE>(simd, tile.z.add(r * tile.z_stride + c), room);
                    if GATED && let Some((gate, stride)) = gate {
                        z = simd.mul(z, load_n(simd, gate.add(r * stride + c), n));
                    }
                    let mut d = simd.add(z, term);
                    if l1 != 0.0 {
                        // Neither above nor below 0: 0, or NaN.
                        let level = simd.mul(y, zero);
                        let down = simd.select(simd.lt(y, zero), simd.splat(-l1), level);
                        d = simd.add(d, simd.select(simd.gt(y, zero), simd.splat(l1), down));
                    }
                    let mut d = F::backward(simd, d, y);
                    if GATED && self.support {
                        // Neither above nor below 0: 0, or NaN.
                        let off = simd.mul(y, zero);
                        d = simd.select(simd.gt(simd.abs(y), zero), d, off);
                    }
                    store_n(simd, delta.add(r * self.delta_hid.row_stride() + c), d, n);
                    sum = simd.add(sum, d);
                }
                if let Some(sums) = sums {
                    store_n(simd, sums.add(c), sum, n);
                }
            }
        }
    }
}
