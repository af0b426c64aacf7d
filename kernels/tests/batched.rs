//! Several models in one batched step: each computes the bits it computes alone.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::ops::{Activation, Loss, Rule};
use sae_kernels::step::{
    BatchedStep, Convention, Dropout, Parameters, Penalty, RhoHat, Selection, Step, StepConfig, StepReport,
};
use sae_kernels::{Backend, BackendKind, Error, Fused, Isa, Layout, MatMut, MatRef, Matrix, Naive, Real, backend};

const D_IN: usize = 37;
const D_HID: usize = 70;
const N: usize = 101;
const STEPS: usize = 4;

fn random<T: Real>(seed: usize, len: usize, low: f64, high: f64) -> Vec<T> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
    (0..len).map(|_| T::from_f64(rng.random_range(low..high))).collect()
}

fn weights<T: Real>(seed: usize, d_in: usize, d_hid: usize) -> Parameters<T> {
    let mut weights = Parameters::zeros(d_in, d_hid);
    for (i, (_, tensor)) in weights.tensors_mut().into_iter().enumerate() {
        tensor.copy_from_slice(&random(10 * seed + i, tensor.len(), -0.4, 0.4));
    }
    weights
}

/// Every rule with every penalty that the activation takes, weight decays and coefficients of their own.
fn configs<T: Real>(hidden: Activation, loss: Loss, convention: Convention) -> Vec<StepConfig<T>> {
    let t = T::from_f64;
    let kl = |rho, average| Penalty::Kl { rho: t(rho), beta: t(0.3), average };
    let mut penalties = vec![Penalty::None, Penalty::L1 { beta: t(0.01) }, Penalty::L1 { beta: t(0.0) }];
    if hidden == Activation::Sigmoid {
        penalties.extend([kl(0.1, RhoHat::Batch), kl(0.2, RhoHat::Ema { decay: t(0.8) })]);
    }
    let output = if loss == Loss::Bce { Activation::Sigmoid } else { Activation::Identity };
    let mut all = Vec::new();
    for rule in Rule::all() {
        for &penalty in &penalties {
            let weight_decay = t(1e-3 * (all.len() % 3) as f64);
            let decoupled_decay = all.len() % 2 == 1;
            let cfg = StepConfig { hidden, output, loss, convention, weight_decay, penalty, rule, ..StepConfig::new() };
            all.push(StepConfig { decoupled_decay, ..cfg });
        }
    }
    all
}

/// Weights and state of models that were trained together, against each trained alone.
fn same_as_alone<T: Real>(backend: &mut dyn Backend<T>, cfgs: &[StepConfig<T>], sizes: [usize; 3], shared: bool) {
    let ([n, d_in, d_hid], panel, models) = (sizes, backend.panel(), cfgs.len());
    let who = format!("{} {}", backend.kind(), backend.isa());
    let problems = if shared { 1 } else { models };
    let x: Vec<T> = random(1, problems * n * d_in, 0.0, 1.0);
    let lr: Vec<T> = (0..models).map(|model| T::from_f64(0.01 + 0.001 * model as f64)).collect();
    // Row-major and a whole batch, then panel-major and a short one.
    let layout = |rows, panel| match panel {
        Some(panel) => Layout::panel_major(rows, d_in, panel).unwrap(),
        None => Layout::row_major(rows, d_in),
    };
    let short = n.div_ceil(2);
    let batches = [(n, None), (short, panel), (n, panel), (n, None)].map(|(rows, panel)| {
        let data: Vec<T> = (0..problems).flat_map(|p| x[p * n * d_in..][..rows * d_in].iter().copied()).collect();
        Matrix::from_row_major(&data, layout(rows, panel).batched_dense(problems).unwrap()).unwrap()
    });
    let mut step = BatchedStep::new(d_in, d_hid, n, panel, cfgs).unwrap();
    for model in 0..models {
        step.set_weights(model, &weights(model, d_in, d_hid)).unwrap();
    }
    let mut reports = vec![vec![StepReport::default(); models]; STEPS];
    for t in 0..STEPS {
        step.train_step(backend, batches[t].view(), &lr, &mut reports[t]).unwrap();
    }
    let (mut last, mut x_hat) = (vec![StepReport::default(); models], vec![T::ZERO; models * n * d_in]);
    let to = MatMut::new(&mut x_hat, Layout::row_major(n, d_in).batched_dense(models).unwrap()).unwrap();
    step.evaluate(backend, batches[3].view(), Some(to), &mut last).unwrap();
    let gradients = step.gradients(backend, batches[3].view()).unwrap();

    for model in 0..models {
        let what = || format!("{who}: model {model}, {:?}", cfgs[model]);
        let mut alone = Step::new(d_in, d_hid, n, panel, cfgs[model]).unwrap();
        alone.set_weights(&weights(model, d_in, d_hid)).unwrap();
        for t in 0..STEPS {
            let own = batches[t].view().problem(if shared { 0 } else { model });
            let report = alone.train_step(backend, own, lr[model]).unwrap();
            assert_eq!(report, reports[t][model], "{}, step {t}", what());
        }
        assert!(alone.weights() == step.weights(model), "{}", what());
        assert!(alone.state() == step.state(model), "{}", what());
        let own = batches[3].view().problem(if shared { 0 } else { model });
        let mut own_x_hat = vec![T::ZERO; n * d_in];
        let to = MatMut::row_major(&mut own_x_hat, n, d_in).unwrap();
        assert_eq!(alone.evaluate(backend, own, Some(to)).unwrap(), last[model], "{}", what());
        assert!(own_x_hat == x_hat[model * n * d_in..][..n * d_in], "{}", what());
        assert!(alone.gradients(backend, own).unwrap() == gradients[model], "{}", what());
        assert!(alone.rho_hat() == step.rho_hat(model) && alone.batch_mean() == step.batch_mean(model), "{}", what());
    }
}

