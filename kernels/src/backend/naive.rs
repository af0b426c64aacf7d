//! Plain loops: the definition of correct.
//!
//! Every other backend is tested against this one. It fixes what the formulas of [`ops`](crate::ops) leave open:
//!
//! - an element of a product is one chain of fused multiply-adds over increasing k, from 0 (or from `c`);
//! - the bias is added to the finished chain;
//! - nothing is skipped: 0·NaN is NaN;
//! - a sum over rows is taken in the element type, row after row, inside blocks of [`REDUCE_ROWS`]; the blocks are
//!   added in f64 and the result is rounded once.

use super::{Backend, BackendKind};
use crate::isa::Isa;
use crate::ops::check::Dims;
use crate::ops::{
    Activation, Coefficients, Decode, Encode, Form, Gemm, GradSink, HiddenDelta, Loss, REDUCE_ROWS, Result, Rule, TopK,
    UpdateMatrix, UpdateVector, WeightGrad, check,
};
use crate::real::Real;
use crate::view::MatRef;

/// The reference backend, for f32 and f64. It keeps nothing between calls and runs on one thread.
///
/// ```
/// use sae_kernels::ops::{Form, Gemm};
/// use sae_kernels::{Backend, MatMut, MatRef, Naive};
/// let (a, b, mut c) = ([1.0f64, 2.0], [3.0, 4.0], [0.0]);
/// Naive.gemm(Gemm {
///     form: Form::Nn,
///     a: MatRef::row_major(&a, 1, 2)?,
///     b: MatRef::row_major(&b, 2, 1)?,
///     c: MatMut::row_major(&mut c, 1, 1)?,
///     accumulate: false,
/// })?;
/// assert_eq!(c, [11.0]);
/// # Ok::<(), sae_kernels::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Naive;

impl<T: Real> Backend<T> for Naive {
    fn kind(&self) -> BackendKind {
        BackendKind::Naive
    }

    fn isa(&self) -> Isa {
        Isa::Portable
    }

    fn panel(&self) -> Option<usize> {
        None
    }

    /// NN: `c [m, n] = a [m, k] · b [k, n]`. TN: `c [m, n] = aᵀ · b` with `a [k, m]`.
    fn gemm(&mut self, op: Gemm<'_, T>) -> Result {
        let dims = check::gemm(&op)?;
        let Gemm { form, a, b, mut c, accumulate } = op;
        for p in 0..dims.batch {
            for i in 0..dims.m {
                for j in 0..dims.n {
                    let start = if accumulate { c.at(p, i, j) } else { T::ZERO };
                    let sum = match form {
                        Form::Nn => row_times_column(a, b, p, i, j, start),
                        Form::Tn => column_times_column(a, b, p, i, j, start),
                    };
                    c.set(p, i, j, sum);
                }
            }
        }
        Ok(())
    }

    /// `x [n, d_in]`, `w [d_in, d_hid]`, `bias [d_hid]` → `h [n, d_hid] = f(x·w + bias)`, 0 where its size is not above
    /// `threshold`,
    /// `col_sums [d_hid] = Σ_i h_ij`.
    fn encode(&mut self, op: Encode<'_, T>) -> Result {
        let dims = check::encode(&op)?;
        let Encode { x, w, bias, activation, threshold, mut h, col_sums } = op;
        for p in 0..dims.batch {
            for i in 0..dims.m {
                for j in 0..dims.n {
                    let z = row_times_column(x, w, p, i, j, T::ZERO) + bias[p * dims.n + j];
                    let y = apply(activation, z);
                    let cut = threshold.is_some_and(|threshold| y.abs() <= threshold[p]);
                    h.set(p, i, j, if cut { T::ZERO } else { y });
                }
            }
        }
        if let Some(sums) = col_sums {
            column_sums(h.as_ref(), sums);
        }
        Ok(())
    }

