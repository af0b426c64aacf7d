//! The kernels inside somebody else's trainer: a classifier of two layers, plain `Vec<f32>`s, its own loop.
//!
//! ```text
//! cargo run --release -p sae-kernels --example classifier
//! ```
//!
//! The model has sigmoids in both layers, one output a class, and binary cross-entropy; it is trained by gradient
//! descent. The same trainer in plain loops runs beside it, from the same weights over the same batches, so that what
//! the kernels bring (and that nothing else changes) shows in one run.

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::ops::{Activation, Decode, Encode, GradSink, HiddenDelta, Hyper, Loss, Rule, UpdateMatrix};
use sae_kernels::ops::{UpdateVector, WeightGrad};
use sae_kernels::{Backend, Error, Fused, MatMut, MatRef};

const PIXELS: usize = 256;
const HIDDEN: usize = 192;
const CLASSES: usize = 10;
const BATCH: usize = 128;
const BATCHES: usize = 32;
const EPOCHS: usize = 12;
const RATE: f32 = 0.3;

/// A layer's weights `[inputs, outputs]` and bias, and the gradient of the bias.
#[derive(Clone)]
struct Layer {
    w: Vec<f32>,
    bias: Vec<f32>,
    bias_grad: Vec<f32>,
}

/// Two layers, and the memory of a step on one batch. All matrices are row-major.
#[derive(Clone)]
struct Net {
    hidden: Layer,
    output: Layer,
    /// `[CLASSES, HIDDEN]`: the output layer's weights, transposed, for the way back.
    output_t: Vec<f32>,
    /// `[BATCH, HIDDEN]`.
    h: Vec<f32>,
    delta_hid: Vec<f32>,
    /// `[BATCH, CLASSES]`.
    y: Vec<f32>,
    delta_out: Vec<f32>,
}

/// One step on a batch `x [BATCH, PIXELS]` with its labels, one-hot; returns the loss.
type TrainStep<'a> = &'a mut dyn FnMut(&mut Net, &[f32], &[f32]) -> Result<f64, Error>;

/// The step with the kernels: six calls, each a product with all that follows it.
fn kernel_step(backend: &mut Fused, net: &mut Net, x: &[f32], labels: &[f32]) -> Result<f64, Error> {
    let x = MatRef::row_major(x, BATCH, PIXELS)?;
    backend.encode(Encode {
        threshold: None,
        x,
        w: MatRef::row_major(&net.hidden.w, PIXELS, HIDDEN)?,
        bias: &net.hidden.bias,
        activation: Activation::Sigmoid,
        h: MatMut::row_major(&mut net.h, BATCH, HIDDEN)?,
        col_sums: None,
    })?;
    let h = MatRef::row_major(&net.h, BATCH, HIDDEN)?;
    let mut loss = [0.0];
    backend.decode(Decode {
        h,
        w: MatRef::row_major(&net.output.w, HIDDEN, CLASSES)?,
        bias: &net.output.bias,
        activation: Activation::Sigmoid,
        target: MatRef::row_major(labels, BATCH, CLASSES)?,
        loss: Loss::Bce,
        scale: 1.0 / BATCH as f32,
        delta: MatMut::row_major(&mut net.delta_out, BATCH, CLASSES)?,
        bias_grad: Some(&mut net.output.bias_grad),
        x_hat: Some(MatMut::row_major(&mut net.y, BATCH, CLASSES)?),
        loss_sum: &mut loss,
    })?;
    let delta_out = MatRef::row_major(&net.delta_out, BATCH, CLASSES)?;
    backend.hidden_delta(HiddenDelta {
        support: false,
        gate: None,
        delta_out,
        w_t: MatRef::row_major(&net.output_t, CLASSES, HIDDEN)?,
        h,
        activation: Activation::Sigmoid,
        row_term: None,
        l1: None,
        delta_hid: MatMut::row_major(&mut net.delta_hid, BATCH, HIDDEN)?,
        bias_grad: Some(&mut net.hidden.bias_grad),
    })?;
    let delta_hid = MatRef::row_major(&net.delta_hid, BATCH, HIDDEN)?;

    // Gradient and update in one: the gradient of a weight matrix is never stored.
    let hyper = &[Hyper { rule: Rule::Sgd, lr: RATE, decay: 0.0, decoupled: false, step: 1, clip: None }];
    let output = MatMut::row_major(&mut net.output.w, HIDDEN, CLASSES)?;
    let output_t = MatMut::row_major(&mut net.output_t, CLASSES, HIDDEN)?;
    let sink = GradSink::Update(UpdateMatrix { hyper, w: output, w_t: Some(output_t), m: None, v: None });
    backend.weight_grad(WeightGrad { a: h, delta: delta_out, sink })?;
    let hidden = MatMut::row_major(&mut net.hidden.w, PIXELS, HIDDEN)?;
    let sink = GradSink::Update(UpdateMatrix { hyper, w: hidden, w_t: None, m: None, v: None });
    backend.weight_grad(WeightGrad { a: x, delta: delta_hid, sink })?;
    for Layer { bias, bias_grad, .. } in [&mut net.hidden, &mut net.output] {
        backend.update_vector(UpdateVector { hyper, w: bias, grad: bias_grad, m: None, v: None })?;
    }
    Ok(loss[0] / BATCH as f64)
}

