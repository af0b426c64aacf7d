//! The training step: its objective by hand, its updates against PyTorch's formulas, short batches, conventions,
//! checkpoints, and what it refuses.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::ops::{Activation, Loss, Rule};
use sae_kernels::step::{Convention, Parameters, Penalty, RhoHat, Step, StepConfig};
use sae_kernels::{Error, Layout, MatMut, MatRef, Matrix, Naive, Real};

const D_IN: usize = 6;
const D_HID: usize = 5;

fn random<T: Real>(seed: u64, len: usize, low: f64, high: f64) -> Vec<T> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| T::from_f64(rng.random_range(low..high))).collect()
}

fn weights<T: Real>() -> Parameters<T> {
    let mut weights = Parameters::zeros(D_IN, D_HID);
    for (seed, (_, tensor)) in weights.tensors_mut().into_iter().enumerate() {
        tensor.copy_from_slice(&random(seed as u64, tensor.len(), -1.0, 1.0));
    }
    weights
}

fn samples<T: Real>(n: usize) -> Vec<T> {
    random(99, n * D_IN, 0.0, 1.0)
}

fn view<T>(x: &[T]) -> MatRef<'_, T> {
    MatRef::row_major(x, x.len() / D_IN, D_IN).unwrap()
}

fn step<T: Real>(max_batch: usize, panel: Option<usize>, cfg: StepConfig<T>) -> Step<T> {
    let mut step = Step::new(D_IN, D_HID, max_batch, panel, cfg).unwrap();
    step.set_weights(&weights()).unwrap();
    step
}

const KL: Penalty<f32> = Penalty::Kl { rho: 0.1, beta: 0.3, average: RhoHat::Ema { decay: 0.8 } };

/// PyTorch's optimisers for one scalar, written from the formulas of its documentation.
#[derive(Clone, Default)]
struct Torch {
    t: i32,
    m: f64,
    v: f64,
}

impl Torch {
    fn step(&mut self, rule: Rule<f64>, lr: f64, weight_decay: f64, p: f64, grad: f64) -> f64 {
        self.t += 1;
        let g = grad + weight_decay * p;
        match rule {
            Rule::Sgd => p - lr * g,
            Rule::Momentum { momentum } => {
                self.m = if self.t == 1 { g } else { momentum * self.m + g };
                p - lr * self.m
            }
            Rule::Nesterov { momentum } => {
                self.m = if self.t == 1 { g } else { momentum * self.m + g };
                p - lr * (g + momentum * self.m)
            }
            Rule::Adagrad { eps } => {
                self.v += g * g;
                p - lr * g / (self.v.sqrt() + eps)
            }
            Rule::RmsProp { alpha, eps } => {
                self.v = alpha * self.v + (1.0 - alpha) * g * g;
                p - lr * g / (self.v.sqrt() + eps)
            }
            Rule::Adam { beta1, beta2, eps } => p - lr * self.adam(beta1, beta2, eps, g),
            Rule::AdamW { beta1, beta2, eps } => p - lr * weight_decay * p - lr * self.adam(beta1, beta2, eps, grad),
        }
    }

    fn adam(&mut self, beta1: f64, beta2: f64, eps: f64, g: f64) -> f64 {
        self.m = beta1 * self.m + (1.0 - beta1) * g;
        self.v = beta2 * self.v + (1.0 - beta2) * g * g;
        let m_hat = self.m / (1.0 - beta1.powi(self.t));
        let v_hat = self.v / (1.0 - beta2.powi(self.t));
        m_hat / (v_hat.sqrt() + eps)
    }
}