    /// `h [n, d_hid]` → the elements of each row in order, NaN first, then from the largest on, equal ones from the first on;
    /// all behind the first `k` of them become 0. `col_sums [d_hid] = Σ_i h_ij`.
    fn top_k(&mut self, op: TopK<'_, T>) -> Result {
        let dims = check::top_k(&op)?;
        let TopK { k, mut h, col_sums } = op;
        // Of no column there may be as many rows as an address counts.
        let rows = if dims.n == 0 { 0 } else { dims.m };
        for (p, &k) in k.iter().enumerate() {
            for i in 0..rows {
                let mut order: Vec<usize> = (0..dims.n).collect();
                let is_number = |x: T| !x.to_f64().is_nan();
                let before = |a: T, b: T| b.partial_cmp(&a).unwrap_or(is_number(a).cmp(&is_number(b)));
                order.sort_by(|&a, &b| before(h.at(p, i, a), h.at(p, i, b)));
                order.iter().skip(k).for_each(|&j| h.set(p, i, j, T::ZERO));
            }
        }
        if let Some(sums) = col_sums {
            column_sums(h.as_ref(), sums);
        }
        Ok(())
    }

    /// `h [n, d_hid]`, `w [d_hid, d_in]`, `bias [d_in]`, `target [n, d_in]` → with `z = h·w + bias`:
    /// `x_hat [n, d_in] = g(z)`, `loss_sum = Σ_ij ℓ(z, target)`, `delta [n, d_in] = scale·dℓ/dz`,
    /// `bias_grad [d_in] = Σ_i delta_ij`.
    fn decode(&mut self, op: Decode<'_, T>) -> Result {
        let dims = check::decode(&op)?;
        let Decode { h, w, bias, activation, target, loss, scale, mut delta, bias_grad, mut x_hat, loss_sum } = op;
        for (p, total) in loss_sum.iter_mut().enumerate() {
            *total = 0.0;
            for block in row_blocks(dims.m) {
                for j in 0..dims.n {
                    let mut sum = T::ZERO;
                    for i in block.clone() {
                        let z = row_times_column(h, w, p, i, j, T::ZERO) + bias[p * dims.n + j];
                        let y = apply(activation, z);
                        let x = target.at(p, i, j);
                        sum += loss_of(loss, z, y, x);
                        delta.set(p, i, j, scale * loss_slope(loss, activation, y, x));
                        if let Some(x_hat) = &mut x_hat {
                            x_hat.set(p, i, j, y);
                        }
                    }
                    *total += sum.to_f64();
                }
            }
        }
        if let Some(grad) = bias_grad {
            column_sums(delta.as_ref(), grad);
        }
        Ok(())
    }

    /// `delta_out [n, d_in]`, `w_t [d_in, d_hid]`, `h [n, d_hid]`, `row_term [d_hid]` →
    /// `delta_hid [n, d_hid] = (delta_out·w_t ⊙ gate + row_term + l1·sign h) ⊙ f'(h)`, 0 where
    /// `support` is on and `h` is 0, `bias_grad [d_hid] = Σ_i delta_hid_ij`.
    fn hidden_delta(&mut self, op: HiddenDelta<'_, T>) -> Result {
        let dims = check::hidden_delta(&op)?;
        let HiddenDelta { delta_out, w_t, h, activation, support, gate, row_term, l1, mut delta_hid, bias_grad } = op;
        for p in 0..dims.batch {
            for i in 0..dims.m {
                for j in 0..dims.n {
                    let y = h.at(p, i, j);
                    let mut slope = row_times_column(delta_out, w_t, p, i, j, T::ZERO);
                    if let Some(gate) = &gate {
                        slope *= gate.at(p, i, j);
                    }
                    slope += row_term.map_or(T::ZERO, |term| term[p * dims.n + j]);
                    let l1 = l1.map_or(T::ZERO, |l1| l1[p]);
                    if l1 != T::ZERO {
                        slope += l1 * sign(y);
                    }
                    let off = support && y == T::ZERO;
                    delta_hid.set(p, i, j, if off { T::ZERO } else { through(activation, slope, y) });
                }
            }
        }
        if let Some(grad) = bias_grad {
            column_sums(delta_hid.as_ref(), grad);
        }
        Ok(())
    }

    /// `a [n, rows]`, `delta [n, cols]` → `g [rows, cols] = aᵀ·delta`, stored, or one optimiser step on `w [rows, cols]`
    /// with `m`, `v [rows, cols]` and the refreshed `w_t [cols, rows]`.
    fn weight_grad(&mut self, op: WeightGrad<'_, T>) -> Result {
        let dims = check::weight_grad(&op)?;
        let WeightGrad { a, delta, sink } = op;
        let gradient = |p, i, j| column_times_column(a, delta, p, i, j, T::ZERO);
        let elements = || (0..dims.m).flat_map(|i| (0..dims.n).map(move |j| (i, j)));
        match sink {
            GradSink::Store(mut grad) => {
                for p in 0..dims.batch {
                    elements().for_each(|(i, j)| grad.set(p, i, j, gradient(p, i, j)));
                }
            }
            GradSink::Update(to) => update(to, dims, gradient),
        }
        Ok(())
    }

