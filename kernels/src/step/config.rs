//! What is trained, by which objective: the numbers that stay the same from step to step.

use crate::error::Error;
use crate::ops::{Activation, Clip, Loss, Result, Rule};
use crate::real::Real;

use super::dropout::Dropout;
use super::penalty::{Penalty, RhoHat};
use super::selection::Selection;

/// The objective and the optimiser of a [`Step`](super::Step).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepConfig<T = f32> {
    /// f: `h = f(x·w_enc + b_enc)`.
    pub hidden: Activation,
    /// g: `x_hat = g(h·w_dec + b_dec)`.
    pub output: Activation,
    /// ℓ.
    pub loss: Loss,
    /// What ℓ and the weight decay are divided by.
    pub convention: Convention,
    /// λ. Acts on the weight matrices, not on the biases.
    pub weight_decay: T,
    /// Whether it shrinks the weights by `1 − lr·λ` in each step, and is no part of the objective. For [`Rule::AdamW`] it
    /// always does.
    pub decoupled_decay: bool,
    /// Whether the decoder has the encoder's weights, transposed: one matrix, whose gradient is the sum of both, and which the
    /// weight decay counts once.
    pub tied: bool,
    /// What keeps the hidden activations sparse.
    pub penalty: Penalty<T>,
    /// Which of them stay.
    pub selection: Selection<T>,
    /// Which of those that stay the decoder does not get to see in training.
    pub dropout: Option<Dropout<T>>,
    /// The optimiser.
    pub rule: Rule<T>,
    /// The largest norm of the gradient over all four tensors: a larger one is scaled by `clip_norm/(norm + 1e-6)`, as
    /// PyTorch's `clip_grad_norm_` does. The weight decay is no part of that gradient: it is added behind, as PyTorch's
    /// optimisers do. The gradients are stored for it, as [`BatchedStep::report_gradient_norm`] says.
    ///
    /// [`BatchedStep::report_gradient_norm`]: super::BatchedStep::report_gradient_norm
    pub clip_norm: Option<T>,
    /// The largest size of an element of the gradient, behind `clip_norm` where both are given, before the weight decay
    /// as there. As PyTorch's `clip_grad_value_`; costs next to nothing.
    pub clip_value: Option<T>,
}

/// How the objective depends on the batch size `n` and the width `d_in`.
///
/// | | per element | per sample |
/// | --- | --- | --- |
/// | squared error | `1/(n·d_in)·‖x̂ − x‖²` | `1/(2n)·‖x̂ − x‖²` |
/// | BCE | `1/(n·d_in)·Σ` | `1/n·Σ` |
/// | weight decay | `λ/(2n)·(‖w_enc‖² + ‖w_dec‖²)` | `λ/2·(‖w_enc‖² + ‖w_dec‖²)` |
/// | penalty | as given | as given |
///
/// `n` is the number of rows of the batch at hand, a shorter last one included. With the squared error the two agree, up
/// to the factor `J_e = 2/d_in·J_s`, where `β_e = 2β_s/d_in` and `λ_e = 2nλ_s/d_in`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Convention {
    /// Mean over elements, as PyTorch's `MSELoss`.
    PerElement,
    /// Sum over a sample's elements, mean over samples, as in the UFLDL notes.
    PerSample,
}

impl Convention {
    /// Both.
    pub const ALL: [Self; 2] = [Self::PerElement, Self::PerSample];

    /// Its name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerElement => "per_element",
            Self::PerSample => "per_sample",
        }
    }
}

impl<T: Real> StepConfig<T> {
    /// A plain sparse autoencoder: sigmoids, squared error per sample, no penalty, no weight decay, Adam.
    pub fn new() -> Self {
        Self {
            hidden: Activation::Sigmoid,
            output: Activation::Sigmoid,
            loss: Loss::Squared,
            convention: Convention::PerSample,
            weight_decay: T::ZERO,
            decoupled_decay: false,
            tied: false,
            penalty: Penalty::None,
            selection: Selection::All,
            dropout: None,
            rule: Rule::adam(),
            clip_norm: None,
            clip_value: None,
        }
    }

    /// The factor of Σℓ in the objective, for `n` samples of width `d_in` ([`Loss::Squared`] has its own ½).
    pub(super) fn loss_scale(&self, n: usize, d_in: usize) -> f64 {
        let (n, d_in) = (n as f64, d_in as f64);
        match (self.convention, self.loss) {
            (Convention::PerSample, _) => 1.0 / n,
            (Convention::PerElement, Loss::Squared) => 2.0 / (n * d_in),
            (Convention::PerElement, Loss::Bce) => 1.0 / (n * d_in),
        }
    }

