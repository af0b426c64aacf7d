//! Anomalies told by how badly they are reconstructed, by a model that has seen none.

use super::{Context, Measured, labels, reconstruct};
use crate::data::{Split, load};
use crate::error::Result;
use crate::eval::baseline::Pca;
use crate::eval::quality::errors;
use crate::eval::ranking::{Ranking, quantile};
use crate::model::Model;
use crate::train::{Silent, Trainer, TrainingSet};

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let config = context.config(&[])?;
    let raw = load(&config.data.source, config.seed)?;
    let labels = labels(&raw)?;
    // Normal rows, a part of them held out; the anomalies are all held out.
    let (anomalies, normal): (Vec<usize>, Vec<usize>) = (0..raw.rows).partition(|&row| labels[row] == 1);
    let split = Split::new(normal.len(), 0.0, context.number("held_out")?, true, config.seed)?;
    let of_normal = |rows: &[usize]| raw.select(&rows.iter().map(|&row| normal[row]).collect::<Vec<_>>());
    let set = TrainingSet::new(&config, of_normal(&split.train))?;
    let train = set.train.data.clone();
    let mut trainer = Trainer::with_set(config.clone(), set)?;
    trainer.run(&mut Silent)?;
    let mut model = Model::new(trainer.model()?, config.backend, "the model")?;
    let mut tested = of_normal(&split.test);
    let held_out = tested.rows;
    tested.data.extend(raw.select(&anomalies).data);
    tested.rows += anomalies.len();
    tested.labels = None;
    model.prepare(&mut tested)?;
    let truth: Vec<bool> = (0..tested.rows).map(|row| row >= held_out).collect();
    let d = tested.cols;
    let scores = errors(&tested.data, &reconstruct(&mut model, &tested.data)?, d)?;
    let own = errors(&train, &reconstruct(&mut model, &train)?, d)?;
    let pca = Pca::fit(&train, d)?;
    let components = pca.components_for(context.number("variance")?).min(d);
    let pca_scores = errors(&tested.data, &pca.reconstruct(&tested.data, components)?, d)?;
    let (ranking, of_pca) = (Ranking::new(&scores, &truth)?, Ranking::new(&pca_scores, &truth)?);
    let at = ranking.at(quantile(&own, context.number("quantile")?)?);
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    let ratio = |scores: &[f64]| mean(&scores[held_out..]) / mean(&scores[..held_out]);
    let mut found = Measured::default();
    found.value("AUROC", ranking.auroc());
    found.value("AUROC of PCA", of_pca.auroc());
    found.value("AUPRC", ranking.average_precision());
    found.value("AUPRC of PCA", of_pca.average_precision());
    found.value("components of PCA", components as f64);
    found.value("mean error of anomalies over that of normal rows", ratio(&scores));
    found.value("the same of PCA", ratio(&pca_scores));
    found.value("precision at the threshold", at.precision());
    found.value("recall at the threshold", at.recall());
    found.value("F1 at the threshold", at.f1());
    Ok(found)
}
