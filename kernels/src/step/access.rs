//! What a step holds: sizes, weights, averages, and its state for checkpoints.
//!
//! A `model` beyond the last is an error where there are errors, and panics as any index does where there are none.

use crate::backend::Backend;
use crate::error::{Error, expect};
use crate::ops::Result;
use crate::real::Real;
use crate::view::MatRef;

use super::parameters::{Parameters, row_major, transpose};
use super::{BatchedStep, Penalty, RhoHat, State, StepConfig};

impl<T: Real> BatchedStep<T> {
    /// How many models there are.
    pub fn models(&self) -> usize {
        self.cfgs.len()
    }

    /// Input width.
    pub fn d_in(&self) -> usize {
        self.weights.widths().0
    }

    /// Hidden width.
    pub fn d_hid(&self) -> usize {
        self.weights.widths().1
    }

    /// The most samples a batch may have.
    pub fn max_batch(&self) -> usize {
        self.h.layout().rows()
    }

    /// The configurations, one a model.
    pub fn configs(&self) -> &[StepConfig<T>] {
        &self.cfgs
    }

    /// A copy of a model's weights.
    pub fn weights(&self, model: usize) -> Parameters<T> {
        let mut weights = self.weights.to_parameters(model);
        if self.cfgs[0].tied {
            weights.w_enc = row_major(self.w_enc().problem(model));
        }
        weights
    }

    /// Overwrites a model's weights. The optimiser's state stays.
    ///
    /// # Errors
    /// [`Error::Shape`], and [`Error::Scalar`] where there is no such model, or where weights should be tied and are not; the weights
    /// are then as they were.
    pub fn set_weights(&mut self, model: usize, weights: &Parameters<T>) -> Result {
        self.is_there(model)?;
        if self.cfgs[0].tied {
            self.check_tied(weights)?;
        }
        self.weights.copy_from(model, weights)?;
        transpose(model, &self.weights.w_dec, &mut self.w_dec_t);
        Ok(())
    }

    /// Whether `w_dec` is the transpose of `w_enc`.
    fn check_tied(&self, weights: &Parameters<T>) -> Result {
        self.weights.check(weights)?;
        let (d_in, d_hid) = (self.d_in(), self.d_hid());
        let transposed = |at: usize| weights.w_dec[at % d_hid * d_in + at / d_hid];
        match (0..d_in * d_hid).find(|&at| weights.w_enc[at] != transposed(at)) {
            None => Ok(()),
            Some(at) => Err(Error::Scalar {
                name: "w_enc",
                found: format!("{} at ({}, {})", weights.w_enc[at], at / d_hid, at % d_hid),
                expected: "the transpose of w_dec, with tied weights",
            }),
        }
    }

    /// The encoders' weights `[d_in, d_hid]`, a problem a model, in place.
    pub fn w_enc(&self) -> MatRef<'_, T> {
        if self.cfgs[0].tied { self.w_dec_t.view() } else { self.weights.w_enc.view() }
    }

    /// The decoders' weights `[d_hid, d_in]`, a problem a model, in place.
    pub fn w_dec(&self) -> MatRef<'_, T> {
        self.weights.w_dec.view()
    }

    /// `‖w_enc‖² + ‖w_dec‖²` of each model, one element a model; with tied weights `‖w_dec‖²`.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn squared_norms(&self, backend: &mut dyn Backend<T>, norms: &mut [f64]) -> Result {
        if self.cfgs[0].tied {
            return backend.sum_of_squares(self.w_dec(), norms);
        }
        backend.sum_of_squares(self.w_enc(), norms)?;
        for (model, norm) in norms.iter_mut().enumerate() {
            let mut decoder = [0.0];
            backend.sum_of_squares(self.w_dec().problem(model), &mut decoder)?;
            *norm += decoder[0];
        }
        Ok(())
    }

    /// A model's hidden activations of the last pass's first `n` samples.
    ///
    /// # Errors
    /// [`Error::Shape`] where `n` is more than `max_batch`, [`Error::Scalar`] where there is no such model.
    pub fn hidden(&self, model: usize, n: usize) -> Result<MatRef<'_, T>> {
        self.is_there(model)?;
        Ok(self.h.top(n)?.problem(model))
    }

    /// `[d_hid]`: a model's mean activations of the last pass's batch.
    pub fn batch_mean(&self, model: usize) -> &[T] {
        self.units(model, &self.mean)
    }

    /// `[d_hid]`: a model's ρ̂ of the last pass, moving average included where the pass had one. Not clamped.
    pub fn rho_hat(&self, model: usize) -> &[T] {
        self.units(model, &self.rho_hat)
    }

    fn units<'a>(&self, model: usize, all: &'a [T]) -> &'a [T] {
        let d_hid = self.d_hid();
        &all[model * d_hid..][..d_hid]
    }

    /// Steps a model has taken.
    pub fn steps(&self, model: usize) -> u64 {
        self.steps[model]
    }

    /// A copy of what is remembered of a model besides its weights, for a checkpoint.
    pub fn state(&self, model: usize) -> State<T> {
        let [m, v] = self.moments.of(model, self.cfgs[model].rule);
        let kept = self.has_ema(model) && self.steps[model] > 0;
        State { step: self.steps[model], m, v, rho_hat: kept.then(|| self.units(model, &self.ema).to_vec()) }
    }

    /// Goes on with a model from a checkpoint.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::MissingState`] where the state is of another model or rule, [`Error::Scalar`] where there
    /// is no such model; nothing is then changed.
    pub fn set_state(&mut self, model: usize, state: &State<T>) -> Result {
        self.is_there(model)?;
        self.moments.check(self.cfgs[model].rule, state)?;
        let kept = if self.has_ema(model) && state.step > 0 { self.d_hid() } else { 0 };
        let given = state.rho_hat.as_deref().unwrap_or_default();
        expect("rho_hat", "length", given.len(), kept, "d_hid where a moving average has begun, else none")?;
        self.moments.copy_from(model, state)?;
        let from = model * self.d_hid();
        self.ema[from..from + kept].copy_from_slice(given);
        self.steps[model] = state.step;
        Ok(())
    }

    pub(super) fn is_there(&self, model: usize) -> Result {
        let beyond = || Error::Scalar {
            name: "model",
            found: model.to_string(),
            expected: "the number of a model, counted from 0",
        };
        if model < self.models() { Ok(()) } else { Err(beyond()) }
    }

    fn has_ema(&self, model: usize) -> bool {
        matches!(self.cfgs[model].penalty, Penalty::Kl { average: RhoHat::Ema { .. }, .. })
    }
}
