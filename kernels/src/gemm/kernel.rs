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
//! What is in no panel is read with its own strides. A strip of `b` that is to be read by many tiles is copied into a panel first,
//! by the last tiles of the strip before, a vector in a round: copied alone, its rows, which are far apart, would be waited for with
//! nothing else to do.
//!
//! The columns behind the last whole panel, where half a vector holds them, are a tail that some kernels compute together with the
//! panel's tile: alone they would be one cache line in four to wait for, and all of `a` to be read once more.
//!
//! One call computes several tiles, one below another: what goes with a call is as much work as some hundred multiply-adds.
//!
//! What follows a product runs on the stored tile in a function of its own, because its register needs would make the compiler
//! spill accumulators inside the loop. Only an optimiser's step on the tile before is taken inside it, where there are registers
//! for that: see [`Deferred`].

use super::ahead::Ahead;
use super::deferred::{Deferred, Pending, Update};
use super::strips::Copying;
use super::walk::{NOTHING, PACK, Sums, TAIL, UNROLL, UPDATE, Walk, short_runs};
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
    /// For kernels that pack: what they copy of another strip of `b`.
    pub(crate) copying: Copying,
    /// Steps.
    pub(crate) k: usize,
    /// Tiles, one below another: their `a`, `start` and `out` and what is to be touched are as many rows further. One, for kernels
    /// that pack.
    pub(crate) tiles: usize,
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
    /// What is left to do of the tile before, for kernels that do so.
    pub(crate) deferred: Deferred,
    /// For these kernels, the update of the first tile.
    pub(crate) update: Update,
    /// For these kernels, a second place for sums: tiles use it and `out` by turns, each until the tile behind it is done.
    pub(crate) other: *mut f32,
    /// For kernels that take one.
    pub(crate) tail: Tail,
}

/// The columns behind a panel that half a vector holds: the first ones of the panel behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    /// Elements from a step of `b` to what the tail has of it.
    pub(crate) b: usize,
    /// As that of [`TileArgs`], rows as far apart.
    pub(crate) start: *const f32,
    /// Where the sums go, and the elements between rows.
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    /// What the epilogue will touch of it.
    pub(crate) ahead: [*const f32; Self::STREAMS],
}

impl Tail {
    pub(crate) const STREAMS: usize = 2;
    pub(crate) const NOTHING: Self = Self {
        b: 0,
        start: std::ptr::null(),
        out: std::ptr::null_mut(),
        out_stride: 0,
        ahead: [std::ptr::null(); Self::STREAMS],
    };
}

/// A micro-kernel.
///
/// # Safety
/// The processor has the instruction set it was compiled for. With `rows` = MR·tiles and `width` = NV·LANES: `a` is readable
/// at every (row, step), `b` and `start` (unless null) over `width` elements a step or row, and `out` is writable over
/// `width` elements a row. Where the kernel packs, `b` is packed already, and `copying` has a vector for every
/// [`pace`](super::strips::pace) rounds. Where it takes updates, `out` and
/// `other` are one tile each, and what is to be updated exists and is nobody else's. Where it takes a tail, that is readable and
/// writable in the same way, over half a vector.
pub(crate) type TileFn = unsafe fn(&TileArgs);

/// One tile size: for each form, with any strides, and with both of a width fixed when it was compiled, so that every
/// address is one register and a constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileKernel {
    pub(crate) rows: usize,
    /// With any strides; with those of the tier's panel, and `a` near or far.
    nn: [TileFn; 3],
    tn: [TileFn; 2],
    /// For each form.
    packing: [TileFn; 2],
    deferring: Option<TileFn>,
    /// With `a` near, and far.
    with_tail: Option<[TileFn; 2]>,
}

impl TileKernel {
    /// With `P`, the tier's panel, for the fixed width. `DEFERS`: where registers are left for what is deferred.
    pub(crate) const fn new<S: Simd, const MR: usize, const NV: usize, const P: usize, const DEFERS: bool>() -> Self {
        const { assert!(MR * NV * S::LANES <= super::TILE_LEN, "a tile has to fit into its buffer") };
        Self {
            rows: MR,
            nn: [
                tile::<S, MR, NV, false, 0, NOTHING, false>,
                tile::<S, MR, NV, false, P, NOTHING, false>,
                tile::<S, MR, NV, false, P, NOTHING, true>,
            ],
            tn: [tile::<S, MR, NV, true, 0, NOTHING, false>, tile::<S, MR, NV, true, P, NOTHING, false>],
            packing: [tile::<S, MR, NV, false, 0, PACK, false>, tile::<S, MR, NV, true, 0, PACK, false>],
            deferring: if DEFERS { Some(tile::<S, MR, NV, true, P, UPDATE, false>) } else { None },
            with_tail: if takes_tail::<S>(MR, NV, P) {
                Some([tile::<S, MR, NV, false, P, TAIL, false>, tile::<S, MR, NV, false, P, TAIL, true>])
            } else {
                None
            },
        }
    }

