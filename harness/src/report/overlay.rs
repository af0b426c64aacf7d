//! The same measure of several runs in one plot.

use super::axis::clean;
use super::ink;
use super::plot::{self, Area, Curve, Labels, MAX_POINTS, Mark, decimate};
use super::svg::{Stroke, Svg};
use crate::train::metrics::{EpochMeasures, Measures, Record};

/// A run's measures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overlay<'a> {
    pub(super) records: &'a [Record],
}

/// The stroke of run `i`: colour and dashes differ.
fn stroke(i: usize) -> Stroke {
    let (color, dashes) = ink::RUNS[i % ink::RUNS.len()];
    Stroke { color, width: 2.2, dashes }
}

/// One panel: the measure on validation where a run has it, else the mean over its epochs.
pub(super) fn render(
    title: &str,
    y: &str,
    runs: &[Overlay<'_>],
    of: fn(&Measures) -> f64,
    of_validation: fn(&EpochMeasures) -> Option<f64>,
) -> String {
    let mut last_step = 0.0f64;
    let mut curves = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let epochs = run.records.iter().filter_map(|record| match record {
            Record::Epoch(epoch) => Some(epoch),
            Record::Step(_) => None,
        });
        let points: Vec<(f64, f64)> =
            epochs.map(|e| (e.train.step as f64, clean(of_validation(e).unwrap_or_else(|| of(&e.train))))).collect();
        last_step = points.iter().fold(last_step, |last, p| last.max(p.0));
        if points.iter().any(|p| p.1.is_finite()) {
            curves.push(Curve { stroke: stroke(i), mark: Mark::None, points: decimate(points, MAX_POINTS) });
        }
    }
    let mut svg = Svg::new(480.0, 268.0, &format!("{title} of every run over training steps"));
    let area = Area { left: 78.0, top: 28.0, width: 388.0, height: 186.0 };
    plot::over_steps(&mut svg, area, Labels { title, x: "step (weight updates)", y }, last_step, &curves);
    svg.finish()
}

/// The line of each run, as a picture.
pub(super) fn key(runs: usize) -> Vec<String> {
    let swatch = |i| {
        let mut svg = Svg::new(46.0, 14.0, "");
        svg.line((6.0, 7.0), (40.0, 7.0), stroke(i));
        svg.finish()
    };
    (0..runs).map(swatch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_differ_in_colour_and_dashes() {
        let mut seen: Vec<&str> = ink::RUNS.iter().flat_map(|(color, dashes)| [*color, *dashes]).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 2 * ink::RUNS.len());
        let key = key(7);
        assert!(key.len() == 7 && key[0] != key[1] && key.iter().all(|svg| svg.contains("<line")), "{key:?}");
    }
}
