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
mod coming;
mod deferred;
mod kernel;
mod pack;
mod plan;
pub(crate) mod raw;
mod strips;
pub(crate) mod tier;
mod unit;
mod walk;

use crate::matrix::AlignedVec;
use crate::ops::Form;
use crate::ops::check::Dims;
use crate::pool::{self, Grid};
pub(crate) use ahead::Ahead;
pub(crate) use deferred::Update;
use plan::Plan;
pub(crate) use plan::group;
use raw::Raw;
use strips::Strips;
use tier::Tier;
use unit::Unit;

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
    /// One a thread.
    slots: Vec<Slot>,
    /// Sums of unfinished chains, panel-major.
    waiting: AlignedVec<f32>,
    /// The row-major left operand of a TN product, in panels.
    packed_a: AlignedVec<f32>,
}

/// What one thread needs.
#[derive(Debug, Default)]
struct Slot {
    /// Two of [`BUFFER_LEN`]: tiles that wait for their epilogue.
    buffers: AlignedVec<f32>,
    /// Packed strips of `b`.
    strips: Strips,
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
            scratch.slots.resize_with(plan.slots, Slot::default);
        }
        for slot in &mut scratch.slots[..plan.slots] {
            grow(&mut slot.buffers, 2 * BUFFER_LEN);
            slot.strips.reset(if plan.pack_b { plan.kc.min(k) * plan.strip } else { 0 });
        }
        let one = n.next_multiple_of(panel) * m;
        grow(&mut scratch.waiting, if plan.kc < k { batch * one } else { 0 });
        let waiting = Raw::panels(scratch.waiting.as_mut_ptr(), m, panel, one);
        let slots = &Slots(scratch.slots.as_mut_ptr());

        let (this, plan) = (&self, &plan);
        let (_, width) = self.tier.strip(n - plan.tail - (plan.strips - 1) * plan.strip);
        let last = (width + plan.tail) as f64 / plan.strip as f64;
        let grid = Grid { rows: batch * plan.chunks, cols: plan.strips, last, down: plan.down };
        let mut k0 = 0;
        loop {
            let steps = plan.kc.min(k - k0);
            pool::for_each_of(plan.slots, grid, &|turn| {
                let (problem, chunk) = (turn.row / plan.chunks, turn.row % plan.chunks);
                // SAFETY: units are disjoint parts of the result; a slot's memory has one user at a time; the rest is
                // the caller's.
                unsafe {
                    let slot = &mut *slots.get(turn.slot);
                    this.unit(plan, &Unit { problem, chunk, strip: turn.col, turn, k0, steps, waiting }, slot);
                }
            });
            k0 += steps;
            if k0 >= k {
                break;
            }
        }
    }
}

/// The largest tile of any tier: 6×64, 24×16, ….
const TILE_LEN: usize = 384;
/// Tiles wait here for their epilogue: this many elements of them, 6 KiB that stay in the first-level cache.
const BUFFER_LEN: usize = 4 * TILE_LEN;

/// Every thread's scratch memory.
struct Slots(*mut Slot);

// SAFETY: a slot's memory has one user at a time: see `get`.
unsafe impl Sync for Slots {}

impl Slots {
    /// # Safety
    /// The slot exists and nobody else uses it now.
    unsafe fn get(&self, slot: usize) -> *mut Slot {
        // SAFETY: the caller's.
        unsafe { self.0.add(slot) }
    }
}
