//! The few elements of SVG that a plot is made of.

use std::fmt::{self, Display, Write};

/// A document under construction.
#[derive(Debug)]
pub struct Svg {
    text: String,
}

/// Where a text is anchored.
#[derive(Clone, Copy, Debug)]
pub enum Anchor {
    /// At its start.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Stroke {
    /// As SVG writes it.
    pub color: &'static str,
    /// In pixels.
    pub width: f64,
    /// Empty for a solid line.
    pub dashes: &'static str,
}

impl Svg {
    /// A document of that size in pixels, on white, with a title for those who cannot see it.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let mut svg = Self { text: String::new() };
        svg.push(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"Helvetica, Arial, 'Liberation Sans', sans-serif\">\n\
             <title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>",
            Escaped(title)
        ));
        svg
    }

    /// A straight line.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: Stroke) {
        self.push(format_args!(
            "<line x1=\"{x1:.2}\" y1=\"{y1:.2}\" x2=\"{x2:.2}\" y2=\"{y2:.2}\"{}/>",
            StrokeAttributes(stroke)
        ));
    }

    /// A line through the points; a point that is not finite interrupts it.
    pub fn curve(&mut self, points: impl Iterator<Item = (f64, f64)>, stroke: Stroke) {
        let mut path = String::new();
        let mut run = 0;
        let end = |path: &mut String, run: usize| {
            if run == 1 {
                path.push_str("h0"); // a point alone is a dot, by the round cap
            }
        };
        for (x, y) in points {
            if !(x.is_finite() && y.is_finite()) {
                end(&mut path, run);
                run = 0;
                continue;
            }
            let command = if run == 0 { 'M' } else { 'L' };
            write(&mut path, format_args!("{command}{x:.2} {y:.2}"));
            run += 1;
        }
        end(&mut path, run);
        if !path.is_empty() {
            self.push(format_args!(
                "<path d=\"{path}\" fill=\"none\" stroke-linejoin=\"round\" stroke-linecap=\"round\"{}/>",
                StrokeAttributes(stroke)
            ));
        }
    }

    /// A rectangle.
    pub fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str, stroke: Stroke) {
        self.push(format_args!(
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{fill}\"{}/>",
            StrokeAttributes(stroke)
        ));
    }

    /// A circle.
    pub fn circle(&mut self, (x, y): (f64, f64), radius: f64, fill: &str, stroke: Stroke) {
        self.push(format_args!(
            "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius}\" fill=\"{fill}\"{}/>",
            StrokeAttributes(stroke)
        ));
    }

    /// A text of `size` pixels; `attributes` are further ones, as they stand in the file.
    pub fn text(&mut self, (x, y): (f64, f64), size: f64, anchor: Anchor, attributes: &str, content: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let space = if attributes.is_empty() { "" } else { " " };
        self.push(format_args!(
            "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"#222222\"{space}{attributes}>{}</text>",
            Escaped(content)
        ));
    }

    /// The document.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn push(&mut self, element: fmt::Arguments<'_>) {
        write(&mut self.text, element);
        self.text.push('\n');
    }
}

fn write(text: &mut String, content: fmt::Arguments<'_>) {
    text.write_fmt(content).expect("writing to a String cannot fail");
}

struct StrokeAttributes(Stroke);

impl Display for StrokeAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stroke { color, width, dashes } = self.0;
        write!(f, " stroke=\"{color}\" stroke-width=\"{width}\"")?;
        if dashes.is_empty() { Ok(()) } else { write!(f, " stroke-dasharray=\"{dashes}\"") }
    }
}

/// Text as XML 1.0 can hold it: markup escaped, characters that are not allowed replaced.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\t' | '\n' | '\r' => f.write_char(' ')?,
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STROKE: Stroke = Stroke { color: "#000000", width: 1.0, dashes: "" };

    #[test]
    fn any_text_makes_valid_xml_and_comes_back() {
        let every: String = (0..0x300).chain(0xfff0..0x10010).filter_map(char::from_u32).collect();
        for text in ["a < b && \"c\" > 'd'", "]]>", "<!-- -->", "ρ̂ β·ΣKL", every.as_str()] {
            let mut svg = Svg::new(10.0, 10.0, text);
            svg.text((0.0, 0.0), 12.0, Anchor::End, "", text);
            let document = svg.finish();
            let parsed = roxmltree::Document::parse(&document).unwrap();
            let back = parsed.descendants().find(|n| n.has_tag_name("text")).unwrap().text().unwrap();
            if text != every {
                assert_eq!(back, text);
            }
        }
    }

    #[test]
    fn a_curve_is_interrupted_where_a_point_is_missing_and_a_point_alone_is_a_dot() {
        let mut svg = Svg::new(10.0, 10.0, "");
        let nan = f64::NAN;
        svg.curve([(0.0, 1.0), (1.0, 2.0), (2.0, nan), (3.0, 4.0), (4.0, nan)].into_iter(), STROKE);
        svg.curve([(0.0, nan)].into_iter(), STROKE);
        let text = svg.finish();
        assert!(text.contains("d=\"M0.00 1.00L1.00 2.00M3.00 4.00h0\""), "{text}");
        assert_eq!(text.matches("<path").count(), 1);
    }
}
