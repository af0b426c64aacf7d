//! A thread's copies of strips of a row-major `b`, which it makes while it computes.

use super::grow;
use super::pack::{self, AHEAD, LINE};
use super::plan::WIDEST_PANEL;
use super::raw::Raw;
use super::walk::UNROLL;
use crate::matrix::AlignedVec;
use crate::simd::{self, Simd};

/// Which strip of `b`: of which problem, from which step and which column on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strip {
    pub(super) problem: usize,
    pub(super) k0: usize,
    pub(super) col: usize,
}

/// Of the strip that a thread's tiles read, and of the one they will read next, which they make on their way.
#[derive(Debug, Default)]
pub(super) struct Strips {
    here: Copied,
    coming: Copied,
}

/// A strip's first `rows` rows.
#[derive(Debug, Default)]
struct Copied {
    memory: AlignedVec<f32>,
    of: Option<Strip>,
    rows: usize,
}

impl Strips {
    /// Makes room for strips of `len` elements of another `b`.
    pub(super) fn reset(&mut self, len: usize) {
        for strip in [&mut self.here, &mut self.coming] {
            grow(&mut strip.memory, len);
            strip.of = None;
        }
    }

    /// The copy of a strip of `b`, `steps` rows of `cols` elements, in rows of `width`, zero behind `cols`: completed now.
    ///
    /// # Safety
    /// The strip is readable; there is room for `steps·width` elements; what was copied of it on the way had this `width`.
    pub(super) unsafe fn take(&mut self, b: Raw, of: Strip, [steps, cols, width]: [usize; 3]) -> *const f32 {
        if self.here.of != Some(of) {
            std::mem::swap(&mut self.here, &mut self.coming);
            let Copied { memory, of: found, rows } = &mut self.here;
            let done = if *found == Some(of) { *rows } else { 0 };
            let (src, dst) = (b.at(of.problem, of.k0 + done, of.col), memory.as_mut_ptr().wrapping_add(done * width));
            // SAFETY: the caller's.
            unsafe { pack::strip(src, b.row_stride(), dst, width, steps - done, cols) };
            (*found, *rows) = (Some(of), steps);
        }
        self.here.memory.as_ptr()
    }

    /// Begins a copy of the strip that is probably wanted next, of `steps` rows of `width` elements, for tiles that copy `each` of
    /// them.
    pub(super) fn begin(&mut self, b: Raw, of: Strip, [steps, width]: [usize; 2], each: usize) -> OnTheWay {
        (self.coming.of, self.coming.rows) = (Some(of), 0);
        let copying = Copying::new(b.at(of.problem, of.k0, of.col), b.row_stride(), self.coming.memory.as_mut_ptr());
        OnTheWay { copying, width, left: steps * width, done: 0, each }
    }

    /// Keeps what tiles have made of it.
    pub(super) fn keep(&mut self, on_the_way: &OnTheWay) {
        self.coming.rows = on_the_way.done / on_the_way.width;
    }
}

/// A strip that tiles copy.
pub(super) struct OnTheWay {
    copying: Copying,
    /// Elements of a row.
    width: usize,
    /// Elements to be copied, those that were, and those of a tile.
    left: usize,
    done: usize,
    each: usize,
}

impl OnTheWay {
    /// Tiles that have something to copy.
    pub(super) fn tiles(&self) -> usize {
        self.left.checked_div(self.each).unwrap_or(0)
    }

    /// What the next tile copies, where there is as much as it does.
    pub(super) fn take(&mut self) -> Option<Copying> {
        if self.tiles() == 0 {
            return None;
        }
        if self.done == 0 {
            self.copying.ask(self.width);
        }
        let copying = self.copying.below(self.done, self.width);
        (self.done, self.left) = (self.done + self.each, self.left - self.each);
        Some(copying)
    }
}

/// Rounds of a run of which one copies a vector, in kernels for tiles of this width: the more, the narrower they are, since their
/// rounds are shorter and `b` has more strips of as many rows.
pub(super) const fn pace(width: usize) -> usize {
    let pace = WIDEST_PANEL / width;
    if pace > 1 { pace } else { 1 }
}

/// Vectors that a loop over `steps` steps in runs of `run` copies, one every `pace` rounds of a run.
pub(super) fn copies(steps: usize, run: usize, pace: usize) -> usize {
    let of = |steps: usize| (steps / UNROLL).div_ceil(pace);
    match steps.checked_div(run) {
        Some(runs) => runs * of(run) + of(steps % run),
        None => 0,
    }
}

/// Rows to copy from a row-major matrix into a panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copying {
    from: *const f32,
    stride: usize,
    /// Elements from a row to the one that is asked for while it is copied.
    ahead: usize,
    /// Elements of the row that have been copied.
    column: usize,
    to: *mut f32,
}

