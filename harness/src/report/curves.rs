//! `curves.svg`: how the loss, each of its parts and the mean activation went.

use std::io;
use std::path::Path;

use super::axis::clean;
use super::ink;
use super::plot::{self, Area, Curve, Labels, MAX_POINTS, Mark, decimate};
use super::svg::{Anchor, Stroke, Svg};
use crate::atomic;
use crate::train::metrics::{EpochMeasures, Measures, Record};

const WIDTH: f64 = 960.0;
/// Left edges of the plotting areas of the two columns.
const LEFT: [f64; 2] = [78.0, 566.0];
const PANEL_WIDTH: f64 = 372.0;
const PANEL_HEIGHT: f64 = 166.0;
/// From the top of the document to the first panel, and from the top of a panel to that of the next.
const TOP: f64 = 100.0;
const FIRST: f64 = 294.0;
const NEXT: f64 = 250.0;

/// What the plot cannot take from the records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CurvesOptions {
    /// Above the panels; a line.
    pub title: String,
    /// What the losses are averaged over, as in `loss per sample`; empty to leave it out.
    pub per: String,
    /// The target mean activation, where there is one.
    pub rho: Option<f64>,
    /// The step and the validation loss of the epoch whose weights were kept, where the run could stop early.
    pub best: Option<(u64, f64)>,
}

/// The plot of a run's records, as an SVG document.
///
/// Panels: total loss; reconstruction, sparsity and weight decay; mean activation with its target; learning rate; the
/// gradient's norm before it is clipped, where it was recorded. Over updates, from 0. A y axis is logarithmic where its values are positive and span more than a factor of twenty. Training and validation
/// differ in lightness and in dashes as well as in hue. Numbers that are not finite leave gaps.
pub fn render(records: &[Record], options: &CurvesOptions) -> String {
    let run = Run::new(records);
    let panels = run.panels(options);
    let rows = (panels.len() - 1).div_ceil(2);
    let height = TOP + FIRST + NEXT * rows as f64 - 30.0;
    let mut svg = Svg::new(WIDTH, height, if options.title.is_empty() { "Training curves" } else { &options.title });
    svg.text((LEFT[0], 30.0), 17.0, Anchor::Start, "font-weight=\"bold\"", &options.title);
    let wide = Area { left: LEFT[0], top: TOP, width: LEFT[1] + PANEL_WIDTH - LEFT[0], height: 210.0 };
    for (i, panel) in panels.iter().enumerate() {
        let area = match i.checked_sub(1) {
            None => wide,
            Some(i) => Area {
                left: LEFT[i % 2],
                top: TOP + FIRST + NEXT * (i / 2) as f64,
                width: PANEL_WIDTH,
                height: PANEL_HEIGHT,
            },
        };
        panel.draw(&mut svg, area, run.last_step);
    }
    legend(&mut svg, &roles(&panels), options.rho);
    svg.finish()
}

