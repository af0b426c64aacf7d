//! The objective: from a run's settings to the kernels' terms and to the model file, and back.

use sae_kernels::ops::Rule;
use sae_kernels::step::{Convention, Dropout, Penalty, RhoHat, Selection, StepConfig};

use super::file::ModelConfig;
use crate::config::{self, Config, Decay, OptimizerKind, SparsityKind};
use crate::data::dropout_seed;
use crate::error::{Error, Result};

/// The kernels' configuration of a step.
pub fn step_config(config: &Config) -> StepConfig {
    let sparsity = &config.sparsity;
    let penalty = match sparsity.kind {
        SparsityKind::None | SparsityKind::TopK | SparsityKind::Threshold => Penalty::None,
        SparsityKind::L1 => Penalty::L1 { beta: sparsity.beta as f32 },
        SparsityKind::Kl => Penalty::Kl {
            rho: sparsity.rho as f32,
            beta: sparsity.beta as f32,
            average: match sparsity.rho_hat {
                config::RhoHat::Batch => RhoHat::Batch,
                config::RhoHat::Ema => RhoHat::Ema { decay: sparsity.ema_decay as f32 },
            },
        },
    };
    StepConfig {
        hidden: config.model.hidden.into(),
        output: config.model.output.into(),
        loss: config.loss.reconstruction.into(),
        convention: match config.loss.convention {
            config::Convention::PerSample => Convention::PerSample,
            config::Convention::PerElement => Convention::PerElement,
        },
        weight_decay: config.loss.weight_decay as f32,
        decoupled_decay: config.loss.decay == Decay::Decoupled,
        tied: config.model.tied,
        penalty,
        selection: selection(sparsity.kind, sparsity.k_of(0), sparsity.threshold),
        dropout: (config.model.dropout > 0.0)
            .then(|| Dropout { rate: config.model.dropout as f32, seed: dropout_seed(config.seed) }),
        rule: config.optimizer.rule(),
        clip_norm: limit(config.train.clip_norm),
        clip_value: limit(config.train.clip_value),
    }
}

/// 0 is none.
fn limit(most: f64) -> Option<f32> {
    (most > 0.0).then_some(most as f32)
}

/// Which activations stay: the k largest, or those above a threshold, where the kind says so.
fn selection(kind: SparsityKind, k: usize, threshold: f64) -> Selection {
    match kind {
        SparsityKind::TopK => Selection::TopK { k },
        SparsityKind::Threshold => Selection::Threshold { threshold: threshold as f32 },
        SparsityKind::None | SparsityKind::Kl | SparsityKind::L1 => Selection::All,
    }
}

/// Which stay in a step of `epoch`.
pub(crate) fn selection_of(config: &Config, epoch: u64) -> Selection {
    selection(config.sparsity.kind, config.sparsity.k_of(epoch), config.sparsity.threshold)
}

/// Which stay when the model is used.
pub(crate) fn selection_used(config: &Config) -> Selection {
    selection(config.sparsity.kind, config.sparsity.k_used(config.model.d_hid), config.sparsity.threshold)
}

/// What a model file says of the objective; λ is 0 where the optimiser decouples it.
pub(crate) fn model_config(
    config: &Config,
    image: Option<(usize, usize)>,
    preprocessing: serde_json::Value,
) -> ModelConfig {
    let kind = config.sparsity.kind;
    ModelConfig {
        hidden: config.model.hidden.into(),
        output: config.model.output.into(),
        convention: config.loss.convention.name().to_owned(),
        reconstruction: config.loss.reconstruction.into(),
        sparsity: config.sparsity.kind.name().to_owned(),
        rho: config.sparsity.rho,
        beta: config.sparsity.beta,
        k: (kind == SparsityKind::TopK).then(|| config.sparsity.k_used(config.model.d_hid)),
        threshold: (kind == SparsityKind::Threshold).then_some(config.sparsity.threshold),
        lambda: if decouples(config) { 0.0 } else { config.loss.weight_decay },
        tied: config.model.tied,
        image,
        preprocessing,
    }
}

