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

#[cfg(test)]
mod tests {
    use sae_kernels::step::StepConfig;
    use sae_kernels::{BackendKind, backend};

    use super::*;
    use crate::config::Init;
    use crate::model::{evaluate, initial_weights};

    #[test]
    fn samples_are_seen_once_in_order_with_what_an_evaluation_sums_up() {
        let (d_in, d_hid, rows) = (6, 5, 23);
        let data: Vec<f32> = (0..rows * d_in).map(|i| ((i * 37 + 11) % 101) as f32 / 101.0).collect();
        let mut backend = backend(BackendKind::Fused).unwrap();
        let mut step = Step::new(d_in, d_hid, 7, backend.panel(), StepConfig::new()).unwrap();
        step.set_weights(&initial_weights(&Init::Xavier, d_in, d_hid, 3).unwrap()).unwrap();
        let mut batch = Batch::new(7, d_in, backend.panel()).unwrap();
        let found = evaluate(&mut step, &mut *backend, &mut batch, &data, 0.5).unwrap();
        let (mut seen_x, mut squares, mut sums) = (Vec::new(), 0.0, vec![0.0; d_hid]);
        reconstruct(&mut step, &mut *backend, &mut batch, &data, |seen| {
            assert_eq!(seen.first * d_in, seen_x.len());
            seen_x.extend_from_slice(seen.x);
            squares += seen.x.iter().zip(seen.x_hat).map(|(&a, &b)| f64::from(a - b).powi(2)).sum::<f64>();
            for row in seen.h.chunks_exact(d_hid) {
                sums.iter_mut().zip(row).for_each(|(sum, &h)| *sum += f64::from(h));
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(seen_x, data);
        let rho_hat: Vec<f64> = sums.iter().map(|sum| sum / rows as f64).collect();
        assert_eq!(rho_hat, found.activity.rho_hat());
        // The same differences, rounded to f32 in both; their squares summed in another order and precision.
        let mse = squares / data.len() as f64;
        assert!((mse - found.mse).abs() <= 2f64.powi(-20) * mse, "{mse} {}", found.mse);
        assert!(reconstruct(&mut step, &mut *backend, &mut batch, &data[1..], |_| Ok(())).is_err());
    }
}
