//! The corrupted copies of a batch, in the layout that a backend works in.

use rayon::prelude::*;
use sae_kernels::MatRef;
use sae_kernels::step::Input;

use super::Position;
use crate::config::NoiseConfig;
use crate::data::{Dataset, Noise, Stream, rng_at};
use crate::error::Result;
use crate::model::{Batch, copy_rows};

/// What a step of a denoising autoencoder is given: clean batches come in, inputs go out.
#[derive(Debug)]
pub(super) struct Denoising {
    noise: Noise,
    /// The least and the largest value of the training set.
    range: (f32, f32),
    seed: u64,
    /// γ, where the clean samples are part of the objective.
    gamma: Option<f32>,
    /// Row-major: the clean samples where they are part, then the corrupted ones.
    values: Vec<f32>,
    batch: Batch,
}

impl Denoising {
    /// `None` where there is no noise.
    ///
    /// # Errors
    /// Those of [`Batch::new`].
    pub(super) fn new(
        config: &NoiseConfig,
        seed: u64,
        set: &Dataset,
        most: usize,
        panel: Option<usize>,
    ) -> Result<Option<Self>> {
        let Some(noise) = config.noise() else { return Ok(None) };
        let gamma = config.is_paired().then_some(config.gamma as f32);
        let rows = if config.is_paired() { 2 * most } else { most };
        let batch = Batch::new(rows, set.cols, panel)?;
        Ok(Some(Self { noise, range: set.range(), seed, gamma, values: Vec::with_capacity(rows * set.cols), batch }))
    }

    /// The input that `clean`, whose samples have these numbers in the data, becomes at `position`.
    ///
    /// # Errors
    /// Those of [`Batch::take`].
    pub(super) fn input<'a>(&'a mut self, clean: MatRef<'a>, rows: &[u64], position: Position) -> Result<Input<'a>> {
        let (cols, len) = (clean.cols(), clean.rows() * clean.cols());
        let first = if self.gamma.is_some() { len } else { 0 };
        self.values.resize(first + len, 0.0);
        copy_rows(clean, &mut self.values[..len]);
        if first > 0 {
            self.values.copy_within(..len, first);
        }
        let (noise, range, seed) = (self.noise, self.range, self.seed);
        corrupt(&mut self.values[first..], cols, rows, |row, sample| {
            let index = position.epoch << ROW_BITS | row & ((1 << ROW_BITS) - 1);
            noise.corrupt(sample, range, &mut rng_at(seed, Stream::Noise, index));
        });
        self.batch.take(&self.values)?;
        let x = self.batch.view()?;
        Ok(match self.gamma {
            Some(gamma) => Input::Paired { both: x, gamma },
            None => Input::Corrupted { x, target: clean },
        })
    }
}

/// Rows of a set and epochs that have streams of their own: 2³² and 2²⁴.
const ROW_BITS: u32 = 32;
/// Elements below which everything stays on the thread it is on.
const SPLIT: usize = 1 << 14;

/// Calls `each` with each sample and its number.
fn corrupt(samples: &mut [f32], cols: usize, rows: &[u64], each: impl Fn(u64, &mut [f32]) + Sync) {
    if samples.len() < SPLIT {
        samples.chunks_exact_mut(cols.max(1)).zip(rows).for_each(|(sample, &row)| each(row, sample));
    } else {
        samples.par_chunks_exact_mut(cols.max(1)).zip(rows).for_each(|(sample, &row)| each(row, sample));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_corrupted_alike_in_whatever_batch_it_is_and_otherwise_in_another_epoch() {
        let set = crate::data::digits().unwrap();
        let config = NoiseConfig { kind: crate::config::NoiseKind::Gaussian, ..NoiseConfig::default() };
        let corrupted = |rows: &[u64], epoch| {
            let mut denoising = Denoising::new(&config, 7, &set, rows.len(), None).unwrap().unwrap();
            let clean: Vec<f32> = rows.iter().flat_map(|&row| set.row(row as usize).to_vec()).collect();
            let clean = MatRef::row_major(&clean, rows.len(), set.cols).unwrap();
            let input = denoising.input(clean, rows, Position { epoch, batch: 0 }).unwrap();
            let Input::Corrupted { x, .. } = input else { panic!("{input:?}") };
            (0..rows.len()).map(|r| (0..set.cols).map(|c| x.at(0, r, c)).collect()).collect::<Vec<Vec<f32>>>()
        };
        let all = corrupted(&[5, 1, 9], 3);
        assert_eq!(all[1..2], corrupted(&[1], 3));
        assert_ne!(all[1..2], corrupted(&[1], 4));
        assert_ne!(all[0], all[1]);
        // As many as go through several threads.
        let many: Vec<u64> = (0..300).collect();
        assert_eq!(corrupted(&many, 3)[9], all[2]);
    }
}
