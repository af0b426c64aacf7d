//! Reconstruction error and sparsity.

use super::{EvalError, rows};

/// Sum of squared errors over any number of batches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SquaredError {
    sum: f64,
    count: u64,
}

impl SquaredError {
    /// Adds `Σ (x̂ − x)²` of one batch.
    ///
    /// # Errors
    /// If the lengths differ.
    pub fn add(&mut self, x: &[f32], x_hat: &[f32]) -> Result<(), EvalError> {
        if x_hat.len() != x.len() {
            return Err(EvalError::Length {
                what: "x_hat",
                found: x_hat.len(),
                expected: format!("that of x, {}", x.len()),
            });
        }
        self.sum += x.iter().zip(x_hat).map(|(&x, &y)| (f64::from(y) - f64::from(x)).powi(2)).sum::<f64>();
        self.count += x.len() as u64;
        Ok(())
    }

    /// Mean squared error per element; NaN before anything was added.
    pub fn mse(&self) -> f64 {
        self.sum / self.count as f64
    }
}

/// Mean squared error per element, `1/(n·d) Σ (x̂ − x)²`.
///
/// # Errors
/// If the lengths differ or are 0.
pub fn mse(x: &[f32], x_hat: &[f32]) -> Result<f64, EvalError> {
    rows("x", x.len(), 1)?;
    let mut error = SquaredError::default();
    error.add(x, x_hat)?;
    Ok(error.mse())
}

/// Peak signal-to-noise ratio in decibels, `10·log₁₀(peak²/mse)`; infinite where `mse` is 0.
///
/// `peak` is the largest value a signal can take: 1 for data in [0, 1].
///
/// # Errors
/// If `peak` is not positive and finite, or `mse` is negative.
pub fn psnr(mse: f64, peak: f64) -> Result<f64, EvalError> {
    let scalar = |name, found: f64, expected: &str| {
        Err(EvalError::Scalar { name, found: found.to_string(), expected: expected.into() })
    };
    if !(peak > 0.0 && peak.is_finite()) {
        return scalar("peak", peak, "a positive finite number");
    }
    if mse < 0.0 {
        return scalar("mse", mse, "0 or more");
    }
    Ok(20.0 * peak.log10() - 10.0 * mse.log10())
}

/// The share of the variance that a reconstruction keeps, `1 − mse/variance`: 1 without error, 0 for the mean of the rows, below 0 for worse.
///
/// `variance` is the error of the rows' own mean, `mean_mse(x, x, d)` of [`baseline`](super::baseline). NaN where both are 0.
pub fn explained_variance(mse: f64, variance: f64) -> f64 {
    1.0 - mse / variance
}

/// What the hidden layer does over a whole set, batch by batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    threshold: f32,
    rows: u64,
    sums: Vec<f64>,
    active: Vec<u64>,
}

impl Activity {
    /// Nothing seen yet. A unit counts as active where its value is above `threshold`.
    ///
    /// # Errors
    /// If `d_hid` is 0 or `threshold` is NaN.
    pub fn new(d_hid: usize, threshold: f32) -> Result<Self, EvalError> {
        if d_hid == 0 {
            return Err(EvalError::Scalar { name: "d_hid", found: "0".into(), expected: "at least 1".into() });
        }
        if threshold.is_nan() {
            return Err(EvalError::Scalar { name: "threshold", found: "NaN".into(), expected: "a number".into() });
        }
        Ok(Self { threshold, rows: 0, sums: vec![0.0; d_hid], active: vec![0; d_hid] })
    }

    /// Adds the activations `h [n, d_hid]` of one batch.
    ///
    /// # Errors
    /// If the length is 0 or no multiple of `d_hid`.
    pub fn add(&mut self, h: &[f32]) -> Result<(), EvalError> {
        let d_hid = self.sums.len();
        self.rows += rows("h", h.len(), d_hid)? as u64;
        for row in h.chunks_exact(d_hid) {
            for ((&h, sum), active) in row.iter().zip(&mut self.sums).zip(&mut self.active) {
                *sum += f64::from(h);
                *active += u64::from(h > self.threshold);
            }
        }
        Ok(())
    }

