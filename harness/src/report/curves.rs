//! `curves.svg`: how the loss, each of its parts and the mean activation went.

use std::io;
use std::path::Path;

use super::axis::{Axis, clean, superscript};
use super::svg::{Anchor, Stroke, Svg};
use crate::atomic;
use crate::train::metrics::{EpochMeasures, Measures, Record};

/// The most points in one curve.
pub const MAX_POINTS: usize = 2000;
/// A curve of no more points than this marks each of them.
const MARKED: usize = 40;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 864.0;
/// Left edges of the plotting areas of the two columns.
const LEFT: [f64; 2] = [78.0, 566.0];
const PANEL_WIDTH: f64 = 372.0;

const FRAME: Stroke = Stroke { color: "#666666", width: 1.0, dashes: "" };
const GRID: Stroke = Stroke { color: "#e4e4e4", width: 1.0, dashes: "" };
const FAINT: Stroke = Stroke { color: "#f2f2f2", width: 1.0, dashes: "" };

/// What the plot cannot take from the records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CurvesOptions {
    /// Above the panels; a line.
    pub title: String,
    /// What the losses are averaged over, as in `loss per sample`; empty to leave it out.
    pub per: String,
    /// The target mean activation, where there is one.
    pub rho: Option<f64>,
}

/// The plot of a run's records, as an SVG document.
///
/// Panels: total loss; reconstruction, sparsity and weight decay; mean activation with its target. Over updates, from 0. A y axis
/// is logarithmic where its values are positive and span more than two decades. Training and validation differ in lightness and in
/// dashes as well as in hue. Numbers that are not finite leave gaps.
pub fn render(records: &[Record], options: &CurvesOptions) -> String {
    let run = Run::new(records);
    let mut svg = Svg::new(WIDTH, HEIGHT, if options.title.is_empty() { "Training curves" } else { &options.title });
    svg.text((LEFT[0], 30.0), 17.0, Anchor::Start, "font-weight=\"bold\"", &options.title);
    let loss = if options.per.is_empty() { "loss".into() } else { format!("loss per {}", options.per) };
    let wide = LEFT[1] + PANEL_WIDTH - LEFT[0];
    let area = |left: usize, top, width, height| Area { left: LEFT[left], top, width, height };
    let losses: [(&str, Area, Measure, ValidationMeasure); 4] = [
        ("Total loss", area(0, 100.0, wide, 210.0), |m| m.loss, |e| e.validation.val_loss),
        (
            "Reconstruction",
            area(0, 394.0, PANEL_WIDTH, 166.0),
            |m| m.reconstruction,
            |e| e.validation.val_reconstruction,
        ),
        ("Sparsity penalty", area(1, 394.0, PANEL_WIDTH, 166.0), |m| m.sparsity, |e| e.validation.val_sparsity),
        ("Weight decay", area(0, 644.0, PANEL_WIDTH, 166.0), |m| m.weight_decay, |_| None),
    ];
    let mut roles = Vec::new();
    for (title, area, of, of_validation) in losses {
        let series = run.series(of, of_validation);
        panel(&mut svg, &area, title, &loss, run.last_step, &series);
        roles.extend(series.iter().map(|s| s.role));
    }
    let mut series = run.series(|m| m.rho_hat_mean, |e| e.validation.val_rho_hat_mean);
    if let Some(rho) = options.rho.filter(|r| r.is_finite()) {
        let points = vec![(0.0, clean(rho)), (run.last_step.max(1.0), clean(rho))];
        series.push(Series { role: Role::Target, points });
    }
    let area = area(1, 644.0, PANEL_WIDTH, 166.0);
    panel(&mut svg, &area, "Mean activation", "mean of ρ̂", run.last_step, &series);
    roles.extend(series.iter().map(|s| s.role));
    roles.sort_unstable();
    roles.dedup();
    legend(&mut svg, &roles, options.rho);
    svg.finish()
}

/// [`render`] into a file, whole or not at all.
///
/// # Errors
/// If the file system refuses; the message names the path.
pub fn save(path: &Path, records: &[Record], options: &CurvesOptions) -> io::Result<()> {
    atomic::write(path, render(records, options).as_bytes())
}

type Measure = fn(&Measures) -> f64;
type ValidationMeasure = fn(&EpochMeasures) -> Option<f64>;

/// The records, by kind.
struct Run<'a> {
    steps: Vec<&'a Measures>,
    epochs: Vec<&'a EpochMeasures>,
    last_step: f64,
}

impl<'a> Run<'a> {
    fn new(records: &'a [Record]) -> Self {
        let mut run = Self { steps: Vec::new(), epochs: Vec::new(), last_step: 0.0 };
        for record in records {
            run.last_step = run.last_step.max(record.step() as f64);
            match record {
                Record::Step(m) => run.steps.push(m),
                Record::Epoch(e) => run.epochs.push(e),
            }
        }
        run
    }

    /// The curves of one measure that have a value at all.
    fn series(&self, of: Measure, of_validation: ValidationMeasure) -> Vec<Series> {
        let steps = self.steps.iter().map(|m| (m.step as f64, clean(of(m))));
        let epochs = self.epochs.iter().map(|e| (e.train.step as f64, clean(of(&e.train))));
        let validation = self.epochs.iter().filter_map(|e| of_validation(e).map(|v| (e.train.step as f64, clean(v))));
        [
            Series { role: Role::Step, points: decimate(steps.collect(), MAX_POINTS) },
            Series { role: Role::Epoch, points: decimate(epochs.collect(), MAX_POINTS) },
            Series { role: Role::Validation, points: decimate(validation.collect(), MAX_POINTS) },
        ]
        .into_iter()
        .filter(|s| s.points.iter().any(|(_, y)| y.is_finite()))
        .collect()
    }
}

