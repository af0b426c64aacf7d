//! Softmax regression: multinomial logistic regression.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use serde::Serialize;

use super::design::{Design, Scale};
use super::newton::{Convex, Stop, minimise};
use super::spectrum::Spectrum;
use super::{L2, gather, held_out};
use crate::eval::EvalError;
use crate::eval::classes::{Confusion, macro_auc};

/// Parts in which rows are shared out to threads.
const PARTS: usize = 64;

/// How a softmax regression is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxOptions {
    /// The strengths of regularisation to choose from, λ in `−1/n Σ log p(label) + λ/2·‖W‖²`; biases are free. Of several, the one with the
    /// highest accuracy on a tenth of the rows is taken, the strongest of equals, and the probe fitted to all rows with it.
    pub l2: Vec<f64>,
    /// Whether features are scaled to variance 1.
    pub scaled: bool,
    /// Fitted when no element of the gradient is larger in magnitude.
    pub tolerance: f64,
    /// Newton steps after which to stop.
    pub steps: usize,
    /// What chooses the tenth.
    pub seed: u64,
}

impl Default for SoftmaxOptions {
    fn default() -> Self {
        Self { l2: L2.to_vec(), scaled: true, tolerance: 1e-5, steps: 100, seed: 0 }
    }
}

/// A softmax regression, fitted.
#[derive(Clone, Debug)]
pub struct SoftmaxProbe {
    classes: Vec<i64>,
    scale: Scale,
    /// `[d + 1, classes]`, row-major; the biases last.
    w: Vec<f64>,
    l2: f64,
    held_out: Option<f64>,
    converged: bool,
}

/// How well a probe tells classes.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassScore {
    /// The share of rows told right.
    pub accuracy: f64,
    /// The mean of the classes' F1.
    pub macro_f1: f64,
    /// The mean over the classes of the area under the receiver operating characteristic, each against the others; `None` where the rows
    /// have only one class.
    pub auc: Option<f64>,
    /// Which class was taken for which, in the order of [`SoftmaxProbe::classes`]; labels the probe has not seen come after those.
    pub confusion: Confusion,
}

impl SoftmaxProbe {
    /// Fits a probe to `x [n, d]` and its labels.
    ///
    /// # Errors
    /// If lengths do not fit, an element is not finite, there are fewer than two classes, or a strength is negative or not finite or there
    /// is none.
    pub fn fit(x: &[f32], d: usize, labels: &[i64], options: &SoftmaxOptions) -> Result<Self, EvalError> {
        let scale = Scale::fit(x, d, options.scaled)?;
        let mut classes = labels.to_vec();
        classes.sort_unstable();
        classes.dedup();
        if labels.len() != x.len() / d {
            let expected = format!("one a row, {}", x.len() / d);
            return Err(EvalError::Length { what: "labels", found: labels.len(), expected });
        }
        if classes.len() < 2 {
            let expected = "at least 2".into();
            return Err(EvalError::Scalar { name: "classes", found: classes.len().to_string(), expected });
        }
        let mut l2 = options.l2.clone();
        if let Some(bad) = l2.iter().find(|l2| !(l2.is_finite() && **l2 >= 0.0)) {
            return Err(EvalError::Scalar { name: "l2", found: bad.to_string(), expected: "0 or more".into() });
        }
        l2.sort_by(|a, b| b.total_cmp(a));
        let truth = numbers(&classes, labels);
        if l2.is_empty() {
            return Err(EvalError::Length { what: "l2", found: 0, expected: "at least 1".into() });
        }
        let design = scale.of(x)?;
        let search = Search { k: classes.len(), spectrum: Spectrum::of(design), options };
        let (l2, held_out) = match l2[..] {
            [only] => (only, None),
            _ => search.choose(x, d, &truth, &l2).map(|(l2, accuracy)| (l2, Some(accuracy)))?,
        };
        let mut w = vec![0.0; (d + 1) * classes.len()];
        let converged = search.descend(design, &truth, l2, &mut w);
        Ok(Self { classes, scale, w, l2, held_out, converged })
    }

    /// The labels it tells apart, ascending.
    pub fn classes(&self) -> &[i64] {
        &self.classes
    }

    /// The strength of regularisation it was fitted with.
    pub fn l2(&self) -> f64 {
        self.l2
    }

    /// The accuracy on the tenth of the rows that the strength was chosen by, when fitted to the others; `None` where there
    /// was only one to choose.
    pub fn held_out(&self) -> Option<f64> {
        self.held_out
    }

    /// Whether the gradient came below the tolerance.
    pub fn converged(&self) -> bool {
        self.converged
    }

    /// The weights of scaled features, `[d, classes]` row-major, and the biases.
    pub fn weights(&self) -> (&[f64], &[f64]) {
        self.w.split_at(self.scale.d() * self.classes.len())
    }

