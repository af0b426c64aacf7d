//! Runs that are trained together: one pass over the data, every step one batched call for all of them.

use std::sync::Arc;
use std::time::Instant;

use sae_kernels::step::{BatchedStep, Input, StepReport};
use sae_kernels::{Backend, backend};

use super::feed::Feed;
use super::memory::{most_rows, training_bytes};
use super::noise::Denoising;
use super::trainer::{Observer, Trainer};
use super::{Plan, TrainingSet};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::memory;
use crate::model::objective::selection_of;
use crate::model::{Batch, step_config};

/// Trainers of one shape that see the same batches. Each run computes the bits that it computes alone: its trainer takes
/// every decision, and only the arithmetic of the steps is done for all of them at once.
///
/// A run that ends before the others, by its own settings or because its loss is not finite, leaves them.
pub struct Cohort {
    members: Vec<Member>,
    /// The members that are still trained: one model each of `step`.
    active: Vec<usize>,
    step: Option<BatchedStep>,
    backend: Box<dyn Backend>,
    batch: Batch,
    /// The most rows of a step.
    most_rows: usize,
    feed: Box<dyn Feed>,
    /// Where inputs are corrupted: for all members alike.
    denoising: Option<Denoising>,
    set: Arc<TrainingSet>,
    rates: Vec<f32>,
    reports: Vec<StepReport>,
    seconds: f64,
}

/// A run, and what ended it where something did.
#[derive(Debug)]
struct Member {
    trainer: Trainer,
    error: Option<Error>,
}

impl std::fmt::Debug for Cohort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cohort").field("members", &self.members).field("active", &self.active).finish_non_exhaustive()
    }
}

impl Cohort {
    /// Runs on one set, which have in common what [`trains_together`](crate::sweep::trains_together) says.
    ///
    /// # Errors
    /// Those of [`Trainer::with_set`], and [`Error::Setting`] where all models together do not fit in memory.
    pub fn new(configs: Vec<Config>, set: Arc<TrainingSet>) -> Result<Self> {
        let Some(first) = configs.first().cloned() else {
            return Err(Error::Failed("runs to train together: there are none, expected at least one".to_owned()));
        };
        let plan = Plan::new(&first.train, set.train_rows())?;
        let (d_in, d_hid) = (set.train.cols, first.model.d_hid);
        let bytes = configs.iter().map(|config| training_bytes(config, d_in, plan.batch)).fold(0, u128::saturating_add);
        let what = format!("{} models of {d_in} x {d_hid} with batches of {}", configs.len(), plan.batch);
        // Each model once in the batched step, and once in its trainer.
        memory::require("sweep.together", &what, bytes.saturating_mul(2))?;
        let trainer = |config| Ok(Member { trainer: Trainer::with_set(config, Arc::clone(&set))?, error: None });
        let members = configs.into_iter().map(trainer).collect::<Result<Vec<_>>>()?;
        let backend = backend(first.backend)?;
        let batch = Batch::new(plan.batch, d_in, backend.panel())?;
        let denoising = Denoising::new(&first.noise, first.seed, &set.train, plan.batch, backend.panel())?;
        let feed = set.feed(plan, &first);
        let mut cohort = Self {
            active: Vec::new(),
            step: None,
            members,
            backend,
            most_rows: most_rows(&first, plan.batch),
            batch,
            feed,
            denoising,
            set,
            rates: Vec::new(),
            reports: Vec::new(),
            seconds: 0.0,
        };
        cohort.regroup()?;
        Ok(cohort)
    }

    /// Seconds spent in steps, the fetching of their batches included; validation is not.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Steps of all members, added up.
    pub fn steps(&self) -> u64 {
        self.members.iter().map(|member| member.trainer.state().step).sum()
    }

    /// Whether every run has come to its end.
    pub fn is_done(&self) -> bool {
        self.active.is_empty()
    }

    /// Trains all of them to their ends; `observers` has one for each.
    ///
    /// # Errors
    /// As [`Cohort::advance`].
    pub fn run(&mut self, observers: &mut [&mut dyn Observer]) -> Result {
        while !self.is_done() {
            self.advance(observers)?;
        }
        Ok(())
    }

