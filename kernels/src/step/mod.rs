//! One training step of the classic sparse autoencoder, over any backend.
//!
//! ```text
//! forward    h     = f(x·w_enc + b_enc)                       x [n, d_in], h [n, d_hid]
//!            x_hat = g(h·w_dec + b_dec)                       x_hat [n, d_in]
//!            J     = scale·Σℓ(x_hat, x) + penalty(h) + decay·(‖w_enc‖² + ‖w_dec‖²)
//!
//! backward   delta_out = scale·dΣℓ/dz_out                     [n, d_in]
//!            delta_hid = (delta_out·w_decᵀ + dpenalty/dh) ⊙ f'(h)   [n, d_hid]
//!            dw_dec = hᵀ·delta_out + rate·w_dec               db_dec = Σ_i delta_out_ij
//!            dw_enc = xᵀ·delta_hid + rate·w_enc               db_enc = Σ_i delta_hid_ij
//! ```
//!
//! Five products of two forms, each with all that follows it in one operation of [`ops`](crate::ops). The scales are in
//! [`Convention`], the penalties in [`Penalty`], the optimisers in [`Rule`](crate::ops::Rule).

mod access;
mod config;
mod optimizer;
mod parameters;
mod penalty;
mod report;

pub use config::{Convention, StepConfig};
pub use optimizer::State;
pub use parameters::Parameters;
pub use penalty::{Divergence, Penalty, RHO_HAT_MARGIN, RhoHat, divergence};
pub use report::{EvalReport, StepReport};

use crate::backend::Backend;
use crate::error::{Error, expect};
use crate::matrix::Matrix;
use crate::ops::{Activation, Decode, Encode, GradSink, HiddenDelta, Hyper, Result, WeightGrad};
use crate::real::Real;
use crate::view::{MatMut, MatRef};

use optimizer::Moments;
use parameters::{Tensors, matrix};

/// A model, its optimiser and the scratch memory of a step. Everything is allocated by [`Step::new`]; a step allocates
/// nothing of its own, whatever the size of its batch.
///
/// ```
/// use sae_kernels::step::{Parameters, Penalty, RhoHat, Step, StepConfig};
/// use sae_kernels::{MatRef, Naive};
///
/// // Two samples of width 3, two hidden units.
/// let x = [1.0f32, 0.0, 0.0, 0.0, 1.0, 1.0];
/// let x = MatRef::row_major(&x, 2, 3)?;
///
/// let cfg = StepConfig { penalty: Penalty::Kl { rho: 0.3, beta: 0.01, average: RhoHat::Batch }, ..StepConfig::new() };
/// let mut step = Step::new(3, 2, 2, None, cfg)?;
/// step.set_weights(&Parameters {
///     w_enc: vec![0.1, -0.2, 0.3, 0.1, -0.3, 0.2],
///     w_dec: vec![0.2, 0.1, -0.1, -0.2, 0.3, 0.1],
///     ..Parameters::zeros(3, 2)
/// })?;
///
/// let first = step.train_step(&mut Naive, x, 0.1)?;
/// for _ in 0..50 {
///     step.train_step(&mut Naive, x, 0.1)?;
/// }
/// assert!(step.evaluate(&mut Naive, x, None)?.loss < 0.2 * first.loss);
/// # Ok::<(), sae_kernels::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Step<T: Real = f32> {
    cfg: StepConfig<T>,
    panel: Option<usize>,
    weights: Tensors<T>,
    /// `[d_in, d_hid]`.
    w_dec_t: Matrix<T>,
    moments: Moments<T>,
    steps: u64,
    /// The moving average after the last step; of no meaning before the first.
    ema: Vec<T>,
    /// `[max_batch, d_hid]`.
    h: Matrix<T>,
    /// `[max_batch, d_in]`.
    delta_out: Matrix<T>,
    /// `[max_batch, d_hid]`.
    delta_hid: Matrix<T>,
    /// The last batch's mean activations.
    mean: Vec<T>,
    /// The ρ̂ of the last pass.
    rho_hat: Vec<T>,
    row_term: Vec<T>,
    b_enc_grad: Vec<T>,
    b_dec_grad: Vec<T>,
    /// Whether reports hold the weight decay's term, which takes a pass over the weights. On at first. The updates do
    /// not depend on it.
    pub report_weight_decay: bool,
}

