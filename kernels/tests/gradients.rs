//! The backward pass against finite differences of the forward pass, in f64, through the code that trains.
//!
//! Central differences of fourth order, `f' ≈ (8(f₊₁ − f₋₁) − (f₊₂ − f₋₂)) / 12h`. Two errors add up:
//!
//! - truncation, `h⁴/30·|f⁽⁵⁾|`;
//! - rounding, at most `(8 + 8 + 1 + 1)/12h = 1.5/h` times the error δ of one objective. An objective here is a sum of
//!   non-negative terms, each with a few roundings and a relative condition of order 1: δ ≈ 32u·J, u = 2⁻⁵³.
//!
//! For J and f⁽⁵⁾ of order 1 their sum is least at h⁵ = 11δ/f⁽⁵⁾, so h ≈ 2⁻⁹ and the sum ≈ 3·10⁻¹². [`FLOOR`] leaves a
//! factor of three for objectives and derivatives that are larger. Besides that, gradients agree to a relative 10⁻⁷;
//! [`checked`] asserts that every tensor has an element for which the floor is at most a tenth of that.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::ops::{
    Activation, Decode, Encode, Gemm, HiddenDelta, Loss, Result, Rule, TopK, UpdateMatrix, UpdateVector, WeightGrad,
};
use sae_kernels::step::{Convention, Dropout, Input, Parameters, Penalty, RhoHat, Selection, Step, StepConfig};
use sae_kernels::{Backend, BackendKind, Isa, MatMut, MatRef, Naive};

const D_IN: usize = 4;
const D_HID: usize = 3;
const N: usize = 5;
const H: f64 = 1.0 / 512.0;
const RELATIVE: f64 = 1e-7;
const FLOOR: f64 = 1e-11;

fn fill(rng: &mut ChaCha8Rng, values: &mut [f64], low: f64, high: f64) {
    values.iter_mut().for_each(|v| *v = rng.random_range(low..high));
}

/// Weights, the batch, and a batch before it for moving averages.
struct Example {
    weights: Parameters<f64>,
    x: Vec<f64>,
    earlier: Vec<f64>,
}

impl Example {
    /// The first random example whose pre-activations, of both layers, are farther from 0 than any difference moves
    /// them: then no kink of a ReLU or of |h| is crossed.
    fn away_from_kinks() -> Self {
        (0..).map(Self::random).find(|e| e.distance() > 0.0).expect("the range has no end")
    }

    fn random(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut weights = Parameters::zeros(D_IN, D_HID);
        for (_, tensor) in weights.tensors_mut() {
            fill(&mut rng, tensor, -1.0, 1.0);
        }
        let mut example = Self { weights, x: vec![0.0; N * D_IN], earlier: vec![0.0; N * D_IN] };
        fill(&mut rng, &mut example.x, 0.1, 0.9);
        fill(&mut rng, &mut example.earlier, 0.1, 0.9);
        example
    }

    /// How much farther from 0 the nearest pre-activation is than the largest move, over all hidden activations.
    /// Inputs and weights are below 1 in size and no activation is steeper than 1, so a parameter moved by 2H moves a
    /// hidden pre-activation by at most 2H; an output's by that, or by 2H·|h| for a decoder weight.
    fn distance(&self) -> f64 {
        let w = &self.weights;
        let layer = |x: MatRef<'_, f64>, w: &[f64], bias: &[f64], activation| {
            let (rows, cols) = (x.cols(), bias.len());
            let mut out = vec![0.0; x.rows() * cols];
            let h = MatMut::row_major(&mut out, x.rows(), cols).unwrap();
            let w = MatRef::row_major(w, rows, cols).unwrap();
            Naive.encode(Encode { threshold: None, x, w, bias, activation, h, col_sums: None }).unwrap();
            out
        };
        let size = |z: &[f64]| z.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let nearest = |z: &[f64]| z.iter().fold(f64::INFINITY, |m, v| m.min(v.abs()));
        let x = MatRef::row_major(&self.x, N, D_IN).unwrap();
        let mut distance = f64::INFINITY;
        for hidden in Activation::ALL {
            let z = layer(x, &w.w_enc, &w.b_enc, Activation::Identity);
            let h = layer(x, &w.w_enc, &w.b_enc, hidden);
            let h_view = MatRef::row_major(&h, N, D_HID).unwrap();
            let out = layer(h_view, &w.w_dec, &w.b_dec, Activation::Identity);
            distance = distance.min(nearest(&z) - 2.0 * H);
            distance = distance.min(nearest(&out) - 2.0 * H * size(&h).max(1.0));
        }
        distance
    }

    fn x(&self) -> Input<'_, f64> {
        MatRef::row_major(&self.x, N, D_IN).unwrap().into()
    }

    /// A step with these weights, after a step on the earlier batch that did not move them.
    fn step(&self, cfg: StepConfig<f64>) -> Step<f64> {
        let mut step = Step::new(D_IN, D_HID, N, Some(2), cfg).unwrap();
        step.set_weights(&self.weights).unwrap();
        let earlier = MatRef::row_major(&self.earlier, N, D_IN).unwrap();
        step.train_step(&mut Naive, earlier, 0.0).unwrap();
        assert_eq!(step.weights(), self.weights);
        step
    }
}

