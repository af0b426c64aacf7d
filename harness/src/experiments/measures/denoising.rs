//! What a denoising autoencoder leaves of noise, beside the noisy input and its projection on principal components.

use std::sync::Arc;

use super::{Context, Measured, judged};
use crate::data::{Noise, Stream, rng_at};
use crate::error::{Error, Result};
use crate::eval::baseline::Pca;
use crate::eval::metrics::mse;
use crate::eval::quality::{Quality, Samples};
use crate::model::Model;
use crate::report::figure::Figure;
use crate::report::filters::{FilterOptions, FilterSheet, Scale};
use crate::report::palette::Palette;
use crate::train::{Silent, Trainer};

/// The parts of the noise's stream for validation and for testing: the training's come from the lowest.
const VALIDATION: u64 = u64::MAX - 1;
const TEST: u64 = u64::MAX;
/// Images in a picture.
const SHOWN: usize = 14;

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let (set, test) = judged(&context.config(&[])?)?;
    let d = test.cols;
    let pca = Pca::fit(&set.train.data, d)?;
    let samples = Samples { d, image: test.image, peak: 1.0 };
    let mut found = Measured::default();
    for (name, config) in context.models()? {
        let Some(noise) = config.noise.noise() else {
            return Err(Error::setting("noise.kind", "none", "noise to be taken away"));
        };
        let corrupted = |data: &[f32], part: u64| {
            let mut noisy = data.to_vec();
            noise.corrupt(&mut noisy, set.train.range(), &mut rng_at(config.seed, Stream::Noise, part));
            noisy
        };
        let mut trainer = Trainer::with_set(config.clone(), Arc::clone(&set))?;
        trainer.run(&mut Silent)?;
        let mut model = Model::new(trainer.model()?, config.backend, &name)?;
        let components =
            best_components(context, &pca, &set.validation.data, &corrupted(&set.validation.data, VALIDATION))?;
        let noisy = corrupted(&test.data, TEST);
        let ours = model.reconstructions(&noisy)?;
        let of_pca = pca.reconstruct(&noisy, components)?;
        let quality = |images: &[f32]| samples.quality(&test.data, images);
        let (before, after, projected) = (quality(&noisy)?, quality(&ours)?, quality(&of_pca)?);
        let ssim = |quality: &Quality| quality.ssim.unwrap_or(f64::NAN);
        found.value(format!("{name}: PSNR of the noisy input, dB"), before.psnr);
        found.value(format!("{name}: PSNR of PCA, dB"), projected.psnr);
        found.value(format!("{name}: PSNR, dB"), after.psnr);
        found.value(format!("{name}: PSNR gain over the noisy input, dB"), after.psnr - before.psnr);
        found.value(format!("{name}: PSNR gain over PCA, dB"), after.psnr - projected.psnr);
        found.value(format!("{name}: SSIM of the noisy input"), ssim(&before));
        found.value(format!("{name}: SSIM of PCA"), ssim(&projected));
        found.value(format!("{name}: SSIM"), ssim(&after));
        found.value(format!("{name}: SSIM gain over the noisy input"), ssim(&after) - ssim(&before));
        found.value(format!("{name}: SSIM gain over PCA"), ssim(&after) - ssim(&projected));
        found.value(format!("{name}: components of PCA"), components as f64);
        if context.first {
            let rows = [("clean", &test.data[..]), ("noisy", &noisy), ("PCA", &of_pca), ("denoised", &ours)];
            found.files.push((format!("{}.png", noise.name()), picture(noise, &rows, d, test.image)?));
        }
    }
    Ok(found)
}

/// How many components, of those in `settings.components`, leave the least error of these noisy rows.
fn best_components(context: &Context<'_>, pca: &Pca, clean: &[f32], noisy: &[f32]) -> Result<usize> {
    let mut best = (f64::INFINITY, 0);
    for components in context.numbers("components")? {
        let error = mse(clean, &pca.reconstruct(noisy, components as usize)?)?;
        if error < best.0 {
            best = (error, components as usize);
        }
    }
    Ok(best.1)
}

/// The first test images, clean, noisy and without the noise again.
fn picture(noise: Noise, rows: &[(&str, &[f32])], d: usize, image: Option<(usize, usize)>) -> Result<Vec<u8>> {
    let palette = Palette::Grey;
    let options =
        FilterOptions { image, palette, scale: Scale::Range(0.0, 1.0), columns: SHOWN, ..FilterOptions::default() };
    let tiles: Vec<f32> =
        rows.iter().flat_map(|(_, images)| &images[..(SHOWN * d).min(images.len())]).copied().collect();
    let failed = |e: &dyn std::fmt::Display| Error::Failed(format!("a picture cannot be drawn: {e}"));
    let sheet = FilterSheet::samples(&tiles, d, &options).map_err(|e| failed(&e))?;
    let figure = Figure {
        title: &format!("Noise taken away: {noise}"),
        caption: &["The first test images.".to_owned()],
        sheet: &sheet,
        rows: rows.iter().map(|(name, _)| (*name).to_owned()).collect(),
        columns: Vec::new(),
        bar: (palette, ["1".into(), "0.5".into(), "0".into()]),
    };
    figure.draw().png().map_err(|e| failed(&e))
}
