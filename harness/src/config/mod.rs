//! A run's settings: a TOML file, overrides from the command line, and defaults for everything else.
//!
//! A key that does not exist, a value of another type and a name that is no choice are errors that say where they are
//! and what was probably meant. [`Config::load`] reads and checks; [`Config::to_toml`] writes the settings as resolved.

mod changes;
mod choice;
mod fit;
mod kinds;
mod load;
mod validate;

use sae_kernels::ops::Rule;
use sae_kernels::{BackendKind, Real};
use serde::{Deserialize, Serialize};

pub use changes::Change;
pub use choice::Unknown;
pub use fit::data_fits;
pub use kinds::{
    Convention, Decay, HiddenActivation, Init, NoiseKind, OptimizerKind, OutputActivation, Reconstruction, RhoHat,
    ScheduleKind, SparsityKind,
};

use crate::data::Noise;
use crate::error::{Error, Result};
use crate::preprocess::{self, PatchOptions, Preprocess};

/// All settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What every random stream is derived from.
    pub seed: u64,
    /// Who carries out the operations.
    #[serde(with = "kinds::backend")]
    pub backend: BackendKind,
    /// Threads; 0 for all.
    pub threads: usize,
    /// `[data]`
    pub data: DataConfig,
    /// `[model]`
    pub model: ModelConfig,
    /// `[loss]`
    pub loss: LossConfig,
    /// `[sparsity]`
    pub sparsity: SparsityConfig,
    /// `[noise]`
    pub noise: NoiseConfig,
    /// `[optimizer]`
    pub optimizer: OptimizerConfig,
    /// `[schedule]`
    pub schedule: ScheduleConfig,
    /// `[early_stopping]`
    pub early_stopping: EarlyStoppingConfig,
    /// `[train]`
    pub train: TrainConfig,
    /// `[stack]`
    pub stack: StackConfig,
}

/// What is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// What [`data::load`](crate::data::load) takes.
    pub source: String,
    /// The map from raw values to inputs.
    pub preprocess: Preprocess,
    /// ε, added to every variance (`pca`, `zca`).
    pub epsilon: f64,
    /// Components kept; 0 for all (`pca`, `zca`).
    pub components: usize,
    /// Height and width of a patch (`patches`).
    pub patch: usize,
    /// Patches drawn from images that are larger (`patches`).
    pub patches: usize,
    /// Whether images are whitened before they are cut (`patches`).
    pub patch_whiten: bool,
    /// The fraction of rows held out to watch the training by.
    pub validation: f64,
    /// The fraction of rows held out to judge the result by.
    pub test: f64,
    /// MiB of memory that the data may take: `.npy` and `.safetensors` files that need more than half of it are streamed; 0
    /// to have them in memory whatever they need.
    pub buffer_mib: usize,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Hidden width.
    pub d_hid: usize,
    /// The encoder's activation.
    pub hidden: HiddenActivation,
    /// The decoder's activation.
    pub output: OutputActivation,
    /// Where the weights start.
    pub init: Init,
    /// Whether the decoder has the encoder's weights, transposed.
    pub tied: bool,
    /// The probability with which a hidden unit is left out in a step of training.
    pub dropout: f64,
}

/// Reconstruction and weight decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// How terms are averaged.
    pub convention: Convention,
    /// The reconstruction term.
    pub reconstruction: Reconstruction,
    /// λ, on the two weight matrices, or on the one where they are tied.
    pub weight_decay: f64,
    /// What it is part of; for `adamw` it is decoupled whatever is said here.
    pub decay: Decay,
}

