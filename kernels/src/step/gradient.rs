//! The backward pass.

use crate::backend::Backend;
use crate::layout::Layout;
use crate::ops::{Form, Gemm, GradSink, HiddenDelta, Result, WeightGrad};
use crate::real::Real;
use crate::view::{MatMut, MatRef};

use super::dropout::{Dropped, code};
use super::forward::Average;
use super::input::Samples;
use super::parameters::Tensors;
use super::{BatchedStep, Input, Parameters, Penalty, Selection, StepConfig, StepReport};

impl<T: Real> BatchedStep<T> {
    /// The gradient of [`BatchedStep::objective`] for each model, as [`BatchedStep::objective_and_gradients`] has it.
    ///
    /// # Errors
    /// As [`BatchedStep::train_step`].
    pub fn gradients<'x>(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: impl Into<Input<'x, T>>,
    ) -> Result<Vec<Parameters<T>>> {
        let mut reports = vec![StepReport::default(); self.models()];
        self.objective_and_gradients(backend, x, &mut reports)
    }

    /// The reports of [`BatchedStep::objective`] and its gradient for each model: for optimisers of the caller's, and for
    /// checks. The weight decay is in it where it is part of the objective. Where weights are tied, `w_dec` is the gradient by
    /// the one matrix there is, and `w_enc` its transpose. Nothing is updated.
    ///
    /// # Errors
    /// As [`BatchedStep::train_step`].
    pub fn objective_and_gradients<'x>(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: impl Into<Input<'x, T>>,
        reports: &mut [StepReport],
    ) -> Result<Vec<Parameters<T>>> {
        let samples = self.fit(x)?;
        self.forward(backend, &samples, None, Average::Configured, reports)?;
        self.backward_hidden(backend, &samples)?;

        let (d_in, d_hid, tied) = (self.d_in(), self.d_hid(), self.cfgs[0].tied);
        let mut grad = Tensors::zeros(self.models(), d_in, d_hid, self.panel)?;
        grad.b_enc.copy_from_slice(&self.b_enc_grad);
        grad.b_dec.copy_from_slice(&self.b_dec_grad);
        self.weight_gradients(backend, &samples, [grad.w_enc.view_mut(), grad.w_dec.view_mut()])?;

        let with_decay = |(model, cfg): (usize, &StepConfig<T>)| {
            let (mut grad, w) = (grad.to_parameters(model), self.weights(model));
            if cfg.decay_in_loss() {
                let rate = T::from_f64(cfg.decay_rate(samples.n));
                for (g, w) in [(&mut grad.w_enc, &w.w_enc), (&mut grad.w_dec, &w.w_dec)] {
                    g.iter_mut().zip(w).for_each(|(g, &w)| *g = rate.mul_add(w, *g));
                }
            }
            if tied {
                grad.w_enc = (0..d_in * d_hid).map(|at| grad.w_dec[at % d_hid * d_in + at / d_hid]).collect();
            }
            grad
        };
        Ok(self.cfgs.iter().enumerate().map(with_decay).collect())
    }

    /// The gradients of the weights without their decay; where they are tied, in the second alone.
    fn weight_gradients(
        &self,
        backend: &mut dyn Backend<T>,
        samples: &Samples<'_, T>,
        [w_enc, mut w_dec]: [MatMut<'_, T>; 2],
    ) -> Result {
        let (rows, x) = (samples.rows(), samples.x);
        let (code, delta_out, delta_hid) =
            (code(&self.dropped, &self.h).top(rows)?, self.delta_out.top(rows)?, self.delta_hid.top(rows)?);
        if self.cfgs[0].tied {
            let c = w_dec.reborrow();
            backend.gemm(Gemm { form: Form::Tn, a: code, b: delta_out, c, accumulate: false })?;
            return backend.gemm(Gemm { form: Form::Tn, a: delta_hid, b: x, c: w_dec, accumulate: true });
        }
        backend.weight_grad(WeightGrad { a: code, delta: delta_out, sink: GradSink::Store(w_dec) })?;
        backend.weight_grad(WeightGrad { a: x, delta: delta_hid, sink: GradSink::Store(w_enc) })
    }

    /// Stores the gradients of the weights, and, where they are wanted, their norms over all tensors.
    pub(super) fn store_gradients(
        &mut self,
        backend: &mut dyn Backend<T>,
        samples: &Samples<'_, T>,
        norms: bool,
    ) -> Result {
        let Some(mut stored) = self.stored.take() else { return Ok(()) };
        let [w_enc, w_dec] = &mut stored;
        let result = self.weight_gradients(backend, samples, [w_enc.view_mut(), w_dec.view_mut()]);
        self.stored = Some(stored);
        result?;
        if norms { self.sum_norms(backend) } else { Ok(()) }
    }

    fn sum_norms(&mut self, backend: &mut dyn Backend<T>) -> Result {
        let (models, d_in, d_hid, tied) = (self.models(), self.d_in(), self.d_hid(), self.cfgs[0].tied);
        let Some([w_enc, w_dec]) = &self.stored else { return Ok(()) };
        let row = |len: usize| Layout::row_major(1, len).batched(models, len);
        let b_enc = MatRef::new(&self.b_enc_grad, row(d_hid))?;
        let b_dec = MatRef::new(&self.b_dec_grad, row(d_in))?;
        self.norms.fill(0.0);
        for tensor in
            [(!tied).then(|| w_enc.view()), Some(b_enc), Some(w_dec.view()), Some(b_dec)].into_iter().flatten()
        {
            backend.sum_of_squares(tensor, &mut self.squares)?;
            self.norms.iter_mut().zip(&self.squares).for_each(|(norm, squares)| *norm += squares);
        }
        self.norms.iter_mut().for_each(|norm| *norm = norm.sqrt());
        Ok(())
    }

    /// `delta_hid` and `b_enc_grad`, from what the forward pass left.
    pub(super) fn backward_hidden(&mut self, backend: &mut dyn Backend<T>, samples: &Samples<'_, T>) -> Result {
        let (n, rows) = (samples.n, samples.rows());
        let any = |which: fn(&Penalty<T>) -> bool| self.cfgs.iter().any(|cfg| which(&cfg.penalty));
        let (has_kl, has_l1) = (any(|p| matches!(p, Penalty::Kl { .. })), any(|p| matches!(p, Penalty::L1 { .. })));
        for (l1, cfg) in self.l1.iter_mut().zip(&self.cfgs) {
            if let Penalty::L1 { beta } = cfg.penalty {
                *l1 = T::from_f64(beta.to_f64() / n as f64);
            }
        }
        let support = !matches!(self.cfgs[0].selection, Selection::All);
        let gate = self.dropped.as_ref().and_then(Dropped::gate);
        let [paired, _] = &mut self.paired_grads;
        for part in [0..n, n..rows] {
            if part.is_empty() {
                break;
            }
            let is_first = part.start == 0;
            backend.hidden_delta(HiddenDelta {
                delta_out: self.delta_out.view().row_range(part.clone())?,
                w_t: self.w_dec_t.view(),
                h: self.h.view().row_range(part.clone())?,
                activation: self.cfgs[0].hidden,
                support,
                gate: gate.map(|gate| gate.row_range(part.clone())).transpose()?,
                // The penalty is of the first part alone.
                row_term: (has_kl && is_first).then_some(&self.row_term),
                l1: (has_l1 && is_first).then_some(&self.l1),
                delta_hid: self.delta_hid.view_mut().row_range(part)?,
                bias_grad: Some(if is_first { &mut self.b_enc_grad } else { &mut *paired }),
            })?;
        }
        if rows > n {
            self.b_enc_grad.iter_mut().zip(paired).for_each(|(sum, part)| *sum += *part);
        }
        Ok(())
    }
}
