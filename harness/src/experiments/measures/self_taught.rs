//! Self-taught learning: features of some digits, learned from others without labels.

use super::{Context, Measured, digits_only, labels};
use crate::data::{Dataset, Part, load_folder};
use crate::error::Result;
use crate::eval::probe::{SoftmaxOptions, SoftmaxProbe};
use crate::model::Model;
use crate::train::{Silent, Trainer, TrainingSet};

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let config = context.config(&[])?;
    let all = load_folder(&context.path("mnist"), Part::Train)?;
    let unlabelled = TrainingSet::new(&config, digits_only(&all, |digit| digit >= 5)?)?;
    let mut trainer = Trainer::with_set(config.clone(), unlabelled)?;
    trainer.run(&mut Silent)?;
    let mut model = Model::new(trainer.model()?, config.backend, "the model")?;
    let mut labelled = digits_only(&all, |digit| digit < 5)?;
    model.prepare(&mut labelled)?;
    let (half, rest) = halves(&labelled);
    let options = SoftmaxOptions { l2: vec![context.number("l2")?], scaled: false, ..SoftmaxOptions::default() };
    let accuracy = |train: &[f32], test: &[f32]| -> Result<f64> {
        let probe = SoftmaxProbe::fit(train, train.len() / half.rows, labels(&half)?, &options)?;
        Ok(probe.score(test, labels(&rest)?)?.accuracy)
    };
    let raw = accuracy(&half.data, &rest.data)?;
    let (train, test) = (model.features(&half.data)?, model.features(&rest.data)?);
    let features = accuracy(&train, &test)?;
    let mut found = Measured::default();
    found.value("accuracy on features", features);
    found.value("accuracy on raw pixels", raw);
    Ok(found)
}

/// Every other row, and the others.
fn halves(set: &Dataset) -> (Dataset, Dataset) {
    let (first, second): (Vec<usize>, Vec<usize>) = (0..set.rows).partition(|row| row % 2 == 0);
    (set.select(&first), set.select(&second))
}
