//! What follows a product, over a tile that is still in the first-level cache.
//!
//! Each operation is written once over [`Simd`] and runs in two places: on the tiles of a fused product, and as a pass
//! of its own over a finished matrix (the unfused backends). The same instructions on the same values in the same
//! order: fused and unfused differ only in what their products round.

mod decode;
mod encode;
mod hidden;
mod store;
mod sums;
mod top_k;
mod update;

pub(crate) use decode::DecodeTile;
pub(crate) use encode::EncodeTile;
pub(crate) use hidden::HiddenTile;
pub(crate) use store::StoreTile;
pub(crate) use sums::{Partials, Sums, column_sums, sum_of_squares};
pub(crate) use top_k::top_k;
pub(crate) use update::{UpdateTile, update_slice};

use crate::gemm::{Ahead, Epilogue, Finished, Update};
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Portable, Simd, Task};

/// An epilogue, generic over the instruction set.
pub(crate) trait TileOp: Sync {
    /// `#[inline(always)]` in every implementation.
    ///
    /// # Safety
    /// As [`Epilogue::tile`].
    unsafe fn apply<S: Simd>(&self, simd: S, tile: &Finished);

    /// As [`Epilogue::place`].
    #[inline(always)]
    fn place(&self, _problem: usize, _row: usize, _col: usize) -> Option<(*mut f32, usize)> {
        None
    }

    /// As [`Epilogue::ahead`].
    #[inline(always)]
    fn ahead(&self, _problem: usize, _row: usize, _col: usize, _ahead: &mut Ahead) {}

    /// As [`Epilogue::update`].
    #[inline(always)]
    fn update(&self, _problem: usize, _row: usize, _col: usize, _panel: usize) -> Option<Update> {
        None
    }

    /// As [`Epilogue::updated`]. `#[inline(always)]` in every implementation.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn updated<S: Simd>(&self, _simd: S, _tile: &Finished) {}
}

/// An epilogue for one instruction set.
struct On<S, E>(S, E);

/// A tile's work: all of it, or what is left where the rest was deferred and done.
struct Apply<'a, E, const DEFERRED: bool>(&'a E, &'a Finished);

impl<E: TileOp, const DEFERRED: bool> Task for Apply<'_, E, DEFERRED> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // SAFETY: whoever made this task has the tile.
        unsafe { if DEFERRED { self.0.updated(simd, self.1) } else { self.0.apply(simd, self.1) } }
    }
}

impl<S: Simd, E: TileOp> Epilogue for On<S, E> {
    unsafe fn tile(&self, tile: &Finished) {
        self.0.vectorize(Apply::<_, false>(&self.1, tile));
    }

    fn place(&self, problem: usize, row: usize, col: usize) -> Option<(*mut f32, usize)> {
        self.1.place(problem, row, col)
    }

    fn ahead(&self, problem: usize, row: usize, col: usize, ahead: &mut Ahead) {
        self.1.ahead(problem, row, col, ahead);
    }

    fn update(&self, problem: usize, row: usize, col: usize, panel: usize) -> Option<Update> {
        self.1.update(problem, row, col, panel)
    }

    unsafe fn updated(&self, tile: &Finished) {
        self.0.vectorize(Apply::<_, true>(&self.1, tile));
    }
}

/// Compiles `op` for `isa` and hands it to `body`.
pub(crate) fn on_isa<E: TileOp, R>(isa: Isa, op: E, body: impl FnOnce(&dyn Epilogue) -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        if let (Isa::Avx512, Some(simd)) = (isa, Avx512::new()) {
            return body(&On(simd, op));
        }
        if let (Isa::Avx2, Some(simd)) = (isa, Avx2::new()) {
            return body(&On(simd, op));
        }
    }
    #[cfg(target_arch = "aarch64")]
    if let (Isa::Neon, Some(simd)) = (isa, crate::simd::Neon::new()) {
        return body(&On(simd, op));
    }
    let simd = Portable::new().expect("the portable instruction set is always there");
    debug_assert_eq!(isa, Isa::Portable);
    body(&On(simd, op))
}

