//! Noise that corrupts inputs.
//!
//! | name | what becomes of a value |
//! | --- | --- |
//! | `gaussian:SIGMA` | a normal number of standard deviation SIGMA is added |
//! | `masking:SHARE` | with probability SHARE it becomes 0 |
//! | `salt_and_pepper:SHARE` | with probability SHARE it becomes, as likely, the lowest or the highest value |

use std::fmt;
use std::str::FromStr;

use rand_chacha::rand_core::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result, nearest};

/// A kind of noise, with its strength.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// Added normal numbers.
    Gaussian {
        /// Their standard deviation.
        sigma: f64,
    },
    /// Values that become 0.
    Masking {
        /// Their share.
        share: f64,
    },
    /// Values that become the lowest or the highest.
    SaltAndPepper {
        /// Their share.
        share: f64,
    },
}

impl Noise {
    const NAMES: [&str; 3] = ["gaussian", "masking", "salt_and_pepper"];

    /// Its name, without its strength.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gaussian { .. } => Self::NAMES[0],
            Self::Masking { .. } => Self::NAMES[1],
            Self::SaltAndPepper { .. } => Self::NAMES[2],
        }
    }

    /// Its strength: σ, or the share.
    pub const fn strength(self) -> f64 {
        match self {
            Self::Gaussian { sigma } => sigma,
            Self::Masking { share } | Self::SaltAndPepper { share } => share,
        }
    }

    /// Corrupts `data`, whose lowest and highest values are meant to be `low` and `high`. As many numbers are drawn for each value,
    /// whatever it is: two with [`Noise::SaltAndPepper`], one with the others.
    pub fn corrupt(self, data: &mut [f32], (low, high): (f32, f32), rng: &mut impl Rng) {
        /// Uniform in [0, 1).
        fn uniform(rng: &mut impl Rng) -> f64 {
            (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
        }
        for v in data {
            match self {
                Self::Gaussian { sigma } => {
                    let normal: f64 = StandardNormal.sample(rng);
                    *v = (f64::from(*v) + sigma * normal) as f32;
                }
                Self::Masking { share } => {
                    if uniform(rng) < share {
                        *v = 0.0;
                    }
                }
                Self::SaltAndPepper { share } => {
                    let (hit, up) = (uniform(rng) < share, uniform(rng) < 0.5);
                    if hit {
                        *v = if up { high } else { low };
                    }
                }
            }
        }
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), self.strength())
    }
}

impl FromStr for Noise {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, strength) = text.split_once(':').unwrap_or((text, ""));
        let wrong = |expected: &str, nearest: Option<&str>| Error::Setting {
            place: "noise".into(),
            found: format!("`{}`", crate::error::excerpt(text)),
            expected: expected.into(),
            nearest: nearest.map(str::to_owned),
        };
        if !Self::NAMES.contains(&name) {
            let expected = "gaussian:SIGMA, masking:SHARE or salt_and_pepper:SHARE";
            return Err(wrong(expected, nearest(name, Self::NAMES)));
        }
        let strength: f64 = strength.parse().unwrap_or(f64::NAN);
        match name {
            "gaussian" if strength >= 0.0 && strength.is_finite() => Ok(Self::Gaussian { sigma: strength }),
            "gaussian" => Err(wrong("gaussian:SIGMA, a number not below 0", None)),
            _ if !(0.0..=1.0).contains(&strength) => Err(wrong(&format!("{name}:SHARE, a number from 0 to 1"), None)),
            "masking" => Ok(Self::Masking { share: strength }),
            _ => Ok(Self::SaltAndPepper { share: strength }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Stream, rng};

    fn corrupted(text: &str, n: usize) -> Vec<f32> {
        let mut data = vec![0.5; n];
        text.parse::<Noise>().unwrap().corrupt(&mut data, (-1.0, 2.0), &mut rng(7, Stream::Noise));
        data
    }

    #[test]
    fn each_kind_has_its_strength() {
        const N: usize = 40_000;
        let share = |data: &[f32], value: f32| data.iter().filter(|&&v| v == value).count() as f64 / N as f64;
        // Shares are binomial: their standard deviation is at most 0.5/√N = 0.0025; five of them. σ's estimate has 0.3/√(2N) = 0.001.
        let masked = corrupted("masking:0.3", N);
        assert!((share(&masked, 0.0) - 0.3).abs() < 0.0125 && share(&masked, 0.0) + share(&masked, 0.5) == 1.0);
        let salted = corrupted("salt_and_pepper:0.4", N);
        assert!((share(&salted, -1.0) - 0.2).abs() < 0.0125 && (share(&salted, 2.0) - 0.2).abs() < 0.0125);
        let noisy = corrupted("gaussian:0.3", N);
        let mean = noisy.iter().map(|&v| f64::from(v)).sum::<f64>() / N as f64;
        let variance = noisy.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / N as f64;
        assert!((mean - 0.5).abs() < 0.0075 && (variance.sqrt() - 0.3).abs() < 0.0055, "{mean} {variance}");
        for none in ["gaussian:0", "masking:0", "salt_and_pepper:0"] {
            assert!(corrupted(none, 99).iter().all(|&v| v == 0.5), "{none}");
        }
    }

    #[test]
    fn names_come_back_and_what_is_none_is_refused() {
        for text in ["gaussian:0.3", "masking:0", "salt_and_pepper:1"] {
            assert_eq!(text.parse::<Noise>().unwrap().to_string(), text);
        }
        for bad in
            ["gaussian", "gaussian:-1", "gaussian:inf", "masking:1.5", "masking:x", "", ":", "salt_and_pepper:nan"]
        {
            assert_eq!(bad.parse::<Noise>().unwrap_err().exit_code(), 2, "{bad}");
        }
        assert!("guassian:0.3".parse::<Noise>().unwrap_err().to_string().contains("did you mean `gaussian`"));
    }
}
