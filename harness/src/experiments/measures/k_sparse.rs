//! Softmax regression on the features of an autoencoder of which only the largest activations of a sample stay.

use std::sync::Arc;

use super::{Context, Measured, filter_sheet, judged, labels};
use crate::error::{Error, Result};
use crate::eval::probe::{SoftmaxOptions, SoftmaxProbe};
use crate::model::Model;
use crate::train::{Silent, Trainer};

/// What was best on the rows held out.
struct Chosen {
    alpha: f64,
    model: Model,
    train: Vec<f32>,
    probe: SoftmaxProbe,
    held_out: f64,
}

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let config = context.config(&[])?;
    let (set, test) = judged(&config)?;
    let mut trainer = Trainer::with_set(config.clone(), Arc::clone(&set))?;
    trainer.run(&mut Silent)?;
    let file = trainer.model()?;
    let mut found = Measured::default();
    if let (true, Some(image)) = (context.first, file.cfg.image) {
        found.files.push(("filters.png".to_owned(), filter_sheet(&file, image)?));
    }
    drop(trainer);
    let d = file.d_hid;
    // The activations as they are: scaled to one variance, those that hardly ever stay would count for most.
    let options = SoftmaxOptions { l2: context.numbers("l2")?, scaled: false, ..SoftmaxOptions::default() };
    // How many stay in use, and how strongly the regression is regularised: by a tenth of the training rows.
    let mut best: Option<Chosen> = None;
    for alpha in context.numbers("alpha")? {
        let mut file = file.clone();
        file.cfg.k = Some(((alpha * config.sparsity.k as f64).round() as usize).clamp(1, d));
        let mut model = Model::new(file, config.backend, "the model")?;
        let train = model.features(&set.train.data)?;
        let probe = SoftmaxProbe::fit(&train, d, labels(&set.train)?, &options)?;
        let Some(held_out) = probe.held_out() else {
            return Err(Error::input(
                "k-sparse",
                "settings.l2 has one number",
                "several, as rows are held out to choose",
            ));
        };
        if best.as_ref().is_none_or(|best| held_out > best.held_out) {
            best = Some(Chosen { alpha, model, train, probe, held_out });
        }
    }
    let Some(Chosen { alpha, mut model, train, probe, .. }) = best else {
        return Err(Error::input("k-sparse", "settings.alpha is empty", "at least one number"));
    };
    let of_test = model.features(&test.data)?;
    let score = probe.score(&of_test, labels(&test)?)?;
    let active = of_test.iter().filter(|h| **h != 0.0).count() as f64 / test.rows as f64;
    let dead = (0..d).filter(|&j| train.iter().skip(j).step_by(d).all(|h| *h == 0.0)).count();
    found.value("test error", 1.0 - score.accuracy);
    found.value("macro F1", score.macro_f1);
    found.value("active units of a test image", active);
    found.value("units that no training image activates", dead as f64);
    found.value("α", alpha);
    found.value("λ of the regression", probe.l2());
    Ok(found)
}
