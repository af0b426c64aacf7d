//! What an optimiser remembers between steps.

use crate::error::{Error, expect};
use crate::matrix::Matrix;
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

/// The moments of every model, in the layout the backend works in.
#[derive(Clone, Debug)]
pub(super) struct Moments<T: Real> {
    m: Option<Tensors<T>>,
    v: Option<Tensors<T>>,
}

impl<T: Real> Moments<T> {
    /// Zeros for the moments that one of the rules keeps.
    pub(super) fn zeros(
        rules: impl Iterator<Item = Rule<T>> + Clone,
        zeros: impl Fn() -> Result<Tensors<T>>,
    ) -> Result<Self> {
        let keeps = |which: fn(&Rule<T>) -> bool| rules.clone().any(|rule| which(&rule));
        Ok(Self {
            m: keeps(Rule::keeps_m).then(&zeros).transpose()?,
            v: keeps(Rule::keeps_v).then(&zeros).transpose()?,
        })
    }

    /// What the rule of a model has kept for it.
    pub(super) fn of(&self, model: usize, rule: Rule<T>) -> [Option<Parameters<T>>; 2] {
        [(rule.keeps_m(), &self.m), (rule.keeps_v(), &self.v)]
            .map(|(keeps, tensors)| tensors.as_ref().filter(|_| keeps).map(|tensors| tensors.to_parameters(model)))
    }

    /// Whether `from` is what the rule keeps.
    pub(super) fn check(&self, rule: Rule<T>, from: &State<T>) -> Result {
        let kept = [("m", rule.keeps_m(), &self.m, &from.m), ("v", rule.keeps_v(), &self.v, &from.v)];
        for (state, keeps, own, given) in kept {
            match (own.as_ref().filter(|_| keeps), given) {
                (Some(own), Some(given)) => own.check(given)?,
                (Some(_), None) => return Err(Error::MissingState { rule: rule.name(), state }),
                (None, Some(_)) => expect(state, "tensors", 4, 0, "the rule keeps no such state")?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Takes over what [`Moments::check`] has passed.
    pub(super) fn copy_from(&mut self, model: usize, from: &State<T>) -> Result {
        for (own, given) in [(&mut self.m, &from.m), (&mut self.v, &from.v)] {
            if let (Some(own), Some(given)) = (own, given) {
                own.copy_from(model, given)?;
            }
        }
        Ok(())
    }

    /// The update of `w.w_enc`.
    pub(super) fn w_enc<'a>(&'a mut self, hyper: &'a [Hyper<T>], w: &'a mut Tensors<T>) -> UpdateMatrix<'a, T> {
        UpdateMatrix {
            hyper,
            w: w.w_enc.view_mut(),
            w_t: None,
            m: self.m.as_mut().map(|m| m.w_enc.view_mut()),
            v: self.v.as_mut().map(|v| v.w_enc.view_mut()),
        }
    }

    /// The update of `w.w_dec` and of its transposed copy.
    pub(super) fn w_dec<'a>(
        &'a mut self,
        hyper: &'a [Hyper<T>],
        w: &'a mut Tensors<T>,
        w_t: &'a mut Matrix<T>,
    ) -> UpdateMatrix<'a, T> {
        UpdateMatrix {
            hyper,
            w: w.w_dec.view_mut(),
            w_t: Some(w_t.view_mut()),
            m: self.m.as_mut().map(|m| m.w_dec.view_mut()),
            v: self.v.as_mut().map(|v| v.w_dec.view_mut()),
        }
    }

    /// The update of `w.b_enc`.
    pub(super) fn b_enc<'a>(
        &'a mut self,
        hyper: &'a [Hyper<T>],
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
        hyper: &'a [Hyper<T>],
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
