//! The micro-kernel: an MR × (NV·LANES) tile of a product, kept in registers over a run of k.
//!
//! ```text
//! acc[i][j] = fma(a[i, p], b[p, j], acc[i][j])        for p = 0, 1, …, k−1
//!
//!              NV vectors                     registers: MR·NV accumulators, NV of b, one broadcast
//!            ┌────┬────┬────┐ b[p, :]         AVX-512  6×64: 24 + 4 + 1 of 32
//!            └────┴────┴────┘                 AVX2     6×16: 12 + 2 + 1 of 16
//!   a[0, p] ·┌────┬────┬────┐                 NEON     6×16: 24 + 4 + 1 of 32
//!   a[1, p] ·│    acc       │
//!   a[MR−1,p]└────┴────┴────┘
//! ```
//!
//! Every element is one chain of fused multiply-adds in the order of p. The chain starts from zero or from a stored
//! partial sum, so cutting k anywhere changes no bit, and neither does the shape of the tile.
//!
//! In the NN form the broadcast scalars of one row are neighbours, in runs as long as a panel of `a` is wide; in the TN
//! form the scalars of one step are neighbours and a step is a row. Strides are in elements.
//!
//! Nothing but this happens in the function: what follows a product runs on the stored tile in a function of its own,
//! because its register needs would make the compiler spill accumulators inside the loop.

use crate::ops::Form;
use crate::simd::{self, Simd, Task};

/// Where a tile's operands are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileArgs {
    /// First scalar of `a`.
    pub(crate) a: *const f32,
    /// NN: elements from row to row. TN: from step to step.
    pub(crate) a_stride: usize,
    /// NN: steps until the run ends. TN: not used.
    pub(crate) a_run: usize,
    /// NN: elements from one run's start to the next one's. TN: not used.
    pub(crate) a_next: usize,
    /// First vector of `b`.
    pub(crate) b: *const f32,
    /// Elements from step to step.
    pub(crate) b_stride: usize,
    /// Steps.
    pub(crate) k: usize,
    /// The partial sums to start from; null for zero.
    pub(crate) start: *const f32,
    /// Elements between their rows.
    pub(crate) start_stride: usize,
    /// Where the sums go.
    pub(crate) out: *mut f32,
    /// Elements between their rows.
    pub(crate) out_stride: usize,
    /// Part of what this thread's next unit will read: a cache line for every [`UNROLL`] steps.
    pub(crate) next: *const f32,
    /// What the epilogue will touch.
    pub(crate) ahead: Ahead,
}

/// Runs of memory to ask for while the loop runs, late enough to be still in the first-level cache at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    streams: [*const f32; Self::STREAMS],
    used: usize,
    rows: usize,
    panel: usize,
    /// Cache lines of each stream.
    lines: usize,
}

impl Ahead {
    const STREAMS: usize = 4;
    pub(crate) const LINE: usize = 64 / size_of::<f32>();
    /// Rounds of the loop, a line of each stream in a round, that a line has to arrive.
    const SLACK: usize = 16;
    /// More rounds than any loop has.
    const NEVER: usize = usize::MAX / 2;

    /// Nothing yet, of panels of `panel` columns.
    pub(crate) fn new(panel: usize) -> Self {
        Self { streams: [std::ptr::null(); Self::STREAMS], used: 0, rows: 0, panel, lines: 0 }
    }

    /// Nothing yet, for a tile of `rows` rows. Streams that stay unused ask for `instead`, so that the loop need not look
    /// which are.
    #[inline(always)]
    pub(crate) fn start(&mut self, rows: usize, instead: *const f32) {
        self.streams = [instead; Self::STREAMS];
        self.used = 0;
        self.rows = rows;
        self.lines = (rows * self.panel).div_ceil(Self::LINE);
    }

    /// Adds the rows of one panel, `stride` apart, from `at`. Rows that are neighbours become a stream; others are asked
    /// for at once.
    #[inline(always)]
    pub(crate) fn push(&mut self, at: *const f32, stride: usize) {
        if stride != self.panel {
            for line in (0..self.rows).flat_map(|r| (0..self.panel).step_by(Self::LINE).map(move |c| r * stride + c)) {
                simd::prefetch(at.wrapping_add(line));
            }
        } else if self.used < Self::STREAMS {
            self.streams[self.used] = at;
            self.used += 1;
        }
    }
}

/// A micro-kernel.
///
/// # Safety
/// The processor has the instruction set it was compiled for. With `rows` = MR and `width` = NV·LANES: `a` is readable
/// at every (row, step), `b` and `start` (unless null) over `width` elements a step or row, and `out` is writable over
/// `width` elements a row.
pub(crate) type TileFn = unsafe fn(&TileArgs);

/// One tile size: for each form, with any strides, and with both of a width fixed when it was compiled, so that every
/// address is one register and a constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileKernel {
    pub(crate) rows: usize,
    nn: [TileFn; 2],
    tn: [TileFn; 2],
}

impl TileKernel {
    /// With `P`, the tier's panel, for the fixed width.
    pub(crate) const fn new<S: Simd, const MR: usize, const NV: usize, const P: usize>() -> Self {
        const { assert!(MR * NV * S::LANES <= super::TILE_LEN, "a tile has to fit into its buffer") };
        Self {
            rows: MR,
            nn: [tile::<S, MR, NV, false, 0>, tile::<S, MR, NV, false, P>],
            tn: [tile::<S, MR, NV, true, 0>, tile::<S, MR, NV, true, P>],
        }
    }

