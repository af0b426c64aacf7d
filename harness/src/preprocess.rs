//! Maps of raw data to what the network sees: fitted on the training rows, saved with the model, applied to everything.
//!
//! | name | map | a feature (or set) without spread |
//! | --- | --- | --- |
//! | `none` | `x` | `x` |
//! | `range` | `(x − min)/(max − min)`, over the whole set | becomes 0 |
//! | `minmax` | the same, per feature | becomes 0 |
//! | `zscore` | `(x − mean)/std`, per feature, `std` over n (not n − 1) | becomes 0 |
//!
//! Rows outside the training set can fall outside `[0, 1]`; nothing is clamped. A feature without spread in the training
//! rows is 0 for every row, whatever it holds there, and comes back from [`Fitted::invert`] as its training value.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

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
}

/// A map with its constants, as `cfg.json` carries it. Applied and inverted in f64, stored as f32.
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
}

impl Preprocess {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Range, Self::MinMax, Self::ZScore];

    /// Its name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Range => "range",
            Self::MinMax => "minmax",
            Self::ZScore => "zscore",
        }
    }

    /// Fits the map on `data [rows, cols]`, which should be the training rows and no others.
    ///
    /// # Errors
    /// [`Error::Input`] where `data` is empty or not `rows·cols` long.
    pub fn fit(self, data: &[f32], rows: usize, cols: usize) -> Result<Fitted> {
        if data.is_empty() || rows.checked_mul(cols) != Some(data.len()) {
            let found = format!("{} values for {rows} rows of {cols} columns", data.len());
            return Err(Error::input("preprocess", found, "rows x columns values, at least one"));
        }
        Ok(match self {
            Self::None => Fitted::None {},
            Self::Range => {
                let (min, max) = data.iter().fold((data[0], data[0]), |(low, high), &v| (low.min(v), high.max(v)));
                Fitted::Range { min, max }
            }
            Self::MinMax => {
                let (min, max) = bounds(data, cols);
                Fitted::MinMax { min, max }
            }
            Self::ZScore => z_score(data, rows, cols),
        })
    }
}

/// The smallest and the largest value of each feature.
fn bounds(data: &[f32], cols: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut min, mut max) = (data[..cols].to_vec(), data[..cols].to_vec());
    for row in data.chunks_exact(cols) {
        for ((low, high), &v) in min.iter_mut().zip(&mut max).zip(row) {
            *low = low.min(v);
            *high = high.max(v);
        }
    }
    (min, max)
}

/// Mean and standard deviation of each feature, in two passes.
fn z_score(data: &[f32], rows: usize, cols: usize) -> Fitted {
    let n = rows as f64;
    let (min, max) = bounds(data, cols);
    let (mut mean, mut std) = (vec![0f64; cols], vec![0f64; cols]);
    for row in data.chunks_exact(cols) {
        mean.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
    }
    mean.iter_mut().for_each(|sum| *sum /= n);
    for row in data.chunks_exact(cols) {
        std.iter_mut().zip(&mean).zip(row).for_each(|((sum, m), &v)| *sum += (f64::from(v) - m).powi(2));
    }
    for (((std, mean), &low), &high) in std.iter_mut().zip(&mut mean).zip(&min).zip(&max) {
        *std = (*std / n).sqrt();
        if low == high {
            // The rounded mean of equal values need not be that value, and would leave a spread of rounding errors.
            (*mean, *std) = (f64::from(low), 0.0);
        }
    }
    Fitted::ZScore { mean, std }
}

impl Fitted {
    /// Which map this is.
    pub const fn kind(&self) -> Preprocess {
        match self {
            Self::None {} => Preprocess::None,
            Self::Range { .. } => Preprocess::Range,
            Self::MinMax { .. } => Preprocess::MinMax,
            Self::ZScore { .. } => Preprocess::ZScore,
        }
    }

