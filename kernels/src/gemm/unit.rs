//! One unit of a product: some rows of one panel of the result, tile by tile.

use std::ops::Range;

use super::ahead::Ahead;
use super::coming::Coming;
use super::deferred::{Deferred, Update};
use super::kernel::{Tail, TileArgs, TileKernel};
use super::plan::Plan;
use super::raw::Raw;
use super::strips::{Copying, OnTheWay, Strip};
use super::{BUFFER_LEN, Finished, Product, Slot};
use crate::ops::Form;
use crate::ops::check::Dims;
use crate::pool::Turn;

/// A chunk of rows of one panel of one problem, over one run of k.
pub(super) struct Unit<'a> {
    pub(super) problem: usize,
    pub(super) strip: usize,
    pub(super) chunk: usize,
    pub(super) turn: &'a Turn,
    pub(super) k0: usize,
    pub(super) steps: usize,
    /// Where unfinished sums wait.
    pub(super) waiting: Raw,
}

impl Product<'_> {
    /// Computes one unit.
    ///
    /// # Safety
    /// As [`Product::run`]; nobody else has the unit; the slot was made ready for the product.
    pub(super) unsafe fn unit(&self, plan: &Plan, unit: &Unit<'_>, slot: &mut Slot) {
        let Dims { m, n, k, .. } = self.dims;
        let &Unit { problem, k0, steps, .. } = unit;
        let tier = self.tier;
        let [tile, other] = [0, BUFFER_LEN].map(|at| slot.buffers.as_mut_ptr().wrapping_add(at));
        let col = unit.strip * plan.strip;
        let cols = plan.strip.min(n - col);
        let tail = if unit.strip + 1 == plan.strips { plan.tail } else { 0 };
        let (kernels, width) = if tail > 0 { (tier.with_tail(), cols) } else { tier.strip(cols) };
        let rows = unit.chunk * plan.rows..m.min((unit.chunk + 1) * plan.rows);
        let (b, b_stride) = if plan.pack_b {
            // SAFETY: `b` is readable over these steps and columns; the slot was grown to hold them; only a strip as wide was
            // copied on the way.
            (unsafe { slot.strips.take(self.b, Strip { problem, k0, col }, [steps, cols, width]) }, width)
        } else {
            (self.b.at(problem, k0, col).cast_const(), self.b.row_stride())
        };
        let a_in_panels = self.a.row_stride() == tier.panel;
        let panels = a_in_panels && b_stride == tier.panel;
        let mut args = TileArgs {
            a: std::ptr::null(),
            a_stride: self.a.row_stride(),
            a_run: self.a.run(),
            a_next: self.a.panel_stride(),
            b,
            b_stride,
            copying: Copying::NOTHING,
            k: steps,
            tiles: 1,
            start: std::ptr::null(),
            start_stride: 0,
            out: std::ptr::null_mut(),
            out_stride: 0,
            next: b,
            ahead: Ahead::new(tier.panel, !panels),
            deferred: Deferred::NOTHING,
            update: Update::NOWHERE,
            other: std::ptr::null_mut(),
            tail: Tail { b: self.b.panel_stride(), ..Tail::NOTHING },
        };
        if self.form == Form::Tn && a_in_panels && self.a.is_padded() && tier.goes_across(cols, steps) {
            // SAFETY: the caller's; `a` was just found to be in such panels.
            return unsafe { self.unit_across(plan, unit, &mut args, rows, cols, [tile, other]) };
        }
        let last = k0 + steps == k;
        // Whole vectors are stored.
        let place = if last && cols == width { self.epilogue.place(problem, rows.start, col) } else { None };
        let defers = self.form == Form::Tn && last && panels && cols == width && kernels[0].deferring().is_some();
        let update = if defers { self.epilogue.update(problem, rows.start, col, tier.panel) } else { None };
        let on_the_way = if defers { None } else { self.next_strip(plan, unit, width, &mut slot.strips) };
        let tiles_that_copy = on_the_way.as_ref().map_or(0, OnTheWay::tiles);
        let mut tiles = Tiles {
            product: self,
            problem,
            top: rows.start,
            col,
            cols,
            kernels,
            width,
            tail,
            panels,
            far: plan.far,
            first: k0 == 0,
            last,
            copying_from: rows.end.saturating_sub((tiles_that_copy + 1) * kernels[0].rows),
            on_the_way,
            waits: unit.waiting.at(problem, rows.start, col),
            tail_waits: unit.waiting.at(problem, rows.start, col + width),
            tail_ahead: (rows.start, [b; Tail::STREAMS]),
            place,
            update,
            next_b: self.next_b(plan, unit),
            next_a: self.next_a(plan, unit),
            tile,
            other,
            held: 0,
        };
        for from in rows.clone().step_by(plan.quantum) {
            let group = from..rows.end.min(from + plan.quantum);
            let (a, a_row) = match self.form {
                Form::Nn => (self.a.at(problem, from, k0), self.a.row_stride()),
                Form::Tn => (self.a.at(problem, k0, from), 1),
            };
            // SAFETY: the caller's: `a` is readable at these rows, and they are the unit's.
            unsafe { tiles.group(&mut args, group, a, a_row) };
        }
        if let Some(on_the_way) = &tiles.on_the_way {
            slot.strips.keep(on_the_way);
        }
        if let Some(last) = args.deferred.take() {
            // SAFETY: the last tile lies inside the result and belongs to this unit; there is no loop left to do it in.
            unsafe { self.epilogue.tile(&last) };
        }
    }
}