/// What ρ̂ the penalty of a pass sees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Average {
    /// The batch's alone.
    Batch,
    /// As configured.
    Configured,
}

impl<T: Real> Step<T> {
    /// A step for batches of up to `max_batch` samples, all weights 0. `panel` is the
    /// [`panel`](Backend::panel) of the backend it will run on.
    ///
    /// # Errors
    /// [`Error::Scalar`] where a size is 0 or a number of the configuration outside its range, or where
    /// [`Penalty::Kl`] meets a hidden activation other than the sigmoid; [`Error::BceActivation`]; [`Error::TooLarge`];
    /// [`Error::ZeroPanel`].
    pub fn new(d_in: usize, d_hid: usize, max_batch: usize, panel: Option<usize>, cfg: StepConfig<T>) -> Result<Self> {
        for (name, size) in [("d_in", d_in), ("d_hid", d_hid), ("max_batch", max_batch)] {
            if size == 0 {
                return Err(Error::Scalar { name, found: "0".to_owned(), expected: "at least 1" });
            }
        }
        cfg.check()?;
        Ok(Self {
            cfg,
            panel,
            weights: Tensors::zeros(d_in, d_hid, panel)?,
            w_dec_t: matrix(d_in, d_hid, panel)?,
            moments: Moments::zeros(cfg.rule, d_in, d_hid, panel)?,
            steps: 0,
            ema: vec![T::ZERO; d_hid],
            h: matrix(max_batch, d_hid, panel)?,
            delta_out: matrix(max_batch, d_in, panel)?,
            delta_hid: matrix(max_batch, d_hid, panel)?,
            mean: vec![T::ZERO; d_hid],
            rho_hat: vec![T::ZERO; d_hid],
            row_term: vec![T::ZERO; d_hid],
            b_enc_grad: vec![T::ZERO; d_hid],
            b_dec_grad: vec![T::ZERO; d_in],
            report_weight_decay: true,
        })
    }

    /// One step on the batch `x [n, d_in]`: forward, backward, update with learning rate `lr`. The report is of the
    /// weights before the update.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Scalar`] where `x` or `lr` does not fit, and those of the backend. The weights are
    /// then as they were.
    pub fn train_step(&mut self, backend: &mut dyn Backend<T>, x: MatRef<'_, T>, lr: T) -> Result<StepReport> {
        config::not_negative("learning rate", lr)?;
        let step = self.steps.checked_add(1).ok_or_else(|| {
            let found = self.steps.to_string();
            Error::Scalar { name: "steps taken", found, expected: "a number that can still be counted up" }
        })?;
        let report = self.forward(backend, x, None, Average::Configured)?;
        // With the decoder's weights as they were in the forward pass: before their update.
        self.backward_hidden(backend, report.n)?;

        let n = report.n;
        let rule = self.cfg.rule;
        let matrices = Hyper { rule, lr, decay: T::from_f64(self.cfg.decay_rate(n)), step };
        let biases = Hyper { decay: T::ZERO, ..matrices };
        let (w, moments) = (&mut self.weights, &mut self.moments);

        let mut update = moments.w_dec(matrices, w);
        update.w_t = Some(self.w_dec_t.view_mut());
        let (a, delta) = (self.h.top(n)?, self.delta_out.top(n)?);
        backend.weight_grad(WeightGrad { a, delta, sink: GradSink::Update(update) })?;

        let delta = self.delta_hid.top(n)?;
        backend.weight_grad(WeightGrad { a: x, delta, sink: GradSink::Update(moments.w_enc(matrices, w)) })?;

        backend.update_vector(moments.b_dec(biases, w, &self.b_dec_grad))?;
        backend.update_vector(moments.b_enc(biases, w, &self.b_enc_grad))?;

        self.steps = step;
        self.ema.copy_from_slice(&self.rho_hat);
        Ok(report)
    }

    /// The objective of a batch, and its reconstruction `x_hat [n, d_in]` where asked for. Nothing is updated; ρ̂ is the
    /// batch's own mean, also where training uses a moving average.
    ///
    /// # Errors
    /// As [`Step::train_step`].
    pub fn evaluate(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: MatRef<'_, T>,
        x_hat: Option<MatMut<'_, T>>,
    ) -> Result<EvalReport> {
        self.forward(backend, x, x_hat, Average::Batch)
    }

