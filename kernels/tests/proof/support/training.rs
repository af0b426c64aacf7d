//! Whole training runs.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::ops::{Activation, Loss, Rule};
use sae_kernels::step::{Dropout, Parameters, Penalty, RhoHat, Selection, StepConfig};
use sae_kernels::{Backend, MatRef, Step};

const D_IN: usize = 70;
const D_HID: usize = 90;
const N: usize = 110;
const STEPS: usize = 30;

/// Sparse autoencoders that between them use every operation's main paths.
pub(crate) fn setups() -> Vec<StepConfig> {
    let kl = |average| Penalty::Kl { rho: 0.1, beta: 0.3, average };
    let plain = StepConfig { weight_decay: 1e-3, ..StepConfig::new() };
    vec![
        StepConfig { penalty: kl(RhoHat::Batch), ..plain },
        StepConfig { penalty: kl(RhoHat::Ema { decay: 0.9 }), loss: Loss::Bce, rule: Rule::adamw(), ..plain },
        StepConfig {
            penalty: Penalty::L1 { beta: 0.01 },
            hidden: Activation::Relu,
            output: Activation::Identity,
            rule: Rule::momentum(),
            ..plain
        },
        StepConfig { hidden: Activation::Tanh, output: Activation::Tanh, rule: Rule::rmsprop(), ..plain },
        StepConfig { penalty: kl(RhoHat::Batch), rule: Rule::nesterov(), clip_value: Some(0.01), ..plain },
        StepConfig { penalty: kl(RhoHat::Batch), rule: Rule::adagrad(), clip_norm: Some(0.5), ..plain },
        StepConfig {
            selection: Selection::TopK { k: 9 },
            hidden: Activation::Identity,
            output: Activation::Identity,
            decoupled_decay: true,
            ..plain
        },
        StepConfig {
            selection: Selection::Threshold { threshold: 0.4 },
            dropout: Some(Dropout { rate: 0.3, seed: 11 }),
            hidden: Activation::Tanh,
            rule: Rule::Sgd,
            ..plain
        },
        StepConfig { penalty: kl(RhoHat::Batch), dropout: Some(Dropout { rate: 0.5, seed: 12 }), tied: true, ..plain },
    ]
}

/// Weights and samples of a run.
pub(crate) fn start() -> (Parameters, Vec<f32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut weights = Parameters::zeros(D_IN, D_HID);
    for (_, tensor) in weights.tensors_mut() {
        tensor.iter_mut().for_each(|w| *w = rng.random_range(-0.2..0.2));
    }
    (weights, (0..N * D_IN).map(|_| rng.random_range(0.0..1.0)).collect())
}

/// A step with its weights, and the samples it is to be given.
pub(crate) fn step(panel: Option<usize>, setup: &StepConfig) -> (Step, Vec<f32>) {
    let (weights, samples) = start();
    let mut step = Step::new(D_IN, D_HID, N, panel, *setup).unwrap();
    let tied = |at: usize| weights.w_enc[at % D_IN * D_HID + at / D_IN];
    let w_dec = if setup.tied { (0..D_HID * D_IN).map(tied).collect() } else { weights.w_dec.clone() };
    step.set_weights(&Parameters { w_dec, ..weights }).unwrap();
    (step, samples)
}

/// The samples as a batch.
pub(crate) fn batch(samples: &[f32]) -> MatRef<'_> {
    MatRef::row_major(samples, samples.len() / D_IN, D_IN).unwrap()
}

/// The bits of all that a run leaves: reports, weights, moments.
pub(crate) fn run(backend: &mut dyn Backend, panel: Option<usize>, setup: &StepConfig) -> Vec<u64> {
    let (mut step, samples) = step(panel, setup);
    let mut bits = Vec::new();
    for _ in 0..STEPS {
        let report = step.train_step(backend, batch(&samples), 0.01).unwrap();
        bits.extend([report.loss_sum, report.rho_hat_mean, report.weight_decay].map(f64::to_bits));
    }
    let state = step.state();
    for parameters in [Some(step.weights()), state.m, state.v].into_iter().flatten() {
        for (_, tensor) in parameters.tensors() {
            bits.extend(tensor.iter().map(|x| u64::from(x.to_bits())));
        }
    }
    bits
}
