//! Where all randomness comes from, and what it decides first: which rows are held out, and in which order the others
//! are seen.
//!
//! One seed, and a ChaCha8 stream of its own for every use, so that one use never shifts another: the split stays the
//! same when an initialisation draws more numbers. Integers are drawn by an algorithm stated here, so that an order
//! outlives the versions of the libraries.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::error::{Error, Result};

/// What random numbers are drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Stream {
    /// Initial weights.
    Init = 1,
    /// The order of the rows in an epoch.
    Shuffle = 2,
    /// Which rows are held out.
    Split = 3,
    /// Noise added to inputs.
    Noise = 4,
    /// The dictionary of synthetic data.
    Dictionary = 5,
    /// The samples of synthetic data.
    Samples = 6,
    /// Where patches are cut from images.
    Patches = 7,
    /// Initial weights of a stack's classifier.
    Head = 8,
    /// The order of the blocks of an epoch, where the rows are not in memory together.
    Blocks = 9,
    /// The order of the rows in a window of such blocks.
    Windows = 10,
    /// Which hidden units are dropped.
    Dropout = 11,
    /// The settings of a sweep's runs.
    Sweep = 16,
}

/// What the kernels draw dropped units from.
pub(crate) fn dropout_seed(seed: u64) -> u64 {
    rng(seed, Stream::Dropout).next_u64()
}

/// The generator of a stream.
pub fn rng(seed: u64, stream: Stream) -> ChaCha8Rng {
    rng_at(seed, stream, 0)
}

/// The generator of part `index` of a stream: the shuffle of an epoch, say. Only the low 56 bits of `index` count.
pub fn rng_at(seed: u64, stream: Stream, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((stream as u64) << 56 | index & (u64::MAX >> 8));
    rng
}

/// A uniform integer below `n`, which is not 0.
///
/// Widening multiplication with rejection: D. Lemire, "Fast random integer generation in an interval" (2019).
pub(crate) fn below(rng: &mut impl Rng, n: u64) -> u64 {
    let mut product = u128::from(rng.next_u64()) * u128::from(n);
    if (product as u64) < n {
        let threshold = n.wrapping_neg() % n;
        while (product as u64) < threshold {
            product = u128::from(rng.next_u64()) * u128::from(n);
        }
    }
    (product >> 64) as u64
}

/// A uniform number in `[0, 1)`, a multiple of 2⁻⁵³.
pub(crate) fn uniform(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * 2f64.powi(-53)
}

/// A uniform permutation (Fisher and Yates), in place.
pub(crate) fn permute(rng: &mut impl Rng, order: &mut [usize]) {
    for last in (1..order.len()).rev() {
        order.swap(last, below(rng, last as u64 + 1) as usize);
    }
}

/// The order in which the `rows` training rows are seen in `epoch`: a permutation that depends on `seed` and `epoch`
/// alone, or the given order without `shuffle`.
pub fn epoch_order(rows: usize, shuffle: bool, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    if shuffle {
        permute(&mut rng_at(seed, Stream::Shuffle, epoch), &mut order);
    }
    order
}

/// Which rows are trained on and which are held out: three disjoint lists that cover the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows to train on.
    pub train: Vec<usize>,
    /// Rows to watch the training by.
    pub validation: Vec<usize>,
    /// Rows to judge the result by.
    pub test: Vec<usize>,
}

