//! The plots of a sweep: reconstruction against sparsity, and both against one setting.

use super::axis::{Axis, clean};
use super::ink;
use super::plot::{Area, Frame, Labels};
use super::svg::{Anchor, Stroke, Svg};

/// The most kinds of points that are told apart.
pub const MOST_KINDS: usize = ink::RUNS.len();

const NONE: Stroke = Stroke { color: ink::PAPER, width: 0.8, dashes: "" };

/// A run of a sweep, as a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Mean squared error.
    pub mse: f64,
    /// Mean activation over units and samples.
    pub rho_hat: f64,
    /// Which of the kinds it is, from 0.
    pub kind: usize,
}

/// Reconstruction against sparsity, a point a run.
#[derive(Clone, Copy, Debug)]
pub struct Tradeoff<'a> {
    /// Above the plot.
    pub title: &'a str,
    /// The runs.
    pub points: &'a [Point],
    /// What the kinds are called; at most [`MOST_KINDS`], none where there is only one.
    pub kinds: &'a [String],
}

impl Tradeoff<'_> {
    /// The plot as an SVG document.
    pub fn render(&self) -> String {
        let area = Area { left: 78.0, top: 62.0, width: 540.0, height: 286.0 };
        let mut svg = Svg::new(640.0, 410.0, self.title);
        let frame = Frame {
            area,
            x: Axis::fitting(self.points.iter().map(|p| clean(p.rho_hat))),
            y: Axis::fitting(self.points.iter().map(|p| clean(p.mse))),
        };
        frame.open(&mut svg);
        for point in self.points {
            let at = (frame.x_at(clean(point.rho_hat)), frame.y_at(clean(point.mse)));
            dot(&mut svg, at, point.kind);
        }
        let labels = Labels { title: "", x: "mean activation ρ̂ (to the left: sparser)", y: "mean squared error" };
        frame.close(&mut svg, labels);
        svg.text((area.left, 24.0), 15.0, Anchor::Start, "font-weight=\"bold\"", self.title);
        let mut x = area.left;
        for (kind, name) in self.kinds.iter().enumerate().take(MOST_KINDS) {
            dot(&mut svg, (x + 6.0, 45.0), kind);
            svg.text((x + 16.0, 49.5), 13.0, Anchor::Start, "", name);
            x += 16.0 + 7.0 * name.chars().count() as f64 + 22.0;
        }
        svg.finish()
    }
}

/// Where a panel begins, its title, its ordinate and that of a run.
type Panel = (f64, &'static str, &'static str, fn(&Point) -> f64);

/// Reconstruction and sparsity against one setting.
#[derive(Clone, Copy, Debug)]
pub struct Sensitivity<'a> {
    /// The setting, as one reads it.
    pub name: &'a str,
    /// Its value in each run, and the run.
    pub runs: &'a [(f64, Point)],
    /// Whether lines join the means of the runs with one value: not where nearly each run has a value of its own.
    pub means: bool,
}

impl Sensitivity<'_> {
    /// Two plots beside each other, as an SVG document.
    pub fn render(&self) -> String {
        let title = format!("Sensitivity to {}", self.name);
        let mut svg = Svg::new(900.0, 320.0, &title);
        svg.text((78.0, 24.0), 15.0, Anchor::Start, "font-weight=\"bold\"", &title);
        let note = if self.means { "a point a run; lines join their means" } else { "a point a run" };
        svg.text((78.0 + 9.0 * title.chars().count() as f64 + 12.0, 24.0), 12.0, Anchor::Start, "", note);
        let panels: [Panel; 2] = [
            (78.0, "Reconstruction", "mean squared error", |p| p.mse),
            (538.0, "Sparsity", "mean activation ρ̂", |p| p.rho_hat),
        ];
        for (color, (left, title, y, of)) in panels.into_iter().enumerate() {
            let area = Area { left, top: 62.0, width: 340.0, height: 196.0 };
            let values: Vec<(f64, f64)> = self.runs.iter().map(|(value, p)| (clean(*value), clean(of(p)))).collect();
            let frame = Frame {
                area,
                x: Axis::fitting(values.iter().map(|v| v.0)),
                y: Axis::fitting(values.iter().map(|v| v.1)),
            };
            frame.open(&mut svg);
            let place = |(x, y): (f64, f64)| (frame.x_at(x), frame.y_at(y));
            let (stroke, _) = ink::RUNS[color];
            if self.means {
                let line = Stroke { color: stroke, width: 2.2, dashes: "" };
                svg.curve(means(&values).into_iter().map(place), line);
            }
            for &value in values.iter().filter(|v| v.0.is_finite() && v.1.is_finite()) {
                dot(&mut svg, place(value), color);
            }
            frame.close(&mut svg, Labels { title, x: self.name, y });
        }
        svg.finish()
    }
}

