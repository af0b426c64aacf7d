//! Softmax regression on the features of an autoencoder of which only the largest activations of a sample stay.

use std::sync::Arc;

use super::{Context, Measured, filter_sheet, judged, labels};
use crate::error::Result;
use crate::eval::probe::{SoftmaxOptions, SoftmaxProbe};
use crate::model::Model;
use crate::train::{Silent, Trainer};

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
    let mut model = Model::new(file, config.backend, "the model")?;
    let d = model.d_hid();
    let (train, of_test) = (model.features(&set.train.data)?, model.features(&test.data)?);
    let options = SoftmaxOptions { l2: context.numbers("l2")?, ..SoftmaxOptions::default() };
    let probe = SoftmaxProbe::fit(&train, d, labels(&set.train)?, &options)?;
    let score = probe.score(&of_test, labels(&test)?)?;
    let active = of_test.iter().filter(|h| **h != 0.0).count() as f64 / test.rows as f64;
    let dead = (0..d).filter(|&j| train.iter().skip(j).step_by(d).all(|h| *h == 0.0)).count();
    found.value("test error", 1.0 - score.accuracy);
    found.value("macro F1", score.macro_f1);
    found.value("active units of a test image", active);
    found.value("units that no training image activates", dead as f64);
    found.value("λ of the regression", probe.l2());
    Ok(found)
}
