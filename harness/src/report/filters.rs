//! `filters.png`: what each hidden unit looks for, one tile a unit.
//!
//! A unit's tile shows its column of the encoder's weights, divided by that column's largest magnitude: 0 is the middle of the
//! palette, and tiles are comparable in shape, not in strength. Where an input is an image the tile is that image (the display of
//! the UFLDL tutorial, A. Ng et al.), otherwise a strip of signed bars.

use std::io;
use std::path::Path;

use super::palette::{NOT_FINITE, Palette, Rgb};
use crate::atomic;

/// Pixels between tiles and around them.
const LINE: usize = 2;
/// The colour there.
const LINE_COLOR: Rgb = [255; 3];
/// The side that small images are enlarged to, at least.
const SIDE: usize = 48;
/// The largest number of bars in a strip.
const BARS: usize = 192;
/// The width that a strip of few bars is enlarged to, at least.
const STRIP: usize = 96;
/// The length of a bar of magnitude 1.
const BAR: usize = 18;
/// The ground of a strip, and its zero line.
const GROUND: Rgb = [240; 3];
const ZERO: Rgb = [176; 3];
/// The most pixels a sheet of several tiles may have: 100 MB.
const MAX_PIXELS: usize = 1 << 25;

/// How a sheet is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterOptions {
    /// `(height, width)` where an input is an image, row by row.
    pub image: Option<(usize, usize)>,
    /// The colours.
    pub palette: Palette,
    /// The most tiles drawn: the first units.
    pub max_tiles: usize,
}

impl Default for FilterOptions {
    fn default() -> Self {
        Self { image: None, palette: Palette::default(), max_tiles: 1024 }
    }
}

/// A drawn sheet: a grid as square as whole tiles allow, filled row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterSheet {
    /// Units drawn: the first ones, in order.
    pub drawn: usize,
    /// Units there are.
    pub total: usize,
    /// Tiles in a row.
    pub columns: usize,
    /// Rows of tiles.
    pub rows: usize,
    /// `(height, width)` of a tile, in pixels.
    pub tile: (usize, usize),
    /// `(height, width)` of the sheet, in pixels.
    pub size: (usize, usize),
    /// Drawn weights that are not finite; they are magenta.
    pub not_finite: usize,
    rgb: Vec<u8>,
}

