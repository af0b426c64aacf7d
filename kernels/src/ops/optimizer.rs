//! The optimisers' rules, with PyTorch's meaning and defaults.
//!
//! With `g` the gradient, `λ` the weight decay and `t` the step, counted from 1:
//!
//! | rule | `g ← g + λ·w`, or, where λ is decoupled, first `w ← w·(1 − lr·λ)` |
//! | --- | --- |
//! | SGD | `w ← w − lr·g` |
//! | momentum | `m ← μ·m + g`, `w ← w − lr·m` |
//! | Nesterov | `m ← μ·m + g`, `w ← w − lr·(g + μ·m)` |
//! | Adagrad | `v ← v + g²`, `w ← w − lr·g/(√v + ε)` |
//! | RMSprop | `v ← α·v + (1−α)·g²`, `w ← w − lr·g/(√v + ε)` |
//! | Adam | `m ← m + (1−β₁)·(g − m)`, `v ← v − (1−β₂)·(v − g²)`, `w ← w − lr/(1−β₁ᵗ) · m/(√v/√(1−β₂ᵗ) + ε)` |
//! | AdamW | Adam, λ decoupled always |
//!
//! Where the gradient is clipped, that comes first: λ·w is added to what is left, as PyTorch's optimisers do behind its
//! `clip_grad_value_` and `clip_grad_norm_`.

use crate::real::Real;

/// What an optimiser does with a gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule<T = f32> {
    /// Gradient descent.
    Sgd,
    /// Gradient descent with a momentum buffer (no dampening, not Nesterov's).
    Momentum {
        /// μ.
        momentum: T,
    },
    /// Gradient descent with Nesterov's momentum: the step that the momentum is about to take is taken ahead.
    Nesterov {
        /// μ.
        momentum: T,
    },
    /// Division by the root of the sum of all squares so far (no decay of the learning rate, sums from 0).
    Adagrad {
        /// ε.
        eps: T,
    },
    /// Division by a running root mean square.
    RmsProp {
        /// Decay of the running mean.
        alpha: T,
        /// ε.
        eps: T,
    },
    /// Adaptive moments; weight decay is part of the gradient.
    Adam {
        /// Decay of the first moment.
        beta1: T,
        /// Decay of the second moment.
        beta2: T,
        /// ε.
        eps: T,
    },
    /// Adaptive moments with decoupled weight decay.
    AdamW {
        /// Decay of the first moment.
        beta1: T,
        /// Decay of the second moment.
        beta2: T,
        /// ε.
        eps: T,
    },
}

impl<T: Real> Rule<T> {
    /// PyTorch's momentum, 0.9.
    pub fn momentum() -> Self {
        Self::Momentum { momentum: T::from_f64(0.9) }
    }

    /// PyTorch's SGD with `nesterov=True` and the usual momentum, 0.9.
    pub fn nesterov() -> Self {
        Self::Nesterov { momentum: T::from_f64(0.9) }
    }

    /// PyTorch's Adagrad: ε 1e-10.
    pub fn adagrad() -> Self {
        Self::Adagrad { eps: T::from_f64(1e-10) }
    }

    /// PyTorch's RMSprop: α 0.99, ε 1e-8.
    pub fn rmsprop() -> Self {
        Self::RmsProp { alpha: T::from_f64(0.99), eps: T::from_f64(1e-8) }
    }

    /// PyTorch's Adam: β₁ 0.9, β₂ 0.999, ε 1e-8.
    pub fn adam() -> Self {
        Self::Adam { beta1: T::from_f64(0.9), beta2: T::from_f64(0.999), eps: T::from_f64(1e-8) }
    }

    /// PyTorch's AdamW: β₁ 0.9, β₂ 0.999, ε 1e-8.
    pub fn adamw() -> Self {
        Self::AdamW { beta1: T::from_f64(0.9), beta2: T::from_f64(0.999), eps: T::from_f64(1e-8) }
    }

    /// Every rule with its defaults.
    pub fn all() -> [Self; 7] {
        let [nesterov, adagrad] = [Self::nesterov(), Self::adagrad()];
        [Self::Sgd, Self::momentum(), nesterov, adagrad, Self::rmsprop(), Self::adam(), Self::adamw()]
    }

    /// Its name in configs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::Momentum { .. } => "momentum",
            Self::Nesterov { .. } => "nesterov",
            Self::Adagrad { .. } => "adagrad",
            Self::RmsProp { .. } => "rmsprop",
            Self::Adam { .. } => "adam",
            Self::AdamW { .. } => "adamw",
        }
    }

    /// Whether it keeps a first moment or momentum buffer (`m`).
    pub const fn keeps_m(&self) -> bool {
        matches!(self, Self::Momentum { .. } | Self::Nesterov { .. } | Self::Adam { .. } | Self::AdamW { .. })
    }

    /// Whether it keeps a second moment (`v`).
    pub const fn keeps_v(&self) -> bool {
        matches!(self, Self::Adagrad { .. } | Self::RmsProp { .. } | Self::Adam { .. } | Self::AdamW { .. })
    }
}

