//! What the filters of a trained autoencoder look like.

use rayon::prelude::*;

use super::{Context, Measured, filter_sheet, test_mse, trained};
use crate::error::{Error, Result};
use crate::eval::ranking::quantile;
use crate::experiments::filters::{gabor_r2, localisation, median};
use crate::model::initial_weights;

/// A Gabor function fits a filter from this R² on.
const FITS: f64 = 0.7;

/// A filter is localised where it is more so than this share of filters that nothing has been learned in.
const CHANCE: f64 = 0.95;
/// How many of those are drawn.
const DRAWN: usize = 2000;

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let mut trainer = trained(context.config(&[])?)?;
    let mse = test_mse(&mut trainer)?;
    let (file, config) = (trainer.model()?, trainer.config());
    let Some(image) = file.cfg.image else {
        return Err(Error::setting("data.source", config.data.source.clone(), "images"));
    };
    let columns = |w: &[f32]| -> Vec<Vec<f32>> {
        let n = w.len() / file.d_in;
        (0..n).map(|j| w.iter().skip(j).step_by(n).copied().collect()).collect()
    };
    let initial = |n: usize| -> Result<Vec<Vec<f32>>> {
        Ok(columns(&initial_weights(&config.model.init, file.d_in, n, config.seed)?.w_enc))
    };
    let (learned, first) = (columns(&file.w_enc), initial(file.d_hid)?);
    let local = |filters: &[Vec<f32>]| -> Vec<f64> { filters.iter().map(|w| localisation(w, image)).collect() };
    let (now, before) = (local(&learned), local(&first));
    let chance = quantile(&local(&initial(DRAWN)?), CHANCE)?;
    let fits: Vec<f64> = learned.par_iter().map(|w| gabor_r2(w, image)).collect();
    let mut found = Measured::default();
    found.value("localisation, median", median(&now));
    found.value("localisation before training", median(&before));
    found.value("localisation that 5% have by chance", chance);
    found.value("more localised than that", now.iter().filter(|l| **l > chance).count() as f64 / now.len() as f64);
    found.value("Gabor R², median", median(&fits));
    found.value("Gabor R² at least 0.7", fits.iter().filter(|r2| **r2 >= FITS).count() as f64 / fits.len() as f64);
    found.value("test MSE", mse);
    if context.first {
        found.files.push(("filters.png".to_owned(), filter_sheet(&file, image)?));
    }
    Ok(found)
}
