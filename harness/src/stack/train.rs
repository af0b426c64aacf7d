//! Training a stack: layer by layer, the head, all together.

use sae_kernels::ops::Activation;
use sae_kernels::step::Selection;
use sae_kernels::{Backend, backend};

use super::{Dense, Head, Network, NetworkOptions, Stack};
use crate::config::Config;
use crate::data::{Dataset, Stream, epoch_order, rng, uniform};
use crate::error::{Error, Result};
use crate::model::{Batch, Model};
use crate::preprocess::{Fitted, Preprocess};
use crate::train::{Observer, Plan, Summary, Trainer, TrainingSet};

/// The epochs of fine-tuning have orders of their own: they are counted on from here.
const FINETUNE_EPOCHS_FROM: u64 = 1 << 32;

/// How far the training of a stack is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    /// Layer `index`, from 0, of so many units.
    Layer {
        /// Which.
        index: usize,
        /// Its units.
        units: usize,
    },
    /// After an epoch of the head's training.
    Head {
        /// From 0.
        epoch: usize,
        /// Mean cross-entropy of its batches.
        loss: f64,
    },
    /// After an epoch of fine-tuning.
    Finetune {
        /// From 0.
        epoch: usize,
        /// Mean cross-entropy of its batches.
        loss: f64,
    },
}

/// A layer's training as an autoencoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Greedy {
    /// Its units.
    pub units: usize,
    /// The run.
    pub summary: Summary,
}

/// What a training came to.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The training of each layer.
    pub greedy: Vec<Greedy>,
    /// Before fine-tuning: greedy layers, and the head on them.
    pub before: Stack,
    /// After it; the same where there are no labels or no epochs.
    pub after: Stack,
}

/// Trains a stack on `set`, by `config`: `[stack]`, and for the layers what trains any autoencoder. Labels are those of the
/// training rows; without any, there is no head and nothing to fine-tune.
///
/// # Errors
/// [`Error::Setting`] where no layers are asked for, and those of [`Trainer`].
pub fn train(
    config: &Config,
    set: &TrainingSet,
    observer: &mut dyn Observer,
    mut tell: impl FnMut(Stage) -> Result,
) -> Result<Trained> {
    if config.stack.layers.is_empty() {
        return Err(Error::setting("stack.layers", "[]", "the width of each layer, as in [200, 200]"));
    }
    let (mut layers, mut greedy) = (Vec::new(), Vec::new());
    let mut level = set.clone();
    for (index, &units) in config.stack.layers.iter().enumerate() {
        tell(Stage::Layer { index, units })?;
        let mut settings = config.clone();
        settings.model.d_hid = units;
        settings.data.preprocess = Preprocess::None;
        let mut trainer = Trainer::with_set(settings, level)?;
        let summary = trainer.run(observer)?;
        greedy.push(Greedy { units, summary });
        let file = trainer.model()?;
        let mut layer = Dense {
            inputs: file.d_in,
            outputs: file.d_hid,
            activation: file.cfg.hidden,
            selection: Selection::All,
            w: file.w_enc.clone(),
            bias: file.b_enc.clone(),
        };
        let mut model = Model::new(file, config.backend, "the layer below")?;
        layer.selection = model.selection();
        layers.push(layer);
        level = trainer.set().clone();
        for part in [&mut level.train, &mut level.validation, &mut level.test] {
            encode(&mut model, part)?;
        }
        level.preprocessing = Fitted::None {};
    }
    let (preprocessing, image) = (set.preprocessing.clone(), set.train.image);
    let mut before = Stack { layers, head: None, preprocessing, image };
    let Some(labels) = &set.train.labels else {
        return Ok(Trained { greedy, after: before.clone(), before });
    };
    let options = &config.stack;
    before.head = Some(classifier(config, &level.train.data, labels, |epoch, loss| tell(Stage::Head { epoch, loss }))?);
    let mut after = before.clone();
    if let (Some(head), true) = (&mut after.head, options.finetune_epochs > 0) {
        let all: Vec<Dense> = before.layers.iter().chain([&head.layer]).cloned().collect();
        let mut decay = vec![options.finetune_weight_decay as f32; before.layers.len()];
        decay.push(options.head_weight_decay as f32);
        let (classes, _) = classes(labels);
        let job = Job { config, data: &set.train.data, classes: &classes, first_epoch: FINETUNE_EPOCHS_FROM };
        let mut tuned = job.run(all, &decay, options.finetune_lr, options.finetune_epochs, |epoch, loss| {
            tell(Stage::Finetune { epoch, loss })
        })?;
        if let Some(layer) = tuned.pop() {
            (head.layer, after.layers) = (layer, tuned);
        }
    }
    Ok(Trained { greedy, before, after })
}