/// A sheet that cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FiltersError {
    /// The shapes do not fit together.
    #[error("filters: {what} is {found}, expected {expected}")]
    Shape {
        /// What does not fit.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        expected: String,
    },
    /// The file system refused; the message names the path.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl FilterSheet {
    /// Draws `w_enc [d_in, d_hid]`, row-major.
    ///
    /// Draws fewer than `max_tiles` units where the sheet would exceed 2²⁵ pixels; at least one.
    ///
    /// # Errors
    /// If a dimension or `max_tiles` is 0, the length is not `d_in·d_hid`, or the image's not `d_in`.
    pub fn draw(w_enc: &[f32], d_in: usize, d_hid: usize, options: &FilterOptions) -> Result<Self, FiltersError> {
        for (what, found) in [("d_in", d_in), ("d_hid", d_hid), ("max_tiles", options.max_tiles)] {
            if found == 0 {
                return Err(shape(what, 0, "at least 1"));
            }
        }
        if d_in.checked_mul(d_hid) != Some(w_enc.len()) {
            return Err(shape("the length of w_enc", w_enc.len(), format!("d_in x d_hid = {d_in} x {d_hid}")));
        }
        let style = match options.image {
            Some((height, width)) => {
                if height.checked_mul(width) != Some(d_in) {
                    return Err(shape("image", format!("{height} x {width}"), format!("d_in = {d_in} pixels")));
                }
                Style::Image { height, width, scale: SIDE.div_ceil(height.max(width)) }
            }
            None => {
                let per_bar = d_in.div_ceil(BARS);
                let bars = d_in.div_ceil(per_bar);
                Style::Bars { per_bar, bars, scale: STRIP.div_ceil(bars) }
            }
        };
        let (height, width) = style.tile();
        let (cell_h, cell_w) = (height + LINE, width + LINE);
        let room = (MAX_PIXELS / cell_h / cell_w).max(1);
        let drawn = d_hid.min(options.max_tiles).min(room);
        let columns = ((drawn as f64 * cell_h as f64 / cell_w as f64).sqrt().ceil() as usize).clamp(1, drawn);
        let rows = drawn.div_ceil(columns);
        let size = (rows * cell_h + LINE, columns * cell_w + LINE);
        let mut sheet = Self {
            drawn,
            total: d_hid,
            columns,
            rows,
            tile: (height, width),
            size,
            not_finite: 0,
            rgb: LINE_COLOR.repeat(size.0 * size.1),
        };
        let mut unit = Vec::with_capacity(d_in);
        for j in 0..drawn {
            unit.clear();
            unit.extend(w_enc.iter().skip(j).step_by(d_hid));
            sheet.not_finite += normalise(&mut unit);
            let corner = ((j / columns) * cell_h + LINE, (j % columns) * cell_w + LINE);
            match style {
                Style::Image { width, scale, .. } => sheet.draw_image(corner, &unit, width, scale, options.palette),
                Style::Bars { per_bar, scale, .. } => sheet.draw_bars(corner, &unit, per_bar, scale, options.palette),
            }
        }
        Ok(sheet)
    }

    /// The pixels, row by row, three bytes each.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Writes the sheet as a PNG, whole or not at all.
    ///
    /// # Errors
    /// If a side exceeds what PNG can hold, or the file system refuses.
    pub fn save(&self, path: &Path) -> Result<(), FiltersError> {
        let side = |n: usize| {
            u32::try_from(n)
                .map_err(|_| shape("a side of the sheet", format!("{n} pixels"), "at most 4294967295 pixels"))
        };
        let (height, width) = (side(self.size.0)?, side(self.size.1)?);
        atomic::replace(path, |out| {
            let mut encoder = png::Encoder::new(out, width, height);
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(&self.rgb)?;
            Ok(writer.finish()?)
        })?;
        Ok(())
    }

    fn draw_image(&mut self, corner: (usize, usize), unit: &[f32], width: usize, scale: usize, palette: Palette) {
        for (i, &w) in unit.iter().enumerate() {
            let (top, left) = (corner.0 + i / width * scale, corner.1 + i % width * scale);
            self.fill(top..top + scale, left..left + scale, palette.color(w));
        }
    }

    /// Each bar is the weight of the largest magnitude among its inputs.
    fn draw_bars(&mut self, corner: (usize, usize), unit: &[f32], per_bar: usize, scale: usize, palette: Palette) {
        let (up, down) = palette.bars();
        let (top, left) = corner;
        let zero = top + BAR;
        self.fill(top..top + self.tile.0, left..left + self.tile.1, GROUND);
        self.fill(zero..zero + 1, left..left + self.tile.1, ZERO);
        for (i, weights) in unit.chunks(per_bar).enumerate() {
            let columns = left + i * scale..left + (i + 1) * scale;
            let largest = weights.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
            if largest.is_nan() {
                self.fill(top..top + self.tile.0, columns, NOT_FINITE);
                continue;
            }
            let length = (largest.abs() * BAR as f32).round() as usize;
            if largest > 0.0 {
                self.fill(zero - length..zero, columns, up);
            } else {
                self.fill(zero + 1..zero + 1 + length, columns, down);
            }
        }
    }

    fn fill(&mut self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>, color: Rgb) {
        for row in rows {
            let start = row * self.size.1;
            self.rgb[3 * (start + columns.start)..3 * (start + columns.end)].as_chunks_mut::<3>().0.fill(color);
        }
    }
}

/// What a tile is.
#[derive(Clone, Copy)]
enum Style {
    /// An image, each pixel `scale × scale`.
    Image { height: usize, width: usize, scale: usize },
    /// Bars `scale` wide, of `per_bar` inputs each.
    Bars { per_bar: usize, bars: usize, scale: usize },
}

impl Style {
    /// `(height, width)` in pixels.
    fn tile(self) -> (usize, usize) {
        match self {
            Self::Image { height, width, scale } => (height * scale, width * scale),
            Self::Bars { bars, scale, .. } => (2 * BAR + 1, bars * scale),
        }
    }
}

/// Divides by the largest magnitude, makes what is not finite NaN, and counts it. Zeros stay zeros.
fn normalise(unit: &mut [f32]) -> usize {
    let largest = unit.iter().filter(|w| w.is_finite()).fold(0.0f32, |m, w| m.max(w.abs()));
    let mut not_finite = 0;
    for w in unit {
        if !w.is_finite() {
            *w = f32::NAN;
            not_finite += 1;
        } else if largest > 0.0 {
            *w /= largest;
        }
    }
    not_finite
}

fn shape(what: &'static str, found: impl ToString, expected: impl Into<String>) -> FiltersError {
    FiltersError::Shape { what, found: found.to_string(), expected: expected.into() }
}

#[cfg(test)]
#[path = "filters_tests.rs"]
mod tests;
