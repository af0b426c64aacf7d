//! Clipped gradients and their norms: against PyTorch's formulas in f64, the same bits on every instruction set and any
//! number of threads, and no change where nothing is clipped.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;
use sae_kernels::ops::{Clip, GradSink, Hyper, Rule, UpdateMatrix, UpdateVector, WeightGrad};
use sae_kernels::step::{Parameters, Penalty, RhoHat, Step, StepConfig, StepReport};
use sae_kernels::{Backend, BackendKind, Fused, Isa, Layout, MatRef, Matrix, Naive, Real, backend};

const SIZES: [usize; 3] = [67, 70, 45];

fn random<T: Real>(seed: u64, len: usize, low: f64, high: f64) -> Vec<T> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| T::from_f64(rng.random_range(low..high))).collect()
}

fn step<T: Real>([n, d_in, d_hid]: [usize; 3], panel: Option<usize>, cfg: StepConfig<T>) -> Step<T> {
    let mut weights = Parameters::zeros(d_in, d_hid);
    for (seed, (_, tensor)) in weights.tensors_mut().into_iter().enumerate() {
        tensor.copy_from_slice(&random(seed as u64, tensor.len(), -0.5, 0.5));
    }
    let mut step = Step::new(d_in, d_hid, n, panel, cfg).unwrap();
    step.set_weights(&weights).unwrap();
    step
}

/// Reports and weights of a few steps; norms reported or not.
fn train<T: Real>(
    backend: &mut dyn Backend<T>,
    sizes: [usize; 3],
    cfg: StepConfig<T>,
    report: bool,
) -> (Vec<StepReport>, Parameters<T>) {
    let [n, d_in, _] = sizes;
    let x: Vec<T> = random(9, n * d_in, 0.0, 1.0);
    let x = MatRef::row_major(&x, n, d_in).unwrap();
    let mut step = step(sizes, backend.panel(), cfg);
    step.report_gradient_norm(report).unwrap();
    let reports = (0..4).map(|_| step.train_step(backend, x, T::from_f64(0.05)).unwrap()).collect();
    (reports, step.weights())
}

fn config<T: Real>(rule: Rule<T>) -> StepConfig<T> {
    let t = T::from_f64;
    let penalty = Penalty::Kl { rho: t(0.1), beta: t(0.5), average: RhoHat::Batch };
    StepConfig { penalty, weight_decay: t(0.01), rule, ..StepConfig::new() }
}

fn norm(grad: &Parameters<f64>) -> f64 {
    grad.tensors().iter().flat_map(|(_, tensor)| tensor.iter()).map(|g| g * g).sum::<f64>().sqrt()
}

/// In f64, against `clip_grad_norm_` and `clip_grad_value_` on the gradient without weight decay and SGD behind them. Each
/// side rounds a handful of times per element: numbers below 10, lr 0.05.
#[test]
fn clipping_follows_pytorch() {
    let (sizes, lr) = ([8, 6, 5], 0.05);
    let x: Vec<f64> = random(9, 8 * 6, 0.0, 1.0);
    let x = MatRef::row_major(&x, 8, 6).unwrap();
    let base = config(Rule::Sgd);
    // Without weight decay, the gradient that PyTorch's clipping would see.
    let mut plain = step(sizes, None, StepConfig { weight_decay: 0.0, ..base });
    let grad = plain.gradients(&mut Naive, x).unwrap();
    let size = norm(&grad);
    let largest = grad.tensors().iter().flat_map(|(_, g)| g.iter()).fold(0.0f64, |m, g| m.max(g.abs()));
    for (clip_norm, clip_value) in [
        (Some(0.3 * size), None),
        (Some(3.0 * size), None),
        (None, Some(0.2 * largest)),
        (Some(0.5 * size), Some(0.1 * largest)),
    ] {
        let cfg = StepConfig { clip_norm, clip_value, ..base };
        let mut clipped = step(sizes, Some(4), cfg);
        clipped.report_gradient_norm(true).unwrap();
        let before = clipped.weights();
        let report = clipped.train_step(&mut Naive, x, lr).unwrap();
        let found = report.gradient_norm.unwrap();
        assert!((found - size).abs() < 1e-13 * size, "{found} {size}");
        let scale = clip_norm.map_or(1.0, |most| (most / (size + 1e-6)).min(1.0));
        let limit = clip_value.unwrap_or(f64::INFINITY);
        assert!(scale < 1.0 || limit < largest || clip_norm == Some(3.0 * size), "the case clips");
        let after = clipped.weights();
        for (((name, w), (_, g)), (_, found)) in before.tensors().into_iter().zip(grad.tensors()).zip(after.tensors()) {
            let decay = if name.starts_with('w') { 0.01 } else { 0.0 };
            for ((w, g), found) in w.iter().zip(g).zip(found) {
                let expected = w - lr * ((scale * g).clamp(-limit, limit) + decay * w);
                assert!((found - expected).abs() < 1e-14, "{cfg:?} {name}: {found} {expected}");
            }
        }
    }
}

