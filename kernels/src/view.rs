//! Borrowed matrices: a slice and the [`Layout`] that says where its elements are.
//!
//! Constructors check the layout against the slice once; everything behind them relies on it. Nothing is allocated.

use std::marker::PhantomData;
use std::ops::Range;

use crate::error::Error;
use crate::layout::Layout;

/// A matrix, or a batch of matrices of one shape, to read.
#[derive(Debug)]
pub struct MatRef<'a, T = f32> {
    ptr: *const T,
    layout: Layout,
    slice: PhantomData<&'a [T]>,
}

/// A matrix, or a batch of matrices of one shape, to write. No two of its elements share storage.
#[derive(Debug)]
pub struct MatMut<'a, T = f32> {
    ptr: *mut T,
    layout: Layout,
    slice: PhantomData<&'a mut [T]>,
}

impl<T> Clone for MatRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for MatRef<'_, T> {}

// SAFETY: a `MatRef` gives what the `&[T]` it was made from gives.
unsafe impl<T: Sync> Send for MatRef<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for MatRef<'_, T> {}
// SAFETY: a `MatMut` gives what the `&mut [T]` it was made from gives.
unsafe impl<T: Send> Send for MatMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for MatMut<'_, T> {}

impl<'a, T> MatRef<'a, T> {
    /// A view of `data` laid out as `layout` says.
    ///
    /// # Errors
    /// [`Error::Storage`] where the layout reaches past the slice, [`Error::TooLarge`] where it overflows.
    pub fn new(data: &'a [T], layout: Layout) -> Result<Self, Error> {
        let expected = layout.len()?;
        if data.len() < expected {
            return Err(Error::Storage { found: data.len(), expected });
        }
        Ok(Self { ptr: data.as_ptr(), layout, slice: PhantomData })
    }

    /// A dense row-major view: `data[r·cols + c]`.
    ///
    /// # Errors
    /// As [`MatRef::new`].
    pub fn row_major(data: &'a [T], rows: usize, cols: usize) -> Result<Self, Error> {
        Self::new(data, Layout::row_major(rows, cols))
    }

    /// The layout.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Rows of one problem.
    pub const fn rows(&self) -> usize {
        self.layout.rows()
    }

    /// Columns of one problem.
    pub const fn cols(&self) -> usize {
        self.layout.cols()
    }

    /// Problems in the batch.
    pub const fn batch(&self) -> usize {
        self.layout.batch()
    }

    /// Address of the first element of problem 0.
    pub(crate) const fn as_ptr(&self) -> *const T {
        self.ptr
    }
}

impl<T> MatRef<'_, T> {
    /// One problem of the batch.
    ///
    /// # Panics
    /// Where there is no problem `b`.
    pub fn problem(self, b: usize) -> Self {
        assert!(b < self.batch(), "problem {b} out of range");
        // Inside the slice, as the constructor has checked, or of no element and then anywhere.
        let ptr = self.ptr.wrapping_add(b.wrapping_mul(self.layout.batch_stride()));
        Self { ptr, layout: self.layout.batched(1, 0), ..self }
    }

    /// The rows of a range, of every problem.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are fewer rows.
    pub fn row_range(self, rows: Range<usize>) -> Result<Self, Error> {
        let layout = self.layout.row_range(&rows)?;
        // Inside the slice, as the constructor has checked, or of no element.
        Ok(Self { ptr: self.ptr.wrapping_add(rows.start * layout.row_stride()), layout, ..self })
    }

    /// The first problem, shared by `problems` of them.
    ///
    /// # Panics
    /// Where there is no problem.
    pub fn shared(self, problems: usize) -> Self {
        let first = self.problem(0);
        Self { layout: first.layout.batched(problems, 0), ..first }
    }
}

impl<T: Copy> MatRef<'_, T> {
    /// Element (r, c) of problem `b`.
    ///
    /// # Panics
    /// Where an index is out of range.
    #[inline]
    pub fn at(&self, b: usize, r: usize, c: usize) -> T {
        assert!(b < self.batch() && r < self.rows() && c < self.cols(), "index ({b}, {r}, {c}) out of range");
        // SAFETY: the indices are in range, and the constructor has checked that the layout stays inside the slice.
        unsafe { *self.ptr.add(b * self.layout.batch_stride() + self.layout.offset(r, c)) }
    }
}

impl<'a, T> MatMut<'a, T> {
    /// A view of `data` laid out as `layout` says.
    ///
    /// # Errors
    /// As [`MatRef::new`], and [`Error::Overlap`] where two problems of the batch share storage.
    pub fn new(data: &'a mut [T], layout: Layout) -> Result<Self, Error> {
        let expected = layout.len()?;
        layout.overlaps()?;
        if data.len() < expected {
            return Err(Error::Storage { found: data.len(), expected });
        }
        Ok(Self { ptr: data.as_mut_ptr(), layout, slice: PhantomData })
    }

    /// A dense row-major view: `data[r·cols + c]`.
    ///
    /// # Errors
    /// As [`MatMut::new`].
    pub fn row_major(data: &'a mut [T], rows: usize, cols: usize) -> Result<Self, Error> {
        Self::new(data, Layout::row_major(rows, cols))
    }

    /// The rows of a range, of every problem.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are fewer rows.
    pub fn row_range(self, rows: Range<usize>) -> Result<Self, Error> {
        let layout = self.layout.row_range(&rows)?;
        // As for `MatRef`.
        Ok(Self { ptr: self.ptr.wrapping_add(rows.start * layout.row_stride()), layout, ..self })
    }

    /// The same matrix, borrowed for a shorter time.
    pub const fn reborrow(&mut self) -> MatMut<'_, T> {
        MatMut { ptr: self.ptr, layout: self.layout, slice: PhantomData }
    }

    /// The same matrix, to read.
    pub const fn as_ref(&self) -> MatRef<'_, T> {
        MatRef { ptr: self.ptr, layout: self.layout, slice: PhantomData }
    }

    /// The layout.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Rows of one problem.
    pub const fn rows(&self) -> usize {
        self.layout.rows()
    }

    /// Columns of one problem.
    pub const fn cols(&self) -> usize {
        self.layout.cols()
    }

    /// Problems in the batch.
    pub const fn batch(&self) -> usize {
        self.layout.batch()
    }

    /// Address of the first element of problem 0.
    pub(crate) const fn as_mut_ptr(&mut self) -> *mut T {
        self.ptr
    }
}

impl<T: Copy> MatMut<'_, T> {
    /// Element (r, c) of problem `b`.
    ///
    /// # Panics
    /// Where an index is out of range.
    #[inline]
    pub fn at(&self, b: usize, r: usize, c: usize) -> T {
        self.as_ref().at(b, r, c)
    }

    /// Writes element (r, c) of problem `b`.
    ///
    /// # Panics
    /// Where an index is out of range.
    #[inline]
    pub fn set(&mut self, b: usize, r: usize, c: usize, value: T) {
        assert!(b < self.batch() && r < self.rows() && c < self.cols(), "index ({b}, {r}, {c}) out of range");
        // SAFETY: the indices are in range, the constructor has checked that the layout stays inside the slice, and the
        // view borrows the slice mutably.
        unsafe { *self.ptr.add(b * self.layout.batch_stride() + self.layout.offset(r, c)) = value }
    }
}
