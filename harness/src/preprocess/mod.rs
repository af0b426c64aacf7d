//! Maps of raw data to what the network sees: fitted on the training rows, saved with the model, applied to everything.
//!
//! | name | map | what has no spread |
//! | --- | --- | --- |
//! | `none` | `x` | `x` |
//! | `range` | `(x − min)/(max − min)`, over the whole set | becomes 0 |
//! | `minmax` | the same, per feature | becomes 0 |
//! | `zscore` | `(x − mean)/std`, per feature, `std` over n (not n − 1) | becomes 0 |
//! | `pca` | `D·Uᵀ·(x − mean)`, `D = 1/√(λ + ε)`: see [`Whitening`] | becomes 0 |
//! | `zca` | `U·D·Uᵀ·(x − mean)`: as like the data as whitened data can be | becomes 0 |
//! | `patches` | patches of images, their mean taken off, ±3σ to `[0.1, 0.9]`: see [`Patches`] | becomes 0.5 |
//!
//! Rows outside the training set can fall outside `[0, 1]`; nothing is clamped but by `patches`. A feature without spread in
//! the training rows is 0 for every row, whatever it holds there, and comes back from [`Fitted::invert`] as its training
//! value.

mod fitter;
mod matrix;
mod patches;
mod scale;
mod whitening;

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::error::{Error, Result};

pub(crate) use fitter::Fitter;
pub use matrix::RowMajor;
pub use patches::{PatchOptions, Patches};
pub use whitening::Whitening;

/// Which map. Its names are those of the config key `data.preprocess`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preprocess {
    /// Raw data.
    None,
    /// The whole set to `[0, 1]`.
    #[default]
    Range,
    /// Each feature to `[0, 1]`.
    MinMax,
    /// Each feature to mean 0 and variance 1.
    ZScore,
    /// Principal components of variance 1.
    Pca,
    /// The same, turned back into the space of the data.
    Zca,
    /// Patches of images.
    Patches,
}

/// The numbers that a map needs beside the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Added to every variance before it is divided by (`pca`, `zca`).
    pub epsilon: f64,
    /// Components kept; 0 for all (`pca`, `zca`).
    pub components: usize,
    /// How patches are cut (`patches`).
    pub patches: PatchOptions,
}

impl Default for Options {
    /// ε 0.1, all components, 10,000 patches of 8×8.
    fn default() -> Self {
        Self { epsilon: 0.1, components: 0, patches: PatchOptions::default() }
    }
}

/// A map with its constants, as the model's file carries it. Applied and inverted in f64, stored as f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Fitted {
    /// Raw data.
    None {},
    /// The whole set to `[0, 1]`.
    Range {
        /// The smallest value of the training rows.
        min: f32,
        /// The largest.
        max: f32,
    },
    /// Each feature to `[0, 1]`.
    MinMax {
        /// The smallest value of each feature, `[cols]`.
        min: Vec<f32>,
        /// The largest, `[cols]`.
        max: Vec<f32>,
    },
    /// Each feature to mean 0 and variance 1.
    ZScore {
        /// The mean of each feature, `[cols]`.
        mean: Vec<f64>,
        /// Its standard deviation, `[cols]`; 0 where all values are equal.
        std: Vec<f64>,
    },
    /// Principal components of variance 1.
    Pca(Whitening),
    /// The same, turned back into the space of the data.
    Zca(Whitening),
    /// Patches of images.
    Patches(Patches),
}

impl Preprocess {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Range, Self::MinMax, Self::ZScore, Self::Pca, Self::Zca, Self::Patches];

    /// Its name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Range => "range",
            Self::MinMax => "minmax",
            Self::ZScore => "zscore",
            Self::Pca => "pca",
            Self::Zca => "zca",
            Self::Patches => "patches",
        }
    }

    /// The samples to divide and to fit the map on: `set` itself, or for `patches` what is cut from its images, drawn by
    /// `seed`.
    ///
    /// # Errors
    /// [`Error::Setting`] where patches are larger than the images, or images are to be whitened and there are none;
    /// [`Error::Memory`].
    pub fn samples(self, set: Dataset, options: &Options, seed: u64) -> Result<Dataset> {
        match self {
            Self::Patches => options.patches.draw(set, seed),
            _ => Ok(set),
        }
    }

    /// Fits the map on `data [rows, cols]`, which should be the training rows and no others.
    ///
    /// # Errors
    /// [`Error::Input`] where `data` is empty or not `rows·cols` long, [`Error::Setting`] where the options do not fit them,
    /// and [`Error::Failed`] where there are no eigenvalues to be found.
    pub fn fit(self, data: &[f32], rows: usize, cols: usize, options: &Options) -> Result<Fitted> {
        if data.is_empty() || rows.checked_mul(cols) != Some(data.len()) {
            let found = format!("{} values for {rows} rows of {cols} columns", data.len());
            return Err(Error::input("preprocess", found, "rows x columns values, at least one"));
        }
        if self == Self::Patches {
            return Ok(Fitted::Patches(Patches::fit(data, cols, &options.patches)));
        }
        let mut fitter = Fitter::new(self, cols, *options)?;
        data.chunks_exact(cols).for_each(|row| fitter.add(row));
        fitter.finish()
    }
}

impl Fitted {
    /// Which map this is.
    pub const fn kind(&self) -> Preprocess {
        match self {
            Self::None {} => Preprocess::None,
            Self::Range { .. } => Preprocess::Range,
            Self::MinMax { .. } => Preprocess::MinMax,
            Self::ZScore { .. } => Preprocess::ZScore,
            Self::Pca(_) => Preprocess::Pca,
            Self::Zca(_) => Preprocess::Zca,
            Self::Patches(_) => Preprocess::Patches,
        }
    }

