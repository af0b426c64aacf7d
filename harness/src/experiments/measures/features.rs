//! What a classifier can read off features: softmax regression on those of several models, beside raw inputs and PCA.

use std::sync::Arc;

use super::{Context, Measured, judged, labels};
use crate::config::Config;
use crate::data::Dataset;
use crate::error::Result;
use crate::eval::baseline::Pca;
use crate::eval::probe::{SoftmaxOptions, SoftmaxProbe};
use crate::model::Model;
use crate::stack::{self, Stack};
use crate::train::{Silent, Trainer, TrainingSet};

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let config = context.config(&[])?;
    let (set, test) = judged(&config)?;
    let probe = Probe { set: &set, test: &test, l2: context.numbers("l2")? };
    let mut found = Measured::default();
    found.value("raw", probe.accuracy(&set.train.data, &test.data)?);
    let components = config.model.d_hid.min(test.cols);
    let pca = Pca::fit(&set.train.data, test.cols)?;
    let (train, of_test) = (pca.features(&set.train.data, components)?, pca.features(&test.data, components)?);
    found.value("PCA", probe.accuracy(&train, &of_test)?);
    for (name, config) in context.models()? {
        let mut trainer = Trainer::with_set(config.clone(), Arc::clone(&set))?;
        trainer.run(&mut Silent)?;
        let mut model = Model::new(trainer.model()?, config.backend, &name)?;
        let (train, of_test) = (model.features(&set.train.data)?, model.features(&test.data)?);
        found.value(name, probe.accuracy(&train, &of_test)?);
    }
    let trained = stack::train(&config, &set, &mut Silent, |_| Ok(()))?;
    for (name, stack) in [("stacked", &trained.before), ("stacked, tuned by labels", &trained.after)] {
        let (train, of_test) = (top(stack, &config, &set.train.data)?, top(stack, &config, &test.data)?);
        found.value(name, probe.accuracy(&train, &of_test)?);
    }
    Ok(found)
}

/// Who judges features.
struct Probe<'a> {
    set: &'a TrainingSet,
    test: &'a Dataset,
    l2: Vec<f64>,
}

impl Probe<'_> {
    /// The share of test rows whose label is read off their features; the probe is fitted to those of the training rows.
    fn accuracy(&self, train: &[f32], test: &[f32]) -> Result<f64> {
        let options = SoftmaxOptions { l2: self.l2.clone(), ..SoftmaxOptions::default() };
        let probe = SoftmaxProbe::fit(train, train.len() / self.set.train.rows, labels(&self.set.train)?, &options)?;
        Ok(probe.score(test, labels(self.test)?)?.accuracy)
    }
}

/// The last layer's activations.
fn top(stack: &Stack, config: &Config, data: &[f32]) -> Result<Vec<f32>> {
    let mut features = Vec::new();
    stack.encode(config.backend, data, |h| {
        features.extend_from_slice(h);
        Ok(())
    })?;
    Ok(features)
}
