//! What a model makes of a whole set.

use sae_kernels::ops::{Loss, Rule};
use sae_kernels::step::{Convention, Penalty, StepConfig, divergence};
use sae_kernels::{Backend, Layout, MatMut, MatRef, Step};
use serde::Serialize;

use super::Batch;
use crate::error::{Error, Result};
use crate::eval::metrics::{Activity, SquaredError};

/// The objective of a set, term by term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Terms {
    /// The sum of the three below.
    pub loss: f64,
    /// The reconstruction term, as the convention scales it.
    pub reconstruction: f64,
    /// The penalty, β included.
    pub sparsity: f64,
    /// The weight decay's term.
    pub weight_decay: f64,
}

/// Everything that is measured of a model over a set.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Samples.
    pub rows: usize,
    /// The objective.
    pub terms: Terms,
    /// Mean squared error per element, of preprocessed data.
    pub mse: f64,
    /// What every hidden unit does.
    pub activity: Activity,
}

/// Evaluates the model in `step` on `data [rows, d_in]`, preprocessed, in batches that fit `batch`.
///
/// # Errors
/// As [`evaluate_pieces`].
pub fn evaluate(
    step: &mut Step,
    backend: &mut dyn Backend,
    batch: &mut Batch,
    data: &[f32],
    threshold: f32,
) -> Result<Evaluation> {
    evaluate_pieces(step, backend, batch, threshold, |take| take(data))
}

/// The same of data that `pieces` hands on one after the other, whole rows each.
///
/// The objective is that of the whole set as one batch: ρ̂ is averaged over all of it, and with the convention
/// `per_element` the weight decay is divided by all of its rows.
///
/// # Errors
/// Those of the backend and of `pieces`, and [`Error::Failed`] where the data are empty or no whole rows.
pub fn evaluate_pieces(
    step: &mut Step,
    backend: &mut dyn Backend,
    batch: &mut Batch,
    threshold: f32,
    pieces: impl FnOnce(&mut dyn FnMut(&[f32]) -> Result) -> Result,
) -> Result<Evaluation> {
    let (d_in, d_hid, cfg) = (step.d_in(), step.d_hid(), *step.config());
    let refused = |values: usize| {
        Error::Failed(format!("evaluation: {values} values, expected whole rows of {d_in}, at least one"))
    };
    let mut rows = 0;
    let most = batch.max_rows().min(step.max_batch());
    let mut activity = Activity::new(d_hid, threshold)?;
    let mut squares = SquaredError::default();
    let (mut loss_sum, mut absolute) = (0.0, 0.0);
    let mut h = vec![0.0; most * d_hid];
    // The squared error's own sum says it all; other losses need the reconstruction.
    let mut x_hat = vec![0.0; if cfg.loss == Loss::Squared { 0 } else { most * d_in }];
    let mut take = |part: &[f32]| -> Result {
        let n = part.len() / d_in;
        rows += n;
        batch.take(part)?;
        let view = match cfg.loss {
            Loss::Squared => None,
            Loss::Bce => Some(MatMut::row_major(&mut x_hat, n, d_in)?),
        };
        loss_sum += step.evaluate(backend, batch.view()?, view)?.loss_sum;
        if cfg.loss != Loss::Squared {
            squares.add(part, &x_hat[..part.len()])?;
        }
        let h = &mut h[..n * d_hid];
        copy_rows(step.hidden(n)?, h);
        activity.add(h)?;
        if matches!(cfg.penalty, Penalty::L1 { .. }) {
            absolute += h.iter().map(|v| f64::from(v.abs())).sum::<f64>();
        }
        Ok(())
    };
    pieces(&mut |data| match data.len().is_multiple_of(d_in) {
        true => data.chunks(most * d_in).try_for_each(&mut take),
        false => Err(refused(data.len())),
    })?;
    if rows == 0 {
        return Err(refused(0));
    }
    let elements = rows as f64 * d_in as f64;
    let mse = if cfg.loss == Loss::Squared { 2.0 * loss_sum / elements } else { squares.mse() };
    let terms = terms(&cfg, rows, d_in, loss_sum, absolute, &activity, || step.squared_norm(backend));
    Ok(Evaluation { rows, terms, mse, activity })
}

