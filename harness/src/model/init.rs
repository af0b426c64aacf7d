//! Where weights start.

use std::path::Path;

use rand_chacha::rand_core::Rng;
use sae_kernels::step::Parameters;

use super::file::load_weights_only;
use super::unreadable;
use crate::config::Init;
use crate::data::{Stream, rng};
use crate::error::Result;
use crate::paths::missing;

/// The weights that `init` names, for a model of `d_in` inputs and `d_hid` hidden units.
///
/// `xavier` draws both matrices uniformly from `[−a, a)`, `a = √(6/(d_in + d_hid))`, `w_enc` first, and sets the biases
/// to 0 (X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010).
///
/// # Errors
/// [`Error::Missing`](crate::Error::Missing), [`Error::Read`](crate::Error::Read) and
/// [`Error::Input`](crate::Error::Input) for a file that is not there, not readable or of other shapes.
pub fn initial_weights(init: &Init, d_in: usize, d_hid: usize, seed: u64) -> Result<Parameters> {
    match init {
        Init::Xavier => Ok(xavier(d_in, d_hid, seed)),
        Init::File(path) => from_file(path, d_in, d_hid),
    }
}

fn xavier(d_in: usize, d_hid: usize, seed: u64) -> Parameters {
    let limit = (6.0 / (d_in as f64 + d_hid as f64)).sqrt();
    let mut rng = rng(seed, Stream::Init);
    let mut draw = || {
        // 53 random bits: a multiple of 2⁻⁵³ in [0, 1).
        let unit = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        ((2.0 * unit - 1.0) * limit) as f32
    };
    let mut weights = Parameters::zeros(d_in, d_hid);
    weights.w_enc.iter_mut().chain(&mut weights.w_dec).for_each(|w| *w = draw());
    weights
}

/// Makes the decoder's weights the transpose of the encoder's.
pub(crate) fn tie(weights: &mut Parameters) {
    let Parameters { w_enc, w_dec, b_enc, b_dec } = weights;
    let (d_in, d_hid) = (b_dec.len(), b_enc.len());
    w_dec.iter_mut().enumerate().for_each(|(at, w)| *w = w_enc[at % d_in * d_hid + at / d_in]);
}

fn from_file(path: &Path, d_in: usize, d_hid: usize) -> Result<Parameters> {
    if !path.exists() {
        return Err(missing(path, &["xavier"], "xavier, or a .safetensors file with W_enc, b_enc, W_dec, b_dec"));
    }
    load_weights_only(path, d_in, d_hid).map_err(|e| unreadable(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xavier_fills_its_interval_evenly_and_the_seed_decides() {
        let (d_in, d_hid) = (40, 60);
        let weights = initial_weights(&Init::Xavier, d_in, d_hid, 1).unwrap();
        let limit = (6.0f64 / 100.0).sqrt();
        let all: Vec<f64> = weights.w_enc.iter().chain(&weights.w_dec).map(|&w| f64::from(w)).collect();
        assert_eq!(all.len(), 4800);
        // Rounding to f32 may reach the limit itself.
        assert!(all.iter().all(|w| w.abs() <= limit * (1.0 + 2f64.powi(-24))));
        // The mean of 4800 has standard deviation a/√(3·4800), that of the squares a²·√(4/45)/√4800 around a²/3: six of
        // each on either side.
        let mean = all.iter().sum::<f64>() / 4800.0;
        let square = all.iter().map(|w| w * w).sum::<f64>() / 4800.0;
        assert!(mean.abs() < 6.0 * limit / (3.0f64 * 4800.0).sqrt(), "{mean}");
        assert!(
            (square - limit * limit / 3.0).abs() < 6.0 * limit * limit * (4.0f64 / 45.0 / 4800.0).sqrt(),
            "{square}"
        );
        assert!(weights.b_enc.iter().chain(&weights.b_dec).all(|&b| b == 0.0));
        assert_eq!(weights, initial_weights(&Init::Xavier, d_in, d_hid, 1).unwrap());
        assert_ne!(weights, initial_weights(&Init::Xavier, d_in, d_hid, 2).unwrap());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = initial_weights(&Init::File("no-such.safetensors".into()), 2, 2, 0).unwrap_err();
        assert!(error.to_string().contains("no-such.safetensors: no such file"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