/// The same step in plain loops.
fn plain_step(net: &mut Net, x: &[f32], labels: &[f32]) -> f64 {
    forward(&net.hidden, x, &mut net.h);
    forward(&net.output, &net.h, &mut net.y);
    let mut loss = 0.0;
    for ((delta, &y), &t) in net.delta_out.iter_mut().zip(&net.y).zip(labels) {
        loss -= f64::from(if t == 1.0 { y.ln() } else { (1.0 - y).ln() });
        *delta = (y - t) / BATCH as f32;
    }
    let rows = net.delta_out.chunks(CLASSES).zip(net.h.chunks(HIDDEN)).zip(net.delta_hid.chunks_mut(HIDDEN));
    for ((delta_out, h), delta_hid) in rows {
        for (j, delta) in delta_hid.iter_mut().enumerate() {
            let back: f32 = net.output.w[j * CLASSES..][..CLASSES].iter().zip(delta_out).map(|(w, d)| w * d).sum();
            *delta = back * h[j] * (1.0 - h[j]);
        }
    }
    descend(&mut net.output, &net.h, &net.delta_out);
    descend(&mut net.hidden, x, &net.delta_hid);
    loss / BATCH as f64
}

fn forward(layer: &Layer, x: &[f32], out: &mut [f32]) {
    let (inputs, outputs) = (layer.w.len() / layer.bias.len(), layer.bias.len());
    for (x, out) in x.chunks(inputs).zip(out.chunks_mut(outputs)) {
        out.copy_from_slice(&layer.bias);
        for (&x, w) in x.iter().zip(layer.w.chunks(outputs)) {
            out.iter_mut().zip(w).for_each(|(z, w)| *z += x * w);
        }
        out.iter_mut().for_each(|z| *z = 1.0 / (1.0 + (-*z).exp()));
    }
}

fn descend(layer: &mut Layer, x: &[f32], delta: &[f32]) {
    let (inputs, outputs) = (layer.w.len() / layer.bias.len(), layer.bias.len());
    let mut grad = vec![0.0; layer.w.len()];
    for (x, delta) in x.chunks(inputs).zip(delta.chunks(outputs)) {
        for (&x, grad) in x.iter().zip(grad.chunks_mut(outputs)) {
            grad.iter_mut().zip(delta).for_each(|(g, d)| *g += x * d);
        }
        layer.bias.iter_mut().zip(delta).for_each(|(b, d)| *b -= RATE * d);
    }
    layer.w.iter_mut().zip(&grad).for_each(|(w, g)| *w -= RATE * g);
}

/// Pixels `[n, PIXELS]` and their classes. Each class has two prototypes, of which a sample is one, behind noise.
struct Samples {
    x: Vec<f32>,
    labels: Vec<usize>,
}

