//! The training loop.

use std::time::Instant;

use sae_kernels::step::StepReport;
use sae_kernels::{Backend, BackendKind, Isa, Step, backend};

use super::metrics::{EpochMeasures, Measures, Validation};
use super::{Schedule, TrainingSet};
use crate::config::Config;
use crate::data::{Dataset, epoch_order};
use crate::error::{Error, Result};
use crate::model::file::ModelFile;
use crate::model::{Batch, Evaluation, evaluate, initial_weights, objective, require_memory, step_bytes, step_config};

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
    set: TrainingSet,
    schedule: Schedule,
    backend: Box<dyn Backend>,
    step: Step,
    batch: Batch,
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
    /// Training samples in one of those seconds.
    pub samples_per_s: f64,
    /// The last epoch.
    pub last: EpochMeasures,
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { config, schedule, .. } = self;
        f.debug_struct("Trainer").field("config", config).field("schedule", schedule).finish_non_exhaustive()
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
    pub fn with_set(config: Config, set: TrainingSet) -> Result<Self> {
        config.validate()?;
        let schedule = Schedule::new(&config.train, set.train.rows)?;
        let (d_in, d_hid) = (set.train.cols, config.model.d_hid);
        let cfg = step_config(&config);
        let moments = usize::from(cfg.rule.keeps_m()) + usize::from(cfg.rule.keeps_v());
        let what = format!("a model of {d_in} x {d_hid} with batches of {}", schedule.batch);
        require_memory("model.d_hid", &what, step_bytes(d_in, d_hid, schedule.batch, moments))?;
        let weights = initial_weights(&config.model.init, d_in, d_hid, config.seed)?;
        let backend = backend(config.backend)?;
        let mut step = Step::new(d_in, d_hid, schedule.batch, backend.panel(), cfg)?;
        step.set_weights(&weights)?;
        let batch = Batch::new(schedule.batch, d_in, backend.panel())?;
        Ok(Self { config, set, schedule, backend, step, batch })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The data.
    pub fn set(&self) -> &TrainingSet {
        &self.set
    }

    /// The steps to come.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// Who carries the operations out, and on which instruction set.
    pub fn backend(&self) -> (BackendKind, Isa) {
        (self.backend.kind(), self.backend.isa())
    }

    /// Trains from the first step to the last.
    ///
    /// # Errors
    /// [`Error::Failed`] where the loss of a step is not finite, naming the step; those of the backend and of `observer`.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<Summary> {
        let Schedule { steps_per_epoch, steps, .. } = self.schedule;
        let (mut done, mut epoch, mut seconds, mut samples) = (0, 0, 0.0, 0);
        loop {
            let order = epoch_order(self.set.train.rows, self.config.train.shuffle, self.config.seed, epoch);
            let mut mean = Mean::default();
            for index in 0..steps_per_epoch.min(steps - done) {
                let start = Instant::now();
                self.batch.gather(&self.set.train.data, self.schedule.rows(&order, index))?;
                let lr = self.config.optimizer.lr;
                let report = self.step.train_step(&mut *self.backend, self.batch.view()?, lr as f32)?;
                let took = start.elapsed().as_secs_f64();
                done += 1;
                mean.add(&report, took);
                observer.step(&measures(&report, done, epoch, lr, report.n as f64 / took))?;
                self.check(&report, done, epoch)?;
            }
            seconds += mean.seconds;
            samples += mean.samples;
            let train = mean.measures(done, epoch, self.config.optimizer.lr);
            let validation = self.validate()?;
            let last = EpochMeasures { train, validation };
            observer.epoch(&last)?;
            epoch += 1;
            if done == steps {
                let samples_per_s = samples as f64 / seconds;
                return Ok(Summary { steps: done, epochs: epoch, seconds, samples_per_s, last });
            }
        }
    }

    fn check(&self, report: &StepReport, step: u64, epoch: u64) -> Result {
        if report.loss.is_finite() {
            return Ok(());
        }
        let StepReport { loss, reconstruction, sparsity, weight_decay, .. } = report;
        Err(Error::Failed(format!(
            "step {step} (epoch {epoch}): the loss is {loss} (reconstruction {reconstruction}, sparsity {sparsity}, weight \
             decay {weight_decay}), expected a finite number; try an optimizer.lr below {}",
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
        evaluate(&mut self.step, &mut *self.backend, &mut self.batch, &set.data, threshold).map(Some)
    }

    /// The model as it is, with its preprocessing.
    ///
    /// # Errors
    /// [`Error::Failed`] where the preprocessing cannot be written as JSON.
    pub fn model(&self) -> Result<ModelFile> {
        let sae_kernels::step::Parameters { w_enc, b_enc, w_dec, b_dec } = self.step.weights();
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
        rho_hat_mean: report.rho_hat_mean,
        lr,
        samples_per_s,
    }
}

/// Means over an epoch, weighted by the samples of a batch.
#[derive(Default)]
struct Mean {
    samples: u64,
    seconds: f64,
    reconstruction: f64,
    sparsity: f64,
    weight_decay: f64,
    rho_hat: f64,
}

impl Mean {
    fn add(&mut self, report: &StepReport, seconds: f64) {
        let n = report.n as f64;
        self.samples += report.n as u64;
        self.seconds += seconds;
        self.reconstruction += n * report.reconstruction;
        self.sparsity += n * report.sparsity;
        self.weight_decay += n * report.weight_decay;
        self.rho_hat += n * report.rho_hat_mean;
    }

    fn measures(&self, step: u64, epoch: u64, lr: f64) -> Measures {
        let n = self.samples as f64;
        let (reconstruction, sparsity, weight_decay) =
            (self.reconstruction / n, self.sparsity / n, self.weight_decay / n);
        Measures {
            step,
            epoch,
            loss: reconstruction + sparsity + weight_decay,
            reconstruction,
            sparsity,
            weight_decay,
            rho_hat_mean: self.rho_hat / n,
            lr,
            samples_per_s: n / self.seconds,
        }
    }
}