/// One curve.
struct Series {
    role: Role,
    /// Steps and values; NaN interrupts.
    points: Vec<(f64, f64)>,
}

/// What a curve shows; in drawing order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Step,
    Epoch,
    Validation,
    Target,
}

impl Role {
    /// Blue and vermilion after M. Okabe and K. Ito, "Color universal design" (2008), the blues set apart in lightness.
    fn stroke(self) -> Stroke {
        match self {
            Self::Step => Stroke { color: "#9cc8e6", width: 1.4, dashes: "" },
            Self::Epoch => Stroke { color: "#00446f", width: 2.2, dashes: "" },
            Self::Validation => Stroke { color: "#d55e00", width: 2.2, dashes: "7 5" },
            Self::Target => Stroke { color: "#222222", width: 1.4, dashes: "1.5 4" },
        }
    }
}

/// At most `limit` points of the same outline: of each run of neighbours, the lowest and the highest, in order.
///
/// A run in which nothing is finite becomes one gap; a single missing number between others is dropped.
fn decimate(points: Vec<(f64, f64)>, limit: usize) -> Vec<(f64, f64)> {
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

/// Where a panel's curves are drawn.
struct Area {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

fn panel(svg: &mut Svg, area: &Area, title: &str, y_title: &str, last_step: f64, series: &[Series]) {
    let &Area { left, top, width, height } = area;
    let (right, bottom) = (left + width, top + height);
    let x_axis = Axis::counting(last_step, if width > 500.0 { 8 } else { 5 });
    let y_axis = Axis::fitting(series.iter().flat_map(|s| s.points.iter().map(|p| p.1)));
    let x_at = |v: f64| left + width * x_axis.position(v);
    let y_at = |v: f64| bottom - height * y_axis.position(v);

    for &v in &y_axis.minor {
        svg.line((left, y_at(v)), (right, y_at(v)), FAINT);
    }
    for tick in &y_axis.ticks {
        let y = y_at(tick.value);
        svg.line((left, y), (right, y), GRID);
        svg.line((left - 4.0, y), (left, y), FRAME);
        svg.text((left - 8.0, y + 4.2), 12.0, Anchor::End, "", &tick.label);
    }
    for tick in &x_axis.ticks {
        let x = x_at(tick.value);
        svg.line((x, top), (x, bottom), GRID);
        svg.line((x, bottom), (x, bottom + 4.0), FRAME);
        svg.text((x, bottom + 18.0), 12.0, Anchor::Middle, "", &tick.label);
    }
    for series in series {
        let stroke = series.role.stroke();
        svg.curve(series.points.iter().map(|&(x, y)| (x_at(x), y_at(y))), stroke);
        if series.points.len() <= MARKED {
            for &(x, y) in series.points.iter().filter(|p| p.1.is_finite()) {
                mark(svg, series.role, (x_at(x), y_at(y)));
            }
        }
    }
    svg.rect((left, top), (width, height), "none", FRAME);
    svg.text((left, top - 10.0), 14.0, Anchor::Start, "font-weight=\"bold\"", title);
    if series.is_empty() {
        let centre = (left + width / 2.0, top + height / 2.0);
        svg.text(centre, 13.0, Anchor::Middle, "fill-opacity=\"0.6\"", "nothing recorded");
    }
    let x_title = format!("step (weight updates){}", times(x_axis.exponent));
    svg.text((left + width / 2.0, bottom + 37.0), 12.5, Anchor::Middle, "", &x_title);
    let scale = if y_axis.is_log() { ", log scale".into() } else { times(y_axis.exponent) };
    // Clear of the labels, at about 6.7 pixels a character.
    let longest = y_axis.ticks.iter().map(|t| t.label.chars().count()).max().unwrap_or(0);
    let (x, y) = (left - (22.0 + 6.7 * longest as f64).clamp(56.0, 70.0), top + height / 2.0);
    let turned = format!("transform=\"rotate(-90 {x} {y})\"");
    svg.text((x, y), 12.5, Anchor::Middle, &turned, &format!("{y_title}{scale}"));
}

/// `" (×10⁵)"`, or nothing for 0.
fn times(exponent: i32) -> String {
    if exponent == 0 { String::new() } else { format!(" (×10{})", superscript(exponent)) }
}

/// A point of a curve of few: full circles for training, hollow squares for validation.
fn mark(svg: &mut Svg, role: Role, (x, y): (f64, f64)) {
    let color = role.stroke().color;
    let outline = Stroke { color, width: 1.6, dashes: "" };
    match role {
        Role::Epoch => svg.circle((x, y), 2.6, color, outline),
        Role::Validation => svg.rect((x - 3.0, y - 3.0), (6.0, 6.0), "#ffffff", outline),
        Role::Step | Role::Target => {}
    }
}

/// One line under the title, with what is there.
fn legend(svg: &mut Svg, roles: &[Role], rho: Option<f64>) {
    let mut x = LEFT[0];
    for &role in roles {
        let label = match role {
            Role::Step => "training, each step".to_owned(),
            Role::Epoch => "training, epoch mean".to_owned(),
            Role::Validation => "validation".to_owned(),
            Role::Target => format!("target ρ = {}", rho.unwrap_or_default()),
        };
        svg.line((x, 56.0), (x + 34.0, 56.0), role.stroke());
        mark(svg, role, (x + 17.0, 56.0));
        svg.text((x + 41.0, 60.2), 13.0, Anchor::Start, "", &label);
        x += 41.0 + 6.6 * label.chars().count() as f64 + 30.0;
    }
}

#[cfg(test)]
#[path = "curves_tests.rs"]
mod tests;
