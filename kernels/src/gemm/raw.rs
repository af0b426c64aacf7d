//! Views without lifetimes, for the inside of a product: the door has checked every dimension.

use crate::layout::Layout;
use crate::view::{MatMut, MatRef};

/// Addresses of a matrix (or batch) of f32. Elements of different rows or columns may be written from different
/// threads; who does so keeps them apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw {
    ptr: *mut f32,
    row_stride: usize,
    panel_stride: usize,
    panel: usize,
    /// log2 of the panel width where it is a power of two (63 for row-major: every column is in panel 0).
    shift: u32,
    batch_stride: usize,
    /// Whether columns behind the last may be read, to the end of a vector.
    padded: bool,
}

// SAFETY: an address may go anywhere; each access through it is unsafe and has its own reason.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

impl Raw {
    fn new(ptr: *mut f32, layout: Layout) -> Self {
        let shift = if layout.is_row_major() {
            usize::BITS - 1
        } else if layout.panel().is_power_of_two() {
            layout.panel().trailing_zeros()
        } else {
            u32::MAX
        };
        Self {
            ptr,
            row_stride: layout.row_stride(),
            panel_stride: layout.panel_stride(),
            panel: layout.panel(),
            shift,
            batch_stride: layout.batch_stride(),
            padded: false,
        }
    }

    /// To read.
    pub(crate) fn read(view: MatRef<'_, f32>) -> Self {
        Self::new(view.as_ptr().cast_mut(), view.layout())
    }

    /// To write.
    pub(crate) fn write(view: &mut MatMut<'_, f32>) -> Self {
        let layout = view.layout();
        Self::new(view.as_mut_ptr(), layout)
    }

    /// Panel-major scratch.
    pub(crate) fn panels(ptr: *mut f32, rows: usize, panel: usize, batch_stride: usize) -> Self {
        let layout = Layout::panel_major(rows, usize::MAX, panel).expect("scratch of this size was allocated");
        Self { batch_stride, ..Self::new(ptr, layout) }
    }

    /// For a product whose panels are `panel` wide: where this matrix has whole ones, their padding may be read.
    pub(crate) fn padded_to(self, panel: usize) -> Self {
        Self { padded: self.panel.is_multiple_of(panel), ..self }
    }

    /// Whether columns behind the last may be read, to the end of a vector.
    #[inline(always)]
    pub(crate) fn is_padded(&self) -> bool {
        self.padded
    }

    /// Elements between rows.
    #[inline(always)]
    pub(crate) fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Elements between panels.
    #[inline(always)]
    pub(crate) fn panel_stride(&self) -> usize {
        self.panel_stride
    }

    /// Columns that are neighbours in memory, from a panel's first: `usize::MAX` for row-major.
    #[inline(always)]
    pub(crate) fn run(&self) -> usize {
        if self.is_row_major() { usize::MAX } else { self.panel }
    }

    /// Whether every row is one run.
    #[inline(always)]
    pub(crate) fn is_row_major(&self) -> bool {
        self.shift == usize::BITS - 1
    }

    /// Address of element (r, c) of problem b. Wraps: a matrix without elements, or with one row, may have any stride,
    /// and its addresses are then asked for, though not used.
    #[inline(always)]
    pub(crate) fn at(&self, b: usize, r: usize, c: usize) -> *mut f32 {
        let (panel, inside) = if self.shift != u32::MAX {
            let panel = c >> self.shift;
            (panel, c - (panel << self.shift))
        } else {
            (c / self.panel, c % self.panel)
        };
        let row = r.wrapping_mul(self.row_stride).wrapping_add(inside);
        let panel = b.wrapping_mul(self.batch_stride).wrapping_add(panel.wrapping_mul(self.panel_stride));
        self.ptr.wrapping_add(panel.wrapping_add(row))
    }
}
