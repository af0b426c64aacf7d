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

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sae_kernels::ops::{Activation, Loss};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::constants::{self, CONSTANTS_FILE};
use crate::atomic;
use crate::data::safetensors::{LENGTH_BYTES, check_header_length};
use crate::error::{excerpt, one_line};
use crate::json;

/// The name of the weights in a run directory.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The name of the configuration beside the weights.
pub const CONFIG_FILE: &str = "cfg.json";
/// The version of the object `sae` that this code writes, and the only one it reads.
pub const FORMAT_VERSION: u64 = 1;
/// The loss conventions there are.
pub const CONVENTIONS: [&str; 2] = ["per_sample", "per_element"];

/// The first SAELens whose layout this is. Without a version of 6 or later its loader takes `cfg.json` for a legacy one.
const SAELENS_VERSION: &str = "6.18.0";

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

/// The weights of a model without their meaning, row-major; shapes as in [`ModelFile`].
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// `[d_in, d_hid]`.
    pub w_enc: Vec<f32>,
    /// `[d_hid]`.
    pub b_enc: Vec<f32>,
    /// `[d_hid, d_in]`.
    pub w_dec: Vec<f32>,
    /// `[d_in]`.
    pub b_dec: Vec<f32>,
}

/// A model that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// The file system refused; the message names the path.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is not what its name says.
    #[error("{path}: {problem}, expected {expected}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What a right file would be.
        expected: &'static str,
    },
    /// A part of the file has another value than it has to have.
    #[error("{path}: {what} is {found}, expected {expected}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Which part.
        what: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
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
        let shapes = Shapes::new(config_path, self.d_in, self.d_hid)?;
        let slices: [&[f32]; 4] = [&self.w_enc, &self.b_enc, &self.w_dec, &self.b_dec];
        let mut bytes = Vec::with_capacity(4);
        for ((name, shape), values) in shapes.all().into_iter().zip(slices) {
            let expected: usize = shape.iter().product();
            if values.len() != expected {
                return Err(value(weights_path, format!("length of {name}"), values.len(), expected));
            }
            check_finite(weights_path, name, values)?;
            bytes.push(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        }
        let mut views = Vec::with_capacity(4);
        for ((name, shape), data) in shapes.all().into_iter().zip(&bytes) {
            let view = TensorView::new(Dtype::F32, shape, data).map_err(|e| not_safetensors(weights_path, &e))?;
            views.push((name, view));
        }
        let file = safetensors::serialize(views, None).map_err(|e| not_safetensors(weights_path, &e))?;
        let mut document = Document::of(self);
        document.sae.preprocessing = preprocessing;
        let mut document = serde_json::to_vec_pretty(&document).map_err(|e| not_config(config_path, &e))?;
        document.push(b'\n');
        Ok((document, file))
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
        Ok(Self::of(Weights::from_bytes(weights, d_in, d_hid)?, d_in, d_hid, cfg))
    }

    fn of(weights: Weights, d_in: usize, d_hid: usize, cfg: ModelConfig) -> Self {
        let Weights { w_enc, b_enc, w_dec, b_dec } = weights;
        Self { w_enc, b_enc, w_dec, b_dec, d_in, d_hid, cfg }
    }
}

fn parse_config(text: &[u8], path: &Path) -> Result<(usize, usize, ModelConfig), ModelFileError> {
    json::check(text).map_err(|e| not_config(path, &e))?;
    let document: Document = serde_json::from_slice(text).map_err(|e| not_config(path, &e))?;
    document.checked(path)
}

/// Reads the four tensors of a `.safetensors` file and nothing else: what `init = "file.safetensors"` starts from.
///
/// # Errors
/// If the file is missing or damaged, or a tensor is missing, unknown, not `f32`, not of the shape that `d_in` and `d_hid` give it, or
/// holds a number that is not finite.
pub fn load_weights_only(path: &Path, d_in: usize, d_hid: usize) -> Result<Weights, ModelFileError> {
    parse_weights(&read_whole(path)?, path, d_in, d_hid)
}

impl Weights {
    /// Reads the content of a `.safetensors` file.
    ///
    /// # Errors
    /// As [`load_weights_only`].
    pub fn from_bytes(bytes: &[u8], d_in: usize, d_hid: usize) -> Result<Self, ModelFileError> {
        parse_weights(bytes, Path::new(WEIGHTS_FILE), d_in, d_hid)
    }
}

/// The tensors of a `.safetensors` file, whose header is held against the file first.
///
/// # Errors
/// If it is none.
pub(crate) fn tensors_of<'a>(bytes: &'a [u8], path: &Path) -> Result<SafeTensors<'a>, ModelFileError> {
    let header = header_of(bytes, path)?;
    json::check(header).map_err(|e| ModelFileError::Format {
        path: path.to_path_buf(),
        problem: format!("the safetensors header: {}", short(&e.to_string())),
        expected: "a JSON object",
    })?;
    SafeTensors::deserialize(bytes).map_err(|e| not_safetensors(path, &e))
}

