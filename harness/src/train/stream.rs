//! Training rows that are not in memory together.

use std::ops::Range;
use std::sync::Arc;

use super::blocks::{Blocks, FEWEST};
use crate::data::shards::{Reader, Shards};
use crate::error::Result;
use crate::preprocess::Fitted;

/// Windows in memory: one is trained on while the next is read.
pub(super) const WINDOWS: usize = 2;

/// The training rows of a set that is read again and again.
#[derive(Debug)]
pub(crate) struct RowStream {
    pub(super) shards: Arc<Shards>,
    /// Whether a row is held out.
    pub(super) held_out: Vec<bool>,
    pub(super) blocks: Blocks,
    map: Fitted,
    /// Values of a mapped row.
    pub(super) width: usize,
    pub(super) rows: u64,
}

/// What a window may take of memory, and what beside it is a matter of the rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Rows of a window.
    pub(super) window_rows: usize,
}

impl Room {
    /// Divides what is left of `bytes` for data, beside what is kept of `rows` rows for the whole run; a row has `raw` values,
    /// and `width` as the network sees it.
    ///
    /// # Errors
    /// The fewest bytes that would be enough.
    pub(super) fn new(bytes: usize, rows: usize, [raw, width]: [usize; 2], batch: usize) -> Result<Self, usize> {
        let [raw, row] = [raw, width].map(|cols| cols.saturating_mul(size_of::<f32>()));
        // A block, or a row where that is more, as bytes and in f32, before and behind the map, in f64 within one that whitens;
        // a batch out of two windows.
        let beside = rows
            .saturating_add(10 * Reader::PIECE.max(raw))
            .saturating_add(batch.saturating_mul(row + size_of::<u64>()));
        let each = row + size_of::<u64>() + size_of::<usize>();
        let enough = |window_rows: usize| {
            let windows = window_rows.saturating_mul(WINDOWS).saturating_mul(each);
            beside.saturating_add(windows).saturating_add(Blocks::bytes(rows, raw, window_rows))
        };
        // Blocks of w/64 rows take the more the smaller a window of w rows is: all together have a minimum.
        let blocks = FEWEST.saturating_mul(Blocks::bytes(rows, raw, 1));
        let least = (blocks / (WINDOWS * each)).isqrt().max(FEWEST).min(rows);
        let mut window_rows = (bytes.saturating_sub(beside) / (WINDOWS * each)).min(rows);
        while enough(window_rows) > bytes && window_rows > least {
            window_rows = (window_rows - (window_rows / 16).max(1)).max(least);
        }
        match window_rows >= FEWEST.min(rows) && enough(window_rows) <= bytes {
            true => Ok(Self { window_rows }),
            false => Err(enough(least)),
        }
    }
}

impl RowStream {
    /// The rows of `shards` that are not held out, as `map` makes them.
    ///
    /// # Errors
    /// [`Error::Input`] where the map is for rows of another length.
    pub(super) fn new(
        shards: Arc<Shards>,
        held_out: Vec<bool>,
        map: Fitted,
        room: Room,
        (shuffle, seed): (bool, u64),
    ) -> Result<Self> {
        let width = map.width(shards.cols)?;
        let row_bytes = shards.cols * size_of::<f32>();
        let is_trained = |row: usize| !held_out[row];
        let blocks = Blocks::new(shards.rows, row_bytes, room.window_rows, is_trained, (shuffle, seed));
        let rows = held_out.iter().filter(|out| !**out).count() as u64;
        Ok(Self { shards, held_out, blocks, map, width, rows })
    }

    /// Training rows.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// In words, for whoever starts a run.
    pub(crate) fn describe(&self) -> String {
        let (blocks, windows) = self.blocks.extent();
        let rows = self.blocks.block_rows();
        format!("streamed: {windows} windows of {blocks} blocks of {rows} rows, shuffled anew in every epoch")
    }

    /// Hands on all training rows as the network sees them, in the order of the files, about `most` at a time.
    pub(crate) fn each(&self, most: usize, mut take: impl FnMut(&[f32]) -> Result) -> Result {
        let mut reader = Reader::new(Arc::clone(&self.shards));
        let most = most.clamp(1, self.blocks.block_rows());
        for from in (0..self.shards.rows).step_by(most) {
            let mut rows = Vec::new();
            let range = from..self.shards.rows.min(from + most);
            self.read(&mut reader, range, &mut rows, |_| ())?;
            if !rows.is_empty() {
                take(&rows)?;
            }
        }
        Ok(())
    }

    /// Appends the training rows among `rows`, as the network sees them, to `out`, and names each to `origin`.
    pub(super) fn read(
        &self,
        reader: &mut Reader,
        rows: Range<usize>,
        out: &mut Vec<f32>,
        mut origin: impl FnMut(u64),
    ) -> Result {
        let cols = self.shards.cols;
        let mut raw = Vec::with_capacity(rows.len() * cols);
        reader.read(rows.clone(), &mut raw)?;
        let mut kept = 0;
        for (index, row) in rows.enumerate() {
            if !self.held_out[row] {
                raw.copy_within(index * cols..(index + 1) * cols, kept * cols);
                origin(row as u64);
                kept += 1;
            }
        }
        raw.truncate(kept * cols);
        if kept > 0 {
            out.extend_from_slice(&self.map.apply(raw, cols)?);
        }
        Ok(())
    }
}
