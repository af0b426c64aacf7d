//! The named settings of a config, and what they are to the kernels.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sae_kernels::BackendKind;
use sae_kernels::ops::{Activation, Loss};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::choice::{Unknown, choices, named};
use crate::preprocess::Preprocess;

choices! {
    /// The activation of the hidden layer.
    pub enum HiddenActivation {
        /// `1/(1 + e⁻ᶻ)`.
        Sigmoid = "sigmoid",
        /// `max(z, 0)`.
        Relu = "relu",
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// `z`.
        Identity = "identity",
    }
}

choices! {
    /// The activation of the output layer.
    pub enum OutputActivation {
        /// `1/(1 + e⁻ᶻ)`: data in `[0, 1]`.
        Sigmoid = "sigmoid",
        /// `z`: any data.
        Identity = "identity",
        /// Hyperbolic tangent: data in `[−1, 1]`.
        Tanh = "tanh",
    }
}

choices! {
    /// How the terms of the loss are averaged.
    pub enum Convention {
        /// Summed over a sample, averaged over the batch; squared error halved.
        PerSample = "per_sample",
        /// Averaged over every element.
        PerElement = "per_element",
    }
}

choices! {
    /// The reconstruction term.
    pub enum Reconstruction {
        /// Squared error.
        Squared = "squared",
        /// Binary cross-entropy from logits.
        Bce = "bce",
    }
}

choices! {
    /// The sparsity term.
    pub enum SparsityKind {
        /// None.
        None = "none",
        /// `β·Σ_j KL(ρ‖ρ̂_j)`.
        Kl = "kl",
        /// `β/n·Σ_ij |h_ij|`.
        L1 = "l1",
        /// The k largest activations of each sample; the others are 0.
        TopK = "topk",
        /// The activations whose size is above a threshold; the others are 0.
        Threshold = "threshold",
    }
}

choices! {
    /// What the weight decay is part of.
    pub enum Decay {
        /// The loss, and so of the gradient.
        Loss = "loss",
        /// The update alone: weights shrink by `1 − lr·λ`.
        Decoupled = "decoupled",
    }
}

choices! {
    /// How the inputs are corrupted in training.
    pub enum NoiseKind {
        /// Not at all.
        None = "none",
        /// Normal noise is added.
        Gaussian = "gaussian",
        /// Values become 0.
        Masking = "masking",
        /// Values become the least or the largest of the training set.
        SaltAndPepper = "salt_and_pepper",
    }
}

choices! {
    /// Where `rho_hat`, the mean activation, comes from.
    pub enum RhoHat {
        /// The batch.
        Batch = "batch",
        /// An exponential moving average over batches.
        Ema = "ema",
    }
}

choices! {
    /// The optimiser.
    pub enum OptimizerKind {
        /// Gradient descent.
        Sgd = "sgd",
        /// Gradient descent with momentum.
        Momentum = "momentum",
        /// Gradient descent with Nesterov's momentum.
        Nesterov = "nesterov",
        /// Adagrad.
        Adagrad = "adagrad",
        /// RMSprop.
        RmsProp = "rmsprop",
        /// Adam, weight decay in the gradient.
        Adam = "adam",
        /// Adam, decoupled weight decay.
        AdamW = "adamw",
        /// Limited-memory BFGS on all training rows at once.
        Lbfgs = "lbfgs",
    }
}

choices! {
    /// How the learning rate goes.
    pub enum ScheduleKind {
        /// It stays.
        Constant = "constant",
        /// Down a straight line.
        Linear = "linear",
        /// Down by a factor, every so many steps.
        Step = "step",
        /// Down half a period of a cosine.
        Cosine = "cosine",
        /// Down by a factor wherever the validation loss stops falling.
        Plateau = "plateau",
    }
}

named!(Preprocess, ["none", "range", "minmax", "zscore", "pca", "zca", "patches"]);

impl From<HiddenActivation> for Activation {
    fn from(activation: HiddenActivation) -> Self {
        match activation {
            HiddenActivation::Sigmoid => Self::Sigmoid,
            HiddenActivation::Relu => Self::Relu,
            HiddenActivation::Tanh => Self::Tanh,
            HiddenActivation::Identity => Self::Identity,
        }
    }
}

impl From<OutputActivation> for Activation {
    fn from(activation: OutputActivation) -> Self {
        match activation {
            OutputActivation::Sigmoid => Self::Sigmoid,
            OutputActivation::Identity => Self::Identity,
            OutputActivation::Tanh => Self::Tanh,
        }
    }
}

impl From<Reconstruction> for Loss {
    fn from(loss: Reconstruction) -> Self {
        match loss {
            Reconstruction::Squared => Self::Squared,
            Reconstruction::Bce => Self::Bce,
        }
    }
}

/// Serde of [`BackendKind`] by its name.
pub(super) mod backend {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(kind: &BackendKind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BackendKind, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let names = BackendKind::ALL.map(BackendKind::name);
        text.parse().map_err(|_| serde::de::Error::custom(Unknown::new(&text, &names)))
    }
}

/// Where the initial weights come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Init {
    /// Glorot and Bengio's uniform distribution, from the seed.
    #[default]
    Xavier,
    /// A `.safetensors` file.
    File(PathBuf),
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xavier => f.write_str("xavier"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for Init {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "xavier" => Ok(Self::Xavier),
            _ if text.ends_with(".safetensors") => Ok(Self::File(text.into())),
            _ => Err(format!("{}, or a path to a .safetensors file", Unknown::new(text, &["xavier"]))),
        }
    }
}

impl Serialize for Init {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Init {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