#[test]
fn bounds_that_are_not_reached_and_reported_norms_change_no_bit() {
    for isa in Isa::available() {
        for rule in Rule::all() {
            let mut fused = Fused::with_isa(isa).unwrap();
            let base = config(rule);
            let (reports, weights) = train(&mut fused, SIZES, base, false);
            assert!(reports.iter().all(|report| report.gradient_norm.is_none()));
            for (clip_norm, clip_value, report) in [
                (None, None, true),
                (Some(1e9), None, false),
                (None, Some(1e9), false),
                (Some(f32::INFINITY), Some(f32::INFINITY), true),
            ] {
                let cfg = StepConfig { clip_norm, clip_value, ..base };
                let (with, same) = train(&mut fused, SIZES, cfg, report);
                assert!(same == weights, "{isa} {cfg:?}");
                assert!(with.iter().all(|r| r.gradient_norm.is_some_and(|norm| norm > 0.0) == report), "{isa} {cfg:?}");
            }
        }
    }
}

#[test]
fn clipped_steps_and_norms_have_the_same_bits_everywhere() {
    for rule in Rule::all() {
        let cfg = StepConfig { clip_norm: Some(0.5), clip_value: Some(0.01), ..config(rule) };
        let mut expected = None;
        for isa in Isa::available().into_iter().filter(|isa| isa.keeps_bits()) {
            for threads in [1, 2, 5] {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let sizes = [101, 300, 130];
                let found = pool.install(|| train(&mut Fused::with_isa(isa).unwrap(), sizes, cfg, true));
                let expected = expected.get_or_insert_with(|| found.clone());
                assert!(*expected == found, "{isa}, {threads} threads, {rule:?}");
                assert!(found.0.iter().all(|report| report.gradient_norm > Some(0.5)), "the norm is clipped");
            }
        }
    }
}

/// Over every backend, a whole update within single precision of the reference in f64: gradients that do not cancel, all
/// numbers below 4, a few dozen roundings each, magnified at most tenfold by a rule's division.
#[test]
fn clipped_updates_agree_with_the_reference_on_every_backend() {
    let (rows, cols, batch) = (70, 67, 2);
    let len = batch * rows * cols;
    let layout = Layout::row_major(rows, cols).batched_dense(batch).unwrap();
    let [grad, w, m, v] = [1, 2, 3, 4].map(|seed| random::<f64>(seed, len, 0.1, 1.0));
    for rule in Rule::<f64>::all() {
        let hypers = |scale: f64| Hyper {
            rule,
            lr: 0.1,
            decay: 0.1,
            decoupled: false,
            step: 3,
            clip: Some(Clip { scale, limit: 0.4 }),
        };
        let exact = {
            let [mut w, mut m, mut v] =
                [&w, &m, &v].map(|data| Matrix::from_row_major(data, layout).expect("one element a place"));
            let update = UpdateMatrix {
                hyper: &[hypers(0.5), hypers(0.25)],
                w: w.view_mut(),
                w_t: None,
                m: Some(m.view_mut()),
                v: Some(v.view_mut()),
            };
            Naive.update_matrix(MatRef::new(&grad, layout).unwrap(), update).unwrap();
            w.to_row_major()
        };
        let narrow = |data: &[f64]| data.iter().map(|&x| x as f32).collect::<Vec<_>>();
        for kind in BackendKind::ALL.into_iter().filter(|kind| kind.is_built()) {
            let mut backend = backend(kind).unwrap();
            let one = match backend.panel() {
                Some(panel) => Layout::panel_major(rows, cols, panel).unwrap(),
                None => Layout::row_major(rows, cols),
            };
            let place =
                |data: &[f64]| Matrix::from_row_major(&narrow(data), one.batched_dense(batch).unwrap()).unwrap();
            let [grad, mut w, mut m, mut v] = [&grad, &w, &m, &v].map(|data| place(data));
            let mut w_t = Matrix::zeros(Layout::row_major(cols, rows).batched_dense(batch).unwrap()).unwrap();
            let single = single_precision();
            let hyper = [0.5, 0.25].map(|scale| single(hypers(scale)));
            let update = UpdateMatrix {
                hyper: &hyper,
                w: w.view_mut(),
                w_t: Some(w_t.view_mut()),
                m: Some(m.view_mut()),
                v: Some(v.view_mut()),
            };
            backend.update_matrix(grad.view(), update).unwrap();
            for (i, (found, expected)) in w.to_row_major().into_iter().zip(&exact).enumerate() {
                assert!((f64::from(found) - expected).abs() < 1e-5, "{kind} {rule:?} {i}: {found} {expected}");
                let (p, r, c) = (i / (rows * cols), i / cols % rows, i % cols);
                assert_eq!(w_t.view().at(p, c, r), found, "{kind} {rule:?}: the transposed copy");
            }
            let small = Matrix::<f32>::zeros(Layout::row_major(3, 3)).unwrap();
            let update = UpdateMatrix {
                hyper: &hyper,
                w: w.view_mut(),
                w_t: None,
                m: Some(m.view_mut()),
                v: Some(v.view_mut()),
            };
            assert!(backend.update_matrix(small.view(), update).is_err(), "{kind}");
        }
    }
}

