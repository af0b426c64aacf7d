//! The objective of a step, written out from its definition over [`Dual`] numbers, and random examples of it.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::ops::{Activation, Loss, Rule};
use sae_kernels::step::{Convention, Dropout, Parameters, Penalty, RhoHat, Selection, Step, StepConfig};
use sae_kernels::{MatRef, Naive};

use super::dual::Dual;

/// A configuration, weights, a batch, and a batch before it for the moving average.
pub(super) struct Example {
    pub(super) cfg: StepConfig<f64>,
    pub(super) d_in: usize,
    pub(super) d_hid: usize,
    pub(super) n: usize,
    pub(super) weights: Parameters<f64>,
    pub(super) x: Vec<f64>,
    pub(super) noise: Noise,
    /// What dropout multiplies the activations of each row by, corrupted copies behind the samples.
    gates: Vec<f64>,
    /// Where the moving average has a past.
    pub(super) earlier: Option<Vec<f64>>,
}

/// What is encoded beside the samples, or in their place.
pub(super) enum Noise {
    None,
    /// Corrupted samples.
    Corrupted(Vec<f64>),
    /// The samples, then as many corrupted ones; γ.
    Paired(Vec<f64>, f64),
}

impl Example {
    /// Any valid configuration without what [`Example::whole`] adds, at any small shape.
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
        let earlier = has_past.then_some(earlier);
        Self { cfg, d_in, d_hid, n, weights, x, noise: Noise::None, gates: vec![1.0; n * d_hid], earlier }
    }

    /// The same with tied weights, decoupled decay, a selection, dropout and corrupted samples, each in some examples.
    pub(super) fn whole(seed: u64) -> Self {
        let (mut example, mut rng) = (Self::random(seed), ChaCha8Rng::seed_from_u64(seed ^ 1 << 63));
        let (d_in, d_hid, n) = (example.d_in, example.d_hid, example.n);
        example.cfg.tied = rng.random();
        if example.cfg.tied {
            let w_enc = &example.weights.w_enc;
            example.weights.w_dec = (0..d_hid * d_in).map(|at| w_enc[at % d_in * d_hid + at / d_in]).collect();
        }
        example.cfg.decoupled_decay = rng.random_ratio(1, 4);
        example.cfg.dropout =
            rng.random::<bool>().then(|| Dropout { rate: rng.random_range(0.0..0.9), seed: rng.random() });
        let mut copies: Vec<f64> = (0..n * d_in).map(|_| rng.random_range(0.0..1.0)).collect();
        example.noise = match rng.random_range(0..3) {
            0 => Noise::None,
            1 => Noise::Corrupted(copies),
            _ => {
                copies.splice(0..0, example.x.iter().copied());
                Noise::Paired(copies, rng.random_range(0.0..2.0))
            }
        };
        example.cfg.selection = match rng.random_range(0..3) {
            0 => Selection::All,
            1 => Selection::TopK { k: rng.random_range(1..=d_hid) },
            _ => Selection::Threshold { threshold: rng.random_range(0.0..0.9) },
        };
        // KL has no derivative at a mean of 0, which a unit that is never selected has.
        let plain = example.constants();
        let has_silent = |x: &[f64]| {
            let h = example.hidden(x, &plain);
            (0..d_hid).any(|j| h.iter().all(|h| h[j].value == 0.0))
        };
        let is_silent = has_silent(example.encoded()) || example.earlier.as_deref().is_some_and(has_silent);
        if is_silent && matches!(example.cfg.penalty, Penalty::Kl { .. }) {
            example.cfg.selection = Selection::All;
        }
        example.gates = example.dropped(if matches!(example.noise, Noise::Paired(..)) { 2 * n } else { n });
        example
    }

    /// The samples that J is of, as they are encoded.
    fn encoded(&self) -> &[f64] {
        match &self.noise {
            Noise::Corrupted(x) => x,
            Noise::None | Noise::Paired(..) => &self.x,
        }
    }

    /// The weights, none of which is derived by.
    fn constants(&self) -> [Vec<Dual>; 4] {
        self.weights.tensors().map(|(_, w)| w.iter().map(|&w| Dual::constant(w)).collect())
    }

    /// What dropout multiplies the activations of `rows` rows by in this example's step. Which units it drops is a function
    /// of seed, step, row and unit alone: here they are read off the gradient of a step that is nothing but units, each
    /// sample a column of its own.
    fn dropped(&self, rows: usize) -> Vec<f64> {
        let Some(Dropout { rate, .. }) = self.cfg.dropout else { return vec![1.0; rows * self.d_hid] };
        let cfg = StepConfig {
            hidden: Activation::Identity,
            output: Activation::Identity,
            dropout: self.cfg.dropout,
            ..StepConfig::new()
        };
        let mut units = Step::new(rows, self.d_hid, rows, None, cfg).unwrap();
        let matrix = vec![1.0; rows * self.d_hid];
        let bias = vec![100.0; rows];
        let weights = Parameters { w_dec: matrix, b_dec: bias, ..Parameters::zeros(rows, self.d_hid) };
        units.set_weights(&weights).unwrap();
        let mut x = vec![0.0; rows * rows];
        x.iter_mut().step_by(rows + 1).for_each(|one| *one = 1.0);
        let x = MatRef::row_major(&x, rows, rows).unwrap();
        if self.earlier.is_some() {
            units.train_step(&mut Naive, x, 0.0).unwrap();
        }
        let gradient = units.gradients(&mut Naive, x).unwrap().w_enc;
        gradient.iter().map(|&g| if g == 0.0 { 0.0 } else { 1.0 / (1.0 - rate) }).collect()
    }

    /// What stays of the activations of a sample.
    fn select(&self, h: Vec<Dual>) -> Vec<Dual> {
        let stays: Vec<bool> = match self.cfg.selection {
            Selection::All => vec![true; h.len()],
            Selection::Threshold { threshold } => h.iter().map(|h| h.value.abs() > threshold).collect(),
            Selection::TopK { k } => {
                let before = |a: usize, b: usize| h[a].value > h[b].value || h[a].value == h[b].value && a < b;
                (0..h.len()).map(|j| (0..h.len()).filter(|&i| before(i, j)).count() < k).collect()
            }
        };
        h.into_iter().zip(stays).map(|(h, stays)| if stays { h } else { Dual::constant(0.0) }).collect()
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

    /// The activations of a batch, as far as they stay.
    fn hidden(&self, x: &[f64], weights: &[Vec<Dual>; 4]) -> Vec<Vec<Dual>> {
        let constants = |x: &[f64]| x.iter().map(|&x| Dual::constant(x)).collect::<Vec<_>>();
        let one = |x: &[f64]| Self::layer(self.cfg.hidden, &constants(x), &weights[0], &weights[1]);
        x.chunks(self.d_in).map(|x| self.select(one(x).into_iter().map(|(_, y)| y).collect())).collect()
    }

    /// J, with its derivative by element `i` of tensor `t`.
    pub(super) fn objective(&self, t: usize, i: usize) -> Dual {
        let mut weights = self.constants();
        weights[t][i] = Dual::variable(weights[t][i].value);
        if self.cfg.tied && t.is_multiple_of(2) {
            // The same weight in the other matrix.
            let cols = if t == 0 { self.d_hid } else { self.d_in };
            let rows = weights[t].len() / cols;
            weights[2 - t][i % cols * rows + i / cols] = weights[t][i];
        }
        let (cfg, n, d_in) = (&self.cfg, self.n as f64, self.d_in as f64);
        let zero = Dual::constant(0.0);

        let cost = |h: &[Vec<Dual>], gates: &[f64]| {
            let mut cost = zero;
            for ((h, gates), x) in h.iter().zip(gates.chunks(self.d_hid)).zip(self.x.chunks(self.d_in)) {
                let code: Vec<Dual> = h.iter().zip(gates).map(|(h, &gate)| h.scaled(gate)).collect();
                for ((z, y), &x) in Self::layer(cfg.output, &code, &weights[2], &weights[3]).into_iter().zip(x) {
                    let error = y - Dual::constant(x);
                    cost = cost
                        + match cfg.loss {
                            Loss::Squared => error * error,
                            Loss::Bce => z.softplus() - z.scaled(x),
                        };
                }
            }
            cost
        };
        let h = self.hidden(self.encoded(), &weights);
        let mut all = cost(&h, &self.gates);
        if let Noise::Paired(both, gamma) = &self.noise {
            let copies = self.hidden(&both[self.x.len()..], &weights);
            all = all + cost(&copies, &self.gates[self.n * self.d_hid..]).scaled(*gamma);
        }
        let mut total = all.scaled(match (cfg.convention, cfg.loss) {
            (Convention::PerElement, _) => 1.0 / (n * d_in),
            (Convention::PerSample, Loss::Squared) => 1.0 / (2.0 * n),
            (Convention::PerSample, Loss::Bce) => 1.0 / n,
        });

        if cfg.rule == Rule::Sgd && !cfg.decoupled_decay {
            let first = if cfg.tied { &[][..] } else { &weights[0] };
            let norm: Dual = first.iter().chain(&weights[2]).map(|&w| w * w).sum();
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
                    let plain = self.constants();
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
