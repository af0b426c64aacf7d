//! An optimiser's step on a tile of weights, given a tile of their gradient.

use super::{TileOp, columns, load_whole, side_by_side, store_n, vectorize_on};
use crate::gemm::raw::Raw;
use crate::gemm::{Ahead, Finished, Update};
use crate::isa::Isa;
use crate::math::optimizer::{Adam, By, Clipped, Formula, Momentum, Nesterov, RmsProp, Sgd};
use crate::ops::{Coefficients, Rule, UpdateVector};
use crate::simd::{Simd, Task};

/// The epilogue of [`WeightGrad`](crate::ops::WeightGrad) with an update, and the update from a stored gradient.
pub(crate) struct UpdateTile<'a> {
    /// One element a problem.
    pub(crate) by: &'a [Coefficients<f32>],
    /// Rows of the weights.
    pub(crate) m: usize,
    /// Rows after which a block is transposed: what the product hands out together.
    pub(crate) group: usize,
    pub(crate) w: Raw,
    pub(crate) w_t: Option<Raw>,
    pub(crate) first: Option<Raw>,
    pub(crate) second: Option<Raw>,
}

/// Runs `$body` with `$f` naming the formula of an update's numbers. AdamW is Adam, and Adagrad RMSprop, with other
/// coefficients.
macro_rules! with_formula {
    ($by:expr, $f:ident => $body:expr) => {
        match ($by.rule, $by.clip) {
            (Rule::Sgd, None) => with_formula!(@ $f = Sgd, $body),
            (Rule::Momentum { .. }, None) => with_formula!(@ $f = Momentum, $body),
            (Rule::Nesterov { .. }, None) => with_formula!(@ $f = Nesterov, $body),
            (Rule::RmsProp { .. } | Rule::Adagrad { .. }, None) => with_formula!(@ $f = RmsProp, $body),
            (Rule::Adam { .. } | Rule::AdamW { .. }, None) => with_formula!(@ $f = Adam, $body),
            (Rule::Sgd, Some(_)) => with_formula!(@ $f = Clipped<Sgd>, $body),
            (Rule::Momentum { .. }, Some(_)) => with_formula!(@ $f = Clipped<Momentum>, $body),
            (Rule::Nesterov { .. }, Some(_)) => with_formula!(@ $f = Clipped<Nesterov>, $body),
            (Rule::RmsProp { .. } | Rule::Adagrad { .. }, Some(_)) => with_formula!(@ $f = Clipped<RmsProp>, $body),
            (Rule::Adam { .. } | Rule::AdamW { .. }, Some(_)) => with_formula!(@ $f = Clipped<Adam>, $body),
        }
    };
    (@ $f:ident = $formula:ty, $body:expr) => {{
        type $f = $formula;
        $body
    }};
}

/// Addresses of one row of weights, gradient and state.
#[derive(Clone, Copy)]
struct Row {
    g: *const f32,
    w: *mut f32,
    m: *mut f32,
    v: *mut f32,
}

/// # Safety
/// `len` elements, or a whole vector, are readable and (all but `g`) writable behind each address that the formula uses.
#[inline(always)]
unsafe fn row<S: Simd, F: Formula, const WHOLE: bool>(by: &By<S>, at: Row, len: usize) {
    let s = by.simd;
    for c in columns::<S, WHOLE>(len) {
        let n = S::LANES.min(len - c);
        // SAFETY: the caller's.
        unsafe {
            let g = load_whole::<S, WHOLE>(s, at.g.add(c), n);
            let w = load_whole::<S, WHOLE>(s, at.w.add(c), n);
            let m = if F::FIRST { load_whole::<S, WHOLE>(s, at.m.add(c), n) } else { s.splat(0.0) };
            let v = if F::SECOND { load_whole::<S, WHOLE>(s, at.v.add(c), n) } else { s.splat(0.0) };
            let (w, m, v) = F::step(by, by.decayed(F::gradient(by, g), w), w, m, v);
            store_n(s, at.w.add(c), w, n);
            if F::FIRST {
                store_n(s, at.m.add(c), m, n);
            }
            if F::SECOND {
                store_n(s, at.v.add(c), v, n);
            }
        }
    }
}

