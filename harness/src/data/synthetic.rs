//! Synthetic data whose answer is known: sparse sums over a dictionary.

use rand_distr::{Distribution, StandardNormal};

use super::split::{below, uniform};
use super::{Dataset, Stream, rng};
use crate::error::{Error, Result, excerpt, nearest};

/// A generative model with a ground truth: `x_i = Σ_{j ∈ S_i} a_ij · d_j + noise · ε_i`.
///
/// The atoms `d_j` are uniform on the unit sphere, `S_i` is a uniform set of `active` atoms, the coefficients `a_ij` are
/// uniform in `[0.5, 1.5)`, and `ε_i` is standard normal. An autoencoder that succeeds has the atoms as the rows of its
/// decoder, up to order and scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Synthetic {
    /// Samples.
    pub rows: usize,
    /// Length of a sample.
    pub d_in: usize,
    /// Atoms in the dictionary.
    pub atoms: usize,
    /// Atoms in a sample, at most `atoms`.
    pub active: usize,
    /// Standard deviation of the noise.
    pub noise: f64,
}

impl Default for Synthetic {
    /// 8,192 rows of length 64, 4 of 128 atoms active, noise 0.01.
    fn default() -> Self {
        Self { rows: 8192, d_in: 64, atoms: 128, active: 4, noise: 0.01 }
    }
}

impl Synthetic {
    /// Reads `rows=…,d_in=…,atoms=…,active=…,noise=…`; what is not named keeps its default.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn parse(parameters: &str) -> Result<Self> {
        const KEYS: [&str; 5] = ["rows", "d_in", "atoms", "active", "noise"];
        let mut model = Self::default();
        for part in parameters.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (key.trim(), value.trim());
            let place = || format!("data.source synthetic: {}", excerpt(key));
            let count = || value.parse().map_err(|_| Error::setting(place(), excerpt(value), "a whole number"));
            match key {
                "rows" => model.rows = count()?,
                "d_in" => model.d_in = count()?,
                "atoms" => model.atoms = count()?,
                "active" => model.active = count()?,
                "noise" => {
                    model.noise = value.parse().map_err(|_| Error::setting(place(), excerpt(value), "a number"))?;
                }
                _ => {
                    return Err(Error::Setting {
                        place: "data.source synthetic".to_owned(),
                        found: format!("unknown parameter `{}`", excerpt(key)),
                        expected: format!("one of: {}", KEYS.join(", ")),
                        nearest: nearest(key, KEYS).map(str::to_owned),
                    });
                }
            }
        }
        model.check()?;
        Ok(model)
    }

    fn check(&self) -> Result {
        let wrong = |name: &str, found: String, expected: &str| {
            Err(Error::setting(format!("data.source synthetic: {name}"), found, expected))
        };
        for (name, value) in [("rows", self.rows), ("d_in", self.d_in), ("atoms", self.atoms)] {
            if value == 0 {
                return wrong(name, "0".into(), "at least 1");
            }
        }
        if self.active == 0 || self.active > self.atoms {
            return wrong("active", self.active.to_string(), &format!("1 to {}, the number of atoms", self.atoms));
        }
        if !(0.0..=1e6).contains(&self.noise) {
            return wrong("noise", self.noise.to_string(), "0 to 1e6");
        }
        Ok(())
    }

    /// The ground truth: `[atoms, d_in]`, row-major, rows of norm 1. It depends on `seed`, `atoms` and `d_in` alone.
    ///
    /// # Errors
    /// [`Error::Setting`] for parameters out of range, [`Error::Memory`].
    pub fn dictionary(&self, seed: u64) -> Result<Vec<f32>> {
        self.check()?;
        let mut rng = rng(seed, Stream::Dictionary);
        let mut dictionary = room("the dictionary", self.atoms, self.d_in)?;
        let mut atom = vec![0f64; self.d_in];
        for _ in 0..self.atoms {
            atom.fill_with(|| StandardNormal.sample(&mut rng));
            let norm = atom.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            dictionary.extend(atom.iter().map(|v| (v / norm) as f32));
        }
        Ok(dictionary)
    }

    /// The samples, without labels. Sums are formed in f64.
    ///
    /// # Errors
    /// As [`Synthetic::dictionary`].
    pub fn generate(&self, seed: u64) -> Result<Dataset> {
        let dictionary = self.dictionary(seed)?;
        let mut rng = rng(seed, Stream::Samples);
        let mut data = room("synthetic data", self.rows, self.d_in)?;
        let mut atoms: Vec<usize> = (0..self.atoms).collect();
        let mut sample = vec![0f64; self.d_in];
        for _ in 0..self.rows {
            sample.fill(0.0);
            for slot in 0..self.active {
                // The first steps of a Fisher–Yates shuffle choose a uniform subset, whatever the order before.
                atoms.swap(slot, slot + below(&mut rng, (self.atoms - slot) as u64) as usize);
                let coefficient = 0.5 + uniform(&mut rng);
                let atom = &dictionary[atoms[slot] * self.d_in..][..self.d_in];
                sample.iter_mut().zip(atom).for_each(|(x, &d)| *x += coefficient * f64::from(d));
            }
            for &x in &sample {
                let noise: f64 = StandardNormal.sample(&mut rng);
                data.push((x + self.noise * noise) as f32);
            }
        }
        let name = "synthetic".to_owned();
        Ok(Dataset { name, rows: self.rows, cols: self.d_in, data, image: None, labels: None })
    }
}

