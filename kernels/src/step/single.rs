//! A training step of one model: a batch of one.

use crate::backend::Backend;
use crate::ops::Result;
use crate::real::Real;
use crate::view::{MatMut, MatRef};

use super::{BatchedStep, EvalReport, Input, Parameters, Selection, State, StepConfig, StepReport};

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
    batch: BatchedStep<T>,
    /// Whether reports hold the weight decay's term, which takes a pass over the weights. On at first. The updates do
    /// not depend on it.
    pub report_weight_decay: bool,
}

impl<T: Real> Step<T> {
    /// A step for batches of up to `max_batch` samples, all weights 0. `panel` is the
    /// [`panel`](Backend::panel) of the backend it will run on.
    ///
    /// # Errors
    /// [`Error::Scalar`] where a size is 0 or a number of the configuration outside its range, or where
    /// [`Penalty::Kl`](super::Penalty::Kl) meets a hidden activation other than the sigmoid; [`Error::BceActivation`];
    /// [`Error::TooLarge`]; [`Error::ZeroPanel`].
    ///
    /// [`Error::Scalar`]: crate::Error::Scalar
    /// [`Error::BceActivation`]: crate::Error::BceActivation
    /// [`Error::TooLarge`]: crate::Error::TooLarge
    /// [`Error::ZeroPanel`]: crate::Error::ZeroPanel
    pub fn new(d_in: usize, d_hid: usize, max_batch: usize, panel: Option<usize>, cfg: StepConfig<T>) -> Result<Self> {
        let batch = BatchedStep::new(d_in, d_hid, max_batch, panel, &[cfg])?;
        Ok(Self { report_weight_decay: batch.report_weight_decay, batch })
    }

    /// Runs a pass that reports on one model.
    fn report(&mut self, pass: impl FnOnce(&mut BatchedStep<T>, &mut [StepReport]) -> Result) -> Result<StepReport> {
        self.batch.report_weight_decay = self.report_weight_decay;
        let mut reports = [StepReport::default()];
        pass(&mut self.batch, &mut reports)?;
        Ok(reports[0])
    }

    /// Whether reports hold the norm of the gradient. Off at first. The updates do not depend on it, but their cost does:
    /// where it is on, or the configuration has a `clip_norm`, the gradients of the weights are stored (`2·d_in·d_hid`
    /// numbers, allocated here), summed, and read again by the updates, instead of being used up tile by tile.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge).
    pub fn report_gradient_norm(&mut self, on: bool) -> Result {
        self.batch.report_gradient_norm(on)
    }

