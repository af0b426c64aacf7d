//! The objective, its gradients and whole trajectories against PyTorch, which computed the numbers of this folder in f64
//! (`scripts/pytorch-fixtures`).
//!
//! # Bounds
//!
//! K = 64 is no less than the roundings behind any number compared here: a gradient is two products of at most 8 terms,
//! each after one of at most 6 (28 roundings, a chain of fused multiply-adds and its sum), with two activations and their
//! slopes (4 each), the loss (6), the penalty (10) and an update (10). A rounding is relative to a number no larger than the
//! terms of its sum, so a result is off by at most K·u of the largest such term: of a gradient, that of its tensor; u is
//! 2⁻⁵³ or 2⁻²⁴.
//!
//! - A loss part: K·u·(1 + its size), all terms being at most of order 1, and no more than 10⁻⁶·(1 + its size).
//! - A gradient: K·u·(1 + the largest of its tensor).
//! - A trajectory: every step adds that error to its gradients, and K·u of its size to a weight. How far such errors
//!   carry is measured by the fixtures, with noise 2⁻³⁰ of that very form in f64: `*_moved` is the change of the
//!   result over the noise. A result may then be off by K·u·(1 + moved). The constants β₁, β₂ and α rounded to
//!   f32 are errors of that size too: (1 − β) is off by less than 2⁻¹⁶ of itself, but a ratio of moments, in which it
//!   cancels but for its drift over 30 steps, by less than 30·2⁻²⁵/0.999 < 16·u.

use std::path::PathBuf;

use sae_kernels::ops::{Activation, Loss, Rule};
use sae_kernels::step::{
    Convention, Input, Parameters, Penalty, RhoHat, Selection, State, Step, StepConfig, StepReport,
};
use sae_kernels::{Backend, BackendKind, Fused, MatRef, Naive, Real};
use safetensors::SafeTensors;
use serde_json::Value;

const K: f64 = 64.0;

/// Trajectories of a rule that is tried with every method: activations and penalties of each, times two conventions.
const METHODS: usize = (3 + 2 + 3 + 3 + 3 + 3 * 2) * 2;
/// Those of them with a ReLU.
const METHODS_OF_RELU: usize = 4 * 2;

/// The fixtures.
struct Fixtures {
    cases: Value,
    tensors: Vec<u8>,
}

impl Fixtures {
    fn read() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch");
        let cases = std::fs::read_to_string(folder.join("cases.json")).unwrap();
        let tensors = std::fs::read(folder.join("fixtures.safetensors")).unwrap();
        Self { cases: serde_json::from_str(&cases).unwrap(), tensors }
    }

    fn tensor(&self, name: &str) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.tensors).unwrap();
        let tensor = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(tensor.dtype(), safetensors::Dtype::F64, "{name}");
        let (chunks, rest) = tensor.data().as_chunks::<8>();
        assert!(rest.is_empty());
        chunks.iter().map(|&b| f64::from_le_bytes(b)).collect()
    }

    fn parameters(&self, prefix: &str) -> Parameters<f64> {
        let of = |name: &str| self.tensor(&format!("{prefix}.{name}"));
        Parameters { w_enc: of("w_enc"), b_enc: of("b_enc"), w_dec: of("w_dec"), b_dec: of("b_dec") }
    }

    fn setting(&self, name: &str) -> f64 {
        self.cases["settings"][name].as_f64().unwrap_or_else(|| panic!("no setting {name}"))
    }

    fn count(&self, name: &str) -> usize {
        self.setting(name) as usize
    }

    fn list(&self, kind: &str) -> &[Value] {
        self.cases[kind].as_array().unwrap()
    }

    /// The configuration that a case means, in the element type of the test.
    fn config<T: Real>(&self, case: &Value, rule: Rule<T>) -> StepConfig<T> {
        let number = |name: &str| T::from_f64(self.setting(name));
        let named = |key: &str, all: &[Activation]| {
            *all.iter().find(|a| a.name() == text(case, key)).unwrap_or_else(|| panic!("{key} of {case}"))
        };
        let kl = |average| Penalty::Kl { rho: number("rho"), beta: number("beta_kl"), average };
        StepConfig {
            hidden: named("hidden", &Activation::ALL),
            output: named("output", &Activation::ALL),
            loss: *Loss::ALL.iter().find(|l| l.name() == text(case, "loss")).unwrap(),
            convention: *Convention::ALL.iter().find(|c| c.name() == text(case, "convention")).unwrap(),
            weight_decay: number("lambda"),
            penalty: match text(case, "penalty") {
                "none" => Penalty::None,
                "kl" => kl(RhoHat::Batch),
                "kl_ema" => kl(RhoHat::Ema { decay: number("ema_decay") }),
                "l1" => Penalty::L1 { beta: number("beta_l1") },
                other => panic!("penalty {other}"),
            },
            selection: match text(case, "method") {
                "topk" => Selection::TopK { k: self.count("k") },
                "threshold" => Selection::Threshold { threshold: number("threshold") },
                _ => Selection::All,
            },
            tied: text(case, "method") == "tied",
            decoupled_decay: text(case, "method") == "decoupled",
            clip_norm: (text(case, "method") == "clip_norm").then(|| number("clip_norm")),
            clip_value: (text(case, "method") == "clip_value").then(|| number("clip_value")),
            rule,
            ..StepConfig::new()
        }
    }

    /// The weights that a case begins with.
    fn start(&self, case: &Value) -> Parameters<f64> {
        let mut weights = self.parameters("weights");
        if text(case, "method") == "tied" {
            let (d_in, d_hid) = (self.count("d_in"), self.count("d_hid"));
            weights.w_dec = (0..d_in * d_hid).map(|at| weights.w_enc[at % d_in * d_hid + at / d_in]).collect();
        }
        weights
    }

    fn step<T: Real>(&self, panel: Option<usize>, case: &Value, rule: Rule<T>) -> Step<T> {
        // A sample and its corrupted copy are two rows.
        let (rows, cfg) = (2 * self.count("batch"), self.config(case, rule));
        let mut step = Step::new(self.count("d_in"), self.count("d_hid"), rows, panel, cfg).unwrap();
        step.set_weights(&rounded(&self.start(case))).unwrap();
        step
    }
}

