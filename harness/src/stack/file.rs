//! A stack on disk: `stack.safetensors` and `stack.json`.
//!
//! | tensor | shape |
//! | --- | --- |
//! | `layers.0.W_enc`, `layers.0.b_enc`, `layers.1.W_enc`, … | `[d_in, d_hid]`, `[d_hid]`, from the data up |
//! | `head.W`, `head.b` | `[d_hid, classes]`, `[classes]`, where there is a classifier |
//!
//! Row-major little-endian `f32`. `stack.json` has the activation of each layer, its `k` where the k largest activations of a row
//! stay or its `threshold` where those above one do, the label of each class, and the preprocessing as `cfg.json` has it.

use std::fs;
use std::path::{Path, PathBuf};

use sae_kernels::ops::Activation;
use sae_kernels::step::Selection;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Dense, Head, Stack};
use crate::atomic;
use crate::error::{Error, Result, excerpt};
use crate::json;
use crate::model::file_error::short;
use crate::model::weights::{read_whole, show, tensors_of};
use crate::model::{CONSTANTS_FILE, constants, unreadable};
use crate::preprocess::Fitted;

/// The name of the settings.
pub const STACK_CONFIG_FILE: &str = "stack.json";
/// The name of the weights.
pub const STACK_WEIGHTS_FILE: &str = "stack.safetensors";
/// The version that this code writes, and the only one it reads.
const FORMAT_VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format_version: u64,
    d_in: usize,
    layers: Vec<LayerEntry>,
    /// The label of each class.
    labels: Option<Vec<i64>>,
    image: Option<(usize, usize)>,
    preprocessing: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerEntry {
    d_hid: usize,
    activation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threshold: Option<f32>,
}

impl Stack {
    /// Whether `folder` holds a stack.
    pub fn is_at(folder: &Path) -> bool {
        folder.join(STACK_CONFIG_FILE).is_file()
    }

    /// Writes the stack's files into `folder`, each whole or not at all.
    ///
    /// # Errors
    /// [`Error::Failed`] where they cannot be written or a weight is not finite.
    pub fn save(&self, folder: &Path) -> Result {
        let unwritable = |e: &dyn std::fmt::Display| unwritable(folder, e);
        let mut preprocessing = serde_json::to_value(&self.preprocessing).map_err(|e| unwritable(&e))?;
        let constants = folder.join(CONSTANTS_FILE);
        let mut matrix = None;
        if let Some((text, bytes)) = constants::detach(&preprocessing, &constants).map_err(|e| unwritable(&e))? {
            (preprocessing, matrix) = (text, Some(bytes));
        }
        let (config, weights) = self.serialized(preprocessing, folder)?;
        if let Some(matrix) = matrix {
            atomic::write(&constants, &matrix).map_err(|e| unwritable(&e))?;
        }
        atomic::write(&folder.join(STACK_CONFIG_FILE), &config).map_err(|e| unwritable(&e))?;
        atomic::write(&folder.join(STACK_WEIGHTS_FILE), &weights).map_err(|e| unwritable(&e))
    }

    /// The content of `stack.json`, with a matrix of the preprocessing in it, and of `stack.safetensors`.
    ///
    /// # Errors
    /// [`Error::Failed`] where a weight is not finite.
    pub fn to_bytes(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let folder = Path::new(STACK_CONFIG_FILE);
        self.serialized(serde_json::to_value(&self.preprocessing).map_err(|e| unwritable(folder, &e))?, folder)
    }

