//! What somebody writes who has a product and no kernels: the same encode and training step, with the product of a
//! backend and plain loops over slices for all the rest, on one thread and with the standard library's functions.

use anyhow::Result;
use sae_harness::measure::Sizes;
use sae_kernels::ops::{Form, Gemm};
use sae_kernels::{Backend, MatMut, MatRef};

use crate::random::Random;

const RHO: f32 = 0.05;
const BETA: f32 = 3.0;
const LR: f32 = 1e-4;
const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPS: f32 = 1e-8;

/// A tensor with its gradient and its two moments.
struct Weights {
    w: Vec<f32>,
    grad: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
}

impl Weights {
    fn new(w: Vec<f32>) -> Self {
        let zeros = vec![0.0; w.len()];
        Self { w, grad: zeros.clone(), m: zeros.clone(), v: zeros }
    }

    /// Adam, with PyTorch's meaning.
    fn update(&mut self, step: i32) {
        let (first, second) = (LR / (1.0 - BETA1.powi(step)), (1.0 - BETA2.powi(step)).sqrt());
        for i in 0..self.w.len() {
            let g = self.grad[i];
            self.m[i] = BETA1 * self.m[i] + (1.0 - BETA1) * g;
            self.v[i] = BETA2 * self.v[i] + (1.0 - BETA2) * g * g;
            self.w[i] -= first * self.m[i] / (self.v[i].sqrt() / second + EPS);
        }
    }
}

/// A model with its buffers.
pub(crate) struct Plain {
    sizes: Sizes,
    steps: i32,
    x: Vec<f32>,
    w_enc: Weights,
    b_enc: Weights,
    w_dec: Weights,
    b_dec: Weights,
    w_dec_t: Vec<f32>,
    h: Vec<f32>,
    rho_hat: Vec<f32>,
    delta_out: Vec<f32>,
    delta_hid: Vec<f32>,
}

fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + (-z).exp())
}

impl Plain {
    pub(crate) fn new(sizes: Sizes) -> Self {
        let Sizes { batch: n, d_in: d, d_hid: h, .. } = sizes;
        let mut random = Random::new();
        let limit = (6.0 / (d + h) as f32).sqrt();
        Self {
            sizes,
            steps: 0,
            x: random.values(n * d, 0.0, 1.0),
            w_enc: Weights::new(random.values(d * h, -limit, limit)),
            b_enc: Weights::new(vec![0.0; h]),
            w_dec: Weights::new(random.values(d * h, -limit, limit)),
            b_dec: Weights::new(vec![0.0; d]),
            w_dec_t: vec![0.0; d * h],
            h: vec![0.0; n * h],
            rho_hat: vec![0.0; h],
            delta_out: vec![0.0; n * d],
            delta_hid: vec![0.0; n * h],
        }
    }

    /// `h = sigmoid(x·w_enc + b_enc)` and its column means.
    pub(crate) fn encode(&mut self, product: &mut dyn Backend) -> Result<()> {
        let Sizes { batch, d_in, d_hid, .. } = self.sizes;
        multiply(product, Form::Nn, [batch, d_in, d_hid], &self.x, &self.w_enc.w, &mut self.h)?;
        self.rho_hat.fill(0.0);
        for row in self.h.chunks_exact_mut(d_hid) {
            for ((h, bias), sum) in row.iter_mut().zip(&self.b_enc.w).zip(&mut self.rho_hat) {
                *h = sigmoid(*h + bias);
                *sum += *h;
            }
        }
        self.rho_hat.iter_mut().for_each(|sum| *sum /= batch as f32);
        Ok(())
    }

