//! The parts of a plot: a frame with labelled axes, and the curves in it.

use super::axis::{Axis, superscript};
use super::ink;
use super::svg::{Anchor, Stroke, Svg};

/// The most points in one curve.
pub(super) const MAX_POINTS: usize = 2000;
/// A curve of no more points than this marks each of them.
const MARKED: usize = 40;

const FRAME: Stroke = Stroke { color: ink::FRAME, width: 1.0, dashes: "" };
const GRID: Stroke = Stroke { color: ink::GRID, width: 1.0, dashes: "" };
const FAINT: Stroke = Stroke { color: ink::FAINT, width: 1.0, dashes: "" };

/// Where a frame is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// What is written at a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
}

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) stroke: Stroke,
    pub(super) mark: Mark,
    /// NaN interrupts.
    pub(super) points: Vec<(f64, f64)>,
}

/// How the points of a curve of few are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Circle,
    /// Hollow.
    Square,
    /// Larger than the others.
    Diamond,
}

/// A frame with its axes, on which values have places.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) area: Area,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Frame {
    pub(super) fn x_at(&self, v: f64) -> f64 {
        self.area.left + self.area.width * self.x.position(v)
    }

    pub(super) fn y_at(&self, v: f64) -> f64 {
        self.area.bottom() - self.area.height * self.y.position(v)
    }

    /// Grid lines and the numbers at both axes. What is plotted comes between this and [`Frame::close`].
    pub(super) fn open(&self, svg: &mut Svg) {
        let Area { left, top, .. } = self.area;
        let (right, bottom) = (self.area.right(), self.area.bottom());
        for &v in &self.y.minor {
            svg.line((left, self.y_at(v)), (right, self.y_at(v)), FAINT);
        }
        if self.x.is_log() {
            for &v in &self.x.minor {
                svg.line((self.x_at(v), top), (self.x_at(v), bottom), FAINT);
            }
        }
        for tick in &self.y.ticks {
            let y = self.y_at(tick.value);
            svg.line((left, y), (right, y), GRID);
            svg.line((left - 4.0, y), (left, y), FRAME);
            svg.text((left - 8.0, y + 4.2), 12.0, Anchor::End, "", &tick.label);
        }
        for tick in &self.x.ticks {
            let x = self.x_at(tick.value);
            svg.line((x, top), (x, bottom), GRID);
            svg.line((x, bottom), (x, bottom + 4.0), FRAME);
            svg.text((x, bottom + 18.0), 12.0, Anchor::Middle, "", &tick.label);
        }
    }

    /// The border and the titles.
    pub(super) fn close(&self, svg: &mut Svg, labels: Labels<'_>) {
        let Area { left, top, width, height } = self.area;
        let bottom = self.area.bottom();
        svg.rect((left, top), (width, height), "none", FRAME);
        svg.text((left, top - 10.0), 14.0, Anchor::Start, "font-weight=\"bold\"", labels.title);
        let x_scale = if self.x.is_log() { ", log scale".into() } else { times(self.x.exponent) };
        let x_title = format!("{}{x_scale}", labels.x);
        svg.text((left + width / 2.0, bottom + 37.0), 12.5, Anchor::Middle, "", &x_title);
        let y_scale = if self.y.is_log() { ", log scale".into() } else { times(self.y.exponent) };
        // Clear of the labels, at about 6.7 pixels a character.
        let longest = self.y.ticks.iter().map(|t| t.label.chars().count()).max().unwrap_or(0);
        let (x, y) = (left - (22.0 + 6.7 * longest as f64).clamp(56.0, 70.0), top + height / 2.0);
        let turned = format!("transform=\"rotate(-90 {x} {y})\"");
        svg.text((x, y), 12.5, Anchor::Middle, &turned, &format!("{}{y_scale}", labels.y));
    }
}

/// Curves over updates, from 0 to `last_step`.
pub(super) fn over_steps(svg: &mut Svg, area: Area, labels: Labels<'_>, last_step: f64, curves: &[Curve]) {
    let frame = Frame {
        area,
        x: Axis::counting(last_step, if area.width > 500.0 { 8 } else { 5 }),
        y: Axis::fitting(curves.iter().flat_map(|c| c.points.iter().map(|p| p.1))),
    };
    frame.open(svg);
    for curve in curves {
        svg.curve(curve.points.iter().map(|&(x, y)| (frame.x_at(x), frame.y_at(y))), curve.stroke);
        if curve.points.len() <= MARKED {
            for &(x, y) in curve.points.iter().filter(|p| p.1.is_finite()) {
                mark(svg, curve.mark, curve.stroke.color, (frame.x_at(x), frame.y_at(y)));
            }
        }
    }
    frame.close(svg, labels);
    if curves.is_empty() {
        let centre = (area.left + area.width / 2.0, area.top + area.height / 2.0);
        svg.text(centre, 13.0, Anchor::Middle, "fill-opacity=\"0.6\"", "nothing recorded");
    }
}

/// A point's mark.
pub(super) fn mark(svg: &mut Svg, mark: Mark, color: &'static str, (x, y): (f64, f64)) {
    let outline = Stroke { color, width: 1.6, dashes: "" };
    match mark {
        Mark::Circle => svg.circle((x, y), 2.6, color, outline),
        Mark::Square => svg.rect((x - 3.0, y - 3.0), (6.0, 6.0), ink::PAPER, outline),
        Mark::Diamond => {
            let corners = [(x, y - 7.0), (x + 7.0, y), (x, y + 7.0), (x - 7.0, y), (x, y - 7.0)];
            svg.curve(corners.into_iter(), Stroke { color, width: 2.4, dashes: "" });
        }
        Mark::None => {}
    }
}

/// `" (×10⁵)"`, or nothing for 0.
fn times(exponent: i32) -> String {
    if exponent == 0 { String::new() } else { format!(" (×10{})", superscript(exponent)) }
}

/// At most `limit` points of the same outline: of each run of neighbours, the lowest and the highest, in order.
///
/// A run in which nothing is finite becomes one gap; a single missing number between others is dropped.
pub(super) fn decimate(points: Vec<(f64, f64)>, limit: usize) -> Vec<(f64, f64)> {
    if points.len() <= limit {
        return points;
    }
    let run = points.len().div_ceil(limit / 2);
    let mut kept = Vec::with_capacity(limit);
    for run in points.chunks(run) {
        let finite = || run.iter().enumerate().filter(|(_, p)| p.1.is_finite());
        let low = finite().min_by(|a, b| a.1.1.total_cmp(&b.1.1)).map(|(i, _)| i);
        let high = finite().max_by(|a, b| a.1.1.total_cmp(&b.1.1)).map(|(i, _)| i);
        match (low, high) {
            (Some(a), Some(b)) if a == b => kept.push(run[a]),
            (Some(a), Some(b)) => kept.extend([run[a.min(b)], run[a.max(b)]]),
            _ => kept.push((run[0].0, f64::NAN)),
        }
    }
    kept
}
