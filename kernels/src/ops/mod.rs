//! The operations of a training step, as named arguments.
//!
//! Every operation takes row-major and panel-major operands alike, and a batch of independent problems of one shape.
//! A vector operand (`bias`, `col_sums`, …) of a batch is one slice, problem after problem: `batch·len` elements. What
//! may differ from problem to problem (`hyper`, `l1`) has one element a problem.
//! A [`Backend`](crate::Backend) carries them out; [`check`] is the door they all pass.
//!
//! | operation | formula | product |
//! | --- | --- | --- |
//! | [`Gemm`] | `c = a·b` or `aᵀ·b`, or added to `c` | NN, TN |
//! | [`Encode`] | `h = f(x·w + bias)`, small ones 0 where asked for, `col_sums = Σ_rows h` | NN |
//! | [`TopK`] | the `k` largest of each row of `h`, the others 0, `col_sums` | |
//! | [`Decode`] | `x_hat = g(h·w + bias)`, loss, `delta = scale·dloss/dz`, `bias_grad = Σ_rows delta` | NN |
//! | [`HiddenDelta`] | `delta_hid = (delta_out·w_t ⊙ gate + row_term + l1·sign h) ⊙ f'(h)`, `bias_grad` | NN |
//! | [`WeightGrad`] | `aᵀ·delta`, stored or applied at once by an optimiser | TN |
//! | [`UpdateMatrix`] | an optimiser's step on a matrix, here with a stored gradient | |
//! | [`UpdateVector`] | an optimiser's step on a vector | |

pub mod check;
mod optimizer;

pub(crate) use optimizer::Coefficients;
pub use optimizer::{Clip, Hyper, Rule};

use crate::error::Error;
use crate::view::{MatMut, MatRef};

/// The nonlinearity of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `1 / (1 + e⁻ᶻ)`.
    Sigmoid,
    /// `max(z, 0)`; derivative 0 at 0.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// `z`.
    Identity,
}

impl Activation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sigmoid, Self::Relu, Self::Tanh, Self::Identity];

    /// Its name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Identity => "identity",
        }
    }
}

/// The reconstruction loss ℓ, summed over all elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// `½·(x̂ − x)²`.
    Squared,
    /// Binary cross-entropy from logits, `max(z, 0) − z·x + log1p(e^−|z|)`; needs a sigmoid output.
    Bce,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Squared, Self::Bce];

    /// Its name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Squared => "squared",
            Self::Bce => "bce",
        }
    }
}

/// Which operand's rows are contracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `c [m, n] = a [m, k] · b [k, n]`.
    Nn,
    /// `c [m, n] = aᵀ · b` with `a [k, m]`, `b [k, n]`.
    Tn,
}

/// A plain product.
#[derive(Debug)]
pub struct Gemm<'a, T = f32> {
    /// The form.
    pub form: Form,
    /// `[m, k]` (NN) or `[k, m]` (TN).
    pub a: MatRef<'a, T>,
    /// `[k, n]`.
    pub b: MatRef<'a, T>,
    /// `[m, n]`.
    pub c: MatMut<'a, T>,
    /// Whether to add to `c` (each element's chain starts from it) or to overwrite it without reading.
    pub accumulate: bool,
}

/// A layer forward: `h = f(x·w + bias)`.
#[derive(Debug)]
pub struct Encode<'a, T = f32> {
    /// `[n, d_in]`.
    pub x: MatRef<'a, T>,
    /// `[d_in, d_hid]`.
    pub w: MatRef<'a, T>,
    /// `[d_hid]`.
    pub bias: &'a [T],
    /// f.
    pub activation: Activation,
    /// One element a problem, θ: an activation with `|h_ij| ≤ θ` becomes 0. NaN stays NaN.
    pub threshold: Option<&'a [T]>,
    /// `[n, d_hid]`, written.
    pub h: MatMut<'a, T>,
    /// `[d_hid]`, written: `Σ_i h_ij`.
    pub col_sums: Option<&'a mut [T]>,
}

/// The `k` largest elements of each row stay, the others become 0.
///
/// Of equal elements the first stay; 0 and −0 are equal, and NaN, which has to stay to be seen, is before any number.
#[derive(Debug)]
pub struct TopK<'a, T = f32> {
    /// One element a problem, at least 1; all elements stay where it is `d_hid` or more.
    pub k: &'a [usize],
    /// `[n, d_hid]`, updated.
    pub h: MatMut<'a, T>,
    /// `[d_hid]`, written: `Σ_i h_ij` of what stays.
    pub col_sums: Option<&'a mut [T]>,
}

