//! Structural similarity of images.
//!
//! Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity"
//! (2004): at each place a window compares mean, variance and covariance,
//!
//! ```text
//! (2·μx·μy + c₁)·(2·σxy + c₂) / ((μx² + μy² + c₁)·(σx² + σy² + c₂)),   c₁ = (0.01·L)², c₂ = (0.03·L)²
//! ```
//!
//! with L the range of the values; an image's similarity is the mean over all places where the window is wholly inside it.

use rayon::prelude::*;

use super::{EvalError, rows};

/// What weighs the neighbours of a pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Window {
    /// The paper's: 11×11, Gaussian, σ = 1.5. Variances are those of the weighted neighbours.
    Gaussian,
    /// 7×7, all weights equal, for images too small for the other; variances are unbiased (over 49 − 1).
    Uniform,
}

impl Window {
    /// The paper's where it fits `(height, width)`, else the smaller one, where that does.
    pub fn fitting((height, width): (usize, usize)) -> Option<Self> {
        [Self::Gaussian, Self::Uniform].into_iter().find(|window| window.side() <= height.min(width))
    }

    /// Its height and width.
    pub const fn side(self) -> usize {
        match self {
            Self::Gaussian => 11,
            Self::Uniform => 7,
        }
    }

    /// What it is called in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian 11x11",
            Self::Uniform => "uniform 7x7",
        }
    }

    /// The weights along one side; their products are those of the window. They sum to 1.
    fn weights(self) -> Vec<f64> {
        let side = self.side();
        let centre = (side / 2) as f64;
        let weights: Vec<f64> = match self {
            Self::Gaussian => (0..side).map(|i| (-0.5 * ((i as f64 - centre) / 1.5).powi(2)).exp()).collect(),
            Self::Uniform => vec![1.0; side],
        };
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|w| w / sum).collect()
    }
}

/// Compares images of one size.
#[derive(Clone, Debug)]
pub struct Ssim {
    height: usize,
    width: usize,
    weights: Vec<f64>,
    /// What turns a weighted variance into the one that is compared.
    correction: f64,
    c1: f64,
    c2: f64,
}

impl Ssim {
    /// For images of `(height, width)` whose values have the range `range`: 1 for values in [0, 1].
    ///
    /// # Errors
    /// If the window is larger than the image, or `range` not positive and finite.
    pub fn new(window: Window, (height, width): (usize, usize), range: f64) -> Result<Self, EvalError> {
        if window.side() > height.min(width) {
            let expected = format!("at least the window, {0} x {0}", window.side());
            return Err(EvalError::Scalar { name: "image", found: format!("{height} x {width}"), expected });
        }
        if !(range > 0.0 && range.is_finite()) {
            let expected = "a positive finite number".into();
            return Err(EvalError::Scalar { name: "range", found: range.to_string(), expected });
        }
        let count = (window.side() * window.side()) as f64;
        let correction = if window == Window::Uniform { count / (count - 1.0) } else { 1.0 };
        let (c1, c2) = ((0.01 * range).powi(2), (0.03 * range).powi(2));
        Ok(Self { height, width, weights: window.weights(), correction, c1, c2 })
    }

    /// The similarity of each pair of `x [n, height·width]` and `y`, in [−1, 1].
    ///
    /// # Errors
    /// If the lengths differ, or are no whole images.
    pub fn each(&self, x: &[f32], y: &[f32]) -> Result<Vec<f64>, EvalError> {
        let pixels = self.height * self.width;
        rows("x", x.len(), pixels)?;
        if y.len() != x.len() {
            let expected = format!("that of x, {}", x.len());
            return Err(EvalError::Length { what: "y", found: y.len(), expected });
        }
        Ok(x.par_chunks_exact(pixels).zip(y.par_chunks_exact(pixels)).map(|(x, y)| self.one(x, y)).collect())
    }

    /// The mean similarity of the pairs.
    ///
    /// # Errors
    /// As [`Ssim::each`].
    pub fn mean(&self, x: &[f32], y: &[f32]) -> Result<f64, EvalError> {
        let each = self.each(x, y)?;
        Ok(each.iter().sum::<f64>() / each.len() as f64)
    }

