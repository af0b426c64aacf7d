//! Sums over rows whose bits depend on nothing but the numbers.
//!
//! Rows are added one after the other inside a block of [`REDUCE_ROWS`], in f32, each column a chain of its own; the
//! blocks' sums are added one after the other in f64 and rounded once. Tiles, vector widths and threads do not show.

use crate::matrix::AlignedVec;
use crate::ops::REDUCE_ROWS;
use crate::ops::check::Dims;

/// The blocks' sums of one product: `[batch, blocks, n]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partials {
    ptr: *mut f32,
    blocks: usize,
    n: usize,
}

// SAFETY: an address; epilogues keep their blocks and columns apart.
unsafe impl Send for Partials {}
// SAFETY: as above.
unsafe impl Sync for Partials {}

impl Partials {
    /// Address of the sums for the block of `row`, at `col`.
    #[inline(always)]
    pub(crate) fn at(&self, problem: usize, row: usize, col: usize) -> *mut f32 {
        self.ptr.wrapping_add((problem * self.blocks + row / REDUCE_ROWS) * self.n + col)
    }
}

/// Memory for partial sums. Grows to what the largest product has needed.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    data: AlignedVec<f32>,
    blocks: usize,
    n: usize,
}

impl Sums {
    /// Room for the sums of a product's columns.
    pub(crate) fn partials(&mut self, dims: Dims) -> Partials {
        self.blocks = dims.m.div_ceil(REDUCE_ROWS);
        self.n = dims.n;
        let len = self.n * self.blocks * dims.batch;
        if self.data.len() < len {
            self.data = AlignedVec::zeros(len);
        }
        Partials { ptr: self.data.as_mut_ptr(), blocks: self.blocks, n: self.n }
    }

    fn block(&self, problem: usize, block: usize) -> &[f32] {
        &self.data[(problem * self.blocks + block) * self.n..][..self.n]
    }

    /// The column sums, problem after problem.
    pub(crate) fn columns_into(&self, out: &mut [f32]) {
        /// Columns whose totals fit the first-level cache.
        const STRIP: usize = 256;
        if self.n == 0 {
            return;
        }
        for (problem, out) in out.chunks_exact_mut(self.n).enumerate() {
            for (at, out) in out.chunks_mut(STRIP).enumerate() {
                let mut totals = [0.0f64; STRIP];
                for block in 0..self.blocks {
                    let part = &self.block(problem, block)[at * STRIP..][..out.len()];
                    totals.iter_mut().zip(part).for_each(|(total, &x)| *total += f64::from(x));
                }
                out.iter_mut().zip(totals).for_each(|(out, total)| *out = total as f32);
            }
        }
    }

    /// The sum of everything in one problem: columns in a block, then blocks.
    pub(crate) fn total(&self, problem: usize) -> f64 {
        (0..self.blocks).map(|block| self.block(problem, block).iter().map(|&x| f64::from(x)).sum::<f64>()).sum()
    }
}