/// The output layer with its loss: `x_hat = g(h·w + bias)`, ℓ and its gradient.
#[derive(Debug)]
pub struct Decode<'a, T = f32> {
    /// `[n, d_hid]`.
    pub h: MatRef<'a, T>,
    /// `[d_hid, d_in]`.
    pub w: MatRef<'a, T>,
    /// `[d_in]`.
    pub bias: &'a [T],
    /// g.
    pub activation: Activation,
    /// `[n, d_in]`: what is to be reconstructed.
    pub target: MatRef<'a, T>,
    /// ℓ.
    pub loss: Loss,
    /// The factor of Σℓ in the objective, so that `delta = scale·dΣℓ/dz`.
    pub scale: T,
    /// `[n, d_in]`, written: `scale·dΣℓ/dz`.
    pub delta: MatMut<'a, T>,
    /// `[d_in]`, written: `Σ_i delta_ij`.
    pub bias_grad: Option<&'a mut [T]>,
    /// `[n, d_in]`, written when asked for.
    pub x_hat: Option<MatMut<'a, T>>,
    /// One element a problem, written: Σℓ, without `scale`.
    pub loss_sum: &'a mut [f64],
}

/// The error at the hidden layer: `delta_hid = (delta_out·w_t ⊙ gate + row_term + l1·sign h) ⊙ f'(h)`.
#[derive(Debug)]
pub struct HiddenDelta<'a, T = f32> {
    /// `[n, d_in]`.
    pub delta_out: MatRef<'a, T>,
    /// `[d_in, d_hid]`: the decoder's weights, transposed.
    pub w_t: MatRef<'a, T>,
    /// `[n, d_hid]`: the activations, from which f' is taken.
    pub h: MatRef<'a, T>,
    /// f.
    pub activation: Activation,
    /// Whether `delta_hid` is 0 wherever `h` is: the derivative where only some activations stay ([`TopK`],
    /// [`Encode::threshold`]).
    pub support: bool,
    /// `[n, d_hid]`: what the activations were multiplied by on their way to the decoder (dropout); 1 where there is none.
    pub gate: Option<MatRef<'a, T>>,
    /// `[d_hid]`: added to every row before f' (the KL penalty's gradient).
    pub row_term: Option<&'a [T]>,
    /// One element a problem: the coefficient of sign(h) (the L1 penalty's gradient; sign 0 = 0, sign NaN = NaN). 0 leaves
    /// the term out.
    pub l1: Option<&'a [T]>,
    /// `[n, d_hid]`, written.
    pub delta_hid: MatMut<'a, T>,
    /// `[d_hid]`, written: `Σ_i delta_hid_ij`.
    pub bias_grad: Option<&'a mut [T]>,
}

/// The gradient of a weight matrix, `g = aᵀ·delta`, and what becomes of it.
#[derive(Debug)]
pub struct WeightGrad<'a, T = f32> {
    /// `[n, rows]`: the layer's input.
    pub a: MatRef<'a, T>,
    /// `[n, cols]`: the error at its output.
    pub delta: MatRef<'a, T>,
    /// Where the gradient goes.
    pub sink: GradSink<'a, T>,
}

/// What becomes of a weight gradient.
#[allow(clippy::large_enum_variant, reason = "named arguments of one call, never stored")]
#[derive(Debug)]
pub enum GradSink<'a, T = f32> {
    /// `grad [rows, cols] = g`.
    Store(MatMut<'a, T>),
    /// An optimiser's step on `w`, tile by tile, without the gradient ever being stored.
    Update(UpdateMatrix<'a, T>),
}

/// An optimiser's step on a weight matrix.
#[derive(Debug)]
pub struct UpdateMatrix<'a, T = f32> {
    /// One element a problem: rule, learning rate, step, weight decay, clipping.
    pub hyper: &'a [Hyper<T>],
    /// `[rows, cols]`, updated.
    pub w: MatMut<'a, T>,
    /// `[cols, rows]`, written: the updated `w`, transposed.
    pub w_t: Option<MatMut<'a, T>>,
    /// `[rows, cols]`: first moment or momentum buffer, where a rule keeps one.
    pub m: Option<MatMut<'a, T>>,
    /// `[rows, cols]`: second moment, where a rule keeps one.
    pub v: Option<MatMut<'a, T>>,
}

/// An optimiser's step on a vector, or on one vector a problem.
#[derive(Debug)]
pub struct UpdateVector<'a, T = f32> {
    /// One element a problem: rule, learning rate, step, weight decay, clipping.
    pub hyper: &'a [Hyper<T>],
    /// Updated.
    pub w: &'a mut [T],
    /// The gradient.
    pub grad: &'a [T],
    /// First moment or momentum buffer, where a rule keeps one.
    pub m: Option<&'a mut [T]>,
    /// Second moment, where a rule keeps one.
    pub v: Option<&'a mut [T]>,
}

/// The row block of every reduction over rows: column sums and losses are summed row after row inside a block, and
/// block after block over the whole, so that no result depends on tiles or threads.
pub const REDUCE_ROWS: usize = 48;

/// A result of an operation.
pub type Result<T = ()> = std::result::Result<T, Error>;