#[test]
fn each_model_of_a_batch_trains_as_alone_with_every_penalty_and_rule() {
    for isa in Isa::available() {
        let mut fused = Fused::with_isa(isa).unwrap();
        for (hidden, loss, convention, shared) in [
            (Activation::Sigmoid, Loss::Squared, Convention::PerSample, true),
            (Activation::Sigmoid, Loss::Bce, Convention::PerElement, false),
            (Activation::Relu, Loss::Squared, Convention::PerElement, true),
            (Activation::Tanh, Loss::Squared, Convention::PerSample, false),
        ] {
            same_as_alone(&mut fused, &configs(hidden, loss, convention), [N, D_IN, D_HID], shared);
        }
    }
}

#[test]
fn each_model_of_a_batch_selects_and_drops_by_its_own_numbers() {
    let of = |i: u64, selection| StepConfig {
        hidden: Activation::Tanh,
        weight_decay: 1e-3 * i as f32,
        selection,
        dropout: Some(Dropout { rate: 0.2 * i as f32, seed: 3 + i }),
        ..StepConfig::new()
    };
    let top_k: Vec<_> = (0..4).map(|i| of(i, Selection::TopK { k: 3 + 5 * i as usize })).collect();
    let threshold = |i: u64| Selection::Threshold { threshold: 0.1 * i as f32 };
    let above: Vec<_> = (0..4).map(|i| of(i, threshold(i))).collect();
    for isa in Isa::available() {
        let mut fused = Fused::with_isa(isa).unwrap();
        for shared in [true, false] {
            same_as_alone(&mut fused, &top_k, [N, D_IN, D_HID], shared);
            same_as_alone(&mut fused, &above, [N, D_IN, D_HID], shared);
        }
    }
}

/// OpenBLAS promises no bits.
#[test]
fn a_batch_is_as_good_as_its_models_on_the_other_backends() {
    for shared in [true, false] {
        let cfgs = configs(Activation::Sigmoid, Loss::Squared, Convention::PerSample);
        same_as_alone::<f32>(&mut Naive, &cfgs, [9, 7, 5], shared);
        let mut other = backend(BackendKind::MatrixMultiply).unwrap();
        same_as_alone(other.as_mut(), &cfgs, [60, 19, 33], shared);
        let cfgs = configs(Activation::Sigmoid, Loss::Squared, Convention::PerSample);
        same_as_alone::<f64>(&mut Naive, &cfgs, [9, 7, 5], shared);
    }
}

