//! The gradients of the fused kernels in f32 against those in f64, within a bound that is carried through the whole step:
//! every intermediate is a number and how far an f32 result may be from it (`support::bounds` says by which rules).

use sae_kernels::ops::{Activation, Loss, Rule};
use sae_kernels::step::{Parameters, Penalty, RhoHat, Step, StepConfig};
use sae_kernels::{Backend, Fused, Isa, MatRef, Naive};

use super::objective::Example;
use crate::soak::mix;
use crate::support::bounds::{Near, activation, derivative, gamma, row_sum};
use crate::support::share;

/// An example whose numbers are f32s.
struct Single {
    cfg: StepConfig<f32>,
    weights: Parameters<f32>,
    x: Vec<f32>,
    d_in: usize,
    d_hid: usize,
    n: usize,
}

impl Single {
    fn random(seed: u64) -> Self {
        let example = Example::random(seed);
        let f32s = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<_>>();
        let Parameters { w_enc, b_enc, w_dec, b_dec } = &example.weights;
        let cfg = &example.cfg;
        let cfg = StepConfig {
            hidden: cfg.hidden,
            output: cfg.output,
            loss: cfg.loss,
            convention: cfg.convention,
            weight_decay: cfg.weight_decay as f32,
            penalty: match cfg.penalty {
                Penalty::None => Penalty::None,
                Penalty::L1 { beta } => Penalty::L1 { beta: beta as f32 },
                // In a first step a moving average is its batch's.
                Penalty::Kl { rho, beta, average } => {
                    let average = match average {
                        RhoHat::Batch => RhoHat::Batch,
                        RhoHat::Ema { decay } => RhoHat::Ema { decay: decay as f32 },
                    };
                    Penalty::Kl { rho: rho as f32, beta: beta as f32, average }
                }
            },
            rule: if cfg.rule == Rule::Sgd { Rule::Sgd } else { Rule::adamw() },
            ..StepConfig::new()
        };
        let weights = Parameters { w_enc: f32s(w_enc), b_enc: f32s(b_enc), w_dec: f32s(w_dec), b_dec: f32s(b_dec) };
        let Example { d_in, d_hid, n, .. } = example;
        Self { cfg, weights, x: f32s(&example.x), d_in, d_hid, n }
    }

    /// The gradients on a backend.
    fn found(&self, backend: &mut dyn Backend) -> Parameters<f32> {
        let mut step = Step::new(self.d_in, self.d_hid, self.n, backend.panel(), self.cfg).unwrap();
        step.set_weights(&self.weights).unwrap();
        step.gradients(backend, MatRef::row_major(&self.x, self.n, self.d_in).unwrap()).unwrap()
    }

    /// The gradients in f64.
    fn exact(&self) -> Parameters<f64> {
        let f64s = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let cfg = &self.cfg;
        let cfg = StepConfig {
            hidden: cfg.hidden,
            output: cfg.output,
            loss: cfg.loss,
            convention: cfg.convention,
            weight_decay: f64::from(cfg.weight_decay),
            penalty: match cfg.penalty {
                Penalty::None => Penalty::None,
                Penalty::L1 { beta } => Penalty::L1 { beta: f64::from(beta) },
                Penalty::Kl { rho, beta, .. } => {
                    Penalty::Kl { rho: f64::from(rho), beta: f64::from(beta), average: RhoHat::Batch }
                }
            },
            rule: if cfg.rule == Rule::Sgd { Rule::Sgd } else { Rule::adamw() },
            ..StepConfig::new()
        };
        let mut step = Step::new(self.d_in, self.d_hid, self.n, None, cfg).unwrap();
        let Parameters { w_enc, b_enc, w_dec, b_dec } = &self.weights;
        let weights = Parameters { w_enc: f64s(w_enc), b_enc: f64s(b_enc), w_dec: f64s(w_dec), b_dec: f64s(b_dec) };
        step.set_weights(&weights).unwrap();
        step.gradients(&mut Naive, MatRef::row_major(&f64s(&self.x), self.n, self.d_in).unwrap()).unwrap()
    }