    /// `grad [rows, cols]` → one optimiser step on `w [rows, cols]` with `m`, `v [rows, cols]` and the refreshed
    /// `w_t [cols, rows]`.
    fn update_matrix(&mut self, grad: MatRef<'_, T>, update: UpdateMatrix<'_, T>) -> Result {
        let dims = check::update_matrix(&grad, &update)?;
        self::update(update, dims, |p, i, j| grad.at(p, i, j));
        Ok(())
    }

    /// `w`, `grad`, `m`, `v`, all `[len]`: one optimiser step on `w`.
    fn update_vector(&mut self, op: UpdateVector<'_, T>) -> Result {
        let len = check::update_vector(&op)?;
        let UpdateVector { hyper, w, grad, mut m, mut v } = op;
        let (mut no_m, mut no_v) = (T::ZERO, T::ZERO);
        for (p, hyper) in hyper.iter().enumerate() {
            let (rule, c) = (hyper.rule, hyper.coefficients());
            for i in p * len..(p + 1) * len {
                let m = m.as_deref_mut().filter(|_| rule.keeps_m()).map_or(&mut no_m, |m| &mut m[i]);
                let v = v.as_deref_mut().filter(|_| rule.keeps_v()).map_or(&mut no_v, |v| &mut v[i]);
                update_element(&c, &mut w[i], grad[i], m, v);
            }
        }
        Ok(())
    }

    /// `w [rows, cols]` → `Σ_ij w_ij²`, problem after problem.
    fn sum_of_squares(&mut self, w: MatRef<'_, T>, sums: &mut [f64]) -> Result {
        check::sum_of_squares(&w, sums)?;
        let rows = if w.cols() == 0 { 0 } else { w.rows() };
        for (p, sum) in sums.iter_mut().enumerate() {
            *sum = 0.0;
            for r in 0..rows {
                for c in 0..w.cols() {
                    *sum += w.at(p, r, c).to_f64() * w.at(p, r, c).to_f64();
                }
            }
        }
        Ok(())
    }
}

/// `start + Σ_k a[i, k]·b[k, j]`.
fn row_times_column<T: Real>(a: MatRef<'_, T>, b: MatRef<'_, T>, p: usize, i: usize, j: usize, start: T) -> T {
    (0..b.rows()).fold(start, |sum, k| a.at(p, i, k).mul_add(b.at(p, k, j), sum))
}

/// `start + Σ_k a[k, i]·b[k, j]`.
fn column_times_column<T: Real>(a: MatRef<'_, T>, b: MatRef<'_, T>, p: usize, i: usize, j: usize, start: T) -> T {
    (0..b.rows()).fold(start, |sum, k| a.at(p, k, i).mul_add(b.at(p, k, j), sum))
}

/// The rows `0..n` in blocks of [`REDUCE_ROWS`].
fn row_blocks(n: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..n).step_by(REDUCE_ROWS).map(move |first| first..n.min(first + REDUCE_ROWS))
}

/// `a [rows, cols]` → `sums [cols] = Σ_i a_ij`, problem after problem.
fn column_sums<T: Real>(a: MatRef<'_, T>, sums: &mut [T]) {
    for (column, sum) in sums.iter_mut().enumerate() {
        let (p, j) = (column / a.cols(), column % a.cols());
        let mut total = 0.0;
        for block in row_blocks(a.rows()) {
            total += block.fold(T::ZERO, |sum, i| sum + a.at(p, i, j)).to_f64();
        }
        *sum = T::from_f64(total);
    }
}

/// `f(z)`. The sigmoid never takes e to a positive power, so nothing overflows.
fn apply<T: Real>(activation: Activation, z: T) -> T {
    match activation {
        Activation::Sigmoid if z >= T::ZERO => T::ONE / (T::ONE + (-z).exp()),
        Activation::Sigmoid => z.exp() / (T::ONE + z.exp()),
        Activation::Relu if T::ZERO > z => T::ZERO,
        Activation::Relu => z,
        Activation::Tanh => z.tanh(),
        Activation::Identity => z,
    }
}