/// The sparsity term, or which activations stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SparsityConfig {
    /// Which one.
    pub kind: SparsityKind,
    /// ρ, the mean activation aimed at (`kl`).
    pub rho: f64,
    /// β, the weight of the term (`kl`, `l1`).
    pub beta: f64,
    /// Where the mean activation comes from (`kl`).
    pub rho_hat: RhoHat,
    /// What the moving average keeps of itself in a step (`rho_hat = "ema"`).
    pub ema_decay: f64,
    /// How many activations of a sample stay (`topk`).
    pub k: usize,
    /// How many stay in the first epoch (`topk`); 0 for `k`.
    pub k_start: usize,
    /// Epochs over which that falls to `k`, evenly (`topk`).
    pub anneal_epochs: usize,
    /// How many times `k` activations stay when the model is used: for validation, and ever after (`topk`).
    pub alpha: f64,
    /// The size above which an activation stays (`threshold`).
    pub threshold: f64,
}

/// Corrupted inputs with clean targets. With J the objective, x the samples and x' their corrupted copies, a step minimises
/// `J` of x' with x as the targets, or, where `gamma` is above 0, `J(x) + gamma·D(x, x')`: D is the reconstruction term of x
/// from x', averaged as the loss's convention has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoiseConfig {
    /// Which noise.
    pub kind: NoiseKind,
    /// The standard deviation (`gaussian`), in preprocessed units.
    pub sigma: f64,
    /// The share of the values that are replaced (`masking`, `salt_and_pepper`).
    pub fraction: f64,
    /// γ; 0 for denoising alone.
    pub gamma: f64,
}

/// The optimiser, with the names and defaults of PyTorch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Which one.
    pub kind: OptimizerKind,
    /// Learning rate; `lbfgs` has none.
    pub lr: f64,
    /// Decay of the first moment (`adam`, `adamw`).
    pub beta1: f64,
    /// Decay of the second moment (`adam`, `adamw`).
    pub beta2: f64,
    /// Added to the root of the second moment (`adam`, `adamw`, `rmsprop`, `adagrad`); where a file or an option does not
    /// give it, that of PyTorch: 1e-10 for `adagrad`, else 1e-8.
    pub eps: f64,
    /// μ (`momentum`, `nesterov`).
    pub momentum: f64,
    /// Decay of the mean square (`rmsprop`).
    pub alpha: f64,
    /// Moves that are remembered (`lbfgs`).
    pub history: usize,
    /// The largest element of the gradient at which a run has converged (`lbfgs`).
    pub tolerance: f64,
}

/// How the learning rate goes; formulas are in [`train::Schedule`](crate::train::Schedule).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Which way.
    pub kind: ScheduleKind,
    /// Steps over which the rate rises to `optimizer.lr`, before the rest of the schedule begins; 0 for none.
    pub warmup_steps: u64,
    /// The share of `optimizer.lr` that the first of them has.
    pub warmup_factor: f64,
    /// Steps over which the rate falls (`linear`, `cosine`); 0 for all that follow the warm-up.
    pub steps: u64,
    /// The share of `optimizer.lr` that is left at their end (`linear`).
    pub end_factor: f64,
    /// The lowest rate (`cosine`, `plateau`).
    pub min_lr: f64,
    /// Steps after which the rate is multiplied by `gamma`, again and again (`step`).
    pub step_size: u64,
    /// See `step_size` (`step`).
    pub gamma: f64,
    /// What the rate is multiplied by on a plateau (`plateau`).
    pub factor: f64,
    /// Epochs without a better validation loss that are waited for (`plateau`).
    pub patience: u64,
    /// By which share a loss has to be lower to be better (`plateau`).
    pub threshold: f64,
    /// Epochs after a reduction that do not count (`plateau`).
    pub cooldown: u64,
}

/// When a run ends before its last epoch, with the best weights as its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStoppingConfig {
    /// Epochs without a better validation loss after which a run ends; 0 for never.
    pub patience: u64,
    /// By how much a loss has to be lower to be better.
    pub min_delta: f64,
}

