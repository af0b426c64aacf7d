//! What a model has to beat: the mean of the training set, and principal components.
//!
//! Projecting onto the first k principal components has, of all linear maps of rank k with an offset, the smallest mean squared
//! error on the set it was fitted on (Eckart and Young, 1936). A linear autoencoder with k hidden units can at best reach it; on other
//! data it is a yardstick, no bound.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

use super::{EvalError, check_finite, rows};

/// Rows taken at a time: bounds the memory of a projection to blocks of this many rows.
const BLOCK: usize = 256;

/// The mean and the principal components of a training set.
#[derive(Clone, Debug)]
pub struct Pca {
    mean: Vec<f64>,
    /// `[d, d]`, columns in ascending order of their eigenvalue.
    components: Mat<f64>,
    /// Descending.
    eigenvalues: Vec<f64>,
}

impl Pca {
    /// Fits the mean and the eigenvectors of the covariance `1/n Σ (x − mean)(x − mean)ᵀ` of `x [n, d]`, on one thread.
    ///
    /// Takes n·d² + O(d³) operations and three `[d, d]` matrices of memory.
    ///
    /// # Errors
    /// If the length is 0 or no multiple of `d`, an element is not finite, or the eigenvalues do not converge.
    pub fn fit(x: &[f32], d: usize) -> Result<Self, EvalError> {
        rows("x", x.len(), d)?;
        check_finite("x", x)?;
        let mut moments = Moments::new(d);
        x.chunks(BLOCK * d).for_each(|block| moments.join(block));
        Self::of(moments)
    }

    /// The same of the rows in `moments`, of which there is at least one and all are finite.
    pub(crate) fn of(moments: Moments) -> Result<Self, EvalError> {
        let Moments { rows, mean, mut scatter, .. } = moments;
        let d = mean.len();
        scatter.col_iter_mut().for_each(|column| column.iter_mut().for_each(|v| *v /= rows.max(1) as f64));
        let eigen = scatter.self_adjoint_eigen(Side::Lower).map_err(|_| EvalError::NoConvergence { d })?;
        // The covariance is positive semidefinite; what is below 0 is rounding.
        let eigenvalues = eigen.S().column_vector().iter().rev().map(|&v| v.max(0.0)).collect();
        Ok(Self { mean, components: eigen.U().to_owned(), eigenvalues })
    }

    /// `[d]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The variance along each component, `[d]`, descending.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// Component `i`, of norm 1; the first has the largest variance.
    ///
    /// # Panics
    /// Where `i` is not below `d`.
    pub fn component(&self, i: usize) -> Vec<f64> {
        self.components.col(self.mean.len() - 1 - i).iter().copied().collect()
    }

    /// Mean squared error per element of `x [n, d]` projected onto the first `k` components around the mean; `k = 0` is the mean alone.
    ///
    /// # Errors
    /// If the length is 0 or no multiple of `d`, or `k` exceeds `d`.
    pub fn mse(&self, x: &[f32], k: usize) -> Result<f64, EvalError> {
        let basis = self.basis(x, k)?;
        let mut sum = 0.0;
        let mut block = Vec::with_capacity(BLOCK.min(x.len() / self.mean.len()) * self.mean.len());
        for rows in x.chunks(BLOCK * self.mean.len()) {
            let mut rest = centre(rows, &self.mean, &mut block);
            let mut scores = Mat::<f64>::zeros(k, rest.ncols());
            matmul(scores.as_mut(), Accum::Replace, basis.transpose(), rest.as_ref(), 1.0, Par::Seq);
            matmul(rest.as_mut(), Accum::Add, basis, scores.as_ref(), -1.0, Par::Seq);
            sum += block.iter().map(|v| v * v).sum::<f64>();
        }
        Ok(sum / x.len() as f64)
    }

    /// How far each row of `x [n, d]` lies along the first `k` components, `[n, k]`, the largest variance first.
    ///
    /// # Errors
    /// As [`Pca::mse`].
    pub fn features(&self, x: &[f32], k: usize) -> Result<Vec<f32>, EvalError> {
        let basis = self.basis(x, k)?;
        let mut features = Vec::with_capacity(x.len() / self.mean.len() * k);
        let mut block = Vec::new();
        for rows in x.chunks(BLOCK * self.mean.len()) {
            let rows = centre(rows, &self.mean, &mut block);
            let mut scores = Mat::<f64>::zeros(k, rows.ncols());
            matmul(scores.as_mut(), Accum::Replace, basis.transpose(), rows.as_ref(), 1.0, Par::Seq);
            features.extend(scores.col_iter().flat_map(|row| row.iter().rev().map(|&v| v as f32).collect::<Vec<_>>()));
        }
        Ok(features)
    }

