//! Four kinds of chart: bars in groups, bars in layers, curves over a logarithmic axis, and points under a roof.

use sae_harness::report::svg::{Anchor, Stroke, Svg};

/// Blue, then colours that stay apart, after M. Okabe and K. Ito, "Color universal design" (2008).
const COLORS: [&str; 12] = [
    "#00446f", "#56b4e9", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#8a8a00", "#777777", "#222222", "#7fd1ae",
    "#f0c987", "#9d7fd1",
];
const FRAME: Stroke = Stroke { color: "#666666", width: 1.0, dashes: "" };
const GRID: Stroke = Stroke { color: "#e4e4e4", width: 1.0, dashes: "" };
const MARK: Stroke = Stroke { color: "#222222", width: 1.4, dashes: "6 4" };
const NONE: Stroke = Stroke { color: "none", width: 0.0, dashes: "" };
const WIDTH: f64 = 960.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 930.0;
const HEIGHT: f64 = 300.0;
const TOP: f64 = 96.0;

/// The vertical axis: from 0, with a line that everything is measured by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) label: &'static str,
    pub(crate) top: f64,
    pub(crate) tick: f64,
    pub(crate) mark: f64,
    pub(crate) mark_label: &'static str,
}

impl Scale {
    fn y(&self, value: f64) -> f64 {
        TOP + HEIGHT * (1.0 - value.min(self.top) / self.top)
    }
}

/// A name and its values; `None` where there is none.
#[derive(Clone, Debug)]
pub(crate) struct Series<V> {
    pub(crate) name: String,
    pub(crate) values: Vec<V>,
}

/// A group of bars for each label, a bar for each series.
pub(crate) fn bars(title: &str, scale: Scale, groups: &[String], series: &[Series<Option<f64>>]) -> String {
    let mut svg = frame(title, scale, &names(series));
    let slot = (RIGHT - LEFT) / groups.len().max(1) as f64;
    let bar = (0.86 * slot / series.len().max(1) as f64).min(26.0);
    for (g, group) in groups.iter().enumerate() {
        let middle = LEFT + slot * (g as f64 + 0.5);
        let start = middle - 0.5 * bar * series.len() as f64;
        for (s, series) in series.iter().enumerate() {
            let Some(value) = series.values.get(g).copied().flatten().filter(|v| v.is_finite()) else { continue };
            let (x, y) = (start + bar * s as f64, scale.y(value));
            svg.rect((x, y), (0.9 * bar, TOP + HEIGHT - y), color(s), NONE);
            let place = format!("transform=\"rotate(-90 {:.1} {:.1})\"", x + 0.68 * bar, y - 4.0);
            // Inside the bar where there is no room above it.
            let (anchor, fill) = match y < TOP + 30.0 {
                true => (Anchor::End, " style=\"fill:#ffffff\""),
                false => (Anchor::Start, ""),
            };
            let at = (x + 0.68 * bar, if fill.is_empty() { y - 4.0 } else { y + 4.0 });
            let place = if fill.is_empty() {
                place
            } else {
                format!("transform=\"rotate(-90 {:.1} {:.1})\"{fill}", at.0, at.1)
            };
            svg.text(at, 9.0, anchor, &place, &format!("{value:.2}"));
        }
        label(&mut svg, middle, group);
    }
    svg.line((LEFT, TOP + HEIGHT), (RIGHT, TOP + HEIGHT), FRAME);
    mark(&mut svg, scale);
    svg.finish()
}

/// A bar of layers for each label, a layer for each series, from below; a layer says its value where it is high enough.
pub(crate) fn layers(title: &str, scale: Scale, groups: &[String], series: &[Series<Option<f64>>]) -> String {
    let mut svg = frame(title, scale, &names(series));
    let slot = (RIGHT - LEFT) / groups.len().max(1) as f64;
    let bar = (0.6 * slot).min(70.0);
    for (g, group) in groups.iter().enumerate() {
        let middle = LEFT + slot * (g as f64 + 0.5);
        let mut from = 0.0;
        for (s, series) in series.iter().enumerate() {
            let Some(value) = series.values.get(g).copied().flatten().filter(|v| v.is_finite()) else { continue };
            let (low, high) = (scale.y(from), scale.y(from + value));
            from += value;
            svg.rect((middle - 0.5 * bar, high), (bar, low - high), color(s), NONE);
            if low - high > 14.0 {
                let fill = if is_dark(s) { "style=\"fill:#ffffff\"" } else { "" };
                svg.text(
                    (middle, 0.5 * (low + high) + 4.0),
                    10.5,
                    Anchor::Middle,
                    fill,
                    &format!("{:.0}%", 100.0 * value),
                );
            }
        }
        label(&mut svg, middle, group);
    }
    svg.line((LEFT, TOP + HEIGHT), (RIGHT, TOP + HEIGHT), FRAME);
    svg.finish()
}

