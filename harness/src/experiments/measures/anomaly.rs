//! Anomalies told by how badly they are reconstructed: by a model that has seen none, and by one that has seen all rows.

use super::{Context, Measured, labels};
use crate::data::{Dataset, Split, load};
use crate::error::Result;
use crate::eval::baseline::Pca;
use crate::eval::quality::errors;
use crate::eval::ranking::{Ranking, quantile};
use crate::model::Model;
use crate::train::{Silent, Trainer, TrainingSet};

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let all = load(&context.config(&[])?.data.source, context.seed)?;
    let labels = labels(&all)?;
    // Normal rows, a part of them held out; the anomalies are all held out.
    let (anomalies, normal): (Vec<usize>, Vec<usize>) = (0..all.rows).partition(|&row| labels[row] == 1);
    let split = Split::new(normal.len(), 0.0, context.number("held_out")?, true, context.seed)?;
    let of_normal = |rows: &[usize]| rows.iter().map(|&row| normal[row]).collect::<Vec<_>>();
    let held_out = of_normal(&split.test);
    let tested = all.select(&[&held_out[..], &anomalies].concat());
    let truth: Vec<bool> = (0..tested.rows).map(|row| row >= held_out.len()).collect();
    let of = errors_of(context, all.select(&of_normal(&split.train)), tested)?;
    let (ranking, of_pca) = (Ranking::new(&of.model, &truth)?, Ranking::new(&of.pca, &truth)?);
    let at = ranking.at(quantile(&of.validation, context.number("quantile")?)?);
    let false_positives = at.false_positives as f64 / held_out.len() as f64;
    let mut found = Measured::default();
    found.value("AUROC", ranking.auroc());
    found.value("AUROC of PCA", of_pca.auroc());
    found.value("AUPRC", ranking.average_precision());
    found.value("AUPRC of PCA", of_pca.average_precision());
    found.value("precision at the threshold", at.precision());
    found.value("recall at the threshold", at.recall());
    found.value("F1 at the threshold", at.f1());
    found.value("normal rows above the threshold", false_positives);
    found.value("components of PCA", of.components as f64);
    // The same where nobody knows which rows are normal.
    let truth: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
    let of = errors_of(context, all.clone(), all.clone())?;
    found.value("AUROC, all rows trained on", Ranking::new(&of.model, &truth)?.auroc());
    found.value("AUROC of PCA, fitted on all rows", Ranking::new(&of.pca, &truth)?.auroc());
    Ok(found)
}

/// The error of each row.
struct Errors {
    /// Of the rows that are judged, reconstructed by the autoencoder.
    model: Vec<f64>,
    /// The same of rows beside those that it was trained on: errors of the latter are smaller than those of any others.
    validation: Vec<f64>,
    /// Of the rows that are judged, reconstructed by so many components.
    pca: Vec<f64>,
    components: usize,
}

/// What a model and components that have seen the rows `train` make of the rows `tested`.
fn errors_of(context: &Context<'_>, train: Dataset, mut tested: Dataset) -> Result<Errors> {
    let config = context.config(&[])?;
    let set = TrainingSet::new(&config, train)?;
    let (train, validation) = (set.train.data.clone(), set.validation.data.clone());
    let mut trainer = Trainer::with_set(config.clone(), set)?;
    trainer.run(&mut Silent)?;
    let mut model = Model::new(trainer.model()?, config.backend, "the model")?;
    model.prepare(&mut tested)?;
    let d = tested.cols;
    let pca = Pca::fit(&train, d)?;
    let components = pca.components_for(context.number("variance")?).min(d);
    Ok(Errors {
        model: errors(&tested.data, &model.reconstructions(&tested.data)?, d)?,
        validation: errors(&validation, &model.reconstructions(&validation)?, d)?,
        pca: errors(&tested.data, &pca.reconstruct(&tested.data, components)?, d)?,
        components,
    })
}