    /// What [`Step::train_step`] would report for `x`, moving average included. Nothing is updated.
    ///
    /// # Errors
    /// As [`Step::train_step`].
    pub fn objective(&mut self, backend: &mut dyn Backend<T>, x: MatRef<'_, T>) -> Result<StepReport> {
        self.forward(backend, x, None, Average::Configured)
    }

    /// The features of a batch of any size: `h [n, d_hid] = f(x·w_enc + b_enc)`.
    ///
    /// # Errors
    /// [`Error::Shape`], and those of the backend.
    pub fn encode(&self, backend: &mut dyn Backend<T>, x: MatRef<'_, T>, h: MatMut<'_, T>) -> Result {
        backend.encode(Encode {
            x,
            w: self.weights.w_enc.view(),
            bias: &self.weights.b_enc,
            activation: self.cfg.hidden,
            h,
            col_sums: None,
        })
    }

    /// The gradient of [`Step::objective`], for checks: the weight decay is in it where it is part of the objective.
    /// Nothing is updated.
    ///
    /// # Errors
    /// As [`Step::train_step`].
    pub fn gradients(&mut self, backend: &mut dyn Backend<T>, x: MatRef<'_, T>) -> Result<Parameters<T>> {
        let n = self.forward(backend, x, None, Average::Configured)?.n;
        self.backward_hidden(backend, n)?;

        let mut grad = Tensors::zeros(self.d_in(), self.d_hid(), self.panel)?;
        grad.b_enc.copy_from_slice(&self.b_enc_grad);
        grad.b_dec.copy_from_slice(&self.b_dec_grad);
        let (a, delta) = (self.h.top(n)?, self.delta_out.top(n)?);
        backend.weight_grad(WeightGrad { a, delta, sink: GradSink::Store(grad.w_dec.view_mut()) })?;
        let delta = self.delta_hid.top(n)?;
        backend.weight_grad(WeightGrad { a: x, delta, sink: GradSink::Store(grad.w_enc.view_mut()) })?;

        let (mut grad, w) = (grad.to_parameters(), self.weights());
        if self.cfg.decay_in_loss() {
            let rate = T::from_f64(self.cfg.decay_rate(n));
            for (g, w) in [(&mut grad.w_enc, &w.w_enc), (&mut grad.w_dec, &w.w_dec)] {
                for (g, &w) in g.iter_mut().zip(w) {
                    *g = rate.mul_add(w, *g);
                }
            }
        }
        Ok(grad)
    }

    /// Encodes, penalises, decodes: fills `h`, `delta_out`, `row_term`, `b_dec_grad` and the averages.
    fn forward(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: MatRef<'_, T>,
        x_hat: Option<MatMut<'_, T>>,
        average: Average,
    ) -> Result<StepReport> {
        let n = self.check(&x)?;
        if let Some(x_hat) = &x_hat {
            expect("x_hat", "batch", x_hat.batch(), 1, "one problem")?;
            expect("x_hat", "rows", x_hat.rows(), n, "the rows of x")?;
            expect("x_hat", "columns", x_hat.cols(), self.d_in(), "d_in")?;
        }
        let (cfg, d_in) = (self.cfg, self.d_in());
        backend.encode(Encode {
            x,
            w: self.weights.w_enc.view(),
            bias: &self.weights.b_enc,
            activation: cfg.hidden,
            h: self.h.top_mut(n)?,
            col_sums: Some(&mut self.mean),
        })?;
        for sum in &mut self.mean {
            *sum = T::from_f64(sum.to_f64() / n as f64);
        }

        let (sparsity, clamped) = self.penalise(n, average)?;

        let scale = cfg.loss_scale(n, d_in);
        let mut loss_sum = [0.0];
        backend.decode(Decode {
            h: self.h.top(n)?,
            w: self.weights.w_dec.view(),
            bias: &self.weights.b_dec,
            activation: cfg.output,
            target: x,
            loss: cfg.loss,
            scale: T::from_f64(scale),
            delta: self.delta_out.top_mut(n)?,
            bias_grad: Some(&mut self.b_dec_grad),
            x_hat,
            loss_sum: &mut loss_sum,
        })?;

        let rate = if self.report_weight_decay && cfg.decay_in_loss() { cfg.decay_rate(n) } else { 0.0 };
        let weight_decay = if rate == 0.0 { 0.0 } else { 0.5 * rate * self.squared_norm(backend) };
        let reconstruction = scale * loss_sum[0];
        Ok(StepReport {
            n,
            loss: reconstruction + sparsity + weight_decay,
            reconstruction,
            sparsity,
            weight_decay,
            loss_sum: loss_sum[0],
            rho_hat_mean: self.rho_hat.iter().map(|r| r.to_f64()).sum::<f64>() / self.d_hid() as f64,
            clamped,
        })
    }

