//! Which settings make sense, each alone and together.

use super::{
    Config, Decay, HiddenActivation, NoiseKind, OptimizerKind, OutputActivation, Reconstruction, RhoHat,
    ScheduleConfig, ScheduleKind, SparsityKind,
};
use crate::error::{Error, Result};

/// The largest thread count taken for meant.
const MOST_THREADS: usize = 4096;
/// The most moves taken for meant.
const MOST_MOVES: usize = 1000;
/// The largest batch and hidden width taken for meant: products of two of them stay far inside an address.
const MOST_UNITS: usize = 1 << 28;

/// The most layers of a stack.
const MOST_LAYERS: usize = 64;
/// The most memory taken for meant: a pebibyte.
const MOST_MIB: usize = 1 << 30;

impl Config {
    /// Checks every range, and the settings that have to agree. Numbers are checked as the f32 they become as well.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first key that is wrong.
    pub fn validate(&self) -> Result {
        self.ranges()?;
        self.agreement()
    }

    fn ranges(&self) -> Result {
        if i64::try_from(self.seed).is_err() {
            return wrong("seed", self.seed, "at most 9223372036854775807");
        }
        if self.threads > MOST_THREADS {
            return wrong("threads", self.threads, "at most 4096 (0: all)");
        }
        let units = 1..=MOST_UNITS;
        for (key, value) in [("model.d_hid", self.model.d_hid), ("train.batch", self.train.batch)] {
            if !units.contains(&value) {
                return wrong(key, value, "1 to 268435456");
            }
        }
        if self.train.epochs == 0 && self.train.max_steps == 0 {
            return wrong("train.epochs", 0, "at least 1, or train.max_steps above 0");
        }
        if self.data.source.is_empty() {
            return wrong("data.source", "\"\"", "digits, synthetic or a path");
        }
        let (data, loss, sparsity, optimizer) = (&self.data, &self.loss, &self.sparsity, &self.optimizer);
        fraction("data.validation", data.validation)?;
        fraction("data.test", data.test)?;
        if data.validation + data.test >= 1.0 {
            let found = format!("{} and {}", data.validation, data.test);
            return wrong("data.validation, data.test", found, "a sum below 1");
        }
        at_least_zero("data.epsilon", data.epsilon)?;
        for (key, value, least) in [("data.patch", data.patch, 2), ("data.patches", data.patches, 1)] {
            if !(least..=MOST_UNITS).contains(&value) {
                return wrong(key, value, &format!("{least} to 268435456"));
            }
        }
        if data.buffer_mib > MOST_MIB {
            return wrong("data.buffer_mib", data.buffer_mib, "at most 1073741824");
        }
        at_least_zero("loss.weight_decay", loss.weight_decay)?;
        at_least_zero("sparsity.beta", sparsity.beta)?;
        if !both(sparsity.rho, |v| v > 0.0 && v < 1.0) {
            return wrong("sparsity.rho", sparsity.rho, "a number between 0 and 1, both excluded");
        }
        fraction("sparsity.ema_decay", sparsity.ema_decay)?;
        at_least_zero("sparsity.threshold", sparsity.threshold)?;
        positive("sparsity.alpha", sparsity.alpha)?;
        fraction("model.dropout", self.model.dropout)?;
        at_least_zero("noise.sigma", self.noise.sigma)?;
        at_least_zero("noise.gamma", self.noise.gamma)?;
        if !(0.0..=1.0).contains(&self.noise.fraction) {
            return wrong("noise.fraction", self.noise.fraction, "a number in [0, 1]");
        }
        if !(1..=MOST_MOVES).contains(&optimizer.history) {
            return wrong("optimizer.history", optimizer.history, "1 to 1000");
        }
        at_least_zero("optimizer.tolerance", optimizer.tolerance)?;
        positive("optimizer.lr", optimizer.lr)?;
        positive("optimizer.eps", optimizer.eps)?;
        fraction("optimizer.beta1", optimizer.beta1)?;
        fraction("optimizer.beta2", optimizer.beta2)?;
        fraction("optimizer.momentum", optimizer.momentum)?;
        fraction("optimizer.alpha", optimizer.alpha)?;
        for (key, value) in [("train.clip_value", self.train.clip_value), ("train.clip_norm", self.train.clip_norm)] {
            if value != 0.0 && !both(value, |v| v > 0.0 && v.is_finite()) {
                return wrong(key, value, "a finite number above 0 (in f32), or 0 for no limit");
            }
        }
        self.schedule.ranges()?;
        at_least_zero("early_stopping.min_delta", self.early_stopping.min_delta)?;
        at_least_zero("train.checkpoint_minutes", self.train.checkpoint_minutes)?;
        if !(1..=1_000_000).contains(&self.train.keep) {
            return wrong("train.keep", self.train.keep, "1 to 1000000");
        }
        if !both(self.train.threshold_active, f64::is_finite) {
            return wrong("train.threshold_active", self.train.threshold_active, "a finite number");
        }
        if !(0.0..=1.0).contains(&self.train.tensorboard_share) {
            return wrong("train.tensorboard_share", self.train.tensorboard_share, "a number in [0, 1]");
        }
        let stack = &self.stack;
        if let Some(bad) = stack.layers.iter().find(|units| !(1..=MOST_UNITS).contains(*units)) {
            return wrong("stack.layers", bad, "widths of 1 to 268435456");
        }
        if stack.layers.len() > MOST_LAYERS {
            return wrong("stack.layers", format!("{} layers", stack.layers.len()), "at most 64");
        }
        positive("stack.head_lr", stack.head_lr)?;
        positive("stack.finetune_lr", stack.finetune_lr)?;
        at_least_zero("stack.head_weight_decay", stack.head_weight_decay)?;
        at_least_zero("stack.finetune_weight_decay", stack.finetune_weight_decay)?;
        Ok(())
    }

