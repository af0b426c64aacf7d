//! An evaluation in numbers and in words.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::error::Result;
use crate::eval::metrics::psnr;
use crate::model::Evaluation;
use crate::preprocess::Fitted;

/// The largest value that preprocessed data can be meant to take: 1 where they were mapped to [0, 1], else the extent of
/// the data at hand.
pub(super) fn peak(preprocessing: &Fitted, (low, high): (f32, f32)) -> f64 {
    match preprocessing {
        Fitted::Range { .. } | Fitted::MinMax { .. } => 1.0,
        Fitted::None {} | Fitted::ZScore { .. } if high > low => f64::from(high) - f64::from(low),
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
        "dead_units": found.activity.dead().len(),
    }))
}

/// A table with a row for each evaluation.
pub(super) fn table(rows: &[(&str, &Evaluation)], peak: f64) -> Result<String> {
    let mut text = format!(
        "{:<12}{:>10}{:>16}{:>10}{:>14}{:>11}{:>10}{:>10}{:>10}\n",
        "", "loss", "reconstruction", "sparsity", "weight decay", "MSE", "PSNR dB", "mean rho", "active %"
    );
    for (name, found) in rows {
        let t = found.terms;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{name:<12}{:>10}{:>16}{:>10}{:>14}{:>11}{:>10.2}{:>10}{:>10.2}",
            short(t.loss),
            short(t.reconstruction),
            short(t.sparsity),
            short(t.weight_decay),
            short(found.mse),
            psnr(found.mse, peak)?,
            short(found.activity.rho_hat_mean()),
            found.activity.active_percent(),
        );
    }
    Ok(text)
}

/// Four significant digits.
pub(super) fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if !(1e-3..1e6).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - magnitude.log10().floor() as i32).clamp(0, 9) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        for (value, text) in
            [(0.0, "0"), (1.0, "1.000"), (12.3456, "12.35"), (123_456.7, "123457"), (0.00123456, "0.001235")]
        {
            assert_eq!(short(value), text);
        }
        assert_eq!(short(1.5e-9), "1.500e-9");
        assert_eq!(short(f64::INFINITY), "inf");
    }

    #[test]
    fn the_peak_is_1_for_data_mapped_to_the_unit_interval_and_the_extent_of_others() {
        assert_eq!(peak(&Fitted::Range { min: 3.0, max: 9.0 }, (-0.1, 1.2)), 1.0);
        assert_eq!(peak(&Fitted::None {}, (-3.0, 5.0)), 8.0);
        assert_eq!(peak(&Fitted::None {}, (5.0, 5.0)), 1.0);
    }
}
