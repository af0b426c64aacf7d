//! What the filters of a trained autoencoder look like.

use rayon::prelude::*;

use super::{Context, Measured, filter_sheet, test_mse, trained};
use crate::error::{Error, Result};
use crate::experiments::filters::{gabor_r2, localisation, median};
use crate::model::initial_weights;

/// A Gabor function fits a filter from this R² on.
const FITS: f64 = 0.7;

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let mut trainer = trained(context.config(&[])?)?;
    let mse = test_mse(&mut trainer)?;
    let (file, config) = (trainer.model()?, trainer.config());
    let Some(image) = file.cfg.image else {
        return Err(Error::setting("data.source", config.data.source.clone(), "images"));
    };
    let columns = |w: &[f32]| -> Vec<Vec<f32>> {
        (0..file.d_hid).map(|j| w.iter().skip(j).step_by(file.d_hid).copied().collect()).collect()
    };
    let learned = columns(&file.w_enc);
    let first = columns(&initial_weights(&config.model.init, file.d_in, file.d_hid, config.seed)?.w_enc);
    let local = |filters: &[Vec<f32>]| median(&filters.iter().map(|w| localisation(w, image)).collect::<Vec<_>>());
    let fits: Vec<f64> = learned.par_iter().map(|w| gabor_r2(w, image)).collect();
    let mut found = Measured::default();
    found.value("localisation, median", local(&learned));
    found.value("localisation before training", local(&first));
    found.value("Gabor R², median", median(&fits));
    found.value("Gabor R² at least 0.7", fits.iter().filter(|r2| **r2 >= FITS).count() as f64 / fits.len() as f64);
    found.value("test MSE", mse);
    if context.first {
        found.files.push(("filters.png".to_owned(), filter_sheet(&file, image)?));
    }
    Ok(found)
}