fn room(what: &str, rows: usize, cols: usize) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    let fits = rows.checked_mul(cols).is_some_and(|count| values.try_reserve_exact(count).is_ok());
    let bytes = 4 * rows as u128 * cols as u128;
    if fits { Ok(values) } else { Err(Error::Memory { what: what.to_owned(), bytes }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_without_noise_are_sums_of_active_atoms() {
        let model = Synthetic { rows: 50, d_in: 16, atoms: 8, active: 1, noise: 0.0 };
        let (set, dictionary) = (model.generate(1).unwrap(), model.dictionary(1).unwrap());
        for row in 0..set.rows {
            // One active atom: the row is a·d_j, and a = x·d_j since |d_j| = 1.
            let fits = dictionary.chunks_exact(16).any(|atom| {
                let a: f64 = atom.iter().zip(set.row(row)).map(|(&d, &x)| f64::from(d) * f64::from(x)).sum();
                // The stored atom and row each are off by at most half an f32 ulp of numbers below 1.5.
                let near = |(&d, &x): (&f32, &f32)| (a * f64::from(d) - f64::from(x)).abs() < 16.0 * 2f64.powi(-23);
                (0.49..1.51).contains(&a) && atom.iter().zip(set.row(row)).all(near)
            });
            assert!(fits, "row {row}");
        }
    }

    #[test]
    fn atoms_have_norm_one_and_do_not_depend_on_the_number_of_rows() {
        let small = Synthetic { rows: 1, ..Synthetic::default() };
        let dictionary = small.dictionary(5).unwrap();
        assert_eq!(dictionary, Synthetic::default().dictionary(5).unwrap());
        for atom in dictionary.chunks_exact(small.d_in) {
            let norm: f64 = atom.iter().map(|&v| f64::from(v).powi(2)).sum();
            // Each of the 64 squares is off by at most 2⁻²³ of itself, relative, and they sum to 1.
            assert!((norm - 1.0).abs() < 2f64.powi(-22));
        }
    }

    #[test]
    fn the_seed_decides() {
        let model = Synthetic { rows: 10, ..Synthetic::default() };
        assert_eq!(model.generate(1).unwrap(), model.generate(1).unwrap());
        assert_ne!(model.generate(1).unwrap().data, model.generate(2).unwrap().data);
    }

    #[test]
    fn parameters_are_read_and_wrong_ones_named() {
        let model = Synthetic::parse("rows=10, d_in=4,atoms=6,active=2,noise=0.5").unwrap();
        assert_eq!(model, Synthetic { rows: 10, d_in: 4, atoms: 6, active: 2, noise: 0.5 });
        assert_eq!(Synthetic::parse("").unwrap(), Synthetic::default());
        for (text, found) in [
            ("row=3", "did you mean `rows`"),
            ("rows=x", "rows: x"),
            ("rows", "rows: , expected a whole number"),
            ("rows=0", "at least 1"),
            ("atoms=3,active=4", "1 to 3"),
            ("noise=nan", "0 to 1e6"),
            ("noise=-1", "0 to 1e6"),
        ] {
            let error = Synthetic::parse(text).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
        let huge = Synthetic { rows: usize::MAX, ..Synthetic::default() };
        assert!(matches!(huge.generate(0), Err(Error::Memory { .. })));
    }
}
