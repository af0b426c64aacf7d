//! The training loop.

use std::sync::Arc;
use std::time::Instant;

use sae_kernels::step::{Input, Parameters, StepReport};
use sae_kernels::{Backend, BackendKind, Isa, Step, backend};

use super::feed::Feed;
use super::full_batch::FullBatch;
use super::memory::{most_rows, training_bytes};
use super::metrics::{EpochMeasures, Measures, Validation};
use super::noise::Denoising;
use super::{Best, Plan, RunState, Schedule, TrainingSet};
use crate::config::{Config, Init, OptimizerKind, TrainConfig};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::measure::{Laps, Phase, Timed};
use crate::memory;
use crate::model::file::ModelFile;
use crate::model::{
    Batch, Evaluation, Seen, evaluate, evaluate_pieces, initial_weights, objective, reconstruct, step_config, tie,
};

/// Trains one model on one set.
///
/// Everything random comes from the seed. On the fused backend every number it reports, but for times, and every weight
/// is the same for any number of threads; run it inside the rayon pool whose threads it is to use.
///
/// ```
/// use sae_harness::Config;
/// use sae_harness::train::{Part, Silent, Trainer};
///
/// let config = Config::parse("[train]\nepochs = 2\n[model]\nd_hid = 16", "example", &[])?;
/// let mut trainer = Trainer::new(config)?;
/// let before = trainer.evaluate(Part::Test)?.expect("a tenth is held out");
/// let summary = trainer.run(&mut Silent)?;
/// let after = trainer.evaluate(Part::Test)?.expect("a tenth is held out");
/// assert_eq!(summary.epochs, 2);
/// assert!(after.terms.loss < before.terms.loss);
/// # Ok::<(), sae_harness::Error>(())
/// ```
pub struct Trainer {
    config: Config,
    set: Arc<TrainingSet>,
    plan: Plan,
    schedule: Schedule,
    backend: Timed,
    pub(super) step: Step,
    batch: Batch,
    feed: Box<dyn Feed>,
    /// Where inputs are corrupted.
    denoising: Option<Denoising>,
    /// Where the optimiser takes all rows at once.
    pub(super) full_batch: Option<FullBatch>,
    pub(super) state: RunState,
    /// The weights of the best epoch, where the run may stop early.
    pub(super) best: Option<Parameters>,
    /// Where the time of this process's steps went, and of the fetching of their batches.
    laps: Laps,
    fetching: f64,
}

/// Who is told how a run goes. An error ends the run.
pub trait Observer {
    /// After a step.
    ///
    /// # Errors
    /// Whatever should end the run.
    fn step(&mut self, measures: &Measures) -> Result {
        let _ = measures;
        Ok(())
    }

    /// After an epoch, and after the last step where that is inside one.
    ///
    /// # Errors
    /// Whatever should end the run.
    fn epoch(&mut self, measures: &EpochMeasures) -> Result {
        let _ = measures;
        Ok(())
    }
}

/// Nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// A part of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is trained on.
    Train,
    /// What the training is watched by.
    Validation,
    /// What the result is judged by.
    Test,
}

/// A run that is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Updates.
    pub steps: u64,
    /// Epochs begun.
    pub epochs: u64,
    /// Seconds spent in steps, the gathering of their batches included; validation is not.
    pub seconds: f64,
    /// Of them, those in which the training waited for rows, where they are streamed.
    pub waited: Option<f64>,
    /// Training samples in one of those seconds.
    pub samples_per_s: f64,
    /// The last epoch.
    pub last: EpochMeasures,
    /// The epoch whose weights are the result, where the run could stop early.
    pub best: Option<Best>,
    /// Whether it did.
    pub stopped_early: bool,
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { config, plan, state, .. } = self;
        f.debug_struct("Trainer")
            .field("config", config)
            .field("plan", plan)
            .field("state", state)
            .finish_non_exhaustive()
    }
}

impl Trainer {
    /// Loads, divides and preprocesses the data that `config` names, and sets the weights up.
    ///
    /// # Errors
    /// Those of [`TrainingSet::load`] and of [`Trainer::with_set`].
    pub fn new(config: Config) -> Result<Self> {
        let set = TrainingSet::load(&config)?;
        Self::with_set(config, set)
    }

    /// Trains on a set that is ready.
    ///
    /// # Errors
    /// [`Error::Setting`] where the settings do not fit the set or the memory, those of the initial weights' file, and
    /// those of the backend.
    pub fn with_set(config: Config, set: impl Into<Arc<TrainingSet>>) -> Result<Self> {
        Self::build(config, set.into(), None)
    }

    /// The same from given weights.
    ///
    /// # Errors
    /// As [`Trainer::with_set`], and where the weights are of another shape.
    pub fn from_weights(config: Config, set: impl Into<Arc<TrainingSet>>, weights: &Parameters) -> Result<Self> {
        Self::build(config, set.into(), Some(weights))
    }

