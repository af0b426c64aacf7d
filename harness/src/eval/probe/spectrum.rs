//! What a probe's features have in common, to precondition the search for its weights by.
//!
//! The second derivative of a softmax regression is `1/n Σ (diag p − p·pᵀ) ⊗ x·xᵀ`, and λ for each weight. Where the rows are not
//! told yet all p are alike, and it is `δ·S` for each class, with S the covariance of the features and δ the mean of
//! `(1 − Σp²)/(classes − 1)`. Later that is an approximation, whose inverse is cheap: with `S = Q·diag(s)·Qᵀ`,
//!
//! ```text
//! (δ·S + λ)⁻¹ = Q·diag(1/(δ·s + λ))·Qᵀ
//! ```

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

use super::design::Design;

/// Features beyond which it is not worth its d³ operations and its memory.
const MOST: usize = 2048;

/// Eigenvalues and eigenvectors of the covariance of scaled features.
#[derive(Clone, Debug)]
pub(super) struct Spectrum {
    values: Vec<f64>,
    /// A column each.
    vectors: Mat<f64>,
}

impl Spectrum {
    /// That of rows which their features were scaled on; `None` where there are too many features, or it cannot be had.
    pub(super) fn of(x: Design<'_>) -> Option<Self> {
        if x.cols() - 1 > MOST {
            return None;
        }
        let eigen = x.gram().self_adjoint_eigen(Side::Lower).ok()?;
        let values = eigen.S().column_vector().iter().map(|v| v.max(0.0)).collect();
        Some(Self { values, vectors: eigen.U().to_owned() })
    }

    /// `(δ·S + λ)⁻¹·v` for the weights `[d, k]` of `v [d + 1, k]`, and `v/δ` for the biases, whose feature is 1.
    pub(super) fn solve(&self, (delta, lambda): (f64, f64), v: &[f64], out: &mut [f64]) {
        let d = self.values.len();
        let k = v.len() / (d + 1);
        let most = self.values.iter().copied().fold(1.0, f64::max);
        // What rounding leaves of an eigenvalue that is 0, and of δ where all rows are told for certain.
        let delta = delta.max(f64::EPSILON);
        let least = 1e-12 * (delta * most + lambda);
        let (weights, biases) = v.split_at(d * k);
        let mut along = Mat::<f64>::zeros(d, k);
        let weights = MatRef::from_row_major_slice(weights, d, k);
        matmul(along.as_mut(), Accum::Replace, self.vectors.transpose(), weights, 1.0, Par::Seq);
        for column in along.as_mut().col_iter_mut() {
            for (v, s) in column.iter_mut().zip(&self.values) {
                *v /= (delta * s + lambda).max(least);
            }
        }
        let (out, out_biases) = out.split_at_mut(d * k);
        let out = MatMut::from_row_major_slice_mut(out, d, k);
        matmul(out, Accum::Replace, self.vectors.as_ref(), along.as_ref(), 1.0, Par::Seq);
        out_biases.iter_mut().zip(biases).for_each(|(o, b)| *o = b / delta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::probe::design::Scale;

    #[test]
    fn what_is_solved_for_gives_back_the_right_side() {
        let (n, d, k) = (50, 4, 3);
        let x: Vec<f32> = (0..n * d).map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0).collect();
        for scaled in [true, false] {
            let scale = Scale::fit(&x, d, scaled).unwrap();
            let spectrum = Spectrum::of(scale.of(&x).unwrap()).unwrap();
            let lower = scale.of(&x).unwrap().gram();
            let s = |i: usize, j: usize| lower[(i.max(j), i.min(j))];
            if scaled {
                assert!((0..d).all(|i| (s(i, i) - 1.0).abs() < 1e-12));
            }
            let v: Vec<f64> = (0..(d + 1) * k).map(|i| ((i * 5) % 7) as f64 - 3.0).collect();
            let (delta, lambda) = (0.3, 0.01);
            let mut out = vec![0.0; v.len()];
            spectrum.solve((delta, lambda), &v, &mut out);
            // A well-conditioned system of four unknowns of order 100.
            for i in 0..d {
                for c in 0..k {
                    let back: f64 = (0..d).map(|j| delta * s(i, j) * out[j * k + c]).sum();
                    assert!((back + lambda * out[i * k + c] - v[i * k + c]).abs() < 1e-10);
                }
            }
            assert!((0..k).all(|c| (out[d * k + c] * delta - v[d * k + c]).abs() < 1e-12));
        }
    }

    #[test]
    fn a_feature_without_spread_is_no_division_by_0() {
        let x = [1.0, 2.0, 1.0, 3.0, 1.0, 5.0];
        let scale = Scale::fit(&x, 2, true).unwrap();
        let mut out = vec![0.0; 6];
        Spectrum::of(scale.of(&x).unwrap()).unwrap().solve((0.0, 0.0), &[1.0; 6], &mut out);
        assert!(out.iter().all(|v| v.is_finite() && *v > 0.0), "{out:?}");
    }
}
