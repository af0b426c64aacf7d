//! The same autoencoder without a sparsity term.

use std::path::Path;

use sae_kernels::BackendKind;

use crate::config::{Config, SparsityKind};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::report::run::SETTINGS_FILE;
use crate::train::{Silent, Trainer};

/// Trains it with the settings of the run in the folder of `model`, on the run's data.
pub(super) fn train(model: &Path, kind: BackendKind) -> Result<Model> {
    let folder = if model.is_dir() { model } else { model.parent().unwrap_or(Path::new("")) };
    let settings = folder.join(SETTINGS_FILE);
    if !settings.is_file() {
        let expected = "a run directory, whose settings --plain trains with";
        return Err(Error::Missing { path: settings, nearest: None, expected });
    }
    let mut config = Config::load(Some(&settings), &[])?;
    config.sparsity.kind = SparsityKind::None;
    config.backend = kind;
    let mut trainer = Trainer::new(config)?;
    trainer.run(&mut Silent)?;
    Model::new(trainer.model()?, kind, "the plain autoencoder")
}