    /// The function for a form, and for strides that both are the tier's panel; `far` as [`Plan::far`](super::plan::Plan::far).
    #[inline]
    pub(crate) fn function(&self, form: Form, panels: bool, far: bool) -> TileFn {
        match form {
            Form::Nn => self.nn[if panels { 1 + usize::from(far) } else { 0 }],
            Form::Tn => self.tn[usize::from(panels)],
        }
    }

    /// The function for a form, any strides of `a` and a packed `b` that also packs what is next of that.
    #[inline]
    pub(crate) fn packing(&self, form: Form) -> TileFn {
        match form {
            Form::Nn => self.packing[0],
            Form::Tn => self.packing[1],
        }
    }

    /// The function for the NN form and strides of the tier's panel that computes half a vector's columns behind a panel as well,
    /// where there is one.
    #[inline]
    pub(crate) fn with_tail(&self, far: bool) -> Option<TileFn> {
        self.with_tail.map(|functions| functions[usize::from(far)])
    }

    /// The function for the TN form and strides of the tier's panel that also does what is deferred, where there is one.
    #[inline]
    pub(crate) fn deferring(&self) -> Option<TileFn> {
        self.deferring
    }
}

/// Whether there are registers for a tail beside a panel's tile: a sum a row, its vector of `b`, and the broadcast.
const fn takes_tail<S: Simd>(mr: usize, nv: usize, panel: usize) -> bool {
    const REGISTERS: usize = 32;
    2 * S::Half::LANES == S::LANES && nv * S::LANES == panel && (mr + 1) * (nv + 1) < REGISTERS
}

/// `P` is the stride of `a` and `b`, or 0 where the arguments say. `FAR`: whether rows of `a` come from further than the second-level
/// cache.
unsafe fn tile<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const TN: bool,
    const P: usize,
    const BESIDE: usize,
    const FAR: bool,
>(
    args: &TileArgs,
) {
    debug_assert!(P == 0 || (args.a_stride == P && args.b_stride == P));
    // SAFETY: the caller's: the processor has the instructions.
    let simd = unsafe { S::assume() };
    simd.vectorize(Tile::<MR, NV, TN, P, BESIDE, FAR>(args));
}

struct Tile<'a, const MR: usize, const NV: usize, const TN: bool, const P: usize, const BESIDE: usize, const FAR: bool>(
    &'a TileArgs,
);

impl<const MR: usize, const NV: usize, const TN: bool, const P: usize, const BESIDE: usize, const FAR: bool> Task
    for Tile<'_, MR, NV, TN, P, BESIDE, FAR>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        const { assert!(TN || BESIDE != UPDATE, "weight gradients have something to defer, and one run of k") };
        const { assert!(P == 0 || BESIDE != PACK, "what is in panels is packed") };
        const { assert!(BESIDE != TAIL || !TN && takes_tail::<S>(MR, NV, P), "no half, or no registers for it") };
        debug_assert!(self.0.tiles == 1 || BESIDE != PACK);
        let mut next = self.0.next;
        for number in 0..if BESIDE == PACK { 1 } else { self.0.tiles } {
            // Every tile reads its numbers anew: what the compiler prepared for all of them would need the loop's registers.
            let args = if BESIDE == PACK { self.0 } else { simd::opaque(self.0) };
            // SAFETY: `TileFn`'s contract: there is such a tile.
            next = unsafe { Self(args).one(simd, number, next) };
        }
    }
}

