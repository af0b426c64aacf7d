//! The door for somebody else's product: whoever multiplies row-major matrices becomes a whole backend.

use super::BackendKind;
use crate::ops::Form;

/// One product `c = a·b` or `aᵀ·b`, or the same added to `c`, of row-major matrices. Element (r, s) of a matrix with
/// stride `ld` is at `r·ld + s` of its slice.
///
/// Only this crate makes one, and the slices have every element that the shapes name: implementors that call foreign
/// code may rely on it. None of m, n, k is 0.
#[derive(Debug)]
pub struct Sgemm<'a> {
    pub(super) form: Form,
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) a: &'a [f32],
    pub(super) lda: usize,
    pub(super) b: &'a [f32],
    pub(super) ldb: usize,
    pub(super) accumulate: bool,
    pub(super) c: &'a mut [f32],
    pub(super) ldc: usize,
}

impl Sgemm<'_> {
    /// Whether `a` is `[m, k]` (NN) or `[k, m]` (TN).
    pub const fn form(&self) -> Form {
        self.form
    }

    /// m, n, k.
    pub const fn dims(&self) -> [usize; 3] {
        [self.m, self.n, self.k]
    }

    /// The left factor, the right factor `[k, n]` and the result `[m, n]`, each with its stride. What lies between the
    /// rows of the result is not to be written.
    pub const fn operands(&mut self) -> Operands<'_> {
        ((self.a, self.lda), (self.b, self.ldb), (self.c, self.ldc))
    }

    /// Whether to add to `c`, or to overwrite it unread.
    pub const fn accumulate(&self) -> bool {
        self.accumulate
    }
}

/// `a`, `b` and `c` of a product: the elements of each, and the stride of its rows.
pub type Operands<'s> = ((&'s [f32], usize), (&'s [f32], usize), (&'s mut [f32], usize));

/// Somebody's product, from which [`Unfused`](super::Unfused) makes a backend.
///
/// ```
/// use sae_kernels::ops::{Form, Gemm};
/// use sae_kernels::{Backend, MatMut, MatRef, Product, Sgemm, Unfused};
///
/// /// Three loops.
/// struct Loops;
///
/// impl Product for Loops {
///     fn sgemm(&mut self, mut op: Sgemm<'_>) {
///         let ([m, n, k], form, add) = (op.dims(), op.form(), op.accumulate());
///         let ((a, lda), (b, ldb), (c, ldc)) = op.operands();
///         for i in 0..m {
///             for j in 0..n {
///                 let left = |l| if form == Form::Nn { a[i * lda + l] } else { a[l * lda + i] };
///                 let sum: f32 = (0..k).map(|l| left(l) * b[l * ldb + j]).sum();
///                 c[i * ldc + j] = if add { c[i * ldc + j] + sum } else { sum };
///             }
///         }
///     }
/// }
///
/// let (a, b, mut c) = ([1.0, 2.0], [3.0, 4.0], [0.0]);
/// Unfused::new(Loops)?.gemm(Gemm {
///     form: Form::Nn,
///     a: MatRef::row_major(&a, 1, 2)?,
///     b: MatRef::row_major(&b, 2, 1)?,
///     c: MatMut::row_major(&mut c, 1, 1)?,
///     accumulate: false,
/// })?;
/// assert_eq!(c, [11.0]);
/// # Ok::<(), sae_kernels::Error>(())
/// ```
pub trait Product: Send {
    /// What the backend says it is.
    fn kind(&self) -> BackendKind {
        BackendKind::Product
    }

    /// The largest dimension or stride it can be told.
    fn max_dim(&self) -> usize {
        isize::MAX as usize
    }

    /// Multiplies, on as many threads as the rayon pool it is called in has.
    fn sgemm(&mut self, op: Sgemm<'_>);
}
