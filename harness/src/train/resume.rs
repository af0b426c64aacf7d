//! From a run to its checkpoint, and back.

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::data::Fingerprint;
use crate::error::{Error, Result};
use crate::preprocess::Fitted;

use super::full_batch::FullBatch;
use super::{RunState, Trainer, TrainingSet};

impl Trainer {
    /// All that is needed to go on from here, bit for bit. Not after [`Trainer::finish`], which changes the weights.
    ///
    /// # Errors
    /// [`Error::Failed`] where settings cannot be written as text.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let json = |what: &str, value: serde_json::Result<String>| {
            value.map_err(|e| Error::Failed(format!("{what}: cannot be written as JSON: {e}")))
        };
        Ok(Checkpoint {
            d_in: self.step.d_in(),
            d_hid: self.step.d_hid(),
            step: self.state.step,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            config: self.config().to_toml()?,
            data: json("data", serde_json::to_string(&self.set().fingerprint))?,
            preprocessing: json("preprocessing", serde_json::to_string(&self.set().preprocessing))?,
            run: json("run", serde_json::to_string(&self.state))?,
            weights: self.step.weights(),
            optimizer: self.step.state(),
            best: self.best.clone(),
            moves: self.full_batch.as_ref().map_or_else(Vec::new, FullBatch::moves),
        })
    }

    /// Goes on from a checkpoint, with the same settings and data; with others where that is forced.
    ///
    /// # Errors
    /// [`Error::Setting`] that names what has changed, unless `force`; what makes it impossible to go on in any case; and
    /// those of [`Trainer::new`].
    pub fn resume(config: Config, checkpoint: &Checkpoint, force: bool) -> Result<Self> {
        const PLACE: &str = "--resume";
        let unreadable = |what: &str, e: &dyn std::fmt::Display| {
            Error::input("checkpoint", format!("{what}: {e}"), "one of this version")
        };
        let saved = Config::parse(&checkpoint.config, "checkpoint", &[])?;
        let run: RunState = serde_json::from_str(&checkpoint.run).map_err(|e| unreadable("run", &e))?;
        let data: Fingerprint = serde_json::from_str(&checkpoint.data).map_err(|e| unreadable("data", &e))?;
        let changes = saved.changes(&config)?;
        if !force && !changes.is_empty() {
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            return Err(Error::setting(PLACE, changes.join("; "), "the settings of the run, or --force"));
        }
        let set = match saved.data.preprocess == config.data.preprocess {
            true => {
                let fitted: Fitted =
                    serde_json::from_str(&checkpoint.preprocessing).map_err(|e| unreadable("preprocessing", &e))?;
                TrainingSet::load_with(&config, fitted)?
            }
            false => TrainingSet::load(&config)?,
        };
        if !force && set.fingerprint != data {
            let found = format!("{} is {} and was {data}", config.data.source, set.fingerprint);
            return Err(Error::setting(PLACE, found, "the data of the run, or --force"));
        }
        let (d_in, d_hid) = (checkpoint.d_in, checkpoint.d_hid);
        if (set.train.cols, config.model.d_hid) != (d_in, d_hid) {
            let found = format!("a model of {} x {}", set.train.cols, config.model.d_hid);
            return Err(Error::setting(
                PLACE,
                found,
                format!("the {d_in} x {d_hid} of the run: this cannot be forced"),
            ));
        }
        let mut trainer = Self::build(config, set.into(), Some(&checkpoint.weights))?;
        trainer.step.set_state(&checkpoint.optimizer).map_err(|e| {
            let found = format!("another optimiser or moving average, which cannot be forced: {e}");
            Error::setting(PLACE, found, "those of the run")
        })?;
        let parameters = trainer.full_batch.as_mut().map(|full| full.remember(&checkpoint.moves, &trainer.step));
        if !checkpoint.moves.is_empty() && parameters != Some(true) {
            let found = format!("{} moves of L-BFGS", checkpoint.moves.len());
            return Err(Error::setting(
                PLACE,
                found,
                "the optimiser and the weights of the run: this cannot be forced",
            ));
        }
        trainer.state = run;
        trainer.best = checkpoint.best.clone();
        Ok(trainer)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::train::{Observer, Silent, metrics};

    fn config(text: &str) -> Config {
        let text = format!("[train]\nbatch = 100\nepochs = 3\n[model]\nd_hid = 7\n{text}");
        Config::parse(&text, "test", &[]).unwrap()
    }

    /// What is logged, times aside.
    #[derive(Default)]
    struct Log(Vec<metrics::Record>);

    impl Observer for Log {
        fn step(&mut self, measures: &metrics::Measures) -> Result {
            let untimed = metrics::Measures { samples_per_s: 0.0, stall_ms: None, ..measures.clone() };
            self.0.push(metrics::Record::Step(untimed));
            Ok(())
        }

        fn epoch(&mut self, measures: &metrics::EpochMeasures) -> Result {
            let mut measures = measures.clone();
            measures.train.samples_per_s = 0.0;
            measures.train.stall_ms = None;
            self.0.push(metrics::Record::Epoch(measures));
            Ok(())
        }
    }

    /// A run that is saved and taken up again after every step ends as one that is not, in every bit.
    pub(in crate::train) fn agree(config: &Config) -> usize {
        let (mut whole, mut pieces) = (Log::default(), Log::default());
        let mut trainer = Trainer::new(config.clone()).unwrap();
        let summary = trainer.run(&mut whole).unwrap();
        let mut other = Trainer::new(config.clone()).unwrap();
        while !other.is_done() {
            other.advance(&mut pieces).unwrap();
            let sections = other.checkpoint().unwrap().into_sections().unwrap();
            other = Trainer::resume(config.clone(), &Checkpoint::from_sections(sections).unwrap(), false).unwrap();
        }
        let other_summary = other.finish().unwrap();
        assert_eq!(pieces.0, whole.0);
        assert_eq!(other.model().unwrap(), trainer.model().unwrap());
        let facts = |s: &crate::train::Summary| (s.steps, s.epochs, s.best.clone(), s.stopped_early);
        assert_eq!(facts(&other_summary), facts(&summary));
        whole.0.len()
    }

    #[test]
    fn a_run_taken_up_after_every_step_is_the_run_never_stopped() {
        for kind in ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"] {
            assert_eq!(agree(&config(&format!("[optimizer]\nkind = '{kind}'"))), 3 * 15 + 3, "{kind}");
        }
        agree(&config("[sparsity]\nrho_hat = 'ema'"));
        let mut clipped = config("");
        clipped.train.clip_norm = 0.5;
        clipped.train.clip_value = 0.01;
        agree(&clipped);
        agree(&config("[schedule]\nkind = 'cosine'\nwarmup_steps = 5\n[data]\npreprocess = 'zscore'"));
    }

    /// Of 45 steps in three epochs, whether the run was stopped or not; the updates do not depend on it.
    #[test]
    fn gradient_norms_are_recorded_as_often_as_asked_for_and_change_nothing() {
        let mut models = Vec::new();
        let cases = [(0, 0.0, false, 0), (0, 0.0, true, 3), (7, 0.0, false, 7), (7, 0.0, true, 9), (0, 1e9, false, 45)];
        for (every, clip, board, expected) in cases {
            let mut config = config("");
            (config.train.gradient_norm_steps, config.train.clip_norm) = (every, clip);
            config.train.tensorboard = board;
            agree(&config);
            let (mut trainer, mut log) = (Trainer::new(config).unwrap(), Log::default());
            trainer.run(&mut log).unwrap();
            let norms = log.0.iter().filter(|r| matches!(r, metrics::Record::Step(m) if m.gradient_norm.is_some()));
            assert_eq!(norms.count(), expected);
            models.push(trainer.model().unwrap());
        }
        assert!(models.iter().all(|model| *model == models[0]));
    }

    #[test]
    fn corrupted_inputs_dropped_units_and_selections_are_taken_up_too() {
        for text in [
            "[noise]\nkind = 'gaussian'\n[sparsity]\nkind = 'topk'\nk = 2\nk_start = 6\nanneal_epochs = 2",
            "[noise]\nkind = 'masking'\ngamma = 0.5\n[loss]\ndecay = 'decoupled'",
            "[noise]\nkind = 'salt_and_pepper'\n[sparsity]\nkind = 'threshold'",
        ] {
            agree(&config(text));
        }
        let mut config = config("[sparsity]\nrho_hat = 'ema'");
        (config.model.dropout, config.model.tied) = (0.4, true);
        agree(&config);
    }

    #[test]
    fn lbfgs_is_taken_up_with_all_that_it_remembers() {
        for tied in [false, true] {
            let mut config = config("[optimizer]\nkind = 'lbfgs'\nhistory = 4");
            (config.train.epochs, config.model.tied) = (9, tied);
            assert_eq!(agree(&config), 9 + 9);
            let mut trainer = Trainer::new(config.clone()).unwrap();
            (0..7).for_each(|_| trainer.advance(&mut Silent).unwrap());
            let mut saved = trainer.checkpoint().unwrap();
            assert_eq!(saved.moves.len(), 4);
            saved.moves[1][0].pop();
            let error = Trainer::resume(config, &saved, true).unwrap_err().to_string();
            assert!(error.contains("4 moves of L-BFGS") && error.contains("cannot be forced"), "{error}");
        }
    }

    #[test]
    fn plateaus_and_early_stops_are_taken_up_too() {
        // So large a rate that the validation loss goes up and down.
        let text = "[optimizer]\nlr = 0.3\n[schedule]\nkind = 'plateau'\npatience = 0\nfactor = 0.5\n[early_stopping]\npatience = 3\nmin_delta = 0.02";
        let mut config = config(text);
        config.train.epochs = 30;
        let lines = agree(&config);
        let mut log = Log::default();
        let mut trainer = Trainer::new(config).unwrap();
        let summary = trainer.run(&mut log).unwrap();
        let rates: Vec<f64> = log
            .0
            .iter()
            .filter_map(|r| match r {
                metrics::Record::Step(m) => Some(m.lr),
                metrics::Record::Epoch(_) => None,
            })
            .collect();
        assert!(rates[0] == 0.3 && rates[rates.len() - 1] < 0.3, "the plateau was seen");
        assert!(summary.stopped_early && lines < 30 * 16, "{summary:?}");
        // The model is that of the best epoch.
        let best = summary.best.unwrap();
        assert_eq!(best.step + 3 * 15, summary.steps);
        let found = trainer.evaluate(crate::train::Part::Validation).unwrap().unwrap();
        assert_eq!(found.terms.loss, best.val_loss);
    }

    #[test]
    fn a_change_is_named_and_refused_unless_forced() {
        let mut trainer = Trainer::new(config("")).unwrap();
        trainer.advance(&mut Silent).unwrap();
        let checkpoint = trainer.checkpoint().unwrap();
        let told =
            |text: &str, force| Trainer::resume(config(text), &checkpoint, force).map(|_| ()).unwrap_err().to_string();
        assert!(told("[optimizer]\nlr = 0.01", false).contains("optimizer.lr was 0.001 and is 0.01, expected"));
        Trainer::resume(config("[optimizer]\nlr = 0.01"), &checkpoint, true).unwrap();
        let error = told("[data]\nsource = 'synthetic'", false);
        assert!(error.contains("synthetic is ") && error.contains("was 1797 x 64 with hash "), "{error}");
        assert!(told("[optimizer]\nkind = 'sgd'", true).contains("cannot be forced"));
        let mut other = config("");
        other.model.d_hid = 8;
        assert!(Trainer::resume(other, &checkpoint, true).unwrap_err().to_string().contains("cannot be forced"));
    }

    #[test]
    fn a_longer_run_goes_on_with_an_epoch_that_was_cut_short() {
        let mut short = config("");
        short.train.max_steps = 20;
        let mut trainer = Trainer::new(short).unwrap();
        trainer.run(&mut Silent).unwrap();
        let mut longer = Trainer::resume(config(""), &trainer.checkpoint().unwrap(), true).unwrap();
        longer.run(&mut Silent).unwrap();
        let mut whole = Trainer::new(config("")).unwrap();
        whole.run(&mut Silent).unwrap();
        assert_eq!(longer.model().unwrap(), whole.model().unwrap());
    }
}