/// The training loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Samples in a batch.
    pub batch: usize,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Steps after which to stop; 0 for no limit.
    pub max_steps: u64,
    /// Whether each pass has an order of its own.
    pub shuffle: bool,
    /// Whether a last, smaller batch is left out.
    pub drop_last: bool,
    /// The largest size of an element of the gradient; 0 for no limit.
    pub clip_value: f64,
    /// The largest norm of the gradient over all four tensors; 0 for no limit. Behind it comes `clip_value`.
    pub clip_norm: f64,
    /// Steps from one whose gradient's norm is recorded to the next; 0 for none but those that are recorded anyway: every
    /// step's with a `clip_norm`, and the first step's of an epoch with `tensorboard`.
    pub gradient_norm_steps: u64,
    /// A hidden unit counts as active above this.
    pub threshold_active: f64,
    /// Whether the run directory gets a TensorBoard event file.
    pub tensorboard: bool,
    /// The share of the run's time that its histograms and pictures may take.
    pub tensorboard_share: f64,
    /// Steps between two checkpoints; 0 for no limit.
    pub checkpoint_steps: u64,
    /// Minutes between two checkpoints; 0 for no limit.
    pub checkpoint_minutes: f64,
    /// Checkpoints that are kept.
    pub keep: usize,
}

/// A stack of layers, of `sae stack` alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StackConfig {
    /// The width of each layer, from the data up.
    pub layers: Vec<usize>,
    /// Epochs in which the classifier is trained on the last layer's features.
    pub head_epochs: usize,
    /// Its learning rate, of Adam.
    pub head_lr: f64,
    /// λ of its weights, then and in fine-tuning.
    pub head_weight_decay: f64,
    /// Epochs in which all layers are trained together.
    pub finetune_epochs: usize,
    /// The learning rate then, of Adam.
    pub finetune_lr: f64,
    /// λ of the layers' weights then.
    pub finetune_weight_decay: f64,
}

impl Default for StackConfig {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            head_epochs: 50,
            head_lr: 1e-2,
            head_weight_decay: 1e-4,
            finetune_epochs: 30,
            finetune_lr: 1e-3,
            finetune_weight_decay: 1e-5,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            backend: BackendKind::Fused,
            threads: 0,
            data: DataConfig::default(),
            model: ModelConfig::default(),
            loss: LossConfig::default(),
            sparsity: SparsityConfig::default(),
            noise: NoiseConfig::default(),
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            early_stopping: EarlyStoppingConfig::default(),
            train: TrainConfig::default(),
            stack: StackConfig::default(),
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        let preprocess::Options { epsilon, components, patches } = preprocess::Options::default();
        Self {
            source: "digits".to_owned(),
            preprocess: Preprocess::Range,
            epsilon,
            components,
            patch: patches.side,
            patches: patches.count,
            patch_whiten: patches.whiten,
            validation: 0.1,
            test: 0.1,
            buffer_mib: 2048,
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            d_hid: 196,
            hidden: HiddenActivation::Sigmoid,
            output: OutputActivation::Sigmoid,
            init: Init::Xavier,
            tied: false,
            dropout: 0.0,
        }
    }
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            convention: Convention::PerSample,
            reconstruction: Reconstruction::Squared,
            weight_decay: 1e-4,
            decay: Decay::Loss,
        }
    }
}

impl Default for SparsityConfig {
    fn default() -> Self {
        Self {
            kind: SparsityKind::Kl,
            rho: 0.05,
            beta: 3.0,
            rho_hat: RhoHat::Batch,
            ema_decay: 0.9,
            k: 25,
            k_start: 0,
            anneal_epochs: 0,
            alpha: 1.0,
            threshold: 0.1,
        }
    }
}

impl Default for NoiseConfig {
    fn default() -> Self {
        Self { kind: NoiseKind::None, sigma: 0.3, fraction: 0.3, gamma: 0.0 }
    }
}