/// The derivative of the objective by every parameter.
fn differences(step: &mut Step<f64>, x: Input<'_, f64>) -> Parameters<f64> {
    let tied = step.config().tied;
    let weights = step.weights();
    let mut slopes = Parameters::zeros(step.d_in(), step.d_hid());
    for t in 0..4 {
        for i in 0..weights.tensors()[t].1.len() {
            let mut at = |shift: f64| {
                let mut moved = weights.clone();
                moved.tensors_mut()[t].1[i] += shift;
                if tied {
                    tie(&mut moved, t == 2);
                }
                step.set_weights(&moved).unwrap();
                step.objective(&mut Naive, x).unwrap().loss
            };
            let (near, far) = (at(H) - at(-H), at(2.0 * H) - at(-2.0 * H));
            slopes.tensors_mut()[t].1[i] = (8.0 * near - far) / (12.0 * H);
        }
    }
    step.set_weights(&weights).unwrap();
    slopes
}

/// Makes one matrix the other's transpose.
fn tie(weights: &mut Parameters<f64>, decoder_moved: bool) {
    let Parameters { w_enc, w_dec, .. } = weights;
    for (i, j) in (0..D_IN).flat_map(|i| (0..D_HID).map(move |j| (i, j))) {
        let (encoder, decoder) = (&mut w_enc[i * D_HID + j], &mut w_dec[j * D_IN + i]);
        if decoder_moved { *encoder = *decoder } else { *decoder = *encoder }
    }
}

/// The first element that is off, if any.
fn compare(found: &Parameters<f64>, expected: &Parameters<f64>) -> std::result::Result<(), String> {
    for ((name, found), (_, expected)) in found.tensors().into_iter().zip(expected.tensors()) {
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            let error = (f - e).abs();
            if error.is_nan() || error > RELATIVE * e.abs() + FLOOR {
                return Err(format!("{name}[{i}]: gradient {f:e}, differences {e:e}, off by {error:e}"));
            }
        }
    }
    Ok(())
}

/// Whether the gradient that `backend` computes is the derivative of the objective.
fn checked(step: &mut Step<f64>, x: Input<'_, f64>, backend: &mut dyn Backend<f64>) -> std::result::Result<(), String> {
    let expected = differences(step, x);
    for (name, tensor) in expected.tensors() {
        let largest = tensor.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        assert!(largest > 10.0 * FLOOR / RELATIVE, "{name}: nothing to compare, the largest slope is {largest:e}");
    }
    compare(&step.gradients(backend, x).unwrap(), &expected)
}

/// Corrupted samples, and where h is in order of size without two that differ by less than a difference could move them
/// past each other, nor one that near to a threshold.
struct Corrupted {
    clean: Example,
    /// The clean samples, then the corrupted ones.
    both: Vec<f64>,
}

const THRESHOLD: f64 = 0.3;

impl Corrupted {
    fn away_from_ties() -> Self {
        (0..)
            .map(|seed| {
                let mut clean = Example::random(seed);
                tie(&mut clean.weights, false);
                let mut rng = ChaCha8Rng::seed_from_u64(seed + 1_000_000);
                let mut both = clean.x.clone();
                both.resize(2 * N * D_IN, 0.0);
                fill(&mut rng, &mut both[N * D_IN..], 0.1, 0.9);
                Self { clean, both }
            })
            .find(|e| e.clean.distance() > 0.0 && e.distance() > 0.0)
            .expect("the range has no end")
    }

    /// How much more the nearest two activations differ, or an activation and the threshold, than they move: each by at
    /// most 2H, as in [`Example::distance`].
    fn distance(&self) -> f64 {
        let w = &self.clean.weights;
        let mut distance = f64::INFINITY;
        for activation in Activation::ALL {
            let mut h = vec![0.0; 2 * N * D_HID];
            let op = Encode {
                x: self.all(),
                w: MatRef::row_major(&w.w_enc, D_IN, D_HID).unwrap(),
                bias: &w.b_enc,
                activation,
                threshold: None,
                h: MatMut::row_major(&mut h, 2 * N, D_HID).unwrap(),
                col_sums: None,
            };
            Naive.encode(op).unwrap();
            for row in h.chunks(D_HID) {
                for (j, &a) in row.iter().enumerate() {
                    distance = distance.min((a.abs() - THRESHOLD).abs() - 2.0 * H);
                    // What a rectifier holds back stays where it is.
                    for &b in row[..j].iter().filter(|&&b| a != 0.0 || b != 0.0) {
                        distance = distance.min((a - b).abs() - 4.0 * H);
                    }
                }
            }
        }
        distance
    }

