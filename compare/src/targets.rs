//! What the fused kernels are to reach, beside what they reached.

use std::fmt::Write;

use anyhow::Result;

use crate::contender::{FUSED, FUSED_AVX2, FUSED_COLD, PLAIN};
use crate::parts::{BATCHED, BATCHED_MODELS, THREADED};
use crate::record::{Row, shown};

/// A line of the list.
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) shape: [usize; 3],
    /// All: the most that were measured.
    pub(crate) threads: usize,
    pub(crate) at_least: f64,
    /// The unit of both numbers.
    pub(crate) unit: &'static str,
    /// None where it was not measured.
    pub(crate) measured: Option<f64>,
    /// The least and the most of a pass, where there were several and each has one.
    pub(crate) passes: Option<[f64; 2]>,
    /// The fraction of the peak that it asks for, where it is a lead over somebody else: that one's, `at_least` times. Nothing
    /// that does these operations reaches more than 1.
    pub(crate) asks: Option<f64>,
}

impl Target {
    /// A lead of `ours` over `theirs`.
    fn lead(
        what: &str,
        shape: [usize; 3],
        threads: usize,
        at_least: f64,
        ours: Option<&Row>,
        theirs: Option<&Row>,
    ) -> Self {
        let both = ours.zip(theirs);
        let measured = both.map(|(ours, theirs)| theirs.median_ms / ours.median_ms).filter(|ratio| ratio.is_finite());
        let asks = ours.zip(measured).map(|(ours, ratio)| ours.fraction_of_peak / ratio * at_least);
        Self { what: what.to_owned(), shape, threads, at_least, unit: "times", measured, passes: None, asks }
    }
}

const PEAK: &str = "of peak";
/// What no odd shape is to be under, of the peak.
pub(crate) const ODD_LEAST: f64 = 0.75;

/// Every target that a folder's rows can answer.
pub(crate) fn all(rows: &[Row]) -> Vec<Target> {
    let fractions: [(&str, &str, [usize; 3], usize, f64); 14] = [
        ("encode", FUSED, [1024, 784, 4096], 1, 0.97),
        ("encode", FUSED, [1024, 784, 4096], 2, 0.96),
        ("step", FUSED, [1024, 784, 4096], 1, 0.95),
        ("step", FUSED, [1024, 784, 4096], 2, 0.95),
        ("step", FUSED, [4096, 768, 6144], 2, 0.95),
        ("step", FUSED, [256, 784, 1024], 2, 0.93),
        ("step", FUSED, [256, 784, 196], 2, 0.85),
        ("step", FUSED, [64, 784, 196], 2, 0.70),
        ("step", FUSED, [1000, 64, 25], 1, 0.50),
        ("step", FUSED_AVX2, [1024, 784, 4096], 2, 0.90),
        ("gemm", FUSED, [2048, 2048, 2048], 1, 0.96),
        ("gemm", FUSED, [2048, 2048, 2048], 2, 0.95),
        ("gemm", "faer", [2048, 2048, 2048], 1, 1.0),
        ("gemm", "faer", [2048, 2048, 2048], 2, 1.0),
    ];
    let mut targets = Vec::new();
    for (op, who, shape, threads, at_least) in fractions {
        let field: Vec<&Row> = field(rows, op, shape, threads);
        if who == "faer" {
            let (ours, faer) = (find(&field, FUSED), find(&field, "faer"));
            targets.push(Target::lead("gemm against faer", shape, threads, at_least, ours, faer));
        } else {
            let what = if who == FUSED { op.to_owned() } else { format!("{op}, {who}") };
            let row = find(&field, who);
            let (measured, passes) = (row.map(|row| row.fraction_of_peak), row.and_then(passes));
            targets.push(Target { what, shape, threads, at_least, unit: PEAK, measured, passes, asks: None });
        }
    }
    for (shape, threads, at_least) in [
        ([1024, 784, 4096], 2, 1.15),
        ([4096, 768, 6144], 2, 1.15),
        ([256, 784, 1024], 2, 1.3),
        ([256, 784, 196], 2, 1.3),
        ([64, 784, 196], 2, 1.3),
        ([1000, 64, 25], 1, 1.3),
    ] {
        let field = field(rows, "step", shape, threads);
        let (ours, peer) = (find(&field, FUSED), best_peer(&field));
        targets.push(Target::lead("step against the best unfused", shape, threads, at_least, ours, peer));
    }
    for (shape, threads, at_least) in [
        ([256, 784, 196], 2, 1.4),
        ([256, 784, 1024], 2, 1.2),
        ([1024, 784, 4096], 2, 1.2),
        ([4096, 768, 6144], 2, 1.2),
        ([1000, 64, 25], 1, 4.0),
        ([1000, 64, 25], 2, 4.0),
    ] {
        let field = field(rows, "frameworks", shape, threads);
        let (ours, peer) = (find(&field, FUSED), best_peer(&field));
        targets.push(Target::lead("step against the best of PyTorch and JAX", shape, threads, at_least, ours, peer));
    }
    let batched = field(rows, "batched", BATCHED, 2);
    let what = format!("step of {BATCHED_MODELS} models against {BATCHED_MODELS} of unfused openblas");
    targets.push(Target::lead(&what, BATCHED, 2, 2.0, find(&batched, FUSED), find(&batched, "openblas")));
    for shape in THREADED {
        let on = |threads: usize| field(rows, "growth", shape, threads).first().map(|row| row.median_ms);
        targets.push(Target {
            what: "step on four times as many threads as cores against as many".to_owned(),
            shape,
            threads: 8,
            at_least: 0.9,
            unit: "times",
            measured: on(2).zip(on(8)).map(|(two, eight)| two / eight),
            passes: None,
            asks: None,
        });
    }
    let mut counts: Vec<usize> = rows.iter().filter(|row| row.part == "odd").map(|row| row.threads).collect();
    counts.sort_unstable();
    counts.dedup();
    for threads in counts {
        let odd = rows.iter().filter(|row| row.part == "odd" && row.threads == threads && row.is_measured());
        if let Some(worst) = odd.min_by(|a, b| a.fraction_of_peak.total_cmp(&b.fraction_of_peak)) {
            targets.push(Target {
                what: "step, the worst odd shape".to_owned(),
                shape: worst.shape(),
                threads,
                at_least: ODD_LEAST,
                unit: PEAK,
                measured: Some(worst.fraction_of_peak),
                passes: passes(worst),
                asks: None,
            });
        }
    }
    targets
}

