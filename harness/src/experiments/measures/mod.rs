//! The code of each measure.

mod dictionary;
mod filters;
mod linear;
mod pruned;
mod self_taught;
mod sensitivity;
mod stacked;

use super::{Context, Measured};
use crate::config::Config;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::train::{Part, Silent, Trainer, TrainingSet};

/// A measure, with one seed.
pub(super) type Measure = fn(&Context<'_>) -> Result<Measured>;

/// Every measure, by name.
pub(super) const ALL: &[(&str, Measure)] = &[
    ("dictionary", dictionary::run),
    ("filters", filters::run),
    ("linear", linear::run),
    ("prune", pruned::run),
    ("self_taught", self_taught::run),
    ("sensitivity", sensitivity::run),
    ("stacked", stacked::run),
];

/// A trained autoencoder.
fn trained(config: Config) -> Result<Trainer> {
    let set = TrainingSet::load(&config)?;
    let mut trainer = Trainer::with_set(config, set)?;
    trainer.run(&mut Silent)?;
    Ok(trainer)
}

/// MSE on the test rows.
fn test_mse(trainer: &mut Trainer) -> Result<f64> {
    Ok(trainer.evaluate(Part::Test)?.map_or(f64::NAN, |found| found.mse))
}

/// The rows whose label passes.
fn digits_only(set: &Dataset, passes: impl Fn(i64) -> bool) -> Result<Dataset> {
    let Some(labels) = &set.labels else {
        return Err(Error::input(&set.name, "there are no labels", "a label for each row"));
    };
    let rows: Vec<usize> = (0..set.rows).filter(|&row| passes(labels[row])).collect();
    Ok(set.select(&rows))
}

/// The features of prepared data.
fn encode(model: &mut Model, data: &[f32]) -> Result<Vec<f32>> {
    let mut features = Vec::with_capacity(data.len() / model.d_in() * model.d_hid());
    model.encode(data, |h| {
        features.extend_from_slice(h);
        Ok(())
    })?;
    Ok(features)
}
