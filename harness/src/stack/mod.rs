//! Stacks: layers trained one on the other, a classifier on top, and all of it tuned together.
//!
//! 1. Layer 1 is the encoder of a sparse autoencoder of the data, layer 2 that of one of layer 1's activations, and so on
//!    (Y. Bengio et al., "Greedy layer-wise training of deep networks", 2007).
//! 2. Softmax regression on the last layer's activations, where the data have labels.
//! 3. Backpropagation through head and layers: the cross-entropy of the labels, `1/n Σ −log p_y`, and weight decay.

mod file;
mod network;
mod train;

use sae_kernels::{Backend, BackendKind, backend};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::model::Batch;
use crate::preprocess::Fitted;

pub use file::{STACK_CONFIG_FILE, STACK_WEIGHTS_FILE};
pub use network::{Dense, Network, NetworkOptions};
pub use train::{Greedy, Stage, Trained, train};

/// Samples taken at a time.
const BATCH: usize = 1024;

/// Layers, and what is on top of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// From the data up.
    pub layers: Vec<Dense>,
    /// The classifier, where there were labels.
    pub head: Option<Head>,
    /// The map from raw data to inputs.
    pub preprocessing: Fitted,
    /// Height and width, where an input is an image.
    pub image: Option<(usize, usize)>,
}

/// Softmax regression.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// A class a column; its activation is the identity: what comes out are logits.
    pub layer: Dense,
    /// The label of each class, ascending.
    pub labels: Vec<i64>,
}

/// What a stack says of labelled data.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The label that each row most probably has.
    pub predicted: Vec<i64>,
    /// The share of rows where that is right.
    pub accuracy: f64,
    /// Mean of −log p of the right label; infinite where the stack does not know it.
    pub cross_entropy: f64,
    /// `[labels, labels]`: rows of each true label, by the label predicted. Labels that the stack does not know are not in it.
    pub confusion: Vec<Vec<u64>>,
}

impl Stack {
    /// Input width.
    pub fn d_in(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    /// Width of the last layer: that of the features.
    pub fn d_out(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// Turns raw data into inputs.
    ///
    /// # Errors
    /// [`Error::Input`] where rows are not as long as the inputs.
    pub fn prepare(&self, set: &mut Dataset) -> Result {
        self.preprocessing.prepare(set)?;
        if set.cols != self.d_in() {
            let expected = format!("{}, the input width of the stack", self.d_in());
            return Err(Error::input(&set.name, format!("rows have {} columns", set.cols), expected));
        }
        Ok(())
    }

    /// The last layer's activations of prepared data: `each` gets `[n, d_out]`, row-major, batch by batch.
    ///
    /// # Errors
    /// Those of the backend and of `each`.
    pub fn encode(&self, kind: BackendKind, data: &[f32], each: impl FnMut(&[f32]) -> Result) -> Result {
        run(&self.layers, kind, data, each)
    }

    /// Classifies prepared data, and compares with `labels`.
    ///
    /// # Errors
    /// [`Error::Input`] where the stack has no classifier or `labels` are not one a row; those of the backend.
    pub fn judge(&self, kind: BackendKind, data: &[f32], labels: &[i64]) -> Result<Judged> {
        let Some(head) = &self.head else {
            return Err(Error::input("the stack", "it has no classifier", "one that was trained on data with labels"));
        };
        let d_in = self.layers.first().unwrap_or(&head.layer).inputs;
        if labels.is_empty() || data.len() != labels.len() * d_in {
            let found = format!("{} labels", labels.len());
            return Err(Error::input("the data", found, "a label for each row, at least one"));
        }
        let classes = head.labels.len();
        let layers: Vec<Dense> = self.layers.iter().chain([&head.layer]).cloned().collect();
        let mut predicted = Vec::with_capacity(labels.len());
        let mut confusion = vec![vec![0; classes]; classes];
        let mut loss = 0.0;
        run(&layers, kind, data, |logits| {
            for row in logits.chunks_exact(classes) {
                let best = (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a))).unwrap_or(0);
                match head.labels.binary_search(&labels[predicted.len()]) {
                    Ok(class) => {
                        confusion[class][best] += 1;
                        loss -= network::log_probability(row, class);
                    }
                    Err(_) => loss = f64::INFINITY,
                }
                predicted.push(head.labels[best]);
            }
            Ok(())
        })?;
        let right = predicted.iter().zip(labels).filter(|(a, b)| a == b).count();
        let n = labels.len() as f64;
        Ok(Judged { accuracy: right as f64 / n, cross_entropy: loss / n, predicted, confusion })
    }
}

/// Passes `data` through `layers`.
fn run(layers: &[Dense], kind: BackendKind, data: &[f32], mut each: impl FnMut(&[f32]) -> Result) -> Result {
    let (Some(first), Some(last)) = (layers.first(), layers.last()) else { return Ok(()) };
    let mut backend: Box<dyn Backend> = backend(kind)?;
    let (d_in, d_out) = (first.inputs, last.outputs);
    let most = BATCH.min((data.len() / d_in).max(1));
    let options = NetworkOptions { max_batch: most, trainable: false, panel: backend.panel() };
    let mut network = Network::new(layers, options)?;
    let mut batch = Batch::new(most, d_in, backend.panel())?;
    let mut out = vec![0.0; most * d_out];
    for part in data.chunks(most * d_in) {
        batch.take(part)?;
        let view = network.forward(&mut *backend, batch.view()?)?;
        let out = &mut out[..view.rows() * d_out];
        for (r, row) in out.chunks_exact_mut(d_out).enumerate() {
            row.iter_mut().enumerate().for_each(|(c, v)| *v = view.at(0, r, c));
        }
        each(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