/// Samples, their corrupted copies, and one after the other.
struct Samples<T> {
    clean: Vec<T>,
    corrupted: Vec<T>,
    both: Vec<T>,
    gamma: T,
    d_in: usize,
}

impl<T: Real> Samples<T> {
    /// The rows of the fixtures from `first` on.
    fn new(fixtures: &Fixtures, first: usize, n: usize) -> Self {
        let d_in = fixtures.count("d_in");
        let rows = |name: &str| round::<T>(&fixtures.tensor(name)[first * d_in..][..n * d_in]);
        let (clean, corrupted) = (rows("x"), rows("corrupted"));
        let both = [clean.clone(), corrupted.clone()].concat();
        Self { clean, corrupted, both, gamma: T::from_f64(fixtures.setting("gamma")), d_in }
    }

    /// What a case gives the step.
    fn input(&self, case: &Value) -> Input<'_, T> {
        let of = |values| MatRef::row_major(values, <[T]>::len(values) / self.d_in, self.d_in).unwrap();
        match text(case, "method") {
            "corrupted" => Input::Corrupted { x: of(&self.corrupted), target: of(&self.clean) },
            "paired" => Input::Paired { both: of(&self.both), gamma: self.gamma },
            _ => Input::Clean(of(&self.clean)),
        }
    }
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("no {key} in {case}"))
}

fn round<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&v| T::from_f64(v)).collect()
}

fn rounded<T: Real>(p: &Parameters<f64>) -> Parameters<T> {
    Parameters { w_enc: round(&p.w_enc), b_enc: round(&p.b_enc), w_dec: round(&p.w_dec), b_dec: round(&p.b_dec) }
}

fn parts_of(report: &StepReport) -> [f64; 5] {
    [report.loss, report.reconstruction, report.sparsity, report.weight_decay, report.denoising]
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |m, v| m.max(v.abs()))
}

/// A distance within its bound; never for NaN.
fn near(found: f64, expected: f64, bound: f64, what: &dyn Fn() -> String) {
    assert!((found - expected).abs() <= bound, "{}: {found:e}, PyTorch has {expected:e}, bound {bound:e}", what());
}