#[test]
fn models_that_share_no_objective_are_refused() {
    let base = StepConfig::<f32>::new();
    for (name, other) in [
        ("hidden activation", StepConfig { hidden: Activation::Relu, ..base }),
        ("output activation", StepConfig { output: Activation::Identity, ..base }),
        ("loss", StepConfig { loss: Loss::Bce, ..base }),
        ("convention", StepConfig { convention: Convention::PerElement, ..base }),
        ("tied", StepConfig { tied: true, ..base }),
        ("selection", StepConfig { selection: Selection::TopK { k: 1 }, ..base }),
        ("dropout", StepConfig { dropout: Some(Dropout { rate: 0.5, seed: 0 }), ..base }),
    ] {
        let error = BatchedStep::new(2, 2, 2, None, &[base, other]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name} is ")) && error.contains("first model"), "{error}");
    }
    let error = BatchedStep::<f32>::new(2, 2, 2, None, &[]).unwrap_err().to_string();
    assert_eq!(error, "models is 0, expected at least 1");
}

#[test]
fn a_refused_step_leaves_every_model_as_it_was() {
    let mut step = BatchedStep::<f32>::new(4, 3, 5, None, &[StepConfig::new(); 2]).unwrap();
    for model in 0..2 {
        step.set_weights(model, &weights(model, 4, 3)).unwrap();
    }
    let x: Vec<f32> = random(1, 3 * 5 * 4, 0.0, 1.0);
    let view = |problems| MatRef::new(&x, Layout::row_major(5, 4).batched(problems, 20)).unwrap();
    let mut train = |problems, lr: &[f32], reports: usize| {
        let mut reports = vec![StepReport::default(); reports];
        step.train_step(&mut Naive, view(problems), lr, &mut reports).unwrap_err().to_string()
    };
    assert_eq!(train(3, &[0.1; 2], 2), "x: batch is 3, expected 2 (one a model)");
    assert_eq!(train(2, &[0.1; 3], 2), "lr: length is 3, expected 2 (one a model)");
    assert_eq!(train(2, &[0.1, -1.0], 2), "learning rate is -1, expected a finite number, 0 or more");
    assert_eq!(train(2, &[0.1; 2], 1), "reports: length is 1, expected 2 (one a model)");
    for model in 0..2 {
        assert_eq!((step.weights(model), step.steps(model)), (weights(model, 4, 3), 0));
    }
}

#[test]
fn a_model_goes_on_from_a_checkpoint_in_another_batch() {
    let cfgs = configs::<f32>(Activation::Sigmoid, Loss::Squared, Convention::PerSample);
    let x: Vec<f32> = random(1, 5 * 4, 0.0, 1.0);
    let x = MatRef::row_major(&x, 5, 4).unwrap();
    let train = |step: &mut BatchedStep| {
        let mut reports = vec![StepReport::default(); step.models()];
        step.train_step(&mut Naive, x, &vec![0.1; step.models()], &mut reports).unwrap();
        reports
    };
    let mut whole = BatchedStep::new(4, 3, 5, None, &cfgs).unwrap();
    for model in 0..cfgs.len() {
        whole.set_weights(model, &weights(model, 4, 3)).unwrap();
    }
    train(&mut whole);
    // The last models, in the reverse order, beside a model that has not begun.
    let kept: Vec<usize> = (3..cfgs.len()).rev().collect();
    let mut part_cfgs: Vec<_> = kept.iter().map(|&model| cfgs[model]).collect();
    part_cfgs.push(cfgs[0]);
    let mut part = BatchedStep::new(4, 3, 5, None, &part_cfgs).unwrap();
    for (place, &model) in kept.iter().enumerate() {
        part.set_weights(place, &whole.weights(model)).unwrap();
        part.set_state(place, &whole.state(model)).unwrap();
    }
    let (all, some) = (train(&mut whole), train(&mut part));
    for (place, &model) in kept.iter().enumerate() {
        assert_eq!(some[place], all[model]);
        assert_eq!((part.weights(place), part.state(place)), (whole.weights(model), whole.state(model)));
    }
    assert_eq!((part.steps(kept.len()), whole.steps(0)), (1, 2));
    // A state of another rule.
    let adam = cfgs.iter().position(|cfg| cfg.rule == Rule::adam()).unwrap();
    let error = whole.set_state(0, &whole.state(adam)).unwrap_err();
    assert!(matches!(error, Error::Shape { operand: "m", .. }), "{error}");
}
