//! A picture in pixels with text, for PNG files that stand alone.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

use super::palette::Rgb;
use super::svg::Anchor;
use crate::atomic;

/// Letters.
const TEXT: Rgb = [34; 3];

/// RGB pixels, on white.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// `(height, width)`.
    size: (usize, usize),
    rgb: Vec<u8>,
}

impl Canvas {
    /// White paper of `height × width` pixels.
    pub fn new(height: usize, width: usize) -> Self {
        Self { size: (height, width), rgb: vec![255; 3 * height * width] }
    }

    /// `(height, width)`.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// The pixels, row by row, three bytes each.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Fills a rectangle; what lies outside is left out.
    pub fn fill(&mut self, (top, left): (usize, usize), (height, width): (usize, usize), color: Rgb) {
        let right = (left + width).min(self.size.1);
        for row in top..(top + height).min(self.size.0) {
            let line = &mut self.rgb[3 * row * self.size.1..][..3 * self.size.1];
            if left < right {
                line[3 * left..3 * right].as_chunks_mut::<3>().0.fill(color);
            }
        }
    }

    /// Puts `picture` of `height × width` pixels there, each `scale × scale`.
    pub fn paste(
        &mut self,
        (top, left): (usize, usize),
        (height, width): (usize, usize),
        picture: &[u8],
        scale: usize,
    ) {
        for (i, pixel) in picture.as_chunks::<3>().0.iter().take(height * width).enumerate() {
            self.fill((top + i / width * scale, left + i % width * scale), (scale, scale), *pixel);
        }
    }

    /// A line of text, its baseline at `y`, its letters `size` pixels high.
    pub fn text(&mut self, (y, x): (f64, f64), size: f64, anchor: Anchor, content: &str) {
        let Some(font) = letters() else { return };
        let scaled = font.as_scaled(PxScale::from(size as f32));
        let width = text_width(size, content) as f32;
        let mut x = x as f32
            - match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => 0.5 * width,
                Anchor::End => width,
            };
        for c in content.chars() {
            let id = scaled.glyph_id(c);
            let glyph = id.with_scale_and_position(PxScale::from(size as f32), point(x, y as f32));
            x += scaled.h_advance(id);
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            outline.draw(|dx, dy, cover| {
                let (px, py) = (bounds.min.x as i64 + i64::from(dx), bounds.min.y as i64 + i64::from(dy));
                self.blend(py, px, cover.clamp(0.0, 1.0));
            });
        }
    }

    fn blend(&mut self, y: i64, x: i64, cover: f32) {
        let (Ok(y), Ok(x)) = (usize::try_from(y), usize::try_from(x)) else { return };
        if y < self.size.0 && x < self.size.1 {
            for (old, new) in self.rgb[3 * (y * self.size.1 + x)..][..3].iter_mut().zip(TEXT) {
                *old = (f32::from(*old) + cover * (f32::from(new) - f32::from(*old))).round() as u8;
            }
        }
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// If a side has more than 2³² − 1 pixels.
    pub fn png(&self) -> io::Result<Vec<u8>> {
        encode_png(self.size, &self.rgb)
    }

    /// Writes a PNG, whole or not at all.
    ///
    /// # Errors
    /// If the file system refuses; the message names the path.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        atomic::write(path, &self.png()?)
    }
}

/// The width of a line of text in pixels.
pub fn text_width(size: f64, content: &str) -> f64 {
    let Some(font) = letters() else { return 0.0 };
    let scaled = font.as_scaled(PxScale::from(size as f32));
    f64::from(content.chars().map(|c| scaled.h_advance(scaled.glyph_id(c))).sum::<f32>())
}

/// DejaVu Sans; `None` is never, as the letters are part of the program.
fn letters() -> Option<&'static FontRef<'static>> {
    static LETTERS: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    LETTERS.get_or_init(|| FontRef::try_from_slice(dejavu::sans::regular()).ok()).as_ref()
}

/// A PNG file of `(height, width)` pixels, three bytes each.
pub(super) fn encode_png((height, width): (usize, usize), rgb: &[u8]) -> io::Result<Vec<u8>> {
    let side = |n: usize| u32::try_from(n).map_err(|_| io::Error::other("a side has more than 4294967295 pixels"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(width)?, side(height)?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_leaves_ink_where_it_is_and_nowhere_else() {
        let mut canvas = Canvas::new(40, 200);
        canvas.text((30.0, 100.0), 20.0, Anchor::Middle, "ρ̂ −1");
        let half = text_width(20.0, "ρ̂ −1") / 2.0 + 2.0;
        let dark: Vec<usize> = (0..40 * 200).filter(|i| canvas.rgb()[3 * i] < 128).map(|i| i % 200).collect();
        assert!(dark.len() > 40, "{}", dark.len());
        assert!(dark.iter().all(|&x| (x as f64 - 100.0).abs() <= half), "{half}");
    }

    #[test]
    fn every_letter_used_in_pictures_is_there() {
        let font = letters().unwrap();
        for c in "ρλβ−×·|²≥…–°̂".chars() {
            assert_ne!(font.glyph_id(c).0, 0, "{c}");
        }
    }

    #[test]
    fn what_lies_outside_is_left_out() {
        let mut canvas = Canvas::new(4, 4);
        canvas.fill((2, 3), (9, 9), [0; 3]);
        canvas.fill((0, 9), (1, 1), [0; 3]);
        canvas.text((0.0, -50.0), 12.0, Anchor::Start, "outside");
        assert_eq!(canvas.rgb().iter().filter(|&&v| v == 0).count(), 2 * 3);
        canvas.paste((0, 0), (1, 1), &[7, 8, 9], 2);
        assert_eq!(canvas.rgb()[..3], [7, 8, 9]);
        assert_eq!(canvas.rgb()[3 * 5..3 * 6], [7, 8, 9]);
    }
}
