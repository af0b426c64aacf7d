//! Patches of images, as the UFLDL tutorial takes them.

use std::f64::consts::PI;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Stream, below, rng};
use crate::error::{Error, Result};

/// Values are cut off beyond so many standard deviations.
const DEVIATIONS: f64 = 3.0;
/// Where −3σ and +3σ go.
const LOW: f64 = 0.1;
const HIGH: f64 = 0.9;
/// The whitening filter falls off from this frequency on, in cycles a pixel: 200 cycles in 512 pixels, rounded.
const CUTOFF: f64 = 0.4;
/// The filter's kernel reaches so many pixels to each side.
const REACH: usize = 10;
/// Frequencies along each axis by which the kernel is integrated.
const FREQUENCIES: usize = 64;

/// Which patches a set of images is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchOptions {
    /// Height and width.
    pub side: usize,
    /// How many are drawn to train on.
    pub count: usize,
    /// Whether images are whitened first, by the filter `f·exp(−(f/f₀)⁴)` with f₀ = 0.4 cycles a pixel (B. Olshausen,
    /// D. Field, "Emergence of simple-cell receptive field properties by learning a sparse code for natural images", 1996):
    /// it flattens the spectrum of photographs, which falls like 1/f, and leaves out the corners of it.
    pub whiten: bool,
}

impl Default for PatchOptions {
    fn default() -> Self {
        Self { side: 8, count: 10_000, whiten: false }
    }
}

/// The map of a patch: its mean is taken off, what is beyond ±3σ is cut off there, and ±3σ become 0.1 and 0.9. σ is that of
/// all values of all training patches, their means taken off (A. Ng et al., UFLDL tutorial, "Exercise: Sparse
/// Autoencoder").
///
/// The way back ends in the patch without its mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patches {
    /// Height and width of a patch.
    side: usize,
    /// Whether images are whitened first.
    whiten: bool,
    /// 3σ.
    limit: f64,
}

impl PatchOptions {
    /// `count` patches of the images in `set`, from places drawn by `seed`, any place in any image as likely as another.
    /// Rows that are no images, or images of the patches' size, are patches already.
    ///
    /// # Errors
    /// [`Error::Setting`] where patches are larger than the images, or images are to be whitened and there are none;
    /// [`Error::Memory`].
    pub(super) fn draw(&self, set: Dataset, seed: u64) -> Result<Dataset> {
        let Some((height, width)) = self.images(&set)? else { return Ok(set) };
        let (down, along) = ((height - self.side + 1) as u64, (width - self.side + 1) as u64);
        let mut rng = rng(seed, Stream::Patches);
        let mut places: Vec<(usize, usize, usize)> = Vec::new();
        places.try_reserve_exact(self.count).map_err(|_| self.too_many(self.count))?;
        for _ in 0..self.count {
            let place = below(&mut rng, set.rows as u64 * down * along);
            let (image, place) = (place / (down * along), place % (down * along));
            places.push((image as usize, (place / along) as usize, (place % along) as usize));
        }
        self.take(&set, (height, width), &places)
    }

    /// The size of the images that are to be cut, if any are.
    fn images(&self, set: &Dataset) -> Result<Option<(usize, usize)>> {
        let side = self.side;
        match set.image {
            None if self.whiten => {
                let found = format!("true, and rows of {} that are no images", set.name);
                Err(Error::setting(
                    "data.patch_whiten",
                    found,
                    "images, whole: data of three dimensions, or image files",
                ))
            }
            None => Ok(None),
            Some((height, width)) if height.min(width) < side => {
                let found = format!("{side} with images of {height} x {width}");
                Err(Error::setting("data.patch", found, "at most the side of the images"))
            }
            Some(size) if size == (side, side) && !self.whiten => Ok(None),
            Some(size) => Ok(Some(size)),
        }
    }

    fn too_many(&self, count: usize) -> Error {
        let side = self.side;
        let bytes = 4 * (side as u128).pow(2) * count as u128;
        Error::Memory { what: format!("{count} patches of {side} x {side}"), bytes }
    }

