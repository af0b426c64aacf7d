//! `sae bench step --phases`: the parts of a step as JSON and as a table.

use serde_json::{Value, json};

use crate::cli::measures::short;
use crate::measure::Phases;

/// An object a phase; what a phase does not have is null.
pub(super) fn to_json(phases: &Phases) -> Value {
    let rows = phases.rows().map(|row| {
        json!({
            "phase": row.phase.name(),
            "median_ms": row.seconds.map(|seconds| seconds * 1e3),
            "share": row.share,
            "gflops": row.gflops,
            "fraction_of_peak": row.fraction_of_peak,
            "bytes": row.bytes,
            "intensity": row.intensity,
            "roof_gflops": row.roof_gflops,
            "bound": row.bound,
        })
    });
    Value::Array(rows.collect())
}

pub(super) fn table(phases: &Phases) -> String {
    let mut text = format!(
        "{:<16}{:>10}{:>9}{:>10}{:>9}{:>9}{:>12}{:>10}  {}\n",
        "phase", "ms", "% step", "GFLOP/s", "% peak", "MB", "FLOP/byte", "roof", "bound by"
    );
    let number = |value: Option<f64>| value.map_or("-".to_owned(), short);
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1}", 100.0 * value));
    for row in phases.rows() {
        let ms = row.seconds.map_or_else(|| "<0.001".to_owned(), |seconds| short(seconds * 1e3));
        text += &format!(
            "{:<16}{ms:>10}{:>9}{:>10}{:>9}{:>9}{:>12}{:>10}  {}\n",
            row.phase.name(),
            percent(row.share),
            number(row.gflops),
            percent(row.fraction_of_peak),
            number(row.bytes.map(|bytes| bytes / 1e6)),
            number(row.intensity),
            number(row.roof_gflops),
            row.bound.unwrap_or("-"),
        );
    }
    text + &format!(
        "roof: the lower of the peak and of FLOP/byte times the {} GB/s of a = b + s c over memory\n",
        short(phases.bandwidth_gb_s())
    )
}
