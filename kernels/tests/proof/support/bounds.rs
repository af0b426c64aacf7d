//! How far an f32 result may be from the exact one.
//!
//! With u = 2⁻²⁴ and γ_n = n·u/(1 − n·u) (N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, lemma
//! 3.1): n roundings, in any order of summation and with or without fused multiply-adds, move a sum of products by at
//! most γ_n times the sum of the absolute values of its terms.
//!
//! | value | error |
//! | --- | --- |
//! | pre-activation `z`, k products and up to two summands | `E_z = γ_(k+2)·(|A|·|B| + |summands|)` |
//! | `y = f(z)`, f with Lipschitz constant L, computed to U units | `E_y = L·E_z + 2Uu·(|y| + L·E_z)` |
//! | `f'`, from y with Lipschitz constant M, up to three roundings | `E_f' = M·E_y + γ_3·(|f'| + M·E_y)` |
//! | a product `p·q` | `|p|·E_q + E_p·(|q| + E_q)`, and its own roundings |
//! | a sum over rows | the sum of the terms' errors, and γ_50 of the sum of their sizes |
//!
//! A unit in the last place of y is at most `2u·|y|`, or 2⁻¹⁴⁹. `tests/ulp` holds the errors U of our functions below 2
//! units; the reference in f32 divides by one plus the library's exponential (1 unit), which is 3 units. A sum over rows
//! takes 48 additions in f32, one rounding at the end and additions in f64, which weigh less than one more. The f64
//! reference's own error, k·2⁻⁵³, is below the one rounding that E_z counts and no backend has: products of k FMAs that
//! start from 0 take k roundings, the summands two.

use sae_kernels::ops::{Activation, Form, Loss, REDUCE_ROWS, Rule};

use super::{Case, Data, Op, Outputs};

const U: f64 = 1.0 / (1u32 << 24) as f64;
/// The error of an activation or of softplus, in units in the last place.
const UNITS: f64 = 3.0;
/// Three units of the smallest subnormal.
const TINY: f64 = 4.2e-45;

pub(crate) fn gamma(n: usize) -> f64 {
    let nu = n as f64 * U;
    nu / (1.0 - nu)
}

/// A value and how far an f32 result may be from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Near {
    pub(crate) x: f64,
    pub(crate) e: f64,
}

impl Near {
    pub(crate) const fn exact(x: f64) -> Self {
        Self { x, e: 0.0 }
    }

    /// After `n` more roundings.
    pub(crate) fn rounded(self, n: usize) -> Self {
        Self { e: self.e + gamma(n) * (self.x.abs() + self.e), ..self }
    }

    /// The exact sum.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { x: self.x + other.x, e: self.e + other.e }
    }

    /// The exact product.
    pub(crate) fn times(self, other: Self) -> Self {
        let e = self.x.abs() * other.e + self.e * (other.x.abs() + other.e);
        Self { x: self.x * other.x, e }
    }

    pub(crate) fn times_exact(self, x: f64) -> Self {
        self.times(Self::exact(x))
    }

    /// The exact quotient. No bound where the divisor may be 0.
    pub(crate) fn over(self, by: Self) -> Self {
        let (x, least) = (self.x / by.x, by.x.abs() - by.e);
        let e = if least > 0.0 { (self.e + x.abs() * by.e) / least } else { f64::INFINITY };
        Self { x, e }
    }

    /// The exact root of a number that is not negative: `|√a − √b| = |a − b|/(√a + √b)`, and at most `√|a − b|`.
    fn sqrt(self) -> Self {
        let x = self.x.sqrt();
        Self { x, e: self.e.sqrt().min(self.e / x) }
    }
}

/// `y = f(z)`.
pub(crate) fn activation(f: Activation, z: Near) -> Near {
    let (x, lipschitz, units) = match f {
        Activation::Sigmoid => (1.0 / (1.0 + (-z.x).exp()), 0.25, UNITS),
        Activation::Tanh => (z.x.tanh(), 1.0, UNITS),
        Activation::Relu => (z.x.max(0.0), 1.0, 0.0),
        Activation::Identity => (z.x, 1.0, 0.0),
    };
    let e = lipschitz * z.e;
    Near { x, e: e + 2.0 * units * U * (x.abs() + e) + TINY }
}

/// `f'`, from y. A ReLU whose result may be on either side of 0 may have either derivative.
pub(crate) fn derivative(f: Activation, y: Near) -> Near {
    match f {
        Activation::Sigmoid => Near { x: y.x * (1.0 - y.x), e: y.e }.rounded(3),
        Activation::Tanh => Near { x: 1.0 - y.x * y.x, e: 2.0 * y.e }.rounded(3),
        Activation::Relu => Near { x: f64::from(y.x > 0.0), e: f64::from(y.e > y.x && y.e > TINY) },
        Activation::Identity => Near::exact(1.0),
    }
}

