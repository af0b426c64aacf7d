//! A product, cut into units for threads and into tiles for registers.
//!
//! ```text
//!               panel of b (PANEL wide, k deep)
//!                 ┌──┐
//!                 │  │   KC steps at a time, so that this stays in the second-level cache
//!                 └──┘
//!   a  rows ▢▢▢▢  ┌──┐   one unit: some rows of one panel of the result, or of half of one
//!           ▢▢▢▢  │  │   one tile: MR rows of it, see `kernel`
//!                 └──┘
//! ```
//!
//! Each finished tile is handed to an [`Epilogue`] while it is in the first-level cache; tiles of an unfinished k run
//! wait in scratch memory that belongs to the thread. Where a tile starts and ends never shows in a bit of the result:
//! each element is one chain over k.

mod across;
mod ahead;
pub(crate) mod cache;
mod deferred;
mod kernel;
mod pack;
mod plan;
pub(crate) mod raw;
pub(crate) mod tier;

use crate::matrix::AlignedVec;
use crate::ops::Form;
use crate::ops::check::Dims;
use crate::pool::{self, Grid, Turn};
pub(crate) use ahead::Ahead;
use ahead::Coming;
use deferred::Deferred;
pub(crate) use deferred::Update;
use kernel::TileArgs;
use plan::Plan;
pub(crate) use plan::group;
use raw::Raw;
use tier::Tier;

/// Finished sums of a tile, or of several below one another: `rows × cols` of the product, at `(row, col)` of problem `problem`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    /// The sums: `cols` elements in every row.
    pub(crate) z: *const f32,
    /// Elements between its rows.
    pub(crate) z_stride: usize,
    /// Whether a row may be read to the end of its last vector.
    pub(crate) z_padded: bool,
    pub(crate) problem: usize,
    pub(crate) row: usize,
    pub(crate) col: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl Finished {
    /// How many of a row's `n` columns at most `lanes` may be read together.
    #[inline(always)]
    pub(crate) fn room(&self, lanes: usize, n: usize) -> usize {
        if self.z_padded { lanes } else { n }
    }

    /// How many vectors of `lanes` hold a row, where whole ones may be read: where the columns fill them, or what the epilogue
    /// reads is `padded`.
    #[inline(always)]
    pub(crate) fn whole_vectors(&self, lanes: usize, padded: bool) -> Option<usize> {
        (self.cols.is_multiple_of(lanes) || self.z_padded && padded).then_some(self.cols.div_ceil(lanes))
    }
}

/// What follows a product.
///
/// Tiles of one column range inside one block of [`REDUCE_ROWS`] rows come in the order of their rows, on one thread
/// (NN products); no tile comes twice.
pub(crate) trait Epilogue: Sync {
    /// # Safety
    /// `tile` lies inside the matrices that the epilogue was made for, and nobody else touches that part of them.
    unsafe fn tile(&self, tile: &Finished);

    /// Where the sums go from `(row, col)` on down, and the elements between rows, where they are all there is to store: tiles of
    /// this strip are then not handed over.
    fn place(&self, problem: usize, row: usize, col: usize) -> Option<(*mut f32, usize)>;

    /// Lists what [`Epilogue::tile`] will touch, for the tile of `rows` rows at `(row, col)`. For as many rows as the strip has
    /// columns, what lies below is for tiles below.
    fn ahead(&self, problem: usize, row: usize, col: usize, ahead: &mut Ahead);

    /// What may be put off on tiles from `(row, col)` on down, where matrices are in panels of `panel` columns: all but what
    /// [`Epilogue::updated`] does.
    fn update(&self, problem: usize, row: usize, col: usize, panel: usize) -> Option<Update>;

    /// Does the rest, given the last tile of a group, all of whose updates have been done.
    ///
    /// # Safety
    /// As for [`Epilogue::tile`].
    unsafe fn updated(&self, tile: &Finished);
}

/// One product with its epilogue.
pub(crate) struct Product<'a> {
    pub(crate) tier: &'static Tier,
    pub(crate) form: Form,
    pub(crate) dims: Dims,
    pub(crate) a: Raw,
    pub(crate) b: Raw,
    /// What the chains start from, instead of zero.
    pub(crate) start: Option<Raw>,
    /// Rows that stay together: see [`group`].
    pub(crate) group: usize,
    pub(crate) epilogue: &'a dyn Epilogue,
}

