//! An epilogue as a pass of its own over a finished matrix.

use crate::gemm::raw::Raw;
use crate::gemm::{Epilogue, Finished};
use crate::ops::check::Dims;
use crate::pool;

/// Elements below which a pass stays on the thread it is on.
const PASS_WORK: usize = 1 << 15;

/// Runs the epilogue over `z [m, n]`, in tiles of `quantum` rows and `width` columns.
///
/// # Safety
/// `z` is readable over the shape, no panel border of it or of a matrix of the epilogue cuts a tile's row, and nobody else
/// touches what the epilogue writes.
pub(super) unsafe fn pass(dims: Dims, z: Raw, [quantum, width]: [usize; 2], epilogue: &dyn Epilogue) {
    let Dims { batch, m, n, .. } = dims;
    let (strips, chunks) = (n.div_ceil(width), m.div_ceil(quantum));
    let slots = pool::threads_for([batch, m, n], PASS_WORK);
    pool::for_each(slots, batch * chunks * strips, &|_, unit| {
        let (rest, strip) = (unit / strips, unit % strips);
        let (problem, chunk) = (rest / chunks, rest % chunks);
        let (row, col) = (chunk * quantum, strip * width);
        let (rows, cols) = (quantum.min(m - row), width.min(n - col));
        let (z_stride, z) = (z.row_stride(), z.at(problem, row, col));
        let tile = Finished { z, z_stride, z_padded: false, problem, row, col, rows, cols };
        // SAFETY: the tile lies inside the result; units are disjoint.
        unsafe { epilogue.tile(&tile) };
    });
}
