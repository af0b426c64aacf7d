//! The whole method, through the training loop, on the built-in digits.

use super::metrics::{EpochMeasures, Measures};
use super::{Observer, Part, Silent, Trainer};
use crate::config::Config;
use crate::error::Result;

fn config(text: &str) -> Config {
    let text = format!("[model]\nd_hid = 40\n[train]\nepochs = 4\nbatch = 100\n{text}");
    // Sections may come again in `text`: the file's order is kept by laying the keys over one by one.
    let mut pairs = Vec::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = name.to_owned(),
            None => {
                let (key, value) = line.split_once('=').unwrap();
                pairs.push((format!("{section}.{}", key.trim()), value.trim().trim_matches('\'').to_owned()));
            }
        }
    }
    Config::load(None, &pairs).unwrap()
}

/// All steps and epochs of a run.
#[derive(Default)]
struct Log {
    steps: Vec<Measures>,
    epochs: Vec<EpochMeasures>,
}

impl Observer for Log {
    fn step(&mut self, measures: &Measures) -> Result {
        self.steps.push(Measures { samples_per_s: 0.0, ..measures.clone() });
        Ok(())
    }

    fn epoch(&mut self, measures: &EpochMeasures) -> Result {
        self.epochs.push(measures.clone());
        Ok(())
    }
}

fn run(text: &str) -> (Trainer, Log) {
    let (mut trainer, mut log) = (Trainer::new(config(text)).unwrap(), Log::default());
    trainer.run(&mut log).unwrap();
    (trainer, log)
}

const ALL: [&str; 9] = [
    "",
    "[sparsity]\nkind = 'l1'\nbeta = 0.1",
    "[sparsity]\nrho_hat = 'ema'\n[loss]\ndecay = 'decoupled'",
    "[sparsity]\nkind = 'topk'\nk = 8\nk_start = 30\nanneal_epochs = 2\n[model]\nhidden = 'identity'\noutput = 'identity'",
    "[sparsity]\nkind = 'threshold'\nthreshold = 0.2\n[model]\nhidden = 'relu'\ntied = true",
    "[noise]\nkind = 'gaussian'\nsigma = 0.2",
    "[noise]\nkind = 'masking'\ngamma = 0.5\n[loss]\nconvention = 'per_element'\n[sparsity]\nbeta = 0.01",
    "[noise]\nkind = 'salt_and_pepper'\ngamma = 2\n[model]\ndropout = 0.2\n[loss]\nreconstruction = 'bce'",
    "[optimizer]\nkind = 'lbfgs'",
];

/// The parts are recorded each for itself, and their sum is J: to the bit but for the order of three additions.
#[test]
fn the_parts_of_the_cost_add_up_in_every_step_and_every_epoch() {
    for text in ALL {
        let (trainer, log) = run(text);
        assert_eq!(log.steps.len() as u64, trainer.plan().steps.min(trainer.state().step), "{text}");
        let all = log.steps.iter().chain(log.epochs.iter().map(|e| &e.train));
        for Measures { step, loss, reconstruction, sparsity, weight_decay, denoising, .. } in all {
            let sum = reconstruction + sparsity + weight_decay + denoising.unwrap_or(0.0);
            assert!((loss - sum).abs() <= 4.0 * f64::EPSILON * loss, "{text}, step {step}: {loss} {sum}");
        }
        let first = &log.steps[0];
        let config = trainer.config();
        assert_eq!(first.denoising.is_some(), config.noise.is_paired(), "{text}");
        assert!(first.denoising.is_none_or(|denoising| denoising > 0.0), "{text}");
        assert_eq!(first.weight_decay > 0.0, config.loss.decay == crate::config::Decay::Loss, "{text}");
        let has_penalty = matches!(config.sparsity.kind.name(), "kl" | "l1");
        assert_eq!(first.sparsity > 0.0, has_penalty, "{text}");
        // And it is learnt by.
        let epochs = &log.epochs;
        assert!(epochs[epochs.len() - 1].train.loss < epochs[0].train.loss, "{text}");
        assert!(epochs.iter().all(|e| e.validation.val_loss.is_some_and(f64::is_finite)), "{text}");
    }
}

#[test]
fn a_run_of_any_kind_is_the_same_run_again() {
    for text in ALL {
        let ((a, first), (b, second)) = (run(text), run(text));
        assert_eq!(first.steps, second.steps, "{text}");
        assert_eq!(a.model().unwrap(), b.model().unwrap(), "{text}");
    }
}