/// A rule with the numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper<T = f32> {
    /// The rule.
    pub rule: Rule<T>,
    /// Learning rate.
    pub lr: T,
    /// Weight decay λ.
    pub decay: T,
    /// Whether it shrinks the weights by `1 − lr·λ` before the rule's step (I. Loshchilov, F. Hutter, "Decoupled weight decay
    /// regularization", 2019), instead of being added to the gradient as λ·w. For AdamW it always does.
    pub decoupled: bool,
    /// Steps taken, this one included (1 for the first).
    pub step: u64,
    /// What becomes of the gradient before the rule sees it.
    pub clip: Option<Clip<T>>,
}

/// A gradient held within bounds: `g ← clamp(scale·g, −limit, limit)`. NaN stays NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip<T = f32> {
    /// For clipping by norm: `min(1, max_norm/(norm + 1e-6))`, as PyTorch's `clip_grad_norm_`. 1 for none.
    pub scale: T,
    /// For clipping by value, as PyTorch's `clip_grad_value_`. ∞ for none.
    pub limit: T,
}

impl<T: Real> Clip<T> {
    /// Of one element.
    pub(crate) fn element(&self, g: T) -> T {
        let g = self.scale * g;
        if g > self.limit {
            self.limit
        } else if g < -self.limit {
            -self.limit
        } else {
            g
        }
    }
}

/// A [`Hyper`] reduced to what an element's update needs, computed once a call, in f64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coefficients<T> {
    pub(crate) rule: Rule<T>,
    pub(crate) clip: Option<Clip<T>>,
    pub(crate) lr: T,
    /// λ where it is part of the gradient.
    pub(crate) decay: T,
    /// `1 − lr·λ` where it is decoupled, else 1.
    pub(crate) shrink: T,
    /// μ.
    pub(crate) m_keep: T,
    /// `1 − β₁`.
    pub(crate) m_take: T,
    /// α; 1 for Adagrad.
    pub(crate) v_keep: T,
    /// `1 − α` or `1 − β₂`; 1 for Adagrad.
    pub(crate) v_take: T,
    /// `1/√(1 − β₂ᵗ)`.
    pub(crate) v_scale: T,
    pub(crate) eps: T,
}

impl<T: Real> Hyper<T> {
    pub(crate) fn coefficients(&self) -> Coefficients<T> {
        let (lr, decay) = (self.lr.to_f64(), self.decay.to_f64());
        let mut c = Coefficients {
            rule: self.rule,
            clip: self.clip,
            lr: self.lr,
            decay: self.decay,
            shrink: T::ONE,
            m_keep: T::ZERO,
            m_take: T::ZERO,
            v_keep: T::ZERO,
            v_take: T::ZERO,
            v_scale: T::ONE,
            eps: T::ZERO,
        };
        match self.rule {
            Rule::Sgd => {}
            Rule::Momentum { momentum } | Rule::Nesterov { momentum } => c.m_keep = momentum,
            Rule::Adagrad { eps } => {
                (c.v_keep, c.v_take) = (T::ONE, T::ONE);
                c.eps = eps;
            }
            Rule::RmsProp { alpha, eps } => {
                c.v_keep = alpha;
                c.v_take = T::from_f64(1.0 - alpha.to_f64());
                c.eps = eps;
            }
            Rule::Adam { beta1, beta2, eps } | Rule::AdamW { beta1, beta2, eps } => {
                let (b1, b2) = (beta1.to_f64(), beta2.to_f64());
                c.lr = T::from_f64(lr / (1.0 - power(b1, self.step)));
                c.m_take = T::from_f64(1.0 - b1);
                c.v_take = T::from_f64(1.0 - b2);
                c.v_scale = T::from_f64(1.0 / (1.0 - power(b2, self.step)).sqrt());
                c.eps = eps;
            }
        }
        if self.decoupled || matches!(self.rule, Rule::AdamW { .. }) {
            c.shrink = T::from_f64(1.0 - lr * decay);
            c.decay = T::ZERO;
        }
        c
    }
}

/// `base` to the power `exponent`, by squaring: the same bits on every platform, which the C library's `pow` is not.
fn power(base: f64, mut exponent: u64) -> f64 {
    let (mut result, mut square) = (1.0, base);
    while exponent > 0 {
        if exponent % 2 == 1 {
            result *= square;
        }
        square *= square;
        exponent /= 2;
    }
    result
}
