//! Settings that are valid and yet probably not meant, and data that the settings cannot represent.

use super::{Config, Convention, NoiseKind, OutputActivation, Reconstruction, SparsityKind};
use crate::error::{Error, Result};

/// β of the literature, in the `per_sample` convention: A. Ng, "Sparse autoencoder" (CS294A lecture notes).
const USUAL_BETA: f64 = 3.0;
/// Up to so many times stronger or weaker than usual, β is still usual.
const WIDE: f64 = 10.0;
/// So many times weaker than usual, β is suspected to belong to the other convention.
const WEAK: f64 = 100.0;

impl Config {
    /// What the user should be told before a run on samples of length `d_in`, a line each.
    ///
    /// The conventions agree when `β_e = 2·β_s/d_in` (and λ_e = 2·n·λ_s/d_in): a β that is usual in one of them and far
    /// from usual in the one chosen was probably meant for the other.
    pub fn warnings(&self, d_in: usize) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.sparsity.kind == SparsityKind::Kl && self.sparsity.beta > 0.0 && d_in > 0 {
            warnings.extend(self.beta_of_the_other_convention(d_in as f64));
        }
        if matches!(self.sparsity.kind, SparsityKind::Kl | SparsityKind::L1) && self.sparsity.beta == 0.0 {
            let kind = self.sparsity.kind;
            warnings
                .push(format!("sparsity.beta is 0, so sparsity.kind {kind} has no effect; say none to silence this"));
        }
        warnings.extend(self.noise_without_effect());
        if !self.stack.layers.is_empty() {
            warnings.push("stack.layers has no effect here: sae stack trains stacks".to_owned());
        }
        warnings
    }

    /// Noise that changes nothing, and a γ without noise.
    fn noise_without_effect(&self) -> Option<String> {
        let noise = &self.noise;
        match noise.kind {
            NoiseKind::None if noise.gamma > 0.0 => {
                Some(format!("noise.gamma {} has no effect with noise.kind none", noise.gamma))
            }
            NoiseKind::Gaussian if noise.sigma == 0.0 => Some("noise.sigma is 0: inputs are not corrupted".to_owned()),
            NoiseKind::Masking | NoiseKind::SaltAndPepper if noise.fraction == 0.0 => {
                Some("noise.fraction is 0: inputs are not corrupted".to_owned())
            }
            _ => None,
        }
    }

    fn beta_of_the_other_convention(&self, d_in: f64) -> Option<String> {
        let beta = self.sparsity.beta;
        let usual = |beta_s: f64| (USUAL_BETA / WIDE..=USUAL_BETA * WIDE).contains(&beta_s);
        match self.loss.convention {
            Convention::PerElement => {
                let as_per_sample = beta * d_in / 2.0;
                (as_per_sample > USUAL_BETA * WIDE).then(|| {
                    format!(
                        "sparsity.beta {beta} with loss.convention per_element weighs as {as_per_sample} would with \
                         per_sample; for what per_sample calls {beta} set sparsity.beta to 2·{beta}/{d_in} = {}",
                        short(2.0 * beta / d_in)
                    )
                })
            }
            Convention::PerSample => {
                let as_per_element = beta * d_in / 2.0;
                (beta < USUAL_BETA / WEAK && usual(as_per_element)).then(|| {
                    format!(
                        "sparsity.beta {beta} with loss.convention per_sample is very weak; for what per_element calls \
                         {beta} set sparsity.beta to {beta}·{d_in}/2 = {}",
                        short(as_per_element)
                    )
                })
            }
        }
    }
}

/// A number with four significant digits, where it has more.
fn short(value: f64) -> String {
    format!("{value:.3e}").parse::<f64>().map_or(value.to_string(), |rounded| rounded.to_string())
}

