//! Hard values, through the door a trainer uses: docs/EDGES.md says what becomes of them, and this holds it.

use sae_kernels::ops::{Activation, Encode, Loss};
use sae_kernels::step::{Parameters, Penalty, RhoHat, Step, StepConfig, StepReport};
use sae_kernels::{Backend, BackendKind, Fused, Isa, MatMut, MatRef, Naive, Real, backend};

const N: usize = 3;
const D_IN: usize = 5;
const D_HID: usize = 4;

/// Values between which arithmetic breaks.
const HARD: [f32; 12] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    1e30,
    -1e30,
    f32::MIN_POSITIVE,
    1e-45,
    -1e-45,
    -0.0,
    100.0,
];

/// A model and a batch of ordinary numbers, the five operands of a step: x, w_enc, b_enc, w_dec, b_dec.
fn operands() -> [Vec<f32>; 5] {
    let of = |len: usize, shift: usize| (0..len).map(|i| ((i * 7 + shift) % 11) as f32 / 11.0 - 0.4).collect();
    [of(N * D_IN, 4), of(D_IN * D_HID, 1), of(D_HID, 2), of(D_HID * D_IN, 3), of(D_IN, 5)]
}

/// h, x_hat and the report of a pass over `operands`.
fn pass(
    backend: &mut dyn Backend,
    cfg: StepConfig,
    [x, w_enc, b_enc, w_dec, b_dec]: &[Vec<f32>; 5],
) -> (Vec<f32>, Vec<f32>, StepReport) {
    let mut step = Step::new(D_IN, D_HID, N, backend.panel(), cfg).unwrap();
    let [w_enc, b_enc, w_dec, b_dec] = [w_enc, b_enc, w_dec, b_dec].map(Clone::clone);
    step.set_weights(&Parameters { w_enc, b_enc, w_dec, b_dec }).unwrap();
    let x = MatRef::row_major(x, N, D_IN).unwrap();
    let (mut h, mut x_hat) = (vec![0.0; N * D_HID], vec![0.0; N * D_IN]);
    step.encode(backend, x, MatMut::row_major(&mut h, N, D_HID).unwrap()).unwrap();
    let report = step.evaluate(backend, x, Some(MatMut::row_major(&mut x_hat, N, D_IN).unwrap())).unwrap();
    (h, x_hat, report)
}

fn backends() -> Vec<Box<dyn Backend>> {
    BackendKind::ALL.into_iter().filter_map(|kind| backend(kind).ok()).collect()
}

/// NaN, an infinity, or a number near the other. Every step of both is the same chain, but for the elementary functions,
/// a few roundings apart.
fn alike(found: f64, expected: f64) -> bool {
    if !expected.is_finite() {
        return found == expected || (found.is_nan() && expected.is_nan());
    }
    (found - expected).abs() <= 1e-5 * expected.abs().max(1e-6)
}

#[test]
fn a_hard_value_anywhere_becomes_what_the_reference_makes_of_it_on_every_backend() {
    let mut cases = 0;
    for hidden in Activation::ALL {
        for (output, loss) in [
            (Activation::Sigmoid, Loss::Squared),
            (Activation::Sigmoid, Loss::Bce),
            (Activation::Identity, Loss::Squared),
            (Activation::Relu, Loss::Squared),
        ] {
            let cfg = StepConfig { hidden, output, loss, ..StepConfig::new() };
            for operand in 0..5 {
                for hard in HARD {
                    let mut values = operands();
                    let at = values[operand].len() / 2;
                    values[operand][at] = hard;
                    let expected = pass(&mut Naive, cfg, &values);
                    for mut backend in backends() {
                        // Products of other libraries may sum in another order.
                        let ours = matches!(backend.kind(), BackendKind::Fused | BackendKind::Naive);
                        if !ours && hard.abs() >= 1e30 {
                            continue;
                        }
                        let found = pass(&mut *backend, cfg, &values);
                        let what =
                            format!("{hidden:?} {output:?} {loss:?} operand {operand} = {hard:e} {}", backend.kind());
                        for (f, e) in found.0.iter().zip(&expected.0).chain(found.1.iter().zip(&expected.1)) {
                            assert!(alike((*f).into(), (*e).into()), "{what}: {f} {e}");
                        }
                        assert!(alike(found.2.loss, expected.2.loss), "{what}: {} {}", found.2.loss, expected.2.loss);
                        cases += 1;
                    }
                }
            }
        }
    }
    assert!(cases >= 4 * 4 * 5 * 12 * 2);
}

#[test]
fn nan_in_any_operand_shows_in_the_loss() {
    for mut backend in backends() {
        for operand in 0..5 {
            let mut values = operands();
            values[operand][0] = f32::NAN;
            let (_, _, report) = pass(&mut *backend, StepConfig::new(), &values);
            assert!(report.loss.is_nan(), "{} operand {operand}: {}", backend.kind(), report.loss);
        }
    }
}

