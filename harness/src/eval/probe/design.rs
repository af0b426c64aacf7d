//! Features as a probe sees them: scaled, in `f64`, a block of rows at a time.

use std::ops::Range;

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

use crate::eval::{EvalError, check_finite, rows};

/// Rows that are converted at a time.
const BLOCK: usize = 128;
/// Parts in which rows are shared out for a square matrix of the features; each has one of its own.
const SQUARES: usize = 8;

/// The map `(x − mean)/std` of each feature, fitted on some rows; a feature without spread becomes 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    mean: Vec<f64>,
    /// One over the standard deviation, or 0.
    inverse: Vec<f64>,
}

impl Scale {
    /// Fits the map; without `scaled` it only centres.
    pub(super) fn fit(x: &[f32], d: usize, scaled: bool) -> Result<Self, EvalError> {
        let n = rows("x", x.len(), d)? as f64;
        check_finite("x", x)?;
        let (mut mean, mut square) = (vec![0.0; d], vec![0.0; d]);
        for row in x.chunks_exact(d) {
            mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v));
        }
        mean.iter_mut().for_each(|m| *m /= n);
        for row in x.chunks_exact(d) {
            for ((s, m), &v) in square.iter_mut().zip(&mean).zip(row) {
                *s += (f64::from(v) - m).powi(2);
            }
        }
        let inverse = match scaled {
            true => square.into_iter().map(|s| if s > 0.0 { (n / s).sqrt() } else { 0.0 }).collect(),
            false => vec![1.0; d],
        };
        Ok(Self { mean, inverse })
    }

    pub(super) fn d(&self) -> usize {
        self.mean.len()
    }

    /// The features of `x [n, d]`, to be read.
    pub(super) fn of<'a>(&'a self, x: &'a [f32]) -> Result<Design<'a>, EvalError> {
        rows("x", x.len(), self.d())?;
        Ok(Design { scale: self, x })
    }
}

/// Features with a column of ones after them, `[n, d + 1]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Design<'a> {
    scale: &'a Scale,
    x: &'a [f32],
}

impl Design<'_> {
    pub(super) fn rows(&self) -> usize {
        self.x.len() / self.scale.d()
    }

    /// Columns, the ones included.
    pub(super) fn cols(&self) -> usize {
        self.scale.d() + 1
    }

    /// The lower triangle of `1/n Σ x·xᵀ`, of the features without the ones: their covariance on the rows they are scaled on.
    pub(super) fn gram(&self) -> Mat<f64> {
        let (d, scale) = (self.scale.d(), 1.0 / self.rows() as f64);
        let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
        let mut nothing = vec![(); self.rows()];
        let start = || Mat::<f64>::zeros(d, d);
        let parts = self.blocks(SQUARES, (&mut nothing, 1), start, |gram, x, _, _| {
            let x = x.subcols(0, d).transpose();
            triangular::matmul(gram.as_mut(), lower, Accum::Add, x, whole, x.transpose(), whole, scale, Par::Seq);
        });
        let mut gram = Mat::zeros(d, d);
        parts.into_iter().for_each(|part| gram += part);
        gram
    }

    /// Runs `each` on blocks of rows: with the block as a matrix, the rows it is of, and the part of `along [n, k]` that belongs to them. Rows
    /// are shared out to threads in at most `parts` parts; what is left of the parts, one each, comes in their order, so that sums do not
    /// depend on the number of threads.
    pub(super) fn blocks<S, A>(
        &self,
        parts: usize,
        (along, k): (&mut [A], usize),
        start: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, MatRef<'_, f64>, Range<usize>, &mut [A]) + Sync,
    ) -> Vec<S>
    where
        S: Send,
        A: Send,
    {
        let (d, n) = (self.scale.d(), self.rows());
        let share = n.div_ceil(parts).next_multiple_of(BLOCK);
        let parts = self.x.par_chunks(share * d).zip(along.par_chunks_mut(share * k)).enumerate();
        let part = |(part, (x, along)): (usize, (&[f32], &mut [A]))| {
            let (mut state, mut block) = (start(), Vec::with_capacity(BLOCK * (d + 1)));
            for (i, (x, along)) in x.chunks(BLOCK * d).zip(along.chunks_mut(BLOCK * k)).enumerate() {
                let m = x.len() / d;
                block.clear();
                for row in x.chunks_exact(d) {
                    let scaled = row.iter().zip(&self.scale.mean).zip(&self.scale.inverse);
                    block.extend(scaled.map(|((&v, mean), inverse)| (f64::from(v) - mean) * inverse));
                    block.push(1.0);
                }
                let first = part * share + i * BLOCK;
                each(&mut state, MatRef::from_row_major_slice(&block, m, d + 1), first..first + m, along);
            }
            state
        };
        parts.map(part).collect()
    }
}
