//! Panels of lines over a common setting: what a measure does as the setting changes.

use super::axis::{Axis, clean};
use super::ink;
use super::plot::{Area, Frame, Labels, Mark, mark};
use super::svg::{Anchor, Stroke, Svg};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 186.0;
const TOP: f64 = 62.0;
const LEFT: f64 = 78.0;
const NEXT: f64 = 250.0;

/// A plot.
#[derive(Clone, Debug)]
pub struct Lines {
    /// Above the panels.
    pub title: String,
    /// What is along the x axis.
    pub x: String,
    /// Whether that is logarithmic; values that are not positive are then left out.
    pub log_x: bool,
    /// The name of each panel's y axis, and its lines.
    pub panels: Vec<(String, Vec<Line>)>,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name; empty where it needs none.
    pub name: String,
    /// Its points, in the order in which they are joined.
    pub points: Vec<(f64, f64)>,
}

impl Lines {
    /// The plot as an SVG document.
    pub fn render(&self) -> String {
        let key =
            if self.panels.iter().flat_map(|(_, lines)| lines).any(|line| !line.name.is_empty()) { 24.0 } else { 0.0 };
        let height = TOP + key + NEXT * self.panels.len() as f64 - 10.0;
        let mut svg = Svg::new(WIDTH, height, &self.title);
        svg.text((LEFT, 24.0), 15.0, Anchor::Start, "font-weight=\"bold\"", &self.title);
        let shown = |x: f64| x.is_finite() && (!self.log_x || x > 0.0);
        let values = || self.panels.iter().flat_map(|(_, lines)| lines).flat_map(|line| &line.points).map(|p| p.0);
        let low = values().filter(|x| shown(*x)).fold(f64::INFINITY, f64::min);
        let high = values().filter(|x| shown(*x)).fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
        for (index, (y, lines)) in self.panels.iter().enumerate() {
            let top = TOP + key + NEXT * index as f64;
            let frame = Frame {
                area: Area { left: LEFT, top, width: WIDTH - LEFT - 16.0, height: HEIGHT },
                x: Axis::spanning(low, high, self.log_x && low > 0.0),
                y: Axis::fitting(lines.iter().flat_map(|line| line.points.iter().map(|p| clean(p.1)))),
            };
            frame.open(&mut svg);
            for (i, line) in lines.iter().enumerate() {
                let stroke = stroke(i);
                let points = line.points.iter().filter(|p| shown(p.0) && p.1.is_finite());
                let places: Vec<(f64, f64)> = points.map(|&(x, y)| (frame.x_at(x), frame.y_at(y))).collect();
                svg.curve(places.iter().copied(), stroke);
                places.iter().for_each(|&place| mark(&mut svg, Mark::Circle, stroke.color, place));
            }
            frame.close(&mut svg, Labels { title: "", x: &self.x, y });
        }
        if let (true, Some((_, lines))) = (key > 0.0, self.panels.first()) {
            let wide = (WIDTH - LEFT) / lines.len().max(1) as f64;
            for (i, line) in lines.iter().enumerate() {
                let x = LEFT + wide * i as f64;
                svg.line((x, 46.0), (x + 26.0, 46.0), stroke(i));
                svg.text((x + 32.0, 50.0), 12.0, Anchor::Start, "", &line.name);
            }
        }
        svg.finish()
    }
}

fn stroke(i: usize) -> Stroke {
    let (color, dashes) = ink::RUNS[i % ink::RUNS.len()];
    Stroke { color, width: 2.2, dashes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_marked_where_it_has_a_place() {
        let line = |name: &str, points: &[(f64, f64)]| Line { name: name.into(), points: points.to_vec() };
        let lines = Lines {
            title: "a < b".into(),
            x: "β".into(),
            log_x: true,
            panels: vec![
                (
                    "mse".into(),
                    vec![line("one", &[(0.1, 1.0), (1.0, 2.0), (10.0, f64::NAN)]), line("two", &[(0.0, 1.0)])],
                ),
                ("rho".into(), vec![]),
            ],
        };
        let text = lines.render();
        let document = roxmltree::Document::parse(&text).unwrap();
        assert_eq!(document.descendants().filter(|n| n.has_tag_name("circle")).count(), 2, "{text}");
        assert!(text.contains("two") && text.contains("a &lt; b"));
        let empty = Lines { title: String::new(), x: String::new(), log_x: false, panels: vec![] };
        roxmltree::Document::parse(&empty.render()).unwrap();
    }
}