fn terms(
    cfg: &StepConfig,
    rows: usize,
    d_in: usize,
    loss_sum: f64,
    absolute: f64,
    activity: &Activity,
    squared_norm: impl FnOnce() -> f64,
) -> Terms {
    let (n, d) = (rows as f64, d_in as f64);
    // `loss_sum` has the ½ of the squared error.
    let reconstruction = loss_sum
        * match (cfg.convention, cfg.loss) {
            (Convention::PerSample, _) => 1.0 / n,
            (Convention::PerElement, Loss::Squared) => 2.0 / (n * d),
            (Convention::PerElement, Loss::Bce) => 1.0 / (n * d),
        };
    let sparsity = match cfg.penalty {
        Penalty::None => 0.0,
        Penalty::L1 { beta } => f64::from(beta) / n * absolute,
        Penalty::Kl { rho, beta, .. } => {
            let kl = activity.rho_hat().into_iter().map(|r| divergence(f64::from(rho), r).value).sum::<f64>();
            f64::from(beta) * kl
        }
    };
    let lambda = f64::from(cfg.weight_decay);
    let rate = match cfg.convention {
        _ if cfg.decoupled_decay || matches!(cfg.rule, Rule::AdamW { .. }) => 0.0,
        Convention::PerSample => 0.5 * lambda,
        Convention::PerElement => 0.5 * lambda / n,
    };
    let weight_decay = if rate == 0.0 { 0.0 } else { rate * squared_norm() };
    Terms { loss: reconstruction + sparsity + weight_decay, reconstruction, sparsity, weight_decay }
}

/// A row-major copy.
pub(crate) fn copy_rows(from: MatRef<'_>, to: &mut [f32]) {
    let layout: Layout = from.layout();
    for (r, row) in to.chunks_exact_mut(layout.cols().max(1)).enumerate().take(layout.rows()) {
        for (c, value) in row.iter_mut().enumerate() {
            *value = from.at(0, r, c);
        }
    }
}

#[cfg(test)]
mod tests {
    use sae_kernels::step::RhoHat;
    use sae_kernels::{BackendKind, Naive, backend};

    use super::*;
    use crate::config::Init;
    use crate::model::initial_weights;

    fn data(rows: usize, cols: usize) -> Vec<f32> {
        (0..rows * cols).map(|i| ((i * 37 + 11) % 101) as f32 / 101.0).collect()
    }

    fn run(cfg: StepConfig, kind: BackendKind, max_batch: usize, data: &[f32]) -> (Evaluation, f64) {
        let mut backend = backend(kind).unwrap();
        let mut step = Step::new(6, 5, max_batch, backend.panel(), cfg).unwrap();
        step.set_weights(&initial_weights(&Init::Xavier, 6, 5, 3).unwrap()).unwrap();
        let mut batch = Batch::new(max_batch, 6, backend.panel()).unwrap();
        let found = evaluate(&mut step, &mut *backend, &mut batch, data, 0.5).unwrap();
        // The same set as one batch, by the definition of correct.
        let rows = data.len() / 6;
        let mut whole = Step::new(6, 5, rows, None, cfg).unwrap();
        whole.set_weights(&step.weights()).unwrap();
        let report = whole.evaluate(&mut Naive, MatRef::row_major(data, rows, 6).unwrap(), None).unwrap();
        (found, report.loss)
    }

    #[test]
    fn a_set_in_batches_has_the_objective_of_one_batch() {
        let data = data(23, 6);
        let kl = Penalty::Kl { rho: 0.1, beta: 0.5, average: RhoHat::Batch };
        for penalty in [Penalty::None, Penalty::L1 { beta: 0.3 }, kl] {
            for loss in Loss::ALL {
                for convention in Convention::ALL {
                    let cfg = StepConfig { penalty, loss, convention, weight_decay: 0.1, ..StepConfig::new() };
                    for (kind, max_batch) in
                        [(BackendKind::Naive, 7), (BackendKind::Fused, 23), (BackendKind::Fused, 5)]
                    {
                        let (found, expected) = run(cfg, kind, max_batch, &data);
                        // Each pre-activation is a chain of at most 7 roundings of values below 7, the activations and
                        // the losses are within a few ulp, and ρ̂ is rounded to f32 once more by the step: relative
                        // errors of at most about 20·2⁻²⁴ = 1.2e-6, which the KL slope (at ρ̂ ≈ 0.5, ρ = 0.1: 1.6) and
                        // the sums do not amplify beyond eightfold.
                        assert!(
                            (found.terms.loss - expected).abs() <= 1e-5 * expected.abs(),
                            "{cfg:?}: {} {expected}",
                            found.terms.loss
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn mse_is_the_same_whether_it_comes_from_the_loss_or_from_the_reconstruction() {
        let data = data(9, 6);
        let of = |loss| run(StepConfig { loss, ..StepConfig::new() }, BackendKind::Fused, 4, &data).0.mse;
        let (a, b) = (of(Loss::Squared), of(Loss::Bce));
        // The same x_hat; squares of f32 differences of values in [0, 1]: a relative rounding of 2⁻²³ at most each.
        assert!((a - b).abs() <= 2f64.powi(-22) * a, "{a} {b}");
    }

    #[test]
    fn an_empty_set_is_an_error() {
        let mut step = Step::new(6, 5, 4, None, StepConfig::new()).unwrap();
        let mut batch = Batch::new(4, 6, None).unwrap();
        for bad in [&[][..], &[0.0; 5]] {
            assert!(evaluate(&mut step, &mut Naive, &mut batch, bad, 0.5).is_err());
        }
    }
}