impl<const MR: usize, const NV: usize, const TN: bool, const P: usize, const BESIDE: usize, const FAR: bool>
    Tile<'_, MR, NV, TN, P, BESIDE, FAR>
{
    /// Where the sums of tile number `number` go.
    #[inline(always)]
    fn sums(args: &TileArgs, number: usize) -> *mut f32 {
        if BESIDE == UPDATE {
            return if number.is_multiple_of(2) { args.out } else { args.other };
        }
        args.out.wrapping_add(number * MR * args.out_stride)
    }

    /// What is left to do when tile number `number` begins.
    #[inline(always)]
    fn pending<S: Simd>(args: &TileArgs, number: usize) -> Pending {
        if BESIDE != UPDATE || number == 0 {
            return args.deferred.pending();
        }
        let before = number - 1;
        let (z, len) = (Self::sums(args, before).cast_const(), MR * NV * S::LANES);
        Pending { z, len, update: args.update.below(before * MR * P) }
    }

    /// Tile number `number`, and on the way what is at `next`. Returns what is next then.
    ///
    /// # Safety
    /// As for [`TileFn`].
    #[inline(always)]
    unsafe fn one<S: Simd>(self, simd: S, number: usize, next: *const f32) -> *const f32 {
        let args = self.0;
        let a_stride = if P == 0 { args.a_stride } else { P };
        let b_stride = match (P, BESIDE) {
            (0, PACK) => NV * S::LANES,
            (0, _) => args.b_stride,
            _ => P,
        };
        let ahead = &args.ahead;
        // Numbers in the code where they can be: the loop has no register left to keep them in. Elsewhere all lines of a panel
        // are asked for.
        let (lines, end) =
            if P == 0 { (0, ahead.end) } else { (Ahead::lines_of_row(NV * S::LANES, P), Ahead::end_of(MR, P)) };
        debug_assert_eq!((MR, NV * S::LANES, end), (ahead.rows, ahead.width, ahead.end));
        let row = number * MR;
        let pending = Self::pending::<S>(args, number);
        // Read again and again: kept, its addresses would need the loop's registers.
        let pending = if BESIDE == UPDATE { simd::opaque(&pending) } else { &pending };
        let deferred = if BESIDE == UPDATE { pending.within::<S>(args.k) } else { 0 };
        // Between deferred vectors there is less than a round, and a line is asked for as well.
        let deferred_rounds = deferred * Pending::STEPS / UNROLL;
        let line = ahead.before(args.k / UNROLL + deferred - deferred_rounds, lines, P);
        let streams = ahead.below(row.wrapping_mul(if P == 0 { ahead.apart() } else { P }));
        let mut acc = Sums::<S, MR, NV>::zero(simd);
        if BESIDE == TAIL {
            // Of the tile below: a line a row, all at once, and not where they would have to wait for room.
            for i in 0..MR {
                for stream in args.tail.ahead {
                    simd::prefetch(stream.wrapping_add((row + MR + i) * P));
                }
            }
        }
        if !args.start.is_null() {
            let stride = args.start_stride;
            let (start, tail) = (args.start.wrapping_add(row * stride), args.tail.start.wrapping_add(row * stride));
            // SAFETY: `TileFn`'s contract for `start`.
            unsafe { acc.load::<BESIDE>(simd, (start, stride), (tail, stride)) };
        }
        let mut run = args.a.wrapping_add(if TN { row } else { row * a_stride });
        let copying = args.copying;
        let tail = args.tail.b;
        let mut at = Walk {
            a: run,
            a_stride,
            b: args.b,
            b_stride,
            tail,
            copying,
            next,
            streams,
            line,
            apart: ahead.step,
            lines,
            end,
        };
        let mut left = args.k;
        if short_runs::<S, NV, TN, P>() {
            // Of as many rounds as the compiler knows of: what else begins and ends a loop costs as much as a step.
            for _ in 0..args.k / P {
                at.a = run;
                for round in 0..Ahead::ROUNDS {
                    // SAFETY: `TileFn`'s contract: these steps are readable.
                    unsafe { at.round::<S, MR, NV, TN, P, BESIDE, FAR>(simd, &mut acc, run, round) };
                }
                run = run.wrapping_add(args.a_next);
            }
            left = args.k % P;
        }
        while left > 0 {
            let steps = if TN { left } else { left.min(args.a_run) };
            at.a = run;
            if BESIDE == UPDATE {
                for vector in 0..deferred {
                    at.ask::<FAR>(Ahead::LINE * Pending::STEPS / UNROLL, P);
                    const { assert!(Pending::STEPS == 2) };
                    // SAFETY: `TileFn`'s contract: these steps are readable, and there are as many vectors.
                    unsafe {
                        at.step::<S, MR, NV, TN, BESIDE>(simd, &mut acc);
                        acc.pin(simd);
                        let direction = pending.moments::<S, NV, P>(simd, vector);
                        at.step::<S, MR, NV, TN, BESIDE>(simd, &mut acc);
                        acc.pin(simd);
                        pending.weights::<S, NV, P>(simd, vector, direction);
                    }
                }
            }
            for round in deferred_rounds..steps / UNROLL {
                // SAFETY: `TileFn`'s contract: these steps are readable.
                unsafe { at.round::<S, MR, NV, TN, P, BESIDE, FAR>(simd, &mut acc, run, round) };
            }
            if !TN && P > Ahead::LINE {
                Ahead::next_rows_after::<MR, P, FAR>(run, steps);
            }
            for _ in 0..steps % UNROLL {
                // SAFETY: as above.
                unsafe { at.step::<S, MR, NV, TN, BESIDE>(simd, &mut acc) };
            }
            left -= steps;
            run = run.wrapping_add(args.a_next);
        }
        let (out, tail) = (Self::sums(args, number), args.tail.out.wrapping_add(row * args.tail.out_stride));
        // SAFETY: `TileFn`'s contract for `out`.
        unsafe { acc.store::<BESIDE>(simd, (out, args.out_stride), (tail, args.tail.out_stride)) };
        if BESIDE == UPDATE {
            for vector in deferred..pending.vectors::<S>() {
                // SAFETY: as above.
                unsafe {
                    let direction = pending.moments::<S, NV, P>(simd, vector);
                    pending.weights::<S, NV, P>(simd, vector, direction);
                }
            }
        }
        at.next
    }
}