/// The mean of the ordinates at each abscissa, in order.
fn means(values: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<(f64, f64)> = values.iter().copied().filter(|v| v.0.is_finite() && v.1.is_finite()).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let same = sorted.chunk_by(|a, b| a.0 == b.0);
    same.map(|run| (run[0].0, run.iter().map(|v| v.1).sum::<f64>() / run.len() as f64)).collect()
}

/// A run's mark: kinds differ in colour and in form.
fn dot(svg: &mut Svg, (x, y): (f64, f64), kind: usize) {
    if !(x.is_finite() && y.is_finite()) {
        return;
    }
    let (color, _) = ink::RUNS[kind % MOST_KINDS];
    let outline = Stroke { color, width: 1.8, dashes: "" };
    match kind % MOST_KINDS {
        0 => svg.circle((x, y), 4.2, color, NONE),
        1 => svg.rect((x - 3.6, y - 3.6), (7.2, 7.2), color, NONE),
        2 => svg.circle((x, y), 3.6, ink::PAPER, outline),
        3 => svg.rect((x - 3.2, y - 3.2), (6.4, 6.4), ink::PAPER, outline),
        4 => {
            svg.line((x - 3.6, y - 3.6), (x + 3.6, y + 3.6), outline);
            svg.line((x - 3.6, y + 3.6), (x + 3.6, y - 3.6), outline);
        }
        _ => {
            svg.line((x - 4.6, y), (x + 4.6, y), outline);
            svg.line((x, y - 4.6), (x, y + 4.6), outline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(mse: f64, rho_hat: f64) -> Point {
        Point { mse, rho_hat, kind: 0 }
    }

    #[test]
    fn means_are_of_the_runs_with_one_value_in_order() {
        let values = [(3.0, 1.0), (1.0, 4.0), (3.0, 2.0), (1.0, f64::NAN), (2.0, 7.0)];
        assert_eq!(means(&values), [(1.0, 4.0), (2.0, 7.0), (3.0, 1.5)]);
    }

    #[test]
    fn every_run_is_a_point_and_numbers_that_are_none_are_left_out() {
        let points = [point(0.1, 0.2), point(0.01, 0.05), point(f64::NAN, 0.1), point(0.2, f64::INFINITY)];
        let svg = Tradeoff { title: "A < B", points: &points, kinds: &[] }.render();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("A &lt; B") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let runs: Vec<(f64, Point)> = points.iter().map(|&p| (3.0 * p.rho_hat, p)).collect();
        let svg = Sensitivity { name: "sparsity.beta (β)", runs: &runs, means: true }.render();
        // Two in each panel, the others as rectangles.
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("Sensitivity to sparsity.beta (β)") && !svg.contains("NaN"), "{svg}");
        // Nothing at all is still a plot.
        assert!(Tradeoff { title: "", points: &[], kinds: &[] }.render().ends_with("</svg>\n"));
    }

    #[test]
    fn kinds_have_names_and_marks_of_their_own() {
        let points: Vec<Point> = (0..MOST_KINDS).map(|kind| Point { kind, ..point(0.1 + kind as f64, 0.2) }).collect();
        let names: Vec<String> = (0..MOST_KINDS).map(|kind| format!("d_hid = {kind}")).collect();
        let svg = Tradeoff { title: "t", points: &points, kinds: &names }.render();
        assert!(names.iter().all(|name| svg.contains(name.as_str())));
        assert!(ink::RUNS.iter().all(|(color, _)| svg.contains(color)));
    }
}