    fn all(&self) -> MatRef<'_, f64> {
        MatRef::row_major(&self.both, 2 * N, D_IN).unwrap()
    }

    fn inputs(&self) -> [Input<'_, f64>; 3] {
        let part = |rows| self.all().row_range(rows).unwrap();
        [
            Input::Clean(part(0..N)),
            Input::Corrupted { x: part(N..2 * N), target: part(0..N) },
            Input::Paired { both: self.all(), gamma: 0.7 },
        ]
    }
}

#[test]
fn selections_ties_dropout_and_corrupted_inputs_have_the_derivative_as_their_gradient() {
    let example = Corrupted::away_from_ties();
    let dropouts = [None, Some(Dropout { rate: 0.3, seed: 2 })];
    let selections = [Selection::All, Selection::TopK { k: 2 }, Selection::Threshold { threshold: THRESHOLD }];
    let mut checks = 0;
    for (hidden, output) in [
        (Activation::Sigmoid, Activation::Sigmoid),
        (Activation::Relu, Activation::Identity),
        (Activation::Tanh, Activation::Identity),
        (Activation::Identity, Activation::Tanh),
    ] {
        for penalty in
            PENALTIES.into_iter().filter(|p| hidden == Activation::Sigmoid || !matches!(p, Penalty::Kl { .. }))
        {
            for (selection, dropout) in selections.into_iter().flat_map(|s| dropouts.map(|d| (s, d))) {
                for (tied, input) in [false, true].into_iter().flat_map(|t| example.inputs().map(|i| (t, i))) {
                    let (weight_decay, rule) = (0.3, Rule::Sgd);
                    let cfg = StepConfig { hidden, output, weight_decay, penalty, rule, ..StepConfig::new() };
                    let cfg = StepConfig { selection, dropout, tied, ..cfg };
                    let mut step = Step::new(D_IN, D_HID, 2 * N, Some(2), cfg).unwrap();
                    step.set_weights(&example.clean.weights).unwrap();
                    let earlier = MatRef::row_major(&example.clean.earlier, N, D_IN).unwrap();
                    step.train_step(&mut Naive, earlier, 0.0).unwrap();
                    let expected = differences(&mut step, input);
                    let found = step.gradients(&mut Naive, input).unwrap();
                    compare(&found, &expected).unwrap_or_else(|wrong| panic!("{cfg:?}, {input:?}: {wrong}"));
                    checks += 1;
                }
            }
        }
    }
    assert_eq!(checks, (4 + 3 * 2) * 6 * 6);
}

const PENALTIES: [Penalty<f64>; 4] = [
    Penalty::None,
    Penalty::L1 { beta: 0.5 },
    Penalty::Kl { rho: 0.2, beta: 0.5, average: RhoHat::Batch },
    Penalty::Kl { rho: 0.2, beta: 0.5, average: RhoHat::Ema { decay: 0.7 } },
];

/// Every valid configuration, with weight decay.
fn configurations() -> Vec<StepConfig<f64>> {
    let mut all = Vec::new();
    for hidden in Activation::ALL {
        for output in Activation::ALL {
            for loss in Loss::ALL {
                for penalty in PENALTIES {
                    for convention in Convention::ALL {
                        let needs_sigmoid = matches!(penalty, Penalty::Kl { .. });
                        if (needs_sigmoid && hidden != Activation::Sigmoid)
                            || (loss == Loss::Bce && output != Activation::Sigmoid)
                        {
                            continue;
                        }
                        let (weight_decay, rule) = (0.3, Rule::Sgd);
                        let cfg =
                            StepConfig { hidden, output, loss, convention, weight_decay, penalty, ..StepConfig::new() };
                        all.push(StepConfig { rule, ..cfg });
                    }
                }
            }
        }
    }
    all
}

#[test]
fn the_gradient_is_the_derivative_in_every_configuration() {
    let example = Example::away_from_kinks();
    let all = configurations();
    // Hidden sigmoid takes 4 penalties, the other three 2; squared error takes 4 outputs, BCE 1; 2 conventions.
    assert_eq!(all.len(), (4 + 3 * 2) * (4 + 1) * 2);
    for cfg in all {
        let mut step = example.step(cfg);
        if let Err(wrong) = checked(&mut step, example.x(), &mut Naive) {
            panic!("{cfg:?}: {wrong}");
        }
    }
}

