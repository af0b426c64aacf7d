//! The operations of a step, each with all that follows its product: two layers of sigmoids, squared error, Adam.

use criterion::{BenchmarkId, Criterion};
use sae_kernels::ops::{
    Activation, Decode, Encode, GradSink, HiddenDelta, Hyper, Loss, Rule, UpdateMatrix, WeightGrad,
};
use sae_kernels::{Backend, Matrix};

use crate::lines::{Line, flops_group, line};
use crate::operands::Source;
use crate::shape::{SHAPES, Shape};

const HYPER: Hyper = Hyper {
    rule: Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8 },
    lr: 1e-6,
    decay: 0.0,
    decoupled: false,
    step: 10,
    clip: None,
};
const FITS: &str = "the operands have one shape";

pub(crate) fn bench(criterion: &mut Criterion) {
    group(criterion, "encode", true, Layer::encoder, Layer::encode);
    group(criterion, "decode", false, Layer::decoder, Layer::decode);
    group(criterion, "hidden_delta", false, Layer::encoder, Layer::hidden_delta);
    group(criterion, "weight_grad_enc", false, Layer::encoder, Layer::weight_grad);
    group(criterion, "weight_grad_dec", false, Layer::decoder, Layer::weight_grad_transposed);
}

fn group(
    criterion: &mut Criterion,
    name: &str,
    row_major: bool,
    layer: fn(&Line, Shape) -> Layer,
    run: fn(&mut Layer),
) {
    let mut group = flops_group(criterion, name);
    for (i, shape) in SHAPES.into_iter().enumerate() {
        for who in Line::all(row_major, i == 0) {
            line(&mut group, BenchmarkId::new(who.name, shape), shape.flops(), || layer(&who, shape), run);
        }
    }
    group.finish();
}

/// One layer `[n, rows] → [n, cols]`, forward and backward.
struct Layer {
    backend: Box<dyn Backend>,
    /// `[n, rows]`: the layer's input.
    input: Matrix,
    /// `[rows, cols]`.
    w: Matrix,
    /// `[cols, rows]`.
    w_t: Matrix,
    /// `[rows, cols]`: Adam's moments.
    m: Matrix,
    v: Matrix,
    /// `[cols]`.
    bias: Vec<f32>,
    /// `[n, cols]`: activations of the layer, or what they should be.
    values: Matrix,
    /// `[n, cols]`.
    delta: Matrix,
    /// `[n, cols]`, written.
    out: Matrix,
    /// `[cols]`, written.
    sums: Vec<f32>,
}

impl Layer {
    fn new(line: &Line, n: usize, rows: usize, cols: usize) -> Self {
        let (backend, panel) = line.start();
        let mut source = Source::new(panel);
        Self {
            backend,
            input: source.matrix(n, rows, 0.01, 1.0),
            w: source.weights(rows, cols),
            w_t: source.weights(cols, rows),
            m: source.matrix(rows, cols, -0.1, 0.1),
            v: source.matrix(rows, cols, 0.01, 0.1),
            bias: source.vector(cols, -0.1, 0.1),
            values: source.matrix(n, cols, 0.01, 0.99),
            delta: source.matrix(n, cols, -0.1, 0.1),
            out: source.zeros(n, cols),
            sums: vec![0.0; cols],
        }
    }

    fn encoder(line: &Line, shape: Shape) -> Self {
        Self::new(line, shape.n, shape.d_in, shape.d_hid)
    }

    fn decoder(line: &Line, shape: Shape) -> Self {
        Self::new(line, shape.n, shape.d_hid, shape.d_in)
    }

    fn encode(&mut self) {
        let op = Encode {
            threshold: None,
            x: self.input.view(),
            w: self.w.view(),
            bias: &self.bias,
            activation: Activation::Sigmoid,
            h: self.out.view_mut(),
            col_sums: Some(&mut self.sums),
        };
        self.backend.encode(op).expect(FITS);
    }

    fn decode(&mut self) {
        let op = Decode {
            h: self.input.view(),
            w: self.w.view(),
            bias: &self.bias,
            activation: Activation::Sigmoid,
            target: self.values.view(),
            loss: Loss::Squared,
            scale: 1.0 / self.input.layout().rows() as f32,
            delta: self.out.view_mut(),
            bias_grad: Some(&mut self.sums),
            x_hat: None,
            loss_sum: &mut [0.0],
        };
        self.backend.decode(op).expect(FITS);
    }

    /// Here `input` is the error at the output, and `w` the decoder's weights, transposed.
    fn hidden_delta(&mut self) {
        let op = HiddenDelta {
            support: false,
            gate: None,
            delta_out: self.input.view(),
            w_t: self.w.view(),
            h: self.values.view(),
            activation: Activation::Sigmoid,
            row_term: Some(&self.bias),
            l1: None,
            delta_hid: self.out.view_mut(),
            bias_grad: Some(&mut self.sums),
        };
        self.backend.hidden_delta(op).expect(FITS);
    }

    fn weight_grad(&mut self) {
        self.update(false);
    }

    fn weight_grad_transposed(&mut self) {
        self.update(true);
    }

    fn update(&mut self, transposed: bool) {
        let update = UpdateMatrix {
            hyper: &[HYPER],
            w: self.w.view_mut(),
            w_t: transposed.then(|| self.w_t.view_mut()),
            m: Some(self.m.view_mut()),
            v: Some(self.v.view_mut()),
        };
        let op = WeightGrad { a: self.input.view(), delta: self.delta.view(), sink: GradSink::Update(update) };
        self.backend.weight_grad(op).expect(FITS);
    }
}
