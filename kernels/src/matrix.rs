//! Owned matrices in aligned storage, in either layout.

use std::alloc::{Layout as Allocation, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::error::{Error, expect};
use crate::layout::Layout;
use crate::real::Real;
use crate::view::{MatMut, MatRef};

/// A zeroed buffer that starts on a cache line, or on a huge page where it is large enough to use one.
#[derive(Debug)]
pub struct AlignedVec<T: Real> {
    ptr: NonNull<T>,
    len: usize,
}

// SAFETY: the buffer is owned and `T` is a plain float.
unsafe impl<T: Real> Send for AlignedVec<T> {}
// SAFETY: as above.
unsafe impl<T: Real> Sync for AlignedVec<T> {}

impl<T: Real> AlignedVec<T> {
    const LINE: usize = 64;
    const HUGE: usize = 2 << 20;

    /// `len` zeros.
    ///
    /// # Panics
    /// As `Vec`: where that is more than an allocation can hold. Out of memory, it ends the process.
    pub fn zeros(len: usize) -> Self {
        match Self::try_zeros(len) {
            Some(zeros) => zeros,
            None => handle_alloc_error(Self::allocation(len).expect("the length is one that an allocation can hold")),
        }
    }

    /// `len` zeros, where there is room for them.
    fn try_zeros(len: usize) -> Option<Self> {
        if len == 0 {
            return Some(Self { ptr: NonNull::dangling(), len });
        }
        let allocation = Self::allocation(len)?;
        // SAFETY: `allocation` is not zero-sized.
        let ptr = NonNull::new(unsafe { alloc(allocation) })?;
        if allocation.align() == Self::HUGE {
            advise_huge_pages(ptr, allocation.size());
        }
        // SAFETY: `len` elements were allocated; all-zero bytes are a valid `T`.
        unsafe { ptr.write_bytes(0, len * size_of::<T>()) };
        Some(Self { ptr: ptr.cast(), len })
    }

    /// Whole huge pages for a buffer that fills one, whole cache lines for smaller ones. None for more than an address
    /// can say.
    fn allocation(len: usize) -> Option<Allocation> {
        let bytes = len.checked_mul(size_of::<T>())?;
        let align = if bytes >= Self::HUGE { Self::HUGE } else { Self::LINE };
        Some(Allocation::from_size_align(bytes, align).ok()?.pad_to_align())
    }
}

/// Asks for huge pages, before the memory is first touched: a pass through a large matrix then needs few entries of the
/// translation buffer. Advice: whatever the answer, the memory is as good.
#[cfg(target_os = "linux")]
fn advise_huge_pages(start: NonNull<u8>, bytes: usize) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(start: *mut c_void, bytes: usize, advice: c_int) -> c_int;
    }
    const MADV_HUGEPAGE: c_int = 14;
    // SAFETY: the range was just allocated, starts on a page and ends on one; the advice changes no content.
    unsafe { madvise(start.as_ptr().cast(), bytes, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages(_start: NonNull<u8>, _bytes: usize) {}

impl<T: Real> Drop for AlignedVec<T> {
    fn drop(&mut self) {
        if let (true, Some(allocation)) = (self.len != 0, Self::allocation(self.len)) {
            // SAFETY: allocated in `try_zeros` with the same allocation layout.
            unsafe { dealloc(self.ptr.as_ptr().cast(), allocation) }
        }
    }
}

impl<T: Real> Clone for AlignedVec<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Real> Default for AlignedVec<T> {
    fn default() -> Self {
        Self::zeros(0)
    }
}

impl<T: Real> Deref for AlignedVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised elements.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl<T: Real> DerefMut for AlignedVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `len` initialised elements, borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

/// An owned matrix, or batch of matrices.
///
/// ```
/// use sae_kernels::{Layout, Matrix};
/// let data: Vec<f32> = (0..6).map(|i| i as f32).collect();
/// let m = Matrix::from_row_major(&data, Layout::panel_major(2, 3, 2)?)?;
/// assert_eq!(m.view().at(0, 1, 2), 5.0);
/// assert_eq!(m.to_row_major(), data);
/// # Ok::<(), sae_kernels::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Matrix<T: Real = f32> {
    data: AlignedVec<T>,
    layout: Layout,
}

impl<T: Real> Matrix<T> {
    /// All zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`], also where there is no memory for it, and [`Error::Overlap`].
    pub fn zeros(layout: Layout) -> Result<Self, Error> {
        layout.overlaps()?;
        let (rows, cols, batch) = (layout.rows(), layout.cols(), layout.batch());
        let data = AlignedVec::try_zeros(layout.len()?).ok_or(Error::TooLarge { rows, cols, batch })?;
        Ok(Self { data, layout })
    }

    /// Copies a dense row-major slice (`batch·rows·cols` elements) into `layout`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the slice has another length, and those of [`Matrix::zeros`].
    pub fn from_row_major(data: &[T], layout: Layout) -> Result<Self, Error> {
        let mut matrix = Self::zeros(layout)?;
        matrix.copy_from_row_major(data)?;
        Ok(matrix)
    }

    /// Overwrites every element from a dense row-major slice.
    ///
    /// # Errors
    /// [`Error::Shape`] where the slice has another length.
    pub fn copy_from_row_major(&mut self, data: &[T]) -> Result<(), Error> {
        let layout = self.layout;
        let (rows, cols) = (layout.rows(), layout.cols());
        let len = if layout.is_empty() { 0 } else { layout.batch() * rows * cols };
        expect("data", "length", data.len(), len, "batch x rows x cols")?;
        if layout.is_empty() {
            return Ok(());
        }
        for b in 0..layout.batch() {
            for r in 0..rows {
                let row = &data[(b * rows + r) * cols..][..cols];
                self.row_from(b, r, row);
            }
        }
        Ok(())
    }

    /// Overwrites row `r` of problem `b`.
    ///
    /// # Panics
    /// Where the row is out of range or `row` has not one element a column.
    pub fn row_from(&mut self, b: usize, r: usize, row: &[T]) {
        let layout = self.layout;
        assert!(b < layout.batch() && r < layout.rows() && row.len() == layout.cols(), "row ({b}, {r}) out of range");
        let width = if layout.is_row_major() { layout.cols().max(1) } else { layout.panel() };
        for (p, part) in row.chunks(width).enumerate() {
            let at = b * layout.batch_stride() + layout.offset(r, p * width);
            self.data[at..at + part.len()].copy_from_slice(part);
        }
    }

    /// A dense row-major copy.
    pub fn to_row_major(&self) -> Vec<T> {
        let layout = self.layout;
        if layout.is_empty() {
            return Vec::new();
        }
        let mut out = Vec::with_capacity(layout.batch() * layout.rows() * layout.cols());
        let view = self.view();
        for b in 0..layout.batch() {
            for r in 0..layout.rows() {
                out.extend((0..layout.cols()).map(|c| view.at(b, r, c)));
            }
        }
        out
    }

    /// The layout.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The storage, padding included.
    pub fn storage(&self) -> &[T] {
        &self.data
    }

    /// The storage, padding included.
    pub fn storage_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// To read.
    pub fn view(&self) -> MatRef<'_, T> {
        MatRef::new(&self.data, self.layout).expect("the storage was allocated for this layout")
    }

    /// To write.
    pub fn view_mut(&mut self) -> MatMut<'_, T> {
        MatMut::new(&mut self.data, self.layout).expect("the storage was allocated for this layout")
    }

    /// The first `rows` rows, to read: a shorter last batch in storage that was allocated for a full one.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are fewer rows.
    pub fn top(&self, rows: usize) -> Result<MatRef<'_, T>, Error> {
        MatRef::new(&self.data, self.layout.top(rows)?)
    }

    /// The first `rows` rows, to write.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are fewer rows.
    pub fn top_mut(&mut self, rows: usize) -> Result<MatMut<'_, T>, Error> {
        let layout = self.layout.top(rows)?;
        MatMut::new(&mut self.data, layout)
    }
}
