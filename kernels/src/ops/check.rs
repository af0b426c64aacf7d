//! The door: every operation's operands against each other, once, before anything is read or written.

use super::{
    Activation, Decode, Encode, Form, Gemm, GradSink, HiddenDelta, Loss, TopK, UpdateMatrix, UpdateVector, WeightGrad,
};
use crate::error::{Error, expect};
use crate::layout::Layout;
use crate::ops::{Hyper, Result, Rule};
use crate::real::Real;
use crate::view::MatRef;

/// The sizes of a product that passed the door: `batch` problems of `[m, k]·[k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// Problems; 0 where their results have no element, however many there are.
    pub batch: usize,
    /// Rows of the result; 0 where it has no column.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Contraction length.
    pub k: usize,
}

impl Dims {
    /// Sizes that take no memory may be as large as can be said, and nothing is to count up to them.
    fn new(batch: usize, m: usize, n: usize, k: usize) -> Self {
        let m = if batch == 0 || n == 0 { 0 } else { m };
        Self { batch: if m == 0 { 0 } else { batch }, m, n, k }
    }
}

fn matrix(operand: &'static str, layout: Layout, dims: [usize; 3], because: &'static str) -> Result {
    let [batch, rows, cols] = dims;
    expect(operand, "batch", layout.batch(), batch, because)?;
    expect(operand, "rows", layout.rows(), rows, because)?;
    expect(operand, "columns", layout.cols(), cols, because)
}

fn vector<T>(operand: &'static str, slice: &[T], batch: usize, len: usize, because: &'static str) -> Result {
    // A batch of matrices with `len` columns each fits in memory, so this product does not overflow for any operand
    // that passed its constructor, except for empty ones.
    expect(operand, "length", slice.len(), batch.saturating_mul(len), because)
}

fn hypers<T: Real>(hypers: &[Hyper<T>], has_m: bool, has_v: bool) -> Result {
    for hyper in hypers {
        let rule = hyper.rule.name();
        if hyper.rule.keeps_m() && !has_m {
            return Err(Error::MissingState { rule, state: "m" });
        }
        if hyper.rule.keeps_v() && !has_v {
            return Err(Error::MissingState { rule, state: "v" });
        }
        if hyper.step == 0 && matches!(hyper.rule, Rule::Adam { .. } | Rule::AdamW { .. }) {
            return Err(Error::Scalar { name: "step", found: "0".into(), expected: "at least 1" });
        }
    }
    Ok(())
}

/// Checks a [`Gemm`].
///
/// # Errors
/// [`Error::Shape`].
pub fn gemm<T>(op: &Gemm<'_, T>) -> Result<Dims> {
    let (m, k) = match op.form {
        Form::Nn => (op.a.rows(), op.a.cols()),
        Form::Tn => (op.a.cols(), op.a.rows()),
    };
    let (batch, n) = (op.c.batch(), op.c.cols());
    let a = match op.form {
        Form::Nn => [batch, m, k],
        Form::Tn => [batch, k, m],
    };
    matrix("a", op.a.layout(), a, "the batch of c")?;
    matrix("b", op.b.layout(), [batch, k, n], "the contraction length of a, the columns of c")?;
    matrix("c", op.c.layout(), [batch, m, n], "the rows of the product")?;
    Ok(Dims::new(batch, m, n, k))
}

/// Checks an [`Encode`].
///
/// # Errors
/// [`Error::Shape`].
pub fn encode<T>(op: &Encode<'_, T>) -> Result<Dims> {
    let (batch, m, n, k) = (op.x.batch(), op.x.rows(), op.w.cols(), op.x.cols());
    matrix("w", op.w.layout(), [batch, k, n], "x [n, d_in]")?;
    matrix("h", op.h.layout(), [batch, m, n], "x [n, d_in], w [d_in, d_hid]")?;
    vector("bias", op.bias, batch, n, "batch x columns of w")?;
    if let Some(threshold) = op.threshold {
        vector("threshold", threshold, batch, 1, "one a problem")?;
    }
    if let Some(sums) = &op.col_sums {
        vector("col_sums", sums, batch, n, "batch x columns of w")?;
    }
    Ok(Dims::new(batch, m, n, k))
}

/// Checks a [`TopK`].
///
/// # Errors
/// [`Error::Shape`], [`Error::Scalar`].
pub fn top_k<T>(op: &TopK<'_, T>) -> Result<Dims> {
    let (batch, m, n) = (op.h.batch(), op.h.rows(), op.h.cols());
    vector("k", op.k, batch, 1, "one a problem")?;
    if op.k.contains(&0) {
        return Err(Error::Scalar { name: "k", found: "0".into(), expected: "at least 1" });
    }
    if let Some(sums) = &op.col_sums {
        vector("col_sums", sums, batch, n, "batch x columns of h")?;
    }
    Ok(Dims::new(batch, m, n, 0))
}

