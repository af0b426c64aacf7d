//! `cfg.json`: what it says, and what it has to say.

use std::path::Path;

use sae_kernels::ops::{Activation, Loss};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file::{CONVENTIONS, FORMAT_VERSION, ModelConfig, ModelFile};
use super::file_error::{ModelFileError, not_config, value};
use crate::json;

/// The first SAELens whose layout this is. Without a version of 6 or later its loader takes `cfg.json` for a legacy one.
const SAELENS_VERSION: &str = "6.18.0";

/// The content of `cfg.json`, `preprocessing` being what is said of it there.
pub(super) fn to_json(model: &ModelFile, preprocessing: Value, path: &Path) -> Result<Vec<u8>, ModelFileError> {
    let mut text = serde_json::to_vec_pretty(&Document::of(model, preprocessing)).map_err(|e| not_config(path, &e))?;
    text.push(b'\n');
    Ok(text)
}

/// The widths of a model and all that is not a weight, from the content of `cfg.json`.
pub(super) fn parse_config(text: &[u8], path: &Path) -> Result<(usize, usize, ModelConfig), ModelFileError> {
    json::check(text).map_err(|e| not_config(path, &e))?;
    let document: Document = serde_json::from_slice(text).map_err(|e| not_config(path, &e))?;
    document.checked(path)
}

/// `cfg.json` as it is written: SAELens' keys, and ours under `sae`.
#[derive(Serialize, Deserialize)]
struct Document {
    architecture: String,
    d_in: usize,
    d_sae: usize,
    dtype: String,
    device: String,
    apply_b_dec_to_input: bool,
    normalize_activations: String,
    reshape_activations: String,
    /// Of `topk`, as the next key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rescale_acts_by_decoder_norm: Option<bool>,
    metadata: Metadata,
    sae: Object,
}

/// SAELens' `metadata`, of which its loader needs the version.
#[derive(Serialize, Deserialize)]
struct Metadata {
    sae_lens_version: String,
}

/// The object `sae`.
#[derive(Serialize, Deserialize)]
struct Object {
    format_version: u64,
    hidden: String,
    output: String,
    convention: String,
    reconstruction: String,
    sparsity: String,
    rho: f64,
    beta: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    lambda: f64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    tied: bool,
    image: Option<(usize, usize)>,
    preprocessing: Value,
}

impl Document {
    fn of(model: &ModelFile, preprocessing: Value) -> Self {
        let cfg = &model.cfg;
        let k = cfg.k.filter(|_| cfg.hidden == Activation::Relu);
        Self {
            architecture: architecture(k).into(),
            d_in: model.d_in,
            d_sae: model.d_hid,
            dtype: "float32".into(),
            device: "cpu".into(),
            apply_b_dec_to_input: false,
            normalize_activations: "none".into(),
            reshape_activations: "none".into(),
            k,
            rescale_acts_by_decoder_norm: k.map(|_| false),
            metadata: Metadata { sae_lens_version: SAELENS_VERSION.into() },
            sae: Object {
                format_version: FORMAT_VERSION,
                hidden: cfg.hidden.name().into(),
                output: cfg.output.name().into(),
                convention: cfg.convention.clone(),
                reconstruction: cfg.reconstruction.name().into(),
                sparsity: cfg.sparsity.clone(),
                rho: cfg.rho,
                beta: cfg.beta,
                k: cfg.k,
                threshold: cfg.threshold,
                lambda: cfg.lambda,
                tied: cfg.tied,
                image: cfg.image,
                preprocessing,
            },
        }
    }

    fn checked(self, path: &Path) -> Result<(usize, usize, ModelConfig), ModelFileError> {
        let sae = self.sae;
        if sae.format_version != FORMAT_VERSION {
            return Err(value(path, "sae.format_version", sae.format_version, FORMAT_VERSION));
        }
        let hidden = named(path, "sae.hidden", &sae.hidden, &Activation::ALL, Activation::name)?;
        let k = sae.k.filter(|_| hidden == Activation::Relu);
        let fixed = [
            ("architecture", self.architecture.as_str(), architecture(k)),
            ("dtype", self.dtype.as_str(), "float32"),
            ("normalize_activations", self.normalize_activations.as_str(), "none"),
            ("reshape_activations", self.reshape_activations.as_str(), "none"),
        ];
        for (key, found, expected) in fixed {
            if found != expected {
                return Err(value(path, key, format!("`{found}`"), format!("`{expected}`")));
            }
        }
        if self.apply_b_dec_to_input {
            return Err(value(path, "apply_b_dec_to_input", true, false));
        }
        if self.k != k {
            let text = |k: Option<usize>| k.map_or("absent".to_owned(), |k| k.to_string());
            return Err(value(path, "k", text(self.k), format!("{}, as sae.k", text(k))));
        }
        if self.rescale_acts_by_decoder_norm == Some(true) {
            return Err(value(path, "rescale_acts_by_decoder_norm", true, false));
        }
        let cfg = ModelConfig {
            hidden,
            output: named(path, "sae.output", &sae.output, &Activation::ALL, Activation::name)?,
            convention: sae.convention,
            reconstruction: named(path, "sae.reconstruction", &sae.reconstruction, &Loss::ALL, Loss::name)?,
            sparsity: sae.sparsity,
            rho: sae.rho,
            beta: sae.beta,
            k: sae.k,
            threshold: sae.threshold,
            lambda: sae.lambda,
            tied: sae.tied,
            image: sae.image,
            preprocessing: sae.preprocessing,
        };
        cfg.check(path, self.d_in)?;
        Ok((self.d_in, self.d_sae, cfg))
    }
}

/// What SAELens calls a model of which the `k` largest activations of a `relu` stay, or one without.
fn architecture(k: Option<usize>) -> &'static str {
    if k.is_some() { "topk" } else { "standard" }
}

impl ModelConfig {
    /// What holds of every configuration, written or read.
    pub(super) fn check(&self, path: &Path, d_in: usize) -> Result<(), ModelFileError> {
        if !CONVENTIONS.contains(&self.convention.as_str()) {
            let found = format!("`{}`", self.convention);
            return Err(value(path, "sae.convention", found, format!("one of {}", CONVENTIONS.join(", "))));
        }
        let threshold = self.threshold.unwrap_or_default();
        for (key, number) in
            [("sae.rho", self.rho), ("sae.beta", self.beta), ("sae.threshold", threshold), ("sae.lambda", self.lambda)]
        {
            if !number.is_finite() {
                return Err(value(path, key, number, "a finite number"));
            }
        }
        if let Some((height, width)) = self.image
            && height.checked_mul(width) != Some(d_in)
        {
            let found = format!("{height} x {width}");
            return Err(value(path, "sae.image", found, format!("height x width = d_in = {d_in}")));
        }
        Ok(())
    }
}

/// The member of `all` that `found` names.
fn named<T: Copy>(
    path: &Path,
    key: &str,
    found: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, ModelFileError> {
    all.iter().copied().find(|&t| name(t) == found).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|&t| name(t)).collect();
        value(path, key, format!("`{found}`"), format!("one of {}", names.join(", ")))
    })
}