    /// The probability of each class, `[n, classes]`, of the rows of `x [n, d]`.
    ///
    /// # Errors
    /// If the length is 0 or no whole rows.
    pub fn probabilities(&self, x: &[f32]) -> Result<Vec<f64>, EvalError> {
        let (design, k) = (self.scale.of(x)?, self.classes.len());
        let mut p = vec![0.0; design.rows() * k];
        design.blocks(
            PARTS,
            (&mut p, k),
            || (),
            |(), x, _, p| {
                product(x, &self.w, p, k);
                for row in p.chunks_exact_mut(k) {
                    softmax(row);
                }
            },
        );
        Ok(p)
    }

    /// How well the labels of `x [n, d]` are told.
    ///
    /// # Errors
    /// If lengths do not fit.
    pub fn score(&self, x: &[f32], labels: &[i64]) -> Result<ClassScore, EvalError> {
        let (p, k) = (self.probabilities(x)?, self.classes.len());
        if labels.len() * k != p.len() {
            let expected = format!("one a row, {}", p.len() / k);
            return Err(EvalError::Length { what: "labels", found: labels.len(), expected });
        }
        let mut all = self.classes.clone();
        let mut unseen: Vec<i64> = labels.iter().copied().filter(|l| !all.contains(l)).collect();
        unseen.sort_unstable();
        unseen.dedup();
        all.extend(unseen);
        let truth: Vec<usize> = labels.iter().filter_map(|l| all.iter().position(|c| c == l)).collect();
        let said: Vec<usize> = p.chunks_exact(k).map(largest).collect();
        let confusion = Confusion::new(all.len(), &truth, &said)?;
        let auc = macro_auc(&p, k, &truth).ok();
        Ok(ClassScore { accuracy: confusion.accuracy(), macro_f1: confusion.macro_f1(), auc, confusion })
    }
}

/// The places of `labels` among `classes`, which is sorted and has them all.
fn numbers(classes: &[i64], labels: &[i64]) -> Vec<usize> {
    labels.iter().map(|label| classes.partition_point(|class| class < label)).collect()
}

/// The first of the largest.
fn largest(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// What the searches for a probe's weights have in common.
struct Search<'a> {
    /// Classes.
    k: usize,
    /// Of all rows.
    spectrum: Option<Spectrum>,
    options: &'a SoftmaxOptions,
}

impl Search<'_> {
    /// The strength, of those in descending order, whose probe is right most often on a tenth of the rows.
    fn choose(&self, x: &[f32], d: usize, truth: &[usize], l2: &[f64]) -> Result<(f64, f64), EvalError> {
        let k = self.k;
        let (fit, judge) = held_out(truth.len(), self.options.seed)?;
        let (x_fit, x_judge) = (gather(x, d, &fit), gather(x, d, &judge));
        let (truth_fit, truth_judge) = (gather(truth, 1, &fit), gather(truth, 1, &judge));
        let scale = Scale::fit(&x_fit, d, self.options.scaled)?;
        let (design, judged) = (scale.of(&x_fit)?, scale.of(&x_judge)?);
        let mut w = vec![0.0; (d + 1) * k];
        let mut best = (0, l2[0]);
        for &l2 in l2 {
            // Each begins where the one before, of a stronger regularisation, ended.
            self.descend(design, &truth_fit, l2, &mut w);
            let mut z = vec![0.0; truth_judge.len() * k];
            judged.blocks(PARTS, (&mut z, k), || (), |(), x, _, z| product(x, &w, z, k));
            let right = z.chunks_exact(k).zip(&truth_judge).filter(|(row, t)| largest(row) == **t).count();
            if right > best.0 {
                best = (right, l2);
            }
        }
        Ok((best.1, best.0 as f64 / truth_judge.len() as f64))
    }

    /// Goes from `w` to the minimum; whether it came there.
    fn descend(&self, x: Design<'_>, truth: &[usize], l2: f64, w: &mut [f64]) -> bool {
        let mut objective = Objective::new(x, truth, self.k, l2, self.spectrum.as_ref());
        minimise(&mut objective, w, Stop { tolerance: self.options.tolerance, steps: self.options.steps })
    }
}

/// `−1/n Σ log p(label) + λ/2·‖W‖²`.
struct Objective<'a> {
    x: Design<'a>,
    truth: &'a [usize],
    k: usize,
    l2: f64,
    /// The probabilities at the last point, `[n, k]`.
    p: Vec<f64>,
    /// The mean of `(1 − Σp²)/(k − 1)` there.
    delta: f64,
    spectrum: Option<&'a Spectrum>,
}

impl<'a> Objective<'a> {
    fn new(x: Design<'a>, truth: &'a [usize], k: usize, l2: f64, spectrum: Option<&'a Spectrum>) -> Self {
        Self { x, truth, k, l2, p: vec![0.0; truth.len() * k], delta: 1.0 / k as f64, spectrum }
    }