    /// One step of every run that is not done.
    ///
    /// # Errors
    /// Those of the data and the backend. What ends a single run is kept for [`Cohort::into_runs`].
    pub fn advance(&mut self, observers: &mut [&mut dyn Observer]) -> Result {
        if observers.len() != self.members.len() {
            let found = format!("{} observers of {} runs, expected one for each", observers.len(), self.members.len());
            return Err(Error::Failed(found));
        }
        let (Some(step), Some(&first)) = (&mut self.step, self.active.first()) else { return Ok(()) };
        let start = Instant::now();
        let position = self.members[first].trainer.state().position;
        self.feed.fetch(&self.set, position, &mut self.batch)?;
        for (model, (rate, &member)) in self.rates.iter_mut().zip(&self.active).enumerate() {
            let trainer = &self.members[member].trainer;
            *rate = trainer.rate() as f32;
            step.set_selection(model, selection_of(trainer.config(), position.epoch))?;
        }
        let clean = self.batch.view()?;
        let input = match &mut self.denoising {
            Some(denoising) => denoising.input(clean, &self.feed.rows(&self.set), position)?,
            None => Input::Clean(clean),
        };
        step.train_step(self.backend.as_mut(), input, &self.rates, &mut self.reports)?;
        let took = start.elapsed().as_secs_f64();
        self.seconds += took;
        let share = took / self.active.len() as f64;
        let mut ended = false;
        for (model, (&index, report)) in self.active.iter().zip(&self.reports).enumerate() {
            let Member { trainer, error } = &mut self.members[index];
            if trainer.ends_epoch() {
                // What validates, keeps the best weights or is the result.
                trainer.step.set_weights(&step.weights(model))?;
            }
            match trainer.take(report, share, Some(self.feed.as_ref()), &mut *observers[index]) {
                Ok(()) => ended |= trainer.is_done(),
                Err(found) => {
                    ended = true;
                    *error = Some(found);
                }
            }
        }
        if ended { self.regroup() } else { Ok(()) }
    }

    /// Makes a batched step of the members that go on.
    fn regroup(&mut self) -> Result {
        let before = std::mem::take(&mut self.active);
        let goes_on = |index: &usize| {
            let Member { trainer, error } = &self.members[*index];
            error.is_none() && !trainer.is_done()
        };
        self.active = (0..self.members.len()).filter(goes_on).collect();
        let old = self.step.take();
        if self.active.is_empty() {
            return Ok(());
        }
        let trainer = |index: usize| &self.members[index].trainer;
        let cfgs: Vec<_> = self.active.iter().map(|&index| step_config(trainer(index).config())).collect();
        let (d_in, d_hid) = (self.set.train.cols, trainer(self.active[0]).config().model.d_hid);
        let mut step = BatchedStep::new(d_in, d_hid, self.most_rows, self.backend.panel(), &cfgs)?;
        for (model, &index) in self.active.iter().enumerate() {
            match (&old, before.iter().position(|&other| other == index)) {
                (Some(old), Some(from)) => {
                    step.set_weights(model, &old.weights(from))?;
                    step.set_state(model, &old.state(from))?;
                }
                _ => {
                    let own = &trainer(index).step;
                    step.set_weights(model, &own.weights())?;
                    step.set_state(model, &own.state())?;
                }
            }
        }
        self.rates = vec![0.0; self.active.len()];
        self.reports = vec![StepReport::default(); self.active.len()];
        self.step = Some(step);
        Ok(())
    }

