//! Training steps of several models of one shape, each operation one call for all of them.

use crate::backend::Backend;
use crate::error::{Error, expect};
use crate::layout::Layout;
use crate::matrix::Matrix;
use crate::ops::{Encode, GradSink, HiddenDelta, Hyper, Result, WeightGrad};
use crate::pool;
use crate::real::Real;
use crate::view::{MatMut, MatRef};

use super::config::not_negative;
use super::forward::Average;
use super::optimizer::Moments;
use super::parameters::{Tensors, matrices};
use super::{Parameters, Penalty, StepConfig, StepReport};

/// Models of one shape, their optimisers and the scratch memory of a step. Small models keep a processor busy only
/// together: a step of all of them is as many calls of the backend as a step of one.
///
/// All models have one hidden and one output activation, one loss and one convention. Weights, weight decay, penalty,
/// optimiser and learning rate are each model's own. A batch is one that all models see, or one a model. Each model
/// computes the same bits as alone in a [`Step`](super::Step).
///
/// Everything is allocated by [`BatchedStep::new`]; a step allocates nothing of its own.
///
/// ```
/// use sae_kernels::step::{BatchedStep, Parameters, StepConfig, StepReport};
/// use sae_kernels::{MatRef, Naive};
///
/// // Two models with weight decays of their own, on one batch of two samples of width 3.
/// let x = [1.0f32, 0.0, 0.0, 0.0, 1.0, 1.0];
/// let x = MatRef::row_major(&x, 2, 3)?;
/// let cfgs = [0.0, 0.1].map(|weight_decay| StepConfig { weight_decay, ..StepConfig::new() });
/// let mut step = BatchedStep::new(3, 2, 2, None, &cfgs)?;
/// for model in 0..2 {
///     step.set_weights(model, &Parameters { w_enc: vec![0.1; 6], w_dec: vec![0.2; 6], ..Parameters::zeros(3, 2) })?;
/// }
/// let mut reports = [StepReport::default(); 2];
/// step.train_step(&mut Naive, x, &[1e-2, 1e-3], &mut reports)?;
/// assert_eq!(reports[0].reconstruction, reports[1].reconstruction);
/// assert!(reports[0].loss < reports[1].loss);
/// # Ok::<(), sae_kernels::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchedStep<T: Real = f32> {
    /// One a model, as everything of which there is one element or one matrix a model.
    pub(super) cfgs: Vec<StepConfig<T>>,
    panel: Option<usize>,
    pub(super) weights: Tensors<T>,
    /// `[d_in, d_hid]`.
    pub(super) w_dec_t: Matrix<T>,
    pub(super) moments: Moments<T>,
    pub(super) steps: Vec<u64>,
    /// `[d_hid]` a model: the moving average after the last step; of no meaning before the first.
    pub(super) ema: Vec<T>,
    /// `[max_batch, d_hid]`.
    pub(super) h: Matrix<T>,
    /// `[max_batch, d_in]`.
    pub(super) delta_out: Matrix<T>,
    /// `[max_batch, d_hid]`.
    delta_hid: Matrix<T>,
    /// `[d_hid]` a model: the last batch's mean activations.
    pub(super) mean: Vec<T>,
    /// `[d_hid]` a model: the ρ̂ of the last pass.
    pub(super) rho_hat: Vec<T>,
    /// `[d_hid]` a model: the KL penalties' gradients; 0 for models without one.
    pub(super) row_term: Vec<T>,
    /// The L1 penalties' gradients; 0 for models without one.
    l1: Vec<T>,
    b_enc_grad: Vec<T>,
    pub(super) b_dec_grad: Vec<T>,
    pub(super) loss_sums: Vec<f64>,
    /// Sums of squares of one matrix a model.
    pub(super) squares: Vec<f64>,
    hypers: Hypers<T>,
    /// Where gradients are stored, if they are: `w_enc`, `w_dec`.
    stored: Option<[Matrix<T>; 2]>,
    norms: Vec<f64>,
    report_norm: bool,
    /// Whether reports hold the weight decay's term, which takes a pass over the weights. On at first. The updates do
    /// not depend on it.
    pub report_weight_decay: bool,
}

/// The numbers of an update, one element a model.
#[derive(Clone, Debug)]
struct Hypers<T> {
    matrices: Vec<Hyper<T>>,
    biases: Vec<Hyper<T>>,
}

