//! What a step holds: sizes, weights, averages, and its state for checkpoints.

use crate::backend::Backend;
use crate::error::{Error, expect};
use crate::real::Real;
use crate::view::MatRef;

use super::parameters::{Parameters, Tensors, transpose};
use super::{Penalty, RhoHat, State, Step, StepConfig};

impl<T: Real> Step<T> {
    /// Input width.
    pub fn d_in(&self) -> usize {
        self.weights.b_dec.len()
    }

    /// Hidden width.
    pub fn d_hid(&self) -> usize {
        self.weights.b_enc.len()
    }

    /// The most samples a batch may have.
    pub fn max_batch(&self) -> usize {
        self.h.layout().rows()
    }

    /// The configuration.
    pub fn config(&self) -> &StepConfig<T> {
        &self.cfg
    }

    /// A copy of the weights.
    pub fn weights(&self) -> Parameters<T> {
        self.weights.to_parameters()
    }

    /// Overwrites the weights. The optimiser's state stays.
    ///
    /// # Errors
    /// [`Error::Shape`]; the weights are then as they were.
    pub fn set_weights(&mut self, weights: &Parameters<T>) -> Result<(), Error> {
        self.weights.copy_from(weights)?;
        transpose(&self.weights.w_dec, &mut self.w_dec_t);
        Ok(())
    }

    /// The encoder's weights `[d_in, d_hid]`, in place.
    pub fn w_enc(&self) -> MatRef<'_, T> {
        self.weights.w_enc.view()
    }

    /// The decoder's weights `[d_hid, d_in]`, in place.
    pub fn w_dec(&self) -> MatRef<'_, T> {
        self.weights.w_dec.view()
    }

    /// `‖w_enc‖² + ‖w_dec‖²`.
    pub fn squared_norm(&self, backend: &mut dyn Backend<T>) -> f64 {
        backend.sum_of_squares(self.weights.w_enc.view()) + backend.sum_of_squares(self.weights.w_dec.view())
    }

    /// The hidden activations of the last pass's first `n` samples.
    ///
    /// # Errors
    /// [`Error::Shape`] where `n` is more than `max_batch`.
    pub fn hidden(&self, n: usize) -> Result<MatRef<'_, T>, Error> {
        self.h.top(n)
    }

    /// `[d_hid]`: the mean activations of the last pass's batch.
    pub fn batch_mean(&self) -> &[T] {
        &self.mean
    }

    /// `[d_hid]`: the ρ̂ of the last pass, moving average included where the pass had one. Not clamped.
    pub fn rho_hat(&self) -> &[T] {
        &self.rho_hat
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// A copy of what is remembered besides the weights, for a checkpoint.
    pub fn state(&self) -> State<T> {
        State {
            step: self.steps,
            m: self.moments.m.as_ref().map(Tensors::to_parameters),
            v: self.moments.v.as_ref().map(Tensors::to_parameters),
            rho_hat: (self.has_ema() && self.steps > 0).then(|| self.ema.clone()),
        }
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::MissingState`] where the state is of another model or rule; nothing is then changed.
    pub fn set_state(&mut self, state: &State<T>) -> Result<(), Error> {
        self.moments.check(self.cfg.rule, state)?;
        let kept = if self.has_ema() && state.step > 0 { self.d_hid() } else { 0 };
        let given = state.rho_hat.as_deref().unwrap_or_default();
        expect("rho_hat", "length", given.len(), kept, "d_hid where a moving average has begun, else none")?;
        self.moments.copy_from(state)?;
        self.ema[..kept].copy_from_slice(given);
        self.steps = state.step;
        Ok(())
    }

    fn has_ema(&self) -> bool {
        matches!(self.cfg.penalty, Penalty::Kl { average: RhoHat::Ema { .. }, .. })
    }
}