fn saturated<T: Real>(backend: &mut dyn Backend<T>, b_enc: f64) -> (StepReport, Parameters<T>) {
    let penalty = Penalty::Kl { rho: T::from_f64(0.05), beta: T::ONE, average: RhoHat::Batch };
    let cfg = StepConfig { penalty, ..StepConfig::new() };
    let mut step = Step::new(D_IN, D_HID, N, backend.panel(), cfg).unwrap();
    step.set_weights(&Parameters { b_enc: vec![T::from_f64(b_enc); D_HID], ..Parameters::zeros(D_IN, D_HID) }).unwrap();
    let x = vec![T::from_f64(0.5); N * D_IN];
    let x = MatRef::row_major(&x, N, D_IN).unwrap();
    (step.objective(backend, x).unwrap(), step.gradients(backend, x).unwrap())
}

#[test]
fn mean_activations_of_0_and_1_give_a_finite_penalty_and_finite_gradients() {
    // σ(±1000) is 0 and 1. −ln ε and ε as in `divergence`, of 4 units: 0.05·ln(0.05/ε) + 0.95·ln(0.95), and 0.95·ln(0.95/ε)
    // + 0.05·ln(0.05), up to ε.
    let epsilon = sae_kernels::step::RHO_HAT_MARGIN;
    let dead = 4.0 * (0.05 * (0.05 / epsilon).ln() + 0.95 * 0.95f64.ln());
    let full = 4.0 * (0.95 * (0.95 / epsilon).ln() + 0.05 * 0.05f64.ln());
    let check = |(report, gradients): (StepReport, Parameters<f32>), expected: f64, mean: f64| {
        assert_eq!((report.clamped, report.rho_hat_mean), (D_HID, mean));
        assert!((report.sparsity - expected).abs() < 1e-5 * expected, "{} {expected}", report.sparsity);
        for (name, values) in gradients.tensors() {
            assert!(values.iter().all(|v| v.is_finite()), "{name}");
        }
        // h·(1 − h) is 0: nothing reaches the encoder.
        assert!(gradients.b_enc.iter().all(|&g| g == 0.0));
    };
    for mut backend in backends() {
        check(saturated(&mut *backend, -1000.0), dead, 0.0);
        check(saturated(&mut *backend, 1000.0), full, 1.0);
    }
}

#[test]
fn bce_of_saturated_logits_is_their_size_where_they_are_wrong_and_0_where_they_are_right() {
    for mut backend in backends() {
        for (logit, target, expected) in [
            (1000.0, 1.0, 0.0),
            (1000.0, 0.0, 1000.0),
            (-1000.0, 0.0, 0.0),
            (-1000.0, 1.0, 1000.0),
            (1000.0, 0.25, 750.0),
        ] {
            let values = [
                vec![target; N * D_IN],
                vec![0.0; D_IN * D_HID],
                vec![0.0; D_HID],
                vec![0.0; D_HID * D_IN],
                vec![logit; D_IN],
            ];
            let cfg = StepConfig { loss: Loss::Bce, ..StepConfig::new() };
            let (_, x_hat, report) = pass(&mut *backend, cfg, &values);
            assert_eq!(report.reconstruction, expected * D_IN as f64, "{}", backend.kind());
            assert!(x_hat.iter().all(|&y| y == if logit > 0.0 { 1.0 } else { 0.0 }));
        }
    }
}

/// The kernels do not look at every target: what they compute for one outside [0, 1] is the same formula, finite and
/// without a minimum. The harness refuses such training data.
#[test]
fn bce_of_a_target_outside_its_range_is_the_formula() {
    for mut backend in backends() {
        let values = [
            vec![2.0; N * D_IN],
            vec![0.0; D_IN * D_HID],
            vec![0.0; D_HID],
            vec![0.0; D_HID * D_IN],
            vec![100.0; D_IN],
        ];
        let cfg = StepConfig { loss: Loss::Bce, ..StepConfig::new() };
        // max(z, 0) − z·x = 100 − 200.
        assert_eq!(pass(&mut *backend, cfg, &values).2.reconstruction, -100.0 * D_IN as f64, "{}", backend.kind());
    }
}

/// A product too small for f32 is a zero with its sign, where the multiply-add rounds once.
#[test]
fn a_relu_keeps_the_sign_of_a_zero() {
    let mut all: Vec<Box<dyn Backend>> = vec![Box::new(Naive)];
    for isa in Isa::available().into_iter().filter(|isa| isa.keeps_bits()) {
        all.push(Box::new(Fused::with_isa(isa).unwrap()));
    }
    for mut backend in all {
        for (x, expected) in [(-1e-30, -0.0f32), (1e-30, 0.0), (-1.0, 0.0)] {
            let mut h = [f32::NAN];
            let (x, w) = ([x], [1e-30]);
            backend
                .encode(Encode {
                    x: MatRef::row_major(&x, 1, 1).unwrap(),
                    w: MatRef::row_major(&w, 1, 1).unwrap(),
                    bias: &[-0.0],
                    activation: Activation::Relu,
                    threshold: None,
                    h: MatMut::row_major(&mut h, 1, 1).unwrap(),
                    col_sums: None,
                })
                .unwrap();
            assert_eq!(h[0].to_bits(), expected.to_bits(), "{:?}: {x:?}", backend.kind());
        }
    }
}