/// Calls `task` with the token of `isa`.
pub(crate) fn vectorize_on<T: Task>(isa: Isa, task: T) -> T::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if let (Isa::Avx512, Some(simd)) = (isa, Avx512::new()) {
            return simd.vectorize(task);
        }
        if let (Isa::Avx2, Some(simd)) = (isa, Avx2::new()) {
            return simd.vectorize(task);
        }
    }
    #[cfg(target_arch = "aarch64")]
    if let (Isa::Neon, Some(simd)) = (isa, crate::simd::Neon::new()) {
        return simd.vectorize(task);
    }
    let simd = Portable::new().expect("the portable instruction set is always there");
    debug_assert_eq!(isa, Isa::Portable);
    simd.vectorize(task)
}

/// The first `n` lanes at `p`.
///
/// # Safety
/// `n` elements are readable.
#[inline(always)]
pub(crate) unsafe fn load_n<S: Simd>(simd: S, p: *const f32, n: usize) -> S::F {
    // SAFETY: the caller's.
    unsafe { if n == S::LANES { simd.load(p) } else { simd.load_partial(p, n) } }
}

/// Stores the first `n` lanes at `p`.
///
/// # Safety
/// `n` elements are writable.
#[inline(always)]
pub(crate) unsafe fn store_n<S: Simd>(simd: S, p: *mut f32, v: S::F, n: usize) {
    // SAFETY: the caller's.
    unsafe { if n == S::LANES { simd.store(p, v) } else { simd.store_partial(p, v, n) } }
}

/// Where the vectors of `cols` columns start: one holds them all where it is read whole.
#[inline(always)]
pub(crate) fn columns<S: Simd, const WHOLE: bool>(cols: usize) -> impl Iterator<Item = usize> {
    (0..if WHOLE { 1 } else { cols }).step_by(S::LANES)
}

/// A vector of a matrix: all of it, or the first `n` lanes.
///
/// # Safety
/// As many elements are readable.
#[inline(always)]
pub(crate) unsafe fn load_whole<S: Simd, const WHOLE: bool>(simd: S, p: *const f32, n: usize) -> S::F {
    // SAFETY: the caller's.
    unsafe { if WHOLE { simd.load(p) } else { load_n(simd, p, n) } }
}

/// A vector's columns of a tile, from the next row on, and what is added to each of them.
struct Strip<S: Simd> {
    simd: S,
    /// How many columns.
    n: usize,
    z: *const f32,
    z_stride: usize,
    room: usize,
    bias: S::F,
}

impl<S: Simd> Strip<S> {
    /// The columns from `c` on of a tile whose biases begin at `bias`.
    ///
    /// # Safety
    /// There are such columns, and biases for all of the tile.
    #[inline(always)]
    unsafe fn new(simd: S, tile: &Finished, c: usize, bias: *const f32) -> Self {
        let n = S::LANES.min(tile.cols - c);
        // SAFETY: the caller's.
        let bias = unsafe { load_n(simd, bias.add(c), n) };
        Self { simd, n, z: tile.z.wrapping_add(c), z_stride: tile.z_stride, room: tile.room(S::LANES, n), bias }
    }

    /// The next `R` rows.
    ///
    /// # Safety
    /// There are as many.
    #[inline(always)]
    unsafe fn rows<const WHOLE: bool, const R: usize>(&mut self) -> [S::F; R] {
        let mut z = [self.bias; R];
        for z in &mut z {
            // SAFETY: the caller's.
            *z = unsafe { self.simd.add(load_whole::<S, WHOLE>(self.simd, self.z, self.room), self.bias) };
            self.z = self.z.wrapping_add(self.z_stride);
        }
        z
    }
}

/// A nonlinearity and its derivative, taken from its own result.
pub(crate) trait Nonlinearity {
    fn forward<S: Simd>(simd: S, z: S::F) -> S::F;
    /// `delta·f'`, where `y = f(z)`.
    fn backward<S: Simd>(simd: S, delta: S::F, y: S::F) -> S::F;
}

pub(crate) struct Sigmoid;
pub(crate) struct Relu;
pub(crate) struct Tanh;
pub(crate) struct Identity;

impl Nonlinearity for Sigmoid {
    #[inline(always)]
    fn forward<S: Simd>(simd: S, z: S::F) -> S::F {
        crate::math::vector::sigmoid(simd, z)
    }

    #[inline(always)]
    fn backward<S: Simd>(simd: S, delta: S::F, y: S::F) -> S::F {
        // y·(1 − y). Where y² would be rounded first, y − y² loses digits near 1.
        let slope = if S::FUSED { simd.neg_mul_add(y, y, y) } else { simd.mul(y, simd.sub(simd.splat(1.0), y)) };
        simd.mul(delta, slope)
    }
}