#[test]
fn k_falls_over_the_epochs_and_alpha_k_stay_in_use() {
    let text = "[sparsity]\nkind = 'topk'\nk = 8\nk_start = 32\nanneal_epochs = 2\nalpha = 1.5";
    let (mut trainer, log) = run(text);
    // Sigmoid units are never 0 by themselves: what is not 0 was kept.
    let active = |trainer: &mut Trainer| {
        let rows = trainer.set().validation.data.clone();
        let count = trainer.look(&rows, |seen| {
            Ok(seen.h.chunks(40).map(|h| h.iter().filter(|&&h| h > 0.0).count()).collect::<Vec<_>>())
        });
        count.unwrap().unwrap()
    };
    assert!(active(&mut trainer).iter().all(|&count| count == 12));
    assert_eq!(log.epochs.len(), 4);
    let model = trainer.model().unwrap();
    assert_eq!((model.cfg.sparsity.as_str(), model.cfg.k), ("topk", Some(12)));
    // The mean activation falls with k.
    let means: Vec<f64> = log.epochs.iter().map(|e| e.train.rho_hat_mean).collect();
    assert!(means[0] > means[1] && means[1] > means[2], "{means:?}");
    // A saved model selects as the trainer does.
    let mut loaded = crate::model::Model::new(model, sae_kernels::BackendKind::Fused, "test").unwrap();
    let rows = trainer.set().test.data.clone();
    let found = loaded.evaluate(&rows, 0.5).unwrap();
    let own = trainer.evaluate(Part::Test).unwrap().unwrap();
    // The same numbers in batches of another size: sums of f32s in another order.
    assert!((found.mse - own.mse).abs() < 1e-6 * own.mse, "{} {}", found.mse, own.mse);
    assert!((found.terms.loss - own.terms.loss).abs() < 1e-6 * own.terms.loss);
}

#[test]
fn tied_weights_are_each_others_transpose_in_the_model() {
    let (trainer, _) = run("[model]\ntied = true");
    let model = trainer.model().unwrap();
    let (d_in, d_hid) = (model.d_in, model.d_hid);
    assert!((0..d_in * d_hid).all(|at| model.w_enc[at] == model.w_dec[at % d_hid * d_in + at / d_hid]));
}

/// The share of the noise that a denoising autoencoder takes away, on rows that it has not seen.
#[test]
fn a_denoising_autoencoder_denoises_better_than_a_plain_one() {
    let base = "[model]\nd_hid = 100\n[train]\nepochs = 200\n[sparsity]\nkind = 'none'\n[loss]\nweight_decay = 0\n";
    let error = |more: &str| {
        let (mut trainer, _) = run(&format!("{base}{more}"));
        let clean = trainer.set().test.data.clone();
        let mut noisy = clean.clone();
        let mut rng = crate::data::rng(1000, crate::data::Stream::Noise);
        crate::data::Noise::Gaussian { sigma: 0.3 }.corrupt(&mut noisy, (0.0, 1.0), &mut rng);
        let squares = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>();
        let found = trainer.look(&noisy, |seen| Ok(squares(seen.x_hat, &clean[..seen.x.len()]))).unwrap().unwrap();
        found / squares(&noisy[..100 * 64], &clean[..100 * 64])
    };
    let (plain, denoising, both) = (
        error(""),
        error("[noise]\nkind = 'gaussian'\nsigma = 0.3"),
        error("[noise]\nkind = 'gaussian'\nsigma = 0.3\ngamma = 1"),
    );
    assert!(denoising < 0.8 * plain && both < 0.9 * plain, "{plain} {denoising} {both}");
}

#[test]
fn lbfgs_comes_to_a_lower_loss_in_as_many_passes_and_stops_where_it_has_converged() {
    let base = "[model]\nd_hid = 25\n[train]\nepochs = 60\n[loss]\nweight_decay = 0.003\n";
    let last = |log: &Log| log.epochs[log.epochs.len() - 1].train.loss;
    let (_, adam) = run(base);
    let (trainer, lbfgs) = run(&format!("{base}[optimizer]\nkind = 'lbfgs'"));
    assert_eq!(trainer.plan().steps_per_epoch, 1);
    assert!(lbfgs.steps.windows(2).all(|w| w[1].loss < w[0].loss), "every iteration lowers the loss");
    assert!(last(&lbfgs) < last(&adam), "{} {}", last(&lbfgs), last(&adam));
    // A gradient this small is reached soon.
    let (trainer, _) = run(&format!("{base}[optimizer]\nkind = 'lbfgs'\ntolerance = 0.5"));
    assert!(trainer.is_done() && trainer.state().step < 60, "{}", trainer.state().step);
    let mut trainer = trainer;
    let before = trainer.state().clone();
    trainer.advance(&mut Silent).unwrap();
    assert_eq!(trainer.state(), &before, "a run that is over stays as it is");
}