/// `max(z, 0) − z·x + log1p(e^−|z|)`: its derivative by z is `σ(z) − x`. Three units of softplus and up to four
/// roundings of parts that are no larger than `softplus(z) + |z·x|`.
fn cross_entropy(z: Near, x: f64) -> Near {
    let softplus = z.x.max(0.0) + (-z.x.abs()).exp().ln_1p();
    let e = (1.0 + x.abs()) * z.e;
    let size = softplus + (z.x * x).abs() + e;
    Near { x: softplus - z.x * x, e: e + (2.0 * UNITS * U + gamma(4)) * size + TINY }
}

/// The products and their errors, with `summand(i)` and its size added to element i.
fn products(case: &Case, data: &Data, summand: impl Fn(usize) -> (f64, f64)) -> Vec<Near> {
    let &Case { batch, m, n, k, .. } = case;
    let [a_matrices, b_matrices] = case.matrices();
    let mut out = Vec::with_capacity(batch * m * n);
    for p in 0..batch {
        let a = &data.a[if a_matrices == batch { p * m * k } else { 0 }..][..m * k];
        let b = &data.b[if b_matrices == batch { p * k * n } else { 0 }..][..k * n];
        for i in 0..m {
            let at = out.len();
            out.extend((at..at + n).map(|i| {
                let (x, size) = summand(i);
                Near { x, e: size }
            }));
            for q in 0..k {
                let a = f64::from(match case.op.form() {
                    Form::Nn => a[i * k + q],
                    Form::Tn => a[q * m + i],
                });
                for (sum, &b) in out[at..].iter_mut().zip(&b[q * n..][..n]) {
                    let product = a * f64::from(b);
                    sum.x += product;
                    sum.e += product.abs();
                }
            }
        }
    }
    out.iter_mut().for_each(|sum| sum.e *= gamma(k + 2));
    out
}

/// Sums over rows.
fn columns(case: &Case, terms: &[Near]) -> Vec<f64> {
    let &Case { batch, m, n, .. } = case;
    let column = |i: usize| (0..m).map(move |r| terms[(i / n * m + r) * n + i % n]);
    (0..batch * n).map(|i| column(i).map(row_sum).sum()).collect()
}

/// What one term adds to the error of a sum over rows.
pub(crate) fn row_sum(term: Near) -> f64 {
    term.e + gamma(REDUCE_ROWS + 2) * (term.x.abs() + term.e)
}

fn errors(values: &[Near]) -> Vec<f64> {
    values.iter().map(|v| v.e).collect()
}

/// The bounds on a call's outputs, in their order.
pub(crate) fn bounds(case: &Case, data: &Data) -> Outputs<f64> {
    let &Case { op, batch, m, n, .. } = case;
    let f64s = |x: &[f32], i: usize| f64::from(x[i]);
    let with_bias = |i: usize| {
        let bias = f64s(&data.vector, i / (m * n) * n + i % n);
        (bias, bias.abs())
    };
    let third = |i: usize| f64s(&data.third, i);
    let mut tensors = Vec::new();
    let mut loss = Vec::new();
    match op {
        Op::Gemm { accumulate, .. } => {
            let start = |i| if accumulate { (third(i), third(i).abs()) } else { (0.0, 0.0) };
            tensors.push(("c", errors(&products(case, data, start))));
        }
        Op::Encode { activation: f, sums } => {
            let h: Vec<_> = products(case, data, with_bias).into_iter().map(|z| activation(f, z)).collect();
            tensors.push(("h", errors(&h)));
            if sums {
                tensors.push(("col_sums", columns(case, &h)));
            }
        }
        Op::Decode { activation: f, loss: kind, x_hat, grad } => {
            let scale = f64::from(data.scale);
            let z = products(case, data, with_bias);
            let y: Vec<_> = z.iter().map(|&z| activation(f, z)).collect();
            let error = |i: usize| y[i].plus(Near::exact(-third(i))).rounded(1);
            let (cost, delta): (Vec<_>, Vec<_>) = (0..y.len())
                .map(|i| match kind {
                    Loss::Squared => {
                        let cost = error(i).times(error(i)).times_exact(0.5).rounded(2);
                        (cost, error(i).times(derivative(f, y[i])).times_exact(scale).rounded(2))
                    }
                    Loss::Bce => (cross_entropy(z[i], third(i)), error(i).times_exact(scale).rounded(1)),
                })
                .unzip();
            tensors.push(("delta", errors(&delta)));
            if grad {
                tensors.push(("bias_grad", columns(case, &delta)));
            }
            if x_hat {
                tensors.push(("x_hat", errors(&y)));
            }
            loss = (0..batch).map(|p| cost[p * m * n..][..m * n].iter().map(|&x| row_sum(x)).sum()).collect();
        }
        Op::Hidden { activation: f, row_term, l1, grad } => {
            let summand = |i: usize| {
                let row = if row_term { with_bias(i) } else { (0.0, 0.0) };
                let h = third(i);
                let l1 = if l1 && h != 0.0 { f64::from(data.l1) * h.signum() } else { 0.0 };
                (row.0 + l1, row.1 + l1.abs())
            };
            let slope = |i| derivative(f, Near::exact(third(i)));
            let z = products(case, data, summand);
            let delta: Vec<_> = z.into_iter().enumerate().map(|(i, z)| z.times(slope(i)).rounded(1)).collect();
            tensors.push(("delta_hid", errors(&delta)));
            if grad {
                tensors.push(("bias_grad", columns(case, &delta)));
            }
        }
        Op::Store => tensors.push(("grad", errors(&products(case, data, |_| (0.0, 0.0))))),
        Op::Update { rule, transposed } => {
            let g = products(case, data, |_| (0.0, 0.0));
            let step = |i| update(rule, data, g[i], third(i), data.first_moment[i], data.second_moment[i]);
            let after: Vec<[Near; 3]> = (0..g.len()).map(step).collect();
            let [w, first, second] = [0, 1, 2].map(|part| after.iter().map(|a| a[part].e).collect::<Vec<_>>());
            let w_t = (0..batch * m * n).map(|i| w[(i / (m * n) * m + i % m) * n + i / m % n]).collect();
            tensors.push(("w", w));
            if transposed || rule.keeps_m() {
                tensors.push(("m", first));
            }
            if transposed || rule.keeps_v() {
                tensors.push(("v", second));
            }
            if transposed {
                tensors.push(("w_t", w_t));
            }
        }
    }
    Outputs { tensors, loss }
}

