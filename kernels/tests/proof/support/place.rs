//! Where operands are: in every kind of layout, off alignment, between numbers that must neither be used nor changed.

use sae_kernels::{Layout, MatMut, MatRef, Real};

/// How an operand is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Storage {
    /// Row-major, nothing between rows or problems.
    Tight,
    /// Row-major, gaps between rows and problems.
    Wide,
    /// Panels of this width, gaps between problems.
    Panel(usize),
}

/// The storage of a call's matrix operands, in their order, from the first again after the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Places(pub(crate) [Storage; 4]);

impl Places {
    pub(crate) const TIGHT: Self = Self::all(Storage::Tight);

    pub(crate) const fn all(storage: Storage) -> Self {
        Self([storage; 4])
    }

    /// What is worth trying on a backend with this panel.
    pub(crate) fn of(panel: Option<usize>) -> Vec<Self> {
        use Storage::{Panel, Tight, Wide};
        let p = panel.unwrap_or(16);
        vec![
            Self::TIGHT,
            Self::all(Wide),
            Self::all(Panel(p)),
            Self::all(Panel(2 * p)),
            Self([Tight, Panel(p), Wide, Panel(3 * p)]),
            Self([Panel(2 * p), Wide, Panel(p), Tight]),
        ]
    }
}

/// Elements before and after the view's slice: the view starts off alignment.
const FRONT: usize = 3;
const BACK: usize = 5;

/// A matrix (or batch) in its storage.
pub(crate) struct Placed<T> {
    data: Vec<T>,
    before: Vec<T>,
    layout: Layout,
}

impl<T: Real> Placed<T> {
    /// An operand to read: `matrices` problems of `values`, repeated for all of `batch` where there is but one. The gaps
    /// hold NaN, which shows in the result where it is used.
    pub(crate) fn input(values: &[f32], [batch, rows, cols]: [usize; 3], matrices: usize, storage: Storage) -> Self {
        let nan = T::from_f64(f64::NAN);
        Self::new([matrices, rows, cols], storage, |_| nan, |i| T::from_f64(f64::from(values[i]))).share(batch)
    }

    /// An operand to write that holds NaN, which shows where it is not written. Each gap holds a number of its own.
    pub(crate) fn output(shape: [usize; 3], storage: Storage) -> Self {
        Self::new(shape, storage, canary, |_| T::from_f64(f64::NAN))
    }

    /// An operand to read and write.
    pub(crate) fn state(values: &[f32], shape: [usize; 3], storage: Storage) -> Self {
        Self::new(shape, storage, canary, |i| T::from_f64(f64::from(values[i])))
    }

    fn new(
        [batch, rows, cols]: [usize; 3],
        storage: Storage,
        gap: impl Fn(usize) -> T,
        value: impl Fn(usize) -> T,
    ) -> Self {
        let (layout, between) = match storage {
            Storage::Tight => (Layout::row_major(rows, cols), 0),
            Storage::Wide => (Layout::row_major_ld(rows, cols, cols + 3).unwrap(), 7),
            Storage::Panel(panel) => (Layout::panel_major(rows, cols, panel).unwrap(), 9),
        };
        let layout = layout.batched(batch, layout.problem_len().unwrap() + between);
        let mut data: Vec<T> = (0..FRONT + layout.len().unwrap() + BACK).map(gap).collect();
        for (i, at) in offsets(layout).enumerate() {
            data[at] = value(i);
        }
        Self { before: data.clone(), data, layout }
    }

    fn share(self, batch: usize) -> Self {
        let layout = self.layout;
        if batch == layout.batch() { self } else { Self { layout: layout.batched(batch, 0), ..self } }
    }

    pub(crate) fn view(&self) -> MatRef<'_, T> {
        MatRef::new(&self.data[FRONT..], self.layout).unwrap()
    }

    pub(crate) fn view_mut(&mut self) -> MatMut<'_, T> {
        MatMut::new(&mut self.data[FRONT..], self.layout).unwrap()
    }

    /// The elements of a matrix of one row.
    pub(crate) fn slice(&self) -> &[T] {
        &self.data[FRONT..][..self.layout.cols()]
    }

    /// As [`Placed::slice`], to write.
    pub(crate) fn slice_mut(&mut self) -> &mut [T] {
        &mut self.data[FRONT..][..self.layout.cols()]
    }

    /// The elements, dense, row-major.
    pub(crate) fn dense(&self) -> Vec<T> {
        offsets(self.layout).map(|at| self.data[at]).collect()
    }

    /// Nothing has changed.
    pub(crate) fn is_untouched(&self) -> bool {
        self.data.iter().zip(&self.before).all(|(x, y)| same(*x, *y))
    }

    /// Nothing but elements has changed.
    pub(crate) fn gaps_are_untouched(&self) -> bool {
        let mut rest: Vec<_> = self.data.iter().zip(&self.before).map(|(x, y)| same(*x, *y)).collect();
        offsets(self.layout).for_each(|at| rest[at] = true);
        rest.into_iter().all(|same| same)
    }
}

fn canary<T: Real>(i: usize) -> T {
    T::from_f64(1e6 + i as f64)
}

/// The same bits.
fn same<T: Real>(x: T, y: T) -> bool {
    x.to_f64().to_bits() == y.to_f64().to_bits()
}

/// Where the elements are, problem after problem, row after row.
fn offsets(layout: Layout) -> impl Iterator<Item = usize> {
    let (rows, cols) = (layout.rows(), layout.cols());
    (0..layout.batch() * rows * cols).map(move |i| {
        let (b, r, c) = (i / (rows * cols), i / cols % rows, i % cols);
        FRONT + b * layout.batch_stride() + layout.offset(r, c)
    })
}