    /// The patches at `places`: image, top, left.
    fn take(
        &self,
        set: &Dataset,
        (height, width): (usize, usize),
        places: &[(usize, usize, usize)],
    ) -> Result<Dataset> {
        let side = self.side;
        let filtered = self.whiten.then(|| whitened(&set.data, height, width));
        let pixels = filtered.as_deref().unwrap_or(&set.data);
        let mut data: Vec<f32> = Vec::new();
        let fits = side.checked_pow(2).and_then(|area| area.checked_mul(places.len()));
        if fits.is_none_or(|size| data.try_reserve_exact(size).is_err()) {
            return Err(self.too_many(places.len()));
        }
        for &(image, top, left) in places {
            for row in top..top + side {
                data.extend_from_slice(&pixels[(image * height + row) * width + left..][..side]);
            }
        }
        let (rows, cols) = (places.len(), side * side);
        Ok(Dataset { name: set.name.clone(), rows, cols, data, image: Some((side, side)), labels: None })
    }
}

impl Patches {
    pub(super) fn fit(data: &[f32], cols: usize, options: &PatchOptions) -> Self {
        let squares = data.chunks_exact(cols).map(|row| {
            let mean = mean(row);
            row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>()
        });
        let variance = squares.sum::<f64>() / data.len() as f64;
        Self { side: options.side, whiten: options.whiten, limit: DEVIATIONS * variance.sqrt() }
    }

    /// Cuts the images of a set into patches, side by side; what is left over at the right and below is left out.
    pub(super) fn cut(&self, set: &mut Dataset) -> Result {
        let options = PatchOptions { side: self.side, count: 0, whiten: self.whiten };
        let Some((height, width)) = options.images(set)? else { return Ok(()) };
        let tops = (0..=height - self.side).step_by(self.side.max(1));
        let lefts = (0..=width - self.side).step_by(self.side.max(1));
        let grid: Vec<(usize, usize)> = tops.flat_map(|top| lefts.clone().map(move |left| (top, left))).collect();
        let places = (0..set.rows).flat_map(|image| grid.iter().map(move |&(top, left)| (image, top, left)));
        *set = options.take(set, (height, width), &places.collect::<Vec<_>>())?;
        Ok(())
    }

    pub(super) fn apply(&self, data: &mut [f32], cols: usize) {
        for row in data.chunks_exact_mut(cols) {
            let mean = mean(row);
            for v in row {
                let share = match self.limit {
                    0.0 => 0.0,
                    limit => (f64::from(*v) - mean).clamp(-limit, limit) / limit,
                };
                *v = (LOW + (HIGH - LOW) * (share + 1.0) / 2.0) as f32;
            }
        }
    }

    pub(super) fn invert(&self, data: &mut [f32]) {
        for v in data {
            *v = (((f64::from(*v) - LOW) / (HIGH - LOW) * 2.0 - 1.0) * self.limit) as f32;
        }
    }

    /// Whether `cols` values can be a patch, of one channel or several.
    pub(super) fn fits(&self, cols: usize) -> bool {
        !self.whiten || self.side.checked_mul(self.side) == Some(cols)
    }

    /// What the constants have to be, of a file that may be damaged.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub(super) fn check(&self) -> Result {
        match self.side > 0 && self.limit >= 0.0 && self.limit.is_finite() {
            true => Ok(()),
            false => {
                let found = format!("patches of side {} cut off at {}", self.side, self.limit);
                Err(Error::input("preprocess", found, "a side of at least 1, and a finite limit of at least 0"))
            }
        }
    }
}

fn mean(row: &[f32]) -> f64 {
    row.iter().map(|&v| f64::from(v)).sum::<f64>() / row.len() as f64
}