    /// The penalty's value and the units it clamped; fills `rho_hat` and, for KL, `row_term [d_hid] = β·dKL/dh_ij`.
    fn penalise(&mut self, n: usize, average: Average) -> Result<(f64, usize)> {
        self.rho_hat.copy_from_slice(&self.mean);
        let n_f = n as f64;
        match self.cfg.penalty {
            Penalty::None => Ok((0.0, 0)),
            Penalty::L1 { beta } => Ok((beta.to_f64() / n_f * self.absolute_sum(n)?, 0)),
            Penalty::Kl { rho, beta, average: over } => {
                let (rho, beta) = (rho.to_f64(), beta.to_f64());
                let share = over.batch_share(average == Average::Configured && self.steps > 0);
                let (mut total, mut clamped) = (0.0, 0);
                for ((r, past), term) in self.rho_hat.iter_mut().zip(&self.ema).zip(&mut self.row_term) {
                    if share != 1.0 {
                        *r = T::from_f64((1.0 - share) * past.to_f64() + share * r.to_f64());
                    }
                    let d = divergence(rho, r.to_f64());
                    *term = T::from_f64(beta * share / n_f * d.slope);
                    total += d.value;
                    clamped += usize::from(d.clamped);
                }
                Ok((beta * total, clamped))
            }
        }
    }

    /// `Σ_ij |h_ij|` over the first `n` rows.
    fn absolute_sum(&self, n: usize) -> Result<f64> {
        if matches!(self.cfg.hidden, Activation::Sigmoid | Activation::Relu) {
            // No element is negative: the sums over columns have it.
            return Ok(self.mean.iter().map(|m| m.to_f64()).sum::<f64>() * n as f64);
        }
        let h = self.h.top(n)?;
        let row = |i| (0..h.cols()).map(move |j| h.at(0, i, j).to_f64().abs()).sum::<f64>();
        Ok((0..n).map(row).sum())
    }

    /// `delta_hid` and `b_enc_grad`, from what [`Step::forward`] left.
    fn backward_hidden(&mut self, backend: &mut dyn Backend<T>, n: usize) -> Result {
        let (row_term, l1) = match self.cfg.penalty {
            Penalty::None => (None, T::ZERO),
            Penalty::Kl { .. } => (Some(self.row_term.as_slice()), T::ZERO),
            Penalty::L1 { beta } => (None, T::from_f64(beta.to_f64() / n as f64)),
        };
        backend.hidden_delta(HiddenDelta {
            delta_out: self.delta_out.top(n)?,
            w_t: self.w_dec_t.view(),
            h: self.h.top(n)?,
            activation: self.cfg.hidden,
            row_term,
            l1,
            delta_hid: self.delta_hid.top_mut(n)?,
            bias_grad: Some(&mut self.b_enc_grad),
        })
    }

    /// The rows of a batch that fits.
    fn check(&self, x: &MatRef<'_, T>) -> Result<usize> {
        expect("x", "batch", x.batch(), 1, "one problem")?;
        expect("x", "columns", x.cols(), self.d_in(), "d_in")?;
        let (n, most) = (x.rows(), self.max_batch());
        if n == 0 {
            return Err(Error::Scalar { name: "rows of x", found: "0".to_owned(), expected: "at least 1" });
        }
        if n > most {
            let because = "at most the step's max_batch";
            return Err(Error::Shape { operand: "x", dim: "rows", found: n, expected: most, because });
        }
        Ok(n)
    }
}