    /// What the weights, without the biases, add to a gradient or a product: λ times themselves.
    fn decay(&self, w: &[f64], out: &mut [f64]) {
        let weights = (self.x.cols() - 1) * self.k;
        out[..weights].iter_mut().zip(w).for_each(|(o, w)| *o += self.l2 * w);
    }
}

impl Convex for Objective<'_> {
    fn value(&mut self, at: &[f64], gradient: &mut [f64]) -> f64 {
        let (k, n, truth) = (self.k, self.truth.len() as f64, self.truth);
        let size = at.len();
        let parts = self.x.blocks(
            PARTS,
            (&mut self.p, k),
            || (0.0, 0.0, vec![0.0; size], Vec::new()),
            |state, x, rows, p| {
                let (loss, squares, gradient, delta) = state;
                product(x, at, p, k);
                delta.clear();
                for (row, &t) in p.chunks_exact_mut(k).zip(&truth[rows]) {
                    let of_truth = row[t];
                    *loss += softmax(row) - of_truth;
                    *squares += row.iter().map(|p| p * p).sum::<f64>();
                    delta.extend(row.iter().enumerate().map(|(c, p)| (p - f64::from(u8::from(c == t))) / n));
                }
                add_product(x, delta, gradient, k);
            },
        );
        gradient.fill(0.0);
        let (mut sum, mut squares) = (0.0, 0.0);
        for (loss, of_part, part, _) in parts {
            sum += loss;
            squares += of_part;
            gradient.iter_mut().zip(part).for_each(|(g, p)| *g += p);
        }
        self.delta = (1.0 - squares / n) / (k - 1) as f64;
        self.decay(at, gradient);
        let weights = &at[..(self.x.cols() - 1) * k];
        sum / n + 0.5 * self.l2 * weights.iter().map(|w| w * w).sum::<f64>()
    }

    fn curvature(&self, v: &[f64], out: &mut [f64]) {
        let (k, n, p) = (self.k, self.truth.len() as f64, &self.p);
        let mut nothing = vec![(); self.truth.len()];
        let parts = self.x.blocks(
            PARTS,
            (&mut nothing, 1),
            || (vec![0.0; v.len()], Vec::new()),
            |state, x, rows, _| {
                let (sum, u) = state;
                u.clear();
                u.resize(rows.len() * k, 0.0);
                product(x, v, u, k);
                for (u, p) in u.chunks_exact_mut(k).zip(p[rows.start * k..].chunks_exact(k)) {
                    let mean: f64 = u.iter().zip(p).map(|(u, p)| u * p).sum();
                    u.iter_mut().zip(p).for_each(|(u, p)| *u = p * (*u - mean) / n);
                }
                add_product(x, u, sum, k);
            },
        );
        out.fill(0.0);
        for (part, _) in parts {
            out.iter_mut().zip(part).for_each(|(o, p)| *o += p);
        }
        self.decay(v, out);
    }

    fn precondition(&self, v: &[f64], out: &mut [f64]) {
        match self.spectrum {
            Some(spectrum) => spectrum.solve((self.delta, self.l2), v, out),
            None => out.copy_from_slice(v),
        }
    }
}

/// `out [n, k] = x·w`.
fn product(x: MatRef<'_, f64>, w: &[f64], out: &mut [f64], k: usize) {
    let w = MatRef::from_row_major_slice(w, x.ncols(), k);
    matmul(MatMut::from_row_major_slice_mut(out, x.nrows(), k), Accum::Replace, x, w, 1.0, Par::Seq);
}

/// `out [d + 1, k] += xᵀ·delta`.
fn add_product(x: MatRef<'_, f64>, delta: &[f64], out: &mut [f64], k: usize) {
    let delta = MatRef::from_row_major_slice(delta, x.nrows(), k);
    matmul(MatMut::from_row_major_slice_mut(out, x.ncols(), k), Accum::Add, x.transpose(), delta, 1.0, Par::Seq);
}

/// Turns logits into probabilities; the logarithm of the sum of their exponentials.
fn softmax(row: &mut [f64]) -> f64 {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter_mut().for_each(|z| *z = (*z - most).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|z| *z /= sum);
    most + sum.ln()
}

impl Serialize for ClassScore {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut object = serializer.serialize_struct("ClassScore", 4)?;
        object.serialize_field("accuracy", &self.accuracy)?;
        object.serialize_field("macro_f1", &self.macro_f1)?;
        object.serialize_field("auc", &self.auc)?;
        object.serialize_field("confusion", &self.confusion.rows().collect::<Vec<_>>())?;
        object.end()
    }
}

#[cfg(test)]
mod tests;