/// Points under a roof, both axes logarithmic: operations a byte, and operations a second.
pub(crate) fn roofline(title: &str, peak: f64, bandwidth: f64, series: &[Series<(f64, f64)>]) -> String {
    let mut svg = Svg::new(WIDTH, TOP + HEIGHT + 54.0, title);
    legend(&mut svg, title, &names(series));
    let points =
        || series.iter().flat_map(|s| s.values.iter().copied()).filter(|(x, y)| x.is_finite() && y.is_finite());
    let ridge = peak / bandwidth;
    let lowest = points().fold(ridge, |lo, (x, _)| lo.min(x));
    let highest = points().fold(ridge, |hi, (x, _)| hi.max(x));
    // Whole powers of two on both sides, a little beyond the points.
    let (left, right) = ((0.8 * lowest).log2().floor(), (1.25 * highest).log2().ceil());
    let least = points().fold(0.25 * peak, |lo, (_, y)| lo.min(y)).min(0.9 * bandwidth * left.exp2());
    let (bottom, top) = (least.log2().floor(), (1.1 * peak).log2());
    let x = |v: f64| LEFT + (RIGHT - LEFT) * (v.log2() - left) / (right - left);
    let y = |v: f64| TOP + HEIGHT * (1.0 - (v.log2() - bottom) / (top - bottom));
    let powers = |from: f64, to: f64| (from.ceil() as i32..=to.floor() as i32).map(|e| f64::from(e).exp2());
    for v in powers(left, right) {
        svg.line((x(v), TOP), (x(v), TOP + HEIGHT), GRID);
        svg.text((x(v), TOP + HEIGHT + 18.0), 11.5, Anchor::Middle, "", &format!("{v}"));
    }
    for v in powers(bottom, top) {
        svg.line((LEFT, y(v)), (RIGHT, y(v)), GRID);
        svg.text((LEFT - 8.0, y(v) + 4.0), 11.5, Anchor::End, "", &format!("{v}"));
    }
    svg.text(
        (0.5 * (LEFT + RIGHT), TOP + HEIGHT + 38.0),
        12.5,
        Anchor::Middle,
        "",
        "operations a byte, every operand moved once",
    );
    let middle = TOP + 0.5 * HEIGHT;
    svg.text((22.0, middle), 12.5, Anchor::Middle, &format!("transform=\"rotate(-90 22 {middle})\""), "GFLOP/s");
    let start = (left.exp2(), bandwidth * left.exp2());
    svg.curve([start, (ridge, peak), (right.exp2(), peak)].into_iter().map(|(a, b)| (x(a), y(b))), MARK);
    svg.text((RIGHT, y(peak) - 6.0), 11.5, Anchor::End, "", &format!("multiply-adds alone: {peak:.0} GFLOP/s"));
    // To the right of the line, a third of the way up.
    let third = (start.0.powf(2.0 / 3.0) * ridge.powf(1.0 / 3.0), start.1.powf(2.0 / 3.0) * peak.powf(1.0 / 3.0));
    let at = (x(third.0) + 12.0, y(third.1) + 12.0);
    svg.text(at, 11.5, Anchor::Start, "", &format!("memory: {bandwidth:.1} GB/s"));
    for (s, series) in series.iter().enumerate() {
        for &(a, b) in series.values.iter().filter(|(a, b)| a.is_finite() && b.is_finite()) {
            svg.circle((x(a), y(b)), 4.0, color(s), Stroke { color: "#ffffff", width: 0.8, dashes: "" });
        }
    }
    svg.line((LEFT, TOP + HEIGHT), (RIGHT, TOP + HEIGHT), FRAME);
    svg.finish()
}

