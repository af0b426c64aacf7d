//! The objective of a step, written out from its definition over [`Dual`] numbers, and random examples of it.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::ops::{Activation, Loss, Rule};
use sae_kernels::step::{Convention, Parameters, Penalty, RhoHat, StepConfig};

use super::dual::Dual;

/// A configuration, weights, a batch, and a batch before it for the moving average.
pub(super) struct Example {
    pub(super) cfg: StepConfig<f64>,
    pub(super) d_in: usize,
    pub(super) d_hid: usize,
    pub(super) n: usize,
    pub(super) weights: Parameters<f64>,
    pub(super) x: Vec<f64>,
    /// Where the moving average has a past.
    pub(super) earlier: Option<Vec<f64>>,
}

impl Example {
    /// Any valid configuration, at any small shape.
    pub(super) fn random(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let [d_in, d_hid, n] = [1..6, 1..6, 1..5].map(|sizes| rng.random_range(sizes));
        let loss = *Loss::ALL.choose(&mut rng).unwrap();
        let (rho, beta) = (rng.random_range(0.02..0.9), rng.random_range(0.0..2.0));
        let average = if rng.random() { RhoHat::Batch } else { RhoHat::Ema { decay: rng.random_range(0.0..0.99) } };
        let penalty =
            *[Penalty::None, Penalty::L1 { beta }, Penalty::Kl { rho, beta, average }].choose(&mut rng).unwrap();
        let any = |rng: &mut ChaCha8Rng| *Activation::ALL.choose(rng).unwrap();
        let cfg = StepConfig {
            hidden: if matches!(penalty, Penalty::Kl { .. }) { Activation::Sigmoid } else { any(&mut rng) },
            output: if loss == Loss::Bce { Activation::Sigmoid } else { any(&mut rng) },
            loss,
            convention: *Convention::ALL.choose(&mut rng).unwrap(),
            weight_decay: if rng.random() { rng.random_range(0.0..0.5) } else { 0.0 },
            penalty,
            rule: if rng.random_ratio(1, 4) { Rule::adamw() } else { Rule::Sgd },
            ..StepConfig::new()
        };
        let mut weights = Parameters::zeros(d_in, d_hid);
        for (_, tensor) in weights.tensors_mut() {
            tensor.iter_mut().for_each(|w| *w = rng.random_range(-2.0..2.0));
        }
        let mut samples = |len: usize| -> Vec<f64> { (0..len).map(|_| rng.random_range(0.0..1.0)).collect() };
        let (x, earlier) = (samples(n * d_in), samples(n * d_in));
        let has_past = matches!(penalty, Penalty::Kl { average: RhoHat::Ema { .. }, .. }) && !seed.is_multiple_of(4);
        Self { cfg, d_in, d_hid, n, weights, x, earlier: has_past.then_some(earlier) }
    }

    /// The activations of one sample.
    fn layer(f: Activation, x: &[Dual], w: &[Dual], bias: &[Dual]) -> Vec<(Dual, Dual)> {
        let cols = bias.len();
        let z = (0..cols).map(|j| x.iter().enumerate().map(|(i, &x)| x * w[i * cols + j]).sum::<Dual>() + bias[j]);
        let apply = |z: Dual| match f {
            Activation::Sigmoid => z.sigmoid(),
            Activation::Tanh => z.tanh(),
            Activation::Relu => z.relu(),
            Activation::Identity => z,
        };
        z.map(|z| (z, apply(z))).collect()
    }

    /// The mean activations of a batch.
    fn hidden(&self, x: &[f64], weights: &[Vec<Dual>; 4]) -> Vec<Vec<Dual>> {
        let constants = |x: &[f64]| x.iter().map(|&x| Dual::constant(x)).collect::<Vec<_>>();
        let one = |x: &[f64]| Self::layer(self.cfg.hidden, &constants(x), &weights[0], &weights[1]);
        x.chunks(self.d_in).map(|x| one(x).into_iter().map(|(_, y)| y).collect()).collect()
    }

    /// J, with its derivative by element `i` of tensor `t`.
    pub(super) fn objective(&self, t: usize, i: usize) -> Dual {
        let mut weights = self.weights.tensors().map(|(_, w)| w.iter().map(|&w| Dual::constant(w)).collect::<Vec<_>>());
        weights[t][i] = Dual::variable(weights[t][i].value);
        let (cfg, n, d_in) = (&self.cfg, self.n as f64, self.d_in as f64);
        let zero = Dual::constant(0.0);

        let h = self.hidden(&self.x, &weights);
        let mut cost = zero;
        for (h, x) in h.iter().zip(self.x.chunks(self.d_in)) {
            for ((z, y), &x) in Self::layer(cfg.output, h, &weights[2], &weights[3]).into_iter().zip(x) {
                let error = y - Dual::constant(x);
                cost = cost
                    + match cfg.loss {
                        Loss::Squared => error * error,
                        Loss::Bce => z.softplus() - z.scaled(x),
                    };
            }
        }
        let mut total = cost.scaled(match (cfg.convention, cfg.loss) {
            (Convention::PerElement, _) => 1.0 / (n * d_in),
            (Convention::PerSample, Loss::Squared) => 1.0 / (2.0 * n),
            (Convention::PerSample, Loss::Bce) => 1.0 / n,
        });

        if cfg.rule == Rule::Sgd {
            let norm: Dual = weights[0].iter().chain(&weights[2]).map(|&w| w * w).sum();
            total = total
                + norm.scaled(match cfg.convention {
                    Convention::PerElement => cfg.weight_decay / (2.0 * n),
                    Convention::PerSample => cfg.weight_decay / 2.0,
                });
        }

        let mean = |h: &[Vec<Dual>], j: usize| h.iter().map(|h| h[j]).sum::<Dual>().scaled(1.0 / n);
        total
            + match cfg.penalty {
                Penalty::None => zero,
                Penalty::L1 { beta } => h.iter().flatten().map(|h| h.abs()).sum::<Dual>().scaled(beta / n),
                Penalty::Kl { rho, beta, average } => {
                    let plain = self.weights.tensors().map(|(_, w)| w.iter().map(|&w| Dual::constant(w)).collect());
                    let past = self.earlier.as_ref().map(|x| self.hidden(x, &plain));
                    let divergence = |j: usize| {
                        let rho_hat = match (average, &past) {
                            (RhoHat::Ema { decay }, Some(past)) => {
                                mean(past, j).scaled(decay) + mean(&h, j).scaled(1.0 - decay)
                            }
                            _ => mean(&h, j),
                        };
                        let rest = Dual::constant(1.0) - rho_hat;
                        let constant = rho * rho.ln() + (1.0 - rho) * (1.0 - rho).ln();
                        Dual::constant(constant) - rho_hat.ln().scaled(rho) - rest.ln().scaled(1.0 - rho)
                    };
                    (0..self.d_hid).map(divergence).sum::<Dual>().scaled(beta)
                }
            }
    }
}
