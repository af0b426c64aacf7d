//! What an optimiser remembers between steps.

use crate::error::{Error, expect};
use crate::ops::{Hyper, Result, Rule, UpdateMatrix, UpdateVector};
use crate::real::Real;

use super::parameters::{Parameters, Tensors};

/// All that a training step remembers besides the weights: what a checkpoint must hold for a run to go on bit for bit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State<T = f32> {
    /// Steps taken.
    pub step: u64,
    /// First moments or momentum buffers, where the rule keeps them.
    pub m: Option<Parameters<T>>,
    /// Second moments, where the rule keeps them.
    pub v: Option<Parameters<T>>,
    /// `[d_hid]`: the moving average ρ̂, where the penalty has one and a step was taken.
    pub rho_hat: Option<Vec<T>>,
}

/// The moments in the layout the backend works in.
#[derive(Clone, Debug)]
pub(super) struct Moments<T: Real> {
    pub(super) m: Option<Tensors<T>>,
    pub(super) v: Option<Tensors<T>>,
}

impl<T: Real> Moments<T> {
    pub(super) fn zeros(rule: Rule<T>, d_in: usize, d_hid: usize, panel: Option<usize>) -> Result<Self> {
        let zeros = || Tensors::zeros(d_in, d_hid, panel);
        Ok(Self { m: rule.keeps_m().then(zeros).transpose()?, v: rule.keeps_v().then(zeros).transpose()? })
    }

    /// Whether `from` is what the rule keeps.
    pub(super) fn check(&self, rule: Rule<T>, from: &State<T>) -> Result {
        for (state, own, given) in [("m", &self.m, &from.m), ("v", &self.v, &from.v)] {
            match (own, given) {
                (Some(own), Some(given)) => own.check(given)?,
                (Some(_), None) => return Err(Error::MissingState { rule: rule.name(), state }),
                (None, Some(_)) => expect(state, "tensors", 4, 0, "the rule keeps no such state")?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Takes over what [`Moments::check`] has passed.
    pub(super) fn copy_from(&mut self, from: &State<T>) -> Result {
        for (own, given) in [(&mut self.m, &from.m), (&mut self.v, &from.v)] {
            if let (Some(own), Some(given)) = (own, given) {
                own.copy_from(given)?;
            }
        }
        Ok(())
    }

    /// The update of `w.w_enc`.
    pub(super) fn w_enc<'a>(&'a mut self, hyper: Hyper<T>, w: &'a mut Tensors<T>) -> UpdateMatrix<'a, T> {
        UpdateMatrix {
            hyper,
            w: w.w_enc.view_mut(),
            w_t: None,
            m: self.m.as_mut().map(|m| m.w_enc.view_mut()),
            v: self.v.as_mut().map(|v| v.w_enc.view_mut()),
        }
    }

    /// The update of `w.w_dec`, without its transpose.
    pub(super) fn w_dec<'a>(&'a mut self, hyper: Hyper<T>, w: &'a mut Tensors<T>) -> UpdateMatrix<'a, T> {
        UpdateMatrix {
            hyper,
            w: w.w_dec.view_mut(),
            w_t: None,
            m: self.m.as_mut().map(|m| m.w_dec.view_mut()),
            v: self.v.as_mut().map(|v| v.w_dec.view_mut()),
        }
    }

    /// The update of `w.b_enc`.
    pub(super) fn b_enc<'a>(
        &'a mut self,
        hyper: Hyper<T>,
        w: &'a mut Tensors<T>,
        grad: &'a [T],
    ) -> UpdateVector<'a, T> {
        UpdateVector {
            hyper,
            w: &mut w.b_enc,
            grad,
            m: self.m.as_mut().map(|m| m.b_enc.as_mut_slice()),
            v: self.v.as_mut().map(|v| v.b_enc.as_mut_slice()),
        }
    }

    /// The update of `w.b_dec`.
    pub(super) fn b_dec<'a>(
        &'a mut self,
        hyper: Hyper<T>,
        w: &'a mut Tensors<T>,
        grad: &'a [T],
    ) -> UpdateVector<'a, T> {
        UpdateVector {
            hyper,
            w: &mut w.b_dec,
            grad,
            m: self.m.as_mut().map(|m| m.b_dec.as_mut_slice()),
            v: self.v.as_mut().map(|v| v.b_dec.as_mut_slice()),
        }
    }
}