/// Curves of points over a logarithmic axis; `across` names it.
pub(crate) fn curves(title: &str, scale: Scale, across: &str, series: &[Series<(f64, f64)>]) -> String {
    let mut svg = frame(title, scale, &names(series));
    let mut places: Vec<f64> = series.iter().flat_map(|s| s.values.iter().map(|v| v.0)).collect();
    places.sort_unstable_by(f64::total_cmp);
    places.dedup();
    let (lo, hi) = (places.first().copied().unwrap_or(1.0), places.last().copied().unwrap_or(1.0));
    let span = (hi / lo).ln();
    let x = |v: f64| LEFT + 30.0 + (RIGHT - LEFT - 60.0) * if span > 0.0 { (v / lo).ln() / span } else { 0.5 };
    if places.len() <= 16 {
        for &place in &places {
            svg.line((x(place), TOP), (x(place), TOP + HEIGHT), GRID);
            svg.text((x(place), TOP + HEIGHT + 18.0), 11.5, Anchor::Middle, "", &format!("{place}"));
        }
    }
    svg.text((0.5 * (LEFT + RIGHT), TOP + HEIGHT + 38.0), 12.5, Anchor::Middle, "", across);
    for (s, series) in series.iter().enumerate().rev() {
        let stroke = Stroke { color: color(s), width: if s == 0 { 2.6 } else { 1.8 }, dashes: "" };
        svg.curve(series.values.iter().map(|&(at, value)| (x(at), scale.y(value))), stroke);
        for &(at, value) in &series.values {
            svg.circle((x(at), scale.y(value)), 3.2, color(s), NONE);
        }
    }
    svg.line((LEFT, TOP + HEIGHT), (RIGHT, TOP + HEIGHT), FRAME);
    mark(&mut svg, scale);
    svg.finish()
}

/// Under the axis, a line of text for each of the label's.
fn label(svg: &mut Svg, middle: f64, text: &str) {
    for (i, line) in text.split('\n').enumerate() {
        svg.text((middle, TOP + HEIGHT + 18.0 + 15.0 * i as f64), 11.5, Anchor::Middle, "", line);
    }
}

/// Whether white text is easier to read on a series' colour than dark text.
fn is_dark(series: usize) -> bool {
    matches!(series % COLORS.len(), 0 | 3 | 4 | 7 | 8)
}

fn color(series: usize) -> &'static str {
    COLORS[series % COLORS.len()]
}

fn names<V>(series: &[Series<V>]) -> Vec<&str> {
    series.iter().map(|s| s.name.as_str()).collect()
}

/// Title, legend, and the vertical axis with its grid.
fn frame(title: &str, scale: Scale, names: &[&str]) -> Svg {
    let mut svg = Svg::new(WIDTH, TOP + HEIGHT + 54.0, title);
    legend(&mut svg, title, names);
    let mut value = 0.0;
    while value <= scale.top + 1e-9 {
        svg.line((LEFT, scale.y(value)), (RIGHT, scale.y(value)), GRID);
        let label = if scale.tick < 1.0 { format!("{value:.1}") } else { format!("{value:.0}") };
        svg.text((LEFT - 8.0, scale.y(value) + 4.0), 11.5, Anchor::End, "", &label);
        value += scale.tick;
    }
    let middle = TOP + 0.5 * HEIGHT;
    svg.text((22.0, middle), 12.5, Anchor::Middle, &format!("transform=\"rotate(-90 22 {middle})\""), scale.label);
    svg
}

/// The title, and the names of the series in one line or two.
fn legend(svg: &mut Svg, title: &str, names: &[&str]) {
    svg.text((LEFT, 28.0), 16.0, Anchor::Start, "font-weight=\"bold\"", title);
    let (mut at, mut line) = (LEFT, 46.0);
    for (s, name) in names.iter().enumerate() {
        // Helvetica is about half as wide as it is high.
        let width = 34.0 + 6.6 * name.chars().count() as f64;
        if at > LEFT && at + width > RIGHT + 20.0 {
            (at, line) = (LEFT, line + 19.0);
        }
        svg.rect((at, line), (12.0, 12.0), color(s), NONE);
        svg.text((at + 17.0, line + 10.0), 12.0, Anchor::Start, "", name);
        at += width;
    }
}

/// A level with its label, on the left: curves rise to the right.
fn mark(svg: &mut Svg, scale: Scale) {
    svg.line((LEFT, scale.y(scale.mark)), (RIGHT, scale.y(scale.mark)), MARK);
    svg.text((LEFT + 4.0, scale.y(scale.mark) - 6.0), 11.5, Anchor::Start, "", scale.mark_label);
}
