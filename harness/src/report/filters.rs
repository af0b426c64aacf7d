//! Sheets of tiles: what each hidden unit looks for, one tile a unit, or samples beside each other.
//!
//! A unit's tile shows its column of the encoder's weights, divided by that column's largest magnitude: 0 is the middle of the
//! palette, and tiles are comparable in shape, not in strength. Where an input is an image the tile is that image (the display of
//! the UFLDL tutorial, A. Ng et al.), otherwise a strip of signed bars.

use std::io;
use std::path::Path;

use super::canvas::encode_png;
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
#[derive(Clone, Debug, PartialEq)]
pub struct FilterOptions {
    /// `(height, width)` where an input is an image, row by row.
    pub image: Option<(usize, usize)>,
    /// The colours.
    pub palette: Palette,
    /// The most tiles drawn: the first units.
    pub max_tiles: usize,
    /// The units drawn, in this order; all, as they are, where this is empty.
    pub order: Vec<usize>,
    /// What the ends of the palette stand for.
    pub scale: Scale,
    /// Tiles in a row; 0 for a sheet that is as square as whole tiles allow.
    pub columns: usize,
    /// The side that small images are enlarged to, at least.
    pub side: usize,
}

/// What the ends of the palette stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scale {
    /// Each tile's largest magnitude, and its negative.
    #[default]
    Tile,
    /// These two values, on every tile. Of bars, the longest stands for the larger magnitude.
    Range(f32, f32),
}

impl Default for FilterOptions {
    fn default() -> Self {
        Self {
            image: None,
            palette: Palette::default(),
            max_tiles: 1024,
            order: Vec::new(),
            scale: Scale::Tile,
            columns: 0,
            side: SIDE,
        }
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
    /// Draws the columns of `w_enc [d_in, d_hid]`, row-major.
    ///
    /// Draws fewer than `max_tiles` units where the sheet would exceed 2²⁵ pixels; at least one.
    ///
    /// # Errors
    /// If a dimension or `max_tiles` is 0, the length is not `d_in·d_hid`, a unit of the order is not there, or the image's size
    /// is not `d_in`.
    pub fn draw(w_enc: &[f32], d_in: usize, d_hid: usize, options: &FilterOptions) -> Result<Self, FiltersError> {
        let column = |unit: usize, tile: &mut Vec<f32>| tile.extend(w_enc.iter().skip(unit).step_by(d_hid));
        Self::tiles(("the length of w_enc", w_enc.len()), (d_in, "d_hid", d_hid), options, column)
    }

    /// Draws the rows of `samples [n, d_in]`, row-major, as [`FilterSheet::draw`] draws units.
    ///
    /// # Errors
    /// As [`FilterSheet::draw`].
    pub fn samples(samples: &[f32], d_in: usize, options: &FilterOptions) -> Result<Self, FiltersError> {
        let row = |sample: usize, tile: &mut Vec<f32>| tile.extend(&samples[sample * d_in..][..d_in]);
        let n = samples.len().checked_div(d_in).unwrap_or(0);
        Self::tiles(("the length of samples", samples.len()), (d_in, "n", n), options, row)
    }

    fn tiles(
        (name, length): (&'static str, usize),
        (d_in, of, total): (usize, &'static str, usize),
        options: &FilterOptions,
        values: impl Fn(usize, &mut Vec<f32>),
    ) -> Result<Self, FiltersError> {
        for (what, found) in [("d_in", d_in), (of, total), ("max_tiles", options.max_tiles)] {
            if found == 0 {
                return Err(shape(what, 0, "at least 1"));
            }
        }
        if d_in.checked_mul(total) != Some(length) {
            return Err(FiltersError::Shape {
                what: name,
                found: length.to_string(),
                expected: format!("d_in x {of} = {d_in} x {total}"),
            });
        }
        if let Some(&bad) = options.order.iter().find(|&&unit| unit >= total) {
            return Err(shape("a unit of the order", bad, format!("below {total}")));
        }
        let style = match options.image {
            Some((height, width)) => {
                if height.checked_mul(width) != Some(d_in) {
                    return Err(shape("image", format!("{height} x {width}"), format!("d_in = {d_in} pixels")));
                }
                Style::Image { height, width, scale: options.side.div_ceil(height.max(width)).max(1) }
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
        let wanted = if options.order.is_empty() { total } else { options.order.len() };
        let drawn = wanted.min(options.max_tiles).min(room);
        let square = (drawn as f64 * cell_h as f64 / cell_w as f64).sqrt().ceil() as usize;
        let columns = if options.columns == 0 { square } else { options.columns }.clamp(1, drawn);
        let rows = drawn.div_ceil(columns);
        let size = (rows * cell_h + LINE, columns * cell_w + LINE);
        let mut sheet = Self {
            drawn,
            total,
            columns,
            rows,
            tile: (height, width),
            size,
            not_finite: 0,
            rgb: LINE_COLOR.repeat(size.0 * size.1),
        };
        let mut tile = Vec::with_capacity(d_in);
        for j in 0..drawn {
            tile.clear();
            values(options.order.get(j).copied().unwrap_or(j), &mut tile);
            sheet.not_finite += normalise(&mut tile, options.scale, style);
            let corner = ((j / columns) * cell_h + LINE, (j % columns) * cell_w + LINE);
            match style {
                Style::Image { width, scale, .. } => sheet.draw_image(corner, &tile, width, scale, options.palette),
                Style::Bars { per_bar, scale, .. } => sheet.draw_bars(corner, &tile, per_bar, scale, options.palette),
            }
        }
        Ok(sheet)
    }

    /// The pixels, row by row, three bytes each.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The sheet as a PNG file.
    ///
    /// # Errors
    /// If a side exceeds what PNG can hold.
    pub fn png(&self) -> Result<Vec<u8>, FiltersError> {
        Ok(encode_png(self.size, &self.rgb)?)
    }

    /// Writes the sheet as a PNG, whole or not at all.
    ///
    /// # Errors
    /// If a side exceeds what PNG can hold, or the file system refuses.
    pub fn save(&self, path: &Path) -> Result<(), FiltersError> {
        Ok(atomic::write(path, &self.png()?)?)
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

/// Maps the scale's ends to −1 and 1, makes what is not finite NaN, and counts it. Zeros of a tile's own scale stay zeros.
fn normalise(tile: &mut [f32], scale: Scale, style: Style) -> usize {
    let largest = tile.iter().filter(|w| w.is_finite()).fold(0.0f32, |m, w| m.max(w.abs()));
    let (middle, half) = match (scale, style) {
        (Scale::Tile, _) => (0.0, largest),
        (Scale::Range(low, high), Style::Image { .. }) => (0.5 * (low + high), 0.5 * (high - low)),
        (Scale::Range(low, high), Style::Bars { .. }) => (0.0, low.abs().max(high.abs())),
    };
    let mut not_finite = 0;
    for w in tile {
        if !w.is_finite() {
            *w = f32::NAN;
            not_finite += 1;
        } else if half > 0.0 {
            *w = ((*w - middle) / half).clamp(-1.0, 1.0);
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
