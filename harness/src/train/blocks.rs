//! In which order rows are seen that are not in memory together.
//!
//! An epoch goes through the data in windows. A window is a number of blocks, drawn anew for every epoch, and a block is a number
//! of neighbouring rows, so that each is read at once. All rows of a window are in memory together and are seen in a uniformly
//! random order; which blocks they come from is a uniformly random choice too. Every row is seen once in an epoch, and at each of
//! its moments with the same probability. What differs from a shuffle of the whole set is that neighbours are seen in the same
//! window. In a window of k blocks with b rows each, of n·(b − 1)/(k·b − 1), about n/k, others of a batch of n rows it is to be
//! expected that they come from the block of a given one.
//!
//! How much that matters depends on how alike neighbours are. For a quantity with variance σ² over all rows and σ_b² between the
//! means of blocks, the mean over a batch of n rows has a variance of at most σ²/n + σ_b²·(1 − k/N)/k, with N blocks in all: where
//! neighbours have nothing in common σ_b² is σ²/b and the second term nothing to speak of, and where blocks are as different as
//! can be (sorted data) the variance is 1 + (n/k)·(1 − k/N) times that of a full shuffle.
//!
//! Source: the two levels are those of L. Xu et al., "In-Database Machine Learning with CorgiPile: Stochastic Gradient Descent
//! without Full Data Shuffle" (SIGMOD 2022).

use std::ops::Range;

use crate::data::shards::Reader;
use crate::data::{Stream, permute, rng_at};

/// Bytes of a block where the window is large enough for many.
const BLOCK_BYTES: usize = Reader::PIECE;
/// Blocks of a window at least, where it has as many rows.
pub(super) const FEWEST: usize = 64;

/// Blocks of rows, and which of them are trained on.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    /// Rows of the data, held out ones included.
    rows: usize,
    /// Rows of a block; the last may have fewer.
    block: usize,
    /// Blocks of a window at most.
    window: usize,
    /// Rows of each block that are trained on.
    trained: Vec<u32>,
    shuffle: bool,
    seed: u64,
}

impl Blocks {
    /// Blocks of rows of `row_bytes` bytes for windows of at most `window_rows` rows, of which there is at least one. `is_trained`
    /// says which rows are trained on.
    pub(crate) fn new(
        rows: usize,
        row_bytes: usize,
        window_rows: usize,
        is_trained: impl Fn(usize) -> bool,
        (shuffle, seed): (bool, u64),
    ) -> Self {
        let block = Self::rows_of_a_block(row_bytes, window_rows);
        let count = |from: usize| (from..rows.min(from + block)).filter(|&row| is_trained(row)).count() as u32;
        let trained = (0..rows).step_by(block).map(count).collect();
        Self { rows, block, window: (window_rows / block).max(1), trained, shuffle, seed }
    }

    fn rows_of_a_block(row_bytes: usize, window_rows: usize) -> usize {
        (BLOCK_BYTES / row_bytes.max(1)).min(window_rows / FEWEST).max(1)
    }

    /// Bytes that describe the blocks of `rows` such rows while they are gone through: these numbers, and the order of two epochs.
    pub(crate) fn bytes(rows: usize, row_bytes: usize, window_rows: usize) -> usize {
        rows.div_ceil(Self::rows_of_a_block(row_bytes, window_rows)) * (size_of::<u32>() + 2 * size_of::<usize>())
    }

    /// Rows of a block.
    pub(crate) fn block_rows(&self) -> usize {
        self.block
    }

    /// Blocks of a window at most, and windows of an epoch: they differ by one block at most.
    pub(crate) fn extent(&self) -> (usize, usize) {
        (self.trained.len().div_ceil(self.windows()), self.windows())
    }

    fn windows(&self) -> usize {
        self.trained.len().div_ceil(self.window)
    }