impl Nonlinearity for Relu {
    #[inline(always)]
    fn forward<S: Simd>(simd: S, z: S::F) -> S::F {
        // The second operand where the first is not larger: NaN stays NaN.
        let zero = simd.splat(0.0);
        simd.max(zero, z)
    }

    #[inline(always)]
    fn backward<S: Simd>(simd: S, delta: S::F, y: S::F) -> S::F {
        let zero = simd.splat(0.0);
        simd.select(simd.gt(y, zero), delta, zero)
    }
}

impl Nonlinearity for Tanh {
    #[inline(always)]
    fn forward<S: Simd>(simd: S, z: S::F) -> S::F {
        crate::math::vector::tanh(simd, z)
    }

    #[inline(always)]
    fn backward<S: Simd>(simd: S, delta: S::F, y: S::F) -> S::F {
        // 1 − y², as for the sigmoid.
        let one = simd.splat(1.0);
        let slope = if S::FUSED { simd.neg_mul_add(y, y, one) } else { simd.mul(simd.sub(one, y), simd.add(one, y)) };
        simd.mul(delta, slope)
    }
}

impl Nonlinearity for Identity {
    #[inline(always)]
    fn forward<S: Simd>(_: S, z: S::F) -> S::F {
        z
    }

    #[inline(always)]
    fn backward<S: Simd>(_: S, delta: S::F, _: S::F) -> S::F {
        delta
    }
}

/// Rows that are taken at once where one is too few chains.
pub(crate) const SOME_ROWS: usize = 3;

/// Runs `$body`, which is generic over the type of the token `$simd`, on as many vectors at once as the tile is wide: the chains
/// of operations are long, and neighbours fill each other's waits. `$whole` says in it whether matrices are read in
/// whole vectors: where the columns fill them, or the matrices are `$padded`. Padding is never written. `$rows` says how many
/// rows to take at once, so that there are enough chains.
macro_rules! side_by_side {
    ($simd:ident, $tile:expr, $padded:expr, $whole:ident $(, $rows:ident)? => $body:expr) => {
        match $tile.whole_vectors(S::LANES, $padded) {
            Some(4) => side_by_side!(@ $whole = true, $simd = 4 $(, $rows)? => $body),
            Some(3) => side_by_side!(@ $whole = true, $simd = 3 $(, $rows)? => $body),
            Some(2) => side_by_side!(@ $whole = true, $simd = 2 $(, $rows)? => $body),
            Some(_) => side_by_side!(@ $whole = true, $simd = 1 $(, $rows)? => $body),
            None => side_by_side!(@ $whole = false, $simd $(, $rows = 1)? => $body),
        }
    };
    (@ $whole:ident = true, $simd:ident = $n:literal => $body:expr) => {{
        let $simd = $crate::simd::Side::<S, $n>($simd);
        side_by_side!(@ $whole = true, $simd => $body)
    }};
    (@ $whole:ident = true, $simd:ident = $n:literal, $rows:ident => $body:expr) => {{
        let $simd = $crate::simd::Side::<S, $n>($simd);
        if S::CHAINS / $n < $crate::epilogue::SOME_ROWS {
            side_by_side!(@ $whole = true, $simd, $rows = 1 => $body)
        } else {
            side_by_side!(@ $whole = true, $simd, $rows = $crate::epilogue::SOME_ROWS => $body)
        }
    }};
    (@ $whole:ident = $is:literal, $simd:ident $(, $rows:ident = $at_once:expr)? => $body:expr) => {{
        const $whole: bool = $is;
        $(const $rows: usize = $at_once;)?
        $body
    }};
}
pub(crate) use side_by_side;

/// Runs `$body` with `$f` naming the type of an [`Activation`](crate::ops::Activation).
macro_rules! with_nonlinearity {
    ($activation:expr, $f:ident => $body:expr) => {
        match $activation {
            $crate::ops::Activation::Sigmoid => {
                type $f = $crate::epilogue::Sigmoid;
                $body
            }
            $crate::ops::Activation::Relu => {
                type $f = $crate::epilogue::Relu;
                $body
            }
            $crate::ops::Activation::Tanh => {
                type $f = $crate::epilogue::Tanh;
                $body
            }
            $crate::ops::Activation::Identity => {
                type $f = $crate::epilogue::Identity;
                $body
            }
        }
    };
}
pub(crate) use with_nonlinearity;