/// Softmax regression of `labels` on `data`, a row each, by the settings of a stack's head. `tell` hears of every epoch.
///
/// # Errors
/// [`Error::Failed`] where `data` are not a row for each label or the cross-entropy becomes infinite; those of the backend.
fn classifier(config: &Config, data: &[f32], labels: &[i64], tell: impl FnMut(usize, f64) -> Result) -> Result<Head> {
    if labels.is_empty() || data.is_empty() || !data.len().is_multiple_of(labels.len()) {
        let found = format!("{} values for {} labels", data.len(), labels.len());
        return Err(Error::Failed(format!("classifier: {found}, expected a row for each label, at least one")));
    }
    let (classes, labels) = classes(labels);
    let layer = softmax_layer(data.len() / classes.len(), labels.len(), config.seed);
    let options = &config.stack;
    let job = Job { config, data, classes: &classes, first_epoch: 0 };
    let trained =
        job.run(vec![layer], &[options.head_weight_decay as f32], options.head_lr, options.head_epochs, tell)?;
    match trained.into_iter().next() {
        Some(layer) => Ok(Head { layer, labels }),
        None => Err(Error::Failed("classifier: there is no layer, expected one".to_owned())),
    }
}

/// Replaces the rows of `set` by their features.
fn encode(model: &mut Model, set: &mut Dataset) -> Result {
    let mut features = Vec::with_capacity(set.rows * model.d_hid());
    model.encode(&set.data, |h| {
        features.extend_from_slice(h);
        Ok(())
    })?;
    (set.data, set.cols, set.image) = (features, model.d_hid(), None);
    Ok(())
}

/// The class of each label, and the labels of the classes.
fn classes(labels: &[i64]) -> (Vec<usize>, Vec<i64>) {
    let mut known = labels.to_vec();
    known.sort_unstable();
    known.dedup();
    // A label that is there is found.
    (labels.iter().map(|label| known.partition_point(|k| k < label)).collect(), known)
}

/// Small weights, as the UFLDL tutorial begins softmax regression with: uniform in ±0.005.
fn softmax_layer(inputs: usize, outputs: usize, seed: u64) -> Dense {
    let mut rng = rng(seed, Stream::Head);
    let w = (0..inputs * outputs).map(|_| (0.01 * uniform(&mut rng) - 0.005) as f32).collect();
    Dense { inputs, outputs, activation: Activation::Identity, selection: Selection::All, w, bias: vec![0.0; outputs] }
}

/// A training by labels.
struct Job<'a> {
    config: &'a Config,
    /// `[rows, inputs]`.
    data: &'a [f32],
    /// A class a row.
    classes: &'a [usize],
    first_epoch: u64,
}

impl Job<'_> {
    fn run(
        &self,
        layers: Vec<Dense>,
        decay: &[f32],
        lr: f64,
        epochs: usize,
        mut tell: impl FnMut(usize, f64) -> Result,
    ) -> Result<Vec<Dense>> {
        let config = self.config;
        let rows = self.classes.len();
        let plan = Plan::new(&config.train, rows)?;
        let mut backend: Box<dyn Backend> = backend(config.backend)?;
        let options = NetworkOptions { max_batch: plan.batch, trainable: true, panel: backend.panel() };
        let mut network = Network::new(&layers, options)?;
        let mut batch = Batch::new(plan.batch, layers[0].inputs, backend.panel())?;
        for epoch in 0..epochs {
            let order = epoch_order(rows, config.train.shuffle, config.seed, self.first_epoch + epoch as u64);
            let mut sum = 0.0;
            for index in 0..plan.steps_per_epoch {
                let chosen = plan.rows(&order, index);
                batch.gather(self.data, chosen)?;
                let classes: Vec<usize> = chosen.iter().map(|&row| self.classes[row]).collect();
                let loss = network.train_step(&mut *backend, batch.view()?, &classes, decay, lr as f32)?;
                if !loss.is_finite() {
                    return Err(Error::Failed(format!(
                        "epoch {epoch}, step {index}: the cross-entropy is {loss}, expected a finite number; try a \
                         learning rate below {lr}"
                    )));
                }
                sum += loss * classes.len() as f64;
            }
            tell(epoch, sum / rows as f64)?;
        }
        Ok(network.layers())
    }
}