/// As a table.
pub(crate) fn table(text: &mut String, rows: &[Row]) -> Result<()> {
    let targets = all(rows);
    // Older files do not say what the passes reached.
    let spread = targets.iter().any(|target| target.passes.is_some());
    let (note, title, rule) = match spread {
        true => {
            ("Fractions of the peak with what the passes reached, from the least to the most. ", " passes |", " --- |")
        }
        false => ("", "", ""),
    };
    writeln!(
        text,
        "\n## Targets\n\n{note}A lead over others asks for a fraction of the peak as well: theirs in the same race, as many times as \
         named. Above 1 nothing reaches it that does the operations a step counts.\n\n\
         | what | batch, d_in, d_hid | threads | at least | asks of the peak | measured |{title} |\n\
         | --- | --- | --- | --- | --- | --- |{rule} --- |"
    )?;
    for target in targets {
        let (measured, verdict) = match target.measured {
            Some(value) => (format!("{value:.3}"), if value >= target.at_least { "reached" } else { "**missed**" }),
            None => ("–".to_owned(), "not measured"),
        };
        let passes = match target.passes {
            Some([least, most]) => format!(" {least:.3}–{most:.3} |"),
            None if spread => " – |".to_owned(),
            None => String::new(),
        };
        let asks = target.asks.map_or_else(|| "–".to_owned(), |asks| format!("{asks:.3}"));
        let (what, shape, threads) = (&target.what, shown(target.shape), target.threads);
        writeln!(
            text,
            "| {what} | {shape} | {threads} | {:.2} {} | {asks} | {measured} |{passes} {verdict} |",
            target.at_least, target.unit
        )?;
    }
    Ok(())
}

/// What the passes of a row reached, from the least to the most.
fn passes(row: &Row) -> Option<[f64; 2]> {
    Some([row.least_fraction?, row.most_fraction?])
}

/// Everybody's rows of one race of the part of that name.
pub(crate) fn field<'a>(rows: &'a [Row], part: &str, shape: [usize; 3], threads: usize) -> Vec<&'a Row> {
    rows.iter().filter(|row| row.part == part && row.shape() == shape && row.threads == threads).collect()
}

pub(crate) fn find<'a>(field: &[&'a Row], who: &str) -> Option<&'a Row> {
    field.iter().copied().find(|row| row.contender == who)
}

/// The fastest that is not ours and computes the same.
pub(crate) fn best_peer<'a>(field: &[&'a Row]) -> Option<&'a Row> {
    let ours = [FUSED, FUSED_AVX2, FUSED_COLD];
    let peers = field.iter().copied().filter(|row| !ours.contains(&row.contender.as_str()));
    peers
        .filter(|row| row.is_comparable())
        .filter(|row| row.is_measured() && !row.contender.ends_with(PLAIN))
        .min_by(|a, b| a.median_ms.total_cmp(&b.median_ms))
}