    fn one(&self, x: &[f32], y: &[f32]) -> f64 {
        let (x, y): (Vec<f64>, Vec<f64>) = x.iter().zip(y).map(|(&x, &y)| (f64::from(x), f64::from(y))).unzip();
        let products = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>();
        let (xx, yy, xy) = (products(&x, &x), products(&y, &y), products(&x, &y));
        let [x, y, xx, yy, xy] = [x, y, xx, yy, xy].map(|image| self.smooth(&image));
        let places = x.iter().zip(&y).zip(&xx).zip(&yy).zip(&xy);
        let similarity = places.map(|((((x, y), xx), yy), xy)| {
            let variances = self.correction * (xx - x * x) + self.correction * (yy - y * y);
            let covariance = self.correction * (xy - x * y);
            (2.0 * x * y + self.c1) * (2.0 * covariance + self.c2) / ((x * x + y * y + self.c1) * (variances + self.c2))
        });
        similarity.sum::<f64>() / x.len() as f64
    }

    /// The window's weighted means, at every place where it is wholly inside: first along the rows, then along the columns.
    fn smooth(&self, image: &[f64]) -> Vec<f64> {
        let side = self.weights.len();
        let (rows, cols) = (self.height - side + 1, self.width - side + 1);
        let mut along = Vec::with_capacity(self.height * cols);
        for row in image.chunks_exact(self.width) {
            along.extend(row.windows(side).map(|part| part.iter().zip(&self.weights).map(|(v, w)| v * w).sum::<f64>()));
        }
        let mut out = vec![0.0; rows * cols];
        for (r, out) in out.chunks_exact_mut(cols).enumerate() {
            for (w, from) in self.weights.iter().zip(along[r * cols..].chunks_exact(cols)) {
                out.iter_mut().zip(from).for_each(|(o, v)| *o += w * v);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_like_itself_and_unlike_its_negative() {
        let x: Vec<f32> = (0..12 * 13).map(|i| ((i * 37 + 11) % 101) as f32 / 101.0).collect();
        let negative: Vec<f32> = x.iter().map(|v| 1.0 - v).collect();
        for window in [Window::Gaussian, Window::Uniform] {
            let ssim = Ssim::new(window, (12, 13), 1.0).unwrap();
            // Numerator and denominator are the same numbers in another order.
            assert!((ssim.mean(&x, &x).unwrap() - 1.0).abs() <= 16.0 * f64::EPSILON);
            assert!(ssim.mean(&x, &negative).unwrap() < 0.0);
            assert_eq!(ssim.mean(&x, &negative).unwrap(), ssim.mean(&negative, &x).unwrap());
        }
    }

    #[test]
    fn of_flat_images_only_the_means_count() {
        let ssim = Ssim::new(Window::Uniform, (7, 7), 1.0).unwrap();
        let found = ssim.mean(&[0.25; 49], &[0.75; 49]).unwrap();
        let expected = (2.0 * 0.25 * 0.75 + 1e-4) / (0.0625 + 0.5625 + 1e-4);
        // What is left of the variances is rounding: below 8·2⁻⁵², beside c₂ = 9e-4 a relative 2e-12.
        assert!((found - expected).abs() <= 4e-12, "{found} {expected}");
    }

    #[test]
    fn the_window_fits_the_image_or_there_is_none() {
        assert_eq!(Window::fitting((28, 28)), Some(Window::Gaussian));
        assert_eq!(Window::fitting((8, 8)), Some(Window::Uniform));
        assert_eq!(Window::fitting((8, 6)), None);
        assert!(Ssim::new(Window::Uniform, (6, 9), 1.0).is_err());
        assert!(Ssim::new(Window::Uniform, (7, 7), 0.0).is_err());
        let ssim = Ssim::new(Window::Uniform, (7, 7), 1.0).unwrap();
        assert!(ssim.mean(&[0.0; 49], &[0.0; 48]).is_err() && ssim.mean(&[], &[]).is_err());
    }
}
