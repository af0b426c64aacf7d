//! Where an element lives: one formula for a caller's row-major slice and for panel-major storage.
//!
//! A matrix is a row of `panel`-wide panels:
//!
//! ```text
//! element (r, c) of problem b lives at
//!     b·batch_stride + (c / panel)·panel_stride + r·row_stride + c mod panel
//!
//! row-major, leading dimension ld:   row_stride = ld,     panel_stride = panel
//! panel-major:                       row_stride = panel,  panel_stride = panel·rows
//!
//!   row-major            panel-major, panel = 4
//!   0 1 2 3 4 5          0 1 2 3 | 12 13  .  .
//!   6 7 8 9 …            4 5 6 7 | 16 17  .  .
//!                        8 …     | 20 …
//! ```
//!
//! All strides are in elements. The last panel of panel-major storage is padded to its full width; nothing depends on
//! what the padding holds. A batch is `batch` problems of one shape, `batch_stride` elements apart.

use std::ops::Range;

use crate::error::Error;

/// The shape of a matrix (or of a batch of equal matrices) and the place of each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    rows: usize,
    cols: usize,
    row_stride: usize,
    panel_stride: usize,
    panel: usize,
    batch: usize,
    batch_stride: usize,
}

impl Layout {
    /// Dense row-major: row `r` starts at `r·cols`.
    pub const fn row_major(rows: usize, cols: usize) -> Self {
        Self { rows, cols, row_stride: cols, panel_stride: 1, panel: 1, batch: 1, batch_stride: 0 }
    }

    /// Row-major with a leading dimension: row `r` starts at `r·ld`.
    ///
    /// # Errors
    /// [`Error::LeadingDimension`] where `ld < cols`.
    pub const fn row_major_ld(rows: usize, cols: usize, ld: usize) -> Result<Self, Error> {
        if ld < cols {
            return Err(Error::LeadingDimension { found: ld, expected: cols });
        }
        Ok(Self { rows, cols, row_stride: ld, panel_stride: 1, panel: 1, batch: 1, batch_stride: 0 })
    }

    /// Panel-major: `panel`-wide column panels, each stored row after row.
    ///
    /// # Errors
    /// [`Error::ZeroPanel`], or [`Error::TooLarge`] where a panel does not fit in an address.
    pub const fn panel_major(rows: usize, cols: usize, panel: usize) -> Result<Self, Error> {
        if panel == 0 {
            return Err(Error::ZeroPanel);
        }
        match panel.checked_mul(rows) {
            Some(panel_stride) => {
                Ok(Self { rows, cols, row_stride: panel, panel_stride, panel, batch: 1, batch_stride: 0 })
            }
            None => Err(Error::TooLarge { rows, cols, batch: 1 }),
        }
    }

    /// The same matrix, `batch` times, `batch_stride` elements apart. Stride 0 shares one matrix between all problems
    /// (read-only operands only).
    #[must_use]
    pub const fn batched(self, batch: usize, batch_stride: usize) -> Self {
        Self { batch, batch_stride, ..self }
    }

    /// `batch` problems, each directly after the one before.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where one problem does not fit in an address.
    pub fn batched_dense(self, batch: usize) -> Result<Self, Error> {
        let stride = self.problem_len()?;
        Ok(self.batched(batch, stride))
    }

    /// Rows of one problem.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of one problem.
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// Problems in the batch.
    pub const fn batch(&self) -> usize {
        self.batch
    }

    /// Elements from one problem to the next.
    pub const fn batch_stride(&self) -> usize {
        self.batch_stride
    }

    /// Elements from one row to the next, inside a panel.
    pub const fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Elements from one panel to the next.
    pub const fn panel_stride(&self) -> usize {
        self.panel_stride
    }

    /// Width of a panel; 1 for row-major.
    pub const fn panel(&self) -> usize {
        self.panel
    }

    /// Whether the columns of a row are neighbours from the first to the last, so that [`Layout::row_stride`] is a
    /// leading dimension.
    pub const fn is_row_major(&self) -> bool {
        self.panel_stride == self.panel || self.cols <= self.panel
    }

    /// Offset of element (r, c) in problem 0; of no meaning where there is no such element.
    #[inline]
    pub const fn offset(&self, r: usize, c: usize) -> usize {
        (c / self.panel) * self.panel_stride + r * self.row_stride + c % self.panel
    }

    /// Elements that one problem reaches, panel padding included.
    ///
    /// # Errors
    /// [`Error::TooLarge`] on overflow.
    pub fn problem_len(&self) -> Result<usize, Error> {
        let too_large = Error::TooLarge { rows: self.rows, cols: self.cols, batch: self.batch };
        if self.rows == 0 || self.cols == 0 {
            return Ok(0);
        }
        let panels = self.cols.div_ceil(self.panel);
        let last_panel = (panels - 1).checked_mul(self.panel_stride);
        let last_row = (self.rows - 1).checked_mul(self.row_stride);
        match (last_panel, last_row) {
            (Some(p), Some(r)) => p.checked_add(r).and_then(|s| s.checked_add(self.panel)).ok_or(too_large),
            _ => Err(too_large),
        }
    }

    /// Elements that the whole batch reaches.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where that is more than an allocation can hold.
    pub fn len(&self) -> Result<usize, Error> {
        let one = self.problem_len()?;
        if self.batch == 0 || one == 0 {
            return Ok(0);
        }
        (self.batch - 1)
            .checked_mul(self.batch_stride)
            .and_then(|s| s.checked_add(one))
            .filter(|&s| s <= isize::MAX as usize / 8)
            .ok_or(Error::TooLarge { rows: self.rows, cols: self.cols, batch: self.batch })
    }

    /// Whether there is no element at all.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0 || self.cols == 0 || self.batch == 0
    }

    /// The first `rows` rows of the same matrix, every stride unchanged.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are fewer rows.
    pub fn top(self, rows: usize) -> Result<Self, Error> {
        if rows > self.rows {
            return Err(Error::Shape {
                operand: "view",
                dim: "rows",
                found: rows,
                expected: self.rows,
                because: "at most the rows of the storage",
            });
        }
        Ok(Self { rows, ..self })
    }

    /// As many rows as the range has, every stride unchanged.
    pub(crate) fn row_range(self, rows: &Range<usize>) -> Result<Self, Error> {
        self.top(rows.end)?.top(rows.len())
    }

    /// Whether two problems of the batch would share storage.
    pub(crate) fn overlaps(&self) -> Result<(), Error> {
        let one = self.problem_len()?;
        if self.batch > 1 && self.batch_stride < one {
            return Err(Error::Overlap { found: self.batch_stride, expected: one });
        }
        Ok(())
    }
}