    fn agreement(&self) -> Result {
        let watched = [
            ("schedule.kind", "plateau", self.schedule.kind == ScheduleKind::Plateau),
            ("early_stopping.patience", "above 0", self.early_stopping.patience > 0),
        ];
        for (key, found, watches) in watched {
            if watches && self.data.validation == 0.0 {
                return wrong(key, format!("{found} with data.validation 0"), "rows to validate on");
            }
        }
        if self.loss.reconstruction == Reconstruction::Bce && self.model.output != OutputActivation::Sigmoid {
            let found = format!("bce with model.output {}", self.model.output);
            return wrong("loss.reconstruction", found, "model.output sigmoid, or squared");
        }
        if self.sparsity.kind == SparsityKind::Kl && self.model.hidden != HiddenActivation::Sigmoid {
            let found = format!("kl with model.hidden {}", self.model.hidden);
            // A rectifier's mean activation has no upper bound, and that of tanh may be negative.
            return wrong("sparsity.kind", found, "model.hidden sigmoid, or l1, topk, threshold or none");
        }
        if self.sparsity.kind == SparsityKind::TopK {
            self.top_k()?;
        }
        let bounded = matches!(self.model.hidden, HiddenActivation::Sigmoid | HiddenActivation::Tanh);
        if self.sparsity.kind == SparsityKind::Threshold && bounded && self.sparsity.threshold >= 1.0 {
            let found = format!("{} with model.hidden {}", self.sparsity.threshold, self.model.hidden);
            return wrong("sparsity.threshold", found, "below 1: no activation is larger");
        }
        if self.optimizer.kind == OptimizerKind::Lbfgs {
            self.full_batch()?;
        }
        Ok(())
    }

    fn top_k(&self) -> Result {
        let (sparsity, d_hid) = (&self.sparsity, self.model.d_hid);
        if !(1..=d_hid).contains(&sparsity.k) {
            return wrong("sparsity.k", sparsity.k, "1 to model.d_hid");
        }
        if sparsity.k_start != 0 && !(sparsity.k..=d_hid).contains(&sparsity.k_start) {
            return wrong("sparsity.k_start", sparsity.k_start, "0, or sparsity.k to model.d_hid");
        }
        if (sparsity.k_start > sparsity.k) != (sparsity.anneal_epochs > 0) {
            let found = format!("{} with sparsity.anneal_epochs {}", sparsity.k_start, sparsity.anneal_epochs);
            return wrong(
                "sparsity.k_start",
                found,
                "both, or neither: a k to begin with, and epochs over which it falls",
            );
        }
        Ok(())
    }

