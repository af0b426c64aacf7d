//! Which units can go.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::file::ModelFile;

/// A unit, a heavier one that says the same, and the cosine of their encoder columns.
type Twin = (usize, usize, f64);

/// What is asked for; a unit goes where one of these says so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Choice {
    /// Units whose mean magnitude `1/n Σ|h|` is below this: ρ̂, where activations are not negative.
    pub threshold: Option<f64>,
    /// Units whose encoder column has at least this cosine with that of a heavier one, which takes their part over.
    pub cosine: Option<f64>,
    /// So many of the heaviest units, and no others.
    pub keep: Option<usize>,
}

/// A unit that goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Removed {
    /// Its number in the model before.
    pub unit: usize,
    /// Its mean activation, ρ̂.
    pub mean: f64,
    /// `var(h)·‖w_dec‖²`: what it adds to the mean square of the output's pre-activation.
    pub weight: f64,
    /// Why it goes.
    #[serde(flatten)]
    pub reason: Reason,
}

/// Why a unit goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "lowercase")]
pub enum Reason {
    /// It hardly answers.
    Quiet,
    /// It says what another says: `h ≈ slope·h_of + constant`.
    Twin {
        /// The other.
        of: usize,
        /// Of their encoder columns.
        cosine: f64,
        /// a.
        slope: f64,
        /// c.
        constant: f64,
    },
    /// Others weigh more.
    Light,
}

/// What every unit of a model does on a set.
#[derive(Clone, Debug)]
pub struct Units {
    mean: Vec<f64>,
    magnitude: Vec<f64>,
    variance: Vec<f64>,
    weight: Vec<f64>,
}

impl Units {
    /// Passes prepared `data` through the model of `file`, which `model` runs.
    ///
    /// # Errors
    /// Those of the backend; [`Error::Failed`] where `data` is empty.
    pub fn measure(model: &mut Model, file: &ModelFile, data: &[f32]) -> Result<Self> {
        let d_hid = file.d_hid;
        let rows = data.len() / file.d_in.max(1);
        if rows == 0 {
            return Err(Error::Failed("prune: there are no rows to measure activations on".to_owned()));
        }
        let n = rows as f64;
        let (mut mean, mut magnitude) = (vec![0f64; d_hid], vec![0f64; d_hid]);
        model.encode(data, |h| {
            for row in h.chunks_exact(d_hid) {
                for ((&h, mean), magnitude) in row.iter().zip(&mut mean).zip(&mut magnitude) {
                    *mean += f64::from(h);
                    *magnitude += f64::from(h.abs());
                }
            }
            Ok(())
        })?;
        mean.iter_mut().chain(&mut magnitude).for_each(|sum| *sum /= n);
        let mut variance = vec![0f64; d_hid];
        model.encode(data, |h| {
            for row in h.chunks_exact(d_hid) {
                let terms = row.iter().zip(&mean).zip(&mut variance);
                terms.for_each(|((&h, mean), variance)| *variance += (f64::from(h) - mean).powi(2) / n);
            }
            Ok(())
        })?;
        let norms =
            file.w_dec.chunks_exact(file.d_in).map(|row| row.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>());
        let weight = norms.zip(&variance).map(|(norm, variance)| norm * variance).collect();
        Ok(Self { mean, magnitude, variance, weight })
    }

    /// ρ̂ of each unit.
    pub fn means(&self) -> &[f64] {
        &self.mean
    }

    /// `var(h)·‖w_dec‖²` of each unit.
    pub fn weights(&self) -> &[f64] {
        &self.weight
    }