/// The loss parts and gradients of every case.
fn gradients<T: Real>(backend: &mut dyn Backend<T>, unit: f64) {
    let fixtures = Fixtures::read();
    let samples = Samples::<T>::new(&fixtures, 0, fixtures.count("batch"));
    // Both layers' activations and losses, where they may stand together, times penalties and conventions.
    let of = |method: &str| fixtures.list("gradients").iter().filter(|case| text(case, "method") == method).count();
    assert_eq!(of("plain"), (4 * 2 + 2) * (4 + 1) * 2);
    for (method, expected) in
        [("topk", 3 * 2), ("threshold", 2 * 2), ("tied", 4 + 2), ("corrupted", 4 + 2), ("paired", 4 + 2)]
    {
        assert_eq!(of(method), expected * 2 * 2, "{method}");
    }
    for case in fixtures.list("gradients") {
        let mut step = fixtures.step(backend.panel(), case, Rule::Sgd);
        if text(case, "penalty") == "kl_ema" {
            // A past, so that the average is not the batch's.
            let rho_hat = Some(round(&fixtures.tensor("past")));
            step.set_state(&State { step: 1, rho_hat, ..State::default() }).unwrap();
        }
        let report = step.objective(backend, samples.input(case)).unwrap();
        let expected: Vec<f64> = case["parts"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        for (i, (found, &expected)) in parts_of(&report).into_iter().zip(&expected).enumerate() {
            near(found, expected, (K * unit).min(1e-6) * (1.0 + expected.abs()), &|| format!("part {i} of {case}"));
        }
        let grad = step.gradients(backend, samples.input(case)).unwrap();
        let expected = fixtures.parameters(&format!("{}.grad", text(case, "id")));
        for ((name, found), (_, expected)) in grad.tensors().into_iter().zip(expected.tensors()) {
            assert_eq!(found.len(), expected.len());
            let bound = K * unit * (1.0 + largest(expected));
            for (i, (f, &e)) in found.iter().zip(expected).enumerate() {
                near(f.to_f64(), e, bound, &|| format!("{name}[{i}] of {case}"));
            }
        }
    }
}

/// Every trajectory of an optimiser that exists: the loss parts at each step, and the weights after the last.
fn trajectories<T: Real>(backend: &mut dyn Backend<T>, unit: f64) {
    let fixtures = Fixtures::read();
    let (rows, batch) = (fixtures.count("rows"), fixtures.count("batch"));
    let batches: Vec<Samples<T>> =
        (0..rows).step_by(batch).map(|first| Samples::new(&fixtures, first, batch.min(rows - first))).collect();
    for rule in Rule::<T>::all() {
        let cases: Vec<&Value> =
            fixtures.list("trajectories").iter().filter(|c| text(c, "optimizer") == rule.name()).collect();
        // Two losses, four penalties, two conventions; and, for two of the rules, the methods.
        let expected = 16
            + match rule {
                Rule::Sgd => METHODS,
                Rule::Adam { .. } => METHODS - METHODS_OF_RELU,
                _ => 0,
            };
        assert_eq!(cases.len(), expected, "{}: scripts/pytorch-fixtures has to know every optimiser", rule.name());
        for case in cases {
            let id = text(case, "id");
            let moved =
                |key: &str| case[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
            let (of_parts, of_weights) = (moved("parts_moved"), case["weights_moved"].as_f64().unwrap());
            let mut step = fixtures.step(backend.panel(), case, rule);
            let parts = fixtures.tensor(&format!("{id}.parts"));
            assert_eq!(parts.len(), 5 * fixtures.count("steps"));
            for (t, expected) in parts.chunks(5).enumerate() {
                let x = batches[t % batches.len()].input(case);
                let report = step.train_step(backend, x, T::from_f64(case["lr"].as_f64().unwrap())).unwrap();
                for (i, (found, &expected)) in parts_of(&report).into_iter().zip(expected).enumerate() {
                    let bound = K * unit * (1.0 + expected.abs() + of_parts[i]);
                    near(found, expected, bound, &|| format!("part {i} of step {t} of {case}"));
                }
            }
            let expected = fixtures.parameters(&format!("{id}.final"));
            let start = fixtures.start(case);
            for (((name, found), (_, expected)), (_, start)) in
                step.weights().tensors().into_iter().zip(expected.tensors()).zip(start.tensors())
            {
                let bound = K * unit * (1.0 + of_weights);
                // A bound that a run without training would pass says nothing.
                let way: Vec<f64> = expected.iter().zip(start).map(|(e, s)| e - s).collect();
                assert!(largest(&way) > 10.0 * bound, "{name} of {case} moved {:e}, bound {bound:e}", largest(&way));
                for (i, (f, &e)) in found.iter().zip(expected).enumerate() {
                    near(f.to_f64(), e, bound, &|| format!("{name}[{i}] of {case}"));
                }
            }
        }
    }
}

const F64: f64 = 1.0 / (1u64 << 53) as f64;
const F32: f64 = 1.0 / (1u64 << 24) as f64;

#[test]
fn loss_parts_and_gradients_of_the_reference_are_pytorchs() {
    gradients::<f64>(&mut Naive, F64);
}

#[test]
fn trajectories_of_the_reference_are_pytorchs() {
    trajectories::<f64>(&mut Naive, F64);
}

#[test]
fn the_fused_kernels_follow_pytorch_within_single_precision() {
    let mut fused = Fused::new().unwrap();
    gradients::<f32>(&mut fused, F32);
    trajectories::<f32>(&mut fused, F32);
}

#[test]
fn every_backend_follows_pytorch_within_single_precision() {
    for kind in BackendKind::ALL {
        match sae_kernels::backend(kind) {
            Ok(mut backend) => trajectories::<f32>(&mut *backend, F32),
            Err(e) => eprintln!("skipped: {e}"),
        }
    }
}
