//! Narrow strips of a TN product, the other way round.

use std::ops::Range;

use super::kernel::TileArgs;
use super::plan::Plan;
use super::unit::Unit;
use super::{BUFFER_LEN, Finished, Product};
use crate::ops::Form;

impl Product<'_> {
    /// A unit of a TN product whose columns fill vectors badly, `args.b` its strip of `b`. Vectors lie along its rows, which are
    /// neighbours in a panel of `a`, and scalars are the columns: the tile of the transposed product, `bᵀ·a`, which is transposed
    /// at its end. Between them, a buffer each.
    ///
    /// # Safety
    /// As [`Product::run`]; `a` is in whole panels of the tier's width; the buffers hold [`BUFFER_LEN`] elements and
    /// are nobody else's.
    pub(super) unsafe fn unit_across(
        &self,
        plan: &Plan,
        unit: &Unit<'_>,
        args: &mut TileArgs,
        rows: Range<usize>,
        cols: usize,
        [across, tile]: [*mut f32; 2],
    ) {
        let &Unit { problem, k0, steps, waiting, .. } = unit;
        let tier = self.tier;
        debug_assert!(plan.quantum <= tier.panel && self.form == Form::Tn);
        // As many columns of a panel's rows fit into the buffers.
        debug_assert!(tier.lanes * tier.panel <= BUFFER_LEN);
        let (first, last) = (k0 == 0, k0 + steps == self.dims.k);
        let (strip, strip_stride) = (args.b, args.b_stride);
        (args.a_stride, args.b_stride) = (strip_stride, tier.panel);
        let panels = strip_stride == tier.panel;
        let parts = (0..cols).step_by(tier.lanes).map(|from| from..cols.min(from + tier.lanes));
        let groups = rows.clone().step_by(plan.quantum).map(|row| (row, plan.quantum.min(rows.end - row)));
        for ((row, height), part) in groups.flat_map(|group| parts.clone().map(move |part| (group, part))) {
            let (kernels, width) = tier.strip(height);
            let (cols, col) = (part.len(), unit.strip * plan.strip + part.start);
            let wait = (waiting.at(problem, row, col), tier.panel);
            let start = if first {
                self.start.map(|start| (start.at(problem, row, col), start.row_stride()))
            } else {
                Some(wait)
            };
            if let Some((from, stride)) = start {
                // SAFETY: the starting sums have the shape of the result; the buffer holds `cols` rows of `width`.
                unsafe { transpose(from, [stride, 1], across, [1, width], [height, cols]) };
            }
            args.b = self.a.at(problem, k0, row).cast_const();
            let mut at = 0;
            while at < cols {
                let kernel =
                    kernels.iter().find(|kernel| kernel.rows <= cols - at).expect("there are tiles of one row");
                args.ahead.start(kernel.rows, width, args.b);
                args.a = strip.wrapping_add(part.start + at);
                args.out = across.wrapping_add(at * width);
                args.start = if start.is_some() { args.out.cast_const() } else { std::ptr::null() };
                (args.start_stride, args.out_stride) = (width, width);
                args.tiles = (cols - at) / kernel.rows;
                // SAFETY: the tier exists, so the processor has the instructions. The strip is readable at these columns and
                // steps, the panel of `a` over whole vectors, the buffer over the tiles.
                unsafe { kernel.function(Form::Tn, panels, false)(args) };
                at += kernel.rows * args.tiles;
            }
            let (to, stride) = if last { (tile, cols) } else { wait };
            // SAFETY: the tile's buffer, or the sums' place, holds `height` rows of `cols`.
            unsafe { transpose(across.cast_const(), [1, width], to, [stride, 1], [height, cols]) };
            if last {
                let (z, z_stride, z_padded) = (tile.cast_const(), cols, false);
                let done = Finished { z, z_stride, z_padded, problem, row, col, rows: height, cols };
                // SAFETY: the tile lies inside the result and belongs to this unit.
                unsafe { self.epilogue.tile(&done) };
            }
        }
    }
}

/// Copies a block from one order to another: strides are those of rows and of columns.
///
/// # Safety
/// `rows × cols` elements are readable at `src` and writable at `dst`; they do not overlap.
unsafe fn transpose(
    src: *const f32,
    [src_row, src_col]: [usize; 2],
    dst: *mut f32,
    [dst_row, dst_col]: [usize; 2],
    [rows, cols]: [usize; 2],
) {
    for c in 0..cols {
        for r in 0..rows {
            // SAFETY: the caller's.
            unsafe { *dst.add(r * dst_row + c * dst_col) = *src.add(r * src_row + c * src_col) };
        }
    }
}