impl TileOp for UpdateTile<'_> {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, simd: S, tile: &Finished) {
        let numbers = &self.by[tile.problem];
        side_by_side!(simd, tile, self.is_padded(), WHOLE => {
            let by = By::new(simd, numbers);
            // SAFETY: the caller's.
            with_formula!(numbers, F => unsafe { self.rows::<_, F, WHOLE>(&by, tile) });
        });
        // SAFETY: the tile has just been updated; the rest is the caller's.
        unsafe { self.updated(simd, tile) };
    }

    #[inline(always)]
    fn update(&self, problem: usize, row: usize, col: usize, panel: usize) -> Option<Update> {
        let by = &self.by[problem];
        let adam = matches!((by.rule, by.clip), (Rule::Adam { .. } | Rule::AdamW { .. }, None));
        let state = [&self.w, self.first.as_ref()?, self.second.as_ref()?];
        let in_panels = state.iter().all(|matrix| matrix.row_stride() == panel);
        (adam && in_panels).then(|| Update::new(state.map(|matrix| matrix.at(problem, row, col)), by))
    }

    #[inline(always)]
    unsafe fn updated<S: Simd>(&self, simd: S, tile: &Finished) {
        let end = tile.row + tile.rows;
        if let Some(w_t) = self.w_t
            && (end.is_multiple_of(self.group) || end == self.m)
        {
            let start = (end - 1) / self.group * self.group;
            // SAFETY: the rows from `start` on have been updated by the tiles before this one, on this thread.
            unsafe { self.transpose(simd, w_t, tile, start, end) };
        }
    }

    #[inline(always)]
    fn ahead(&self, problem: usize, row: usize, col: usize, ahead: &mut Ahead) {
        for matrix in [Some(&self.w), self.first.as_ref(), self.second.as_ref()].into_iter().flatten() {
            ahead.push(matrix.at(problem, row, col), matrix.row_stride());
        }
        if let Some(w_t) = &self.w_t {
            // Of the block that is transposed at the end of the group, as much as the tile is of the group.
            let in_group = (row as u32) % (self.group as u32);
            let start = row - in_group as usize;
            let (down, across) =
                ((in_group % ahead.width() as u32) as usize, (in_group / ahead.width() as u32) as usize);
            ahead.push(w_t.at(problem, col + down, start + across * ahead.width()), w_t.row_stride());
        }
    }
}

impl UpdateTile<'_> {
    #[inline(always)]
    fn is_padded(&self) -> bool {
        [Some(self.w), self.first, self.second].into_iter().flatten().all(|matrix| matrix.is_padded())
    }

    #[inline(always)]
    unsafe fn rows<S: Simd, F: Formula, const WHOLE: bool>(&self, by: &By<S>, tile: &Finished) {
        let at = |matrix: Option<Raw>, r: usize| {
            matrix.map_or(std::ptr::null_mut(), |matrix| {
                matrix.at(tile.problem, tile.row, tile.col).wrapping_add(r * matrix.row_stride())
            })
        };
        for r in 0..tile.rows {
            let g = tile.z.wrapping_add(r * tile.z_stride);
            let here = Row { g, w: at(Some(self.w), r), m: at(self.first, r), v: at(self.second, r) };
            // SAFETY: the tile is inside every matrix; the door has checked that the rule's state is there.
            unsafe { row::<S, F, WHOLE>(by, here, tile.cols) };
        }
    }

    /// Refreshes `w_t` from rows `start..end` of the tile's columns of `w`.
    #[inline(always)]
    unsafe fn transpose<S: Simd>(&self, simd: S, w_t: Raw, tile: &Finished, start: usize, end: usize) {
        let lanes = S::LANES;
        let src = self.w.at(tile.problem, start, tile.col).cast_const();
        let dst = w_t.at(tile.problem, tile.col, start);
        let (src_stride, dst_stride) = (self.w.row_stride(), w_t.row_stride());
        let rows = end - start;
        for c in (0..tile.cols).step_by(lanes) {
            for r in (0..rows).step_by(lanes) {
                let (src, dst) = (src.wrapping_add(r * src_stride + c), dst.wrapping_add(c * dst_stride + r));
                // SAFETY: the block is inside both matrices: a group of rows lies in one panel of `w_t`.
                unsafe {
                    if r + lanes <= rows && c + lanes <= tile.cols {
                        simd.transpose(src, src_stride, dst, dst_stride);
                    } else {
                        for i in 0..lanes.min(rows - r) {
                            for j in 0..lanes.min(tile.cols - c) {
                                *dst.add(j * dst_stride + i) = *src.add(i * src_stride + j);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One problem's vector.
struct UpdateSlice<'a> {
    at: Row,
    len: usize,
    by: &'a Coefficients<f32>,
}

impl Task for UpdateSlice<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let by = By::new(simd, self.by);
        // SAFETY: whoever made this task has the vectors.
        with_formula!(self.by, F => unsafe { row::<S, F, false>(&by, self.at, self.len) });
    }
}

/// Carries out an [`UpdateVector`] that passed the door; `len` is the length of one problem's vector.
pub(crate) fn update_slice(isa: Isa, op: UpdateVector<'_>, len: usize) {
    let null = std::ptr::null_mut();
    let all = Row {
        g: op.grad.as_ptr(),
        w: op.w.as_mut_ptr(),
        m: op.m.map_or(null, |m| m.as_mut_ptr()),
        v: op.v.map_or(null, |v| v.as_mut_ptr()),
    };
    for (problem, hyper) in op.hyper.iter().enumerate() {
        // The door has checked that all are `len` a problem long, and that the rules' state is there.
        let from = problem * len;
        let at = Row {
            g: all.g.wrapping_add(from),
            w: all.w.wrapping_add(from),
            m: all.m.wrapping_add(from),
            v: all.v.wrapping_add(from),
        };
        vectorize_on(isa, UpdateSlice { at, len, by: &hyper.coefficients() });
    }
}
