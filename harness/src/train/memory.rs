//! What a training holds in memory, told before anything is allocated.

use super::full_batch::FullBatch;
use crate::config::{Config, NoiseKind, OptimizerKind};
use crate::model::{step_bytes, step_config};

/// The most rows of a step of `batch` samples: clean samples beside their corrupted copies are twice as many.
pub(super) fn most_rows(config: &Config, batch: usize) -> usize {
    if config.noise.is_paired() { batch.saturating_mul(2) } else { batch }
}

/// Bytes of a training with batches of `batch` samples of width `d_in`.
pub(super) fn training_bytes(config: &Config, d_in: usize, batch: usize) -> u128 {
    let (cfg, d_hid, rows) = (step_config(config), config.model.d_hid, most_rows(config, batch));
    // The norm of the gradient costs memory and time, for which a step an epoch is little.
    let stores_norm = config.train.tensorboard || config.train.gradient_norm_steps > 0;
    let stores = cfg.clip_norm.is_some() || cfg.tied || stores_norm;
    let moments: usize = [cfg.rule.keeps_m(), cfg.rule.keeps_v(), stores].map(usize::from).iter().sum();
    // A vector of all parameters is as large as a moment.
    let vectors = if config.optimizer.kind == OptimizerKind::Lbfgs { FullBatch::vectors(&config.optimizer) } else { 0 };
    // What activations are multiplied by, and what comes of it; samples as they are corrupted, and as a batch.
    let gates = if cfg.dropout.is_some() { d_hid } else { 0 };
    let copies = if config.noise.kind == NoiseKind::None { 0 } else { d_in };
    let more = (rows as u128).saturating_mul(2 * (gates as u128 + copies as u128)).saturating_mul(4);
    step_bytes(d_in, d_hid, rows, moments + vectors).saturating_add(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_dropout_and_what_lbfgs_remembers_count() {
        let bytes = |text: &str| training_bytes(&Config::parse(text, "test", &[]).unwrap(), 10, 100);
        let base = "[model]\nd_hid = 7\n[train]\ntensorboard = false\n";
        assert_eq!(bytes(base), step_bytes(10, 7, 100, 2));
        assert_eq!(bytes(&format!("{base}[noise]\nkind = 'masking'")), step_bytes(10, 7, 100, 2) + 2 * 100 * 10 * 4);
        let paired = step_bytes(10, 7, 200, 2) + 2 * 200 * 10 * 4;
        assert_eq!(bytes(&format!("{base}[noise]\nkind = 'masking'\ngamma = 1")), paired);
        let dropout = "[model]\nd_hid = 7\ndropout = 0.5\ntied = true\n[train]\ntensorboard = false\n";
        assert_eq!(bytes(dropout), step_bytes(10, 7, 100, 3) + 2 * 100 * 7 * 4);
        let lbfgs = format!("{base}[optimizer]\nkind = 'lbfgs'\nhistory = 5");
        assert_eq!(bytes(&lbfgs), step_bytes(10, 7, 100, 18));
    }
}