/// From the reference's numbers to those of the kernels.
fn single_precision() -> impl Fn(Hyper<f64>) -> Hyper {
    |hyper| {
        let rule = match hyper.rule {
            Rule::Sgd => Rule::Sgd,
            Rule::Momentum { .. } => Rule::momentum(),
            Rule::Nesterov { .. } => Rule::nesterov(),
            Rule::Adagrad { .. } => Rule::adagrad(),
            Rule::RmsProp { .. } => Rule::rmsprop(),
            Rule::Adam { .. } => Rule::adam(),
            Rule::AdamW { .. } => Rule::adamw(),
        };
        let clip = hyper.clip.map(|clip| Clip { scale: clip.scale as f32, limit: clip.limit as f32 });
        Hyper { rule, lr: hyper.lr as f32, decay: hyper.decay as f32, decoupled: false, step: hyper.step, clip }
    }
}

/// NaN is in the norm, in the scale, and stays in a clipped element.
#[test]
fn nan_is_not_clipped_away() {
    for isa in Isa::available() {
        let mut fused = Fused::with_isa(isa).unwrap();
        let clip = |scale| Some(Clip { scale, limit: 0.5 });
        for (grad, scale, expected) in [
            (f32::NAN, 1.0, f32::NAN),
            (1.0, f32::NAN, f32::NAN),
            (f32::INFINITY, 1.0, -0.5),
            (f32::NEG_INFINITY, 1.0, 0.5),
            (f32::INFINITY, 0.0, f32::NAN),
        ] {
            let mut w = [0.0f32];
            let hyper = [Hyper { rule: Rule::Sgd, lr: 1.0, decay: 0.0, decoupled: false, step: 1, clip: clip(scale) }];
            fused.update_vector(UpdateVector { hyper: &hyper, w: &mut w, grad: &[grad], m: None, v: None }).unwrap();
            assert!(w[0] == expected || (w[0].is_nan() && expected.is_nan()), "{isa}: {grad} {scale}: {}", w[0]);
        }
    }
}

#[test]
fn a_value_clipped_in_the_tile_is_that_of_the_stored_gradient() {
    for isa in Isa::available() {
        let mut fused = Fused::with_isa(isa).unwrap();
        let (n, rows, cols) = (33, 70, 45);
        let [a, delta] = [(1, rows), (2, cols)].map(|(seed, cols)| random::<f32>(seed, n * cols, -1.0, 1.0));
        let (a, delta) = (MatRef::row_major(&a, n, rows).unwrap(), MatRef::row_major(&delta, n, cols).unwrap());
        let hyper = [Hyper {
            rule: Rule::Sgd,
            lr: 1.0,
            decay: 0.0,
            decoupled: false,
            step: 1,
            clip: Some(Clip { scale: 1.0, limit: 1.5 }),
        }];
        let zeros = || Matrix::<f32>::zeros(Layout::row_major(rows, cols)).unwrap();
        let [mut grad, mut tile, mut stored] = [zeros(), zeros(), zeros()];
        fused.weight_grad(WeightGrad { a, delta, sink: GradSink::Store(grad.view_mut()) }).unwrap();
        let update = |w| UpdateMatrix { hyper: &hyper, w, w_t: None, m: None, v: None };
        fused.weight_grad(WeightGrad { a, delta, sink: GradSink::Update(update(tile.view_mut())) }).unwrap();
        fused.update_matrix(grad.view(), update(stored.view_mut())).unwrap();
        assert_eq!(tile.to_row_major(), stored.to_row_major(), "{isa}");
        assert!(tile.to_row_major().iter().any(|w| w.abs() == 1.5), "{isa}: some are clipped");
    }
}
