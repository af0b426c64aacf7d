//! What a run of a sweep leaves in its folder.

use std::path::Path;

use super::failed;
use crate::cli::finish;
use crate::error::Result;
use crate::train::Trainer;

/// Evaluates the model and writes it, `run.json` last: where that is, the run is done.
pub(super) fn run(trainer: &mut Trainer, folder: &Path, peak_gflops: f64) -> Result {
    let summary = trainer.finish()?;
    trainer.model()?.save(folder).map_err(failed)?;
    let found = finish::evaluations(trainer)?;
    let results = finish::results(trainer, &found)?;
    finish::record(trainer, &summary, peak_gflops, results).save(folder).map_err(failed)
}