/// Checks a [`Decode`].
///
/// # Errors
/// [`Error::Shape`], [`Error::BceActivation`].
pub fn decode<T>(op: &Decode<'_, T>) -> Result<Dims> {
    if op.loss == Loss::Bce && op.activation != Activation::Sigmoid {
        return Err(Error::BceActivation { found: op.activation.name() });
    }
    let (batch, m, n, k) = (op.h.batch(), op.h.rows(), op.w.cols(), op.h.cols());
    matrix("w", op.w.layout(), [batch, k, n], "h [n, d_hid]")?;
    let because = "h [n, d_hid], w [d_hid, d_in]";
    matrix("target", op.target.layout(), [batch, m, n], because)?;
    matrix("delta", op.delta.layout(), [batch, m, n], because)?;
    if let Some(x_hat) = &op.x_hat {
        matrix("x_hat", x_hat.layout(), [batch, m, n], because)?;
    }
    vector("bias", op.bias, batch, n, "batch x columns of w")?;
    if let Some(grad) = &op.bias_grad {
        vector("bias_grad", grad, batch, n, "batch x columns of w")?;
    }
    vector("loss_sum", op.loss_sum, batch, 1, "one a problem")?;
    Ok(Dims::new(batch, m, n, k))
}

/// Checks a [`HiddenDelta`].
///
/// # Errors
/// [`Error::Shape`].
pub fn hidden_delta<T>(op: &HiddenDelta<'_, T>) -> Result<Dims> {
    let (batch, m, n, k) = (op.delta_out.batch(), op.delta_out.rows(), op.w_t.cols(), op.delta_out.cols());
    matrix("w_t", op.w_t.layout(), [batch, k, n], "delta_out [n, d_in]")?;
    let because = "delta_out [n, d_in], w_t [d_in, d_hid]";
    matrix("h", op.h.layout(), [batch, m, n], because)?;
    matrix("delta_hid", op.delta_hid.layout(), [batch, m, n], because)?;
    if let Some(gate) = &op.gate {
        matrix("gate", gate.layout(), [batch, m, n], because)?;
    }
    if let Some(term) = op.row_term {
        vector("row_term", term, batch, n, "batch x columns of w_t")?;
    }
    if let Some(l1) = op.l1 {
        vector("l1", l1, batch, 1, "one a problem")?;
    }
    if let Some(grad) = &op.bias_grad {
        vector("bias_grad", grad, batch, n, "batch x columns of w_t")?;
    }
    Ok(Dims::new(batch, m, n, k))
}

fn update<T: Real>(update: &UpdateMatrix<'_, T>, [batch, m, n]: [usize; 3], because: &'static str) -> Result {
    matrix("w", update.w.layout(), [batch, m, n], because)?;
    if let Some(w_t) = &update.w_t {
        matrix("w_t", w_t.layout(), [batch, n, m], because)?;
    }
    for (name, state) in [("m", &update.m), ("v", &update.v)] {
        if let Some(state) = state {
            matrix(name, state.layout(), [batch, m, n], because)?;
        }
    }
    vector("hyper", update.hyper, batch, 1, "one a problem")?;
    hypers(update.hyper, update.m.is_some(), update.v.is_some())
}

/// Checks [`Backend::update_matrix`](crate::Backend::update_matrix).
///
/// # Errors
/// [`Error::Shape`], [`Error::MissingState`], [`Error::Scalar`].
pub fn update_matrix<T: Real>(grad: &MatRef<'_, T>, op: &UpdateMatrix<'_, T>) -> Result<Dims> {
    let (batch, m, n) = (grad.batch(), grad.rows(), grad.cols());
    update(op, [batch, m, n], "grad [rows, cols]")?;
    Ok(Dims::new(batch, m, n, 0))
}

/// Checks a [`WeightGrad`].
///
/// # Errors
/// [`Error::Shape`], [`Error::MissingState`], [`Error::Scalar`].
pub fn weight_grad<T: Real>(op: &WeightGrad<'_, T>) -> Result<Dims> {
    let (batch, m, n, k) = (op.a.batch(), op.a.cols(), op.delta.cols(), op.a.rows());
    matrix("delta", op.delta.layout(), [batch, k, n], "a [n, rows]")?;
    let because = "a [n, rows], delta [n, cols]";
    match &op.sink {
        GradSink::Store(grad) => matrix("grad", grad.layout(), [batch, m, n], because)?,
        GradSink::Update(op) => update(op, [batch, m, n], because)?,
    }
    Ok(Dims::new(batch, m, n, k))
}

/// Checks an [`UpdateVector`]; the length of one problem's vector.
///
/// # Errors
/// [`Error::Shape`], [`Error::MissingState`], [`Error::Scalar`].
pub fn update_vector<T: Real>(op: &UpdateVector<'_, T>) -> Result<usize> {
    let len = op.w.len();
    expect("grad", "length", op.grad.len(), len, "the length of w")?;
    for (name, state) in [("m", &op.m), ("v", &op.v)] {
        if let Some(state) = state {
            expect(name, "length", state.len(), len, "the length of w")?;
        }
    }
    let problems = op.hyper.len();
    // Without a problem there is nothing that w could be.
    if len.checked_rem(problems).unwrap_or(len) != 0 {
        let because = "a multiple of the problems in hyper";
        return Err(Error::Shape { operand: "w", dim: "length", found: len, expected: problems, because });
    }
    hypers(op.hyper, op.m.is_some(), op.v.is_some())?;
    Ok(len.checked_div(problems).unwrap_or(0))
}

/// Checks [`Backend::sum_of_squares`](crate::Backend::sum_of_squares).
///
/// # Errors
/// [`Error::Shape`].
pub fn sum_of_squares<T>(w: &MatRef<'_, T>, sums: &[f64]) -> Result {
    vector("sums", sums, w.batch(), 1, "one a problem")
}