    /// `rho_hat_j = 1/n Σ_i h_ij`, one for each unit; NaN before anything was added.
    pub fn rho_hat(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.rows as f64).collect()
    }

    /// The mean of `rho_hat` over the units.
    pub fn rho_hat_mean(&self) -> f64 {
        self.rho_hat().iter().sum::<f64>() / self.sums.len() as f64
    }

    /// Share of all activations that are above the threshold, in percent.
    pub fn active_percent(&self) -> f64 {
        let active: u64 = self.active.iter().sum();
        100.0 * active as f64 / (self.rows as f64 * self.sums.len() as f64)
    }

    /// The mean number of units that are above the threshold on a sample.
    pub fn l0(&self) -> f64 {
        let active: u64 = self.active.iter().sum();
        active as f64 / self.rows as f64
    }

    /// For each unit, the share of the samples on which it is active, in [0, 1].
    pub fn frequency(&self) -> Vec<f64> {
        self.active.iter().map(|&count| count as f64 / self.rows as f64).collect()
    }

    /// The units that were active on no sample, in ascending order.
    pub fn dead(&self) -> Vec<usize> {
        self.active.iter().enumerate().filter(|&(_, &count)| count == 0).map(|(unit, _)| unit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mse_is_the_mean_of_squares_and_the_same_in_batches() {
        let x = [1.0, 2.0, 3.0, 4.0];
        let y = [1.5, 2.0, 1.0, 4.25];
        assert_eq!(mse(&x, &y).unwrap(), (0.25 + 4.0 + 0.0625) / 4.0); // every term is exact in binary
        let mut batches = SquaredError::default();
        batches.add(&x[..1], &y[..1]).unwrap();
        batches.add(&x[1..], &y[1..]).unwrap();
        assert_eq!(batches.mse(), mse(&x, &y).unwrap());
        assert_eq!(mse(&x, &x).unwrap(), 0.0);
        assert!(mse(&x, &[f32::NAN; 4]).unwrap().is_nan());
    }

    #[test]
    fn mse_is_summed_in_f64() {
        // In f32, 2²⁴ + 1 is 2²⁴ again: of the 4,097 units that follow the first square, none would count.
        let mut x = vec![1.0f32; 4098];
        x[0] = 4096.0;
        let zeros = vec![0.0; x.len()];
        assert_eq!(mse(&zeros, &x).unwrap() * 4098.0, 16_777_216.0 + 4097.0);
    }

    #[test]
    fn lengths_that_differ_or_are_empty_are_errors() {
        let error = mse(&[1.0; 3], &[1.0; 2]).unwrap_err().to_string();
        assert_eq!(error, "x_hat: length is 2, expected that of x, 3");
        assert!(mse(&[], &[]).is_err());
    }

    #[test]
    fn psnr_is_20_db_for_a_hundredth_and_infinite_for_no_error() {
        // log10 of 0.01 is correct to 1 ulp of 2, the product with 10 rounds once more: 2·20·2⁻⁵².
        assert!((psnr(0.01, 1.0).unwrap() - 20.0).abs() <= 40.0 * f64::EPSILON);
        assert!((psnr(0.01 * 255.0 * 255.0, 255.0).unwrap() - 20.0).abs() <= 200.0 * f64::EPSILON); // 48.1 − 28.1
        assert_eq!(psnr(1.0, 1.0).unwrap(), 0.0);
        assert_eq!(psnr(0.0, 1.0).unwrap(), f64::INFINITY);
        assert!(psnr(f64::NAN, 1.0).unwrap().is_nan());
        for (mse, peak) in [(-1.0, 1.0), (1.0, 0.0), (1.0, -1.0), (1.0, f64::NAN), (1.0, f64::INFINITY)] {
            assert!(psnr(mse, peak).is_err(), "{mse} {peak}");
        }
    }

    #[test]
    fn activity_counts_by_unit_whatever_the_batches() {
        // Units: always on, on once, exactly at the threshold, off.
        let h = [1.0, 0.0, 0.5, 0.0, 0.75, 1.0, 0.5, 0.0, 0.75, 0.25, 0.5, 0.0];
        for split in [12, 4, 8] {
            let mut activity = Activity::new(4, 0.5).unwrap();
            activity.add(&h[..split]).unwrap();
            if split < h.len() {
                activity.add(&h[split..]).unwrap();
            }
            assert_eq!(activity.rho_hat(), [2.5 / 3.0, 1.25 / 3.0, 0.5, 0.0]);
            // Four rounded quotients below 1, three sums below 4, a division: far below 16 half-ulps of 1.
            assert!((activity.rho_hat_mean() - 5.25 / 12.0).abs() <= 8.0 * f64::EPSILON);
            assert_eq!(activity.active_percent(), 100.0 * 4.0 / 12.0);
            assert_eq!(activity.l0(), 4.0 / 3.0);
            assert_eq!(activity.frequency(), [1.0, 1.0 / 3.0, 0.0, 0.0]);
            assert_eq!(activity.dead(), [2, 3]);
        }
    }

    #[test]
    fn activity_refuses_what_does_not_fit() {
        assert!(Activity::new(0, 0.5).is_err());
        assert!(Activity::new(1, f32::NAN).is_err());
        let mut activity = Activity::new(4, 0.5).unwrap();
        for length in [0, 3, 5] {
            assert!(activity.add(&vec![0.0; length]).is_err(), "{length}");
        }
        assert!(activity.rho_hat()[0].is_nan());
    }
}
