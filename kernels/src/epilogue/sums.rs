//! Sums over rows whose bits depend on nothing but the numbers.
//!
//! Rows are added one after the other inside a block of [`REDUCE_ROWS`], in f32, each column a chain of its own; the
//! blocks' sums are added one after the other in f64 and rounded once. Tiles, vector widths and threads do not show.

use std::marker::PhantomData;

use super::{load_n, store_n, vectorize_on};
use crate::gemm::raw::Raw;
use crate::isa::Isa;
use crate::matrix::AlignedVec;
use crate::ops::REDUCE_ROWS;
use crate::ops::check::Dims;
use crate::pool;
use crate::simd::{Simd, Task};
use crate::view::MatRef;

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

    /// The sum of everything in one problem: columns modulo [`CHAINS`] in a block, then chains, then blocks.
    pub(crate) fn total(&self, problem: usize) -> f64 {
        let of_block = |block: usize| {
            let mut chains = [0.0; CHAINS];
            for part in self.block(problem, block).chunks(CHAINS) {
                chains.iter_mut().zip(part).for_each(|(chain, &x)| *chain += f64::from(x));
            }
            chains.into_iter().sum::<f64>()
        };
        (0..self.blocks).map(of_block).sum()
    }
}

/// Sums that a total keeps in flight.
const CHAINS: usize = 8;

/// `Σ w²`, problem after problem into `out`: each column's squares summed as any column of a product.
pub(crate) fn sum_of_squares(isa: Isa, w: MatRef<'_>, sums: &mut Sums, out: &mut [f64]) {
    let layout = w.layout();
    if layout.is_empty() {
        return out.fill(0.0);
    }
    let dims = Dims { batch: layout.batch(), m: layout.rows(), n: layout.cols(), k: 0 };
    sums.fill::<Squares>(isa, Raw::read(w), dims);
    out.iter_mut().enumerate().for_each(|(problem, out)| *out = sums.total(problem));
}

/// `Σ_r h[r, c]`, problem after problem into `out`, of a matrix that has rows and columns.
pub(crate) fn column_sums(isa: Isa, h: Raw, dims: Dims, sums: &mut Sums, out: &mut [f32]) {
    sums.fill::<Values>(isa, h, dims);
    sums.columns_into(out);
}

/// Columns of a row-major matrix that are summed together.
const ROW_MAJOR_STRIP: usize = 64;
/// Elements below which the sum stays on the thread it is on.
const SPLIT_WORK: usize = 1 << 16;

impl Sums {
    /// The sums of every block of rows of a matrix in memory.
    fn fill<Q: Term>(&mut self, isa: Isa, matrix: Raw, dims: Dims) {
        let Dims { batch, m, n, .. } = dims;
        let partials = self.partials(dims);
        let width = if matrix.is_row_major() { ROW_MAJOR_STRIP } else { matrix.run() };
        let (strips, blocks) = (n.div_ceil(width), m.div_ceil(REDUCE_ROWS));
        let slots = pool::threads_for([batch, m, n], SPLIT_WORK);
        pool::for_each(slots, batch * blocks * strips, &|_, unit| {
            let (rest, strip) = (unit / strips, unit % strips);
            let (problem, row, col) = (rest / blocks, rest % blocks * REDUCE_ROWS, strip * width);
            let (rows, cols) = (REDUCE_ROWS.min(m - row), width.min(n - col));
            let (at, stride) = (matrix.at(problem, row, col).cast_const(), matrix.row_stride());
            let sums = partials.at(problem, row, col);
            vectorize_on(isa, Block { at, stride, rows, cols, sums, term: PhantomData::<Q> });
        });
    }
}

/// What is summed of an element.
trait Term {
    fn add<S: Simd>(simd: S, v: S::F, sum: S::F) -> S::F;
}

struct Values;
struct Squares;

impl Term for Values {
    #[inline(always)]
    fn add<S: Simd>(simd: S, v: S::F, sum: S::F) -> S::F {
        simd.add(sum, v)
    }
}

impl Term for Squares {
    #[inline(always)]
    fn add<S: Simd>(simd: S, v: S::F, sum: S::F) -> S::F {
        simd.mul_add(v, v, sum)
    }
}

/// One block of rows of some columns: `sums[c] = Σ_r term(at[r, c])`.
struct Block<Q> {
    at: *const f32,
    stride: usize,
    rows: usize,
    cols: usize,
    sums: *mut f32,
    term: PhantomData<Q>,
}

impl<Q: Term> Task for Block<Q> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for c in (0..self.cols).step_by(S::LANES) {
            let n = S::LANES.min(self.cols - c);
            let mut sum = simd.splat(0.0);
            for r in 0..self.rows {
                // SAFETY: the block is inside the matrix, and `n` columns from `c` inside the block.
                let v = unsafe { load_n(simd, self.at.add(r * self.stride + c), n) };
                sum = Q::add(simd, v, sum);
            }
            // SAFETY: one sum a column.
            unsafe { store_n(simd, self.sums.add(c), sum, n) };
        }
    }
}