/// Whether the weight decay is no part of the objective.
fn decouples(config: &Config) -> bool {
    config.optimizer.kind == OptimizerKind::AdamW || config.loss.decay == Decay::Decoupled
}

/// Puts the objective of a model that was read from a file in the place of that of `config`; what a file does not say (where
/// ρ̂ comes from, the optimiser, noise, the training) stays. As many activations stay in training as when the model is used.
///
/// # Errors
/// [`Error::Input`] for a name that cannot be trained with.
pub fn adopt_objective(config: &mut Config, cfg: &ModelConfig) -> Result {
    let unknown = |e: config::Unknown| Error::input("cfg.json", e.to_string(), "an objective that can be trained");
    config.model.hidden = cfg.hidden.name().parse().map_err(unknown)?;
    config.model.output = cfg.output.name().parse().map_err(unknown)?;
    config.loss.convention = cfg.convention.parse().map_err(unknown)?;
    config.loss.reconstruction = cfg.reconstruction.name().parse().map_err(unknown)?;
    if !decouples(config) {
        config.loss.weight_decay = cfg.lambda;
    }
    config.model.tied = cfg.tied;
    config.sparsity.kind = cfg.sparsity.parse().map_err(unknown)?;
    if let Some(k) = cfg.k {
        (config.sparsity.k, config.sparsity.alpha) = (k, 1.0);
        (config.sparsity.k_start, config.sparsity.anneal_epochs) = (0, 0);
    }
    config.sparsity.threshold = cfg.threshold.unwrap_or(config.sparsity.threshold);
    if cfg.rho > 0.0 && cfg.rho < 1.0 {
        config.sparsity.rho = cfg.rho;
    }
    config.sparsity.beta = cfg.beta;
    Ok(())
}

/// The objective of a model read from a file. Its rule is the one that keeps no state.
///
/// # Errors
/// [`Error::Input`] for a name that this version does not know.
pub(crate) fn saved_objective(cfg: &ModelConfig, file: &str) -> Result<StepConfig> {
    let kind: SparsityKind = cfg
        .sparsity
        .parse()
        .map_err(|e: config::Unknown| Error::input(file, format!("sae.sparsity: {e}"), "a known one"))?;
    let penalty = match kind {
        SparsityKind::None | SparsityKind::TopK | SparsityKind::Threshold => Penalty::None,
        SparsityKind::L1 => Penalty::L1 { beta: cfg.beta as f32 },
        SparsityKind::Kl => Penalty::Kl { rho: cfg.rho as f32, beta: cfg.beta as f32, average: RhoHat::Batch },
    };
    let missing = |key: &str| {
        let found = format!("sae.sparsity is `{}`, and sae.{key} is missing", cfg.sparsity);
        Error::input(file, found, "the number of the selection")
    };
    let selection = match kind {
        SparsityKind::TopK => selection(kind, cfg.k.ok_or_else(|| missing("k"))?, 0.0),
        SparsityKind::Threshold => selection(kind, 1, cfg.threshold.ok_or_else(|| missing("threshold"))?),
        _ => Selection::All,
    };
    let convention = Convention::ALL.into_iter().find(|c| c.name() == cfg.convention);
    Ok(StepConfig {
        hidden: cfg.hidden,
        output: cfg.output,
        loss: cfg.reconstruction,
        convention: convention.ok_or_else(|| {
            Error::input(file, format!("sae.convention is `{}`", cfg.convention), "per_sample or per_element")
        })?,
        weight_decay: cfg.lambda as f32,
        tied: cfg.tied,
        penalty,
        selection,
        rule: Rule::Sgd,
        ..StepConfig::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_the_gradient_reach_the_kernels_and_0_is_none() {
        let clips = |norm: &str, value: &str| {
            let pairs = [("train.clip_norm", norm), ("train.clip_value", value)];
            let config = Config::load(None, &pairs.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
            let cfg = step_config(&config);
            (cfg.clip_norm, cfg.clip_value)
        };
        assert_eq!(clips("0", "0"), (None, None));
        assert_eq!(clips("0.5", "0"), (Some(0.5), None));
        assert_eq!(clips("0", "0.25"), (None, Some(0.25)));
    }
}