    /// `x [n, d]` projected onto the first `k` components around the mean, `[n, d]`.
    ///
    /// # Errors
    /// As [`Pca::mse`].
    pub fn reconstruct(&self, x: &[f32], k: usize) -> Result<Vec<f32>, EvalError> {
        let basis = self.basis(x, k)?;
        let mut out = Vec::with_capacity(x.len());
        let mut block = Vec::new();
        for rows in x.chunks(BLOCK * self.mean.len()) {
            let mut rows = centre(rows, &self.mean, &mut block);
            let mut scores = Mat::<f64>::zeros(k, rows.ncols());
            matmul(scores.as_mut(), Accum::Replace, basis.transpose(), rows.as_ref(), 1.0, Par::Seq);
            matmul(rows.as_mut(), Accum::Replace, basis, scores.as_ref(), 1.0, Par::Seq);
            let back = |row: &[f64]| row.iter().zip(&self.mean).map(|(v, mean)| (v + mean) as f32).collect::<Vec<_>>();
            out.extend(block.chunks_exact(self.mean.len()).flat_map(back));
        }
        Ok(out)
    }

    /// The fewest components that hold `share` of the variance of the rows it was fitted on.
    pub fn components_for(&self, share: f64) -> usize {
        let whole: f64 = self.eigenvalues.iter().sum();
        let mut held = 0.0;
        let enough = self.eigenvalues.iter().position(|v| {
            held += v;
            held >= share * whole
        });
        enough.map_or(self.mean.len(), |last| last + 1)
    }

    /// The first `k` components, `[d, k]`, the smallest variance first.
    fn basis(&self, x: &[f32], k: usize) -> Result<MatRef<'_, f64>, EvalError> {
        let d = self.mean.len();
        rows("x", x.len(), d)?;
        if k > d {
            let expected = format!("at most the {d} features");
            return Err(EvalError::Scalar { name: "k", found: k.to_string(), expected });
        }
        Ok(self.components.as_ref().subcols(d - k, k))
    }
}

/// The mean and the scatter `Σ (x − mean)(x − mean)ᵀ` of rows that come one after the other.
///
/// Blocks of rows are centred around their own mean and joined: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise
/// algorithm for computing sample variances" (1979).
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    rows: usize,
    mean: Vec<f64>,
    /// `[d, d]`, its lower triangle.
    scatter: Mat<f64>,
    /// A block that is not whole.
    waiting: Vec<f32>,
    centred: Vec<f64>,
}

impl Moments {
    /// Of no row of `d` values.
    pub(crate) fn new(d: usize) -> Self {
        Self { rows: 0, mean: vec![0.0; d], scatter: Mat::zeros(d, d), waiting: Vec::new(), centred: Vec::new() }
    }

    /// Bytes it takes with `d` values a row, and what its eigenvalues need beside it.
    pub(crate) fn bytes(d: usize) -> u128 {
        let (d, block) = (d as u128, BLOCK as u128);
        let square = d.saturating_mul(d).saturating_mul(6 * size_of::<f64>() as u128);
        square
            .saturating_add(d.saturating_mul((block + 3) * size_of::<f64>() as u128 + block * size_of::<f32>() as u128))
    }

    /// Takes the next row.
    pub(crate) fn add(&mut self, row: &[f32]) {
        let whole = BLOCK * self.mean.len();
        self.waiting.reserve_exact(whole - self.waiting.len());
        self.waiting.extend_from_slice(row);
        if self.waiting.len() >= whole {
            self.flush();
        }
    }

    /// Takes in what was added last.
    pub(crate) fn flush(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.join(&waiting);
        waiting.clear();
        self.waiting = waiting;
    }

    /// With m rows of mean b to n of mean a, the scatter of all is the sum of both and `n·m/(n + m)·(b − a)(b − a)ᵀ`.
    fn join(&mut self, block: &[f32]) {
        let d = self.mean.len();
        if block.is_empty() {
            return;
        }
        let own = mean(block, d);
        let (n, m) = (self.rows as f64, (block.len() / d) as f64);
        self.centred.clear();
        self.centred.reserve_exact((BLOCK + 1) * d);
        centre(block, &own, &mut self.centred);
        let weight = (n * m / (n + m)).sqrt();
        self.centred.extend(own.iter().zip(&self.mean).map(|(b, a)| weight * (b - a)));
        let columns = MatRef::from_column_major_slice(&self.centred, d, self.centred.len() / d);
        triangular::matmul(
            self.scatter.as_mut(),
            BlockStructure::TriangularLower,
            Accum::Add,
            columns,
            BlockStructure::Rectangular,
            columns.transpose(),
            BlockStructure::Rectangular,
            1.0,
            Par::Seq,
        );
        self.mean.iter_mut().zip(own).for_each(|(a, b)| *a += (b - *a) * (m / (n + m)));
        self.rows += block.len() / d;
    }
}