impl<T: Real> BatchedStep<T> {
    /// Steps for batches of up to `max_batch` samples, one model for each configuration, all weights 0. `panel` is the
    /// [`panel`](Backend::panel) of the backend they will run on.
    ///
    /// # Errors
    /// Those of [`Step::new`](super::Step::new), and [`Error::Scalar`] where there is no configuration, or where two differ
    /// in an activation, the loss or the convention.
    pub fn new(
        d_in: usize,
        d_hid: usize,
        max_batch: usize,
        panel: Option<usize>,
        cfgs: &[StepConfig<T>],
    ) -> Result<Self> {
        let models = cfgs.len();
        for (name, size) in [("d_in", d_in), ("d_hid", d_hid), ("max_batch", max_batch), ("models", models)] {
            if size == 0 {
                return Err(Error::Scalar { name, found: "0".to_owned(), expected: "at least 1" });
            }
        }
        for cfg in cfgs {
            cfg.check()?;
            cfg.agrees(&cfgs[0])?;
        }
        let zeros = |rows, cols| matrices(models, rows, cols, panel);
        let tensors = || Tensors::zeros(models, d_in, d_hid, panel);
        let weights = tensors()?;
        // Behind the matrices, which have found that these fit in memory.
        let row = |width: usize| vec![T::ZERO; models * width];
        let idle = Hyper { rule: cfgs[0].rule, lr: T::ZERO, decay: T::ZERO, step: 0, clip: None };
        let stores = cfgs.iter().any(|cfg| cfg.clip_norm.is_some());
        Ok(Self {
            cfgs: cfgs.to_vec(),
            panel,
            weights,
            w_dec_t: zeros(d_in, d_hid)?,
            moments: Moments::zeros(cfgs.iter().map(|cfg| cfg.rule), tensors)?,
            steps: vec![0; models],
            ema: row(d_hid),
            h: zeros(max_batch, d_hid)?,
            delta_out: zeros(max_batch, d_in)?,
            delta_hid: zeros(max_batch, d_hid)?,
            mean: row(d_hid),
            rho_hat: row(d_hid),
            row_term: row(d_hid),
            l1: row(1),
            b_enc_grad: row(d_hid),
            b_dec_grad: row(d_in),
            loss_sums: vec![0.0; models],
            squares: vec![0.0; models],
            hypers: Hypers { matrices: vec![idle; models], biases: vec![idle; models] },
            stored: if stores { Some([zeros(d_in, d_hid)?, zeros(d_hid, d_in)?]) } else { None },
            norms: vec![f64::NAN; models],
            report_norm: false,
            report_weight_decay: true,
        })
    }

    /// One step of every model on the batch `x [n, d_in]`, which all see, or on one such batch a model: forward, backward,
    /// update. `lr` and `reports` have one element a model. The reports are of the weights before the update.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Scalar`] where `x`, `lr` or `reports` does not fit, and those of the backend. The
    /// weights are then as they were.
    pub fn train_step(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: MatRef<'_, T>,
        lr: &[T],
        reports: &mut [StepReport],
    ) -> Result {
        expect("lr", "length", lr.len(), self.models(), "one a model")?;
        lr.iter().try_for_each(|&lr| not_negative("learning rate", lr))?;
        if let Some(steps) = self.steps.iter().find(|&&steps| steps == u64::MAX) {
            let expected = "a number that can still be counted up";
            return Err(Error::Scalar { name: "steps taken", found: steps.to_string(), expected });
        }
        let x = self.fit(x)?;
        if backend.keeps_threads() {
            pool::together(|| self.forward_backward_update(backend, x, lr, reports))
        } else {
            self.forward_backward_update(backend, x, lr, reports)
        }
    }