impl Samples {
    fn new(n: usize, rng: &mut ChaCha8Rng) -> Self {
        let mut prototypes = ChaCha8Rng::seed_from_u64(1);
        let prototypes: Vec<f32> = (0..2 * CLASSES * PIXELS).map(|_| prototypes.random_range(0.0..1.0)).collect();
        let labels: Vec<usize> = (0..n).map(|_| rng.random_range(0..CLASSES)).collect();
        let mut x = Vec::with_capacity(n * PIXELS);
        for &label in &labels {
            let prototype = 2 * label + rng.random_range(0..2);
            let pixels = &prototypes[prototype * PIXELS..][..PIXELS];
            x.extend(pixels.iter().map(|p| 0.3 * p + 0.7 * rng.random_range(0.0..1.0) - 0.5));
        }
        Self { x, labels }
    }
}

impl Net {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        let hidden = Layer::new(PIXELS, HIDDEN, rng);
        let output = Layer::new(HIDDEN, CLASSES, rng);
        let output_t = (0..CLASSES * HIDDEN).map(|i| output.w[i % HIDDEN * CLASSES + i / HIDDEN]).collect();
        let (h, y) = (vec![0.0; BATCH * HIDDEN], vec![0.0; BATCH * CLASSES]);
        Self { hidden, output, output_t, delta_hid: h.clone(), h, delta_out: y.clone(), y }
    }

    /// The share of samples whose class has the largest output.
    fn accuracy(&self, samples: &Samples) -> f64 {
        let n = samples.labels.len();
        let (mut h, mut y) = (vec![0.0; n * HIDDEN], vec![0.0; n * CLASSES]);
        forward(&self.hidden, &samples.x, &mut h);
        forward(&self.output, &h, &mut y);
        let right = y.chunks(CLASSES).zip(&samples.labels).filter(|(y, label)| y.iter().all(|v| *v <= y[**label]));
        right.count() as f64 / n as f64
    }
}

impl Layer {
    fn new(inputs: usize, outputs: usize, rng: &mut ChaCha8Rng) -> Self {
        let limit = (6.0 / (inputs + outputs) as f32).sqrt();
        let w = (0..inputs * outputs).map(|_| rng.random_range(-limit..limit)).collect();
        Self { w, bias: vec![0.0; outputs], bias_grad: vec![0.0; outputs] }
    }
}

/// Trains a copy of `net` and prints a line; returns the seconds it took.
fn train(name: &str, net: &Net, data: &Samples, held_out: &Samples, step: TrainStep<'_>) -> Result<f64, Error> {
    let mut one_hot = vec![0.0; data.labels.len() * CLASSES];
    for (row, &label) in one_hot.chunks_mut(CLASSES).zip(&data.labels) {
        row[label] = 1.0;
    }
    let (mut net, mut loss, start) = (net.clone(), 0.0, Instant::now());
    for _ in 0..EPOCHS {
        loss = 0.0;
        for (x, labels) in data.x.chunks_exact(BATCH * PIXELS).zip(one_hot.chunks_exact(BATCH * CLASSES)) {
            loss += step(&mut net, x, labels)? / BATCHES as f64;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{name:<28} {loss:>10.6} {:>9.1}% {seconds:>9.3}", 100.0 * net.accuracy(held_out));
    Ok(seconds)
}

fn main() -> Result<(), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (data, held_out) = (Samples::new(BATCH * BATCHES, &mut rng), Samples::new(1000, &mut rng));
    let net = Net::new(&mut rng);
    let mut backend = Fused::new()?;

    println!("{:<28} {:>10} {:>10} {:>9}", "", "loss", "held out", "seconds");
    let plain = train("plain loops", &net, &data, &held_out, &mut |net, x, t| Ok(plain_step(net, x, t)))?;
    let name = format!("kernels ({}, threads: {})", backend.isa(), rayon::current_num_threads());
    let kernels = train(&name, &net, &data, &held_out, &mut |net, x, t| kernel_step(&mut backend, net, x, t))?;
    println!("the kernels are {:.1} times as fast", plain / kernels);
    Ok(())
}
