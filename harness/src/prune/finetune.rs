//! Training on from a model that is there.

use sae_kernels::step::Parameters;

use crate::config::Config;
use crate::error::Result;
use crate::model::adopt_objective;
use crate::model::file::ModelFile;
use crate::train::{Observer, Trainer, TrainingSet};

/// Trains `model` on for `epochs`, by the settings of `config` but with the model's own objective, on a set that its map
/// has prepared.
///
/// # Errors
/// Those of [`Trainer`].
pub fn finetune(
    model: &ModelFile,
    config: &Config,
    set: TrainingSet,
    epochs: usize,
    observer: &mut dyn Observer,
) -> Result<ModelFile> {
    let mut config = config.clone();
    config.model.d_hid = model.d_hid;
    config.train.epochs = epochs;
    config.train.max_steps = 0;
    adopt_objective(&mut config, &model.cfg)?;
    let weights = Parameters {
        w_enc: model.w_enc.clone(),
        b_enc: model.b_enc.clone(),
        w_dec: model.w_dec.clone(),
        b_dec: model.b_dec.clone(),
    };
    let mut trainer = Trainer::from_weights(config, set, &weights)?;
    trainer.run(observer)?;
    trainer.model()
}
