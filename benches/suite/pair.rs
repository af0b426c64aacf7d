//! A plain product, and the same one with all that follows it in `encode`.

use sae_kernels::ops::{Activation, Encode, Form, Gemm};
use sae_kernels::{Backend, BackendKind, Matrix, backend};

use crate::operands::Source;

/// Rows and columns of the result.
pub(crate) const M: usize = 1024;
pub(crate) const N: usize = 1024;
/// Steps of the products.
pub(crate) const K: [usize; 3] = [256, 784, 2048];
const FITS: &str = "the operands have one shape";

pub(crate) struct Pair {
    backend: Box<dyn Backend>,
    x: Matrix,
    w: Matrix,
    bias: Vec<f32>,
    h: Matrix,
    sums: Vec<f32>,
}

impl Pair {
    pub(crate) fn new(k: usize, panels: bool) -> Self {
        let backend = backend(BackendKind::Fused).expect("an instruction set of this machine");
        let mut source = Source::new(backend.panel().filter(|_| panels));
        Self {
            x: source.matrix(M, k, 0.01, 1.0),
            w: source.weights(k, N),
            bias: source.vector(N, -0.1, 0.1),
            h: source.zeros(M, N),
            sums: vec![0.0; N],
            backend,
        }
    }

    pub(crate) fn plain(&mut self) {
        let (a, b, c) = (self.x.view(), self.w.view(), self.h.view_mut());
        self.backend.gemm(Gemm { form: Form::Nn, a, b, c, accumulate: false }).expect(FITS);
    }

    pub(crate) fn encode(&mut self) {
        let op = Encode {
            threshold: None,
            x: self.x.view(),
            w: self.w.view(),
            bias: &self.bias,
            activation: Activation::Sigmoid,
            h: self.h.view_mut(),
            col_sums: Some(&mut self.sums),
        };
        self.backend.encode(op).expect(FITS);
    }
}