    /// The factor of w in the gradient of the weight decay, `n` samples a batch, also where it is decoupled.
    pub(super) fn decay_rate(&self, n: usize) -> f64 {
        let lambda = self.weight_decay.to_f64();
        match self.convention {
            Convention::PerElement if self.decay_in_loss() => lambda / n as f64,
            _ => lambda,
        }
    }

    /// Whether its step needs the gradients of the weights in memory.
    pub(super) fn stores_gradients(&self) -> bool {
        self.tied || self.clip_norm.is_some()
    }

    /// What becomes of a gradient of this norm; NaN where it is not known, which no `clip_norm` asks about.
    pub(super) fn clip(&self, norm: f64) -> Option<Clip<T>> {
        let scale = self.clip_norm.map_or(1.0, |most| {
            let ratio = most.to_f64() / (norm + 1e-6);
            // Not `min`: NaN has to stay.
            if ratio > 1.0 { 1.0 } else { ratio }
        });
        let limit = self.clip_value.unwrap_or(T::from_f64(f64::INFINITY));
        (self.clip_norm.is_some() || self.clip_value.is_some()).then(|| Clip { scale: T::from_f64(scale), limit })
    }

    /// Whether the weight decay is a term of the objective.
    pub(super) fn decay_in_loss(&self) -> bool {
        !self.decoupled_decay && !matches!(self.rule, Rule::AdamW { .. })
    }

    /// Whether it can be in one batch with `first`.
    pub(super) fn agrees(&self, first: &Self) -> Result {
        for (name, same, found) in [
            ("hidden activation", self.hidden == first.hidden, self.hidden.name()),
            ("output activation", self.output == first.output, self.output.name()),
            ("loss", self.loss == first.loss, self.loss.name()),
            ("convention", self.convention == first.convention, self.convention.name()),
            ("tied", self.tied == first.tied, if self.tied { "true" } else { "false" }),
            ("selection", self.selection.is_like(&first.selection), self.selection.name()),
            (
                "dropout",
                self.dropout.is_some() == first.dropout.is_some(),
                if self.dropout.is_some() { "some" } else { "none" },
            ),
        ] {
            if !same {
                let expected = "that of the first model: models of one batch share it";
                return Err(Error::Scalar { name, found: found.to_owned(), expected });
            }
        }
        Ok(())
    }

    /// Every number against its valid range.
    pub(super) fn check(&self) -> Result {
        if self.loss == Loss::Bce && self.output != Activation::Sigmoid {
            return Err(Error::BceActivation { found: self.output.name() });
        }
        not_negative("weight_decay", self.weight_decay)?;
        match self.penalty {
            Penalty::None => {}
            Penalty::L1 { beta } => not_negative("beta", beta)?,
            Penalty::Kl { rho, beta, average } => {
                if self.hidden != Activation::Sigmoid {
                    return Err(Error::Scalar {
                        name: "hidden activation",
                        found: self.hidden.name().to_owned(),
                        expected: "sigmoid with penalty kl, which needs mean activations between 0 and 1",
                    });
                }
                within("rho", rho, |r| r > 0.0 && r < 1.0, "a number between 0 and 1, both excluded")?;
                not_negative("beta", beta)?;
                if let RhoHat::Ema { decay } = average {
                    fraction("ema_decay", decay)?;
                }
            }
        }
        self.selection.check()?;
        if let Some(Dropout { rate, .. }) = self.dropout {
            fraction("dropout rate", rate)?;
        }
        for (name, clip) in [("clip_norm", self.clip_norm), ("clip_value", self.clip_value)] {
            if let Some(clip) = clip {
                within(name, clip, |c| c > 0.0, "a number above 0")?;
            }
        }
        match self.rule {
            Rule::Sgd => Ok(()),
            Rule::Momentum { momentum } | Rule::Nesterov { momentum } => not_negative("momentum", momentum),
            Rule::Adagrad { eps } => not_negative("eps", eps),
            Rule::RmsProp { alpha, eps } => {
                fraction("alpha", alpha)?;
                not_negative("eps", eps)
            }
            Rule::Adam { beta1, beta2, eps } | Rule::AdamW { beta1, beta2, eps } => {
                fraction("beta1", beta1)?;
                fraction("beta2", beta2)?;
                not_negative("eps", eps)
            }
        }
    }
}

impl<T: Real> Default for StepConfig<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn within<T: Real>(name: &'static str, value: T, valid: fn(f64) -> bool, expected: &'static str) -> Result {
    if valid(value.to_f64()) { Ok(()) } else { Err(Error::Scalar { name, found: value.to_string(), expected }) }
}

/// A finite number from 0 up.
pub(super) fn not_negative<T: Real>(name: &'static str, value: T) -> Result {
    within(name, value, |v| v.is_finite() && v >= 0.0, "a finite number, 0 or more")
}

fn fraction<T: Real>(name: &'static str, value: T) -> Result {
    within(name, value, |v| (0.0..1.0).contains(&v), "a number from 0 up, below 1")
}