/// The panels of [`render`] as documents of their own, and the legend: a line's picture and its name.
pub(super) fn documents(records: &[Record], options: &CurvesOptions) -> (Vec<(String, String)>, Vec<String>) {
    let run = Run::new(records);
    let panels = run.panels(options);
    let key = roles(&panels).into_iter().map(|role| {
        let mut svg = Svg::new(46.0, 14.0, "");
        swatch(&mut svg, role, (6.0, 7.0));
        (svg.finish(), role.label(options.rho))
    });
    let documents = panels.iter().map(|panel| {
        let title = format!("{}, {} over training steps", panel.title, panel.y_title);
        let mut svg = Svg::new(480.0, 268.0, &title);
        panel.draw(&mut svg, Area { left: 78.0, top: 28.0, width: 388.0, height: 186.0 }, run.last_step);
        svg.finish()
    });
    (key.collect(), documents.collect())
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

/// One measure.
struct Panel {
    title: &'static str,
    y_title: String,
    series: Vec<Series>,
}

impl Panel {
    fn draw(&self, svg: &mut Svg, area: Area, last_step: f64) {
        let labels = Labels { title: self.title, x: "step (weight updates)", y: &self.y_title };
        let curve = |s: &Series| Curve { stroke: s.role.stroke(), mark: s.role.mark(), points: s.points.clone() };
        plot::over_steps(svg, area, labels, last_step, &self.series.iter().map(curve).collect::<Vec<_>>());
    }
}

/// What the panels show, in drawing order.
fn roles(panels: &[Panel]) -> Vec<Role> {
    let mut roles: Vec<Role> = panels.iter().flat_map(|p| p.series.iter().map(|s| s.role)).collect();
    roles.sort_unstable();
    roles.dedup();
    roles
}

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

    /// The panels, the widest first.
    fn panels(&self, options: &CurvesOptions) -> Vec<Panel> {
        let loss = if options.per.is_empty() { "loss".to_owned() } else { format!("loss per {}", options.per) };
        let mut losses: Vec<(&str, Measure, ValidationMeasure)> = vec![
            ("Total loss", |m| m.loss, |e| e.validation.val_loss),
            ("Reconstruction", |m| m.reconstruction, |e| e.validation.val_reconstruction),
            ("Sparsity penalty", |m| m.sparsity, |e| e.validation.val_sparsity),
            ("Weight decay", |m| m.weight_decay, |_| None),
        ];
        if self.steps.iter().any(|m| m.denoising.is_some()) {
            losses.push(("Denoising", |m| m.denoising.unwrap_or(f64::NAN), |_| None));
        }
        let mut panels: Vec<Panel> = losses
            .into_iter()
            .map(|(title, of, of_validation)| Panel {
                title,
                y_title: loss.clone(),
                series: self.series(of, of_validation),
            })
            .collect();
        if let Some((step, loss)) = options.best {
            panels[0].series.push(Series { role: Role::Best, points: vec![(step as f64, clean(loss))] });
        }
        let mut series = self.series(|m| m.rho_hat_mean, |e| e.validation.val_rho_hat_mean);
        if let Some(rho) = options.rho.filter(|r| r.is_finite()) {
            let points = vec![(0.0, clean(rho)), (self.last_step.max(1.0), clean(rho))];
            series.push(Series { role: Role::Target, points });
        }
        panels.push(Panel { title: "Mean activation", y_title: "mean of ρ̂".to_owned(), series });
        let points = self.steps.iter().map(|m| (m.step as f64, clean(m.lr))).collect();
        let lr = Series { role: Role::Epoch, points: decimate(points, MAX_POINTS) };
        let series = Some(lr).filter(|lr| !lr.points.is_empty()).into_iter().collect();
        panels.push(Panel { title: "Learning rate", y_title: "learning rate".to_owned(), series });
        let norms = self.steps.iter().filter_map(|m| Some((m.step as f64, clean(m.gradient_norm?))));
        let points = decimate(norms.collect(), MAX_POINTS);
        if !points.is_empty() {
            let series = vec![Series { role: Role::Epoch, points }];
            panels.push(Panel { title: "Gradient norm", y_title: "norm of a step".to_owned(), series });
        }
        panels
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
    Best,
}

impl Role {
    fn stroke(self) -> Stroke {
        match self {
            Self::Step => Stroke { color: ink::STEP, width: 1.4, dashes: "" },
            Self::Epoch => Stroke { color: ink::EPOCH, width: 2.2, dashes: "" },
            Self::Validation => Stroke { color: ink::VALIDATION, width: 2.2, dashes: "7 5" },
            Self::Target => Stroke { color: ink::TEXT, width: 1.4, dashes: "1.5 4" },
            Self::Best => Stroke { color: ink::TEXT, width: 0.0, dashes: "" },
        }
    }

    fn label(self, rho: Option<f64>) -> String {
        match self {
            Self::Step => "training, each step".to_owned(),
            Self::Epoch => "training, epoch mean".to_owned(),
            Self::Validation => "validation".to_owned(),
            Self::Target => format!("target ρ = {}", rho.unwrap_or_default()),
            Self::Best => "kept model".to_owned(),
        }
    }

    fn mark(self) -> Mark {
        match self {
            Self::Epoch => Mark::Circle,
            Self::Best => Mark::Diamond,
            Self::Validation => Mark::Square,
            Self::Step | Self::Target => Mark::None,
        }
    }
}

/// One line under the title, with what is there.
fn legend(svg: &mut Svg, roles: &[Role], rho: Option<f64>) {
    let (mut x, y) = (LEFT[0], 56.0);
    for &role in roles {
        let label = role.label(rho);
        swatch(svg, role, (x, y));
        svg.text((x + 41.0, y + 4.2), 13.0, Anchor::Start, "", &label);
        x += 41.0 + 6.6 * label.chars().count() as f64 + 30.0;
    }
}

fn swatch(svg: &mut Svg, role: Role, (x, y): (f64, f64)) {
    svg.line((x, y), (x + 34.0, y), role.stroke());
    plot::mark(svg, role.mark(), role.stroke().color, (x + 17.0, y));
}

#[cfg(test)]
#[path = "curves_tests.rs"]
mod tests;
