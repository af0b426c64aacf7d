//! The product of the system's OpenBLAS, on as many threads as the rayon pool has.

use std::ffi::{CStr, c_char, c_int};

use cblas_sys::{CBLAS_LAYOUT, CBLAS_TRANSPOSE, cblas_sgemm};

// Links the library that the two crates name.
use blas_src as _;
use openblas_src as _;

use super::BackendKind;
use super::product::{Product, Sgemm};
use crate::ops::Form;
use crate::pool;

unsafe extern "C" {
    fn openblas_set_num_threads(threads: c_int);
    fn openblas_get_config() -> *const c_char;
}

/// `cblas_sgemm`.
#[derive(Debug)]
pub(super) struct OpenBlas;

/// What OpenBLAS says of its own build.
pub(crate) fn config() -> String {
    // SAFETY: returns a static string.
    unsafe { CStr::from_ptr(openblas_get_config()) }.to_string_lossy().into_owned()
}

fn int(what: usize) -> c_int {
    c_int::try_from(what).expect("the door refuses matrices beyond BLAS's index range")
}

impl Product for OpenBlas {
    fn kind(&self) -> BackendKind {
        BackendKind::OpenBlas
    }

    fn max_dim(&self) -> usize {
        c_int::MAX as usize
    }

    fn sgemm(&mut self, op: Sgemm<'_>) {
        let trans_a = match op.form {
            Form::Nn => CBLAS_TRANSPOSE::CblasNoTrans,
            Form::Tn => CBLAS_TRANSPOSE::CblasTrans,
        };
        let beta = if op.accumulate { 1.0 } else { 0.0 };
        // SAFETY: `Sgemm` holds the operands over their shapes; OpenBLAS may be called from any thread.
        unsafe {
            openblas_set_num_threads(int(pool::threads()));
            cblas_sgemm(
                CBLAS_LAYOUT::CblasRowMajor,
                trans_a,
                CBLAS_TRANSPOSE::CblasNoTrans,
                int(op.m),
                int(op.n),
                int(op.k),
                1.0,
                op.a.as_ptr(),
                int(op.lda),
                op.b.as_ptr(),
                int(op.ldb),
                beta,
                op.c.as_mut_ptr(),
                int(op.ldc),
            );
        }
    }
}