/// Mean squared error per element of `test [m, d]` when every sample is reconstructed as the mean of `train [n, d]`.
///
/// # Errors
/// If a length is 0 or no multiple of `d`.
pub fn mean_mse(train: &[f32], test: &[f32], d: usize) -> Result<f64, EvalError> {
    rows("train", train.len(), d)?;
    rows("test", test.len(), d)?;
    let mean = mean(train, d);
    let squares = test.chunks_exact(d).flat_map(|row| row.iter().zip(&mean)).map(|(&x, m)| (f64::from(x) - m).powi(2));
    Ok(squares.sum::<f64>() / test.len() as f64)
}

/// The mean of each of the `d` features.
fn mean(x: &[f32], d: usize) -> Vec<f64> {
    let mut mean = vec![0.0; d];
    for row in x.chunks_exact(d) {
        mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v));
    }
    let n = (x.len() / d) as f64;
    mean.iter_mut().for_each(|m| *m /= n);
    mean
}

/// Fills `block` with `x − mean`, and sees it as `[d, n]`: a sample is a column.
fn centre<'a>(x: &[f32], mean: &[f64], block: &'a mut Vec<f64>) -> MatMut<'a, f64> {
    block.clear();
    block.extend(x.chunks_exact(mean.len()).flat_map(|row| row.iter().zip(mean)).map(|(&v, m)| f64::from(v) - m));
    let n = block.len() / mean.len();
    MatMut::from_column_major_slice_mut(block, mean.len(), n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic values in [−1, 1), unalike in every feature (an LCG's high bits).
    fn data(n: usize, d: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n * d).map(|i| next() * (1 + i % d) as f32).collect()
    }

    /// Bound on the rounding of a mean square over `d` features of energy `energy`: the eigenvectors are orthonormal to a
    /// small multiple of d·ε, projections are dot products of length ≤ d (γ_d each, twice), the covariance a sum of n products (γ_n).
    fn tolerance(n: usize, d: usize, energy: f64) -> f64 {
        (n + 16 * d) as f64 * f64::EPSILON * energy
    }

    #[test]
    fn the_hand_computed_case() {
        // (±2, ±1) in all four signs, moved by (5, −3): variances 4 and 1 along the axes.
        let x = [7.0, -2.0, 7.0, -4.0, 3.0, -2.0, 3.0, -4.0];
        let pca = Pca::fit(&x, 2).unwrap();
        assert_eq!(pca.mean(), [5.0, -3.0]);
        let close = |a: f64, b: f64| (a - b).abs() <= tolerance(4, 2, 5.0);
        assert!(close(pca.eigenvalues()[0], 4.0) && close(pca.eigenvalues()[1], 1.0), "{:?}", pca.eigenvalues());
        assert!(close(pca.mse(&x, 0).unwrap(), 2.5));
        assert!(close(pca.mse(&x, 1).unwrap(), 0.5));
        assert!(close(pca.mse(&x, 2).unwrap(), 0.0));
        // One component lies along the first axis: of (6, 1) − mean = (1, 4) it leaves the 4.
        assert!((pca.mse(&[6.0, 1.0], 1).unwrap() - 8.0).abs() <= tolerance(4, 2, 17.0));
        assert_eq!(mean_mse(&x, &x, 2).unwrap(), 2.5);
        assert_eq!(mean_mse(&x, &[6.0, 1.0], 2).unwrap(), 8.5);
    }

    #[test]
    fn the_error_on_the_training_set_is_the_sum_of_the_discarded_eigenvalues() {
        for (n, d) in [(700, 11), (5, 9), (1, 3), (64, 1)] {
            let x = data(n, d, 7);
            let pca = Pca::fit(&x, d).unwrap();
            let energy: f64 = pca.eigenvalues().iter().sum();
            for k in 0..=d {
                let discarded: f64 = pca.eigenvalues()[k..].iter().sum::<f64>() / d as f64;
                let error = pca.mse(&x, k).unwrap();
                assert!((error - discarded).abs() <= tolerance(n, d, energy), "{n} {d} {k}: {error} {discarded}");
            }
            let mean = mean_mse(&x, &x, d).unwrap();
            assert!((pca.mse(&x, 0).unwrap() - mean).abs() <= tolerance(n, d, energy));
            assert!(pca.eigenvalues().is_sorted_by(|a, b| a >= b));
        }
    }

    #[test]
    fn all_components_reconstruct_data_they_were_not_fitted_on() {
        let (train, test) = (data(300, 8, 1), data(1000, 8, 2));
        let pca = Pca::fit(&train, 8).unwrap();
        let energy = 8.0 * mean_mse(&train, &test, 8).unwrap();
        assert!(pca.mse(&test, 8).unwrap() <= tolerance(300, 8, energy));
        let errors: Vec<f64> = (0..=8).map(|k| pca.mse(&test, k).unwrap()).collect();
        assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}"); // each component takes some energy of this data away
    }

    #[test]
    fn no_other_basis_does_better_on_the_training_set() {
        let (n, d) = (200, 4);
        let x = data(n, d, 3);
        let pca = Pca::fit(&x, d).unwrap();
        let mean = pca.mean();
        // Dropping any one axis leaves a projection of rank 3.
        for (axis, mean) in mean.iter().enumerate() {
            let error = x.iter().skip(axis).step_by(d).map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
            assert!(pca.mse(&x, 3).unwrap() <= error / x.len() as f64);
        }
    }

    #[test]
    fn features_and_reconstruction_are_what_the_error_is_of() {
        let (train, test) = (data(300, 6, 1), data(700, 6, 2));
        let pca = Pca::fit(&train, 6).unwrap();
        for k in 0..=6 {
            let back = pca.reconstruct(&test, k).unwrap();
            let error = crate::eval::metrics::mse(&test, &back).unwrap();
            // Reconstructions of magnitude below 8 are rounded to f32: by at most 2⁻²², against differences of order 1.
            assert!((error - pca.mse(&test, k).unwrap()).abs() <= 1e-6, "{k}");
            let features = pca.features(&test, k).unwrap();
            assert_eq!(features.len(), 700 * k);
            let energy = |x: &[f32]| x.iter().map(|v| f64::from(v * v)).sum::<f64>();
            let mean: Vec<f32> = test.iter().zip(pca.mean().iter().cycle()).map(|(x, m)| x - *m as f32).collect();
            let rest = energy(&mean) - energy(&features);
            assert!((rest / test.len() as f64 - error).abs() <= 1e-5, "{k}: what the features hold, the error lacks");
        }
        let whole: f64 = pca.eigenvalues().iter().sum();
        assert_eq!((pca.components_for(0.0), pca.components_for(pca.eigenvalues()[0] / whole)), (1, 1));
        assert_eq!(pca.components_for(2.0), 6);
    }

    /// The covariance in two passes, against that of rows one by one: n products of rows around means that are right to n
    /// roundings.
    #[test]
    fn rows_one_by_one_have_the_covariance_of_all_of_them() {
        for (n, d) in [(1, 3), (255, 5), (256, 5), (1000, 7)] {
            let x = data(n, d, 9);
            let mut moments = Moments::new(d);
            x.chunks_exact(d).for_each(|row| moments.add(row));
            moments.flush();
            let two_pass = mean(&x, d);
            let energy = x.iter().map(|v| f64::from(v * v)).sum::<f64>();
            for i in 0..d {
                assert!((moments.mean[i] - two_pass[i]).abs() <= tolerance(n, 1, d as f64), "{n} {d}");
                for j in 0..=i {
                    let product = |row: &[f32]| (f64::from(row[i]) - two_pass[i]) * (f64::from(row[j]) - two_pass[j]);
                    let expected: f64 = x.chunks_exact(d).map(product).sum();
                    let found = moments.scatter[(i, j)];
                    assert!((found - expected).abs() <= tolerance(n, d, energy), "{n} {d}: {found} {expected}");
                }
            }
            assert_eq!(Pca::of(moments).unwrap().eigenvalues(), Pca::fit(&x, d).unwrap().eigenvalues());
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(Pca::fit(&[], 3).is_err());
        assert!(Pca::fit(&[1.0; 4], 3).is_err());
        assert!(Pca::fit(&[1.0; 4], 0).is_err());
        let error = Pca::fit(&[1.0, 2.0, f32::NAN, 4.0], 2).unwrap_err().to_string();
        assert_eq!(error, "x: element 2 is NaN, expected a finite number");
        let pca = Pca::fit(&[1.0; 6], 3).unwrap();
        assert!(pca.mse(&[1.0; 4], 1).is_err());
        assert!(pca.mse(&[1.0; 3], 4).is_err());
        assert_eq!(pca.mse(&[1.0; 3], 0).unwrap(), 0.0);
        assert!(mean_mse(&[], &[1.0], 1).is_err());
        assert!(mean_mse(&[1.0], &[], 1).is_err());
    }
}