    fn serialized(&self, preprocessing: Value, folder: &Path) -> Result<(Vec<u8>, Vec<u8>)> {
        let unwritable = |e: &dyn std::fmt::Display| unwritable(folder, e);
        let mut tensors: Vec<(String, Vec<usize>, &[f32])> = Vec::new();
        for (name, layer) in self.named() {
            let (w, b) = names(&name);
            tensors.push((w, vec![layer.inputs, layer.outputs], &layer.w));
            tensors.push((b, vec![layer.outputs], &layer.bias));
        }
        if let Some((name, ..)) = tensors.iter().find(|(.., values)| values.iter().any(|v| !v.is_finite())) {
            return Err(Error::Failed(format!("{name} has a number that is not finite, expected a trained stack")));
        }
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|(.., values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            Ok((name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| unwritable(&e))?))
        });
        let weights = safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None).map_err(|e| unwritable(&e))?;
        let document = Document {
            format_version: FORMAT_VERSION,
            d_in: self.d_in(),
            layers: self.layers.iter().map(LayerEntry::of).collect(),
            labels: self.head.as_ref().map(|head| head.labels.clone()),
            image: self.image,
            preprocessing,
        };
        let mut text = serde_json::to_vec_pretty(&document).map_err(|e| unwritable(&e))?;
        text.push(b'\n');
        Ok((text, weights))
    }

    /// Reads a stack from its folder.
    ///
    /// # Errors
    /// [`Error::Input`], [`Error::Read`] for what is missing, damaged or of another version.
    pub fn load(folder: &Path) -> Result<Self> {
        let (path, weights) = (folder.join(STACK_CONFIG_FILE), folder.join(STACK_WEIGHTS_FILE));
        let mut document = Document::parse(&fs::read(&path).map_err(|e| Error::read(&path, e))?, &path)?;
        let constants = folder.join(CONSTANTS_FILE);
        constants::attach(&mut document.preprocessing, &constants).map_err(|e| unreadable(&constants, e))?;
        let bytes = read_whole(&weights).map_err(|e| unreadable(&weights, e))?;
        Self::of(document, &bytes, path, weights)
    }

    /// Reads a stack from the content of `stack.json` and of `stack.safetensors`.
    ///
    /// # Errors
    /// As [`Stack::load`].
    pub fn from_bytes(config: &[u8], weights: &[u8]) -> Result<Self> {
        let path = PathBuf::from(STACK_CONFIG_FILE);
        Self::of(Document::parse(config, &path)?, weights, path, STACK_WEIGHTS_FILE.into())
    }

    fn of(document: Document, bytes: &[u8], path: PathBuf, weights: PathBuf) -> Result<Self> {
        let wrong = |found: String, expected: &str| Error::input(path.display(), found, expected);
        let preprocessing = Fitted::deserialize(&document.preprocessing).map_err(|e| {
            wrong(format!("preprocessing: {}", short(&e.to_string())), "a map as `sae stack` writes it")
        })?;
        preprocessing.check(document.d_in, &path.display().to_string())?;
        let tensors = tensors_of(bytes, &weights).map_err(|e| unreadable(&weights, e))?;
        let mut layers = Vec::new();
        let mut inputs = document.d_in;
        for (index, entry) in document.layers.iter().enumerate() {
            let activation = Activation::ALL.into_iter().find(|a| a.name() == entry.activation);
            let Some(activation) = activation else {
                return Err(wrong(
                    format!("activation is `{}`", excerpt(&entry.activation)),
                    "sigmoid, relu, tanh or identity",
                ));
            };
            let selection = match (entry.k, entry.threshold) {
                (None, None) => Selection::All,
                (Some(k), None) if k > 0 => Selection::TopK { k },
                (None, Some(threshold)) if threshold >= 0.0 => Selection::Threshold { threshold },
                (Some(k), None) => return Err(wrong(format!("layer {index}: k is {k}"), "at least 1")),
                (None, Some(threshold)) => {
                    return Err(wrong(format!("layer {index}: threshold is {threshold}"), "at least 0"));
                }
                (Some(_), Some(_)) => return Err(wrong(format!("layer {index} has k and threshold"), "one of them")),
            };
            let shape = (inputs, entry.d_hid);
            let layer = dense(&tensors, &weights, &format!("layers.{index}"), shape, activation)?;
            layers.push(Dense { selection, ..layer });
            inputs = entry.d_hid;
        }
        let head = match document.labels {
            None => None,
            Some(labels) => {
                let layer = dense(&tensors, &weights, "head", (inputs, labels.len()), Activation::Identity)?;
                Some(Head { layer, labels })
            }
        };
        let stack = Self { layers, head, preprocessing, image: document.image };
        let known: Vec<String> = stack.named().flat_map(|(name, _)| <[String; 2]>::from(names(&name))).collect();
        match tensors.names().into_iter().find(|name| !known.iter().any(|known| known == name)) {
            None => Ok(stack),
            Some(unknown) => {
                let found = format!("tensor {} belongs to no layer", excerpt(unknown));
                Err(Error::input(weights.display(), found, "the tensors of the layers, and no others"))
            }
        }
    }

    fn named(&self) -> impl Iterator<Item = (String, &Dense)> {
        let layers = self.layers.iter().enumerate().map(|(index, layer)| (format!("layers.{index}"), layer));
        layers.chain(self.head.iter().map(|head| ("head".to_owned(), &head.layer)))
    }
}

