//! Taking hidden units out of a trained model: those that hardly answer, those that say what others say.
//!
//! A unit j reaches the output through its decoder row alone, `h_j·w_dec[j]`. Where h_j hardly varies, that is nearly a
//! constant, and the bias can take its place:
//!
//! ```text
//! unit removed                    b_dec += mean(h_j)·w_dec[j]
//! unit j merged into its twin i   w_dec[i] += a·w_dec[j],  b_dec += c·w_dec[j]     h_j ≈ a·h_i + c, least squares
//! ```
//!
//! With tied weights the decoder of a twin that takes another's part over is no longer its encoder: the weights are untied.
//!
//! What is lost is, in the mean square of the output's pre-activation, `var(h_j)·‖w_dec[j]‖²` for each unit, up to what
//! removed units have in common: the unit's weight here.

mod choose;
mod finetune;

pub use choose::{Choice, Reason, Removed, Units};
pub use finetune::finetune;

use crate::error::{Error, Result};
use crate::model::file::ModelFile;

/// A model with fewer units.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// What is left.
    pub model: ModelFile,
    /// The units kept, by their numbers in the model before.
    pub kept: Vec<usize>,
    /// The others.
    pub removed: Vec<Removed>,
}

/// Takes the units that `removed` names out of `model`: columns of `w_enc`, elements of `b_enc`, rows of `w_dec`. With
/// `fold`, `b_dec` and the twins' rows take over their means.
///
/// Tied weights stay tied, unless a twin's row takes something over: its column in the encoder does not, and the decoder has weights
/// of its own from then on. Where k activations of a sample stay, at most as many do as there are units.
///
/// # Errors
/// [`Error::Failed`] where a unit is not there, or none would be left.
pub fn prune(model: &ModelFile, removed: Vec<Removed>, fold: bool) -> Result<Pruned> {
    let (d_in, d_hid) = (model.d_in, model.d_hid);
    let mut keep = vec![true; d_hid];
    for unit in removed.iter().map(|r| r.unit) {
        match keep.get_mut(unit) {
            Some(kept) => *kept = false,
            None => return Err(Error::Failed(format!("prune: unit is {unit}, expected below {d_hid}"))),
        }
    }
    let kept: Vec<usize> = (0..d_hid).filter(|&j| keep[j]).collect();
    if kept.is_empty() {
        return Err(Error::Failed(format!("prune: all {d_hid} units would be removed, expected one left at least")));
    }
    let mut w_dec: Vec<f64> = model.w_dec.iter().map(|&w| f64::from(w)).collect();
    let mut b_dec: Vec<f64> = model.b_dec.iter().map(|&b| f64::from(b)).collect();
    for unit in removed.iter().filter(|_| fold) {
        let row: Vec<f64> = w_dec[unit.unit * d_in..][..d_in].to_vec();
        let (slope, constant) = match unit.reason {
            Reason::Twin { of, slope, constant, .. } => (Some((of, slope)), constant),
            Reason::Quiet | Reason::Light => (None, unit.mean),
        };
        if let Some((of, slope)) = slope {
            w_dec[of * d_in..][..d_in].iter_mut().zip(&row).for_each(|(w, r)| *w += slope * r);
        }
        b_dec.iter_mut().zip(&row).for_each(|(b, r)| *b += constant * r);
    }
    let mut cfg = model.cfg.clone();
    cfg.tied &= !(fold && removed.iter().any(|r| matches!(r.reason, Reason::Twin { .. })));
    cfg.k = cfg.k.map(|k| k.min(kept.len()));
    let column = |row: &[f32]| kept.iter().map(|&j| row[j]).collect::<Vec<f32>>();
    let pruned = ModelFile {
        w_enc: model.w_enc.chunks_exact(d_hid).flat_map(column).collect(),
        b_enc: column(&model.b_enc),
        w_dec: kept.iter().flat_map(|&j| &w_dec[j * d_in..][..d_in]).map(|&w| w as f32).collect(),
        b_dec: b_dec.iter().map(|&b| b as f32).collect(),
        d_hid: kept.len(),
        d_in,
        cfg,
    };
    Ok(Pruned { model: pruned, kept, removed })
}

#[cfg(test)]
mod tests;