    /// The runs, each with the error that ended it where one did.
    pub fn into_runs(self) -> Vec<(Trainer, Option<Error>)> {
        self.members.into_iter().map(|Member { trainer, error }| (trainer, error)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::metrics::{EpochMeasures, Measures};
    use crate::train::{Part, Silent};

    /// Keeps everything but times, and but for the gradient's norm, which a trainer has computed now and then.
    #[derive(Debug, Default, PartialEq)]
    struct Log(Vec<Measures>, Vec<EpochMeasures>);

    impl Observer for Log {
        fn step(&mut self, measures: &Measures) -> Result {
            self.0.push(Measures { samples_per_s: 0.0, gradient_norm: None, ..measures.clone() });
            Ok(())
        }

        fn epoch(&mut self, measures: &EpochMeasures) -> Result {
            let train = Measures { samples_per_s: 0.0, ..measures.train.clone() };
            self.1.push(EpochMeasures { train, ..measures.clone() });
            Ok(())
        }
    }

    fn configs(settings: &[&[(&str, &str)]]) -> Vec<Config> {
        let common = "[model]\nd_hid = 20\n[train]\nepochs = 3\nbatch = 100";
        let all = |own: &&[(&str, &str)]| {
            let own: Vec<_> = own.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Config::parse(common, "test", &own).unwrap()
        };
        settings.iter().map(all).collect()
    }

    fn together(configs: &[Config]) -> (Vec<(Trainer, Option<Error>)>, Vec<Log>) {
        let set = Arc::new(TrainingSet::load(&configs[0]).unwrap());
        let mut logs: Vec<Log> = configs.iter().map(|_| Log::default()).collect();
        let mut cohort = Cohort::new(configs.to_vec(), set).unwrap();
        let mut observers: Vec<&mut dyn Observer> = logs.iter_mut().map(|log| log as &mut dyn Observer).collect();
        cohort.run(&mut observers).unwrap();
        (cohort.into_runs(), logs)
    }

    #[test]
    fn every_run_has_the_bits_that_it_has_alone() {
        for clip in ["0", "0.5"] {
            has_the_bits_that_it_has_alone(clip);
        }
    }

    #[test]
    fn runs_that_select_drop_and_are_given_noise_have_the_bits_that_they_have_alone() {
        let top_k = [("sparsity.kind", "topk"), ("sparsity.k", "5"), ("model.hidden", "identity")];
        let annealed = [("sparsity.k_start", "12"), ("sparsity.anneal_epochs", "2"), ("loss.decay", "decoupled")];
        let common = [("noise.kind", "masking"), ("noise.gamma", "0.5"), ("model.tied", "true")];
        let drop = |rate| [("model.dropout", rate)];
        are_as_alone(configs(&[
            &[&top_k[..], &common, &drop("0.2")].concat(),
            &[&top_k[..], &common, &drop("0.4"), &annealed].concat(),
            &[&top_k[..], &common, &drop("0.1"), &[("train.epochs", "1")]].concat(),
        ]));
        let threshold = [("sparsity.kind", "threshold"), ("noise.kind", "gaussian")];
        are_as_alone(configs(&[
            &[&threshold[..], &[("sparsity.threshold", "0.4")]].concat(),
            &[&threshold[..], &[("sparsity.threshold", "0.3"), ("optimizer.lr", "0.01")]].concat(),
        ]));
    }

    fn has_the_bits_that_it_has_alone(clip: &str) {
        let mut configs = configs(&[
            &[],
            &[("sparsity.beta", "0.5"), ("sparsity.rho", "0.2"), ("loss.weight_decay", "0")],
            &[("sparsity.kind", "l1"), ("optimizer.lr", "0.01")],
            &[("sparsity.kind", "none"), ("optimizer.beta1", "0.8")],
            &[("sparsity.rho_hat", "ema"), ("sparsity.ema_decay", "0.7")],
            // Ends in the middle of an epoch, before the others.
            &[("train.max_steps", "22")],
            &[("train.epochs", "1")],
        ]);
        configs.iter_mut().for_each(|config| config.train.clip_norm = clip.parse().unwrap());
        are_as_alone(configs);
    }

    fn are_as_alone(configs: Vec<Config>) {
        assert!(configs.iter().all(|config| crate::sweep::trains_together(config, &configs[0])));
        let (runs, logs) = together(&configs);
        for ((config, (mut trainer, error)), log) in configs.into_iter().zip(runs).zip(logs) {
            assert!(error.is_none());
            let mut expected = Log::default();
            let mut alone = Trainer::new(config).unwrap();
            alone.run(&mut expected).unwrap();
            assert_eq!(log, expected);
            let (ours, theirs) = (trainer.model().unwrap(), alone.model().unwrap());
            for (ours, theirs) in [(&ours.w_enc, &theirs.w_enc), (&ours.w_dec, &theirs.w_dec)] {
                assert!(ours.iter().zip(theirs).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
            assert_eq!((ours.b_enc, ours.b_dec), (theirs.b_enc, theirs.b_dec));
            let terms = |trainer: &mut Trainer| trainer.evaluate(Part::Test).unwrap().unwrap().terms;
            assert_eq!(terms(&mut trainer), terms(&mut alone));
        }
    }

    #[test]
    fn a_run_that_diverges_leaves_the_others_alone() {
        let huge = [("optimizer.kind", "sgd"), ("optimizer.lr", "1e30"), ("model.output", "identity")];
        let fine = [huge[0], ("optimizer.lr", "1e-3"), huge[2]];
        let configs = configs(&[&fine, &huge, &fine]);
        let (runs, logs) = together(&configs);
        let error = runs[1].1.as_ref().unwrap().to_string();
        assert!(error.contains("expected a finite number") && error.contains("rows "), "{error}");
        let mut alone = Log::default();
        let expected = Trainer::new(configs[1].clone()).unwrap().run(&mut alone).unwrap_err();
        assert_eq!(error, expected.to_string());
        assert!(runs[0].1.is_none() && runs[0].0.is_done() && logs[0] == logs[2]);
    }

    #[test]
    fn no_runs_and_other_shapes_are_errors() {
        let configs = configs(&[&[], &[("model.output", "tanh")]]);
        let set = Arc::new(TrainingSet::load(&configs[0]).unwrap());
        assert!(Cohort::new(Vec::new(), Arc::clone(&set)).is_err());
        assert!(Cohort::new(configs, set).is_err());
        // A single run is trained as well.
        let alone = self::configs(&[&[]]);
        let mut cohort = Cohort::new(alone.clone(), Arc::new(TrainingSet::load(&alone[0]).unwrap())).unwrap();
        cohort.run(&mut [&mut Silent]).unwrap();
        assert_eq!(cohort.steps(), 3 * 15);
    }
}