/// Memory that products borrow while they run. Grows to what the largest has needed.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// One a thread: tiles that wait for their epilogue, and a packed run of `b`.
    slots: Vec<AlignedVec<f32>>,
    /// Sums of unfinished chains, panel-major.
    waiting: AlignedVec<f32>,
    /// The row-major left operand of a TN product, in panels.
    packed_a: AlignedVec<f32>,
}

fn grow(buffer: &mut AlignedVec<f32>, len: usize) {
    if buffer.len() < len {
        *buffer = AlignedVec::zeros(len);
    }
}

impl Product<'_> {
    /// Computes the product and hands every tile to the epilogue.
    ///
    /// # Safety
    /// `a`, `b`, `start` and the epilogue's matrices have the shapes `dims` and `form` say; panel-major operands have
    /// panels of a multiple of the tier's width (`a` of an NN product: of any width); nobody else touches what the
    /// epilogue writes.
    pub(crate) unsafe fn run(mut self, scratch: &mut Scratch) {
        let Dims { batch, m, n, k } = self.dims;
        if batch == 0 || m == 0 || n == 0 {
            return;
        }
        let plan = Plan::new(&self);
        let panel = self.tier.panel;
        if self.form == Form::Tn
            && self.a.is_row_major()
            && self.a.row_stride() != panel
            && n > panel
            && m > self.tier.lanes
        {
            let one = m.next_multiple_of(panel) * k;
            grow(&mut scratch.packed_a, batch * one);
            let packed = Raw::panels(scratch.packed_a.as_mut_ptr(), k, panel, one).padded_to(panel);
            // SAFETY: `a` is readable over [k, m] of every problem; the scratch was grown to hold it.
            unsafe { pack::panels(self.a, packed, [batch, k, m], panel, plan.slots) };
            self.a = packed;
        }
        if scratch.slots.len() < plan.slots {
            scratch.slots.resize_with(plan.slots, AlignedVec::default);
        }
        let slot_len = 2 * BUFFER_LEN + if plan.pack_b { plan.kc.min(k) * plan.strip } else { 0 };
        scratch.slots.iter_mut().take(plan.slots).for_each(|slot| grow(slot, slot_len));
        let one = n.next_multiple_of(panel) * m;
        grow(&mut scratch.waiting, if plan.kc < k { batch * one } else { 0 });
        let waiting = Raw::panels(scratch.waiting.as_mut_ptr(), m, panel, one);
        let slots = &Slots(scratch.slots.as_mut_ptr());

        let (this, plan) = (&self, &plan);
        let last = self.tier.strip(n - (plan.strips - 1) * plan.strip).1 as f64 / plan.strip as f64;
        let grid = Grid { rows: batch * plan.chunks, cols: plan.strips, last };
        let mut k0 = 0;
        loop {
            let steps = plan.kc.min(k - k0);
            pool::for_each_of(plan.slots, grid, &|turn| {
                let (problem, chunk) = (turn.row / plan.chunks, turn.row % plan.chunks);
                // SAFETY: units are disjoint parts of the result; a slot's memory has one user at a time; the rest is
                // the caller's.
                unsafe {
                    let scratch = slots.get(turn.slot);
                    let unit = Unit { problem, chunk, strip: turn.col, turn, k0, steps, scratch, waiting };
                    this.unit(plan, &unit);
                }
            });
            k0 += steps;
            if k0 >= k {
                break;
            }
        }
    }

    /// The strip of `b` that this thread will probably want next, where it is in one piece.
    fn next_b(&self, plan: &Plan, unit: &Unit<'_>) -> Coming {
        let strip = unit.turn.next_col();
        let width = self.tier.panel;
        if self.b.row_stride() != width || strip == unit.strip {
            return Coming::NONE;
        }
        Coming { at: self.b.at(unit.problem, unit.k0, strip * plan.strip), left: unit.steps * width }
    }

    /// This unit's share of the next chunk of `a` in a TN product, where that is in one piece. (In an NN product the
    /// kernel itself asks for the next rows.)
    fn next_a(&self, plan: &Plan, unit: &Unit<'_>) -> Coming {
        let width = self.tier.panel;
        if self.form == Form::Nn || unit.chunk + 1 == plan.chunks || self.a.row_stride() != width {
            return Coming::NONE;
        }
        let row = (unit.chunk + 1) * plan.rows;
        let whole = plan.rows.min(self.dims.m - row) * self.dims.k;
        let (number, panels) = unit.turn.of_row();
        let share = whole.div_ceil(panels);
        let from = share * number;
        let at = self.a.at(unit.problem, 0, row).cast_const().wrapping_add(from);
        Coming { at, left: share.min(whole.saturating_sub(from)) }
    }

    unsafe fn unit(&self, plan: &Plan, unit: &Unit<'_>) {
        let Dims { m, n, k, .. } = self.dims;
        let &Unit { problem, k0, steps, waiting, .. } = unit;
        let [mut tile, mut other, packed] = [0, 1, 2].map(|buffer| unit.scratch.wrapping_add(buffer * BUFFER_LEN));
        let tier = self.tier;
        let col = unit.strip * plan.strip;
        let cols = plan.strip.min(n - col);
        let (kernels, width) = tier.strip(cols);
        let rows = unit.chunk * plan.rows..m.min((unit.chunk + 1) * plan.rows);
        let (first, last) = (k0 == 0, k0 + steps == k);
        // Half a vector is not read as a whole one: what was stored just now comes back quickly only in its own size.
        let z_padded = width >= tier.lanes;
        // Whole vectors of `b` are packed by the first tile.
        let mut packs = plan.pack_b && cols == width;
        let (mut b, b_stride) = if plan.pack_b && !packs {
            // SAFETY: `b` is readable over these steps and columns; the slot was grown to hold them.
            unsafe { pack::strip(self.b.at(problem, k0, col), self.b.row_stride(), packed, width, steps, cols) };
            (packed.cast_const(), width)
        } else {
            (self.b.at(problem, k0, col).cast_const(), self.b.row_stride())
        };
        let (mut next_b, mut next_a) = (self.next_b(plan, unit), self.next_a(plan, unit));
        let panels = self.a.row_stride() == tier.panel && (if packs { width } else { b_stride }) == tier.panel;
        let mut args = TileArgs {
            a: std::ptr::null(),
            a_stride: self.a.row_stride(),
            a_run: self.a.run(),
            a_next: self.a.panel_stride(),
            b,
            b_stride,
            packed,
            k: steps,
            tiles: 1,
            start: std::ptr::null(),
            start_stride: 0,
            out: std::ptr::null_mut(),
            out_stride: 0,
            next: b,
            ahead: Ahead::new(tier.panel),
            deferred: Deferred::NOTHING,
        };
        let in_panels = self.a.is_padded() && self.a.row_stride() == tier.panel;
        if self.form == Form::Tn && in_panels && tier.goes_across(cols, steps) {
            // SAFETY: the caller's; `a` was just found to be in such panels.
            return unsafe { self.unit_across(plan, unit, &mut args, rows, cols, [tile, other]) };
        }
        // What is linear from tile to tile is looked up once: the processor looks ahead over some hundred instructions, and between
        // two loops there should be fewer.
        let waits = waiting.at(problem, rows.start, col);
        // Whole vectors are stored.
        let place = if last && cols == width { self.epilogue.place(problem, rows.start, col) } else { None };
        let defers = self.form == Form::Tn && last && panels && cols == width && kernels[0].deferring().is_some();
        let update = if defers { self.epilogue.update(problem, rows.start, col, tier.panel) } else { None };
        let mut row = rows.start;
        // Rows of finished tiles that wait in the buffer for those below them: an epilogue is long chains of operations, which
        // start and end once for all of them.
        let mut held = 0;
        while row < rows.end {
            let from = row;
            let group = rows.end.min(from + plan.quantum);
            let (a, a_row) = match self.form {
                Form::Nn => (self.a.at(problem, from, k0), self.a.row_stride()),
                Form::Tn => (self.a.at(problem, k0, from), 1),
            };
            let mut choice = 0;
            // The row from which on what is ahead is not below what was.
            let mut elsewhere = from;
            let mut height = 0;
            while row < group {
                while kernels[choice].rows > group - row {
                    choice += 1;
                }
                let kernel = kernels[choice];
                let out = tile.wrapping_add(held * width);
                let down = row - rows.start;
                let wait = waits.wrapping_add(down * tier.panel);
                if row >= elsewhere || args.ahead.at_once {
                    elsewhere = row + width - (row - from) % width;
                    args.ahead.start(kernel.rows, width, b);
                    if last {
                        self.epilogue.ahead(problem, row, col, &mut args.ahead);
                    } else if first {
                        args.ahead.push(wait, tier.panel);
                    }
                    if !first {
                        // The next tile's sums.
                        args.ahead.push(wait.wrapping_add(kernel.rows * tier.panel), tier.panel);
                    }
                } else {
                    args.ahead.go_on(height, kernel.rows);
                }
                args.a = a.wrapping_add((row - from) * a_row);
                // As many as the buffer holds, where nothing goes with each tile.
                let one = packs || update.is_some() || args.ahead.at_once;
                let room = if one { 1 } else { (BUFFER_LEN / width - held) / kernel.rows };
                args.tiles = room.min((group - row) / kernel.rows);
                debug_assert!(args.tiles > 0, "a buffer is emptied before the next tile does not fit");
                height = kernel.rows * args.tiles;
                args.next = next_b.take(args.tiles, steps).or_else(|| next_a.take(args.tiles, steps)).unwrap_or(b);
                (args.start, args.start_stride) = match (first, self.start) {
                    (false, _) => (wait.cast_const(), tier.panel),
                    (true, None) => (std::ptr::null(), 0),
                    (true, Some(start)) => {
                        let (from, stride) = (start.at(problem, row, col), start.row_stride());
                        // SAFETY: the starting sums have the shape of the result; the buffer holds the tiles.
                        unsafe { copy(from, stride, out, width, height, cols) };
                        (out.cast_const(), width)
                    }
                };
                (args.out, args.out_stride) = match place {
                    Some((place, stride)) => (place.wrapping_add(down * stride), stride),
                    None if last => (out, width),
                    None => (wait, tier.panel),
                };
                let call = match kernel.deferring() {
                    _ if packs => kernel.packing(self.form),
                    Some(deferring) if update.is_some() => deferring,
                    _ => kernel.function(self.form, panels),
                };
                // SAFETY: the tier exists, so the processor has the instructions. `a` is readable at these rows and
                // steps; `b` over whole vectors: packed, or panel-major with padding, or row-major with full vectors
                // only; `start` is a tile in scratch, `out` another or the result's; `packed` is there for a run.
                unsafe { call(&args) };
                if packs {
                    packs = false;
                    (args.b, args.b_stride) = (packed.cast_const(), width);
                    b = args.b;
                }
                if let Some(before) = args.deferred.take()
                    && row == from
                {
                    // SAFETY: the tile is the last one of its group, inside the result, and belongs to this unit; the kernel has
                    // done what was deferred.
                    unsafe { self.epilogue.updated(&before) };
                }
                if last && place.is_none() {
                    let rows = held + height;
                    let (z, row) = (tile.cast_const(), row - held);
                    let done = Finished { z, z_stride: width, z_padded, problem, row, col, rows, cols };
                    held = rows;
                    if let Some(update) = update {
                        // The tile stays where it is.
                        args.deferred = Deferred::new(done, update.below(down * tier.panel));
                        std::mem::swap(&mut tile, &mut other);
                        held = 0;
                    } else if row + rows == group || (rows + kernel.rows) * width > BUFFER_LEN {
                        // SAFETY: the tiles lie inside the result and belong to this unit.
                        unsafe { self.epilogue.tile(&done) };
                        held = 0;
                    }
                }
                row += height;
            }
        }
        if let Some(last) = args.deferred.take() {
            // SAFETY: as above; there is no loop left to do it in.
            unsafe { self.epilogue.tile(&last) };
        }
    }
}

