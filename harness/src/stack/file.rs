//! A stack on disk: `stack.safetensors` and `stack.json`.
//!
//! | tensor | shape |
//! | --- | --- |
//! | `layers.0.W_enc`, `layers.0.b_enc`, `layers.1.W_enc`, … | `[d_in, d_hid]`, `[d_hid]`, from the data up |
//! | `head.W`, `head.b` | `[d_hid, classes]`, `[classes]`, where there is a classifier |
//!
//! Row-major little-endian `f32`. `stack.json` has the activation of each layer, the label of each class, and the
//! preprocessing as `cfg.json` has it.

use std::fs;
use std::path::Path;

use sae_kernels::ops::Activation;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Dense, Head, Stack};
use crate::atomic;
use crate::error::{Error, Result};
use crate::json;
use crate::model::file::{read_whole, tensors_of};
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
        let unwritable =
            |e: &dyn std::fmt::Display| Error::Failed(format!("{}: cannot be written: {e}", folder.display()));
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
        let mut preprocessing = serde_json::to_value(&self.preprocessing).map_err(|e| unwritable(&e))?;
        let constants = folder.join(CONSTANTS_FILE);
        if let Some((text, matrix)) = constants::detach(&preprocessing, &constants).map_err(|e| unwritable(&e))? {
            preprocessing = text;
            atomic::write(&constants, &matrix).map_err(|e| unwritable(&e))?;
        }
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
        atomic::write(&folder.join(STACK_CONFIG_FILE), &text).map_err(|e| unwritable(&e))?;
        atomic::write(&folder.join(STACK_WEIGHTS_FILE), &weights).map_err(|e| unwritable(&e))
    }

    /// Reads a stack from its folder.
    ///
    /// # Errors
    /// [`Error::Input`], [`Error::Read`] for what is missing, damaged or of another version.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(STACK_CONFIG_FILE);
        let wrong = |found: String, expected: &str| Error::input(path.display(), found, expected);
        let text = fs::read(&path).map_err(|e| Error::read(&path, e))?;
        json::check(&text).map_err(|e| wrong(e.to_string(), "a JSON object"))?;
        let mut document: Document =
            serde_json::from_slice(&text).map_err(|e| wrong(e.to_string(), "a stack.json as `sae stack` writes it"))?;
        if document.format_version != FORMAT_VERSION {
            let found = format!("format_version is {}", document.format_version);
            return Err(wrong(found, &FORMAT_VERSION.to_string()));
        }
        if document.layers.is_empty() || document.d_in == 0 {
            return Err(wrong(format!("{} layers on {} inputs", document.layers.len(), document.d_in), "at least one"));
        }
        if document.labels.as_ref().is_some_and(|labels| labels.is_empty() || !labels.is_sorted_by(|a, b| a < b)) {
            return Err(wrong("the labels are not ascending".to_owned(), "at least one, each once"));
        }
        let constants = folder.join(CONSTANTS_FILE);
        constants::attach(&mut document.preprocessing, &constants).map_err(|e| unreadable(&constants, e))?;
        let preprocessing = Fitted::deserialize(&document.preprocessing)
            .map_err(|e| wrong(format!("preprocessing: {e}"), "a map as `sae stack` writes it"))?;
        preprocessing.check(document.d_in, &path.display().to_string())?;
        let weights = folder.join(STACK_WEIGHTS_FILE);
        let bytes = read_whole(&weights).map_err(|e| unreadable(&weights, e))?;
        let tensors = tensors_of(&bytes, &weights).map_err(|e| unreadable(&weights, e))?;
        let mut layers = Vec::new();
        let mut inputs = document.d_in;
        for (index, entry) in document.layers.iter().enumerate() {
            let activation = Activation::ALL.into_iter().find(|a| a.name() == entry.activation);
            let Some(activation) = activation else {
                return Err(wrong(format!("activation is `{}`", entry.activation), "sigmoid, relu, tanh or identity"));
            };
            let shape = (inputs, entry.d_hid);
            layers.push(dense(&tensors, &weights, &format!("layers.{index}"), shape, activation)?);
            inputs = entry.d_hid;
        }
        let head = match document.labels {
            None => None,
            Some(labels) => {
                let layer = dense(&tensors, &weights, "head", (inputs, labels.len()), Activation::Identity)?;
                Some(Head { layer, labels })
            }
        };
        Ok(Self { layers, head, preprocessing, image: document.image })
    }

    fn named(&self) -> impl Iterator<Item = (String, &Dense)> {
        let layers = self.layers.iter().enumerate().map(|(index, layer)| (format!("layers.{index}"), layer));
        layers.chain(self.head.iter().map(|head| ("head".to_owned(), &head.layer)))
    }
}

impl LayerEntry {
    fn of(layer: &Dense) -> Self {
        Self { d_hid: layer.outputs, activation: layer.activation.name().to_owned() }
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
            let found = format!("{name} is {} {:?}", tensor.dtype(), tensor.shape());
            return Err(Error::input(path.display(), found, format!("F32 {shape:?}")));
        }
        let values: Vec<f32> = tensor.data().as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word)).collect();
        match values.iter().find(|v| !v.is_finite()) {
            None => Ok(values),
            Some(bad) => Err(Error::input(path.display(), format!("{name} holds {bad}"), "finite numbers")),
        }
    };
    let (w, b) = names(layer);
    let (w, bias) = (take(&w, &[inputs, outputs])?, take(&b, &[outputs])?);
    Ok(Dense { inputs, outputs, activation, w, bias })
}