    /// The length of a mapped row of `cols` values.
    ///
    /// # Errors
    /// [`Error::Input`] where the map is for rows of another length, or its own constants do not fit each other.
    pub fn width(&self, cols: usize) -> Result<usize> {
        if !self.is_finite() {
            return Err(Error::input("preprocess", "a constant is not finite", "finite numbers, as f32"));
        }
        let (fitted, mapped) = match self {
            Self::None {} | Self::Range { .. } => (cols, cols),
            Self::Patches(map) => map.check().map(|()| (cols, cols))?,
            Self::MinMax { min, max } => (min.len(), if min.len() == max.len() { cols } else { 0 }),
            Self::ZScore { mean, std } => (mean.len(), if mean.len() == std.len() { cols } else { 0 }),
            Self::Pca(map) => (map.inputs(), map.components()?),
            Self::Zca(map) => (map.inputs(), map.components().map(|_| cols)?),
        };
        if fitted != cols || cols == 0 || mapped == 0 {
            let expected = format!("{fitted}, as in the training data");
            return Err(Error::input("preprocess", format!("rows of {cols} columns"), expected));
        }
        Ok(mapped)
    }

    /// Whether the constants of a scaling are finite: a number of a file need not fit into an f32.
    fn is_finite(&self) -> bool {
        let all = |values: &[f32]| values.iter().all(|v| v.is_finite());
        match self {
            Self::Range { min, max } => min.is_finite() && max.is_finite(),
            Self::MinMax { min, max } => all(min) && all(max),
            _ => true,
        }
    }

    /// Whether the map can belong to a model of `d_in` inputs in the file `name`.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub(crate) fn check(&self, d_in: usize, name: &str) -> Result {
        let raw = match self {
            Self::Pca(map) => map.inputs(),
            _ => d_in,
        };
        let width = self.width(raw).map_err(|e| match e {
            Error::Input { found, expected, .. } => Error::input(name, format!("sae.preprocessing: {found}"), expected),
            other => other,
        })?;
        let patch = matches!(self, Self::Patches(map) if !map.fits(d_in));
        if width != d_in || patch {
            let expected = format!("rows of {d_in} columns, the input width of the model");
            return Err(Error::input(name, "sae.preprocessing is for rows of another length", expected));
        }
        Ok(())
    }

    /// Maps raw `data`, rows of `cols` values.
    ///
    /// # Errors
    /// [`Error::Input`] where `cols` is not what the map was fitted on, `data` are no whole rows, or a value does not fit into
    /// an f32, which one that is far from the training rows need not, where their spread is very small.
    pub fn apply(&self, mut data: Vec<f32>, cols: usize) -> Result<Vec<f32>> {
        let width = self.width(cols)?;
        whole_rows(&data, cols)?;
        match self {
            Self::Pca(map) => data = map.apply(&data, false),
            Self::Zca(map) => data = map.apply(&data, true),
            Self::Patches(map) => map.apply(&mut data, cols),
            scaled => scaled.each(&mut data, |x, shift, spread| if spread == 0.0 { 0.0 } else { (x - shift) / spread }),
        }
        match data.iter().position(|v| !v.is_finite()) {
            None => Ok(data),
            Some(at) => {
                let found = format!("row {}, column {} (counted from 0) becomes {}", at / width, at % width, data[at]);
                Err(Error::input(format!("data.preprocess {}", self.kind().name()), found, "a finite number"))
            }
        }
    }

    /// Maps `data`, rows as the network sees them, back to raw rows of `cols` values. What the map does not keep does not
    /// come back: components left out, and the mean of each patch.
    ///
    /// # Errors
    /// As [`Fitted::apply`].
    pub fn invert(&self, mut data: Vec<f32>, cols: usize) -> Result<Vec<f32>> {
        whole_rows(&data, self.width(cols)?)?;
        match self {
            Self::Pca(map) => data = map.invert(&data, false),
            Self::Zca(map) => data = map.invert(&data, true),
            Self::Patches(map) => map.invert(&mut data),
            scaled => scaled.each(&mut data, |y, shift, spread| y * spread + shift),
        }
        Ok(data)
    }

    /// Turns a set of raw rows into what the network sees: for `patches` also cuts its images, patch beside patch.
    ///
    /// # Errors
    /// As [`Fitted::apply`]; the set is then empty. Those of [`Preprocess::samples`].
    pub fn prepare(&self, set: &mut Dataset) -> Result {
        if let Self::Patches(map) = self {
            map.check()?;
            map.cut(set)?;
        }
        self.map(set)
    }

    /// The same for samples, of which images are cut already.
    ///
    /// # Errors
    /// As [`Fitted::apply`]; the set is then empty.
    pub fn map(&self, set: &mut Dataset) -> Result {
        let width = self.width(set.cols)?;
        set.data = self.apply(std::mem::take(&mut set.data), set.cols)?;
        if matches!(self, Self::Pca(_)) {
            set.image = None;
        }
        set.cols = width;
        Ok(())
    }
}

fn whole_rows(data: &[f32], cols: usize) -> Result {
    match cols > 0 && data.len().is_multiple_of(cols) {
        true => Ok(()),
        false => {
            let found = format!("{} values in rows of {cols}", data.len());
            Err(Error::input("preprocess", found, "whole rows"))
        }
    }
}

#[cfg(test)]
mod tests;
