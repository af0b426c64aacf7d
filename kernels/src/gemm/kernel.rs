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

use std::ops::Range;

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
    /// Columns of the strip.
    width: usize,
    panel: usize,
    /// Where the last line of each stream ends.
    end: usize,
}

impl Ahead {
    const STREAMS: usize = 4;
    pub(crate) const LINE: usize = 64 / size_of::<f32>();
    /// Rounds of the loop, a line of each stream in a round, that a line has to arrive.
    const SLACK: usize = 16;
    /// Behind every tile, whatever is added in a loop.
    const NEVER: usize = usize::MAX / 2;

    /// Nothing yet, of panels of `panel` columns.
    pub(crate) fn new(panel: usize) -> Self {
        let streams = [std::ptr::null(); Self::STREAMS];
        Self { streams, used: 0, rows: 0, width: 0, panel, end: 0 }
    }

    /// Nothing yet, for a tile of `rows` rows of a strip `width` wide. Streams that stay unused ask for `instead`, so that the
    /// loop need not look which are.
    #[inline(always)]
    pub(crate) fn start(&mut self, rows: usize, width: usize, instead: *const f32) {
        self.streams = [instead; Self::STREAMS];
        self.used = 0;
        (self.rows, self.width) = (rows, width);
        self.end = Self::end_of(rows, self.panel);
    }

    /// Columns of the strip that the tile is of.
    #[inline(always)]
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Cache lines that a strip has of each row of a panel, a power of two; 0 where that is all of them, so that rows follow
    /// one another without a gap.
    const fn lines_of_row(width: usize, panel: usize) -> usize {
        let lines = width.div_ceil(Self::LINE).next_power_of_two();
        if lines * Self::LINE < panel { lines } else { 0 }
    }

    /// Where a tile's last line ends.
    const fn end_of(rows: usize, panel: usize) -> usize {
        (rows * panel).next_multiple_of(Self::LINE)
    }

    /// Where the line begins that is asked for after the one at `line`, the first being at 0, of strips that have `lines` of
    /// each row. Below zero as well: these are rounds in which none is asked for.
    #[inline(always)]
    const fn after(line: usize, lines: usize, panel: usize) -> usize {
        line.wrapping_add(match lines {
            0 => Self::LINE,
            1 => panel,
            lines => {
                // The row's last line is followed by the next row's first.
                let last = line / Self::LINE % lines / (lines - 1);
                Self::LINE + last * (panel - lines * Self::LINE)
            }
        })
    }

    /// What [`Ahead::after`] makes 0 in time, for the lines to be asked for in the last of `rounds` rounds, but for some that
    /// they have to arrive.
    #[inline(always)]
    fn before(&self, rounds: usize, lines: usize, panel: usize) -> usize {
        if self.used == 0 {
            return Self::NEVER;
        }
        let (of_all, apart) = match lines {
            0 => (self.end / Self::LINE, Self::LINE),
            lines => (self.rows * lines, panel / lines),
        };
        let before = rounds.saturating_sub(of_all + Self::SLACK) * apart;
        // A whole number of rows, so that it is a row's first line that is at 0.
        let row = if lines == 0 { Self::LINE } else { panel };
        before.next_multiple_of(row).wrapping_neg()
    }

    /// Adds the tile's rows of one panel, `stride` apart, from `at`. Those of a panel-major matrix become a stream; others
    /// are asked for at once.
    #[inline(always)]
    pub(crate) fn push(&mut self, at: *const f32, stride: usize) {
        if stride != self.panel {
            for row in 0..self.rows {
                for column in (0..self.width).step_by(Self::LINE) {
                    simd::prefetch(at.wrapping_add(row.wrapping_mul(stride).wrapping_add(column)));
                }
            }
        } else if self.used < Self::STREAMS {
            self.streams[self.used] = at;
            self.used += 1;
        }
    }

    /// Asks for the line at `line` of each stream.
    #[inline(always)]
    fn ask(&self, line: usize) {
        for stream in &self.streams[..] {
            simd::prefetch(stream.wrapping_add(line));
        }
    }

    /// Rounds that use one cache line of a row of `a`.
    const ROUNDS: usize = Self::LINE / UNROLL;