    /// How far each gradient may be from the exact one.
    fn bounds(&self) -> Parameters<f64> {
        let &Self { cfg, d_in, d_hid, n, .. } = self;
        let exact = |x: &[f32]| x.iter().map(|&x| Near::exact(f64::from(x))).collect::<Vec<_>>();
        let (x, w_enc, b_enc) = (exact(&self.x), exact(&self.weights.w_enc), exact(&self.weights.b_enc));
        let (w_dec, b_dec) = (exact(&self.weights.w_dec), exact(&self.weights.b_dec));
        let count = n as f64;

        let h: Vec<Near> = each(n, d_hid, |i, j| {
            activation(cfg.hidden, dot(d_in, |k| (x[i * d_in + k], w_enc[k * d_hid + j]), &[b_enc[j]]))
        });
        let scale = match (cfg.convention, cfg.loss) {
            (sae_kernels::step::Convention::PerSample, _) => 1.0 / count,
            (_, Loss::Squared) => 2.0 / (count * d_in as f64),
            (_, Loss::Bce) => 1.0 / (count * d_in as f64),
        };
        let delta_out: Vec<Near> = each(n, d_in, |i, j| {
            let y = activation(cfg.output, dot(d_hid, |k| (h[i * d_hid + k], w_dec[k * d_in + j]), &[b_dec[j]]));
            let error = y.plus(x[i * d_in + j].times_exact(-1.0)).rounded(1);
            let slope = if cfg.loss == Loss::Bce { Near::exact(1.0) } else { derivative(cfg.output, y) };
            // The product with f', the rounded scale, and the product with it.
            error.times(slope).times_exact(scale).rounded(3)
        });

        let row_term: Vec<Near> = (0..d_hid)
            .map(|j| match cfg.penalty {
                Penalty::Kl { rho, beta, .. } => {
                    let rho = f64::from(rho);
                    let mean = column(n, |i| h[i * d_hid + j]).times_exact(1.0 / count).rounded(2);
                    let rest = Near::exact(1.0).plus(mean.times_exact(-1.0));
                    let slope = Near::exact(1.0 - rho).over(rest).plus(Near::exact(rho).over(mean).times_exact(-1.0));
                    slope.times_exact(f64::from(beta) / count).rounded(2)
                }
                _ => Near::exact(0.0),
            })
            .collect();
        let l1 = |h: Near| match cfg.penalty {
            Penalty::L1 { beta } => {
                let l1 = f64::from(beta) / count;
                let sign = if h.x == 0.0 { 0.0 } else { h.x.signum() };
                // A number that may be on either side of 0 may have either sign.
                let e = if cfg.hidden != Activation::Sigmoid && h.e >= h.x.abs() { 2.0 * l1 } else { gamma(1) * l1 };
                Near { x: l1 * sign, e }
            }
            _ => Near::exact(0.0),
        };
        let delta_hid: Vec<Near> = each(n, d_hid, |i, j| {
            let (y, pairs) = (h[i * d_hid + j], |k: usize| (delta_out[i * d_in + k], w_dec[j * d_in + k]));
            dot(d_in, pairs, &[row_term[j], l1(y)]).times(derivative(cfg.hidden, y)).rounded(1)
        });

        let rate = match (cfg.rule, cfg.convention) {
            (Rule::AdamW { .. }, _) => 0.0,
            (_, sae_kernels::step::Convention::PerSample) => f64::from(cfg.weight_decay),
            (_, sae_kernels::step::Convention::PerElement) => f64::from(cfg.weight_decay) / count,
        };
        let decayed = |g: Near, w: Near| g.plus(w.times_exact(rate).rounded(1)).rounded(1).e;
        let grad = |a: &[Near], rows: usize, b: &[Near], cols: usize, w: &[Near]| {
            each(rows, cols, |i, j| decayed(dot(n, |k| (a[k * rows + i], b[k * cols + j]), &[]), w[i * cols + j]))
        };
        Parameters {
            w_enc: grad(&x, d_in, &delta_hid, d_hid, &w_enc),
            b_enc: (0..d_hid).map(|j| column(n, |i| delta_hid[i * d_hid + j]).e).collect(),
            w_dec: grad(&h, d_hid, &delta_out, d_in, &w_dec),
            b_dec: (0..d_in).map(|j| column(n, |i| delta_out[i * d_in + j]).e).collect(),
        }
    }

    /// The first gradient that is too far off.
    fn check(&self, found: &Parameters<f32>) -> Result<(), String> {
        let (exact, bounds) = (self.exact(), self.bounds());
        for (((name, found), (_, exact)), (_, bounds)) in
            found.tensors().into_iter().zip(exact.tensors()).zip(bounds.tensors())
        {
            for (i, ((&found, &exact), &bound)) in found.iter().zip(exact).zip(bounds).enumerate() {
                let off = (f64::from(found) - exact).abs();
                // Also where the bound is a NaN, which it must not be.
                if off.is_nan() || bound.is_nan() || off > bound {
                    return Err(format!(
                        "{name}[{i}]: {found:e}, not {exact:e}: off by {off:e}, bound {bound:e}: {:?}",
                        self.cfg
                    ));
                }
            }
        }
        Ok(())
    }
}

fn each<T>(rows: usize, cols: usize, f: impl Fn(usize, usize) -> T) -> Vec<T> {
    (0..rows * cols).map(|at| f(at / cols, at % cols)).collect()
}

/// `Σ a·b + Σ summands`: their own errors, and the roundings of all terms together.
fn dot(k: usize, pair: impl Fn(usize) -> (Near, Near), summands: &[Near]) -> Near {
    let products = (0..k).map(pair).map(|(a, b)| a.times(b));
    let (sum, size) = products
        .chain(summands.iter().copied())
        .fold((Near::exact(0.0), 0.0), |(sum, size), term| (sum.plus(term), size + term.x.abs() + term.e));
    Near { e: sum.e + gamma(k + 2) * size, ..sum }
}

/// A sum over rows.
fn column(n: usize, term: impl Fn(usize) -> Near) -> Near {
    Near { x: (0..n).map(|i| term(i).x).sum(), e: (0..n).map(|i| row_sum(term(i))).sum() }
}

#[test]
fn fused_gradients_are_within_the_bound_of_those_in_f64() {
    for isa in Isa::available() {
        let mut fused = Fused::with_isa(isa).unwrap();
        for case in 0..2000 / share() as u64 {
            let example = Single::random(mix(1, case));
            example.check(&example.found(&mut fused)).unwrap_or_else(|wrong| panic!("{isa}, case {case}: {wrong}"));
        }
    }
}

/// The bound has not grown so large that it holds everything back: weights that differ by a part in a thousand are seen
/// in almost every example.
#[test]
fn the_bound_refuses_what_is_slightly_wrong() {
    let mut fused = Fused::new().unwrap();
    let (mut seen, cases) = (0, 200);
    for case in 0..cases {
        let mut example = Single::random(mix(2, case));
        let right = example.found(&mut fused);
        example.check(&right).unwrap();
        example.weights.w_dec.iter_mut().for_each(|w| *w *= 1.001);
        seen += usize::from(example.check(&right).is_err());
    }
    assert!(seen as u64 * 10 >= cases * 9, "{seen} of {cases}");
}
