//! A trained model on disk: `model.safetensors` and `cfg.json`.
//!
//! The weights carry the names and shapes of SAELens, row-major little-endian `f32`:
//!
//! | tensor | shape |
//! | --- | --- |
//! | `W_enc` | `[d_in, d_hid]` |
//! | `b_enc` | `[d_hid]` |
//! | `W_dec` | `[d_hid, d_in]` |
//! | `b_dec` | `[d_in]` |
//!
//! A matrix among the constants of the preprocessing is in [`preprocess.safetensors`](CONSTANTS_FILE), beside them.
//!
//! `cfg.json` has the keys SAELens expects of its architecture `standard`, or of `topk` where the `k` largest activations of a
//! `relu` stay, and one object of our own, `sae`, with all that the model means beyond its weights. SAELens reads the file and
//! ignores that object; what it then computes is this model only where the hidden activation is `relu`, the output `identity`
//! and there is neither a threshold nor preprocessing.

use std::fs;
use std::path::Path;

use sae_kernels::ops::{Activation, Loss};
use sae_kernels::step::Parameters;
use serde_json::Value;

use super::constants::{self, CONSTANTS_FILE};
use super::document::{parse_config, to_json};
pub use super::file_error::ModelFileError;
use super::file_error::at;
use super::weights::serialize;
pub use super::weights::{load_weights_only, weights_from_bytes};
use crate::atomic;

/// The name of the weights in a run directory.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The name of the configuration beside the weights.
pub const CONFIG_FILE: &str = "cfg.json";
/// The version of the object `sae` that this code writes, and the only one it reads.
pub const FORMAT_VERSION: u64 = 1;
/// The loss conventions there are.
pub const CONVENTIONS: [&str; 2] = ["per_sample", "per_element"];

/// A model as it is kept: weights, row-major, and what they mean.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFile {
    /// `[d_in, d_hid]`.
    pub w_enc: Vec<f32>,
    /// `[d_hid]`.
    pub b_enc: Vec<f32>,
    /// `[d_hid, d_in]`.
    pub w_dec: Vec<f32>,
    /// `[d_in]`.
    pub b_dec: Vec<f32>,
    /// Input width.
    pub d_in: usize,
    /// Hidden width.
    pub d_hid: usize,
    /// All that is not a weight.
    pub cfg: ModelConfig,
}

/// What a model means beyond its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// f, the hidden layer's nonlinearity.
    pub hidden: Activation,
    /// g, the output's.
    pub output: Activation,
    /// One of [`CONVENTIONS`].
    pub convention: String,
    /// The reconstruction loss.
    pub reconstruction: Loss,
    /// The kind of sparsity penalty, by its name in configs.
    pub sparsity: String,
    /// Target mean activation.
    pub rho: f64,
    /// Weight of the sparsity penalty.
    pub beta: f64,
    /// How many activations of a sample stay, where the kind is `topk`.
    pub k: Option<usize>,
    /// The size above which an activation stays, where the kind is `threshold`.
    pub threshold: Option<f64>,
    /// Weight decay.
    pub lambda: f64,
    /// Whether the decoder's weights are the encoder's, transposed: the weight decay counts them once.
    pub tied: bool,
    /// `(height, width)` where an input is an image; their product is `d_in`.
    pub image: Option<(usize, usize)>,
    /// The preprocessing as fitted on the training set; null for none.
    pub preprocessing: Value,
}

impl ModelFile {
    /// Writes `cfg.json` and `model.safetensors` into the folder `dir`, each of them whole or not at all.
    ///
    /// # Errors
    /// If lengths disagree with `d_in` and `d_hid`, a number is not finite, or the file system refuses; nothing is written then
    /// but, in the last case, possibly `cfg.json`.
    pub fn save(&self, dir: &Path) -> Result<(), ModelFileError> {
        let (weights_path, config_path) = (dir.join(WEIGHTS_FILE), dir.join(CONFIG_FILE));
        let constants_path = dir.join(CONSTANTS_FILE);
        let (text, matrix) = match constants::detach(&self.cfg.preprocessing, &constants_path)? {
            Some((text, matrix)) => (text, Some(matrix)),
            None => (self.cfg.preprocessing.clone(), None),
        };
        let (config, weights) = self.serialized(text, &config_path, &weights_path)?;
        if let Some(matrix) = matrix {
            atomic::write(&constants_path, &matrix)?;
        }
        atomic::write(&config_path, &config)?;
        atomic::write(&weights_path, &weights)?;
        Ok(())
    }

    /// The content of the files that [`ModelFile::save`] writes: `cfg.json` and `model.safetensors`.
    ///
    /// # Errors
    /// If lengths disagree with `d_in` and `d_hid`, or a number is not finite.
    pub fn to_bytes(&self) -> Result<(Vec<u8>, Vec<u8>), ModelFileError> {
        self.serialized(self.cfg.preprocessing.clone(), Path::new(CONFIG_FILE), Path::new(WEIGHTS_FILE))
    }

    fn serialized(
        &self,
        preprocessing: Value,
        config_path: &Path,
        weights_path: &Path,
    ) -> Result<(Vec<u8>, Vec<u8>), ModelFileError> {
        self.cfg.check(config_path, self.d_in)?;
        let weights =
            serialize([&self.w_enc, &self.b_enc, &self.w_dec, &self.b_dec], self.d_in, self.d_hid, weights_path)?;
        Ok((to_json(self, preprocessing, config_path)?, weights))
    }

    /// Reads a model from a run directory, or from a `.safetensors` file with its `cfg.json` beside it.
    ///
    /// # Errors
    /// If a file is missing, damaged, of another format or version, or holds a number that is not finite; or if the two files disagree.
    pub fn load(path: &Path) -> Result<Self, ModelFileError> {
        let (weights_path, config_path) = if path.is_dir() {
            (path.join(WEIGHTS_FILE), path.join(CONFIG_FILE))
        } else {
            (path.to_path_buf(), path.with_file_name(CONFIG_FILE))
        };
        let text = fs::read(&config_path).map_err(|e| at(&config_path, &e))?;
        let (d_in, d_hid, mut cfg) = parse_config(&text, &config_path)?;
        constants::attach(&mut cfg.preprocessing, &config_path.with_file_name(CONSTANTS_FILE))?;
        Ok(Self::of(load_weights_only(&weights_path, d_in, d_hid)?, d_in, d_hid, cfg))
    }

    /// Reads a model from the content of its two files.
    ///
    /// # Errors
    /// As [`ModelFile::load`].
    pub fn from_bytes(config: &[u8], weights: &[u8]) -> Result<Self, ModelFileError> {
        let (d_in, d_hid, cfg) = parse_config(config, Path::new(CONFIG_FILE))?;
        Ok(Self::of(weights_from_bytes(weights, d_in, d_hid)?, d_in, d_hid, cfg))
    }

    fn of(weights: Parameters, d_in: usize, d_hid: usize, cfg: ModelConfig) -> Self {
        let Parameters { w_enc, b_enc, w_dec, b_dec } = weights;
        Self { w_enc, b_enc, w_dec, b_dec, d_in, d_hid, cfg }
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