    /// A trainer before its first step, with `weights` or those that the settings name.
    pub(super) fn build(config: Config, set: Arc<TrainingSet>, weights: Option<&Parameters>) -> Result<Self> {
        config.validate()?;
        let takes_all = config.optimizer.kind == OptimizerKind::Lbfgs;
        let plan = if takes_all {
            if set.stream.is_some() {
                let found = "lbfgs with data that are streamed";
                let expected = "a data.buffer_mib that holds all rows, or another optimizer";
                return Err(Error::setting("optimizer.kind", found, expected));
            }
            Plan::new(&TrainConfig { batch: set.train.rows, ..config.train.clone() }, set.train.rows)?
        } else {
            Plan::new(&config.train, set.train_rows())?
        };
        let (d_in, d_hid) = (set.train.cols, config.model.d_hid);
        let cfg = step_config(&config);
        let what = format!("a model of {d_in} x {d_hid} with batches of {}", plan.batch);
        memory::require("model.d_hid", &what, training_bytes(&config, d_in, plan.batch))?;
        let backend = Timed::new(backend(config.backend)?);
        let mut step = Step::new(d_in, d_hid, most_rows(&config, plan.batch), backend.panel(), cfg)?;
        match weights {
            Some(weights) => step.set_weights(weights)?,
            None => {
                let mut weights = initial_weights(&config.model.init, d_in, d_hid, config.seed)?;
                if config.model.tied && config.model.init == Init::Xavier {
                    tie(&mut weights);
                }
                step.set_weights(&weights).map_err(|e| match e {
                    sae_kernels::Error::Scalar { .. } => {
                        let found = format!("{} with model.tied true", config.model.init);
                        Error::setting("model.init", found, "a file whose W_dec is W_enc transposed, or xavier")
                    }
                    e => e.into(),
                })?;
            }
        }
        let batch = Batch::new(plan.batch, d_in, backend.panel())?;
        let denoising = Denoising::new(&config.noise, config.seed, &set.train, plan.batch, backend.panel())?;
        let full_batch = takes_all.then(|| FullBatch::new(&config.optimizer));
        // All rows are the same in any order, but for roundings, which a line search would see.
        let mut order = config.clone();
        order.train.shuffle &= !takes_all;
        let feed = set.feed(plan, &order);
        let schedule = Schedule::new(&config, plan.steps);
        Ok(Self {
            config,
            set,
            plan,
            schedule,
            backend,
            step,
            batch,
            feed,
            denoising,
            full_batch,
            state: RunState::default(),
            best: None,
            laps: [0.0; _],
            fetching: 0.0,
        })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The data.
    pub fn set(&self) -> &TrainingSet {
        &self.set
    }

    /// The steps of the whole run.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Seconds that each part of the steps took, in this process; `data` is the fetching of batches.
    pub fn phases(&self) -> Vec<(&'static str, f64)> {
        let phases = Phase::ALL.into_iter().map(|phase| (phase.name(), self.laps[phase as usize]));
        [("data", self.fetching)].into_iter().chain(phases).collect()
    }

    /// How far the run is.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// Whether the run has come to its end: its last step, or as many epochs without a better one as it waits for.
    pub fn is_done(&self) -> bool {
        self.state.step >= self.plan.steps || self.state.has_converged || self.stops_early()
    }

    fn stops_early(&self) -> bool {
        let patience = self.config.early_stopping.patience;
        patience > 0 && self.state.bad_epochs >= patience
    }

    /// Who carries the operations out, and on which instruction set.
    pub fn backend(&self) -> (BackendKind, Isa) {
        (self.backend.kind(), self.backend.isa())
    }

    /// Trains up to the end, and leaves the weights of [`Trainer::finish`].
    ///
    /// # Errors
    /// As [`Trainer::advance`].
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<Summary> {
        while !self.is_done() {
            self.advance(observer)?;
        }
        self.finish()
    }

    /// One step, and the end of the epoch where it is the epoch's last. A run can be stopped, saved and continued between
    /// any two calls. After the last step it does nothing.
    ///
    /// # Errors
    /// [`Error::Failed`] where the loss of the step is not finite, naming step and rows; those of the data, of the backend
    /// and of `observer`.
    pub fn advance(&mut self, observer: &mut dyn Observer) -> Result {
        if self.is_done() {
            return Ok(());
        }
        let start = Instant::now();
        let position = self.state.position;
        self.feed.fetch(&self.set, position, &mut self.batch)?;
        self.fetching += start.elapsed().as_secs_f64();
        self.step.report_gradient_norm(self.takes_norm() && self.full_batch.is_none())?;
        self.backend.begin();
        let lr = self.rate();
        let report = self.update(lr as f32)?;
        self.laps.iter_mut().zip(self.backend.end()).for_each(|(sum, lap)| *sum += lap);
        self.take(&report, start.elapsed().as_secs_f64(), None, observer)
    }

    /// Whether the norm of the next step's gradient is recorded. It costs time, for which a step an epoch is little; where
    /// gradients are clipped by their norm, it is there anyway.
    fn takes_norm(&self) -> bool {
        let TrainConfig { gradient_norm_steps: every, tensorboard, .. } = self.config.train;
        let RunState { step, position, .. } = &self.state;
        let due = every > 0 && step.is_multiple_of(every);
        due || tensorboard && position.batch == 0 || self.step.config().clip_norm.is_some()
    }

    /// The learning rate of the next step.
    pub(super) fn rate(&self) -> f64 {
        self.schedule.rate(self.state.step, &self.state.plateau)
    }

    /// Whether the next step is the last of its epoch or of the run.
    pub(super) fn ends_epoch(&self) -> bool {
        self.state.position.batch + 1 == self.plan.steps_per_epoch || self.state.step + 1 >= self.plan.steps
    }

    /// Takes a step in that was made here or, on the batch that `feed` fetched last, elsewhere.
    ///
    /// # Errors
    /// As [`Trainer::advance`].
    pub(super) fn take(
        &mut self,
        report: &StepReport,
        seconds: f64,
        feed: Option<&dyn Feed>,
        observer: &mut dyn Observer,
    ) -> Result {
        let (epoch, lr) = (self.state.position.epoch, self.rate());
        let denoising = self.config.noise.is_paired().then_some(report.denoising);
        let feed = feed.unwrap_or(self.feed.as_ref());
        let waited = feed.waited();
        let mut measures = measures(report, self.state.step + 1, epoch, lr, report.n as f64 / seconds);
        (measures.denoising, measures.stall_ms) = (denoising, waited.map(|seconds| 1e3 * seconds));
        self.state.add(report, denoising, seconds, waited);
        observer.step(&measures)?;
        self.check(report, epoch, feed)?;
        if self.state.position.batch == self.plan.steps_per_epoch || self.is_done() {
            self.end_epoch(lr, observer)?;
        }
        Ok(())
    }

    /// One update on the batch that was fetched; its report is of the weights before.
    fn update(&mut self, lr: f32) -> Result<StepReport> {
        let (position, clean) = (self.state.position, self.batch.view()?);
        self.step.set_selection(objective::selection_of(&self.config, position.epoch))?;
        if let Some(full_batch) = &mut self.full_batch {
            let iteration = full_batch.step(&mut self.step, &mut self.backend, clean)?;
            self.state.has_converged = iteration.has_converged;
            return Ok(iteration.report);
        }
        let input = match &mut self.denoising {
            Some(denoising) => denoising.input(clean, &self.feed.rows(&self.set), position)?,
            None => Input::Clean(clean),
        };
        Ok(self.step.train_step(&mut self.backend, input, lr)?)
    }

    /// Measures the epoch. One that the last step cut short stays where it is, so that a longer run could go on with it.
    fn end_epoch(&mut self, lr: f64, observer: &mut dyn Observer) -> Result {
        let RunState { step, position, .. } = self.state;
        let train = self.state.mean.measures(step, position.epoch, lr);
        let validation = self.validate()?;
        let last = EpochMeasures { train, validation };
        self.state.last = Some(last.clone());
        if let Some(loss) = last.validation.val_loss {
            self.schedule.observe(loss, &mut self.state.plateau);
            self.keep_best(loss);
        }
        if position.batch == self.plan.steps_per_epoch {
            self.state.next_epoch();
        }
        observer.epoch(&last)
    }

    /// Keeps the weights as they are where `loss`, of validation, is the best so far.
    fn keep_best(&mut self, loss: f64) {
        if self.config.early_stopping.patience == 0 {
            return;
        }
        let RunState { step, position, best, bad_epochs, .. } = &mut self.state;
        let least = self.config.early_stopping.min_delta;
        if loss.is_finite() && best.as_ref().is_none_or(|best| loss < best.val_loss - least) {
            *best = Some(Best { step: *step, epoch: position.epoch, val_loss: loss });
            *bad_epochs = 0;
            self.best = Some(self.step.weights());
        } else {
            *bad_epochs += 1;
        }
    }

    /// Ends the run: where it could stop early, its weights are then those of its best epoch. What it came to.
    ///
    /// # Errors
    /// [`Error::Failed`] before the end of the first epoch.
    pub fn finish(&mut self) -> Result<Summary> {
        let state = &self.state;
        let Some(last) = state.last.clone() else {
            return Err(Error::Failed(format!("step {}: no epoch has ended yet", state.step)));
        };
        if let Some(best) = &self.best {
            self.step.set_weights(best)?;
        }
        Ok(Summary {
            steps: state.step,
            epochs: state.epochs(),
            seconds: state.seconds(),
            waited: state.waited(),
            samples_per_s: state.samples_per_s(),
            last,
            best: state.best.clone(),
            stopped_early: self.stops_early(),
        })
    }

    fn check(&self, report: &StepReport, epoch: u64, feed: &dyn Feed) -> Result {
        /// Rows that are named; a message is one line.
        const NAMED: usize = 8;
        if report.loss.is_finite() {
            return Ok(());
        }
        let StepReport { loss, reconstruction, sparsity, weight_decay, .. } = report;
        let rows = feed.rows(&self.set);
        let named: Vec<String> = rows.iter().take(NAMED).map(u64::to_string).collect();
        let more = if rows.len() > NAMED { format!(" and {} more", rows.len() - NAMED) } else { String::new() };
        Err(Error::Failed(format!(
            "step {} (epoch {epoch}, rows {}{more}): the loss is {loss} (reconstruction {reconstruction}, sparsity \
             {sparsity}, weight decay {weight_decay}), expected a finite number; try an optimizer.lr below {}",
            self.state.step,
            named.join(", "),
            self.config.optimizer.lr
        )))
    }

    fn validate(&mut self) -> Result<Validation> {
        let Some(found) = self.evaluate(Part::Validation)? else { return Ok(Validation::default()) };
        Ok(Validation {
            val_loss: Some(found.terms.loss),
            val_reconstruction: Some(found.terms.reconstruction),
            val_sparsity: Some(found.terms.sparsity),
            val_mse: Some(found.mse),
            val_rho_hat_mean: Some(found.activity.rho_hat_mean()),
            val_active_percent: Some(found.activity.active_percent()),
        })
    }

    /// Evaluates the model as it is on a part of the set; `None` where that has no rows.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn evaluate(&mut self, part: Part) -> Result<Option<Evaluation>> {
        let set: &Dataset = match part {
            Part::Train => &self.set.train,
            Part::Validation => &self.set.validation,
            Part::Test => &self.set.test,
        };
        if set.rows == 0 {
            return Ok(None);
        }
        let threshold = self.config.train.threshold_active as f32;
        self.step.set_selection(objective::selection_used(&self.config))?;
        if let (Part::Train, Some(stream)) = (part, &self.set.stream) {
            let most = self.plan.batch;
            let pieces = |take: &mut dyn FnMut(&[f32]) -> Result| stream.each(most, take);
            return evaluate_pieces(&mut self.step, &mut self.backend, &mut self.batch, threshold, pieces).map(Some);
        }
        evaluate(&mut self.step, &mut self.backend, &mut self.batch, &set.data, threshold).map(Some)
    }