    /// The function for a form, and for strides that both are the tier's panel.
    #[inline]
    pub(crate) fn function(&self, form: Form, panels: bool) -> TileFn {
        match form {
            Form::Nn => self.nn[usize::from(panels)],
            Form::Tn => self.tn[usize::from(panels)],
        }
    }
}

/// `P` is the stride of `a` and `b`, or 0 where the arguments say.
unsafe fn tile<S: Simd, const MR: usize, const NV: usize, const TN: bool, const P: usize>(args: &TileArgs) {
    debug_assert!(P == 0 || (args.a_stride == P && args.b_stride == P));
    // SAFETY: the caller's: the processor has the instructions.
    let simd = unsafe { S::assume() };
    simd.vectorize(Tile::<MR, NV, TN, P>(args));
}

struct Tile<'a, const MR: usize, const NV: usize, const TN: bool, const P: usize>(&'a TileArgs);

impl<const MR: usize, const NV: usize, const TN: bool, const P: usize> Task for Tile<'_, MR, NV, TN, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let args = self.0;
        let (a_stride, b_stride) = if P == 0 { (args.a_stride, args.b_stride) } else { (P, P) };
        let ahead = &args.ahead;
        // A number in the code where it can be: the loop has no register left to keep it in.
        let ahead_lines = if P == 0 { ahead.lines } else { const { (MR * P).div_ceil(Ahead::LINE) } };
        debug_assert_eq!(ahead_lines, ahead.lines);
        let mut until_ahead = match ahead.used {
            0 => Ahead::NEVER,
            _ => (args.k / UNROLL).saturating_sub(ahead_lines + Ahead::SLACK),
        };
        let mut acc = [[simd.splat(0.0); NV]; MR];
        if !args.start.is_null() {
            for (i, row) in acc.iter_mut().enumerate() {
                for (j, v) in row.iter_mut().enumerate() {
                    // SAFETY: `TileFn`'s contract for `start`.
                    *v = unsafe { simd.load(args.start.add(i * args.start_stride + j * S::LANES)) };
                }
            }
        }
        let mut b = args.b;
        let mut next = args.next;
        let mut left = args.k;
        let mut run = args.a;
        while left > 0 {
            let steps = if TN { left } else { left.min(args.a_run) };
            let mut a = run;
            for round in 0..steps / UNROLL {
                simd::prefetch_l2(next);
                next = next.wrapping_add(Ahead::LINE);
                if !TN && P > 0 {
                    // The next tile's rows follow this one's in each panel of `a`. While this tile uses a cache line of
                    // each of its rows, that line of each of the next rows.
                    const ROUNDS: usize = Ahead::LINE / UNROLL;
                    let share = const { MR.div_ceil(ROUNDS) };
                    // A panel of one line has no second one.
                    let line = if P > Ahead::LINE { round / ROUNDS * Ahead::LINE } else { 0 };
                    let line = run.wrapping_add(MR * P + line);
                    for i in 0..share {
                        simd::prefetch_l2(line.wrapping_add((round % ROUNDS * share + i) * P));
                    }
                }
                // Counts down to the first line, and on through the lines below zero.
                let line = until_ahead.wrapping_neg();
                if line < ahead_lines {
                    for stream in &ahead.streams[..] {
                        simd::prefetch(stream.wrapping_add(line * Ahead::LINE));
                    }
                }
                until_ahead = until_ahead.wrapping_sub(1);
                for _ in 0..UNROLL {
                    // SAFETY: `TileFn`'s contract: these steps are readable.
                    unsafe { step::<S, MR, NV, TN>(simd, &mut acc, &mut a, a_stride, &mut b, b_stride) };
                }
            }
            for _ in 0..steps % UNROLL {
                // SAFETY: as above.
                unsafe { step::<S, MR, NV, TN>(simd, &mut acc, &mut a, a_stride, &mut b, b_stride) };
            }
            left -= steps;
            run = run.wrapping_add(args.a_next);
        }
        for (i, row) in acc.into_iter().enumerate() {
            for (j, v) in row.into_iter().enumerate() {
                // SAFETY: `TileFn`'s contract for `out`.
                unsafe { simd.store(args.out.add(i * args.out_stride + j * S::LANES), v) };
            }
        }
    }
}

pub(crate) const UNROLL: usize = 4;

/// # Safety
/// One more step is readable at `a` and `b`.
#[inline(always)]
unsafe fn step<S: Simd, const MR: usize, const NV: usize, const TN: bool>(
    simd: S,
    acc: &mut [[S::F; NV]; MR],
    a: &mut *const f32,
    a_stride: usize,
    b: &mut *const f32,
    b_stride: usize,
) {
    let mut vectors = [simd.splat(0.0); NV];
    for (j, v) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *v = unsafe { simd.load(b.add(j * S::LANES)) };
    }
    for (i, row) in acc.iter_mut().enumerate() {
        let at = if TN { i } else { i * a_stride };
        // SAFETY: the caller's.
        let scalar = simd.splat(unsafe { *a.add(at) });
        for (sum, v) in row.iter_mut().zip(vectors) {
            *sum = simd.mul_add(scalar, v, *sum);
        }
    }
    *a = a.wrapping_add(if TN { a_stride } else { 1 });
    *b = b.wrapping_add(b_stride);
}
