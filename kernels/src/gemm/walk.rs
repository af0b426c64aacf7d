//! The loop of a micro-kernel: what it adds to, and where it is.

use super::ahead::Ahead;
use super::strips::{Copying, pace};
use crate::simd::{self, Simd};

// What a kernel does beside its product, as its symbol's name says in `make asm-check`.
pub(super) const NOTHING: usize = 0;
pub(super) const UPDATE: usize = 1;
pub(super) const PACK: usize = 2;
pub(super) const TAIL: usize = 3;

/// What a loop adds to: a tile, and where there is one its tail, half a vector a row.
pub(super) struct Sums<S: Simd, const MR: usize, const NV: usize> {
    tile: [[S::F; NV]; MR],
    tail: [<S::Half as Simd>::F; MR],
}

impl<S: Simd, const MR: usize, const NV: usize> Sums<S, MR, NV> {
    #[inline(always)]
    pub(super) fn zero(simd: S) -> Self {
        Self { tile: [[simd.splat(0.0); NV]; MR], tail: [simd.half().splat(0.0); MR] }
    }

    /// Takes up what stands in memory, at addresses and with strides from row to row.
    ///
    /// # Safety
    /// The rows of a tile are readable there and, for kernels with a tail, those of one.
    #[inline(always)]
    pub(super) unsafe fn load<const BESIDE: usize>(
        &mut self,
        simd: S,
        (tile, stride): (*const f32, usize),
        (tail, tail_stride): (*const f32, usize),
    ) {
        for (i, row) in self.tile.iter_mut().enumerate() {
            for (j, v) in row.iter_mut().enumerate() {
                // SAFETY: the caller's.
                *v = unsafe { simd.load(tile.add(i * stride + j * S::LANES)) };
            }
        }
        if BESIDE == TAIL {
            for (i, v) in self.tail.iter_mut().enumerate() {
                // SAFETY: the caller's.
                *v = unsafe { simd.half().load(tail.add(i * tail_stride)) };
            }
        }
    }

    /// Puts it down in the same way.
    ///
    /// # Safety
    /// As [`Sums::load`], writable.
    #[inline(always)]
    pub(super) unsafe fn store<const BESIDE: usize>(
        self,
        simd: S,
        (tile, stride): (*mut f32, usize),
        (tail, tail_stride): (*mut f32, usize),
    ) {
        for (i, row) in self.tile.into_iter().enumerate() {
            for (j, v) in row.into_iter().enumerate() {
                // SAFETY: the caller's.
                unsafe { simd.store(tile.add(i * stride + j * S::LANES), v) };
            }
        }
        if BESIDE == TAIL {
            for (i, v) in self.tail.into_iter().enumerate() {
                // SAFETY: the caller's.
                unsafe { simd.half().store(tail.add(i * tail_stride), v) };
            }
        }
    }

    /// Keeps the compiler from mixing the steps before with what comes behind: it would run out of registers.
    #[inline(always)]
    pub(super) fn pin(&mut self, simd: S) {
        for sum in self.tile.as_flattened_mut() {
            *sum = simd.pin(*sum);
        }
    }
}

/// Steps of a round.
pub(super) const UNROLL: usize = 4;

/// Whether a run of `a` is a few rounds only, and a step of `b` one cache line.
pub(super) const fn short_runs<S: Simd, const NV: usize, const TN: bool, const P: usize>() -> bool {
    !TN && P == Ahead::LINE && NV * S::LANES == P
}

/// Where a loop is: the operands' next step, and memory to be asked for.
pub(super) struct Walk {
    pub(super) a: *const f32,
    pub(super) a_stride: usize,
    pub(super) b: *const f32,
    pub(super) b_stride: usize,
    /// Elements from a step of `b` to its tail.
    pub(super) tail: usize,
    pub(super) copying: Copying,
    pub(super) next: *const f32,
    pub(super) streams: [*const f32; Ahead::STREAMS],
    pub(super) line: usize,
    /// Elements from line to line, where the panel is not a number in the code.
    pub(super) apart: usize,
    pub(super) lines: usize,
    pub(super) end: usize,
}

