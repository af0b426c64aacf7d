//! A linear autoencoder beside PCA with as many components.

use super::{Context, Measured, test_mse, trained};
use crate::error::Result;
use crate::eval::baseline::Pca;

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let mut trainer = trained(context.config(&[])?)?;
    let mse = test_mse(&mut trainer)?;
    let (set, components) = (trainer.set(), trainer.config().model.d_hid);
    let pca = Pca::fit(&set.train.data, set.train.cols)?;
    let of_pca = pca.mse(&set.test.data, components)?;
    let mut found = Measured::default();
    found.value("test MSE", mse);
    found.value("test MSE of PCA", of_pca);
    found.value("excess", mse / of_pca - 1.0);
    Ok(found)
}
