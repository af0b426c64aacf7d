//! `x_hat = g(z + bias)`, the loss, `delta = scale·dloss/dz` and its column sums.

use super::{Nonlinearity, Partials, TileOp, columns, load_n, load_whole, side_by_side, store_n, with_nonlinearity};
use crate::gemm::raw::Raw;
use crate::gemm::{Ahead, Finished};
use crate::math::vector as math;
use crate::ops::{Activation, Loss, REDUCE_ROWS};
use crate::simd::Simd;

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
                side_by_side!(simd, tile, padded, WHOLE => {
                    // SAFETY: the caller's.
                    unsafe { self.rows::<_, SquaredError<F>, WHOLE>(simd, tile) }
                })
            }),
            Loss::Bce => side_by_side!(simd, tile, padded, WHOLE => {
                // SAFETY: the caller's; the door has checked that the activation is the sigmoid.
                unsafe { self.rows::<_, CrossEntropy, WHOLE>(simd, tile) }
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
    /// `(x_hat, loss + this element's, dloss/dz)`.
    fn element<S: Simd>(simd: S, z: S::F, x: S::F, loss: S::F) -> (S::F, S::F, S::F);
}

struct SquaredError<F>(F);

impl<F: Nonlinearity> Element for SquaredError<F> {
    #[inline(always)]
    fn element<S: Simd>(simd: S, z: S::F, x: S::F, loss: S::F) -> (S::F, S::F, S::F) {
        let y = F::forward(simd, z);
        let error = simd.sub(y, x);
        (y, simd.mul_add(error, error, loss), F::backward(simd, error, y))
    }
}

struct CrossEntropy;

impl Element for CrossEntropy {
    /// `max(z, 0) − z·x + log1p(e^−|z|)`.
    #[inline(always)]
    fn element<S: Simd>(simd: S, z: S::F, x: S::F, loss: S::F) -> (S::F, S::F, S::F) {
        let y = math::sigmoid(simd, z);
        let here = simd.neg_mul_add(z, x, math::softplus(simd, z));
        (y, simd.add(loss, here), simd.sub(y, x))
    }
}

impl DecodeTile<'_> {
    #[inline(always)]
    unsafe fn rows<S: Simd, E: Element, const WHOLE: bool>(&self, simd: S, tile: &Finished) {
        let &Finished { problem, row, col, .. } = tile;
        let bias = self.bias.as_ptr().wrapping_add(problem * self.n + col);
        let target = self.target.at(problem, row, col).cast_const();
        let delta = self.delta.at(problem, row, col);
        let x_hat = self.x_hat.map(|x_hat| (x_hat.at(problem, row, col), x_hat.row_stride()));
        let grad_sums = self.grad_sums.at(problem, row, col);
        let loss_sums = self.loss_sums.at(problem, row, col);
        let fresh = row % REDUCE_ROWS == 0;
        let scale = simd.splat(self.scale);
        for c in columns::<S, WHOLE>(tile.cols) {
            let n = S::LANES.min(tile.cols - c);
            // SAFETY: `n` columns of this tile from `c` are inside every operand.
            unsafe {
                let bias = load_n(simd, bias.add(c), n);
                let (mut grad, mut loss) = (simd.splat(0.0), simd.splat(0.0));
                if !fresh {
                    grad = load_n(simd, grad_sums.add(c), n);
                    loss = load_n(simd, loss_sums.add(c), n);
                }
                let room = tile.room(S::LANES, n);
                for r in 0..tile.rows {
                    let z = simd.add(load_whole::<S, WHOLE>(simd, tile.z.add(r * tile.z_stride + c), room), bias);
                    let x = load_whole::<S, WHOLE>(simd, target.add(r * self.target.row_stride() + c), n);
                    let (y, total, slope) = E::element(simd, z, x, loss);
                    loss = total;
                    let d = simd.mul(scale, slope);
                    grad = simd.add(grad, d);
                    store_n(simd, delta.add(r * self.delta.row_stride() + c), d, n);
                    if let Some((x_hat, stride)) = x_hat {
                        store_n(simd, x_hat.add(r * stride + c), y, n);
                    }
                }
                store_n(simd, grad_sums.add(c), grad, n);
                store_n(simd, loss_sums.add(c), loss, n);
            }
        }
    }
}