    /// Squared error per sample, KL penalty, Adam; returns the loss.
    pub(crate) fn step(&mut self, product: &mut dyn Backend) -> Result<f64> {
        let Sizes { batch, d_in, d_hid, .. } = self.sizes;
        let per_sample = 1.0 / batch as f32;
        self.encode(product)?;

        multiply(product, Form::Nn, [batch, d_hid, d_in], &self.h, &self.w_dec.w, &mut self.delta_out)?;
        self.b_dec.grad.fill(0.0);
        let mut loss = 0.0;
        for (row, target) in self.delta_out.chunks_exact_mut(d_in).zip(self.x.chunks_exact(d_in)) {
            for j in 0..d_in {
                let y = sigmoid(row[j] + self.b_dec.w[j]);
                let residual = y - target[j];
                loss += f64::from(0.5 * residual * residual * per_sample);
                row[j] = per_sample * residual * y * (1.0 - y);
                self.b_dec.grad[j] += row[j];
            }
        }

        let mut slope = vec![0.0; d_hid];
        for (slope, rho_hat) in slope.iter_mut().zip(&self.rho_hat) {
            let rho_hat = rho_hat.clamp(1e-6, 1.0 - 1e-6);
            loss += f64::from(BETA * (RHO * (RHO / rho_hat).ln() + (1.0 - RHO) * ((1.0 - RHO) / (1.0 - rho_hat)).ln()));
            *slope = BETA * per_sample * ((1.0 - RHO) / (1.0 - rho_hat) - RHO / rho_hat);
        }
        for (r, row) in self.w_dec.w.chunks_exact(d_in).enumerate() {
            for (c, w) in row.iter().enumerate() {
                self.w_dec_t[c * d_hid + r] = *w;
            }
        }
        multiply(product, Form::Nn, [batch, d_in, d_hid], &self.delta_out, &self.w_dec_t, &mut self.delta_hid)?;
        self.b_enc.grad.fill(0.0);
        for (row, h) in self.delta_hid.chunks_exact_mut(d_hid).zip(self.h.chunks_exact(d_hid)) {
            for j in 0..d_hid {
                row[j] = (row[j] + slope[j]) * h[j] * (1.0 - h[j]);
                self.b_enc.grad[j] += row[j];
            }
        }

        multiply(product, Form::Tn, [d_hid, batch, d_in], &self.h, &self.delta_out, &mut self.w_dec.grad)?;
        multiply(product, Form::Tn, [d_in, batch, d_hid], &self.x, &self.delta_hid, &mut self.w_enc.grad)?;
        self.steps = self.steps.saturating_add(1);
        for weights in [&mut self.w_enc, &mut self.b_enc, &mut self.w_dec, &mut self.b_dec] {
            weights.update(self.steps);
        }
        Ok(loss)
    }
}

/// `c [m, n] = a·b`, or `aᵀ·b` where the form is TN, with k terms a sum.
fn multiply(
    product: &mut dyn Backend,
    form: Form,
    [m, k, n]: [usize; 3],
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
) -> Result<()> {
    let [rows, cols] = if form == Form::Nn { [m, k] } else { [k, m] };
    let (a, b) = (MatRef::row_major(a, rows, cols)?, MatRef::row_major(b, k, n)?);
    product.gemm(Gemm { form, a, b, c: MatMut::row_major(c, m, n)?, accumulate: false })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sae_kernels::step::{Parameters, Penalty, RhoHat, StepConfig};
    use sae_kernels::{Naive, Step};

    use super::*;

    #[test]
    fn it_is_the_step_of_the_library() {
        let sizes = Sizes { batch: 9, d_in: 7, d_hid: 5, models: 1 };
        let mut plain = Plain::new(sizes);
        let penalty = Penalty::Kl { rho: RHO, beta: BETA, average: RhoHat::Batch };
        let mut step = Step::new(7, 5, 9, None, StepConfig { penalty, ..StepConfig::new() }).unwrap();
        let (w_enc, w_dec) = (plain.w_enc.w.clone(), plain.w_dec.w.clone());
        step.set_weights(&Parameters { w_enc, w_dec, ..Parameters::zeros(7, 5) }).unwrap();
        for _ in 0..20 {
            let x = plain.x.clone();
            let theirs = step.train_step(&mut Naive, MatRef::row_major(&x, 9, 7).unwrap(), LR).unwrap();
            let ours = plain.step(&mut Naive).unwrap();
            // A loss near 1 of 63 + 5 terms, each with a relative error of a few units of 2⁻²⁴.
            assert!((ours - theirs.loss).abs() <= 68.0 * 8.0 * 2f64.powi(-24) * ours, "{ours} {theirs:?}");
        }
    }
}
