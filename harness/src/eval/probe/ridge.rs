//! Ridge regression.

use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

use super::design::Scale;
use super::{L2, gather, held_out};
use crate::eval::EvalError;

/// Parts in which rows are shared out to threads.
const PARTS: usize = 8;

/// How a ridge regression is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct RidgeOptions {
    /// The strengths of regularisation to choose from, λ in `1/n·‖Y − X·W − b‖² + λ·‖W‖²`. Of several, the one with the highest R² on a tenth
    /// of the rows is taken, the strongest of equals, and the probe fitted to all rows with it.
    pub l2: Vec<f64>,
    /// Whether features are scaled to variance 1.
    pub scaled: bool,
    /// What chooses the tenth.
    pub seed: u64,
}

impl Default for RidgeOptions {
    fn default() -> Self {
        Self { l2: L2.to_vec(), scaled: true, seed: 0 }
    }
}

/// A ridge regression, fitted.
#[derive(Clone, Debug)]
pub struct RidgeProbe {
    scale: Scale,
    /// `[d, targets]`.
    w: Mat<f64>,
    /// The means of the targets.
    mean: Vec<f64>,
    l2: f64,
}

impl RidgeProbe {
    /// Fits a probe to `x [n, d]` and its targets `y [n, targets]`.
    ///
    /// # Errors
    /// If lengths do not fit, an element is not finite, a strength is negative or not finite or there is none, or the equations have no
    /// single solution, which a strength above 0 gives them.
    pub fn fit(x: &[f32], d: usize, y: &[f64], targets: usize, options: &RidgeOptions) -> Result<Self, EvalError> {
        let normal = Normal::new(x, d, y, targets, options.scaled)?;
        let mut l2 = options.l2.clone();
        if let Some(bad) = l2.iter().find(|l2| !(l2.is_finite() && **l2 >= 0.0)) {
            return Err(EvalError::Scalar { name: "l2", found: bad.to_string(), expected: "0 or more".into() });
        }
        l2.sort_by(|a, b| b.total_cmp(a));
        let l2 = match l2[..] {
            [] => return Err(EvalError::Length { what: "l2", found: 0, expected: "at least 1".into() }),
            [only] => only,
            _ => {
                let (fit, judge) = held_out(x.len() / d, options.seed)?;
                let part = Normal::new(&gather(x, d, &fit), d, &gather(y, targets, &fit), targets, options.scaled)?;
                let (x_judge, y_judge) = (gather(x, d, &judge), gather(y, targets, &judge));
                let mut best = (f64::NEG_INFINITY, l2[0]);
                for &l2 in &l2 {
                    let found = r2(&y_judge, &part.solve(l2)?.predict(&x_judge)?, targets)?;
                    if found > best.0 {
                        best = (found, l2);
                    }
                }
                best.1
            }
        };
        normal.solve(l2)
    }

    /// The strength of regularisation it was fitted with.
    pub fn l2(&self) -> f64 {
        self.l2
    }

    /// The targets, `[n, targets]`, of the rows of `x [n, d]`.
    ///
    /// # Errors
    /// If the length is 0 or no whole rows.
    pub fn predict(&self, x: &[f32]) -> Result<Vec<f64>, EvalError> {
        let (design, targets) = (self.scale.of(x)?, self.mean.len());
        let mut y = vec![0.0; design.rows() * targets];
        design.blocks(
            PARTS,
            (&mut y, targets),
            || (),
            |(), x, rows, y| {
                y.chunks_exact_mut(targets).for_each(|row| row.copy_from_slice(&self.mean));
                let y = MatMut::from_row_major_slice_mut(y, rows.len(), targets);
                let x = x.subcols(0, x.ncols() - 1);
                faer::linalg::matmul::matmul(y, Accum::Add, x, self.w.as_ref(), 1.0, Par::Seq);
            },
        );
        Ok(y)
    }
}

/// `XᵀX/n` and `Xᵀ(Y − mean)/n` of centred features.
struct Normal {
    scale: Scale,
    gram: Mat<f64>,
    right: Mat<f64>,
    mean: Vec<f64>,
}

impl Normal {
    fn new(x: &[f32], d: usize, y: &[f64], targets: usize, scaled: bool) -> Result<Self, EvalError> {
        let scale = Scale::fit(x, d, scaled)?;
        let n = x.len() / d;
        if targets == 0 || y.len() != n * targets {
            let expected = format!("{n} rows of {targets} targets, at least 1");
            return Err(EvalError::Length { what: "y", found: y.len(), expected });
        }
        if let Some(index) = y.iter().position(|v| !v.is_finite()) {
            return Err(EvalError::NotFinite { what: "y", index, found: y[index].to_string() });
        }
        let mut mean = vec![0.0; targets];
        for row in y.chunks_exact(targets) {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / n as f64);
        }
        let mut nothing = vec![(); n];
        let design = scale.of(x)?;
        let start = || (Mat::<f64>::zeros(d, targets), Vec::new());
        let parts = design.blocks(PARTS, (&mut nothing, 1), start, |(right, block), x, rows, _| {
            block.clear();
            for row in y[rows.start * targets..rows.end * targets].chunks_exact(targets) {
                block.extend(row.iter().zip(&mean).map(|(v, m)| v - m));
            }
            let y = MatRef::from_row_major_slice(&block[..], rows.len(), targets);
            let x = x.subcols(0, d).transpose();
            faer::linalg::matmul::matmul(right.as_mut(), Accum::Add, x, y, 1.0 / n as f64, Par::Seq);
        });
        let mut right = Mat::zeros(d, targets);
        parts.into_iter().for_each(|(part, _)| right += part);
        let gram = design.gram();
        Ok(Self { scale, gram, right, mean })
    }

    fn solve(&self, l2: f64) -> Result<RidgeProbe, EvalError> {
        let mut left = self.gram.clone();
        (0..left.nrows()).for_each(|i| left[(i, i)] += l2);
        let factor = left.llt(Side::Lower).map_err(|_| EvalError::Scalar {
            name: "l2",
            found: l2.to_string(),
            expected: "more, because the features depend on each other".into(),
        })?;
        Ok(RidgeProbe { scale: self.scale.clone(), w: factor.solve(&self.right), mean: self.mean.clone(), l2 })
    }
}

