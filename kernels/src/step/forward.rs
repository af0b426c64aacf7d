//! The forward pass: hidden activations, penalty, reconstruction, and what a report says of them.

use std::ops::Range;

use crate::backend::Backend;
use crate::error::expect;
use crate::ops::{Activation, Decode, Result};
use crate::real::Real;
use crate::view::MatMut;

use super::dropout::code;
use super::input::Samples;
use super::penalty::Divergences;
use super::{BatchedStep, Penalty, StepReport};

/// What ρ̂ the penalty of a pass sees.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Average {
    /// The batch's alone.
    Batch,
    /// As configured.
    Configured,
}

impl<T: Real> BatchedStep<T> {
    /// Encodes, selects, penalises, drops, decodes: fills `h`, `delta_out`, `row_term`, `b_dec_grad`, the averages and the reports.
    pub(super) fn forward(
        &mut self,
        backend: &mut dyn Backend<T>,
        samples: &Samples<'_, T>,
        mut x_hat: Option<MatMut<'_, T>>,
        average: Average,
        reports: &mut [StepReport],
    ) -> Result {
        let (n, rows, d_in, models) = (samples.n, samples.rows(), self.d_in(), self.models());
        expect("reports", "length", reports.len(), models, "one a model")?;
        if let Some(x_hat) = &x_hat {
            expect("x_hat", "batch", x_hat.batch(), models, "one a model")?;
            expect("x_hat", "rows", x_hat.rows(), n, "the samples of x")?;
            expect("x_hat", "columns", x_hat.cols(), d_in, "d_in")?;
        }
        for (part, of_samples) in [(0..n, true), (n..rows, false)] {
            if !part.is_empty() {
                self.encode_rows(backend, samples.x, part, of_samples)?;
            }
        }
        for sum in &mut self.mean {
            *sum = T::from_f64(sum.to_f64() / n as f64);
        }

        self.penalise(n, average, reports)?;
        self.drop_units(rows, average);

        // What all models have in common.
        let cfg = self.cfgs[0];
        let scale = cfg.loss_scale(n, d_in);
        self.decode_rows(backend, samples, 0..n, scale, x_hat.take())?;
        self.decay(backend, n, reports)?;
        for (report, &loss_sum) in reports.iter_mut().zip(&self.loss_sums) {
            report.reconstruction = scale * loss_sum;
            report.loss = report.reconstruction + report.sparsity + report.weight_decay;
            report.loss_sum = loss_sum;
        }
        if rows > n {
            let scale = samples.gamma * scale;
            self.decode_rows(backend, samples, n..rows, scale, None)?;
            for (report, &loss_sum) in reports.iter_mut().zip(&self.loss_sums) {
                report.denoising = scale * loss_sum;
                report.loss += report.denoising;
            }
        }
        Ok(())
    }

    /// Fills `rows` of `delta_out`, `loss_sums`, and `b_dec_grad`, to which rows behind the samples add.
    fn decode_rows(
        &mut self,
        backend: &mut dyn Backend<T>,
        samples: &Samples<'_, T>,
        rows: Range<usize>,
        scale: f64,
        x_hat: Option<MatMut<'_, T>>,
    ) -> Result {
        let cfg = &self.cfgs[0];
        let [_, paired] = &mut self.paired_grads;
        let is_first = rows.start == 0;
        backend.decode(Decode {
            h: code(&self.dropped, &self.h).view().row_range(rows.clone())?,
            w: self.weights.w_dec.view(),
            bias: &self.weights.b_dec,
            activation: cfg.output,
            target: samples.target,
            loss: cfg.loss,
            scale: T::from_f64(scale),
            delta: self.delta_out.view_mut().row_range(rows)?,
            bias_grad: Some(if is_first { &mut self.b_dec_grad } else { &mut *paired }),
            x_hat,
            loss_sum: &mut self.loss_sums,
        })?;
        if !is_first {
            self.b_dec_grad.iter_mut().zip(paired).for_each(|(sum, part)| *sum += *part);
        }
        Ok(())
    }

    /// Begins the reports with what the penalty is; fills `rho_hat` and, for KL, `row_term [d_hid] = β·dKL/dh_ij`.
    fn penalise(&mut self, n: usize, average: Average, reports: &mut [StepReport]) -> Result {
        self.rho_hat.copy_from_slice(&self.mean);
        let d_hid = self.d_hid();
        for (model, report) in reports.iter_mut().enumerate() {
            let units = model * d_hid..(model + 1) * d_hid;
            let (mut sparsity, mut clamped) = (0.0, 0);
            match self.cfgs[model].penalty {
                Penalty::None => {}
                Penalty::L1 { beta } => sparsity = beta.to_f64() / n as f64 * self.absolute_sum(model, n)?,
                Penalty::Kl { rho, beta, average: over } => {
                    let (rho, beta) = (rho.to_f64(), beta.to_f64());
                    let share = over.batch_share(average == Average::Configured && self.steps[model] > 0);
                    let mut divergences = Divergences::from(rho);
                    let (rho_hat, row_term) = (&mut self.rho_hat[units.clone()], &mut self.row_term[units.clone()]);
                    for ((r, past), term) in rho_hat.iter_mut().zip(&self.ema[units.clone()]).zip(row_term) {
                        if share != 1.0 {
                            *r = T::from_f64((1.0 - share) * past.to_f64() + share * r.to_f64());
                        }
                        *term = T::from_f64(beta * share / n as f64 * divergences.add(r.to_f64()));
                    }
                    (sparsity, clamped) = (beta * divergences.sum(), divergences.clamped());
                }
            }
            let rho_hat_mean = self.rho_hat[units].iter().map(|r| r.to_f64()).sum::<f64>() / d_hid as f64;
            *report = StepReport { n, sparsity, clamped, rho_hat_mean, ..StepReport::default() };
        }
        Ok(())
    }

    /// `Σ_ij |h_ij|` of a model over the first `n` rows.
    fn absolute_sum(&self, model: usize, n: usize) -> Result<f64> {
        if matches!(self.cfgs[model].hidden, Activation::Sigmoid | Activation::Relu) {
            // No element is negative: the sums over columns have it.
            return Ok(self.batch_mean(model).iter().map(|m| m.to_f64()).sum::<f64>() * n as f64);
        }
        let h = self.hidden(model, n)?;
        let row = |i| (0..h.cols()).map(move |j| h.at(0, i, j).to_f64().abs()).sum::<f64>();
        Ok((0..n).map(row).sum())
    }

    /// The weight decay's term of each report, where it is wanted and there is one.
    fn decay(&mut self, backend: &mut dyn Backend<T>, n: usize, reports: &mut [StepReport]) -> Result {
        let decays = |cfg: &super::StepConfig<T>| cfg.decay_in_loss() && cfg.decay_rate(n) != 0.0;
        if !self.report_weight_decay || !self.cfgs.iter().any(decays) {
            return Ok(());
        }
        // Summed in the reports, tensor after tensor.
        let tied = self.cfgs[0].tied;
        for w in [(!tied).then_some(&self.weights.w_enc), Some(&self.weights.w_dec)].into_iter().flatten() {
            backend.sum_of_squares(w.view(), &mut self.squares)?;
            for (report, &squares) in reports.iter_mut().zip(&self.squares) {
                report.weight_decay += squares;
            }
        }
        for (report, cfg) in reports.iter_mut().zip(&self.cfgs) {
            let rate = if cfg.decay_in_loss() { cfg.decay_rate(n) } else { 0.0 };
            report.weight_decay = if rate == 0.0 { 0.0 } else { 0.5 * rate * report.weight_decay };
        }
        Ok(())
    }
}