/// Whether preprocessed data in `[min, max]` can be reconstructed by `output` under `loss`: `Ok(None)` where they can,
/// a warning where they cannot be reached.
///
/// # Errors
/// [`Error::Setting`] for `bce` with data outside `[0, 1]`, where the loss has no lower bound.
pub fn data_fits(output: OutputActivation, loss: Reconstruction, min: f32, max: f32) -> Result<Option<String>> {
    let (low, high, interval) = match output {
        _ if loss == Reconstruction::Bce => (0.0, 1.0, "[0, 1]"),
        OutputActivation::Sigmoid => (0.0, 1.0, "[0, 1]"),
        OutputActivation::Tanh => (-1.0, 1.0, "[-1, 1]"),
        OutputActivation::Identity => return Ok(None),
    };
    if min >= low && max <= high {
        return Ok(None);
    }
    if loss == Reconstruction::Bce {
        return Err(Error::setting(
            "loss.reconstruction",
            format!("bce with preprocessed data in [{min}, {max}]"),
            "data in [0, 1] (data.preprocess range or minmax), or squared",
        ));
    }
    Ok(Some(format!(
        "preprocessed data lie in [{min}, {max}], and model.output {output} reaches only {interval}; \
         set data.preprocess to range or minmax, or model.output to identity"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NoiseConfig;

    fn config(convention: Convention, beta: f64) -> Config {
        let mut config = Config::default();
        config.loss.convention = convention;
        config.sparsity.beta = beta;
        config
    }

    #[test]
    fn a_beta_pasted_beside_the_other_convention_is_told() {
        let warnings = config(Convention::PerElement, 3.0).warnings(784);
        assert_eq!(warnings.len(), 1);
        // 3·784/2, and 2·3/784 = 0.0076530…
        assert!(warnings[0].contains("1176") && warnings[0].contains("= 0.007653"), "{}", warnings[0]);
        let warnings = config(Convention::PerSample, 0.007653).warnings(784);
        assert!(warnings[0].contains("= 3"), "{}", warnings[0]);
    }

    #[test]
    fn usual_settings_are_not_warned_about() {
        for (convention, beta, d_in) in [
            (Convention::PerSample, 3.0, 784),
            (Convention::PerSample, 0.1, 16),
            (Convention::PerElement, 6.0 / 784.0, 784),
            (Convention::PerElement, 3.0, 2),
        ] {
            assert_eq!(config(convention, beta).warnings(d_in), Vec::<String>::new(), "{convention} {beta} {d_in}");
        }
        let mut config = config(Convention::PerElement, 3.0);
        config.sparsity.kind = SparsityKind::None;
        assert!(config.warnings(784).is_empty());
    }

    #[test]
    fn a_term_without_weight_is_told() {
        assert!(config(Convention::PerSample, 0.0).warnings(64)[0].contains("no effect"));
    }

    #[test]
    fn noise_that_is_none_is_told() {
        let told = |kind, sigma, fraction, gamma| {
            let mut config = config(Convention::PerSample, 3.0);
            config.noise = NoiseConfig { kind, sigma, fraction, gamma };
            config.warnings(64).concat()
        };
        assert_eq!(told(NoiseKind::Gaussian, 0.1, 0.0, 1.0), "");
        assert_eq!(told(NoiseKind::Masking, 0.0, 0.1, 0.0), "");
        assert!(told(NoiseKind::None, 0.1, 0.1, 0.5).contains("noise.gamma 0.5 has no effect"));
        assert!(told(NoiseKind::Gaussian, 0.0, 0.1, 0.5).contains("noise.sigma is 0"));
        assert!(told(NoiseKind::SaltAndPepper, 0.1, 0.0, 0.5).contains("noise.fraction is 0"));
    }

    #[test]
    fn data_an_output_cannot_reach_are_told_and_bce_refuses_them() {
        use OutputActivation::{Identity, Sigmoid, Tanh};
        let squared = |output, min, max| data_fits(output, Reconstruction::Squared, min, max).unwrap();
        assert_eq!(squared(Sigmoid, 0.0, 1.0), None);
        assert!(squared(Sigmoid, -0.1, 1.0).is_some());
        assert!(squared(Sigmoid, 0.0, 16.0).unwrap().contains("[0, 16]"));
        assert_eq!(squared(Tanh, -1.0, 1.0), None);
        assert!(squared(Tanh, -2.0, 1.0).is_some());
        assert_eq!(squared(Identity, -2.0, 100.0), None);
        assert_eq!(data_fits(Sigmoid, Reconstruction::Bce, 0.0, 1.0).unwrap(), None);
        assert_eq!(data_fits(Sigmoid, Reconstruction::Bce, 0.0, 1.1).unwrap_err().exit_code(), 2);
        assert!(squared(Sigmoid, f32::NAN, 1.0).is_some());
    }
}