/// R² of predictions, the mean over the targets: for each, 1 − Σ(y − ŷ)²/Σ(y − mean)². A target without spread counts 1 where it is predicted
/// without error, else 0.
///
/// # Errors
/// If lengths differ or are no whole rows, at least one.
pub fn r2(y: &[f64], y_hat: &[f64], targets: usize) -> Result<f64, EvalError> {
    let n = crate::eval::rows("y", y.len(), targets)?;
    if y_hat.len() != y.len() {
        let expected = format!("that of y, {}", y.len());
        return Err(EvalError::Length { what: "predictions", found: y_hat.len(), expected });
    }
    let of = |t: usize| {
        let column = || y.iter().skip(t).step_by(targets);
        let mean = column().sum::<f64>() / n as f64;
        let whole: f64 = column().map(|v| (v - mean).powi(2)).sum();
        let rest: f64 = column().zip(y_hat.iter().skip(t).step_by(targets)).map(|(a, b)| (a - b).powi(2)).sum();
        match (rest, whole) {
            (0.0, 0.0) => 1.0,
            (_, 0.0) => 0.0,
            _ => 1.0 - rest / whole,
        }
    };
    Ok((0..targets).map(of).sum::<f64>() / targets as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in [0, 1), unalike.
    fn data(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0).collect()
    }

    #[test]
    fn a_linear_target_is_found_without_regularisation_and_shrunk_with_it() {
        let (n, d) = (300, 4);
        let x = data(n * d);
        let y: Vec<f64> = x.chunks_exact(d).flat_map(|r| [3.0 * f64::from(r[0]) - 2.0, 1.0]).collect();
        for scaled in [true, false] {
            let options = RidgeOptions { l2: vec![0.0], scaled, seed: 0 };
            let probe = RidgeProbe::fit(&x, d, &y, 2, &options).unwrap();
            // A well-conditioned system of 4 unknowns of order 1, from sums over 300 rows.
            let found = probe.predict(&x).unwrap();
            assert!(found.iter().zip(&y).all(|(a, b)| (a - b).abs() <= 1e-12), "{scaled}");
        }
        let strong = RidgeOptions { l2: vec![1e6], ..RidgeOptions::default() };
        let found = RidgeProbe::fit(&x, d, &y, 2, &strong).unwrap().predict(&x).unwrap();
        assert!(r2(&y, &found, 2).unwrap() < 0.51, "only the constant target is left");
        let chosen = RidgeProbe::fit(&x, d, &y, 2, &RidgeOptions::default()).unwrap();
        assert_eq!(chosen.l2(), 1e-5);
    }

    #[test]
    fn features_that_depend_on_each_other_need_a_strength_above_zero() {
        let x: Vec<f32> = data(50).into_iter().flat_map(|v| [v, v]).collect();
        let y: Vec<f64> = x.iter().step_by(2).map(|&v| f64::from(v)).collect();
        let fit = |l2| RidgeProbe::fit(&x, 2, &y, 1, &RidgeOptions { l2: vec![l2], ..RidgeOptions::default() });
        assert!(fit(0.0).unwrap_err().to_string().starts_with("l2 is 0, expected more"));
        let found = fit(1e-9).unwrap().predict(&x).unwrap();
        assert!(r2(&y, &found, 1).unwrap() > 1.0 - 1e-12);
    }

    #[test]
    fn r2_of_the_mean_is_0_and_of_targets_without_spread_0_or_1() {
        assert_eq!(r2(&[1.0, 3.0], &[2.0, 2.0], 1).unwrap(), 0.0);
        assert_eq!(r2(&[1.0, 5.0, 3.0, 5.0], &[1.0, 5.0, 3.0, 4.0], 2).unwrap(), 0.5);
        assert!(r2(&[], &[], 1).is_err() && r2(&[1.0], &[1.0, 2.0], 1).is_err());
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let options = RidgeOptions::default();
        assert!(RidgeProbe::fit(&[1.0; 6], 2, &[1.0; 2], 1, &options).is_err());
        assert!(RidgeProbe::fit(&[1.0; 6], 2, &[1.0, f64::NAN, 1.0], 1, &options).is_err());
        assert!(RidgeProbe::fit(&[1.0; 6], 2, &[1.0; 3], 1, &RidgeOptions { l2: vec![], ..options.clone() }).is_err());
        assert!(RidgeProbe::fit(&[1.0; 6], 2, &[1.0; 3], 1, &RidgeOptions { l2: vec![-1.0], ..options }).is_err());
    }
}
