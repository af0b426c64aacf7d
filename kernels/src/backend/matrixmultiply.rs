//! The product of the matrixmultiply crate, split over the threads of the rayon pool.

use super::BackendKind;
use super::product::{Product, Sgemm};
use crate::ops::Form;
use crate::pool;

/// `matrixmultiply::sgemm`.
#[derive(Debug)]
pub(super) struct MatrixMultiply;

/// Multiply-adds below which a product stays on the thread it is on.
const SPLIT_WORK: usize = 1 << 20;

/// Where the three matrices lie.
#[derive(Clone, Copy)]
struct Places {
    a: *const f32,
    b: *const f32,
    c: *mut f32,
}

// SAFETY: parts write disjoint rows or columns of `c`; `a` and `b` are only read.
unsafe impl Sync for Places {}

impl Places {
    /// As one, so that a closure takes them as one.
    fn all(&self) -> Self {
        *self
    }
}

impl Product for MatrixMultiply {
    fn kind(&self) -> BackendKind {
        BackendKind::MatrixMultiply
    }

    fn sgemm(&mut self, op: Sgemm<'_>) {
        let Sgemm { form, m, n, k, a, lda, b, ldb, accumulate, c, ldc } = op;
        let slots = pool::threads_for([m, n, k], SPLIT_WORK);
        let by_rows = m >= n;
        let len = if by_rows { m } else { n };
        // Multiples of the crate's own tile.
        let part = len.div_ceil(slots).next_multiple_of(16);
        let (a_row, a_col) = match form {
            Form::Nn => (lda, 1),
            Form::Tn => (1, lda),
        };
        let beta = if accumulate { 1.0 } else { 0.0 };
        let places = Places { a: a.as_ptr(), b: b.as_ptr(), c: c.as_mut_ptr() };
        pool::for_each(slots, len.div_ceil(part), &|_, i| {
            let (at, len) = (i * part, part.min(len - i * part));
            let (row, col, m, n) = if by_rows { (at, 0, len, n) } else { (0, at, m, len) };
            let Places { a, b, c } = places.all();
            // SAFETY: the part lies inside the operands, which `Sgemm` holds over their shapes.
            unsafe {
                matrixmultiply::sgemm(
                    m,
                    k,
                    n,
                    1.0,
                    a.add(row * a_row),
                    a_row as isize,
                    a_col as isize,
                    b.add(col),
                    ldb as isize,
                    1,
                    beta,
                    c.add(row * ldc + col),
                    ldc as isize,
                    1,
                );
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, Naive, Unfused};
    use crate::layout::Layout;
    use crate::ops::Gemm;
    use crate::view::{MatMut, MatRef};

    #[test]
    fn threads_share_rows_or_columns_and_nothing_behind_them() {
        // Room behind each operand for a last part that is not cut short.
        const ROOM: usize = 64;
        const CANARY: f32 = 12345.0;
        let whole = |len: usize, by: usize| (0..len).map(|i| (i * by % 7) as f32 - 3.0).collect::<Vec<_>>();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        // Three parts of 48, 48 and 4.
        for (form, m, n) in [Form::Nn, Form::Tn].into_iter().flat_map(|form| [(form, 100, 70), (form, 70, 100)]) {
            let k = 160;
            assert!(m * n * k >= SPLIT_WORK);
            let (a_rows, a_cols) = if form == Form::Nn { (m, k) } else { (k, m) };
            let a = whole((a_rows + ROOM) * (a_cols + ROOM), 3);
            let b = whole(k * (n + ROOM), 5);
            let gemm = |backend: &mut dyn Backend| {
                let mut c = vec![CANARY; (m + ROOM) * (n + ROOM)];
                let a = MatRef::new(&a, Layout::row_major_ld(a_rows, a_cols, a_cols + ROOM).unwrap());
                let b = MatRef::new(&b, Layout::row_major_ld(k, n, n + ROOM).unwrap());
                let to = MatMut::new(&mut c, Layout::row_major_ld(m, n, n + ROOM).unwrap());
                let op = Gemm { form, a: a.unwrap(), b: b.unwrap(), c: to.unwrap(), accumulate: false };
                backend.gemm(op).unwrap();
                c
            };
            let expected = gemm(&mut Naive);
            let found = pool.install(|| gemm(&mut Unfused::new(MatrixMultiply).unwrap()));
            // Sums of small integers are exact.
            assert_eq!(found, expected, "{form:?} {m} x {n}");
        }
    }
}
