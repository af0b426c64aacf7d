//! Copies of row-major operands in the order the micro-kernel reads them.

use super::raw::Raw;
use crate::pool;
use crate::simd;

/// f32 of a cache line.
pub(super) const LINE: usize = 64 / size_of::<f32>();
/// Rows that a copy asks for ahead of itself: they are far apart, so the processor does not.
pub(super) const AHEAD: usize = 16;

/// Copies `steps` rows of `cols` elements, `stride` apart, into rows of `width`, zero behind `cols`.
///
/// # Safety
/// The rows are readable at `src`; `steps·width` elements are writable at `dst`.
pub(super) unsafe fn strip(src: *const f32, stride: usize, dst: *mut f32, width: usize, steps: usize, cols: usize) {
    for p in 0..steps {
        for line in (0..cols).step_by(LINE) {
            // One row may have any stride.
            simd::prefetch(src.wrapping_add((p + AHEAD).wrapping_mul(stride).wrapping_add(line)));
        }
        // SAFETY: the caller's.
        unsafe {
            let row = dst.add(p * width);
            std::ptr::copy_nonoverlapping(src.add(p * stride), row, cols);
            std::ptr::write_bytes(row.add(cols), 0, width - cols);
        }
    }
}

/// Copies a row-major `[rows, cols]` (of each problem) into panels of `panel` columns.
///
/// # Safety
/// `src` is readable over the shape, `dst` writable over whole panels of it; they do not overlap.
pub(super) unsafe fn panels(src: Raw, dst: Raw, [batch, rows, cols]: [usize; 3], panel: usize, slots: usize) {
    const BLOCK: usize = 64;
    let blocks = rows.div_ceil(BLOCK);
    pool::for_each(slots, batch * blocks, &|_, unit| {
        let (b, block) = (unit / blocks, unit % blocks);
        let r0 = block * BLOCK;
        let steps = BLOCK.min(rows - r0);
        for c in (0..cols).step_by(panel) {
            let part = panel.min(cols - c);
            // SAFETY: inside the shape; units write different rows.
            unsafe { strip(src.at(b, r0, c), src.row_stride(), dst.at(b, r0, c), panel, steps, part) };
        }
    });
}
