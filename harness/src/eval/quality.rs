//! How near a reconstruction comes to what it reconstructs.

use serde::Serialize;

use super::EvalError;
use super::baseline::mean_mse;
use super::metrics::{explained_variance, mse, psnr};
use super::ssim::{Ssim, Window};

/// What samples are, to be judged by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Samples {
    /// Length of a sample.
    pub d: usize,
    /// Height and width, where it is an image.
    pub image: Option<(usize, usize)>,
    /// The range of the values: 1 for data in [0, 1].
    pub peak: f64,
}

/// Measures of a reconstruction against the original.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// Mean squared error per element.
    pub mse: f64,
    /// Peak signal-to-noise ratio, in decibels; infinite without error.
    pub psnr: f64,
    /// Mean structural similarity, where samples are images of at least 7×7.
    pub ssim: Option<f64>,
    /// The share of the originals' variance that is kept; `None` where they have none.
    pub explained_variance: Option<f64>,
}

impl Samples {
    /// The window of the similarity, where there is one.
    pub fn window(&self) -> Option<Window> {
        self.image.and_then(Window::fitting)
    }

    /// How near `found [n, d]` comes to `original`.
    ///
    /// # Errors
    /// If lengths differ or are no whole samples, or the image is not as long as a sample.
    pub fn quality(&self, original: &[f32], found: &[f32]) -> Result<Quality, EvalError> {
        if let Some((height, width)) = self.image.filter(|(height, width)| height * width != self.d) {
            let expected = format!("{} pixels, the length of a sample", self.d);
            return Err(EvalError::Scalar { name: "image", found: format!("{height} x {width}"), expected });
        }
        let variance = mean_mse(original, original, self.d)?;
        let mse = mse(original, found)?;
        let ssim = match (self.window(), self.image) {
            (Some(window), Some(image)) => Some(Ssim::new(window, image, self.peak)?.mean(original, found)?),
            _ => None,
        };
        let explained_variance = (variance > 0.0).then(|| explained_variance(mse, variance));
        Ok(Quality { mse, psnr: psnr(mse, self.peak)?, ssim, explained_variance })
    }
}

/// The mean squared error of each sample of `found [n, d]`.
///
/// # Errors
/// If lengths differ or are no whole samples.
pub fn errors(original: &[f32], found: &[f32], d: usize) -> Result<Vec<f64>, EvalError> {
    super::rows("x", original.len(), d)?;
    if found.len() != original.len() {
        let expected = format!("that of x, {}", original.len());
        return Err(EvalError::Length { what: "x_hat", found: found.len(), expected });
    }
    let square = |(&a, &b): (&f32, &f32)| (f64::from(a) - f64::from(b)).powi(2);
    let rows = original.chunks_exact(d).zip(found.chunks_exact(d));
    Ok(rows.map(|(x, y)| x.iter().zip(y).map(square).sum::<f64>() / d as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_a_similarity_and_other_samples_none() {
        let x: Vec<f32> = (0..2 * 64).map(|i| (i % 7) as f32 / 7.0).collect();
        let y: Vec<f32> = x.iter().map(|v| v + 0.1).collect();
        let samples = Samples { d: 64, image: Some((8, 8)), peak: 1.0 };
        let found = samples.quality(&x, &y).unwrap();
        // Each difference is 0.1 rounded as an f32 of magnitude about 1.
        assert!((found.mse - 0.01).abs() < 1e-7 && (found.psnr - 20.0).abs() < 1e-4);
        assert!(found.ssim.unwrap() > 0.8 && found.ssim.unwrap() < 1.0);
        assert!(Samples { image: None, ..samples }.quality(&x, &y).unwrap().ssim.is_none());
        assert!(Samples { image: Some((7, 8)), ..samples }.quality(&x, &y).is_err());
        let flat = samples.quality(&[0.5; 64], &[0.5; 64]).unwrap();
        assert_eq!((flat.psnr, flat.explained_variance), (f64::INFINITY, None));
    }

    #[test]
    fn errors_of_the_samples_have_the_mean_squared_error_as_their_mean() {
        let (x, y) = ([0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 2.0, 0.0]);
        assert_eq!(errors(&x, &y, 2).unwrap(), [0.5, 4.5]);
        assert!(errors(&x, &y[1..], 2).is_err() && errors(&x, &y, 3).is_err());
    }
}
