//! The input that activates a unit most.

use super::file::ModelFile;

impl ModelFile {
    /// Of all inputs of length 1, the one that activates hidden unit `unit` most: `x = w/‖w‖`, w its column of `w_enc`.
    ///
    /// The activation rises with `w·x + b`, and `w·x ≤ ‖w‖·‖x‖` with equality where x points along w (Cauchy and Schwarz). A unit whose
    /// weights are all 0 is activated alike by all inputs; its answer is 0. The input is a preprocessed one.
    ///
    /// # Panics
    /// Where `unit` is not below `d_hid`.
    pub fn maximal_input(&self, unit: usize) -> Vec<f32> {
        assert!(unit < self.d_hid, "unit {unit} of {}", self.d_hid);
        let w = || self.w_enc.iter().skip(unit).step_by(self.d_hid).map(|&w| f64::from(w));
        let length = w().map(|w| w * w).sum::<f64>().sqrt();
        w().map(|w| if length > 0.0 { (w / length) as f32 } else { 0.0 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use sae_kernels::ops::{Activation, Loss};

    use super::*;
    use crate::model::file::ModelConfig;

    #[test]
    fn no_other_input_of_that_length_activates_the_unit_more() {
        let (d_in, d_hid) = (16, 3);
        let numbers = |n: usize| (0..n).map(|i| ((i * 37 + 5) % 101) as f32 / 101.0 - 0.5).collect::<Vec<_>>();
        let mut model = ModelFile {
            w_enc: numbers(d_in * d_hid),
            b_enc: numbers(d_hid),
            w_dec: numbers(d_hid * d_in),
            b_dec: numbers(d_in),
            d_in,
            d_hid,
            cfg: ModelConfig {
                hidden: Activation::Sigmoid,
                output: Activation::Sigmoid,
                convention: "per_sample".into(),
                reconstruction: Loss::Squared,
                sparsity: "none".into(),
                rho: 0.05,
                k: None,
                threshold: None,
                tied: false,
                beta: 0.0,
                lambda: 0.0,
                image: None,
                preprocessing: serde_json::Value::Null,
            },
        };
        model.w_enc.iter_mut().skip(2).step_by(d_hid).for_each(|w| *w = 0.0);
        for unit in [0, 1] {
            let best = model.maximal_input(unit);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let w: Vec<f32> = model.w_enc.iter().skip(unit).step_by(d_hid).copied().collect();
            // 16 squares of numbers below 1, rounded to f32 twice each.
            assert!((dot(&best, &best) - 1.0).abs() <= 16.0 * 2f64.powi(-23));
            for seed in 0..50 {
                let other: Vec<f32> = (0..d_in).map(|i| ((i * 37 + seed * 101) % 211) as f32 / 211.0 - 0.5).collect();
                assert!(dot(&w, &other) / dot(&other, &other).sqrt() < dot(&w, &best));
            }
        }
        assert!(model.maximal_input(2).iter().all(|&v| v == 0.0));
    }
}
