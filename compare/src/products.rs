//! Other libraries' products.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use gemmkit::Parallelism;
use sae_kernels::ops::{Form, Gemm};
use sae_kernels::{Backend, Fused, Layout, Naive, Product, Sgemm};

/// `faer::linalg::matmul`.
pub(crate) struct Faer;

impl Product for Faer {
    fn sgemm(&mut self, mut op: Sgemm<'_>) {
        let ([m, n, k], form) = (op.dims(), op.form());
        let accumulate = if op.accumulate() { Accum::Add } else { Accum::Replace };
        let ((a, lda), (b, ldb), (c, ldc)) = op.operands();
        let a = match form {
            Form::Nn => MatRef::from_row_major_slice_with_stride(a, m, k, lda),
            Form::Tn => MatRef::from_row_major_slice_with_stride(a, k, m, lda).transpose(),
        };
        let b = MatRef::from_row_major_slice_with_stride(b, k, n, ldb);
        // By columns and transposed: `from_row_major_slice_with_stride_mut` of faer 0.24 swaps its strides.
        let c = MatMut::from_column_major_slice_with_stride_mut(c, n, m, ldc).transpose_mut();
        let par = match rayon::current_num_threads() {
            1 => Par::Seq,
            threads => Par::rayon(threads),
        };
        matmul(c, accumulate, a, b, 1.0, par);
    }
}

/// `gemm::gemm`.
pub(crate) struct GemmCrate;

impl Product for GemmCrate {
    fn sgemm(&mut self, mut op: Sgemm<'_>) {
        let ([m, n, k], form, accumulate) = (op.dims(), op.form(), op.accumulate());
        let ((a, lda), (b, ldb), (c, ldc)) = op.operands();
        let (a_rows, a_cols) = if form == Form::Nn { (lda, 1) } else { (1, lda) };
        let parallelism = match rayon::current_num_threads() {
            1 => gemm::Parallelism::None,
            threads => gemm::Parallelism::Rayon(threads),
        };
        // SAFETY: `Sgemm` holds each operand over its shape and stride, and `c` alone.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.as_mut_ptr(),
                1,
                ldc as isize,
                accumulate,
                a.as_ptr(),
                a_cols as isize,
                a_rows as isize,
                b.as_ptr(),
                1,
                ldb as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

/// `gemmkit::gemm`.
pub(crate) struct Gemmkit;

impl Product for Gemmkit {
    fn sgemm(&mut self, mut op: Sgemm<'_>) {
        let ([m, n, k], form) = (op.dims(), op.form());
        let beta = if op.accumulate() { 1.0 } else { 0.0 };
        let ((a, lda), (b, ldb), (c, ldc)) = op.operands();
        let (a_rows, a_cols) = if form == Form::Nn { (lda, 1) } else { (1, lda) };
        let parallelism = match rayon::current_num_threads() {
            1 => Parallelism::Serial,
            threads => Parallelism::Rayon(threads),
        };
        gemmkit::gemm(
            1.0,
            gemmkit::MatRef::new(a, m, k, a_rows as isize, a_cols as isize),
            gemmkit::MatRef::new(b, k, n, ldb as isize, 1),
            beta,
            gemmkit::MatMut::new(c, m, n, ldc as isize, 1),
            parallelism,
        );
    }
}

/// Small products, and such as are raced: m, n, k, and the gap between rows.
const SIZES: [[usize; 4]; 8] = [
    [1, 1, 1, 0],
    [7, 5, 3, 0],
    [65, 33, 70, 3],
    [130, 97, 300, 16],
    [1000, 25, 64, 0],
    [64, 25, 1000, 0],
    [784, 196, 64, 0],
    [257, 1023, 785, 0],
];

/// Where a backend's product is wrong, in both forms, added and not.
pub(crate) fn first_error(backend: &mut dyn Backend) -> Option<String> {
    // Proven against plain loops, which would take minutes here.
    let mut fused = match Fused::new() {
        Ok(fused) => fused,
        Err(error) => return Some(error.to_string()),
    };
    for [m, n, k, gap] in SIZES {
        for (form, accumulate) in [(Form::Nn, false), (Form::Tn, false), (Form::Nn, true), (Form::Tn, true)] {
            let [a_rows, a_cols] = if form == Form::Nn { [m, k] } else { [k, m] };
            let layout =
                |rows, cols| Layout::row_major_ld(rows, cols, cols + gap).expect("the gap is behind the columns");
            let [la, lb, lc] = [layout(a_rows, a_cols), layout(k, n), layout(m, n)];
            let data = |layout: Layout, seed: usize| -> Vec<f32> {
                let len = layout.len().expect("small");
                (0..len).map(|i| ((i * 7919 + seed) % 1009) as f32 / 504.5 - 1.0).collect()
            };
            let (a, b, mut c) = (data(la, 1), data(lb, 2), data(lc, 3));
            let mut expected = c.clone();
            let run = |backend: &mut dyn Backend, c: &mut [f32]| {
                let (a, b) = (sae_kernels::MatRef::new(&a, la)?, sae_kernels::MatRef::new(&b, lb)?);
                backend.gemm(Gemm { form, a, b, c: sae_kernels::MatMut::new(c, lc)?, accumulate })
            };
            let reference: &mut dyn Backend = if m * n * k > 1 << 22 { &mut fused } else { &mut Naive };
            if let Err(error) = run(backend, &mut c).and_then(|()| run(reference, &mut expected)) {
                return Some(error.to_string());
            }
            // Both err by at most γ_(k+1)·(k + 1) with terms of at most 1; gaps are not written at all.
            let bound = 2.0 * ((k + 2) * (k + 1)) as f32 * 2f32.powi(-24);
            for (i, (got, want)) in c.iter().zip(&expected).enumerate() {
                // Also where it is NaN.
                let within = (got - want).abs() <= bound;
                if !within {
                    return Some(format!(
                        "{form:?} product, m {m}, n {n}, k {k}: element {i} is {got}, expected {want}"
                    ));
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use sae_kernels::Unfused;

    use super::*;

    #[test]
    fn every_product_multiplies_both_forms_with_and_without_adding() {
        assert_eq!(first_error(&mut Unfused::new(Faer).unwrap()), None);
        assert_eq!(first_error(&mut Unfused::new(GemmCrate).unwrap()), None);
        assert_eq!(first_error(&mut Unfused::new(Gemmkit).unwrap()), None);
    }

    #[test]
    fn a_wrong_product_is_found() {
        /// Forgets its last column.
        struct Short;
        impl Product for Short {
            fn sgemm(&mut self, mut op: Sgemm<'_>) {
                let ([m, n, _], (_, _, (c, ldc))) = (op.dims(), op.operands());
                (0..m).for_each(|i| c[i * ldc..i * ldc + n - 1].fill(0.0));
            }
        }
        assert!(first_error(&mut Unfused::new(Short).unwrap()).is_some());
    }
}