/// Both sides start each step from the same weights and the same gradient (that of a step without weight decay), so
/// that only the update is compared. Its few roundings are relative to `|w|` and to `lr·|g|/√v`, at most 10·lr for
/// RMSprop's first step; `g + λ·w` may cancel, which magnifies its rounding by at most `(|g| + |λ·w|)/|g + λ·w|`, below
/// 2000 for the gradients asserted here. With lr 0.1 that is 2000·u·(a few) < 10⁻¹². Leaving ε out would show as
/// lr·ε/|g| ≥ 10⁻⁹.
#[test]
fn updates_follow_pytorch() {
    let (lr, lambda, tolerance) = (0.1, 0.1, 1e-12);
    let x = samples::<f64>(8);
    for rule in Rule::<f64>::all() {
        for convention in Convention::ALL {
            let plain = StepConfig { rule, convention, ..StepConfig::new() };
            let mut trained = step(8, Some(4), StepConfig { weight_decay: lambda, ..plain });
            let mut twin = step(8, None, plain);
            // AdamW's coefficient is the same in both conventions.
            let decay = match (rule, convention) {
                (Rule::AdamW { .. }, _) | (_, Convention::PerSample) => lambda,
                (_, Convention::PerElement) => lambda / 8.0,
            };
            let mut torch = vec![Torch::default(); 2 * D_IN * D_HID + D_IN + D_HID];
            for t in 0..5 {
                let mut expected = trained.weights();
                twin.set_weights(&expected).unwrap();
                let grad = twin.gradients(&mut Naive, view(&x)).unwrap();
                let mut torch = torch.iter_mut();
                for ((name, ps), (_, gs)) in expected.tensors_mut().into_iter().zip(grad.tensors()) {
                    let decay = if name.starts_with('w') { decay } else { 0.0 };
                    for ((p, &g), torch) in ps.iter_mut().zip(gs).zip(&mut torch) {
                        let total = if matches!(rule, Rule::AdamW { .. }) { g } else { g + decay * *p };
                        assert!(total.abs() * 2000.0 > g.abs() + (decay * *p).abs(), "{name}: {total:e} cancels");
                        *p = torch.step(rule, lr, decay, *p, g);
                    }
                }
                trained.train_step(&mut Naive, view(&x), lr).unwrap();
                for ((name, found), (_, expected)) in trained.weights().tensors().into_iter().zip(expected.tensors()) {
                    for (f, e) in found.iter().zip(expected) {
                        assert!((f - e).abs() < tolerance, "{rule:?} {convention:?} step {t} {name}: {f} {e}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_objective_by_hand() {
    // One sample [1, 0], one hidden unit, all weights 0 but w_dec = [2, 0]: h = σ(0) = ½, x̂ = [1, 0] + b_dec.
    let run = |convention, loss, output, penalty, b_dec: Vec<f64>| {
        let cfg = StepConfig { convention, loss, output, penalty, weight_decay: 0.5, ..StepConfig::new() };
        let mut step = Step::new(2, 1, 3, None, cfg).unwrap();
        let w_dec = vec![2.0, 0.0];
        step.set_weights(&Parameters { w_dec, b_dec, ..Parameters::zeros(2, 1) }).unwrap();
        let x = [1.0, 0.0];
        step.objective(&mut Naive, MatRef::row_major(&x, 1, 2).unwrap()).unwrap()
    };
    use Convention::{PerElement, PerSample};
    let identity = |convention, penalty| run(convention, Loss::Squared, Activation::Identity, penalty, vec![0.0, 2.0]);
    // ‖x̂ − x‖² = 4: ½·4 a sample, 4/2 an element. ‖w‖² = 4: λ/2·4 = 1, and n = 1.
    for convention in Convention::ALL {
        let r = identity(convention, Penalty::None);
        assert_eq!((r.n, r.loss_sum, r.reconstruction, r.weight_decay), (1, 2.0, 2.0, 1.0));
        assert_eq!((r.sparsity, r.rho_hat_mean, r.loss), (0.0, 0.5, 3.0));
        assert_eq!(identity(convention, Penalty::L1 { beta: 3.0 }).sparsity, 1.5);
    }
    // KL(¼‖½) = ¼·ln ½ + ¾·ln(3/2); five roundings of numbers below 1.
    let kl = Penalty::Kl { rho: 0.25, beta: 2.0, average: RhoHat::Batch };
    let expected = 2.0 * (0.25 * 0.5f64.ln() + 0.75 * 1.5f64.ln());
    assert!((identity(PerSample, kl).sparsity - expected).abs() < 8.0 * f64::EPSILON);
    // Logits [0, 0] after b_dec = [−1, 0]: ln 2 for each of two elements; summed, or averaged over both.
    let bce = |convention| run(convention, Loss::Bce, Activation::Sigmoid, Penalty::None, vec![-1.0, 0.0]);
    let ln2 = std::f64::consts::LN_2;
    assert!((bce(PerSample).reconstruction - 2.0 * ln2).abs() < 4.0 * f64::EPSILON);
    assert!((bce(PerElement).reconstruction - ln2).abs() < 4.0 * f64::EPSILON);
}

#[test]
fn a_short_last_batch_is_as_good_as_a_step_of_that_size() {
    let (full, short) = (samples::<f32>(9), samples::<f32>(4));
    for panel in [None, Some(4)] {
        let cfg =
            StepConfig { penalty: KL, weight_decay: 0.01, convention: Convention::PerElement, ..StepConfig::new() };
        let (mut large, mut small) = (step(9, panel, cfg), step(4, panel, cfg));
        // Leave something in the rows beyond the fourth.
        large.objective(&mut Naive, view(&full)).unwrap();
        for _ in 0..3 {
            let reports = [&mut large, &mut small].map(|s| s.train_step(&mut Naive, view(&short), 0.1).unwrap());
            assert_eq!(reports[0], reports[1]);
        }
        assert_eq!(large.weights(), small.weights());
        assert_eq!(large.state(), small.state());
    }
}

#[test]
fn layout_changes_no_bit_of_a_run() {
    let x = samples::<f32>(7);
    let run = |panel| {
        let cfg = StepConfig { penalty: KL, weight_decay: 0.01, ..StepConfig::new() };
        let mut step = step(7, panel, cfg);
        let reports: Vec<_> = (0..4).map(|_| step.train_step(&mut Naive, view(&x), 0.1).unwrap()).collect();
        (reports, step.weights(), step.state())
    };
    let plain = run(None);
    for panel in [1, 2, 3, 4, 5, 8, 64] {
        assert_eq!(plain, run(Some(panel)), "panel {panel}");
    }
}

/// `J_e = c·J_s` with c = 2/d_in (squared) or 1/d_in (BCE). The scales differ by a few roundings in each term and each
/// gradient: 64 ulps of its size, and of the largest gradient where the two terms cancel.
#[test]
fn the_conventions_agree() {
    let n = 8;
    let x = samples::<f64>(n);
    let penalties: [fn(f64) -> Penalty<f64>; 3] = [
        |beta| Penalty::L1 { beta },
        |beta| Penalty::Kl { rho: 0.1, beta, average: RhoHat::Batch },
        |beta| Penalty::Kl { rho: 0.1, beta, average: RhoHat::Ema { decay: 0.5 } },
    ];
    for (loss, c) in [(Loss::Squared, 2.0 / D_IN as f64), (Loss::Bce, 1.0 / D_IN as f64)] {
        for penalty in penalties {
            let (beta, lambda) = (0.3, 0.05);
            let cfg = StepConfig { loss, penalty: penalty(beta), weight_decay: lambda, ..StepConfig::new() };
            let mut sample = step(n, None, cfg);
            let mut element = step(
                n,
                None,
                StepConfig {
                    convention: Convention::PerElement,
                    penalty: penalty(c * beta),
                    weight_decay: c * n as f64 * lambda,
                    ..cfg
                },
            );
            let j = |s: &mut Step<f64>| s.objective(&mut Naive, view(&x)).unwrap().loss;
            let (j_s, j_e) = (j(&mut sample), j(&mut element));
            assert!((j_e - c * j_s).abs() <= 64.0 * f64::EPSILON * j_s, "{loss:?} {j_e} {j_s}");
            let g = |s: &mut Step<f64>| s.gradients(&mut Naive, view(&x)).unwrap();
            for ((name, e), (_, s)) in g(&mut element).tensors().into_iter().zip(g(&mut sample).tensors()) {
                let largest = s.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                for (e, s) in e.iter().zip(s) {
                    assert!((e - c * s).abs() <= 64.0 * f64::EPSILON * largest, "{loss:?} {name}: {e} {s}");
                }
            }
        }
    }
}

#[test]
fn a_moving_average_starts_from_its_first_batch() {
    let average = RhoHat::Ema { decay: 0.75 };
    let cfg = StepConfig { penalty: Penalty::Kl { rho: 0.1, beta: 1.0, average }, ..StepConfig::new() };
    let mut step = step::<f64>(8, None, cfg);
    let (x, y) = (samples(8), random(5, 3 * D_IN, 0.0, 1.0));
    assert_eq!(step.state().rho_hat, None);
    step.train_step(&mut Naive, view(&x), 0.1).unwrap();
    let first = step.batch_mean().to_vec();
    assert_eq!(step.rho_hat(), first);
    step.evaluate(&mut Naive, view(&y), None).unwrap();
    let mean = step.batch_mean().to_vec();
    assert_eq!(step.rho_hat(), mean, "an evaluation takes the batch alone");
    assert_eq!(step.state().rho_hat.as_deref(), Some(first.as_slice()), "and leaves the average");
    step.train_step(&mut Naive, view(&y), 0.1).unwrap();
    for ((r, p), m) in step.rho_hat().iter().zip(&first).zip(&mean) {
        // 0.75 and 0.25 are exact: two products and a sum of numbers below 1.
        assert!((r - (0.75 * p + 0.25 * m)).abs() <= 2.0 * f64::EPSILON);
    }
    assert_eq!(step.state().rho_hat.as_deref(), Some(step.rho_hat()));
}

#[test]
fn saturated_units_are_clamped_and_counted() {
    let penalty = Penalty::Kl { rho: 0.1, beta: 1.0, average: RhoHat::Batch };
    let mut step = step::<f32>(2, None, StepConfig { penalty, ..StepConfig::new() });
    let mut w = weights();
    (w.b_enc[0], w.b_enc[1]) = (1000.0, -1000.0);
    step.set_weights(&w).unwrap();
    let x = samples(2);
    let report = step.train_step(&mut Naive, view(&x), 0.1).unwrap();
    assert_eq!(report.clamped, 2);
    assert!(report.loss.is_finite());
    assert!(step.weights().tensors().iter().all(|(_, t)| t.iter().all(|v| v.is_finite())));
}

#[test]
fn a_run_goes_on_from_a_checkpoint_bit_for_bit() {
    let x = samples::<f32>(8);
    for rule in Rule::all() {
        let cfg = StepConfig { rule, penalty: KL, weight_decay: 0.01, ..StepConfig::new() };
        let mut whole = step(8, Some(4), cfg);
        for _ in 0..3 {
            whole.train_step(&mut Naive, view(&x), 0.1).unwrap();
        }
        let mut resumed = Step::new(D_IN, D_HID, 8, None, cfg).unwrap();
        resumed.set_weights(&whole.weights()).unwrap();
        resumed.set_state(&whole.state()).unwrap();
        for _ in 0..3 {
            let reports = [&mut whole, &mut resumed].map(|s| s.train_step(&mut Naive, view(&x), 0.1).unwrap());
            assert_eq!(reports[0], reports[1]);
        }
        assert_eq!((whole.weights(), whole.state()), (resumed.weights(), resumed.state()));
    }
}

#[test]
fn a_state_of_another_rule_or_size_is_refused() {
    let cfg = |rule| StepConfig::<f32> { rule, ..StepConfig::new() };
    let mut adam = step(4, None, cfg(Rule::adam()));
    let before = adam.state();
    let mut others = vec![step(4, None, cfg(Rule::Sgd)).state(), step(4, None, cfg(Rule::rmsprop())).state()];
    others.push(Step::new(D_IN + 1, D_HID, 4, None, cfg(Rule::adam())).unwrap().state());
    others.push(sae_kernels::step::State { step: 1, rho_hat: Some(vec![0.0; D_HID]), ..before.clone() });
    for other in others {
        assert!(adam.set_state(&other).is_err());
    }
    let mut sgd = step(4, None, cfg(Rule::Sgd));
    assert!(sgd.set_state(&before).is_err());
    assert_eq!(adam.state(), before);
}

#[test]
fn passes_without_update_change_nothing_and_agree() {
    let x = samples::<f32>(8);
    let cfg = StepConfig { penalty: KL, weight_decay: 0.01, ..StepConfig::new() };
    let mut step = step(8, Some(4), cfg);
    step.train_step(&mut Naive, view(&x), 0.1).unwrap();
    let (weights, state) = (step.weights(), step.state());

    let expected = step.objective(&mut Naive, view(&x)).unwrap();
    step.gradients(&mut Naive, view(&x)).unwrap();
    let mut x_hat = vec![0.0; x.len()];
    let report = step.evaluate(&mut Naive, view(&x), Some(MatMut::row_major(&mut x_hat, 8, D_IN).unwrap())).unwrap();
    assert_eq!(report.reconstruction, expected.reconstruction);
    // The squared error again, from x_hat: f32 sums of 48 terms, each within 48·2⁻²⁴ of their total.
    let error: f64 = x.iter().zip(&x_hat).map(|(x, y)| f64::from(y - x).powi(2)).sum();
    assert!((0.5 * error - report.loss_sum).abs() < 52.0 * (-24f64).exp2() * error);

    let mut h = vec![0.0; 8 * D_HID];
    step.encode(&mut Naive, view(&x), MatMut::row_major(&mut h, 8, D_HID).unwrap()).unwrap();
    let kept = step.hidden(8).unwrap();
    let kept: Vec<f32> = (0..8 * D_HID).map(|i| kept.at(0, i / D_HID, i % D_HID)).collect();
    assert_eq!(h, kept);

    assert_eq!((step.weights(), step.state()), (weights, state));
    assert_eq!(step.train_step(&mut Naive, view(&x), 0.1).unwrap(), expected, "reports precede the update");
}

#[test]
fn the_weight_decay_term_can_be_left_out_of_reports_only() {
    let x = samples::<f32>(8);
    let cfg = StepConfig { weight_decay: 0.01, ..StepConfig::new() };
    let (mut with, mut without) = (step(8, None, cfg), step(8, None, cfg));
    without.report_weight_decay = false;
    let [a, b] = [&mut with, &mut without].map(|s| s.train_step(&mut Naive, view(&x), 0.1).unwrap());
    assert!(a.weight_decay > 0.0 && b.weight_decay == 0.0 && b.loss == b.reconstruction);
    assert_eq!(with.weights(), without.weights());
}

#[test]
fn impossible_configurations_are_refused() {
    let new = |cfg: StepConfig<f32>| Step::new(2, 2, 2, None, cfg).map(|_| ()).unwrap_err().to_string();
    let base = StepConfig::new();
    let kl = |rho, beta, average| Penalty::Kl { rho, beta, average };
    for hidden in [Activation::Relu, Activation::Tanh, Activation::Identity] {
        let message = new(StepConfig { hidden, penalty: kl(0.1, 1.0, RhoHat::Batch), ..base });
        assert!(message.starts_with(&format!("hidden activation is {}, expected sigmoid", hidden.name())), "{message}");
    }
    let message = new(StepConfig { output: Activation::Identity, loss: Loss::Bce, ..base });
    assert!(message.contains("found identity"), "{message}");
    for (name, cfg) in [
        ("weight_decay", StepConfig { weight_decay: -1.0, ..base }),
        ("weight_decay", StepConfig { weight_decay: f32::NAN, ..base }),
        ("beta", StepConfig { penalty: Penalty::L1 { beta: f32::INFINITY }, ..base }),
        ("beta", StepConfig { penalty: kl(0.1, -1.0, RhoHat::Batch), ..base }),
        ("rho", StepConfig { penalty: kl(0.0, 1.0, RhoHat::Batch), ..base }),
        ("rho", StepConfig { penalty: kl(1.0, 1.0, RhoHat::Batch), ..base }),
        ("ema_decay", StepConfig { penalty: kl(0.1, 1.0, RhoHat::Ema { decay: 1.0 }), ..base }),
        ("momentum", StepConfig { rule: Rule::Momentum { momentum: f32::NAN }, ..base }),
        ("momentum", StepConfig { rule: Rule::Nesterov { momentum: -1.0 }, ..base }),
        ("eps", StepConfig { rule: Rule::Adagrad { eps: f32::NAN }, ..base }),
        ("clip_norm", StepConfig { clip_norm: Some(0.0), ..base }),
        ("clip_value", StepConfig { clip_value: Some(f32::NAN), ..base }),
        ("alpha", StepConfig { rule: Rule::RmsProp { alpha: 1.0, eps: 1e-8 }, ..base }),
        ("beta2", StepConfig { rule: Rule::Adam { beta1: 0.9, beta2: -0.1, eps: 1e-8 }, ..base }),
        ("eps", StepConfig { rule: Rule::AdamW { beta1: 0.9, beta2: 0.9, eps: -1.0 }, ..base }),
    ] {
        let message = new(cfg);
        assert!(message.starts_with(&format!("{name} is ")), "{message}");
    }
    for [d_in, d_hid, batch] in [[0, 1, 1], [1, 0, 1], [1, 1, 0], [usize::MAX, 2, 1], [1, 1, usize::MAX]] {
        assert!(Step::<f32>::new(d_in, d_hid, batch, Some(16), base).is_err());
    }
    assert!(matches!(Step::<f32>::new(1, 1, 1, Some(0), base), Err(Error::ZeroPanel)));
}

#[test]
fn a_refused_step_leaves_everything_as_it_was() {
    let cfg = StepConfig { penalty: KL, ..StepConfig::new() };
    let mut step = step::<f32>(4, None, cfg);
    let before = (step.weights(), step.state());
    let data = samples::<f32>(8);
    let mut train = |x, lr| step.train_step(&mut Naive, x, lr).unwrap_err().to_string();
    let x = |rows, cols| MatRef::row_major(&data, rows, cols).unwrap();
    assert_eq!(train(x(5, D_IN), 0.1), "x: rows is 5, expected 4 (at most the step's max_batch)");
    assert_eq!(train(x(4, 5), 0.1), "x: columns is 5, expected 6 (d_in)");
    assert_eq!(train(x(0, D_IN), 0.1), "rows of x is 0, expected at least 1");
    assert_eq!(train(x(4, D_IN), f32::NAN), "learning rate is NaN, expected a finite number, 0 or more");
    let batched = MatRef::new(&data, Layout::row_major(2, D_IN).batched(2, 0)).unwrap();
    assert_eq!(train(batched, 0.1), "x: batch is 2, expected 1 (one a model)");
    let mut wrong = weights();
    wrong.b_dec.pop();
    assert!(step.set_weights(&wrong).is_err());
    assert_eq!((step.weights(), step.state()), before);
}

#[test]
fn nan_in_a_sample_shows_in_the_loss() {
    let mut x = samples::<f32>(4);
    x[3] = f32::NAN;
    let mut step = step(4, None, StepConfig { penalty: KL, ..StepConfig::new() });
    let report = step.train_step(&mut Naive, view(&x), 0.1).unwrap();
    assert!(report.loss.is_nan() && report.clamped == 0);
}

#[test]
fn a_panel_major_batch_is_as_good_as_a_row_major_one() {
    let x = samples::<f32>(8);
    let packed = Matrix::from_row_major(&x, Layout::panel_major(8, D_IN, 4).unwrap()).unwrap();
    let cfg = StepConfig::new();
    let (mut a, mut b) = (step(8, Some(4), cfg), step(8, Some(4), cfg));
    let report = a.train_step(&mut Naive, view(&x), 0.1).unwrap();
    assert_eq!(report, b.train_step(&mut Naive, packed.view(), 0.1).unwrap());
    assert_eq!(a.weights(), b.weights());
}