/// Images `[_, height, width]`, filtered; beyond its edge an image goes on as it ends.
fn whitened(images: &[f32], height: usize, width: usize) -> Vec<f32> {
    let kernel = kernel();
    let span = 2 * REACH + 1;
    let mut out = vec![0.0; images.len()];
    out.par_chunks_exact_mut(width).enumerate().for_each(|(index, out)| {
        let (image, y) = (index / height, index % height);
        let mut sums = vec![0f64; width];
        for (dy, weights) in kernel.chunks_exact(span).enumerate() {
            let source = (y + dy).saturating_sub(REACH).min(height - 1);
            let row = &images[(image * height + source) * width..][..width];
            for (x, sum) in sums.iter_mut().enumerate() {
                for (dx, weight) in weights.iter().enumerate() {
                    *sum += weight * f64::from(row[(x + dx).saturating_sub(REACH).min(width - 1)]);
                }
            }
        }
        out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = sum as f32);
    });
    out
}

/// The filter in space, `[2·REACH + 1]²`: the inverse Fourier transform of `f·exp(−(f/f₀)⁴)`, cut off at its edge and moved
/// to sum 0, which is its value at frequency 0.
fn kernel() -> Vec<f64> {
    let step = 1.0 / FREQUENCIES as f64;
    // Midpoints of (−½, ½), cycles a pixel.
    let axis: Vec<f64> = (0..FREQUENCIES).map(|i| (i as f64 + 0.5) * step - 0.5).collect();
    let span = 2 * REACH + 1;
    let mut kernel = vec![0f64; span * span];
    for &v in &axis {
        for &u in &axis {
            let f = u.hypot(v);
            let response = f * (-(f / CUTOFF).powi(4)).exp() * step * step;
            for (i, k) in kernel.iter_mut().enumerate() {
                let (dy, dx) = ((i / span) as f64 - REACH as f64, (i % span) as f64 - REACH as f64);
                // The response is even: sines cancel.
                *k += response * (2.0 * PI * (u * dx + v * dy)).cos();
            }
        }
    }
    let mean = kernel.iter().sum::<f64>() / kernel.len() as f64;
    kernel.iter_mut().for_each(|k| *k -= mean);
    kernel
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(images: usize, height: usize, width: usize, value: impl Fn(usize) -> f32) -> Dataset {
        let data = (0..images * height * width).map(value).collect();
        let (rows, cols) = (images, height * width);
        Dataset { name: "test".into(), rows, cols, data, image: Some((height, width)), labels: Some(vec![0; images]) }
    }

    const OPTIONS: PatchOptions = PatchOptions { side: 3, count: 500, whiten: false };

    #[test]
    fn drawn_patches_are_pieces_of_the_images_and_every_place_is_drawn() {
        // A pixel's value is its place.
        let images = set(2, 5, 4, |i| i as f32);
        let drawn = OPTIONS.draw(images, 1).unwrap();
        assert_eq!((drawn.rows, drawn.cols, drawn.image, &drawn.labels), (500, 9, Some((3, 3)), &None));
        let mut corners = Vec::new();
        for row in drawn.data.chunks_exact(9) {
            let corner = row[0] as usize;
            let expected: Vec<f32> = (0..9).map(|i| (corner + i / 3 * 4 + i % 3) as f32).collect();
            assert_eq!(row, expected);
            corners.push(corner);
        }
        corners.sort_unstable();
        corners.dedup();
        // 3 x 2 places an image; 500 draws miss one of 12 with probability below 12·(11/12)⁵⁰⁰ < 1e-17.
        assert_eq!(corners, [0, 1, 4, 5, 8, 9, 20, 21, 24, 25, 28, 29]);
    }

    #[test]
    fn the_seed_decides_which_patches_are_drawn() {
        let draw = |seed| OPTIONS.draw(set(2, 5, 4, |i| i as f32), seed).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn the_map_takes_means_off_and_three_deviations_to_the_ends() {
        // Means 2 and 10; deviations −1, 1, −3, 3: variance 5.
        let data = [1.0, 3.0, 7.0, 13.0];
        let fitted = Patches::fit(&data, 2, &OPTIONS);
        let limit = 3.0 * 5f64.sqrt();
        assert_eq!(fitted.limit, limit);
        let mut mapped = data;
        fitted.apply(&mut mapped, 2);
        let expected = [-1.0, 1.0, -3.0, 3.0].map(|v: f64| (0.1 + 0.8 * (v / limit + 1.0) / 2.0) as f32);
        assert_eq!(mapped, expected);
        fitted.invert(&mut mapped);
        // f32 values near 0.5 are right to 2⁻²⁵; the way back multiplies by 2·limit/0.8 = 16.8.
        for (v, expected) in mapped.iter().zip([-1.0, 1.0, -3.0, 3.0]) {
            assert!((v - expected).abs() < 17.0 * 2f32.powi(-24), "{mapped:?}");
        }
        let mut far = [0.0, 100.0];
        fitted.apply(&mut far, 2);
        assert_eq!(far, [0.1, 0.9]);
    }

    #[test]
    fn patches_without_spread_become_one_half() {
        let data = [4.0; 6];
        let fitted = Patches::fit(&data, 3, &OPTIONS);
        let mut mapped = data;
        fitted.apply(&mut mapped, 3);
        assert_eq!(mapped, [0.5; 6]);
    }

    #[test]
    fn other_images_are_cut_side_by_side() {
        let mut images = set(2, 7, 6, |i| i as f32);
        Patches { side: 3, whiten: false, limit: 1.0 }.cut(&mut images).unwrap();
        assert_eq!((images.rows, images.cols, images.image), (8, 9, Some((3, 3))));
        let corners: Vec<f32> = images.data.chunks_exact(9).map(|row| row[0]).collect();
        assert_eq!(corners, [0.0, 3.0, 18.0, 21.0, 42.0, 45.0, 60.0, 63.0]);
    }

    #[test]
    fn the_filter_passes_frequencies_as_its_formula_says() {
        // A plane wave of frequency f along x comes out scaled by R(f), away from the edges.
        let (height, width) = (31, 64);
        for cycles in [4, 8, 16, 24] {
            let f = f64::from(cycles) / 64.0;
            let wave = |x: usize| (2.0 * PI * f * x as f64).cos();
            let images: Vec<f32> = (0..height * width).map(|i| wave(i % width) as f32).collect();
            let filtered = whitened(&images, height, width);
            let row = &filtered[15 * width..][..width];
            let (lo, hi) = (REACH, width - REACH);
            let gain = (lo..hi).map(|x| f64::from(row[x]) * wave(x)).sum::<f64>()
                / (lo..hi).map(|x| wave(x).powi(2)).sum::<f64>();
            let expected = f * (-(f / CUTOFF).powi(4)).exp();
            // The cusp of R at 0 gives the kernel tails like 1/(4π²r³), of which 1/(2π·REACH) · 1/(2π) in sum, 0.0025, lies
            // beyond its reach.
            assert!((gain - expected).abs() < 0.004, "{f}: {gain} {expected}");
        }
        let flat = whitened(&vec![5.0; 100], 10, 10);
        assert!(flat.iter().all(|v| v.abs() < 1e-6), "the mean is taken away");
    }

    #[test]
    fn patches_that_do_not_fit_are_refused() {
        let error = PatchOptions { side: 6, ..OPTIONS }.draw(set(1, 5, 8, |_| 0.0), 0).unwrap_err();
        assert!(error.to_string().starts_with("data.patch: 6 with images of 5 x 8"), "{error}");
        let mut rows = set(1, 5, 8, |_| 0.0);
        rows.image = None;
        assert_eq!(OPTIONS.draw(rows.clone(), 0).unwrap().cols, 40);
        let error = PatchOptions { whiten: true, ..OPTIONS }.draw(rows, 0).unwrap_err();
        assert!(error.to_string().contains("data.patch_whiten"), "{error}");
        let error = PatchOptions { count: usize::MAX / 64, ..OPTIONS }.draw(set(1, 5, 8, |_| 0.0), 0).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error}");
    }
}