/// The tiles of a unit, in the order of their rows. What is linear from tile to tile is looked up once: the processor looks ahead
/// over some hundred instructions, and between two loops there should be fewer.
struct Tiles<'a> {
    product: &'a Product<'a>,
    problem: usize,
    /// The unit's first row.
    top: usize,
    col: usize,
    cols: usize,
    kernels: &'static [TileKernel],
    /// Columns that these compute.
    width: usize,
    /// Columns behind them.
    tail: usize,
    /// Whether `a` and `b` are in panels of the tier's width.
    panels: bool,
    /// As [`Plan::far`].
    far: bool,
    /// Whether chains over k begin here, and whether they end here.
    first: bool,
    last: bool,
    /// The strip of `b` that the last tiles copy, from this row on.
    on_the_way: Option<OnTheWay>,
    copying_from: usize,
    /// Where unfinished sums of the first row wait.
    waits: *mut f32,
    /// And those of its tail.
    tail_waits: *mut f32,
    /// What will be touched of the tail, from a row on.
    tail_ahead: (usize, [*const f32; Tail::STREAMS]),
    /// Where finished ones go, and the elements between rows, where that is all there is to do.
    place: Option<(*mut f32, usize)>,
    /// What is put off on finished tiles.
    update: Option<Update>,
    next_b: Coming,
    next_a: Coming,
    /// A buffer for finished tiles, and another one while those in it still wait for their update.
    tile: *mut f32,
    /// Or one for a group's rows of a tail.
    other: *mut f32,
    /// Rows of finished tiles that wait in the buffer for those below them: an epilogue is long chains of operations, which
    /// start and end once for all of them.
    held: usize,
}