    /// L-BFGS compares values of one objective: whatever changes it from step to step is refused.
    fn full_batch(&self) -> Result {
        let lbfgs = "with optimizer.kind lbfgs";
        if self.noise.kind != NoiseKind::None {
            return wrong("noise.kind", format!("{} {lbfgs}", self.noise.kind), "none, or another optimizer");
        }
        if self.model.dropout > 0.0 {
            return wrong("model.dropout", format!("{} {lbfgs}", self.model.dropout), "0, or another optimizer");
        }
        if self.loss.decay != Decay::Loss {
            return wrong("loss.decay", format!("{} {lbfgs}", self.loss.decay), "loss, or another optimizer");
        }
        if self.sparsity.kind == SparsityKind::Kl && self.sparsity.rho_hat == RhoHat::Ema {
            return wrong("sparsity.rho_hat", format!("ema {lbfgs}"), "batch: all rows are one batch");
        }
        for (key, value) in [("train.clip_norm", self.train.clip_norm), ("train.clip_value", self.train.clip_value)] {
            if value > 0.0 {
                return wrong(key, format!("{value} {lbfgs}"), "0, or another optimizer");
            }
        }
        if self.sparsity.kind == SparsityKind::TopK && self.sparsity.anneal_epochs > 0 {
            let found = format!("{} {lbfgs}", self.sparsity.anneal_epochs);
            return wrong("sparsity.anneal_epochs", found, "0, or another optimizer");
        }
        Ok(())
    }
}

impl ScheduleConfig {
    fn ranges(&self) -> Result {
        let share = |key: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => wrong(key, value, "a number from 0 to 1"),
        };
        share("schedule.warmup_factor", self.warmup_factor)?;
        share("schedule.end_factor", self.end_factor)?;
        share("schedule.gamma", self.gamma)?;
        fraction("schedule.factor", self.factor)?;
        fraction("schedule.threshold", self.threshold)?;
        at_least_zero("schedule.min_lr", self.min_lr)?;
        if self.step_size == 0 {
            return wrong("schedule.step_size", 0, "at least 1");
        }
        Ok(())
    }
}

/// Whether a number satisfies `check` both as given and as the f32 the kernels get.
fn both(value: f64, check: impl Fn(f64) -> bool) -> bool {
    check(value) && check(f64::from(value as f32))
}

fn fraction(key: &str, value: f64) -> Result {
    if both(value, |v| (0.0..1.0).contains(&v)) { Ok(()) } else { wrong(key, value, "a number in [0, 1)") }
}

fn positive(key: &str, value: f64) -> Result {
    if both(value, |v| v > 0.0 && v.is_finite()) {
        Ok(())
    } else {
        wrong(key, value, "a finite number above 0 (in f32)")
    }
}

fn at_least_zero(key: &str, value: f64) -> Result {
    if both(value, |v| v >= 0.0 && v.is_finite()) {
        Ok(())
    } else {
        wrong(key, value, "a finite number, at least 0 (in f32)")
    }
}