impl Walk {
    /// How far ahead of its use a panel of one cache line is asked for: its lines are used faster, one a step, than those of
    /// wider panels.
    const AHEAD_IN_B: usize = 16 * Ahead::LINE;
    /// The same in steps, of a tail, one line of each row of a panel.
    const TAIL_AHEAD: usize = 32;

    /// Round number `round` of the run of `a` that begins at `run`.
    ///
    /// # Safety
    /// As many steps are readable at `a` and `b`, and where the kernel packs there is a vector to be copied in its turn.
    #[inline(always)]
    pub(super) unsafe fn round<
        S: Simd,
        const MR: usize,
        const NV: usize,
        const TN: bool,
        const P: usize,
        const BESIDE: usize,
        const FAR: bool,
    >(
        &mut self,
        simd: S,
        acc: &mut Sums<S, MR, NV>,
        run: *const f32,
        round: usize,
    ) {
        if !TN && P > 0 {
            Ahead::next_rows_in_round::<MR, P, FAR>(run, round);
        }
        self.ask::<FAR>(Ahead::LINE, P);
        if BESIDE == PACK && round.is_multiple_of(const { pace(NV * S::LANES) }) {
            // SAFETY: the caller's.
            unsafe { self.copying.vector(simd, NV * S::LANES) };
        }
        for _ in 0..UNROLL {
            if short_runs::<S, NV, TN, P>() {
                simd::prefetch(self.b.wrapping_add(Self::AHEAD_IN_B));
            }
            // SAFETY: the caller's.
            unsafe { self.step::<S, MR, NV, TN, BESIDE>(simd, acc) };
        }
    }

    /// Asks for what goes with a round or a part of one, of panels of `panel` columns. What is next to come whole goes to the
    /// second-level cache: narrow panels need the first for their own.
    #[inline(always)]
    pub(super) fn ask<const FAR: bool>(&mut self, of_next: usize, panel: usize) {
        if FAR {
            simd::prefetch(self.next);
        } else {
            simd::prefetch_l2(self.next);
        }
        self.next = self.next.wrapping_add(of_next);
        if self.line < self.end {
            for stream in self.streams {
                simd::prefetch(stream.wrapping_add(self.line));
            }
        }
        self.line =
            if panel == 0 { self.line.wrapping_add(self.apart) } else { Ahead::after(self.line, self.lines, panel) };
    }

    /// # Safety
    /// One more step is readable at `a` and `b`.
    #[inline(always)]
    pub(super) unsafe fn step<S: Simd, const MR: usize, const NV: usize, const TN: bool, const BESIDE: usize>(
        &mut self,
        simd: S,
        acc: &mut Sums<S, MR, NV>,
    ) {
        let mut vectors = [simd.splat(0.0); NV];
        for (j, v) in vectors.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *v = unsafe { simd.load(self.b.add(j * S::LANES)) };
        }
        let half = simd.half();
        let mut tail = half.splat(0.0);
        if BESIDE == TAIL {
            // SAFETY: the caller's.
            tail = unsafe { half.load(self.b.add(self.tail)) };
            simd::prefetch(self.b.wrapping_add(self.tail + Self::TAIL_AHEAD * self.b_stride));
        }
        for (i, (row, of_tail)) in acc.tile.iter_mut().zip(&mut acc.tail).enumerate() {
            let at = if TN { i } else { i * self.a_stride };
            // SAFETY: the caller's.
            let scalar = simd.splat(unsafe { *self.a.add(at) });
            for (sum, v) in row.iter_mut().zip(vectors) {
                *sum = simd.mul_add(scalar, v, *sum);
                if S::MIXED || BESIDE == PACK || BESIDE == TAIL {
                    // Stores between the steps too tempt the compiler to mix them, and with a tail there is hardly a register
                    // left: it would run out of them.
                    *sum = simd.pin(*sum);
                }
            }
            if BESIDE == TAIL {
                *of_tail = half.pin(half.mul_add(simd.low(scalar), tail, *of_tail));
            }
        }
        self.a = self.a.wrapping_add(if TN { self.a_stride } else { 1 });
        self.b = self.b.wrapping_add(self.b_stride);
    }
}