    fn forward_backward_update(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: MatRef<'_, T>,
        lr: &[T],
        reports: &mut [StepReport],
    ) -> Result {
        let n = x.rows();
        self.forward(backend, x, None, Average::Configured, reports)?;
        // With the decoder's weights as they were in the forward pass: before their update.
        self.backward_hidden(backend, n)?;

        let stores = self.report_norm || self.cfgs.iter().any(|cfg| cfg.clip_norm.is_some());
        if stores {
            self.store_gradients(backend, x)?;
        }
        for (model, cfg) in self.cfgs.iter().enumerate() {
            let decay = T::from_f64(cfg.decay_rate(n));
            let (step, clip) = (self.steps[model] + 1, cfg.clip(self.norms[model]));
            let hyper = Hyper { rule: cfg.rule, lr: lr[model], decay, step, clip };
            self.hypers.matrices[model] = hyper;
            self.hypers.biases[model] = Hyper { decay: T::ZERO, ..hyper };
            reports[model].gradient_norm = self.report_norm.then_some(self.norms[model]);
        }
        let (w, moments, Hypers { matrices, biases }) = (&mut self.weights, &mut self.moments, &self.hypers);

        match self.stored.as_ref().filter(|_| stores) {
            Some([w_enc, w_dec]) => {
                backend.update_matrix(w_dec.view(), moments.w_dec(matrices, w, &mut self.w_dec_t))?;
                backend.update_matrix(w_enc.view(), moments.w_enc(matrices, w))?;
            }
            None => {
                let sink = GradSink::Update(moments.w_dec(matrices, w, &mut self.w_dec_t));
                backend.weight_grad(WeightGrad { a: self.h.top(n)?, delta: self.delta_out.top(n)?, sink })?;
                let sink = GradSink::Update(moments.w_enc(matrices, w));
                backend.weight_grad(WeightGrad { a: x, delta: self.delta_hid.top(n)?, sink })?;
            }
        }

        backend.update_vector(moments.b_dec(biases, w, &self.b_dec_grad))?;
        backend.update_vector(moments.b_enc(biases, w, &self.b_enc_grad))?;

        self.steps.iter_mut().for_each(|steps| *steps += 1);
        self.ema.copy_from_slice(&self.rho_hat);
        Ok(())
    }

