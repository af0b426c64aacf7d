//! What the fused kernels are to reach, beside what they reached.

use crate::contender::{FUSED, FUSED_AVX2, FUSED_COLD, PLAIN};
use crate::parts::{BATCHED, BATCHED_MODELS, THREADED};
use crate::record::Row;

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
            let measured = find(&field, FUSED)
                .zip(find(&field, "faer"))
                .map(|(ours, faer)| faer.median_ms / ours.median_ms)
                .filter(|ratio| ratio.is_finite());
            targets.push(Target {
                what: "gemm against faer".to_owned(),
                shape,
                threads,
                at_least,
                unit: "times",
                measured,
                passes: None,
            });
        } else {
            let what = if who == FUSED { op.to_owned() } else { format!("{op}, {who}") };
            let row = find(&field, who);
            let measured = row.map(|row| row.fraction_of_peak);
            targets.push(Target { what, shape, threads, at_least, unit: PEAK, measured, passes: row.and_then(passes) });
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
        let ours = find(&field, FUSED);
        let measured = ours.zip(best_peer(&field)).map(|(ours, peer)| peer.median_ms / ours.median_ms);
        let what = "step against the best unfused".to_owned();
        targets.push(Target { what, shape, threads, at_least, unit: "times", measured, passes: None });
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
        let measured = find(&field, FUSED).zip(best_peer(&field)).map(|(ours, peer)| peer.median_ms / ours.median_ms);
        let what = "step against the best of PyTorch and JAX".to_owned();
        targets.push(Target { what, shape, threads, at_least, unit: "times", measured, passes: None });
    }
    let batched = field(rows, "batched", BATCHED, 2);
    targets.push(Target {
        what: format!("step of {BATCHED_MODELS} models against {BATCHED_MODELS} of unfused openblas"),
        shape: BATCHED,
        threads: 2,
        at_least: 2.0,
        unit: "times",
        measured: find(&batched, FUSED).zip(find(&batched, "openblas")).map(|(ours, o)| o.median_ms / ours.median_ms),
        passes: None,
    });
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
            });
        }
    }
    targets
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
