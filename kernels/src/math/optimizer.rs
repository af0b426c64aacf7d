//! The optimisers' rules on a vector of weights.

use std::marker::PhantomData;

use crate::ops::{Clip, Coefficients};
use crate::simd::Simd;

/// The numbers of a step, a vector each.
#[derive(Clone, Copy)]
pub(crate) struct By<S: Simd> {
    pub(crate) simd: S,
    lr: S::F,
    decay: S::F,
    shrink: S::F,
    m_keep: S::F,
    m_take: S::F,
    v_keep: S::F,
    v_take: S::F,
    v_scale: S::F,
    eps: S::F,
    scale: S::F,
    limit: S::F,
    limit_below: S::F,
}

impl<S: Simd> By<S> {
    #[inline(always)]
    pub(crate) fn new(simd: S, by: &Coefficients<f32>) -> Self {
        let clip = by.clip.unwrap_or(Clip { scale: 1.0, limit: f32::INFINITY });
        Self {
            simd,
            lr: simd.splat(by.lr),
            decay: simd.splat(by.decay),
            shrink: simd.splat(by.shrink),
            m_keep: simd.splat(by.m_keep),
            m_take: simd.splat(by.m_take),
            v_keep: simd.splat(by.v_keep),
            v_take: simd.splat(by.v_take),
            v_scale: simd.splat(by.v_scale),
            eps: simd.splat(by.eps),
            scale: simd.splat(clip.scale),
            limit: simd.splat(clip.limit),
            limit_below: simd.splat(-clip.limit),
        }
    }

    /// The gradient, clipped.
    #[inline(always)]
    fn clipped(&self, g: S::F) -> S::F {
        let s = self.simd;
        let g = s.mul(self.scale, g);
        // Comparisons with NaN are false: it stays.
        let g = s.select(s.gt(g, self.limit), self.limit, g);
        s.select(s.lt(g, self.limit_below), self.limit_below, g)
    }

    /// The gradient with that of the weight decay.
    #[inline(always)]
    pub(crate) fn decayed(&self, g: S::F, w: S::F) -> S::F {
        self.simd.mul_add(self.decay, w, g)
    }

    /// The velocity of gradient descent with momentum.
    #[inline(always)]
    fn velocity(&self, g: S::F, m: S::F) -> S::F {
        self.simd.mul_add(self.m_keep, m, g)
    }

    /// The moving sum of the squares.
    #[inline(always)]
    fn squares(&self, g: S::F, v: S::F) -> S::F {
        let s = self.simd;
        s.mul_add(self.v_keep, v, s.mul(s.mul(self.v_take, g), g))
    }

    /// Adam's moving average of the gradients, `m + (1 − β₁)·(g − m)`: a difference costs no multiplier.
    #[inline(always)]
    pub(crate) fn average(&self, g: S::F, m: S::F) -> S::F {
        let s = self.simd;
        s.mul_add(self.m_take, s.sub(g, m), m)
    }

    /// Adam's moving average of their squares, `v − (1 − β₂)·(v − g²)`: never below zero, as what is taken off is
    /// never rounded to more than `v`.
    #[inline(always)]
    pub(crate) fn average_of_squares(&self, g: S::F, v: S::F) -> S::F {
        let s = self.simd;
        s.neg_mul_add(self.v_take, s.neg_mul_add(g, g, v), v)
    }

    /// Where Adam's weights go.
    #[inline(always)]
    pub(crate) fn direction(&self, m: S::F, v: S::F) -> S::F {
        let s = self.simd;
        s.div(m, s.mul_add(s.sqrt(v), self.v_scale, self.eps))
    }

    /// The weights, shrunk by a decoupled decay and moved along `step` by the learning rate.
    #[inline(always)]
    pub(crate) fn moved(&self, w: S::F, step: S::F) -> S::F {
        self.simd.neg_mul_add(self.lr, step, self.simd.mul(self.shrink, w))
    }
}

/// The formulas of [`Rule`] on one vector: `(w, m, v)` of the step before to those after. State a rule does not keep comes and
/// goes as zero.
pub(crate) trait Formula {
    const FIRST: bool;
    const SECOND: bool;

    /// The gradient as the rule takes it, before the weight decay.
    #[inline(always)]
    fn gradient<S: Simd>(_: &By<S>, g: S::F) -> S::F {
        g
    }

    /// The step by a gradient with that of the weight decay.
    fn step<S: Simd>(by: &By<S>, g: S::F, w: S::F, m: S::F, v: S::F) -> (S::F, S::F, S::F);
}

pub(crate) struct Sgd;
pub(crate) struct Momentum;
pub(crate) struct Nesterov;
pub(crate) struct RmsProp;
pub(crate) struct Adam;
/// A formula whose gradient is clipped first.
pub(crate) struct Clipped<F>(PhantomData<F>);

impl Formula for Sgd {
    const FIRST: bool = false;
    const SECOND: bool = false;

    #[inline(always)]
    fn step<S: Simd>(by: &By<S>, g: S::F, w: S::F, m: S::F, v: S::F) -> (S::F, S::F, S::F) {
        (by.moved(w, g), m, v)
    }
}

impl Formula for Momentum {
    const FIRST: bool = true;
    const SECOND: bool = false;

    #[inline(always)]
    fn step<S: Simd>(by: &By<S>, g: S::F, w: S::F, m: S::F, v: S::F) -> (S::F, S::F, S::F) {
        let m = by.velocity(g, m);
        (by.moved(w, m), m, v)
    }
}

impl Formula for Nesterov {
    const FIRST: bool = true;
    const SECOND: bool = false;

    #[inline(always)]
    fn step<S: Simd>(by: &By<S>, g: S::F, w: S::F, m: S::F, v: S::F) -> (S::F, S::F, S::F) {
        let m = by.velocity(g, m);
        (by.moved(w, by.velocity(g, m)), m, v)
    }
}

impl Formula for RmsProp {
    const FIRST: bool = false;
    const SECOND: bool = true;

    #[inline(always)]
    fn step<S: Simd>(by: &By<S>, g: S::F, w: S::F, m: S::F, v: S::F) -> (S::F, S::F, S::F) {
        let (s, v) = (by.simd, by.squares(g, v));
        let step = s.div(g, s.add(s.sqrt(v), by.eps));
        (by.moved(w, step), m, v)
    }
}

impl Formula for Adam {
    const FIRST: bool = true;
    const SECOND: bool = true;

    #[inline(always)]
    fn step<S: Simd>(by: &By<S>, g: S::F, w: S::F, m: S::F, v: S::F) -> (S::F, S::F, S::F) {
        let (m, v) = (by.average(g, m), by.average_of_squares(g, v));
        (by.moved(w, by.direction(m, v)), m, v)
    }
}

impl<F: Formula> Formula for Clipped<F> {
    const FIRST: bool = F::FIRST;
    const SECOND: bool = F::SECOND;

    #[inline(always)]
    fn gradient<S: Simd>(by: &By<S>, g: S::F) -> S::F {
        by.clipped(g)
    }

    #[inline(always)]
    fn step<S: Simd>(by: &By<S>, g: S::F, w: S::F, m: S::F, v: S::F) -> (S::F, S::F, S::F) {
        F::step(by, g, w, m, v)
    }
}
