//! What a model makes of samples, one by one: activations and reconstructions.

use sae_kernels::{Backend, MatMut, Step};

use super::Batch;
use super::evaluate::copy_rows;
use crate::error::{Error, Result};

/// What a model makes of some samples; all row-major.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The first of the samples, in the data.
    pub first: usize,
    /// `[n, d_in]`.
    pub x: &'a [f32],
    /// `[n, d_hid]`.
    pub h: &'a [f32],
    /// `[n, d_in]`.
    pub x_hat: &'a [f32],
}

/// Passes `data [rows, d_in]`, preprocessed, through the model, in batches that fit `batch`; `each` sees them in order. Nothing is
/// updated.
///
/// # Errors
/// Those of the backend and of `each`, and [`Error::Failed`] where `data` is no whole rows.
pub fn reconstruct(
    step: &mut Step,
    backend: &mut dyn Backend,
    batch: &mut Batch,
    data: &[f32],
    mut each: impl FnMut(Seen<'_>) -> Result,
) -> Result {
    let (d_in, d_hid) = (step.d_in(), step.d_hid());
    if !data.len().is_multiple_of(d_in) {
        let found = format!("reconstruction: {} values, expected whole rows of {d_in}", data.len());
        return Err(Error::Failed(found));
    }
    let most = batch.max_rows().min(step.max_batch()).min((data.len() / d_in).max(1));
    let (mut h, mut x_hat) = (vec![0.0; most * d_hid], vec![0.0; most * d_in]);
    for (i, x) in data.chunks(most * d_in).enumerate() {
        let n = x.len() / d_in;
        let (h, x_hat) = (&mut h[..n * d_hid], &mut x_hat[..n * d_in]);
        batch.take(x)?;
        step.evaluate(backend, batch.view()?, Some(MatMut::row_major(x_hat, n, d_in)?))?;
        copy_rows(step.hidden(n)?, h);
        each(Seen { first: i * most, x, h, x_hat })?;
    }
    Ok(())
}
