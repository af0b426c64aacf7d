//! Fits a map on rows that come one after the other.

use super::{Fitted, Options, Preprocess, Whitening};
use crate::error::{Error, Result};
use crate::eval::baseline::Moments;

/// What one pass over the training rows finds; whether they are in memory or read piece by piece changes no bit.
///
/// Means and squares are updated row by row: B. P. Welford, "Note on a method for calculating corrected sums of squares and
/// products" (1962).
#[derive(Clone, Debug)]
pub(crate) struct Fitter {
    kind: Preprocess,
    options: Options,
    rows: u64,
    min: Vec<f32>,
    max: Vec<f32>,
    /// The mean of each feature, where it is needed.
    mean: Vec<f64>,
    /// The sum of the squared distances from it.
    squares: Vec<f64>,
    /// Of all features together, where they are to be whitened.
    moments: Option<Moments>,
}

impl Fitter {
    /// Before the first row of `cols` values.
    ///
    /// # Errors
    /// [`Error::Setting`] where such rows cannot be mapped: patches are cut from images that are in memory, and whitening
    /// needs memory and as many columns as components.
    pub(crate) fn new(kind: Preprocess, cols: usize, options: Options) -> Result<Self> {
        let moments = match kind {
            Preprocess::None | Preprocess::Range | Preprocess::MinMax | Preprocess::ZScore => None,
            Preprocess::Pca | Preprocess::Zca => {
                Whitening::check(cols, &options)?;
                Some(Moments::new(cols))
            }
            Preprocess::Patches => {
                let expected = "another map where data are streamed, or all of them in memory: --data.buffer_mib 0";
                return Err(Error::setting("data.preprocess", kind.name().to_owned(), expected));
            }
        };
        let scored = if kind == Preprocess::ZScore { cols } else { 0 };
        Ok(Self {
            kind,
            options,
            rows: 0,
            min: vec![f32::INFINITY; cols],
            max: vec![f32::NEG_INFINITY; cols],
            mean: vec![0.0; scored],
            squares: vec![0.0; scored],
            moments,
        })
    }

    /// Bytes it takes for rows of `cols` values, the end included.
    pub(crate) fn bytes(kind: Preprocess, cols: usize) -> usize {
        let each = cols.saturating_mul(2 * (size_of::<f32>() + 2 * size_of::<f64>()));
        match kind {
            Preprocess::Pca | Preprocess::Zca => {
                each.saturating_add(usize::try_from(Moments::bytes(cols)).unwrap_or(usize::MAX))
            }
            _ => each,
        }
    }

    /// The length of a row of `cols` values as the map makes it, and the bytes of the map's constants.
    pub(crate) fn extent(kind: Preprocess, cols: usize, options: &Options) -> (usize, usize) {
        let kept = if options.components == 0 { cols } else { options.components };
        let of_cols = |numbers: usize| cols.saturating_mul(numbers * size_of::<f64>());
        match kind {
            Preprocess::None | Preprocess::Range | Preprocess::Patches => (cols, 0),
            Preprocess::MinMax => (cols, of_cols(1)),
            Preprocess::ZScore => (cols, of_cols(2)),
            Preprocess::Pca => (kept, of_cols(kept.saturating_add(2))),
            Preprocess::Zca => (cols, of_cols(kept.saturating_add(2))),
        }
    }

    /// Takes the next row.
    pub(crate) fn add(&mut self, row: &[f32]) {
        self.rows += 1;
        for ((low, high), &v) in self.min.iter_mut().zip(&mut self.max).zip(row) {
            *low = low.min(v);
            *high = high.max(v);
        }
        let share = 1.0 / self.rows as f64;
        for ((mean, squares), &v) in self.mean.iter_mut().zip(&mut self.squares).zip(row) {
            let before = f64::from(v) - *mean;
            *mean += before * share;
            *squares += before * (f64::from(v) - *mean);
        }
        if let Some(moments) = &mut self.moments {
            moments.add(row);
        }
    }

    /// The smallest and the largest value of each feature, as rows.
    pub(crate) fn bounds(&self) -> [&[f32]; 2] {
        [&self.min, &self.max]
    }

    /// The map.
    ///
    /// # Errors
    /// [`Error::Input`] where there was no row, and [`Error::Failed`] where there are no eigenvalues to be found.
    pub(crate) fn finish(self) -> Result<Fitted> {
        let Self { kind, options, rows, min, max, mut mean, squares: mut std, moments } = self;
        if rows == 0 {
            return Err(Error::input("preprocess", "no row", "at least one"));
        }
        if let Some(mut moments) = moments {
            moments.flush();
            let map = Whitening::of(moments, &options)?;
            return Ok(if kind == Preprocess::Pca { Fitted::Pca(map) } else { Fitted::Zca(map) });
        }
        Ok(match kind {
            Preprocess::Range => Fitted::Range {
                min: min.iter().copied().fold(f32::INFINITY, f32::min),
                max: max.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            },
            Preprocess::MinMax => Fitted::MinMax { min, max },
            Preprocess::ZScore => {
                for (((std, mean), &low), &high) in std.iter_mut().zip(&mut mean).zip(&min).zip(&max) {
                    *std = (*std / rows as f64).sqrt();
                    if low == high {
                        // The rounded mean of equal values need not be that value, and would leave a spread of rounding
                        // errors.
                        (*mean, *std) = (f64::from(low), 0.0);
                    }
                }
                Fitted::ZScore { mean, std }
            }
            _ => Fitted::None {},
        })
    }
}