#[test]
fn the_first_step_of_a_moving_average_has_no_past() {
    let example = Example::away_from_kinks();
    let average = RhoHat::Ema { decay: 0.7 };
    let cfg = StepConfig { penalty: Penalty::Kl { rho: 0.2, beta: 0.5, average }, ..StepConfig::new() };
    let mut step = Step::new(D_IN, D_HID, N, None, cfg).unwrap();
    step.set_weights(&example.weights).unwrap();
    checked(&mut step, example.x(), &mut Naive).unwrap();
}

#[test]
fn decoupled_decay_is_in_neither_objective_nor_gradient() {
    let example = Example::away_from_kinks();
    let cfg = |weight_decay| StepConfig { weight_decay, rule: Rule::adamw(), ..StepConfig::new() };
    checked(&mut example.step(cfg(0.3)), example.x(), &mut Naive).unwrap();
    let objective = |weight_decay| example.step(cfg(weight_decay)).objective(&mut Naive, example.x()).unwrap();
    assert_eq!(objective(0.3), objective(0.0));
}

/// What a wrong backward pass gets wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    ScaleOfDelta,
    NoPenalty,
    NoActivationDerivative,
    WrongBiasGradient,
    Precision,
}

/// The naive backend with a fault in its backward pass.
struct Faulty(Fault);

impl Backend<f64> for Faulty {
    fn kind(&self) -> BackendKind {
        BackendKind::Naive
    }
    fn isa(&self) -> Isa {
        Isa::Portable
    }
    fn panel(&self) -> Option<usize> {
        None
    }
    fn gemm(&mut self, op: Gemm<'_, f64>) -> Result {
        Naive.gemm(op)
    }
    fn encode(&mut self, op: Encode<'_, f64>) -> Result {
        Naive.encode(op)
    }
    fn top_k(&mut self, op: TopK<'_, f64>) -> Result {
        Naive.top_k(op)
    }
    fn decode(&mut self, mut op: Decode<'_, f64>) -> Result {
        match self.0 {
            Fault::ScaleOfDelta => op.scale *= 2.0,
            // A relative 10⁻⁶ is caught, and is ten times the tolerance.
            Fault::Precision => op.scale *= 1.0 + 1e-6,
            _ => {}
        }
        Naive.decode(op)
    }
    fn hidden_delta(&mut self, mut op: HiddenDelta<'_, f64>) -> Result {
        match self.0 {
            Fault::NoPenalty => (op.row_term, op.l1) = (None, None),
            Fault::NoActivationDerivative => op.activation = Activation::Identity,
            Fault::WrongBiasGradient => op.bias_grad = None,
            _ => {}
        }
        Naive.hidden_delta(op)
    }
    fn weight_grad(&mut self, op: WeightGrad<'_, f64>) -> Result {
        Naive.weight_grad(op)
    }
    fn update_matrix(&mut self, grad: MatRef<'_, f64>, update: UpdateMatrix<'_, f64>) -> Result {
        Naive.update_matrix(grad, update)
    }
    fn update_vector(&mut self, op: UpdateVector<'_, f64>) -> Result {
        Naive.update_vector(op)
    }
    fn sum_of_squares(&mut self, w: MatRef<'_, f64>, sums: &mut [f64]) -> Result {
        Naive.sum_of_squares(w, sums)
    }
}

#[test]
fn a_wrong_gradient_is_caught() {
    let example = Example::away_from_kinks();
    let faults = [
        Fault::ScaleOfDelta,
        Fault::NoPenalty,
        Fault::NoActivationDerivative,
        Fault::WrongBiasGradient,
        Fault::Precision,
    ];
    for penalty in &PENALTIES[1..] {
        let cfg = StepConfig { weight_decay: 0.3, penalty: *penalty, ..StepConfig::new() };
        for fault in faults {
            let found = checked(&mut example.step(cfg), example.x(), &mut Faulty(fault));
            assert!(found.is_err(), "{fault:?} with {penalty:?} went unnoticed");
        }
    }
}

#[test]
fn every_single_wrong_element_is_caught() {
    let example = Example::away_from_kinks();
    let mut step = example.step(StepConfig { weight_decay: 0.3, ..StepConfig::new() });
    let (good, expected) = (step.gradients(&mut Naive, example.x()).unwrap(), differences(&mut step, example.x()));
    compare(&good, &expected).unwrap();
    for t in 0..4 {
        for i in 0..good.tensors()[t].1.len() {
            for change in [|g: f64| 1.001 * g + 1e-9, |_| f64::NAN] {
                let mut bad = good.clone();
                let element = &mut bad.tensors_mut()[t].1[i];
                *element = change(*element);
                assert!(compare(&bad, &expected).is_err(), "tensor {t}, element {i}");
            }
        }
    }
}
