//! An optimiser's step on a finished tile, taken between the steps of the next tile's loop.
//!
//! ```text
//! at once     tile 0: k-loop │ root and division of 24 vectors │ tile 1: k-loop │ …
//! deferred    tile 0: k-loop │ tile 1: k-loop, and after every second step a vector of tile 0 │ …
//! ```
//!
//! A processor computes roots and divisions in one unit, one after the other. Taken at once, a tile's step waits for it while the
//! units for multiply-adds have little to do; between the steps of a product it costs what its other operations do. Only where a
//! tile leaves registers for it: with 32 of them.

use super::Finished;
use super::walk::UNROLL;
use crate::math::optimizer::By;
use crate::ops::Coefficients;
use crate::simd::{self, Simd};

/// Adam's step on tiles of whole vectors whose weights and moments are in panels of the tier's width: the rule that is used
/// most and has most to wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    w: *mut f32,
    m: *mut f32,
    v: *mut f32,
    by: *const Coefficients<f32>,
}

impl Update {
    pub(super) const NOWHERE: Self =
        Self { w: std::ptr::null_mut(), m: std::ptr::null_mut(), v: std::ptr::null_mut(), by: std::ptr::null() };

    /// On the weights and moments that begin at these addresses.
    #[inline(always)]
    pub(crate) fn new([w, m, v]: [*mut f32; 3], by: &Coefficients<f32>) -> Self {
        Self { w, m, v, by }
    }

    /// On those that begin `elements` further.
    #[inline(always)]
    pub(super) fn below(&self, elements: usize) -> Self {
        let [w, m, v] = [self.w, self.m, self.v].map(|matrix| matrix.wrapping_add(elements));
        Self { w, m, v, ..*self }
    }
}

/// An update that is put off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deferred {
    /// The gradient. Without rows, there is nothing to do.
    tile: Finished,
    update: Update,
}

impl Deferred {
    pub(super) const NOTHING: Self = {
        let none: *mut f32 = std::ptr::null_mut();
        let (z, z_stride, z_padded) = (none.cast_const(), 0, false);
        let tile = Finished { z, z_stride, z_padded, problem: 0, row: 0, col: 0, rows: 0, cols: 0 };
        Self { tile, update: Update::NOWHERE }
    };

    /// The update by the gradient `tile`.
    #[inline(always)]
    pub(super) fn new(tile: Finished, update: Update) -> Self {
        debug_assert_eq!(tile.z_stride, tile.cols);
        Self { tile, update }
    }

    /// The tile, where there is one; there is nothing to do any more.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<Finished> {
        let tile = (self.tile.rows > 0).then_some(self.tile);
        self.tile.rows = 0;
        tile
    }

    /// What a kernel has to do of it.
    #[inline(always)]
    pub(super) fn pending(&self) -> Pending {
        Pending { z: self.tile.z, len: self.tile.rows * self.tile.cols, update: self.update }
    }
}

/// An optimiser's step on one tile, to be taken by the kernel that computes the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// The gradient, row after row.
    pub(super) z: *const f32,
    pub(super) len: usize,
    pub(super) update: Update,
}

impl Pending {
    /// Steps of the loop that go with a vector.
    pub(super) const STEPS: usize = UNROLL / 2;

    #[inline(always)]
    pub(super) fn vectors<S: Simd>(&self) -> usize {
        self.len / S::LANES
    }

    /// How many of the vectors go into a loop of `k` steps: as many as in whole rounds of it.
    #[inline(always)]
    pub(super) fn within<S: Simd>(&self, k: usize) -> usize {
        const A_ROUND: usize = UNROLL / Pending::STEPS;
        (self.vectors::<S>() / A_ROUND).min(k / UNROLL) * A_ROUND
    }

    /// The first half of the step on vector number `i` of the tile, which is `NV` vectors wide: the moments, and where the weights
    /// will go.
    ///
    /// # Safety
    /// There is such a vector, and nobody else touches its weights and moments.
    #[inline(always)]
    pub(super) unsafe fn moments<S: Simd, const NV: usize, const P: usize>(&self, simd: S, i: usize) -> S::F {
        let Update { w, m, v, .. } = self.update.below(Self::place::<S, NV, P>(i));
        // SAFETY: the caller's: the vector is one of the buffer and of each matrix.
        unsafe {
            let by = self.by(simd);
            let g = by.decayed(simd.load(self.z.wrapping_add(i * S::LANES)), simd.load(w));
            let (first, second) = (by.average(g, simd.load(m)), by.average_of_squares(g, simd.load(v)));
            simd.store(m, first);
            simd.store(v, second);
            by.direction(first, second)
        }
    }

    /// The second half: the weights go there.
    ///
    /// # Safety
    /// As for the first.
    #[inline(always)]
    pub(super) unsafe fn weights<S: Simd, const NV: usize, const P: usize>(&self, simd: S, i: usize, direction: S::F) {
        let w = self.update.w.wrapping_add(Self::place::<S, NV, P>(i));
        // SAFETY: as above.
        unsafe { simd.store(w, self.by(simd).moved(simd.load(w), direction)) };
    }

    /// Where vector number `i` is in the matrices.
    #[inline(always)]
    fn place<S: Simd, const NV: usize, const P: usize>(i: usize) -> usize {
        i / NV * P + i % NV * S::LANES
    }

    /// The step's numbers, read again each time: kept, they would need the accumulators' registers.
    ///
    /// # Safety
    /// There is a step.
    #[inline(always)]
    unsafe fn by<S: Simd>(&self, simd: S) -> By<S> {
        // SAFETY: they outlive the product.
        By::new(simd, simd::opaque(unsafe { &*self.update.by }))
    }
}
