//! Training steps of several models of one shape, each operation one call for all of them.

use crate::backend::Backend;
use crate::error::{Error, expect};
use crate::matrix::Matrix;
use crate::ops::{GradSink, Hyper, Result, UpdateMatrix, WeightGrad};
use crate::pool;
use crate::real::Real;
use crate::view::{MatMut, MatRef};

use super::config::not_negative;
use super::dropout::{Dropout, Dropped, code};
use super::forward::Average;
use super::input::Samples;
use super::optimizer::Moments;
use super::parameters::{Tensors, matrices};
use super::{Input, Selection, StepConfig, StepReport};

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
    pub(super) panel: Option<usize>,
    pub(super) weights: Tensors<T>,
    /// `[d_in, d_hid]`: with tied weights the encoder's.
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
    pub(super) delta_hid: Matrix<T>,
    /// Where there is dropout.
    pub(super) dropped: Option<Dropped<T>>,
    /// k and θ of each model's selection.
    pub(super) ks: Vec<usize>,
    pub(super) thresholds: Vec<T>,
    /// `[d_hid]` a model: the last batch's mean activations.
    pub(super) mean: Vec<T>,
    /// `[d_hid]` a model: the ρ̂ of the last pass.
    pub(super) rho_hat: Vec<T>,
    /// `[d_hid]` a model: the KL penalties' gradients; 0 for models without one.
    pub(super) row_term: Vec<T>,
    /// The L1 penalties' gradients; 0 for models without one.
    pub(super) l1: Vec<T>,
    pub(super) b_enc_grad: Vec<T>,
    pub(super) b_dec_grad: Vec<T>,
    /// The biases' gradients from corrupted copies of samples: `b_enc`, `b_dec`.
    pub(super) paired_grads: [Vec<T>; 2],
    pub(super) loss_sums: Vec<f64>,
    /// Sums of squares of one matrix a model.
    pub(super) squares: Vec<f64>,
    hypers: Hypers<T>,
    /// Where gradients are stored, if they are: `w_enc`, `w_dec`.
    pub(super) stored: Option<[Matrix<T>; 2]>,
    pub(super) norms: Vec<f64>,
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
        let h = zeros(max_batch, d_hid)?;
        // Behind the matrices, which have found that these fit in memory.
        let row = |width: usize| vec![T::ZERO; models * width];
        let idle = Hyper { rule: cfgs[0].rule, lr: T::ZERO, decay: T::ZERO, decoupled: false, step: 0, clip: None };
        let stores = cfgs.iter().any(StepConfig::stores_gradients);
        Ok(Self {
            cfgs: cfgs.to_vec(),
            panel,
            weights,
            w_dec_t: zeros(d_in, d_hid)?,
            moments: Moments::zeros(cfgs.iter().map(|cfg| cfg.rule), tensors)?,
            steps: vec![0; models],
            ema: row(d_hid),
            dropped: cfgs[0].dropout.map(|_| Dropped::like(&h)).transpose()?,
            h,
            delta_out: zeros(max_batch, d_in)?,
            delta_hid: zeros(max_batch, d_hid)?,
            ks: cfgs.iter().map(|cfg| cfg.selection.k()).collect(),
            thresholds: cfgs.iter().map(|cfg| cfg.selection.threshold()).collect(),
            mean: row(d_hid),
            rho_hat: row(d_hid),
            row_term: row(d_hid),
            l1: row(1),
            b_enc_grad: row(d_hid),
            b_dec_grad: row(d_in),
            paired_grads: [row(d_hid), row(d_in)],
            loss_sums: vec![0.0; models],
            squares: vec![0.0; models],
            hypers: Hypers { matrices: vec![idle; models], biases: vec![idle; models] },
            stored: if stores { Some([zeros(d_in, d_hid)?, zeros(d_hid, d_in)?]) } else { None },
            norms: vec![f64::NAN; models],
            report_norm: false,
            report_weight_decay: true,
        })
    }

    /// One step of every model on the samples `x [n, d_in]`, which all see, or on one such batch a model: forward, backward,
    /// update. `lr` and `reports` have one element a model. The reports are of the weights before the update.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Scalar`] where `x`, `lr` or `reports` does not fit, and those of the backend. The
    /// weights are then as they were.
    pub fn train_step<'x>(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: impl Into<Input<'x, T>>,
        lr: &[T],
        reports: &mut [StepReport],
    ) -> Result {
        expect("lr", "length", lr.len(), self.models(), "one a model")?;
        lr.iter().try_for_each(|&lr| not_negative("learning rate", lr))?;
        if let Some(steps) = self.steps.iter().find(|&&steps| steps == u64::MAX) {
            let expected = "a number that can still be counted up";
            return Err(Error::Scalar { name: "steps taken", found: steps.to_string(), expected });
        }
        let samples = self.fit(x)?;
        if backend.keeps_threads() {
            pool::together(|| self.forward_backward_update(backend, &samples, lr, reports))
        } else {
            self.forward_backward_update(backend, &samples, lr, reports)
        }
    }

    fn forward_backward_update(
        &mut self,
        backend: &mut dyn Backend<T>,
        samples: &Samples<'_, T>,
        lr: &[T],
        reports: &mut [StepReport],
    ) -> Result {
        let (n, rows, tied) = (samples.n, samples.rows(), self.cfgs[0].tied);
        self.forward(backend, samples, None, Average::Configured, reports)?;
        // With the decoder's weights as they were in the forward pass: before their update.
        self.backward_hidden(backend, samples)?;

        let norms = self.report_norm || self.cfgs.iter().any(|cfg| cfg.clip_norm.is_some());
        let stores = norms || tied;
        if stores {
            self.store_gradients(backend, samples, norms)?;
        }
        for (model, cfg) in self.cfgs.iter().enumerate() {
            let decay = T::from_f64(cfg.decay_rate(n));
            let (step, clip) = (self.steps[model] + 1, cfg.clip(self.norms[model]));
            let decoupled = cfg.decoupled_decay;
            let hyper = Hyper { rule: cfg.rule, lr: lr[model], decay, decoupled, step, clip };
            self.hypers.matrices[model] = hyper;
            self.hypers.biases[model] = Hyper { decay: T::ZERO, ..hyper };
            reports[model].gradient_norm = self.report_norm.then_some(self.norms[model]);
        }
        let (w, moments, Hypers { matrices, biases }) = (&mut self.weights, &mut self.moments, &self.hypers);

        match self.stored.as_ref().filter(|_| stores) {
            Some([w_enc, w_dec]) => {
                backend.update_matrix(w_dec.view(), moments.w_dec(matrices, w, &mut self.w_dec_t))?;
                if !tied {
                    backend.update_matrix(w_enc.view(), moments.w_enc(matrices, w))?;
                }
            }
            None => {
                let code = code(&self.dropped, &self.h).top(rows)?;
                let (delta_out, delta_hid) = (self.delta_out.top(rows)?, self.delta_hid.top(rows)?);
                let mut update = |a: MatRef<'_, T>, delta: MatRef<'_, T>, w: UpdateMatrix<'_, T>| {
                    backend.weight_grad(WeightGrad { a, delta, sink: GradSink::Update(w) })
                };
                // Samples that no target is made of have been in no operation that is particular about panels: they come
                // first, so that nothing has changed where they are refused.
                if samples.is_corrupted {
                    update(samples.x, delta_hid, moments.w_enc(matrices, w))?;
                }
                update(code, delta_out, moments.w_dec(matrices, w, &mut self.w_dec_t))?;
                if !samples.is_corrupted {
                    update(samples.x, delta_hid, moments.w_enc(matrices, w))?;
                }
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

    /// The objective of a batch, and its reconstruction `x_hat [n, d_in]` by each model where asked for. Nothing is updated;
    /// ρ̂ is the batch's own mean, also where training uses a moving average, and no unit is dropped.
    ///
    /// # Errors
    /// As [`BatchedStep::train_step`].
    pub fn evaluate<'x>(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: impl Into<Input<'x, T>>,
        x_hat: Option<MatMut<'_, T>>,
        reports: &mut [StepReport],
    ) -> Result {
        let samples = self.fit(x)?;
        self.forward(backend, &samples, x_hat, Average::Batch, reports)
    }

    /// What [`BatchedStep::train_step`] would report for `x`, moving averages and dropout included. Nothing is updated.
    ///
    /// # Errors
    /// As [`BatchedStep::train_step`].
    pub fn objective<'x>(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: impl Into<Input<'x, T>>,
        reports: &mut [StepReport],
    ) -> Result {
        let samples = self.fit(x)?;
        self.forward(backend, &samples, None, Average::Configured, reports)
    }

    /// Goes on with other numbers of a model's selection: k over the epochs, for example.
    ///
    /// # Errors
    /// [`Error::Scalar`] where a number is outside its range, or the selection of another kind.
    pub fn set_selection(&mut self, model: usize, selection: Selection<T>) -> Result {
        self.is_there(model)?;
        selection.check()?;
        let own = &mut self.cfgs[model].selection;
        if !selection.is_like(own) {
            let expected = "the kind of selection that the step was made for";
            return Err(Error::Scalar { name: "selection", found: selection.name().to_owned(), expected });
        }
        *own = selection;
        (self.ks[model], self.thresholds[model]) = (selection.k(), selection.threshold());
        Ok(())
    }

    /// Drops units of the last pass, where it is one of training.
    pub(super) fn drop_units(&mut self, rows: usize, average: Average) {
        let (cfgs, steps) = (&self.cfgs, &self.steps);
        let Some(dropped) = &mut self.dropped else { return };
        match average {
            Average::Configured => {
                let idle = Dropout { rate: T::ZERO, seed: 0 };
                dropped.fill(&self.h, rows, |model| (cfgs[model].dropout.unwrap_or(idle), steps[model]));
            }
            Average::Batch => dropped.clear(),
        }
    }
}