impl Split {
    /// Divides `rows` rows by the fractions `validation` and `test`, each rounded to the nearest row, and at least one
    /// row where the fraction is not 0.
    ///
    /// With `shuffle` the rows are permuted first; without, they are taken in the order of the file, training rows
    /// first, then validation, then test.
    ///
    /// # Errors
    /// [`Error::Setting`] where a fraction is outside `[0, 1)` or no row is left to train on.
    pub fn new(rows: usize, validation: f64, test: f64, shuffle: bool, seed: u64) -> Result<Self> {
        for (place, fraction) in [("data.validation", validation), ("data.test", test)] {
            if !(0.0..1.0).contains(&fraction) {
                return Err(Error::setting(place, fraction.to_string(), "a fraction in [0, 1)"));
            }
        }
        // Below 2⁵³ rows the product is exact to far less than a row; the cast saturates.
        let part = |fraction: f64| match fraction {
            0.0 => 0,
            _ => ((rows as f64 * fraction).round() as usize).max(1),
        };
        let (validation_rows, test_rows) = (part(validation), part(test));
        let held_out = validation_rows.saturating_add(test_rows);
        if held_out >= rows {
            let found = format!("{validation} and {test} hold out {held_out} of {rows} rows");
            return Err(Error::setting("data.validation, data.test", found, "at least one row left to train on"));
        }
        let mut train: Vec<usize> = (0..rows).collect();
        if shuffle {
            permute(&mut rng(seed, Stream::Split), &mut train);
        }
        let test = train.split_off(rows - test_rows);
        let validation = train.split_off(rows - held_out);
        Ok(Self { train, validation, test })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_held_out_rows_and_shuffle_the_order_is_that_of_the_file() {
        let split = Split::new(5, 0.0, 0.0, false, 7).unwrap();
        assert_eq!((split.train, split.validation, split.test), (vec![0, 1, 2, 3, 4], vec![], vec![]));
        assert_eq!(epoch_order(4, false, 7, 3), [0, 1, 2, 3]);
        let split = Split::new(10, 0.2, 0.1, false, 7).unwrap();
        assert_eq!((split.train.len(), split.validation, split.test), (7, vec![7, 8], vec![9]));
    }

    #[test]
    fn the_seed_decides_and_epochs_differ() {
        let split = |seed| Split::new(1000, 0.1, 0.1, true, seed).unwrap();
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
        assert_eq!(epoch_order(100, true, 1, 5), epoch_order(100, true, 1, 5));
        assert_ne!(epoch_order(100, true, 1, 5), epoch_order(100, true, 1, 6));
        assert_ne!(epoch_order(100, true, 1, 5), epoch_order(100, true, 2, 5));
    }

    #[test]
    fn streams_are_different_numbers() {
        let streams = [
            Stream::Init,
            Stream::Shuffle,
            Stream::Split,
            Stream::Noise,
            Stream::Dictionary,
            Stream::Samples,
            Stream::Patches,
            Stream::Head,
            Stream::Blocks,
            Stream::Windows,
            Stream::Dropout,
            Stream::Sweep,
        ];
        let mut firsts: Vec<u64> = streams.map(|s| rng(3, s).next_u64()).to_vec();
        firsts.extend([rng_at(3, Stream::Init, 1).next_u64(), rng(4, Stream::Init).next_u64()]);
        let mut distinct = firsts.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), firsts.len());
    }

    #[test]
    fn a_split_that_leaves_nothing_to_train_on_is_refused() {
        for (rows, validation, test) in [(0, 0.0, 0.0), (1, 0.1, 0.0), (2, 0.1, 0.1), (10, 0.5, 0.5)] {
            assert!(Split::new(rows, validation, test, true, 0).is_err(), "{rows} {validation} {test}");
        }
        for bad in [1.0, -0.1, f64::NAN] {
            assert!(Split::new(10, bad, 0.0, true, 0).is_err());
            assert!(Split::new(10, 0.0, bad, true, 0).is_err());
        }
    }

    #[test]
    fn draws_below_n_are_uniform() {
        let mut rng = rng(0, Stream::Noise);
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[below(&mut rng, 6) as usize] += 1;
        }
        // Binomial with mean 10⁴ and standard deviation √(60000·1/6·5/6) = 91.3: six of them on either side.
        assert!(counts.iter().all(|&c| (9_452..=10_548).contains(&c)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_and_cover_every_row(
            rows in 3usize..400, validation in 0.0..0.45f64, test in 0.0..0.45f64, shuffle: bool, seed: u64,
        ) {
            let split = Split::new(rows, validation, test, shuffle, seed);
            // Rounding up twice may leave nothing of a handful of rows, and only of those.
            prop_assume!(split.is_ok() || rows < 20);
            if let Ok(Split { train, validation, test }) = split {
                let mut all = [train, validation, test].concat();
                all.sort_unstable();
                prop_assert_eq!(all, (0..rows).collect::<Vec<_>>());
            }
        }

        #[test]
        fn an_epoch_sees_every_row_once(rows in 0usize..300, seed: u64, epoch: u64) {
            let mut order = epoch_order(rows, true, seed, epoch);
            order.sort_unstable();
            prop_assert_eq!(order, (0..rows).collect::<Vec<_>>());
        }
    }
}
