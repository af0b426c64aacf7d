//! The product of the matrixmultiply crate, split over the threads of the rayon pool.

use super::BackendKind;
use super::unfused::{Multiply, Sgemm};
use crate::ops::Form;
use crate::pool;

/// `matrixmultiply::sgemm`.
#[derive(Debug)]
pub(super) struct MatrixMultiply;

/// Multiply-adds below which a product stays on the thread it is on.
const SPLIT_WORK: usize = 1 << 20;

struct Split(Sgemm);

// SAFETY: parts write disjoint rows or columns of `c`; `a` and `b` are only read.
unsafe impl Sync for Split {}

impl Multiply for MatrixMultiply {
    const KIND: BackendKind = BackendKind::MatrixMultiply;

    unsafe fn sgemm(&mut self, op: Sgemm) {
        let work = op.m.saturating_mul(op.n).saturating_mul(op.k);
        let slots = if work < SPLIT_WORK { 1 } else { pool::threads() };
        let by_rows = op.m >= op.n;
        let len = if by_rows { op.m } else { op.n };
        // Multiples of the crate's own tile.
        let part = len.div_ceil(slots).next_multiple_of(16);
        let split = Split(op);
        pool::for_each(slots, len.div_ceil(part), &|_, i| {
            let op = split.op();
            let (at, len) = (i * part, part.min(len - i * part));
            let (a_row, a_col) = match op.form {
                Form::Nn => (op.lda, 1),
                Form::Tn => (1, op.lda),
            };
            let (row, col, m, n) = if by_rows { (at, 0, len, op.n) } else { (0, at, op.m, len) };
            let beta = if op.accumulate { 1.0 } else { 0.0 };
            // SAFETY: the caller's: the part lies inside the operands.
            unsafe {
                matrixmultiply::sgemm(
                    m,
                    op.k,
                    n,
                    1.0,
                    op.a.add(row * a_row),
                    a_row as isize,
                    a_col as isize,
                    op.b.add(col),
                    op.ldb as isize,
                    1,
                    beta,
                    op.c.add(row * op.ldc + col),
                    op.ldc as isize,
                    1,
                );
            }
        });
    }
}

impl Split {
    fn op(&self) -> &Sgemm {
        &self.0
    }
}