/// A chunk of rows of one panel of one problem, over one run of k.
struct Unit<'a> {
    problem: usize,
    strip: usize,
    chunk: usize,
    turn: &'a Turn,
    k0: usize,
    steps: usize,
    /// Two buffers of [`BUFFER_LEN`], and behind them room for a packed run of `b`.
    scratch: *mut f32,
    /// Where unfinished sums wait.
    waiting: Raw,
}

/// The largest tile of any tier: 6×64, 24×16, ….
const TILE_LEN: usize = 384;
/// Tiles wait here for their epilogue: this many elements of them, 6 KiB that stay in the first-level cache.
const BUFFER_LEN: usize = 4 * TILE_LEN;

/// Every thread's scratch memory.
struct Slots(*mut AlignedVec<f32>);

// SAFETY: a slot's memory has one user at a time: see `get`.
unsafe impl Sync for Slots {}

impl Slots {
    /// # Safety
    /// The slot exists and nobody else uses it now.
    unsafe fn get(&self, slot: usize) -> *mut f32 {
        // SAFETY: the caller's.
        unsafe { (*self.0.add(slot)).as_mut_ptr() }
    }
}

/// Copies a block, rows apart as their strides say.
///
/// # Safety
/// `rows × cols` elements are readable at `src` and writable at `dst`; they do not overlap.
unsafe fn copy(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize, rows: usize, cols: usize) {
    for r in 0..rows {
        // SAFETY: the caller's.
        unsafe { std::ptr::copy_nonoverlapping(src.add(r * src_stride), dst.add(r * dst_stride), cols) };
    }
}
