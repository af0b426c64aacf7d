//! `rho_hat.svg`: how often the hidden units are active: a histogram of ρ̂, with the target ρ and the units that never are.

use std::io;
use std::path::Path;

use super::axis::Axis;
use super::ink;
use super::plot::{Area, Frame, Labels};
use super::svg::{Anchor, Stroke, Svg};
use crate::atomic;

/// Bins of the histogram.
const BINS: usize = 30;
/// The largest value is so many times the smallest positive one where the axis is logarithmic.
const WIDE: f64 = 20.0;
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const AREA: Area = Area { left: 78.0, top: 78.0, width: 540.0, height: 220.0 };

/// The hidden units of a model over a set.
#[derive(Clone, Debug, PartialEq)]
pub struct RhoHatPlot<'a> {
    /// Above the plot; a line.
    pub title: &'a str,
    /// The mean activation of each unit.
    pub rho_hat: &'a [f64],
    /// Units that were active on no sample.
    pub dead: &'a [usize],
    /// The activation above which a unit counts as active.
    pub threshold: f64,
    /// The target, where there is one.
    pub rho: Option<f64>,
}

impl RhoHatPlot<'_> {
    /// The plot as an SVG document.
    pub fn render(&self) -> String {
        let mut svg = Svg::new(WIDTH, HEIGHT, &format!("{}: histogram of mean activations", self.title));
        let bins = Bins::new(self.rho_hat, self.rho, self.dead);
        let most = bins.alive.iter().zip(&bins.dead).map(|(a, d)| a + d).max().unwrap_or(0);
        let frame = Frame { area: AREA, x: bins.axis.clone(), y: Axis::counting(most as f64 * 1.08, 5) };
        frame.open(&mut svg);
        let base = frame.y_at(0.0);
        let bar = |svg: &mut Svg, i: usize, from: u64, to: u64, fill: &'static str| {
            if to > from {
                let (left, right) = (frame.x_at(bins.edges[i]), frame.x_at(bins.edges[i + 1]));
                let (low, high) = (frame.y_at(from as f64).min(base), frame.y_at(to as f64));
                let edge = Stroke { color: ink::PAPER, width: 0.8, dashes: "" };
                svg.rect((left, high), (right - left, low - high), fill, edge);
            }
        };
        for (i, (&alive, &dead)) in bins.alive.iter().zip(&bins.dead).enumerate() {
            bar(&mut svg, i, 0, dead, ink::VALIDATION);
            bar(&mut svg, i, dead, dead + alive, ink::EPOCH);
        }
        if let Some(rho) = self.rho {
            let x = frame.x_at(rho);
            let target = Stroke { color: ink::TEXT, width: 1.6, dashes: "6 4" };
            svg.line((x, AREA.top), (x, AREA.bottom()), target);
            svg.text((x, AREA.top - 6.0), 13.0, Anchor::Middle, "", &format!("ρ = {rho}"));
        }
        let labels = Labels { title: "", x: "mean activation ρ̂ of a hidden unit", y: "hidden units" };
        frame.close(&mut svg, labels);
        svg.text((AREA.left, 24.0), 15.0, Anchor::Start, "font-weight=\"bold\"", self.title);
        self.legend(&mut svg);
        svg.finish()
    }

    /// [`RhoHatPlot::render`] into a file, whole or not at all.
    ///
    /// # Errors
    /// If the file system refuses; the message names the path.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        atomic::write(path, self.render().as_bytes())
    }

    fn legend(&self, svg: &mut Svg) {
        let (units, dead) = (self.rho_hat.len(), self.dead.len());
        let entries = [
            (ink::EPOCH, format!("{} of {units} units active", units - dead)),
            (ink::VALIDATION, format!("{dead} never above {}", self.threshold)),
        ];
        let mut x = AREA.left;
        for (fill, text) in entries {
            svg.rect((x, 39.0), (12.0, 12.0), fill, Stroke { color: fill, width: 0.0, dashes: "" });
            svg.text((x + 18.0, 49.5), 13.0, Anchor::Start, "", &text);
            x += 18.0 + 6.9 * text.chars().count() as f64 + 28.0;
        }
    }
}