    /// The rows of the next tile follow this one's in each panel of `a`. While this tile uses a cache line of each of its
    /// rows, that line of the next tile's: in each round some rows, so that after a line's last round it was all.
    #[inline(always)]
    fn next_rows_in_round<const MR: usize, const P: usize>(run: *const f32, round: usize) {
        let share = const { MR.div_ceil(Self::ROUNDS) };
        let first = round % Self::ROUNDS * share;
        Self::next_rows::<MR, P>(run, round / Self::ROUNDS, first..first + share);
    }

    /// The rows that are left where the last line of a panel is not used for all its rounds.
    #[inline(always)]
    fn next_rows_after<const MR: usize, const P: usize>(run: *const f32, steps: usize) {
        if !steps.is_multiple_of(Self::LINE) {
            let share = const { MR.div_ceil(Self::ROUNDS) };
            let first = steps % Self::LINE / UNROLL * share;
            Self::next_rows::<MR, P>(run, steps / Self::LINE, first..MR);
        }
    }

    #[inline(always)]
    fn next_rows<const MR: usize, const P: usize>(run: *const f32, line: usize, rows: Range<usize>) {
        // A panel of one line has no second one.
        let line = if P > Self::LINE { line * Self::LINE } else { 0 };
        let line = run.wrapping_add(MR * P + line);
        for i in rows {
            simd::prefetch_l2(line.wrapping_add(i * P));
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
        // Numbers in the code where they can be: the loop has no register left to keep them in. Elsewhere all lines of a panel
        // are asked for.
        let (lines, end) =
            if P == 0 { (0, ahead.end) } else { (Ahead::lines_of_row(NV * S::LANES, P), Ahead::end_of(MR, P)) };
        debug_assert_eq!((MR, NV * S::LANES, end), (ahead.rows, ahead.width, ahead.end));
        let mut line = ahead.before(args.k / UNROLL, lines, P);
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
                    Ahead::next_rows_in_round::<MR, P>(run, round);
                }
                if line < end {
                    ahead.ask(line);
                }
                line = Ahead::after(line, lines, P);
                for _ in 0..UNROLL {
                    // SAFETY: `TileFn`'s contract: these steps are readable.
                    unsafe { step::<S, MR, NV, TN>(simd, &mut acc, &mut a, a_stride, &mut b, b_stride) };
                }
            }
            if !TN && P > Ahead::LINE {
                Ahead::next_rows_after::<MR, P>(run, steps);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_line_of_a_strip_is_asked_for_once_and_no_other() {
        for (rows, width, panel) in
            [(6, 64, 64), (6, 48, 64), (12, 32, 64), (24, 16, 64), (8, 8, 64), (6, 16, 16), (8, 8, 16), (3, 4, 8)]
        {
            let mut ahead = Ahead::new(panel);
            ahead.start(rows, width, std::ptr::null());
            let of_row = Ahead::lines_of_row(width, panel);
            let asked = |ahead: &Ahead, rounds: usize| {
                let mut line = ahead.before(rounds, of_row, panel);
                let mut lines = Vec::new();
                for _ in 0..rounds {
                    if line < ahead.end {
                        lines.push(line);
                    }
                    line = Ahead::after(line, of_row, panel);
                }
                lines
            };
            assert_eq!(asked(&ahead, 1000), [], "nothing was pushed");
            ahead.push(std::ptr::null(), panel);
            // Whole panels where three of four lines would be skipped between.
            let columns = if width.div_ceil(Ahead::LINE) > 2 { panel } else { width };
            let elements = (0..rows).flat_map(|r| (0..columns).map(move |c| r * panel + c));
            let lines: BTreeSet<usize> = elements.map(|element| element / Ahead::LINE * Ahead::LINE).collect();
            for rounds in [100, 101, 102, 103] {
                assert_eq!(asked(&ahead, rounds), Vec::from_iter(lines.iter().copied()), "{rows} x {width} of {panel}");
            }
            // A short loop begins at once.
            assert_eq!(asked(&ahead, 5), Vec::from_iter(lines.into_iter().take(5)));
        }
    }
}
