//! `filters.png` and `reconstructions.png`: sheets of tiles with a title, labels and a colour bar.

use super::canvas::{Canvas, text_width};
use super::filters::FilterSheet;
use super::palette::Palette;
use super::svg::Anchor;

/// A figure is about so many pixels wide where whole enlargements of its sheet allow.
const WIDTH: usize = 1000;
/// Sizes in pixels before enlargement of the whole.
const MARGIN: f64 = 14.0;
const SMALLEST_TEXT: f64 = 11.0;

/// A sheet, and what is written around it.
#[derive(Clone, Debug)]
pub struct Figure<'a> {
    /// The first line.
    pub title: &'a str,
    /// Lines below it.
    pub caption: &'a [String],
    /// The tiles.
    pub sheet: &'a FilterSheet,
    /// Left of each row of tiles.
    pub rows: Vec<String>,
    /// Below each tile of the last row.
    pub columns: Vec<String>,
    /// The colours, and what their ends and middle stand for, from the top.
    pub bar: (Palette, [String; 3]),
}

impl Figure<'_> {
    /// The picture.
    pub fn draw(&self) -> Canvas {
        let (sheet_h, sheet_w) = self.sheet.size;
        let zoom = (WIDTH as f64 / sheet_w.max(1) as f64).round().clamp(1.0, 4.0) as usize;
        let (sheet_h, sheet_w) = (sheet_h * zoom, sheet_w * zoom);
        // Text grows with the picture, so that it is readable where the picture is made to fit a page.
        let unit = (sheet_w as f64 / 560.0).clamp(1.4, 3.0);
        let size = SMALLEST_TEXT * unit;
        let margin = MARGIN * unit;
        let line = 1.45 * size;

        let widest = |texts: &[String]| texts.iter().map(|t| text_width(size, t)).fold(0.0, f64::max);
        let left = margin + if self.rows.is_empty() { 0.0 } else { widest(&self.rows) + 0.6 * size };
        let bar_width = 1.1 * size;
        let right = margin + bar_width + 0.5 * size + widest(&self.bar.1) + margin;
        let title_size = 1.25 * size;
        let head = [text_width(title_size, self.title), widest(self.caption)].into_iter().fold(0.0, f64::max);
        let width = (left + sheet_w as f64 + right).max(2.0 * margin + head);
        let top = margin + 1.6 * title_size + line * self.caption.len() as f64 + 0.5 * size;
        let foot = margin + if self.columns.is_empty() { 0.0 } else { 1.5 * size };
        let mut canvas = Canvas::new((top + sheet_h as f64 + foot).ceil() as usize, width.ceil() as usize);

        canvas.text((margin + title_size, margin), title_size, Anchor::Start, self.title);
        for (i, text) in self.caption.iter().enumerate() {
            let y = margin + 1.6 * title_size + line * i as f64 + 0.8 * size;
            canvas.text((y, margin), size, Anchor::Start, text);
        }
        let corner = (top as usize, left as usize);
        canvas.paste(corner, self.sheet.size, self.sheet.rgb(), zoom);
        let cell = |n: usize, cells: usize| (n as f64 + 0.5) / cells.max(1) as f64;
        for (i, text) in self.rows.iter().enumerate() {
            let y = corner.0 as f64 + sheet_h as f64 * cell(i, self.sheet.rows) + 0.35 * size;
            canvas.text((y, left - 0.6 * size), size, Anchor::End, text);
        }
        for (i, text) in self.columns.iter().enumerate() {
            let x = corner.1 as f64 + sheet_w as f64 * cell(i, self.sheet.columns);
            canvas.text((corner.0 as f64 + sheet_h as f64 + 1.1 * size, x), 0.85 * size, Anchor::Middle, text);
        }
        self.draw_bar(&mut canvas, (corner.0, corner.1 + sheet_w + margin as usize), (sheet_h, bar_width), size);
        canvas
    }

    fn draw_bar(&self, canvas: &mut Canvas, (top, left): (usize, usize), (room, width): (usize, f64), size: f64) {
        let (palette, labels) = &self.bar;
        let height = (room as f64).min(16.0 * size) as usize;
        let width = width as usize;
        canvas.fill((top, left), (height, width), [34; 3]);
        for i in 1..height.saturating_sub(1) {
            let t = 1.0 - 2.0 * i as f32 / height as f32;
            canvas.fill((top + i, left + 1), (1, width.saturating_sub(2)), palette.color(t));
        }
        for (i, text) in labels.iter().enumerate() {
            let y = top as f64 + height as f64 * i as f64 / 2.0 + [0.8, 0.35, 0.0][i] * size;
            canvas.text((y, left as f64 + width as f64 + 0.5 * size), size, Anchor::Start, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::filters::FilterOptions;

    #[test]
    fn a_figure_holds_its_sheet_whole_and_has_room_for_every_word() {
        let w: Vec<f32> = (0..4 * 6).map(|i| i as f32).collect();
        for image in [Some((2, 2)), None] {
            let sheet = FilterSheet::draw(&w, 4, 6, &FilterOptions { image, ..FilterOptions::default() }).unwrap();
            let caption = ["a line that is a good deal longer than six small tiles are wide ".repeat(3)];
            let figure = Figure {
                title: "Filters",
                caption: &caption,
                sheet: &sheet,
                rows: vec!["1".into(), "a long name".into()],
                columns: vec!["a".into(), "b".into()],
                bar: (Palette::Grey, ["1".into(), "0".into(), "−1".into()]),
            };
            let canvas = figure.draw();
            let (height, width) = canvas.size();
            assert!(height > sheet.size.0 && width > sheet.size.1, "{height} {width}");
            let white = |y: usize, x: usize| canvas.rgb()[3 * (y * width + x)..][..3] == [255; 3];
            assert!((0..width).all(|x| white(0, x) && white(height - 1, x)), "nothing is cut off above or below");
            assert!((0..height).all(|y| white(y, 0) && white(y, width - 1)), "or at the sides");
        }
    }
}
