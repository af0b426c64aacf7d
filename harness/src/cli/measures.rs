//! An evaluation in numbers and in words.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::error::Result;
use crate::eval::metrics::psnr;
use crate::model::Evaluation;
use crate::preprocess::Fitted;
pub(super) use crate::report::number::short;

/// The extent of what preprocessed data can be meant to take: 1 where they were mapped to [0, 1], 0.8 for patches, else that
/// of the data at hand.
pub(super) fn peak(preprocessing: &Fitted, (low, high): (f32, f32)) -> f64 {
    match preprocessing {
        Fitted::Range { .. } | Fitted::MinMax { .. } => 1.0,
        Fitted::Patches(_) => 0.8,
        _ if high > low => f64::from(high) - f64::from(low),
        _ => 1.0,
    }
}

/// The keys every evaluation has.
pub(super) fn to_json(found: &Evaluation, peak: f64) -> Result<Value> {
    let terms = found.terms;
    Ok(json!({
        "rows": found.rows,
        "loss": terms.loss,
        "reconstruction": terms.reconstruction,
        "sparsity": terms.sparsity,
        "weight_decay": terms.weight_decay,
        "mse": found.mse,
        "psnr": psnr(found.mse, peak)?,
        "peak": peak,
        "rho_hat_mean": found.activity.rho_hat_mean(),
        "active_percent": found.activity.active_percent(),
        "l0": found.activity.l0(),
        "dead_units": found.activity.dead().len(),
    }))
}

/// A table with a column for each evaluation, of at most 80 characters.
pub(super) fn table(found: &[(&str, &Evaluation)], peak: f64) -> Result<String> {
    const NAME: usize = 18;
    const COLUMN: usize = 13;
    let mut text = " ".repeat(NAME);
    for (name, _) in found {
        // Writing to a String cannot fail.
        let _ = write!(text, "{name:>COLUMN$}");
    }
    text.push('\n');
    let mut row = |name: &str, of: &dyn Fn(&Evaluation) -> Result<String>| -> Result {
        let _ = write!(text, "{name:<NAME$}");
        for (_, evaluation) in found {
            let _ = write!(text, "{:>COLUMN$}", of(evaluation)?);
        }
        text.push('\n');
        Ok(())
    };
    row("loss", &|e| Ok(short(e.terms.loss)))?;
    row("  reconstruction", &|e| Ok(short(e.terms.reconstruction)))?;
    row("  sparsity", &|e| Ok(short(e.terms.sparsity)))?;
    row("  weight decay", &|e| Ok(short(e.terms.weight_decay)))?;
    row("MSE", &|e| Ok(short(e.mse)))?;
    row("PSNR, dB", &|e| Ok(format!("{:.2}", psnr(e.mse, peak)?)))?;
    row("mean activation", &|e| Ok(short(e.activity.rho_hat_mean())))?;
    row("active, %", &|e| Ok(format!("{:.2}", e.activity.active_percent())))?;
    row("active units (L0)", &|e| Ok(format!("{:.2}", e.activity.l0())))?;
    row("dead units", &|e| Ok(e.activity.dead().len().to_string()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_1_for_data_mapped_to_the_unit_interval_and_the_extent_of_others() {
        assert_eq!(peak(&Fitted::Range { min: 3.0, max: 9.0 }, (-0.1, 1.2)), 1.0);
        assert_eq!(peak(&Fitted::None {}, (-3.0, 5.0)), 8.0);
        assert_eq!(peak(&Fitted::None {}, (5.0, 5.0)), 1.0);
    }
}
