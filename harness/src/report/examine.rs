//! What a report shows of a model and its data: samples well and badly reconstructed, and what excites each unit.

use crate::error::Result;
use crate::model::{Evaluation, Model};
use crate::train::TrainingSet;

/// Samples shown of the best and of the worst reconstructed.
const PAIRS: usize = 10;
/// Units shown with the inputs that excite them most, and inputs shown of each.
const UNITS: usize = 48;
const INPUTS: usize = 6;
/// Bins of the histogram of a unit's activations.
const BINS: usize = 24;
/// Training samples that are searched for those inputs, evenly spread.
const SEARCHED: usize = 10_000;

/// A model, seen with the data of its run.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The part of the data that was judged: `test`, else `validation`, else `train`.
    pub part: &'static str,
    /// What the model makes of it.
    pub evaluation: Evaluation,
    /// Length of a sample, and height and width where it is an image.
    pub d_in: usize,
    /// Height and width, where a sample is an image.
    pub image: Option<(usize, usize)>,
    /// The smallest and the largest preprocessed value of the training set.
    pub range: (f32, f32),
    /// The best reconstructed samples, best first.
    pub best: Pairs,
    /// The worst, worst first.
    pub worst: Pairs,
    /// The units, the most active first.
    pub order: Vec<usize>,
    /// The lowest and the highest activation of those units, 0 included: the ends of their histograms.
    pub span: (f32, f32),
    /// Units and what excites them, the most active first; evenly spread where there are many.
    pub excited: Vec<Excited>,
    /// Training samples that were searched for that.
    pub searched: usize,
}

/// Samples and their reconstructions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs {
    /// Mean squared error of each.
    pub errors: Vec<f64>,
    /// `[n, d_in]`.
    pub x: Vec<f32>,
    /// `[n, d_in]`.
    pub x_hat: Vec<f32>,
}

/// A unit and the inputs on which its activation is highest.
#[derive(Clone, Debug, PartialEq)]
pub struct Excited {
    /// The unit.
    pub unit: usize,
    /// Its mean activation.
    pub rho_hat: f64,
    /// The share of samples on which it is active, in [0, 1].
    pub frequency: f64,
    /// Rows of the training set with the unit's activation, the highest first.
    pub inputs: Vec<(usize, f32)>,
    /// Those rows, `[n, d_in]`.
    pub samples: Vec<f32>,
    /// How many of the searched samples have an activation in each part of [`Examined::span`].
    pub histogram: Vec<u64>,
}

impl Examined {
    /// Runs the model over the set's parts.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn new(model: &mut Model, set: &TrainingSet, threshold: f32) -> Result<Self> {
        let (part, judged) = match (set.test.rows, set.validation.rows) {
            (0, 0) => ("train", &set.train),
            (0, _) => ("validation", &set.validation),
            _ => ("test", &set.test),
        };
        let d_in = set.train.cols;
        let evaluation = model.evaluate(&judged.data, threshold)?;
        let (best, worst) = pairs(model, &judged.data, d_in)?;

        let rho_hat = evaluation.activity.rho_hat();
        let mut order: Vec<usize> = (0..rho_hat.len()).collect();
        order.sort_by(|&a, &b| rho_hat[b].total_cmp(&rho_hat[a]).then(a.cmp(&b)));
        let shown = order.len().min(UNITS);
        let units: Vec<usize> = (0..shown).map(|i| order[i * order.len() / shown]).collect();
        let every = set.train.rows.div_ceil(SEARCHED).max(1);
        let rows: Vec<usize> = (0..set.train.rows).step_by(every).collect();
        let searched = if every == 1 { None } else { Some(set.train.select(&rows)) };
        let data = searched.as_ref().map_or(&set.train.data, |s| &s.data);
        let mut inputs = vec![Vec::new(); shown];
        let mut activations = vec![Vec::with_capacity(rows.len()); shown];
        let (mut first, d_hid) = (0, rho_hat.len());
        model.encode(data, |h| {
            for (r, h) in h.chunks_exact(d_hid).enumerate() {
                for ((top, all), &unit) in inputs.iter_mut().zip(&mut activations).zip(&units) {
                    keep_highest(top, (rows[first + r], h[unit]), INPUTS);
                    all.push(h[unit]);
                }
            }
            first += h.len() / d_hid;
            Ok(())
        })?;
        let frequency = evaluation.activity.frequency();
        let span = activations.iter().flatten().fold((0f32, 0f32), |(low, high), &h| (low.min(h), high.max(h)));
        let excited = units
            .into_iter()
            .zip(inputs)
            .zip(activations)
            .map(|((unit, inputs), activations)| {
                let samples = inputs.iter().flat_map(|&(row, _)| set.train.row(row)).copied().collect();
                let histogram = histogram(&activations, span);
                Excited { unit, rho_hat: rho_hat[unit], frequency: frequency[unit], inputs, samples, histogram }
            })
            .collect();
        let (image, range) = (set.train.image, set.train.range());
        Ok(Self { part, evaluation, d_in, image, range, best, worst, order, span, excited, searched: rows.len() })
    }
}

