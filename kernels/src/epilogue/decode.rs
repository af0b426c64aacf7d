//! `x_hat = g(z + bias)`, the loss, `delta = scale·dloss/dz` and its column sums.

use super::{
    Nonlinearity, Partials, Strip, TileOp, columns, load_n, load_whole, side_by_side, store_n, with_nonlinearity,
};
use crate::gemm::raw::Raw;
use crate::gemm::{Ahead, Finished};
use crate::math::vector as math;
use crate::ops::{Activation, Loss, REDUCE_ROWS};
use crate::simd::{Side, Simd};

/// The epilogue of [`Decode`](crate::ops::Decode). The loss partials of the squared error lack its factor ½.
pub(crate) struct DecodeTile<'a> {
    pub(crate) bias: &'a [f32],
    pub(crate) n: usize,
    pub(crate) activation: Activation,
    pub(crate) loss: Loss,
    pub(crate) scale: f32,
    pub(crate) target: Raw,
    pub(crate) delta: Raw,
    pub(crate) x_hat: Option<Raw>,
    pub(crate) grad_sums: Partials,
    pub(crate) loss_sums: Partials,
}

impl TileOp for DecodeTile<'_> {
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, simd: S, tile: &Finished) {
        let padded = self.target.is_padded();
        match self.loss {
            Loss::Squared => with_nonlinearity!(self.activation, F => {
                side_by_side!(simd, tile, padded, WHOLE, ROWS => {
                    // SAFETY: the caller's.
                    unsafe { self.rows::<_, SquaredError<F>, WHOLE, ROWS>(simd, tile) }
                })
            }),
            Loss::Bce => side_by_side!(simd, tile, padded, WHOLE, ROWS => {
                // SAFETY: the caller's; the door has checked that the activation is the sigmoid.
                unsafe { self.rows::<_, CrossEntropy, WHOLE, ROWS>(simd, tile) }
            }),
        }
    }

    #[inline(always)]
    fn ahead(&self, problem: usize, row: usize, col: usize, ahead: &mut Ahead) {
        ahead.push(self.target.at(problem, row, col), self.target.row_stride());
        ahead.push(self.delta.at(problem, row, col), self.delta.row_stride());
    }
}

/// What one element costs.
trait Element {
    /// `(x_hat, what its loss is made of, dloss/dz)`.
    fn element<S: Simd>(simd: S, z: S::F, x: S::F) -> (S::F, S::F, S::F);
    /// `loss` and that of one element more.
    fn total<S: Simd>(simd: S, loss: S::F, element: S::F) -> S::F;
}

struct SquaredError<F>(F);

impl<F: Nonlinearity> Element for SquaredError<F> {
    #[inline(always)]
    fn element<S: Simd>(simd: S, z: S::F, x: S::F) -> (S::F, S::F, S::F) {
        let y = F::forward(simd, z);
        let error = simd.sub(y, x);
        (y, error, F::backward(simd, error, y))
    }

    #[inline(always)]
    fn total<S: Simd>(simd: S, loss: S::F, error: S::F) -> S::F {
        simd.mul_add(error, error, loss)
    }
}

struct CrossEntropy;

impl Element for CrossEntropy {
    /// `max(z, 0) − z·x + log1p(e^−|z|)`.
    #[inline(always)]
    fn element<S: Simd>(simd: S, z: S::F, x: S::F) -> (S::F, S::F, S::F) {
        let y = math::sigmoid(simd, z);
        let here = simd.neg_mul_add(z, x, math::softplus(simd, z));
        (y, here, simd.sub(y, x))
    }

    #[inline(always)]
    fn total<S: Simd>(simd: S, loss: S::F, here: S::F) -> S::F {
        simd.add(loss, here)
    }
}

impl DecodeTile<'_> {
    #[inline(always)]
    unsafe fn rows<S: Simd, E: Element, const WHOLE: bool, const ROWS: usize>(&self, simd: S, tile: &Finished) {
        let &Finished { problem, row, col, .. } = tile;
        let bias = self.bias.as_ptr().wrapping_add(problem * self.n + col);
        let target = self.target.at(problem, row, col).cast_const();
        let delta = self.delta.at(problem, row, col);
        let x_hat = self.x_hat.map(|x_hat| (x_hat.at(problem, row, col), x_hat.row_stride()));
        let grad_sums = self.grad_sums.at(problem, row, col);
        let loss_sums = self.loss_sums.at(problem, row, col);
        let fresh = row % REDUCE_ROWS == 0;
        for c in columns::<S, WHOLE>(tile.cols) {
            // SAFETY: the tile's columns from `c` on are inside every operand.
            unsafe {
                let strip = Strip::new(simd, tile, c, bias);
                let n = strip.n;
                let (mut grad, mut loss) = (simd.splat(0.0), simd.splat(0.0));
                if !fresh {
                    grad = load_n(simd, grad_sums.add(c), n);
                    loss = load_n(simd, loss_sums.add(c), n);
                }
                let mut errors = Errors {
                    strip,
                    target: target.add(c),
                    target_stride: self.target.row_stride(),
                    delta: delta.add(c),
                    delta_stride: self.delta.row_stride(),
                    x_hat: x_hat.map(|(at, stride)| (at.wrapping_add(c), stride)),
                    scale: simd.splat(self.scale),
                    grad,
                    loss,
                };
                for _ in 0..tile.rows / ROWS {
                    errors.rows::<E, WHOLE, ROWS>();
                }
                for _ in 0..tile.rows % ROWS {
                    errors.rows::<E, WHOLE, 1>();
                }
                store_n(simd, grad_sums.add(c), errors.grad, n);
                store_n(simd, loss_sums.add(c), errors.loss, n);
            }
        }
    }
}

/// What becomes of a strip.
struct Errors<S: Simd> {
    strip: Strip<S>,
    target: *const f32,
    target_stride: usize,
    delta: *mut f32,
    delta_stride: usize,
    /// With its stride.
    x_hat: Option<(*mut f32, usize)>,
    scale: S::F,
    grad: S::F,
    loss: S::F,
}

impl<S: Simd> Errors<S> {
    /// Takes the next `R` rows.
    ///
    /// # Safety
    /// There are as many, and nobody else touches them in `delta` and `x_hat`.
    #[inline(always)]
    unsafe fn rows<E: Element, const WHOLE: bool, const R: usize>(&mut self) {
        let Strip { simd, n, .. } = self.strip;
        // SAFETY: the caller's.
        let z = unsafe { self.strip.rows::<WHOLE, R>() };
        let mut x = z;
        for x in &mut x {
            // SAFETY: the caller's.
            *x = unsafe { load_whole::<S, WHOLE>(simd, self.target, n) };
            self.target = self.target.wrapping_add(self.target_stride);
        }
        let (y, term, slope) = E::element(Side::<S, R>(simd), z, x);
        for i in 0..R {
            self.loss = E::total(simd, self.loss, term[i]);
            let d = simd.mul(self.scale, slope[i]);
            self.grad = simd.add(self.grad, d);
            // SAFETY: the caller's.
            unsafe { store_n(simd, self.delta, d, n) };
            self.delta = self.delta.wrapping_add(self.delta_stride);
            if let Some((x_hat, stride)) = &mut self.x_hat {
                // SAFETY: as above.
                unsafe { store_n(simd, *x_hat, y[i], n) };
                *x_hat = x_hat.wrapping_add(*stride);
            }
        }
    }
}