fn parse_weights(bytes: &[u8], path: &Path, d_in: usize, d_hid: usize) -> Result<Weights, ModelFileError> {
    let shapes = Shapes::new(path, d_in, d_hid)?;
    let file = tensors_of(bytes, path)?;
    let known = shapes.all();
    let mut names = file.names();
    names.sort_unstable();
    if let Some(unknown) = names.iter().find(|name| !known.iter().any(|(k, _)| k == *name)) {
        return Err(value(path, "a tensor", format!("`{}`", excerpt(unknown)), "only W_enc, b_enc, W_dec, b_dec"));
    }
    let mut tensors = Vec::with_capacity(4);
    for (name, shape) in known {
        let tensor = file.tensor(name).map_err(|_| ModelFileError::Format {
            path: path.to_path_buf(),
            problem: format!("tensor {name} is missing"),
            expected: "the tensors W_enc, b_enc, W_dec, b_dec",
        })?;
        if tensor.dtype() != Dtype::F32 {
            return Err(value(path, format!("dtype of {name}"), tensor.dtype(), Dtype::F32));
        }
        if tensor.shape() != shape {
            return Err(value(path, format!("shape of {name}"), show(tensor.shape()), show(&shape)));
        }
        let (chunks, _) = tensor.data().as_chunks::<4>();
        let values: Vec<f32> = chunks.iter().map(|&b| f32::from_le_bytes(b)).collect();
        check_finite(path, name, &values)?;
        tensors.push(values);
    }
    let [w_enc, b_enc, w_dec, b_dec]: [Vec<f32>; 4] =
        tensors.try_into().expect("one vector was pushed for each of the four names");
    Ok(Weights { w_enc, b_enc, w_dec, b_dec })
}

/// Names and shapes of the four tensors, in the order of [`Weights`].
struct Shapes {
    d_in: usize,
    d_hid: usize,
}

impl Shapes {
    /// Widths that are positive and whose product, in bytes, is an address.
    fn new(path: &Path, d_in: usize, d_hid: usize) -> Result<Self, ModelFileError> {
        for (name, width) in [("d_in", d_in), ("d_sae", d_hid)] {
            if width == 0 {
                return Err(value(path, name, 0, "at least 1"));
            }
        }
        if d_in.checked_mul(d_hid).and_then(|n| n.checked_mul(size_of::<f32>())).is_none() {
            return Err(value(path, "d_in x d_sae", format!("{d_in} x {d_hid}"), "a matrix that fits in memory"));
        }
        Ok(Self { d_in, d_hid })
    }

    fn all(&self) -> [(&'static str, Vec<usize>); 4] {
        let Self { d_in, d_hid } = *self;
        [("W_enc", vec![d_in, d_hid]), ("b_enc", vec![d_hid]), ("W_dec", vec![d_hid, d_in]), ("b_dec", vec![d_in])]
    }
}

/// The file's bytes; its header's claimed length is held against the file's before anything is allocated.
pub(crate) fn read_whole(path: &Path) -> Result<Vec<u8>, ModelFileError> {
    let mut file = File::open(path).map_err(|e| at(path, &e))?;
    let length = file.metadata().map_err(|e| at(path, &e))?.len();
    let mut head = [0; LENGTH_BYTES as usize];
    let head = &mut head[..length.min(LENGTH_BYTES) as usize];
    file.read_exact(head).map_err(|e| at(path, &e))?;
    header_length(head, length, path)?;
    let mut bytes = Vec::new();
    let capacity = usize::try_from(length).map_err(|_| at(path, &io::Error::from(io::ErrorKind::OutOfMemory)))?;
    bytes.try_reserve_exact(capacity).map_err(|e| at(path, &io::Error::new(io::ErrorKind::OutOfMemory, e)))?;
    bytes.extend_from_slice(head);
    file.take(length - head.len() as u64).read_to_end(&mut bytes).map_err(|e| at(path, &e))?;
    Ok(bytes)
}

/// The JSON between the length and the tensors.
fn header_of<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a [u8], ModelFileError> {
    let length = header_length(bytes, bytes.len() as u64, path)?;
    Ok(&bytes[LENGTH_BYTES as usize..][..length])
}

/// The header's length, which a file of `length` bytes that begins with `start` claims.
fn header_length(start: &[u8], length: u64, path: &Path) -> Result<usize, ModelFileError> {
    let Some(head) = start.first_chunk() else {
        return Err(value(path, "file length", format!("{length} bytes"), "a safetensors file, of at least 8"));
    };
    let header = u64::from_le_bytes(*head);
    check_header_length(header, length - LENGTH_BYTES)
        .map_err(|expected| value(path, "safetensors header length", format!("{header} bytes"), expected))
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
    fn of(model: &ModelFile) -> Self {
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
                preprocessing: cfg.preprocessing.clone(),
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
    fn check(&self, path: &Path, d_in: usize) -> Result<(), ModelFileError> {
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

fn check_finite(path: &Path, name: &str, values: &[f32]) -> Result<(), ModelFileError> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(value(path, format!("element {i} of {name}"), values[i], "a finite number")),
    }
}

/// A shape, of which no more than the first dimensions are shown.
pub(crate) fn show(shape: &[usize]) -> String {
    const MOST: usize = 8;
    let dims: Vec<String> = shape.iter().take(MOST).map(usize::to_string).collect();
    format!("[{}{}]", dims.join(", "), if shape.len() > MOST { ", …" } else { "" })
}

fn at(path: &Path, error: &io::Error) -> ModelFileError {
    ModelFileError::Io(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

pub(super) fn not_safetensors(path: &Path, error: &safetensors::SafeTensorError) -> ModelFileError {
    ModelFileError::Format {
        path: path.to_path_buf(),
        problem: short(&error.to_string()),
        expected: "a whole safetensors file",
    }
}

/// Foreign text on one line, and of no more than it takes to recognise it.
pub(crate) fn short(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut text = one_line(text);
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

fn not_config(path: &Path, error: &serde_json::Error) -> ModelFileError {
    ModelFileError::Format {
        path: path.to_path_buf(),
        problem: short(&error.to_string()),
        expected: "a cfg.json with the object `sae`, as `sae train` writes it",
    }
}

pub(super) fn value(
    path: &Path,
    what: impl Into<String>,
    found: impl ToString,
    expected: impl ToString,
) -> ModelFileError {
    ModelFileError::Value {
        path: path.to_path_buf(),
        what: what.into(),
        found: short(&found.to_string()),
        expected: expected.to_string(),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