/// Counts in bins of equal width from `low` to `high`.
fn histogram(values: &[f32], (low, high): (f32, f32)) -> Vec<u64> {
    let mut counts = vec![0; BINS];
    for v in values {
        let at = if high > low { (v - low) / (high - low) * BINS as f32 } else { 0.0 };
        counts[(at as usize).min(BINS - 1)] += 1;
    }
    counts
}

/// Puts `new` where it belongs among at most `most` activations in descending order; the first of equals stays first.
fn keep_highest(top: &mut Vec<(usize, f32)>, new: (usize, f32), most: usize) {
    if top.len() == most && top.last().is_some_and(|last| last.1 >= new.1) {
        return;
    }
    let at = top.partition_point(|kept| kept.1 >= new.1);
    top.insert(at, new);
    top.truncate(most);
}

/// The best and the worst reconstructed samples. Where there are few, none is in both.
fn pairs(model: &mut Model, data: &[f32], d_in: usize) -> Result<(Pairs, Pairs)> {
    let mut errors: Vec<(f64, usize)> = Vec::new();
    model.reconstruct(data, |seen| {
        for (x, x_hat) in seen.x.chunks_exact(d_in).zip(seen.x_hat.chunks_exact(d_in)) {
            let squares: f64 = x.iter().zip(x_hat).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
            errors.push((squares / d_in as f64, errors.len()));
        }
        Ok(())
    })?;
    errors.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let n = PAIRS.min(errors.len().div_ceil(2));
    let best = &errors[..n];
    let worst: Vec<_> = errors[n..].iter().rev().take(PAIRS).copied().collect();
    let mut of = |chosen: &[(f64, usize)]| -> Result<Pairs> {
        let x: Vec<f32> = chosen.iter().flat_map(|&(_, row)| &data[row * d_in..][..d_in]).copied().collect();
        let mut x_hat = Vec::with_capacity(x.len());
        model.reconstruct(&x, |seen| {
            x_hat.extend_from_slice(seen.x_hat);
            Ok(())
        })?;
        Ok(Pairs { errors: chosen.iter().map(|&(error, _)| error).collect(), x, x_hat })
    };
    Ok((of(best)?, of(&worst)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_hold_every_value_and_their_ends() {
        let counts = histogram(&[-1.0, -1.0, 0.0, 0.99, 1.0], (-1.0, 1.0));
        assert_eq!((counts[0], counts[BINS / 2], counts[BINS - 1]), (2, 1, 2));
        assert_eq!(counts.iter().sum::<u64>(), 5);
        assert_eq!(histogram(&[0.0; 3], (0.0, 0.0))[0], 3, "units that are always 0");
    }

    #[test]
    fn the_highest_are_kept_in_order_and_the_first_of_equals_stays_first() {
        let mut top = Vec::new();
        for (row, h) in [0.1, 0.9, 0.5, 0.9, 0.2, 0.6].into_iter().enumerate() {
            keep_highest(&mut top, (row, h), 3);
        }
        assert_eq!(top, [(1, 0.9), (3, 0.9), (5, 0.6)]);
    }
}