    /// The units that go, each once, in order.
    ///
    /// # Errors
    /// [`Error::Setting`] where nothing would be left, and those of the backend.
    pub fn choose(&self, choice: &Choice, model: &mut Model, file: &ModelFile, data: &[f32]) -> Result<Vec<Removed>> {
        let d_hid = self.mean.len();
        let removed = |unit: usize, reason| Removed { unit, mean: self.mean[unit], weight: self.weight[unit], reason };
        let mut gone: Vec<Option<Removed>> = vec![None; d_hid];
        if let Some(threshold) = choice.threshold {
            for (unit, slot) in gone.iter_mut().enumerate().filter(|(unit, _)| self.magnitude[*unit] < threshold) {
                *slot = Some(removed(unit, Reason::Quiet));
            }
            if gone.iter().all(Option::is_some) {
                let largest = self.magnitude.iter().copied().fold(0.0, f64::max);
                let expected = format!("at most {largest:.3e}, the largest mean activation, so that a unit is left");
                return Err(Error::setting("--threshold", threshold.to_string(), expected));
            }
        }
        if let Some(cosine) = choice.cosine {
            let twins = self.twins(cosine, file, &gone);
            for (twin, slope, constant) in self.regress(&twins, model, data)? {
                let (unit, of, cosine) = twin;
                gone[unit] = Some(removed(unit, Reason::Twin { of, cosine, slope, constant }));
            }
        }
        if let Some(keep) = choice.keep {
            // A unit that others were merged into weighs more than it did: it is not taken out after that.
            let into: Vec<usize> = gone.iter().flatten().filter_map(|r| twin_of(&r.reason)).collect();
            let mut left: Vec<usize> = (0..d_hid).filter(|&j| gone[j].is_none()).collect();
            left.sort_by(|&a, &b| self.weight[b].total_cmp(&self.weight[a]).then(a.cmp(&b)));
            for &unit in left.iter().skip(keep).filter(|unit| !into.contains(unit)) {
                gone[unit] = Some(removed(unit, Reason::Light));
            }
        }
        Ok(gone.into_iter().flatten().collect())
    }

    /// Units, each with a heavier one it is a twin of and their cosine. No unit that is merged into is merged itself.
    fn twins(&self, least: f64, file: &ModelFile, gone: &[Option<Removed>]) -> Vec<Twin> {
        let (d_in, d_hid) = (file.d_in, file.d_hid);
        let mut columns = vec![0f64; d_hid * d_in];
        for (i, row) in file.w_enc.chunks_exact(d_hid).enumerate() {
            row.iter().enumerate().for_each(|(j, &w)| columns[j * d_in + i] = f64::from(w));
        }
        for column in columns.chunks_exact_mut(d_in) {
            let norm = column.iter().map(|w| w * w).sum::<f64>().sqrt();
            column.iter_mut().for_each(|w| *w /= norm.max(f64::MIN_POSITIVE));
        }
        let column = |j: usize| &columns[j * d_in..][..d_in];
        let mut order: Vec<usize> = (0..d_hid).filter(|&j| gone[j].is_none()).collect();
        order.sort_by(|&a, &b| self.weight[b].total_cmp(&self.weight[a]).then(a.cmp(&b)));
        let mut leaders: Vec<usize> = Vec::new();
        let mut twins = Vec::new();
        for unit in order {
            let with =
                |&leader: &usize| (leader, column(unit).iter().zip(column(leader)).map(|(a, b)| a * b).sum::<f64>());
            match leaders.iter().map(with).max_by(|a, b| a.1.total_cmp(&b.1)) {
                Some((leader, cosine)) if cosine >= least => twins.push((unit, leader, cosine)),
                _ => leaders.push(unit),
            }
        }
        twins
    }

    /// `h_unit ≈ a·h_of + c` for each pair.
    fn regress(&self, twins: &[Twin], model: &mut Model, data: &[f32]) -> Result<Vec<(Twin, f64, f64)>> {
        let (d_hid, n) = (self.mean.len(), (data.len() / model.d_in()) as f64);
        let mut covariance = vec![0f64; twins.len()];
        if !twins.is_empty() {
            model.encode(data, |h| {
                for row in h.chunks_exact(d_hid) {
                    for (&(unit, of, _), sum) in twins.iter().zip(&mut covariance) {
                        let deviation = |j: usize| f64::from(row[j]) - self.mean[j];
                        *sum += deviation(unit) * deviation(of) / n;
                    }
                }
                Ok(())
            })?;
        }
        let lines = twins.iter().zip(covariance).map(|(&twin, covariance)| {
            let (unit, of, _) = twin;
            let slope = if self.variance[of] > 0.0 { covariance / self.variance[of] } else { 0.0 };
            (twin, slope, self.mean[unit] - slope * self.mean[of])
        });
        Ok(lines.collect())
    }
}

fn twin_of(reason: &Reason) -> Option<usize> {
    match reason {
        Reason::Twin { of, .. } => Some(*of),
        Reason::Quiet | Reason::Light => None,
    }
}
