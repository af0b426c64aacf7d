//! A batch of samples, gathered straight into the layout that a backend works in.

use rayon::prelude::*;
use sae_kernels::{Layout, MatRef, Matrix};

use crate::error::{Error, Result};

/// Elements below which a gather stays on the thread it is on.
const SPLIT: usize = 1 << 16;

/// Storage for `[n, d_in]` with n up to a limit. Gathering rows into it is the packing of the batch; it allocates nothing.
#[derive(Clone, Debug)]
pub struct Batch {
    x: Matrix,
    rows: usize,
}

impl Batch {
    /// Room for `max_rows` rows of `cols` values, in panels of `panel` columns or row-major.
    ///
    /// # Errors
    /// [`Error::Kernels`] where that does not fit in an address.
    pub fn new(max_rows: usize, cols: usize, panel: Option<usize>) -> Result<Self> {
        let layout = match panel {
            Some(panel) => Layout::panel_major(max_rows, cols, panel)?,
            None => Layout::row_major(max_rows, cols),
        };
        Ok(Self { x: Matrix::zeros(layout)?, rows: 0 })
    }

    /// Takes the rows `indices` of `data [_, cols]`, in that order.
    ///
    /// # Errors
    /// [`Error::Failed`] where an index has no row, or there are more than the batch has room for.
    pub fn gather(&mut self, data: &[f32], indices: &[usize]) -> Result {
        let bound = data.len() / self.x.layout().cols().max(1);
        if let Some(bad) = indices.iter().find(|&&i| i >= bound) {
            return Err(Error::Failed(format!("batch: row is {bad}, expected below {bound}, the rows of the data")));
        }
        self.fill(data, indices.len(), |r| indices[r])
    }

    /// Takes all rows of `data [_, cols]`.
    ///
    /// # Errors
    /// As [`Batch::gather`].
    pub fn take(&mut self, data: &[f32]) -> Result {
        self.fill(data, data.len() / self.x.layout().cols().max(1), |r| r)
    }

    /// The rows taken last.
    ///
    /// # Errors
    /// None: the storage has room for them.
    pub fn view(&self) -> Result<MatRef<'_>> {
        Ok(self.x.top(self.rows)?)
    }

    /// Values of a row.
    pub fn cols(&self) -> usize {
        self.x.layout().cols()
    }

    /// How many rows were taken last.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The most rows there is room for.
    pub fn max_rows(&self) -> usize {
        self.x.layout().rows()
    }

    /// Copies row `source(r)` to row r, panel after panel: panels share no storage, so that threads can take one each.
    fn fill(&mut self, data: &[f32], rows: usize, source: impl Fn(usize) -> usize + Sync) -> Result {
        let layout = self.x.layout();
        if rows > layout.rows() {
            return Err(Error::Failed(format!("batch: rows are {rows}, expected at most {}", layout.rows())));
        }
        self.rows = rows;
        let cols = layout.cols();
        if rows == 0 || cols == 0 {
            return Ok(());
        }
        let row = |r: usize| &data[source(r) * cols..][..cols];
        if layout.is_row_major() && layout.panel() == 1 {
            let copy = |(r, to): (usize, &mut [f32])| to.copy_from_slice(row(r));
            let storage = &mut self.x.storage_mut()[..rows * cols];
            if rows * cols < SPLIT {
                storage.chunks_exact_mut(cols).enumerate().for_each(copy);
            } else {
                storage.par_chunks_exact_mut(cols).with_min_len(SPLIT.div_ceil(cols)).enumerate().for_each(copy);
            }
            return Ok(());
        }
        let panel = layout.panel();
        let copy = |(p, to): (usize, &mut [f32])| {
            let columns = p * panel..cols.min((p + 1) * panel);
            for (r, to) in to.chunks_exact_mut(panel).take(rows).enumerate() {
                to[..columns.len()].copy_from_slice(&row(r)[columns.clone()]);
            }
        };
        let storage = self.x.storage_mut();
        if rows * cols < SPLIT {
            storage.chunks_mut(layout.panel_stride()).enumerate().for_each(copy);
        } else {
            storage.par_chunks_mut(layout.panel_stride()).enumerate().for_each(copy);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of distinct values.
    fn data(rows: usize, cols: usize) -> Vec<f32> {
        (0..rows * cols).map(|i| i as f32).collect()
    }

    #[test]
    fn gathered_rows_are_the_rows_named_in_every_layout() {
        // The last shape is large enough for several threads.
        for (rows, cols) in [(5, 3), (7, 64), (9, 130), (600, 131)] {
            let data = data(rows, cols);
            let indices: Vec<usize> = (0..rows).map(|r| (r * 2 + 1) % rows).collect();
            for panel in [None, Some(16), Some(64)] {
                let mut batch = Batch::new(rows, cols, panel).unwrap();
                for n in [rows, rows - 2] {
                    batch.gather(&data, &indices[..n]).unwrap();
                    let view = batch.view().unwrap();
                    assert_eq!((view.rows(), view.cols()), (n, cols));
                    for (r, &source) in indices[..n].iter().enumerate() {
                        for c in 0..cols {
                            assert_eq!(view.at(0, r, c), data[source * cols + c], "{panel:?} ({r}, {c})");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn rows_that_are_not_there_are_refused() {
        let mut batch = Batch::new(2, 3, Some(4)).unwrap();
        assert!(batch.gather(&data(2, 3), &[2]).unwrap_err().to_string().contains("expected below 2"));
        assert!(batch.gather(&data(2, 3), &[0, 1, 1]).unwrap_err().to_string().contains("at most 2"));
        assert!(batch.take(&data(3, 3)).is_err());
        batch.take(&[]).unwrap();
        assert_eq!(batch.rows(), 0);
    }
}
