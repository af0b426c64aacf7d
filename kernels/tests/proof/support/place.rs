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
pub(crate) struct Places {
    storage: [Storage; 4],
    /// Elements before the slice of the first operand's view.
    front: usize,
}

/// How one operand is stored, and how many elements are before the slice of its view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    storage: Storage,
    front: usize,
}

impl Places {
    pub(crate) const TIGHT: Self = Self::all(Storage::Tight);

    pub(crate) const fn all(storage: Storage) -> Self {
        Self::new([storage; 4])
    }

    /// Off alignment.
    pub(crate) const fn new(storage: [Storage; 4]) -> Self {
        Self { storage, front: 3 }
    }

    /// With so many elements before the first view, and other numbers before the others.
    pub(crate) const fn starting_at(self, front: usize) -> Self {
        Self { front, ..self }
    }

    /// Of the operand with this number.
    pub(crate) fn place(&self, i: usize) -> Place {
        Place { storage: self.storage[i % self.storage.len()], front: self.front + 5 * i }
    }

    /// Of a vector: tight.
    pub(crate) fn vector(&self, i: usize) -> Place {
        Place { storage: Storage::Tight, ..self.place(i) }
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
            Self::new([Tight, Panel(p), Wide, Panel(3 * p)]),
            Self::new([Panel(2 * p), Wide, Panel(p), Tight]),
        ]
    }
}

/// Elements after the view's slice.
const BACK: usize = 5;

/// A matrix (or batch) in its storage.
pub(crate) struct Placed<T> {
    data: Vec<T>,
    before: Vec<T>,
    front: usize,
    layout: Layout,
}

impl<T: Real> Placed<T> {
    /// An operand to read: `matrices` problems of `values`, repeated for all of `batch` where there is but one. The gaps
    /// hold NaN, which shows in the result where it is used.
    pub(crate) fn input(values: &[f32], [batch, rows, cols]: [usize; 3], matrices: usize, place: Place) -> Self {
        let nan = T::from_f64(f64::NAN);
        Self::new([matrices, rows, cols], place, |_| nan, |i| T::from_f64(f64::from(values[i]))).share(batch)
    }

    /// An operand to write that holds NaN, which shows where it is not written. Each gap holds a number of its own.
    pub(crate) fn output(shape: [usize; 3], place: Place) -> Self {
        Self::new(shape, place, canary, |_| T::from_f64(f64::NAN))
    }

    /// An operand to read and write.
    pub(crate) fn state(values: &[f32], shape: [usize; 3], place: Place) -> Self {
        Self::new(shape, place, canary, |i| T::from_f64(f64::from(values[i])))
    }

    fn new(
        [batch, rows, cols]: [usize; 3],
        Place { storage, front }: Place,
        gap: impl Fn(usize) -> T,
        value: impl Fn(usize) -> T,
    ) -> Self {
        let (layout, between) = match storage {
            Storage::Tight => (Layout::row_major(rows, cols), 0),
            Storage::Wide => (Layout::row_major_ld(rows, cols, cols + 3).unwrap(), 7),
            Storage::Panel(panel) => (Layout::panel_major(rows, cols, panel).unwrap(), 9),
        };
        let layout = layout.batched(batch, layout.problem_len().unwrap() + between);
        let mut data: Vec<T> = (0..front + layout.len().unwrap() + BACK).map(gap).collect();
        for (i, at) in offsets(layout).enumerate() {
            data[front + at] = value(i);
        }
        Self { before: data.clone(), data, front, layout }
    }

    fn share(self, batch: usize) -> Self {
        let layout = self.layout;
        if batch == layout.batch() { self } else { Self { layout: layout.batched(batch, 0), ..self } }
    }

    pub(crate) fn view(&self) -> MatRef<'_, T> {
        MatRef::new(&self.data[self.front..], self.layout).unwrap()
    }

    pub(crate) fn view_mut(&mut self) -> MatMut<'_, T> {
        MatMut::new(&mut self.data[self.front..], self.layout).unwrap()
    }

    /// The elements of a matrix of one row.
    pub(crate) fn slice(&self) -> &[T] {
        &self.data[self.front..][..self.layout.cols()]
    }

    /// As [`Placed::slice`], to write.
    pub(crate) fn slice_mut(&mut self) -> &mut [T] {
        &mut self.data[self.front..][..self.layout.cols()]
    }

    /// The elements, dense, row-major.
    pub(crate) fn dense(&self) -> Vec<T> {
        offsets(self.layout).map(|at| self.data[self.front + at]).collect()
    }

    /// Nothing has changed.
    pub(crate) fn is_untouched(&self) -> bool {
        self.data.iter().zip(&self.before).all(|(x, y)| same(*x, *y))
    }

    /// Nothing but elements has changed.
    pub(crate) fn gaps_are_untouched(&self) -> bool {
        let mut rest: Vec<_> = self.data.iter().zip(&self.before).map(|(x, y)| same(*x, *y)).collect();
        offsets(self.layout).for_each(|at| rest[self.front + at] = true);
        rest.into_iter().all(|same| same)
    }
}

fn canary<T: Real>(i: usize) -> T {
    T::from_f64(1e6 + i as f64)
}

/// The same bits. An interpreter that makes any NaN of a NaN that is converted is not asked which.
fn same<T: Real>(x: T, y: T) -> bool {
    let (x, y) = (x.to_f64(), y.to_f64());
    x.to_bits() == y.to_bits() || cfg!(miri) && x.is_nan() && y.is_nan()
}

/// Where in the slice the elements are, problem after problem, row after row.
fn offsets(layout: Layout) -> impl Iterator<Item = usize> {
    let (rows, cols, row_major) = (layout.rows(), layout.cols(), layout.is_row_major());
    let in_row = move |start: usize, r: usize| {
        let first = start + layout.offset(r, 0);
        // Without a division where the columns are neighbours: large sweeps spend their time here.
        (0..cols).map(move |c| if row_major { first + c } else { start + layout.offset(r, c) })
    };
    let in_problem = move |b: usize| (0..rows).flat_map(move |r| in_row(b * layout.batch_stride(), r));
    (0..layout.batch()).flat_map(in_problem)
}
