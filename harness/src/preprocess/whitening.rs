//! Whitening: data whose features are uncorrelated and of variance 1.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Options, RowMajor};
use crate::error::{Error, Result};
use crate::eval::baseline::{Moments, Pca};
use crate::memory;

/// Rows that are mapped at a time.
const BLOCK: usize = 256;

/// Whitening by the eigenvectors `u_i` of the training rows' covariance, of eigenvalues `λ_i`, the k largest kept:
///
/// ```text
/// pca   y_i = u_i·(x − mean)/√(λ_i + ε)                    rows of k values
/// zca   y   = Σ_i u_i·y_i, y_i as above                     rows as long as before
/// back  x   = mean + Σ_i u_i·√(λ_i + ε)·y_i                 (zca: y_i = u_i·y first)
/// ```
///
/// ε keeps directions in which the data hardly vary from being blown up to noise. Where `λ_i + ε` is 0 up to rounding,
/// `y_i` is 0. With all components the way back is exact up to rounding; with k of them it ends in the nearest point of
/// their span. (A. Ng et al., UFLDL tutorial, "Whitening"; A. Bell, T. Sejnowski, 1997.)
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whitening {
    /// `[cols]`.
    mean: Vec<f64>,
    /// `√(λ_i + ε)`, descending, `[k]`; 0 for a direction without spread.
    spread: Vec<f64>,
    /// `u_i`, a row each, `[k, cols]`.
    vectors: RowMajor,
}

impl Whitening {
    /// Whether rows of `cols` values can be whitened.
    ///
    /// # Errors
    /// [`Error::Setting`] where there are fewer than the components that are asked for, or the memory is too small.
    pub(super) fn check(cols: usize, options: &Options) -> Result {
        if options.components > cols {
            let expected = format!("at most the {cols} columns");
            return Err(Error::setting("data.components", options.components.to_string(), expected));
        }
        // The covariance, its eigenvectors and the working space of the eigenvalues.
        memory::require("data.preprocess", &format!("whitening {cols} columns"), Moments::bytes(cols))
    }

    /// Whitening by the moments of rows that [`Whitening::check`] has let through.
    ///
    /// # Errors
    /// [`Error::Failed`] where there are no eigenvalues to be found.
    pub(super) fn of(moments: Moments, options: &Options) -> Result<Self> {
        let pca = Pca::of(moments)?;
        let cols = pca.mean().len();
        let k = if options.components == 0 { cols } else { options.components };
        let largest = pca.eigenvalues().first().copied().unwrap_or(0.0);
        // Eigenvalues are right to a multiple of d·ε_machine·λ_max: what is below is no spread.
        let rounding = cols as f64 * f64::EPSILON * largest;
        let spread = pca.eigenvalues()[..k].iter().map(|&lambda| {
            let variance = lambda + options.epsilon;
            if variance <= rounding { 0.0 } else { variance.sqrt() }
        });
        let values = (0..k).flat_map(|i| pca.component(i)).collect();
        Ok(Self { mean: pca.mean().to_vec(), spread: spread.collect(), vectors: RowMajor { rows: k, cols, values } })
    }

    /// The length of a raw row.
    pub(super) fn inputs(&self) -> usize {
        self.mean.len()
    }

    /// Components kept.
    ///
    /// # Errors
    /// [`Error::Input`] where the parts do not fit each other, as those of a damaged file may not.
    pub(super) fn components(&self) -> Result<usize> {
        let Self { mean, spread, vectors } = self;
        let fits = (vectors.rows, vectors.cols) == (spread.len(), mean.len()) && spread.iter().all(|s| *s >= 0.0);
        match fits && vectors.values.len() == spread.len() * mean.len() {
            true => Ok(spread.len()),
            false => {
                let found = format!(
                    "{} means, {} spreads and {} x {} vectors",
                    mean.len(),
                    spread.len(),
                    vectors.rows,
                    vectors.cols
                );
                Err(Error::input("preprocess", found, "d means, k spreads of at least 0, and k x d vectors"))
            }
        }
    }

    /// `data`, whole rows as long as the mean, whitened; `back` turns components into features again.
    pub(super) fn apply(&self, data: &[f32], back: bool) -> Vec<f32> {
        let (d, k) = (self.mean.len(), self.spread.len());
        self.blocks(data, d, if back { d } else { k }, |x, n| {
            x.chunks_exact_mut(d).for_each(|row| row.iter_mut().zip(&self.mean).for_each(|(v, m)| *v -= m));
            let mut scores = self.scores(x, n);
            for column in scores.col_iter_mut() {
                for (y, &spread) in column.iter_mut().zip(&self.spread) {
                    *y = if spread == 0.0 { 0.0 } else { *y / spread };
                }
            }
            if back { self.span(&scores) } else { scores }
        })
    }

    /// The way back.
    pub(super) fn invert(&self, data: &[f32], from_features: bool) -> Vec<f32> {
        let (d, k) = (self.mean.len(), self.spread.len());
        self.blocks(data, if from_features { d } else { k }, d, |y, n| {
            let mut scores = match from_features {
                true => self.scores(y, n),
                false => MatRef::from_column_major_slice(y, k, n).to_owned(),
            };
            for column in scores.col_iter_mut() {
                column.iter_mut().zip(&self.spread).for_each(|(y, spread)| *y *= spread);
            }
            let mut x = self.span(&scores);
            for column in x.col_iter_mut() {
                column.iter_mut().zip(&self.mean).for_each(|(x, m)| *x += m);
            }
            x
        })
    }

    /// `Uᵀ·x`: `[k, n]` of `x [d, n]`, a sample a column.
    fn scores(&self, x: &[f64], n: usize) -> Mat<f64> {
        let mut scores = Mat::zeros(self.spread.len(), n);
        let x = MatRef::from_column_major_slice(x, self.mean.len(), n);
        matmul(scores.as_mut(), Accum::Replace, self.vectors().transpose(), x, 1.0, Par::Seq);
        scores
    }

    /// `U·y`: `[d, n]` of `y [k, n]`.
    fn span(&self, y: &Mat<f64>) -> Mat<f64> {
        let mut x = Mat::zeros(self.mean.len(), y.ncols());
        matmul(x.as_mut(), Accum::Replace, self.vectors(), y.as_ref(), 1.0, Par::Seq);
        x
    }

    /// U, `[d, k]`: a vector a column.
    fn vectors(&self) -> MatRef<'_, f64> {
        MatRef::from_column_major_slice(&self.vectors.values, self.mean.len(), self.spread.len())
    }

    /// `map` of blocks of rows, from `[n, from]` to `[n, to]`. Blocks share nothing, so that no result depends on how many
    /// threads take them.
    fn blocks(
        &self,
        data: &[f32],
        from: usize,
        to: usize,
        map: impl Fn(&mut [f64], usize) -> Mat<f64> + Sync,
    ) -> Vec<f32> {
        let mut out = vec![0.0; data.len() / from * to];
        out.par_chunks_mut(BLOCK * to).zip(data.par_chunks(BLOCK * from)).for_each(|(out, rows)| {
            let mut x: Vec<f64> = rows.iter().map(|&v| f64::from(v)).collect();
            let y = map(&mut x, rows.len() / from);
            for (row, column) in out.chunks_exact_mut(to).zip(y.col_iter()) {
                row.iter_mut().zip(column.iter()).for_each(|(out, &v)| *out = v as f32);
            }
        });
        out
    }
}