impl NoiseConfig {
    /// The noise, where there is one.
    pub fn noise(&self) -> Option<Noise> {
        let (sigma, share) = (self.sigma, self.fraction);
        match self.kind {
            NoiseKind::None => None,
            NoiseKind::Gaussian => Some(Noise::Gaussian { sigma }),
            NoiseKind::Masking => Some(Noise::Masking { share }),
            NoiseKind::SaltAndPepper => Some(Noise::SaltAndPepper { share }),
        }
    }

    /// Whether the clean samples are part of the objective.
    pub fn is_paired(&self) -> bool {
        self.kind != NoiseKind::None && self.gamma > 0.0
    }
}

impl SparsityConfig {
    /// How many activations stay in a step of `epoch`, counted from 0: `k_start` in the first, `k` from `anneal_epochs` on, and
    /// evenly less in between (A. Makhzani, B. Frey, "k-Sparse autoencoders", 2013, section 4.2.1).
    pub fn k_of(&self, epoch: u64) -> usize {
        if self.k_start <= self.k || epoch >= self.anneal_epochs as u64 {
            return self.k;
        }
        let gone = epoch as f64 / self.anneal_epochs as f64;
        self.k_start - ((self.k_start - self.k) as f64 * gone).round() as usize
    }

    /// How many activations of `d_hid` stay when the model is used: `alpha·k`.
    pub fn k_used(&self, d_hid: usize) -> usize {
        ((self.alpha * self.k as f64).round() as usize).clamp(1, d_hid.max(1))
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adam,
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            momentum: 0.9,
            alpha: 0.99,
            history: 20,
            tolerance: 1e-5,
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch: 256,
            epochs: 50,
            max_steps: 0,
            shuffle: true,
            drop_last: false,
            clip_value: 0.0,
            clip_norm: 0.0,
            gradient_norm_steps: 0,
            threshold_active: 0.5,
            tensorboard: true,
            tensorboard_share: 0.01,
            checkpoint_steps: 0,
            checkpoint_minutes: 10.0,
            keep: 2,
        }
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            kind: ScheduleKind::Constant,
            warmup_steps: 0,
            warmup_factor: 1.0 / 3.0,
            steps: 0,
            end_factor: 0.0,
            min_lr: 0.0,
            step_size: 1000,
            gamma: 0.1,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            cooldown: 0,
        }
    }
}

impl Default for EarlyStoppingConfig {
    fn default() -> Self {
        Self { patience: 0, min_delta: 0.0 }
    }
}

impl DataConfig {
    /// The numbers that the map needs.
    pub fn options(&self) -> preprocess::Options {
        let patches = PatchOptions { side: self.patch, count: self.patches, whiten: self.patch_whiten };
        preprocess::Options { epsilon: self.epsilon, components: self.components, patches }
    }
}

impl OptimizerConfig {
    /// The kernels' rule.
    pub fn rule<T: Real>(&self) -> Rule<T> {
        let number = T::from_f64;
        let (beta1, beta2, eps) = (number(self.beta1), number(self.beta2), number(self.eps));
        match self.kind {
            // L-BFGS asks for gradients and updates the weights itself.
            OptimizerKind::Sgd | OptimizerKind::Lbfgs => Rule::Sgd,
            OptimizerKind::Momentum => Rule::Momentum { momentum: number(self.momentum) },
            OptimizerKind::Nesterov => Rule::Nesterov { momentum: number(self.momentum) },
            OptimizerKind::Adagrad => Rule::Adagrad { eps },
            OptimizerKind::RmsProp => Rule::RmsProp { alpha: number(self.alpha), eps },
            OptimizerKind::Adam => Rule::Adam { beta1, beta2, eps },
            OptimizerKind::AdamW => Rule::AdamW { beta1, beta2, eps },
        }
    }
}

impl Config {
    /// The settings as TOML, every key written out; [`Config::load`] reads them back unchanged.
    ///
    /// # Errors
    /// [`Error::Failed`] for a seed above 2⁶³ − 1, which TOML cannot hold, and which [`Config::validate`] refuses.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Failed(format!("the config cannot be written as TOML: {e}")))
    }
}
