//! Maps of each value by itself: a shift and a spread, of the whole set or of its feature.

use super::Fitted;

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
