//! The code of each measure.

mod anomaly;
mod denoising;
mod dictionary;
mod features;
mod filters;
mod k_sparse;
mod linear;
mod pruned;
mod self_taught;
mod sensitivity;
mod stacked;

use std::path::Path;
use std::sync::Arc;

use super::{Context, Measured};
use crate::config::Config;
use crate::data::{self, Dataset, load_folder};
use crate::error::{Error, Result};
use crate::model::file::ModelFile;
use crate::report::filters::{FilterOptions, FilterSheet};
use crate::train::{Part, Silent, Trainer, TrainingSet};

/// A measure, with one seed.
pub(super) type Measure = fn(&Context<'_>) -> Result<Measured>;

/// Every measure, by name.
pub(super) const ALL: &[(&str, Measure)] = &[
    ("anomaly", anomaly::run),
    ("denoising", denoising::run),
    ("dictionary", dictionary::run),
    ("features", features::run),
    ("filters", filters::run),
    ("k_sparse", k_sparse::run),
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

/// What to train on, and what to judge by: the rows held out or, where none are, the test part of a set that comes divided.
fn judged(config: &Config) -> Result<(Arc<TrainingSet>, Dataset)> {
    let set = TrainingSet::load(config)?;
    let test = match set.test.rows {
        0 => {
            let mut test = load_folder(Path::new(&config.data.source), data::Part::Test)?;
            set.preprocessing.prepare(&mut test)?;
            test
        }
        _ => set.test.clone(),
    };
    Ok((Arc::new(set), test))
}

/// A label for each row.
fn labels(set: &Dataset) -> Result<&[i64]> {
    set.labels.as_deref().ok_or_else(|| Error::input(&set.name, "there are no labels", "a label for each row"))
}

/// The rows whose label passes.
fn digits_only(set: &Dataset, passes: impl Fn(i64) -> bool) -> Result<Dataset> {
    let labels = labels(set)?;
    let rows: Vec<usize> = (0..set.rows).filter(|&row| passes(labels[row])).collect();
    Ok(set.select(&rows))
}

/// A picture of what each hidden unit looks for.
fn filter_sheet(file: &ModelFile, image: (usize, usize)) -> Result<Vec<u8>> {
    let options = FilterOptions { image: Some(image), ..FilterOptions::default() };
    let sheet = FilterSheet::draw(&file.w_enc, file.d_in, file.d_hid, &options);
    sheet.and_then(|sheet| sheet.png()).map_err(|e| Error::Failed(e.to_string()))
}