impl Copying {
    pub(crate) const NOTHING: Self =
        Self { from: std::ptr::null(), stride: 0, ahead: 0, column: 0, to: std::ptr::null_mut() };

    fn new(from: *const f32, stride: usize, to: *mut f32) -> Self {
        Self { from, stride, ahead: AHEAD.wrapping_mul(stride), column: 0, to }
    }

    /// What is left when `done` elements have been copied, in rows of `width`.
    fn below(self, done: usize, width: usize) -> Self {
        let from = self.from.wrapping_add((done / width).wrapping_mul(self.stride));
        Self { from, column: done % width, to: self.to.wrapping_add(done), ..self }
    }

    /// Asks for the rows that nobody else asks for.
    fn ask(&self, width: usize) {
        for row in 0..AHEAD {
            for line in (0..width).step_by(LINE) {
                simd::prefetch(self.from.wrapping_add(row.wrapping_mul(self.stride).wrapping_add(line)));
            }
        }
    }

    /// Copies the next vector of rows of `width` elements.
    ///
    /// # Safety
    /// It is readable, and writable where it goes.
    #[inline(always)]
    pub(super) unsafe fn vector<S: Simd>(&mut self, simd: S, width: usize) {
        let from = self.from.wrapping_add(self.column);
        simd::prefetch(from.wrapping_add(self.ahead));
        // SAFETY: the caller's.
        unsafe { simd.store(self.to, simd.load(from)) };
        self.to = self.to.wrapping_add(S::LANES);
        self.column += S::LANES;
        if self.column == width {
            (self.from, self.column) = (self.from.wrapping_add(self.stride), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::simd::Portable;
    use crate::view::MatMut;

    #[test]
    fn a_loop_copies_a_vector_in_the_first_of_every_few_rounds_of_a_run() {
        assert_eq!([64, 48, 32, 16, 8].map(pace), [1, 1, 2, 4, 8]);
        assert_eq!([0, 3, 4, 7, 1024].map(|steps| copies(steps, usize::MAX, 1)), [0, 0, 1, 1, 256]);
        assert_eq!([4, 16, 20, 1024].map(|steps| copies(steps, usize::MAX, 4)), [1, 1, 2, 64]);
        // Three runs of five steps, a round each, and a rest without one.
        assert_eq!([5, 15, 17, 19].map(|steps| copies(steps, 5, 1)), [1, 3, 3, 4]);
        assert_eq!(copies(0, 0, 1), 0);
    }

    #[test]
    fn what_was_not_copied_on_the_way_is_copied_when_it_is_wanted() {
        let (rows, cols, stride, width) = (10, 8, 11, 8);
        let mut matrix: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
        let b = Raw::write(&mut MatMut::new(&mut matrix, Layout::row_major_ld(rows, cols, stride).unwrap()).unwrap());
        let mut strips = Strips::default();
        strips.reset(rows * width);
        let at = |k0| Strip { problem: 0, k0, col: 0 };
        let taken = |strips: &mut Strips, k0: usize, steps: usize| {
            // SAFETY: the steps are readable, and there is room for them.
            let first = unsafe { strips.take(b, at(k0), [steps, cols, width]) };
            // SAFETY: as many were copied.
            unsafe { std::slice::from_raw_parts(first, steps * width) }.to_vec()
        };
        let expected = |k0: usize, steps: usize| {
            (k0..k0 + steps).flat_map(|row| (0..cols).map(move |col| (row * stride + col) as f32)).collect::<Vec<_>>()
        };
        assert_eq!(taken(&mut strips, 0, 4), expected(0, 4));
        assert!(strips.begin(b, at(4), [6, width], 0).take().is_none(), "loops without a round");
        // A row and a half of the next one, of which the half is copied again.
        let mut on_the_way = strips.begin(b, at(4), [6, width], 12);
        assert_eq!(on_the_way.tiles(), 4);
        let mut copying = on_the_way.take().unwrap();
        for _ in 0..12 / Portable::LANES {
            // SAFETY: any processor has these instructions; the vectors are readable, and there is room for them.
            unsafe { copying.vector(Portable::assume(), width) };
        }
        strips.keep(&on_the_way);
        assert_eq!(strips.coming.rows, 1);
        assert_eq!(strips.coming.memory[..12], expected(4, 2)[..12]);
        assert_eq!([(); 4].map(|()| on_the_way.take().is_some()), [true, true, true, false]);
        // The one that is here stays while it is wanted, and another one than was expected is copied whole.
        assert_eq!(taken(&mut strips, 0, 4), expected(0, 4));
        assert_eq!(taken(&mut strips, 4, 6), expected(4, 6));
        assert_eq!(taken(&mut strips, 2, 3), expected(2, 3));
        strips.reset(rows * width);
        matrix.fill(-1.0);
        assert_eq!(taken(&mut strips, 2, 3), vec![-1.0; 24], "of another matrix");
    }
}