/// Counts between edges that are evenly spaced on the axis.
struct Bins {
    axis: Axis,
    edges: Vec<f64>,
    alive: Vec<u64>,
    dead: Vec<u64>,
}

impl Bins {
    fn new(rho_hat: &[f64], rho: Option<f64>, dead: &[usize]) -> Self {
        let all = || rho_hat.iter().copied().filter(|v| v.is_finite()).chain(rho);
        let low = all().fold(f64::INFINITY, f64::min);
        let high = all().fold(f64::NEG_INFINITY, f64::max);
        let log = low > 0.0 && high / low > WIDE;
        let (lo, hi) = match (low <= high, log) {
            (false, _) => (0.0, 1.0),
            (true, true) => (low / 1.05, high * 1.05),
            (true, false) if low >= 0.0 => (0.0, if high > 0.0 { high * 1.08 } else { 1.0 }),
            (true, false) => (low - 0.04 * (high - low).max(1e-6), high + 0.04 * (high - low).max(1e-6)),
        };
        let edge = |i: usize| {
            let t = i as f64 / BINS as f64;
            if log { lo * (hi / lo).powf(t) } else { lo + (hi - lo) * t }
        };
        let edges: Vec<f64> = (0..=BINS).map(edge).collect();
        let mut bins = Self { axis: Axis::spanning(lo, hi, log), edges, alive: vec![0; BINS], dead: vec![0; BINS] };
        for (unit, &v) in rho_hat.iter().enumerate().filter(|(_, v)| v.is_finite()) {
            let bin = bins.edges.partition_point(|&edge| edge <= v).clamp(1, BINS) - 1;
            let counts = if dead.binary_search(&unit).is_ok() { &mut bins.dead } else { &mut bins.alive };
            counts[bin] += 1;
        }
        bins
    }
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;

    fn plot<'a>(rho_hat: &'a [f64], dead: &'a [usize]) -> RhoHatPlot<'a> {
        RhoHatPlot { title: "digits <1>", rho_hat, dead, threshold: 0.5, rho: Some(0.05) }
    }

    /// The summed heights of bars of a colour, in units of the tallest possible count.
    fn bars(svg: &str, fill: &str) -> Vec<f64> {
        let document = Document::parse(svg).unwrap();
        let rects = document.descendants().filter(|n| n.has_tag_name("rect") && n.attribute("fill") == Some(fill));
        let heights = rects.map(|n| n.attribute("height").unwrap().parse::<f64>().unwrap());
        heights.filter(|&h| h != 12.0).collect()
    }

    #[test]
    fn every_unit_is_in_one_bar_and_dead_ones_are_apart() {
        let rho_hat: Vec<f64> = (0..50).map(|i| 0.03 + 0.001 * f64::from(i)).collect();
        let bins = Bins::new(&rho_hat, Some(0.05), &[3, 4]);
        assert_eq!((bins.alive.iter().sum::<u64>(), bins.dead.iter().sum::<u64>()), (48, 2));
        for (i, edges) in bins.edges.windows(2).enumerate() {
            let inside = rho_hat.iter().filter(|&&v| edges[0] <= v && v < edges[1]).count() as u64;
            assert_eq!(bins.alive[i] + bins.dead[i], inside);
        }
        let svg = plot(&rho_hat, &[3, 4]).render();
        assert!(!bars(&svg, ink::VALIDATION).is_empty());
        assert!(svg.contains("48 of 50 units active") && svg.contains("2 never above 0.5"), "{svg}");
        assert!(svg.contains("ρ = 0.05") && svg.contains("hidden units"), "{svg}");
    }

    #[test]
    fn means_over_decades_get_a_log_scale_and_odd_ones_are_still_a_plot() {
        assert!(plot(&[1e-6, 1e-3, 0.1], &[]).render().contains("log scale"));
        for values in [&[][..], &[0.0, 0.0], &[f64::NAN], &[-0.5, 0.5], &[1.0], &[0.05, f64::INFINITY]] {
            let svg = plot(values, &[]).render();
            Document::parse(&svg).unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