fn wrong(key: &str, found: impl std::fmt::Display, expected: &str) -> Result {
    Err(Error::setting(key, found.to_string(), expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(key: &str, value: &str) -> Result<Config> {
        Config::load(None, &[(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn every_number_is_held_to_its_range() {
        for (key, bad, good) in [
            ("threads", &["5000"][..], &["0", "8"][..]),
            ("data.validation", &["1", "-0.1", "nan", "0.95"], &["0", "0.5"]),
            ("data.test", &["1", "-0.1", "inf", "0.9"], &["0", "0.89"]),
            ("data.source", &[""], &["x.npy"]),
            ("data.epsilon", &["-0.1", "nan", "inf"], &["0", "1e-5"]),
            ("data.components", &["-1"], &["0", "20"]),
            ("data.patch", &["0", "1", "300000000"], &["2", "16"]),
            ("data.patches", &["0", "300000000"], &["1", "20000"]),
            ("data.buffer_mib", &["-1", "1073741825"], &["0", "64"]),
            ("model.d_hid", &["0", "300000000"], &["1"]),
            ("loss.weight_decay", &["-1e-4", "nan", "inf", "1e39"], &["0"]),
            ("sparsity.rho", &["0", "1", "-1", "nan", "1e-60", "0.99999999999"], &["0.5"]),
            ("sparsity.beta", &["-1", "nan", "inf"], &["0", "3"]),
            ("sparsity.ema_decay", &["1", "-0.1", "0.99999999999"], &["0", "0.99"]),
            ("sparsity.threshold", &["-1", "nan"], &["0", "2"]),
            ("sparsity.alpha", &["0", "-1", "inf"], &["2"]),
            ("model.dropout", &["1", "-0.1", "nan"], &["0", "0.5"]),
            ("noise.sigma", &["-1", "inf"], &["0", "0.3"]),
            ("noise.fraction", &["-0.1", "1.1", "nan"], &["0", "1"]),
            ("noise.gamma", &["-1", "nan"], &["0", "2"]),
            ("optimizer.history", &["0", "2000"], &["1", "100"]),
            ("optimizer.tolerance", &["-1", "nan"], &["0"]),
            ("optimizer.lr", &["0", "-1", "nan", "inf", "1e-60"], &["1"]),
            ("optimizer.eps", &["0", "1e-60"], &["1e-8"]),
            ("optimizer.beta1", &["1", "-0.1"], &["0"]),
            ("optimizer.beta2", &["1", "0.99999999999"], &["0"]),
            ("optimizer.momentum", &["1"], &["0"]),
            ("optimizer.alpha", &["1"], &["0"]),
            ("stack.layers", &["0", "[200, 0]", "a", "[1.5]", "300000000"], &["[]", "200", "200,100", "[200, 100]"]),
            ("stack.head_lr", &["0", "nan"], &["0.1"]),
            ("stack.finetune_lr", &["0", "inf"], &["0.1"]),
            ("stack.head_weight_decay", &["-1", "nan"], &["0"]),
            ("stack.finetune_weight_decay", &["-1", "nan"], &["0"]),
            ("stack.head_epochs", &["-1"], &["0", "5"]),
            ("stack.finetune_epochs", &["-1"], &["0", "5"]),
            ("train.batch", &["0", "-1"], &["1"]),
            ("train.epochs", &["0", "-1"], &["1"]),
            ("train.max_steps", &["-1"], &["0", "10"]),
            ("train.tensorboard_share", &["-0.1", "1.1", "nan"], &["0", "1"]),
            ("train.threshold_active", &["nan", "inf"], &["-1", "0"]),
            ("train.clip_value", &["-1", "nan", "inf", "1e-60", "1e39"], &["0", "0.5"]),
            ("train.clip_norm", &["-1", "nan", "inf", "1e-60", "1e39"], &["0", "1"]),
            ("train.checkpoint_minutes", &["nan", "-1", "inf"], &["0", "0.5"]),
            ("train.keep", &["0", "-1"], &["1", "3"]),
            ("schedule.warmup_factor", &["-0.1", "1.1", "nan"], &["0", "1"]),
            ("schedule.end_factor", &["-0.1", "1.1", "nan"], &["0", "1"]),
            ("schedule.gamma", &["-0.1", "1.1", "nan"], &["0.5", "1"]),
            ("schedule.factor", &["1", "-0.1", "nan"], &["0.5"]),
            ("schedule.threshold", &["1", "-0.1", "nan"], &["0", "0.1"]),
            ("schedule.min_lr", &["-1", "nan", "inf"], &["0", "1e-5"]),
            ("schedule.step_size", &["0"], &["1"]),
            ("early_stopping.min_delta", &["-1", "nan"], &["0", "0.1"]),
        ] {
            for value in bad {
                let error = load(key, value).unwrap_err();
                assert!(error.to_string().contains(key) && error.is_usage(), "{key} {value}: {error}");
            }
            for value in good {
                load(key, value).unwrap_or_else(|e| panic!("{key} {value}: {e}"));
            }
        }
    }

    #[test]
    fn no_epochs_are_fine_where_steps_are_counted() {
        let pairs = [("train.epochs", "0"), ("train.max_steps", "5")];
        Config::load(None, &pairs.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
    }

    #[test]
    fn what_watches_the_validation_loss_needs_rows_to_validate_on() {
        for pair in [("schedule.kind", "plateau"), ("early_stopping.patience", "3")] {
            let pairs = [pair, ("data.validation", "0")].map(|(k, v)| (k.to_owned(), v.to_owned()));
            let error = Config::load(None, &pairs).unwrap_err();
            assert!(error.to_string().contains("with data.validation 0, expected rows"), "{error}");
            Config::load(None, &pairs[..1]).unwrap();
        }
    }

    #[test]
    fn bce_needs_a_sigmoid_output_and_kl_a_sigmoid_hidden_layer() {
        let mut config = Config::default();
        config.loss.reconstruction = Reconstruction::Bce;
        config.validate().unwrap();
        config.model.output = OutputActivation::Identity;
        assert!(config.validate().unwrap_err().to_string().contains("bce with model.output identity"));
        let mut config = Config::default();
        config.model.hidden = HiddenActivation::Relu;
        assert!(config.validate().unwrap_err().to_string().contains("or l1, topk, threshold or none"));
        config.sparsity.kind = SparsityKind::L1;
        config.validate().unwrap();
    }

    /// The first error of settings that are wrong together; empty where they are fine.
    fn together(pairs: &[(&str, &str)]) -> String {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::load(None, &pairs).map_or_else(|e| e.to_string(), |_| String::new())
    }

    #[test]
    fn k_is_at_most_the_units_there_are_and_falls_over_epochs_that_are_given() {
        let top_k =
            |more: &[(&str, &str)]| together(&[&[("sparsity.kind", "topk"), ("model.d_hid", "50")][..], more].concat());
        assert_eq!(top_k(&[]), "");
        assert!(top_k(&[("sparsity.k", "51")]).starts_with("sparsity.k: 51, expected 1 to model.d_hid"));
        assert!(top_k(&[("sparsity.k", "0")]).contains("sparsity.k"));
        assert_eq!(top_k(&[("sparsity.k_start", "40"), ("sparsity.anneal_epochs", "10")]), "");
        assert!(top_k(&[("sparsity.k_start", "20"), ("sparsity.anneal_epochs", "10")]).contains("sparsity.k_start"));
        assert!(top_k(&[("sparsity.k_start", "40")]).contains("both, or neither"));
        assert!(top_k(&[("sparsity.anneal_epochs", "4")]).contains("both, or neither"));
        let mut sparsity = Config::default().sparsity;
        (sparsity.k, sparsity.k_start, sparsity.anneal_epochs, sparsity.alpha) = (10, 50, 4, 1.25);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|epoch| sparsity.k_of(epoch)), [50, 40, 30, 20, 10, 10]);
        assert_eq!((sparsity.k_used(50), sparsity.k_used(12)), (13, 12));
    }

    #[test]
    fn a_threshold_that_no_activation_passes_is_refused() {
        let with = |hidden, threshold| {
            together(&[("sparsity.kind", "threshold"), ("model.hidden", hidden), ("sparsity.threshold", threshold)])
        };
        assert_eq!((with("sigmoid", "0.9"), with("relu", "2")), (String::new(), String::new()));
        assert!(with("tanh", "1").starts_with("sparsity.threshold: 1 with model.hidden tanh, expected below 1"));
    }

    #[test]
    fn lbfgs_refuses_what_changes_its_objective_from_step_to_step() {
        let lbfgs = |key, value| together(&[("optimizer.kind", "lbfgs"), (key, value)]);
        assert_eq!(lbfgs("train.batch", "10"), "");
        for (key, value) in [
            ("noise.kind", "masking"),
            ("model.dropout", "0.5"),
            ("loss.decay", "decoupled"),
            ("sparsity.rho_hat", "ema"),
        ] {
            assert!(lbfgs(key, value).starts_with(&format!("{key}: {value} with optimizer.kind lbfgs")), "{key}");
        }
    }
}