/// `[w, m, v]` after a step: the formulas of [`Rule`], each operation rounded (a fused one once), and each number of the
/// step (`lr/(1 − β₁ᵗ)`, `1 − β`, …) rounded to f32.
fn update(rule: Rule, data: &Data, g: Near, w: f64, m: f32, v: f32) -> [Near; 3] {
    let number = |x: f64| Near::exact(x).rounded(1);
    let f32s = |x: f32| Near::exact(f64::from(x));
    let mul = |a: Near, b: Near| a.times(b).rounded(1);
    let add = |a: Near, b: Near| a.plus(b).rounded(1);
    let descend = |w: Near, lr: Near, step: Near| add(w, mul(lr, step).times_exact(-1.0));
    let (lr, decay, t) = (f64::from(data.lr), f64::from(data.decay), data.step as i32);
    let (w, m, v) = (Near::exact(w), f32s(m), f32s(v));
    let decayed = add(mul(f32s(data.decay), w), g);
    let second = |keep: f32, g: Near| add(mul(f32s(keep), v), mul(mul(number(1.0 - f64::from(keep)), g), g));
    let adam = |w: Near, g: Near, beta1: f32, beta2: f32, eps: f32| {
        let (b1, b2) = (f64::from(beta1), f64::from(beta2));
        let m = add(mul(f32s(beta1), m), mul(number(1.0 - b1), g));
        let v = second(beta2, g);
        let scale = number(1.0 / (1.0 - b2.powi(t)).sqrt());
        let under = add(mul(v.sqrt().rounded(1), scale), f32s(eps));
        [descend(w, number(lr / (1.0 - b1.powi(t))), m.over(under).rounded(1)), m, v]
    };
    match rule {
        Rule::Sgd => [descend(w, f32s(data.lr), decayed), m, v],
        Rule::Momentum { momentum } => {
            let m = add(mul(f32s(momentum), m), decayed);
            [descend(w, f32s(data.lr), m), m, v]
        }
        Rule::Nesterov { momentum } => {
            let m = add(mul(f32s(momentum), m), decayed);
            [descend(w, f32s(data.lr), add(mul(f32s(momentum), m), decayed)), m, v]
        }
        Rule::Adagrad { eps } => {
            let v = add(v, mul(decayed, decayed));
            let under = add(v.sqrt().rounded(1), f32s(eps));
            [descend(w, f32s(data.lr), decayed.over(under).rounded(1)), m, v]
        }
        Rule::RmsProp { alpha, eps } => {
            let v = second(alpha, decayed);
            let under = add(v.sqrt().rounded(1), f32s(eps));
            [descend(w, f32s(data.lr), decayed.over(under).rounded(1)), m, v]
        }
        Rule::Adam { beta1, beta2, eps } => adam(w, decayed, beta1, beta2, eps),
        Rule::AdamW { beta1, beta2, eps } => adam(mul(w, number(1.0 - lr * decay)), g, beta1, beta2, eps),
    }
}
