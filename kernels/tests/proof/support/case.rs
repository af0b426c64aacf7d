//! What is run: an operation, its sizes, and the numbers it is given.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::Real;
use sae_kernels::ops::{Activation, Form, Hyper, Loss, Rule};

/// An operation with its options; all but the vector update, which has no product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    Gemm { form: Form, accumulate: bool },
    Encode { activation: Activation, sums: bool },
    Decode { activation: Activation, loss: Loss, x_hat: bool, grad: bool },
    Hidden { activation: Activation, row_term: bool, l1: bool, grad: bool },
    Store,
    Update { rule: Rule, transposed: bool },
}

impl Op {
    /// Every operation with every activation, loss and rule; each other option is on in some and off in others.
    pub(crate) fn all() -> Vec<Self> {
        let mut ops = Self::products();
        for (i, activation) in Activation::ALL.into_iter().enumerate() {
            let even = i % 2 == 0;
            ops.extend([true, false].map(|sums| Self::Encode { activation, sums }));
            let loss = Loss::Squared;
            ops.push(Self::Decode { activation, loss, x_hat: even, grad: true });
            ops.push(Self::Decode { activation, loss, x_hat: !even, grad: !even });
            for (row_term, l1) in [(false, false), (true, false), (false, true), (true, true)] {
                ops.push(Self::Hidden { activation, row_term, l1, grad: row_term == even });
            }
        }
        let (activation, loss) = (Activation::Sigmoid, Loss::Bce);
        ops.extend([true, false].map(|x_hat| Self::Decode { activation, loss, x_hat, grad: x_hat }));
        for rule in Rule::all() {
            ops.extend([true, false].map(|transposed| Self::Update { rule, transposed }));
        }
        ops
    }

    /// The operations that are a product and nothing else.
    pub(crate) fn products() -> Vec<Self> {
        let mut ops = vec![Self::Store];
        for form in [Form::Nn, Form::Tn] {
            ops.extend([false, true].map(|accumulate| Self::Gemm { form, accumulate }));
        }
        ops
    }

    /// One operation of each kind, with all it can do.
    pub(crate) fn one_of_each() -> Vec<Self> {
        vec![
            Self::Gemm { form: Form::Nn, accumulate: true },
            Self::Gemm { form: Form::Tn, accumulate: false },
            Self::Encode { activation: Activation::Sigmoid, sums: true },
            Self::Decode { activation: Activation::Tanh, loss: Loss::Squared, x_hat: true, grad: true },
            Self::Decode { activation: Activation::Sigmoid, loss: Loss::Bce, x_hat: false, grad: true },
            Self::Hidden { activation: Activation::Sigmoid, row_term: true, l1: true, grad: true },
            Self::Store,
            Self::Update { rule: Rule::adamw(), transposed: true },
        ]
    }

    pub(crate) fn form(self) -> Form {
        match self {
            Self::Gemm { form, .. } => form,
            Self::Store | Self::Update { .. } => Form::Tn,
            _ => Form::Nn,
        }
    }
}

/// Which operand, if any, one matrix serves for all problems.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shared {
    Nothing,
    A,
    B,
}

/// One call: `batch` problems of `[m, k]·[k, n]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) op: Op,
    pub(crate) batch: usize,
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) shared: Shared,
}

impl Case {
    pub(crate) fn new(op: Op, [m, n, k]: [usize; 3]) -> Self {
        Self { op, batch: 1, m, n, k, shared: Shared::Nothing }
    }

    /// Rows and columns of the left operand as it is stored.
    pub(crate) fn a_shape(&self) -> [usize; 2] {
        match self.op.form() {
            Form::Nn => [self.m, self.k],
            Form::Tn => [self.k, self.m],
        }
    }

    /// Matrices that the left and the right operand consist of.
    pub(crate) fn matrices(&self) -> [usize; 2] {
        let one = self.batch.min(1);
        match self.shared {
            Shared::Nothing => [self.batch, self.batch],
            Shared::A => [one, self.batch],
            Shared::B => [self.batch, one],
        }
    }
}

/// The numbers of a call, dense, row-major, problem after problem.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) a: Vec<f32>,
    pub(crate) b: Vec<f32>,
    /// `[batch, n]`: the bias or the row term.
    pub(crate) vector: Vec<f32>,
    /// `[batch, m, n]`: what is added to, the target, the activations, or the weights.
    pub(crate) third: Vec<f32>,
    /// `[batch, m, n]`.
    pub(crate) first_moment: Vec<f32>,
    /// `[batch, m, n]`: positive.
    pub(crate) second_moment: Vec<f32>,
    pub(crate) scale: f32,
    pub(crate) l1: f32,
    pub(crate) lr: f32,
    pub(crate) decay: f32,
    pub(crate) step: u64,
}

impl Data {
    /// Random numbers of order 1; those of `b` shrink with k, so that pre-activations are of order 1 too.
    pub(crate) fn random(case: &Case, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut fill =
            |len: usize, low: f32, high: f32| -> Vec<f32> { (0..len).map(|_| rng.random_range(low..high)).collect() };
        let &Case { op, batch, m, n, k, .. } = case;
        let [a, b] = case.matrices();
        let reach = 3.0 / (k.max(1) as f32).sqrt();
        let out = batch * m * n;
        let third = match op {
            Op::Decode { .. } => fill(out, 0.0, 1.0),
            Op::Hidden { activation, .. } => match activation {
                Activation::Sigmoid => fill(out, 0.0, 1.0),
                // Units that are off, for the derivative of the ReLU and the sign of 0.
                Activation::Relu => fill(out, -1.0, 1.0).into_iter().map(|h| h.max(0.0)).collect(),
                Activation::Tanh | Activation::Identity => fill(out, -1.0, 1.0),
            },
            _ => fill(out, -1.0, 1.0),
        };
        Self {
            a: fill(a * m * k, -1.0, 1.0),
            b: fill(b * k * n, -reach, reach),
            vector: fill(batch * n, -1.0, 1.0),
            third,
            first_moment: fill(out, -0.1, 0.1),
            second_moment: fill(out, 0.01, 0.1),
            scale: 0.37,
            l1: 0.21,
            lr: 0.01,
            decay: 0.1,
            step: 3,
        }
    }

    /// The numbers of a rule's step.
    pub(crate) fn hyper<T: Real>(&self, rule: Rule) -> Hyper<T> {
        let t = |x: f32| T::from_f64(f64::from(x));
        let rule = match rule {
            Rule::Sgd => Rule::Sgd,
            Rule::Momentum { momentum } => Rule::Momentum { momentum: t(momentum) },
            Rule::Nesterov { momentum } => Rule::Nesterov { momentum: t(momentum) },
            Rule::Adagrad { eps } => Rule::Adagrad { eps: t(eps) },
            Rule::RmsProp { alpha, eps } => Rule::RmsProp { alpha: t(alpha), eps: t(eps) },
            Rule::Adam { beta1, beta2, eps } => Rule::Adam { beta1: t(beta1), beta2: t(beta2), eps: t(eps) },
            Rule::AdamW { beta1, beta2, eps } => Rule::AdamW { beta1: t(beta1), beta2: t(beta2), eps: t(eps) },
        };
        Hyper { rule, lr: t(self.lr), decay: t(self.decay), decoupled: false, step: self.step, clip: None }
    }
}