/// `delta·f'(z)`, from `y = f(z)`. What a ReLU holds back is 0, whatever `delta` is.
fn through<T: Real>(activation: Activation, delta: T, y: T) -> T {
    match activation {
        Activation::Sigmoid => delta * (y * (T::ONE - y)),
        Activation::Relu if y > T::ZERO => delta,
        Activation::Relu => T::ZERO,
        Activation::Tanh => delta * (-y).mul_add(y, T::ONE),
        Activation::Identity => delta,
    }
}

/// ℓ of one element: logit `z`, reconstruction `y = g(z)`, target `x`.
fn loss_of<T: Real>(loss: Loss, z: T, y: T, x: T) -> T {
    match loss {
        Loss::Squared => T::from_f64(0.5) * (y - x) * (y - x),
        Loss::Bce => z.max(T::ZERO) - z * x + (-z.abs()).exp().ln_1p(),
    }
}

/// `dℓ/dz` of one element. With a sigmoid output, the derivative of BCE cancels the sigmoid's.
fn loss_slope<T: Real>(loss: Loss, activation: Activation, y: T, x: T) -> T {
    match loss {
        Loss::Squared => through(activation, y - x, y),
        Loss::Bce => y - x,
    }
}

/// −1, 0 or 1; NaN for NaN.
fn sign<T: Real>(y: T) -> T {
    if y > T::ZERO {
        T::ONE
    } else if y < T::ZERO {
        -T::ONE
    } else {
        // Zero or NaN.
        y
    }
}

/// One optimiser step on matrices.
fn update<T: Real>(mut to: UpdateMatrix<'_, T>, dims: Dims, gradient: impl Fn(usize, usize, usize) -> T) {
    for (p, hyper) in to.hyper.iter().enumerate() {
        let (rule, c) = (hyper.rule, hyper.coefficients());
        for (i, j) in (0..dims.m).flat_map(|i| (0..dims.n).map(move |j| (i, j))) {
            let mut w = to.w.at(p, i, j);
            let mut m = to.m.as_ref().map_or(T::ZERO, |m| m.at(p, i, j));
            let mut v = to.v.as_ref().map_or(T::ZERO, |v| v.at(p, i, j));
            update_element(&c, &mut w, gradient(p, i, j), &mut m, &mut v);
            to.w.set(p, i, j, w);
            if let Some(w_t) = &mut to.w_t {
                w_t.set(p, j, i, w);
            }
            if let (true, Some(state)) = (rule.keeps_m(), &mut to.m) {
                state.set(p, i, j, m);
            }
            if let (true, Some(state)) = (rule.keeps_v(), &mut to.v) {
                state.set(p, i, j, v);
            }
        }
    }
}

/// One optimiser step on one element: the table of [`Rule`]'s module, with the numbers of
/// [`Hyper::coefficients`](crate::ops::Hyper). `m` and `v` are touched where the rule keeps them.
fn update_element<T: Real>(c: &Coefficients<T>, w: &mut T, grad: T, m: &mut T, v: &mut T) {
    let g = c.clip.map_or(grad, |clip| clip.element(grad));
    let g = c.decay.mul_add(*w, g);
    let direction = match c.rule {
        Rule::Sgd => g,
        Rule::Momentum { .. } => {
            *m = c.m_keep.mul_add(*m, g);
            *m
        }
        Rule::Nesterov { .. } => {
            *m = c.m_keep.mul_add(*m, g);
            c.m_keep.mul_add(*m, g)
        }
        Rule::RmsProp { .. } | Rule::Adagrad { .. } => {
            *v = c.v_keep.mul_add(*v, c.v_take * g * g);
            g / v.sqrt().mul_add(c.v_scale, c.eps)
        }
        Rule::Adam { .. } | Rule::AdamW { .. } => {
            *m = c.m_take.mul_add(g - *m, *m);
            *v = (-c.v_take).mul_add((-g).mul_add(g, *v), *v);
            *m / v.sqrt().mul_add(c.v_scale, c.eps)
        }
    };
    *w = (-c.lr).mul_add(direction, *w * c.shrink);
}