    /// Whether reports hold the norm of the gradient. Off at first. The updates do not depend on it, but their cost does:
    /// where it is on, or a model has a `clip_norm`, the gradients of the weights are stored (`2·d_in·d_hid` numbers a
    /// model, allocated here), summed, and read again by the updates, instead of being used up tile by tile.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn report_gradient_norm(&mut self, on: bool) -> Result {
        if on && self.stored.is_none() {
            let (models, d_in, d_hid) = (self.models(), self.d_in(), self.d_hid());
            let zeros = |rows, cols| matrices(models, rows, cols, self.panel);
            self.stored = Some([zeros(d_in, d_hid)?, zeros(d_hid, d_in)?]);
        }
        self.report_norm = on;
        Ok(())
    }

    /// Stores the gradients of the weights, and their norms over all four tensors.
    fn store_gradients(&mut self, backend: &mut dyn Backend<T>, x: MatRef<'_, T>) -> Result {
        let (n, models, d_in, d_hid) = (x.rows(), self.models(), self.d_in(), self.d_hid());
        let Some([w_enc, w_dec]) = &mut self.stored else { return Ok(()) };
        let sink = GradSink::Store(w_dec.view_mut());
        backend.weight_grad(WeightGrad { a: self.h.top(n)?, delta: self.delta_out.top(n)?, sink })?;
        let sink = GradSink::Store(w_enc.view_mut());
        backend.weight_grad(WeightGrad { a: x, delta: self.delta_hid.top(n)?, sink })?;

        let row = |len: usize| Layout::row_major(1, len).batched(models, len);
        let [b_enc, b_dec] = [(&self.b_enc_grad, d_hid), (&self.b_dec_grad, d_in)];
        self.norms.fill(0.0);
        for tensor in
            [w_enc.view(), MatRef::new(b_enc.0, row(b_enc.1))?, w_dec.view(), MatRef::new(b_dec.0, row(b_dec.1))?]
        {
            backend.sum_of_squares(tensor, &mut self.squares)?;
            self.norms.iter_mut().zip(&self.squares).for_each(|(norm, squares)| *norm += squares);
        }
        self.norms.iter_mut().for_each(|norm| *norm = norm.sqrt());
        Ok(())
    }

    /// The objective of a batch, and its reconstruction `x_hat [n, d_in]` by each model where asked for. Nothing is updated;
    /// ρ̂ is the batch's own mean, also where training uses a moving average.
    ///
    /// # Errors
    /// As [`BatchedStep::train_step`].
    pub fn evaluate(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: MatRef<'_, T>,
        x_hat: Option<MatMut<'_, T>>,
        reports: &mut [StepReport],
    ) -> Result {
        let x = self.fit(x)?;
        self.forward(backend, x, x_hat, Average::Batch, reports)
    }

    /// What [`BatchedStep::train_step`] would report for `x`, moving averages included. Nothing is updated.
    ///
    /// # Errors
    /// As [`BatchedStep::train_step`].
    pub fn objective(&mut self, backend: &mut dyn Backend<T>, x: MatRef<'_, T>, reports: &mut [StepReport]) -> Result {
        let x = self.fit(x)?;
        self.forward(backend, x, None, Average::Configured, reports)
    }

    /// The features of a batch of any size, by each model: `h [n, d_hid] = f(x·w_enc + b_enc)`.
    ///
    /// # Errors
    /// [`Error::Shape`], and those of the backend.
    pub fn encode(&self, backend: &mut dyn Backend<T>, x: MatRef<'_, T>, h: MatMut<'_, T>) -> Result {
        backend.encode(Encode {
            x: self.for_each_model(x),
            w: self.weights.w_enc.view(),
            bias: &self.weights.b_enc,
            activation: self.cfgs[0].hidden,
            h,
            col_sums: None,
        })
    }

    /// The gradient of [`BatchedStep::objective`] for each model, for checks: the weight decay is in it where it is part
    /// of the objective. Nothing is updated.
    ///
    /// # Errors
    /// As [`BatchedStep::train_step`].
    pub fn gradients(&mut self, backend: &mut dyn Backend<T>, x: MatRef<'_, T>) -> Result<Vec<Parameters<T>>> {
        let x = self.fit(x)?;
        let (n, models) = (x.rows(), self.models());
        self.forward(backend, x, None, Average::Configured, &mut vec![StepReport::default(); models])?;
        self.backward_hidden(backend, n)?;

        let mut grad = Tensors::zeros(models, self.d_in(), self.d_hid(), self.panel)?;
        grad.b_enc.copy_from_slice(&self.b_enc_grad);
        grad.b_dec.copy_from_slice(&self.b_dec_grad);
        let sink = GradSink::Store(grad.w_dec.view_mut());
        backend.weight_grad(WeightGrad { a: self.h.top(n)?, delta: self.delta_out.top(n)?, sink })?;
        let sink = GradSink::Store(grad.w_enc.view_mut());
        backend.weight_grad(WeightGrad { a: x, delta: self.delta_hid.top(n)?, sink })?;

        let with_decay = |(model, cfg): (usize, &StepConfig<T>)| {
            let (mut grad, w) = (grad.to_parameters(model), self.weights(model));
            if cfg.decay_in_loss() {
                let rate = T::from_f64(cfg.decay_rate(n));
                for (g, w) in [(&mut grad.w_enc, &w.w_enc), (&mut grad.w_dec, &w.w_dec)] {
                    g.iter_mut().zip(w).for_each(|(g, &w)| *g = rate.mul_add(w, *g));
                }
            }
            grad
        };
        Ok(self.cfgs.iter().enumerate().map(with_decay).collect())
    }

    /// `delta_hid` and `b_enc_grad`, from what the forward pass left.
    fn backward_hidden(&mut self, backend: &mut dyn Backend<T>, n: usize) -> Result {
        let any = |which: fn(&Penalty<T>) -> bool| self.cfgs.iter().any(|cfg| which(&cfg.penalty));
        let (has_kl, has_l1) = (any(|p| matches!(p, Penalty::Kl { .. })), any(|p| matches!(p, Penalty::L1 { .. })));
        for (l1, cfg) in self.l1.iter_mut().zip(&self.cfgs) {
            if let Penalty::L1 { beta } = cfg.penalty {
                *l1 = T::from_f64(beta.to_f64() / n as f64);
            }
        }
        backend.hidden_delta(HiddenDelta {
            delta_out: self.delta_out.top(n)?,
            w_t: self.w_dec_t.view(),
            h: self.h.top(n)?,
            activation: self.cfgs[0].hidden,
            row_term: has_kl.then_some(&self.row_term),
            l1: has_l1.then_some(&self.l1),
            delta_hid: self.delta_hid.top_mut(n)?,
            bias_grad: Some(&mut self.b_enc_grad),
        })
    }

    /// A batch that fits, one problem a model.
    fn fit<'x>(&self, x: MatRef<'x, T>) -> Result<MatRef<'x, T>> {
        let x = self.for_each_model(x);
        expect("x", "batch", x.batch(), self.models(), "one a model")?;
        expect("x", "columns", x.cols(), self.d_in(), "d_in")?;
        let (n, most) = (x.rows(), self.max_batch());
        if n == 0 {
            return Err(Error::Scalar { name: "rows of x", found: "0".to_owned(), expected: "at least 1" });
        }
        if n > most {
            let because = "at most the step's max_batch";
            return Err(Error::Shape { operand: "x", dim: "rows", found: n, expected: most, because });
        }
        Ok(x)
    }

    /// A single batch for all models, or one a model as given.
    fn for_each_model<'x>(&self, x: MatRef<'x, T>) -> MatRef<'x, T> {
        if x.batch() == 1 { x.shared(self.models()) } else { x }
    }
}