    /// Maps raw `data`, rows of `cols` values, in place.
    ///
    /// # Errors
    /// [`Error::Input`] where `cols` is not what the map was fitted on, or `data` are no whole rows: then nothing is
    /// changed. And where a value does not fit into an f32, which one that is far from the training rows need not, where
    /// their spread is very small.
    pub fn apply(&self, data: &mut [f32], cols: usize) -> Result {
        self.each(data, cols, |x, shift, spread| if spread == 0.0 { 0.0 } else { (x - shift) / spread })?;
        match data.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let found = format!("row {}, column {} (counted from 0) becomes {}", at / cols, at % cols, data[at]);
                Err(Error::input(format!("data.preprocess {}", self.kind().name()), found, "a finite number"))
            }
        }
    }

    /// Maps `data`, rows of `cols` values as the network sees them, back to raw values in place.
    ///
    /// # Errors
    /// As [`Fitted::apply`].
    pub fn invert(&self, data: &mut [f32], cols: usize) -> Result {
        self.each(data, cols, |y, shift, spread| y * spread + shift)
    }

    fn each(&self, data: &mut [f32], cols: usize, map: impl Fn(f64, f64, f64) -> f64) -> Result {
        let fitted = match self {
            Self::None {} | Self::Range { .. } => (cols, cols),
            Self::MinMax { min, max } => (min.len(), max.len()),
            Self::ZScore { mean, std } => (mean.len(), std.len()),
        };
        if fitted != (cols, cols) {
            let expected = format!("{}, as in the training data", fitted.0);
            return Err(Error::input("preprocess", format!("rows of {cols} columns"), expected));
        }
        if cols == 0 || !data.len().is_multiple_of(cols) {
            let found = format!("{} values in rows of {cols}", data.len());
            return Err(Error::input("preprocess", found, "whole rows"));
        }
        let spread = |min: f32, max: f32| f64::from(max) - f64::from(min);
        match self {
            Self::None {} => {}
            Self::Range { min, max } => {
                let (shift, spread) = (f64::from(*min), spread(*min, *max));
                data.iter_mut().for_each(|v| *v = map(f64::from(*v), shift, spread) as f32);
            }
            Self::MinMax { min, max } => {
                for row in data.chunks_exact_mut(cols) {
                    for ((v, &low), &high) in row.iter_mut().zip(min).zip(max) {
                        *v = map(f64::from(*v), low.into(), spread(low, high)) as f32;
                    }
                }
            }
            Self::ZScore { mean, std } => {
                for row in data.chunks_exact_mut(cols) {
                    for ((v, &mean), &std) in row.iter_mut().zip(mean).zip(std) {
                        *v = map(f64::from(*v), mean, std) as f32;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATA: [f32; 6] = [1.0, 10.0, 3.0, 30.0, 5.0, 20.0];

    fn applied(kind: Preprocess) -> Vec<f32> {
        let mut data = DATA.to_vec();
        kind.fit(&DATA, 3, 2).unwrap().apply(&mut data, 2).unwrap();
        data
    }

    #[test]
    fn each_map_gives_the_values_of_its_formula() {
        assert_eq!(applied(Preprocess::None), DATA);
        assert_eq!(applied(Preprocess::Range), DATA.map(|v| ((f64::from(v) - 1.0) / 29.0) as f32));
        assert_eq!(applied(Preprocess::MinMax), [0.0, 0.0, 0.5, 1.0, 1.0, 0.5]);
        // Column 0: mean 3, variance 8/3; column 1: mean 20, variance 200/3.
        let (a, b) = ((2.0 / (8.0f64 / 3.0).sqrt()) as f32, (10.0 / (200.0f64 / 3.0).sqrt()) as f32);
        assert_eq!(applied(Preprocess::ZScore), [-a, -b, 0.0, b, a, 0.0]);
    }

    #[test]
    fn held_out_rows_are_mapped_by_the_training_rows_and_not_clamped() {
        let fitted = Preprocess::MinMax.fit(&DATA, 3, 2).unwrap();
        let mut held_out = [9.0, -10.0];
        fitted.apply(&mut held_out, 2).unwrap();
        assert_eq!(held_out, [2.0, -1.0]);
    }

    #[test]
    fn features_without_spread_become_0_and_come_back() {
        // 0.1f32 three times: the f64 mean of the sum is not that number.
        let data = [0.1, 5.0, 0.1, 6.0, 0.1, 7.0];
        for kind in [Preprocess::MinMax, Preprocess::ZScore] {
            let fitted = kind.fit(&data, 3, 2).unwrap();
            let mut mapped = data;
            fitted.apply(&mut mapped, 2).unwrap();
            assert_eq!([mapped[0], mapped[2], mapped[4]], [0.0; 3], "{kind:?}");
            fitted.invert(&mut mapped, 2).unwrap();
            assert_eq!(mapped[0], 0.1, "{kind:?}");
        }
        let mut constant = [4.0; 6];
        Preprocess::Range.fit(&constant, 3, 2).unwrap().apply(&mut constant, 2).unwrap();
        assert_eq!(constant, [0.0; 6]);
    }

    #[test]
    fn extremes_of_f32_do_not_overflow() {
        let mut data = [f32::MIN, f32::MAX];
        Preprocess::Range.fit(&data, 2, 1).unwrap().apply(&mut data, 1).unwrap();
        assert_eq!(data, [0.0, 1.0]);
    }

    #[test]
    fn what_a_map_makes_infinite_is_refused_with_its_place() {
        // A spread of a subnormal number, and a value 2¹⁰⁰ of them away.
        let tiny = f32::from_bits(1);
        for kind in [Preprocess::Range, Preprocess::MinMax, Preprocess::ZScore] {
            let fitted = kind.fit(&[0.0, tiny], 2, 1).unwrap();
            let error = fitted.apply(&mut [tiny, 0.0, 1.0], 1).unwrap_err();
            let told = format!("data.preprocess {}: row 2, column 0 (counted from 0) becomes inf", kind.name());
            assert!(error.to_string().contains(&told) && error.exit_code() == 2, "{error}");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused_and_nothing_is_changed() {
        assert!(Preprocess::Range.fit(&[], 0, 2).is_err());
        assert!(Preprocess::Range.fit(&DATA, 4, 2).is_err());
        let fitted = Preprocess::MinMax.fit(&DATA, 3, 2).unwrap();
        let mut data = DATA;
        assert!(fitted.apply(&mut data, 3).unwrap_err().to_string().contains("rows of 3 columns, expected 2"));
        assert!(fitted.apply(&mut data[..5], 2).is_err());
        let uneven = Fitted::MinMax { min: vec![0.0; 2], max: vec![1.0] };
        assert!(uneven.apply(&mut data, 2).is_err());
        assert_eq!(data, DATA);
    }

    proptest! {
        #[test]
        fn json_keeps_every_bit_and_invert_undoes_apply(
            data in prop::collection::vec(-1e6f32..1e6, 12), kind in prop::sample::select(&Preprocess::ALL[..]),
        ) {
            let fitted = kind.fit(&data, 4, 3).unwrap();
            let json = serde_json::to_string(&fitted).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Fitted>(&json).unwrap(), &fitted);
            let mut there = data.clone();
            fitted.apply(&mut there, 3).unwrap();
            fitted.invert(&mut there, 3).unwrap();
            // y is rounded to f32, off by at most 2⁻²⁴·|y|, and |y|·spread ≤ 2·10⁶ (|y|·std is |x − mean|); the result
            // is rounded once more, off by at most 2⁻²⁴·10⁶. The f64 operations add a 2⁻²⁸th of that.
            let bound = 3.1 * 2f32.powi(-24) * 1e6;
            for (x, back) in data.iter().zip(&there) {
                prop_assert!((x - back).abs() <= bound, "{} {}", x, back);
            }
        }
    }
}