    /// One step on the samples `x [n, d_in]`, or another [`Input`]: forward, backward, update with learning rate `lr`. The report is of the
    /// weights before the update.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) and [`Error::Scalar`](crate::Error::Scalar) where `x` or `lr` does not fit,
    /// and those of the backend. The weights are then as they were.
    pub fn train_step<'x>(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: impl Into<Input<'x, T>>,
        lr: T,
    ) -> Result<StepReport> {
        self.report(|batch, reports| batch.train_step(backend, x, &[lr], reports))
    }

    /// The objective of a batch, and its reconstruction `x_hat [n, d_in]` where asked for. Nothing is updated; ρ̂ is the
    /// batch's own mean, also where training uses a moving average.
    ///
    /// # Errors
    /// As [`Step::train_step`].
    pub fn evaluate<'x>(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: impl Into<Input<'x, T>>,
        x_hat: Option<MatMut<'_, T>>,
    ) -> Result<EvalReport> {
        self.report(|batch, reports| batch.evaluate(backend, x, x_hat, reports))
    }

    /// What [`Step::train_step`] would report for `x`, moving average included. Nothing is updated.
    ///
    /// # Errors
    /// As [`Step::train_step`].
    pub fn objective<'x>(&mut self, backend: &mut dyn Backend<T>, x: impl Into<Input<'x, T>>) -> Result<StepReport> {
        self.report(|batch, reports| batch.objective(backend, x, reports))
    }

    /// The features of a batch of any size: `h [n, d_hid] = f(x·w_enc + b_enc)`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape), and those of the backend.
    pub fn encode(&self, backend: &mut dyn Backend<T>, x: MatRef<'_, T>, h: MatMut<'_, T>) -> Result {
        self.batch.encode(backend, x, h)
    }

    /// The gradient of [`Step::objective`], for checks: the weight decay is in it where it is part of the objective.
    /// Nothing is updated.
    ///
    /// # Errors
    /// As [`Step::train_step`].
    pub fn gradients<'x>(&mut self, backend: &mut dyn Backend<T>, x: impl Into<Input<'x, T>>) -> Result<Parameters<T>> {
        Ok(self.batch.gradients(backend, x)?.remove(0))
    }

    /// What [`Step::objective`] reports, and its gradient, as [`BatchedStep::objective_and_gradients`] has it: for optimisers of
    /// the caller's. Nothing is updated.
    ///
    /// # Errors
    /// As [`Step::train_step`].
    pub fn objective_and_gradients<'x>(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: impl Into<Input<'x, T>>,
    ) -> Result<(StepReport, Parameters<T>)> {
        let mut gradients = Parameters::default();
        let report = self.report(|batch, reports| {
            gradients = batch.objective_and_gradients(backend, x, reports)?.remove(0);
            Ok(())
        })?;
        Ok((report, gradients))
    }

    /// Goes on with other numbers of the selection: k over the epochs, for example.
    ///
    /// # Errors
    /// [`Error::Scalar`](crate::Error::Scalar) where a number is outside its range, or the selection of another kind.
    pub fn set_selection(&mut self, selection: Selection<T>) -> Result {
        self.batch.set_selection(0, selection)
    }

    /// Input width.
    pub fn d_in(&self) -> usize {
        self.batch.d_in()
    }

    /// Hidden width.
    pub fn d_hid(&self) -> usize {
        self.batch.d_hid()
    }

    /// The most samples a batch may have.
    pub fn max_batch(&self) -> usize {
        self.batch.max_batch()
    }

    /// The configuration.
    pub fn config(&self) -> &StepConfig<T> {
        &self.batch.configs()[0]
    }

    /// A copy of the weights.
    pub fn weights(&self) -> Parameters<T> {
        self.batch.weights(0)
    }

    /// Overwrites the weights. The optimiser's state stays.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape); the weights are then as they were.
    pub fn set_weights(&mut self, weights: &Parameters<T>) -> Result {
        self.batch.set_weights(0, weights)
    }

    /// The encoder's weights `[d_in, d_hid]`, in place.
    pub fn w_enc(&self) -> MatRef<'_, T> {
        self.batch.w_enc()
    }

    /// The decoder's weights `[d_hid, d_in]`, in place.
    pub fn w_dec(&self) -> MatRef<'_, T> {
        self.batch.w_dec()
    }

    /// `‖w_enc‖² + ‖w_dec‖²`.
    pub fn squared_norm(&self, backend: &mut dyn Backend<T>) -> f64 {
        let mut norm = [0.0];
        self.batch.squared_norms(backend, &mut norm).expect("there is one model and room for one norm");
        norm[0]
    }

    /// The hidden activations of the last pass's first `n` samples.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where `n` is more than `max_batch`.
    pub fn hidden(&self, n: usize) -> Result<MatRef<'_, T>> {
        self.batch.hidden(0, n)
    }

    /// `[d_hid]`: the mean activations of the last pass's batch.
    pub fn batch_mean(&self) -> &[T] {
        self.batch.batch_mean(0)
    }

    /// `[d_hid]`: the ρ̂ of the last pass, moving average included where the pass had one. Not clamped.
    pub fn rho_hat(&self) -> &[T] {
        self.batch.rho_hat(0)
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.batch.steps(0)
    }

    /// A copy of what is remembered besides the weights, for a checkpoint.
    pub fn state(&self) -> State<T> {
        self.batch.state(0)
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) or [`Error::MissingState`](crate::Error::MissingState) where the state is of
    /// another model or rule; nothing is then changed.
    pub fn set_state(&mut self, state: &State<T>) -> Result {
        self.batch.set_state(0, state)
    }
}
