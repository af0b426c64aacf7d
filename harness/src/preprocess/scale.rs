//! Maps of each value by itself: a shift and a spread, of the whole set or of its feature.

use super::Fitted;

/// The whole set to `[0, 1]`.
pub(super) fn range(data: &[f32]) -> Fitted {
    let (min, max) = data.iter().fold((data[0], data[0]), |(low, high), &v| (low.min(v), high.max(v)));
    Fitted::Range { min, max }
}

/// Each feature to `[0, 1]`.
pub(super) fn min_max(data: &[f32], cols: usize) -> Fitted {
    let (min, max) = bounds(data, cols);
    Fitted::MinMax { min, max }
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
pub(super) fn z_score(data: &[f32], rows: usize, cols: usize) -> Fitted {
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
    /// `map(value, shift, spread)` of every value, where the map is one of this kind; rows are whole and of its length.
    pub(super) fn each(&self, data: &mut [f32], map: impl Fn(f64, f64, f64) -> f64) {
        let spread = |min: f32, max: f32| f64::from(max) - f64::from(min);
        match self {
            Self::None {} | Self::Pca(_) | Self::Zca(_) | Self::Patches(_) => {}
            Self::Range { min, max } => {
                let (shift, spread) = (f64::from(*min), spread(*min, *max));
                data.iter_mut().for_each(|v| *v = map(f64::from(*v), shift, spread) as f32);
            }
            Self::MinMax { min, max } => {
                for row in data.chunks_exact_mut(min.len()) {
                    for ((v, &low), &high) in row.iter_mut().zip(min).zip(max) {
                        *v = map(f64::from(*v), low.into(), spread(low, high)) as f32;
                    }
                }
            }
            Self::ZScore { mean, std } => {
                for row in data.chunks_exact_mut(mean.len()) {
                    for ((v, &mean), &std) in row.iter_mut().zip(mean).zip(std) {
                        *v = map(f64::from(*v), mean, std) as f32;
                    }
                }
            }
        }
    }
}