    /// What the model as it is makes of preprocessed `rows`, at most a batch of them.
    ///
    /// # Errors
    /// As [`reconstruct`].
    pub fn look<T>(&mut self, rows: &[f32], mut each: impl FnMut(Seen<'_>) -> Result<T>) -> Result<Option<T>> {
        let rows = &rows[..rows.len().min(self.plan.batch * self.step.d_in())];
        let mut found = None;
        self.step.set_selection(objective::selection_used(&self.config))?;
        reconstruct(&mut self.step, &mut self.backend, &mut self.batch, rows, |seen| {
            found = Some(each(seen)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// The weights, in place: `w_enc [d_in, d_hid]` and `w_dec [d_hid, d_in]`.
    pub fn weights(&self) -> [sae_kernels::MatRef<'_>; 2] {
        [self.step.w_enc(), self.step.w_dec()]
    }

    /// The model as it is, with its preprocessing.
    ///
    /// # Errors
    /// [`Error::Failed`] where the preprocessing cannot be written as JSON.
    pub fn model(&self) -> Result<ModelFile> {
        let Parameters { w_enc, b_enc, w_dec, b_dec } = self.step.weights();
        let preprocessing = serde_json::to_value(&self.set.preprocessing)
            .map_err(|e| Error::Failed(format!("preprocessing: cannot be written as JSON: {e}")))?;
        let cfg = objective::model_config(&self.config, self.set.train.image, preprocessing);
        let (d_in, d_hid) = (self.step.d_in(), self.step.d_hid());
        Ok(ModelFile { w_enc, b_enc, w_dec, b_dec, d_in, d_hid, cfg })
    }
}

fn measures(report: &StepReport, step: u64, epoch: u64, lr: f64, samples_per_s: f64) -> Measures {
    Measures {
        step,
        epoch,
        loss: report.loss,
        reconstruction: report.reconstruction,
        sparsity: report.sparsity,
        weight_decay: report.weight_decay,
        denoising: None,
        rho_hat_mean: report.rho_hat_mean,
        lr,
        samples_per_s,
        stall_ms: None,
        gradient_norm: report.gradient_norm,
    }
}