impl Tiles<'_> {
    /// Computes the tiles of rows that stay together, whose first scalar of `a` is at `a`, rows `a_row` apart.
    ///
    /// # Safety
    /// As [`Product::unit`], of rows of the unit.
    #[inline(always)]
    unsafe fn group(&mut self, args: &mut TileArgs, group: Range<usize>, a: *const f32, a_row: usize) {
        let mut kernels = self.kernels;
        // The row from which on what is ahead is not below what was.
        let mut elsewhere = group.start;
        let (mut row, mut height) = (group.start, 0);
        while row < group.end {
            while kernels[0].rows > group.end - row {
                kernels = &kernels[1..];
            }
            let kernel = &kernels[0];
            if row >= elsewhere || args.ahead.at_once {
                elsewhere = row + self.width - (row - group.start) % self.width;
                self.look_ahead(&mut args.ahead, row, kernel.rows, args.b);
            } else {
                args.ahead.go_on(height, kernel.rows);
            }
            let tiles = (group.end - row) / kernel.rows;
            let copying = self.on_the_way.as_mut().filter(|_| row >= self.copying_from);
            let copying = copying.and_then(OnTheWay::take);
            args.copying = copying.unwrap_or(Copying::NOTHING);
            let packs = copying.is_some();
            args.tiles = if packs { 1 } else { self.together(args, row == group.start, kernel.rows).min(tiles) };
            debug_assert!(args.tiles > 0, "a buffer is emptied before the next tile does not fit");
            height = kernel.rows * args.tiles;
            args.a = a.wrapping_add((row - group.start) * a_row);
            // SAFETY: the caller's: these rows are the unit's, and there was room for them.
            unsafe {
                self.compute(args, kernel, row, height, packs);
                self.hand_over(args, &group, row, height, kernel.rows);
            }
            row += height;
        }
    }

    /// How many tiles of `rows` rows one call may compute: as many as the buffer holds, where nothing goes with each tile.
    #[inline(always)]
    fn together(&self, args: &TileArgs, first_of_group: bool, rows: usize) -> usize {
        match self.update {
            _ if args.ahead.at_once => 1,
            // Before a group's second tile, the group before has to be handed over.
            Some(_) if first_of_group => 1,
            // They begin with what is copied to where their sums will go, which is the same for every second one.
            Some(_) if self.first && self.product.start.is_some() => 1,
            // Each is done with before the next but one.
            Some(_) => usize::MAX,
            None => (BUFFER_LEN / self.width - self.held) / rows,
        }
    }

    /// Lists what will be touched beside the operands, from the tile of `rows` rows at `row` on.
    #[inline(always)]
    fn look_ahead(&mut self, ahead: &mut Ahead, row: usize, rows: usize, b: *const f32) {
        let panel = self.product.tier.panel;
        let wait = self.waits.wrapping_add((row - self.top) * panel);
        ahead.start(rows, self.width, b);
        if self.last {
            self.product.epilogue.ahead(self.problem, row, self.col, ahead);
        } else if self.first {
            ahead.push(wait, panel);
        }
        if !self.first {
            // The next tile's sums.
            ahead.push(wait.wrapping_add(rows * panel), panel);
        }
        if self.tail > 0 && self.last {
            let mut of_tail = Ahead::new(panel, false);
            of_tail.start(rows, Ahead::LINE, b);
            self.product.epilogue.ahead(self.problem, row, self.col + self.width, &mut of_tail);
            self.tail_ahead = (row, of_tail.first());
        }
    }

    /// Has the kernel compute the tiles of `height` rows at `row`.
    ///
    /// # Safety
    /// As [`Tiles::group`]; the buffer has room for them.
    #[inline(always)]
    unsafe fn compute(&mut self, args: &mut TileArgs, kernel: &TileKernel, row: usize, height: usize, packs: bool) {
        let &mut Self { product, problem, col, cols, width, first, last, .. } = self;
        let panel = product.tier.panel;
        let down = row - self.top;
        let out = self.tile.wrapping_add(self.held * width);
        let wait = self.waits.wrapping_add(down * panel);
        let next = self.next_b.take(args.tiles, args.k).or_else(|| self.next_a.take(args.tiles, args.k));
        // What no stream has room for: sums of the tiles below.
        let sums = !first && args.ahead.is_full();
        args.next = next.unwrap_or(if sums { wait.wrapping_add(height * panel) } else { args.b });
        (args.start, args.start_stride) = match (first, product.start) {
            (false, _) => (wait.cast_const(), panel),
            (true, None) => (std::ptr::null(), 0),
            (true, Some(start)) => {
                let (from, stride) = (start.at(problem, row, col), start.row_stride());
                // SAFETY: the starting sums have the shape of the result; the buffer holds the tiles.
                unsafe { copy(from, stride, out, width, height, cols) };
                (out.cast_const(), width)
            }
        };
        if let Some(update) = self.update {
            (args.update, args.other) = (update.below(down * panel), self.other);
        }
        (args.out, args.out_stride) = match self.place {
            Some((place, stride)) => (place.wrapping_add(down * stride), stride),
            None if last => (out, width),
            None => (wait, panel),
        };
        if self.tail > 0 {
            let wait = self.tail_waits.wrapping_add(down * panel);
            let (half, in_group) = (product.tier.lanes / 2, down % product.group);
            let (from, ahead) = self.tail_ahead;
            args.tail.start = wait;
            (args.tail.out, args.tail.out_stride) =
                if last { (self.other.wrapping_add(in_group * half), half) } else { (wait, panel) };
            args.tail.ahead = ahead.map(|stream| stream.wrapping_add((row - from) * panel));
        }
        let call = match kernel.deferring() {
            _ if packs => kernel.packing(product.form),
            _ if self.tail > 0 => kernel.with_tail(self.far).expect("kernels for a tail take one"),
            Some(deferring) if self.update.is_some() => deferring,
            _ => kernel.function(product.form, self.panels, self.far),
        };
        // SAFETY: the tier exists, so the processor has the instructions. `a` is readable at these rows and steps; `b` over
        // whole vectors: packed, or panel-major with padding, or row-major with full vectors only; `start` is a tile in
        // scratch, `out` another or the result's; for a kernel that packs, `b` is packed and there is as much to copy as
        // it does.
        unsafe { call(args) };
    }

    /// Hands what is finished to the epilogue, or puts it off: the tiles of `height` rows at `row`, the last ones computed, in
    /// tiles of `tile_rows`.
    ///
    /// # Safety
    /// As [`Tiles::group`].
    #[inline(always)]
    unsafe fn hand_over(
        &mut self,
        args: &mut TileArgs,
        group: &Range<usize>,
        row: usize,
        height: usize,
        tile_rows: usize,
    ) {
        let &mut Self { product, problem, col, cols, width, .. } = self;
        if let Some(before) = args.deferred.take()
            && row == group.start
        {
            // SAFETY: the tile is the last one of its group, inside the result, and belongs to this unit; the kernel has done
            // what was deferred.
            unsafe { product.epilogue.updated(&before) };
        }
        if !self.last || self.place.is_some() {
            return;
        }
        // Half a vector is not read as a whole one: what was stored just now comes back quickly only in its own size.
        let z_padded = width >= product.tier.lanes;
        let done = |z: *mut f32, row: usize, rows: usize| {
            let z = z.cast_const();
            Finished { z, z_stride: width, z_padded, problem, row, col, rows, cols }
        };
        if let Some(update) = self.update {
            // The last tile stays where it is, and the next one goes to the other buffer.
            if !args.tiles.is_multiple_of(2) {
                std::mem::swap(&mut self.tile, &mut self.other);
            }
            let last = row + height - tile_rows;
            let update = update.below((last - self.top) * product.tier.panel);
            args.deferred = Deferred::new(done(self.other, last, tile_rows), update);
            return;
        }
        let rows = self.held + height;
        if row + height == group.end || (rows + tile_rows) * width > BUFFER_LEN {
            // SAFETY: the tiles lie inside the result and belong to this unit.
            unsafe { product.epilogue.tile(&done(self.tile, row - self.held, rows)) };
            self.held = 0;
        } else {
            self.held = rows;
        }
        if self.tail > 0 && row + height == group.end {
            // Of all tiles of the group: sums stored in between are parts of vectors, which are long in coming back.
            let (z, col, cols) = (self.other.cast_const(), col + width, self.tail);
            let (row, rows) = (group.start, group.len());
            let z_stride = product.tier.lanes / 2;
            let tail = Finished { z, z_stride, z_padded: false, problem, row, col, rows, cols };
            // SAFETY: as above.
            unsafe { product.epilogue.tile(&tail) };
        }
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