impl Document {
    /// What is written, as far as it can be right without the weights.
    fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let wrong = |found: String, expected: &str| Err(Error::input(path.display(), found, expected));
        let document: Self = match json::check(text) {
            Err(e) => return wrong(short(&e.to_string()), "a JSON object"),
            Ok(()) => match serde_json::from_slice(text) {
                Err(e) => return wrong(short(&e.to_string()), "a stack.json as `sae stack` writes it"),
                Ok(document) => document,
            },
        };
        let Self { format_version, d_in, ref layers, ref labels, image, .. } = document;
        if format_version != FORMAT_VERSION {
            return wrong(format!("format_version is {format_version}"), &FORMAT_VERSION.to_string());
        }
        if layers.is_empty() || d_in == 0 {
            return wrong(format!("{} layers on {d_in} inputs", layers.len()), "at least one");
        }
        if let Some(index) = layers.iter().position(|layer| layer.d_hid == 0) {
            return wrong(format!("layer {index} has no units"), "at least one");
        }
        if let Some((height, width)) = image.filter(|&(height, width)| height.checked_mul(width) != Some(d_in)) {
            return wrong(format!("image is {height} x {width}"), &format!("height x width = d_in = {d_in}"));
        }
        if labels.as_ref().is_some_and(|labels| labels.is_empty() || !labels.is_sorted_by(|a, b| a < b)) {
            return wrong("the labels are not ascending".to_owned(), "at least one, each once");
        }
        Ok(document)
    }
}

fn unwritable(folder: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Failed(format!("{}: cannot be written: {error}", folder.display()))
}

impl LayerEntry {
    fn of(layer: &Dense) -> Self {
        let (k, threshold) = match layer.selection {
            Selection::All => (None, None),
            Selection::TopK { k } => (Some(k), None),
            Selection::Threshold { threshold } => (None, Some(threshold)),
        };
        Self { d_hid: layer.outputs, activation: layer.activation.name().to_owned(), k, threshold }
    }
}

/// The names of a layer's tensors.
fn names(layer: &str) -> (String, String) {
    match layer {
        "head" => ("head.W".to_owned(), "head.b".to_owned()),
        _ => (format!("{layer}.W_enc"), format!("{layer}.b_enc")),
    }
}

fn dense(
    tensors: &SafeTensors<'_>,
    path: &Path,
    layer: &str,
    (inputs, outputs): (usize, usize),
    activation: Activation,
) -> Result<Dense> {
    let take = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
        let tensor = tensors
            .tensor(name)
            .map_err(|_| Error::input(path.display(), format!("tensor {name} is missing"), "every layer's tensors"))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            let found = format!("{name} is {} {}", tensor.dtype(), show(tensor.shape()));
            return Err(Error::input(path.display(), found, format!("F32 {}", show(shape))));
        }
        let values: Vec<f32> = tensor.data().as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word)).collect();
        match values.iter().find(|v| !v.is_finite()) {
            None => Ok(values),
            Some(bad) => Err(Error::input(path.display(), format!("{name} holds {bad}"), "finite numbers")),
        }
    };
    let (w, b) = names(layer);
    let (w, bias) = (take(&w, &[inputs, outputs])?, take(&b, &[outputs])?);
    Ok(Dense { inputs, outputs, activation, selection: Selection::All, w, bias })
}