    /// The blocks of an epoch in the order in which they are read.
    pub(crate) fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.trained.len()).collect();
        if self.shuffle {
            permute(&mut rng_at(self.seed, Stream::Blocks, epoch), &mut order);
        }
        order
    }

    /// The blocks of a window, from 0, out of the epoch's `order`.
    pub(crate) fn window<'a>(&self, order: &'a [usize], index: usize) -> &'a [usize] {
        let (blocks, windows) = (order.len(), self.windows());
        let edge = |index: usize| index * (blocks / windows) + index.min(blocks % windows);
        &order[edge(index)..edge(index + 1)]
    }

    /// The rows of a block.
    pub(crate) fn rows(&self, block: usize) -> Range<usize> {
        block * self.block..self.rows.min((block + 1) * self.block)
    }

    /// Puts the `rows` of a window, in the order in which they were read, into that in which they are seen.
    pub(crate) fn shuffle(&self, epoch: u64, window: usize, rows: &mut [usize]) {
        if self.shuffle {
            let index = epoch.wrapping_mul(self.windows() as u64).wrapping_add(window as u64);
            permute(&mut rng_at(self.seed, Stream::Windows, index), rows);
        }
    }

    /// The window in which the epoch's training row `at` is, and how many training rows are seen in it before that one.
    pub(crate) fn find(&self, order: &[usize], at: u64) -> (usize, u64) {
        let mut before = 0;
        for window in 0..self.windows() {
            let rows = self.window(order, window).iter().map(|&block| u64::from(self.trained[block])).sum::<u64>();
            if at < before + rows {
                return (window, at - before);
            }
            before += rows;
        }
        (self.windows(), 0)
    }

    /// Whether this is the last window of an epoch.
    pub(crate) fn is_last(&self, window: usize) -> bool {
        window + 1 >= self.windows()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The training rows of an epoch in the order in which they are seen.
    fn epoch(blocks: &Blocks, epoch: u64, is_trained: impl Fn(usize) -> bool) -> Vec<usize> {
        let order = blocks.order(epoch);
        let mut seen = Vec::new();
        for window in 0..blocks.windows() {
            let rows: Vec<usize> = blocks
                .window(&order, window)
                .iter()
                .flat_map(|&b| blocks.rows(b))
                .filter(|&row| is_trained(row))
                .collect();
            let mut places: Vec<usize> = (0..rows.len()).collect();
            blocks.shuffle(epoch, window, &mut places);
            seen.extend(places.iter().map(|&place| rows[place]));
        }
        seen
    }

    proptest! {
        #[test]
        fn an_epoch_sees_every_training_row_once_and_finds_each_in_its_window(
            rows in 1usize..400, window_rows in 1usize..500, row_bytes in 1usize..200_000, held_out in 1usize..5, seed: u64,
        ) {
            let is_trained = |row: usize| row % held_out != 1;
            let blocks = Blocks::new(rows, row_bytes, window_rows, is_trained, (true, seed));
            let mut seen = epoch(&blocks, 3, is_trained);
            let order = blocks.order(3);
            let sizes: Vec<usize> = (0..blocks.windows()).map(|w| blocks.window(&order, w).len()).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{:?}", sizes);
            prop_assert!(sizes[0] == blocks.extent().0 && sizes[0] * blocks.block_rows() <= window_rows.max(1));
            let mut at = 0;
            for window in 0..blocks.windows() {
                let own = blocks.window(&order, window).iter().map(|&b| u64::from(blocks.trained[b])).sum::<u64>();
                for inside in 0..own {
                    prop_assert_eq!(blocks.find(&order, at), (window, inside));
                    at += 1;
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..rows).filter(|&row| is_trained(row)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn without_shuffle_the_order_is_that_of_the_files() {
        let blocks = Blocks::new(1000, 4096, 200, |_| true, (false, 1));
        assert!(epoch(&blocks, 0, |_| true).is_sorted());
    }

    #[test]
    fn seeds_and_epochs_differ_and_nothing_else_does() {
        let blocks = |seed| Blocks::new(1000, 4096, 200, |_| true, (true, seed));
        assert_eq!(epoch(&blocks(1), 5, |_| true), epoch(&blocks(1), 5, |_| true));
        assert_ne!(epoch(&blocks(1), 5, |_| true), epoch(&blocks(1), 6, |_| true));
        assert_ne!(epoch(&blocks(1), 5, |_| true), epoch(&blocks(2), 5, |_| true));
    }

    /// On sorted data, the worst case: the variance of the means of batches, against the bound in the module's description. And
    /// that without a shuffle is far above it, so that the test can fail.
    #[test]
    fn batches_of_sorted_data_vary_as_little_as_is_promised() {
        const ROWS: usize = 20_000;
        const N: usize = 100;
        const EPOCHS: u64 = 60;
        // 2,048 rows of 4 KiB in a window, 32 in a block: 64 blocks, and 625 in all.
        let spread = |shuffle| {
            let blocks = Blocks::new(ROWS, 4096, 2048, |_| true, (shuffle, 7));
            assert_eq!((blocks.block_rows(), blocks.trained.len(), blocks.window), (32, 625, 64));
            let value = |row: usize| row as f64 / ROWS as f64 - 0.5;
            let (mut sum, mut count) = (0.0, 0.0);
            for e in 0..EPOCHS {
                for batch in epoch(&blocks, e, |_| true).chunks_exact(N) {
                    let mean = batch.iter().map(|&row| value(row)).sum::<f64>() / N as f64;
                    sum += mean * mean;
                    count += 1.0;
                }
            }
            sum / count
        };
        let variance = 1.0 / 12.0;
        let (n, k, all) = (N as f64, 63.0, 625.0);
        let bound = variance / n + variance * (1.0 - k / all) / k;
        let found = spread(true);
        // 12,000 batches in 600 windows: the variance of 600 window means is known to a standard deviation of √(2/600) = 6%,
        // and it is the larger of the two terms; four of them.
        assert!(found < 1.24 * bound && found > 0.7 * bound, "{found} {bound}");
        assert!(spread(false) > 20.0 * bound);
    }

    /// The chance that two rows of one block are seen in one batch, against that in the module's description.
    #[test]
    fn neighbours_meet_in_a_batch_as_often_as_is_promised() {
        const N: usize = 100;
        const EPOCHS: u64 = 40;
        let blocks = Blocks::new(20_000, 4096, 2048, |_| true, (true, 11));
        let mut others = 0;
        let mut seen = 0;
        for e in 0..EPOCHS {
            for batch in epoch(&blocks, e, |_| true).chunks_exact(N) {
                let mut own = vec![0u64; 625];
                batch.iter().for_each(|row| own[row / 32] += 1);
                others += own.iter().map(|&m| m * m.saturating_sub(1)).sum::<u64>();
                seen += N as u64;
            }
        }
        let (b, k) = (32.0, 62.5);
        let expected = (N as f64 - 1.0) * (b - 1.0) / (k * b - 1.0);
        let found = others as f64 / seen as f64;
        // Pairs: 8,000 batches of about 78 pairs in one block, nearly independent, so a standard deviation of √(1/624,000), and
        // batches that lie in two windows, one in twenty, have a half as many; windows differ by a block in 63.
        assert!(found < 1.02 * expected && found > 0.93 * expected, "{found} {expected}");
    }
}
