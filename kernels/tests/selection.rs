//! Which activations stay: the k largest of a row, those above a threshold, those that dropout leaves. Against plain loops,
//! the same bits on every instruction set, layout and number of threads; what comes of them in a training step.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;
use sae_kernels::ops::{Activation, Encode, Form, Gemm, HiddenDelta, TopK};
use sae_kernels::step::{Dropout, Input, Parameters, Penalty, RhoHat, Selection, Step, StepConfig};
use sae_kernels::{Backend, BackendKind, Error, Fused, Isa, Layout, MatMut, MatRef, Matrix, Naive, backend};

fn random(seed: u64, len: usize, low: f32, high: f32) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(low..high)).collect()
}

/// Numbers with ties, both zeros, infinities and NaNs; more of them for a larger `odd`.
fn hostile(seed: u64, len: usize, odd: u32) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let special = [0.0, -0.0, 1.0, -1.0, 0.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-45];
    (0..len)
        .map(|_| match rng.random_ratio(odd, 10) {
            true => special[rng.random_range(0..special.len())],
            false => rng.random_range(-1.0..1.0),
        })
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    // Which NaN is of no interest.
    values.iter().map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() }).collect()
}

/// `h` after the operation, and its column sums, for two problems.
fn top_k(backend: &mut dyn Backend, layout: Layout, values: &[f32], k: [usize; 2]) -> (Vec<u32>, Vec<u32>) {
    let mut h = Matrix::from_row_major(values, layout.batched_dense(2).unwrap()).unwrap();
    let mut sums = vec![f32::NAN; 2 * layout.cols()];
    backend.top_k(TopK { k: &k, h: h.view_mut(), col_sums: Some(&mut sums) }).unwrap();
    (bits(&h.to_row_major()), bits(&sums))
}

#[test]
fn the_k_largest_stay_as_plain_loops_have_it() {
    for (seed, (rows, cols)) in [(1, 1), (3, 5), (50, 67), (7, 128), (20, 1000)].into_iter().enumerate() {
        for odd in [0, 3, 10] {
            let values = hostile(seed as u64 * 100 + u64::from(odd), 2 * rows * cols, odd);
            for k in [1, 2, cols.div_ceil(3), cols.saturating_sub(1).max(1), cols, cols + 5] {
                let ks = [k, k.div_ceil(2)];
                let expected = top_k(&mut Naive, Layout::row_major(rows, cols), &values, ks);
                for isa in Isa::available() {
                    let mut fused = Fused::with_isa(isa).unwrap();
                    let panel = fused.panel().unwrap();
                    for layout in [
                        Layout::row_major(rows, cols),
                        Layout::row_major_ld(rows, cols, cols + 3).unwrap(),
                        Layout::panel_major(rows, cols, panel).unwrap(),
                    ] {
                        let found = top_k(&mut fused, layout, &values, ks);
                        assert!(
                            found == expected,
                            "{isa}: {rows} x {cols}, k {ks:?}, {odd} in ten special, {layout:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn exactly_k_stay_and_none_that_goes_is_larger_and_of_equal_ones_the_first_stay() {
    let (rows, cols) = (40, 300);
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    // Twenty different numbers, none of them 0: ties in every row.
    let values: Vec<f32> = (0..rows * cols).map(|_| rng.random_range(1..21) as f32).collect();
    for k in [1, 7, 150, 299] {
        let mut h = values.clone();
        let view = MatMut::row_major(&mut h, rows, cols).unwrap();
        Fused::new().unwrap().top_k(TopK { k: &[k], h: view, col_sums: None }).unwrap();
        for (h, before) in h.chunks(cols).zip(values.chunks(cols)) {
            let (kept, gone): (Vec<usize>, Vec<usize>) = (0..cols).partition(|&j| h[j] != 0.0);
            assert_eq!(kept.len(), k);
            assert!(kept.iter().all(|&j| h[j] == before[j]));
            let least = kept.iter().map(|&j| before[j]).fold(f32::INFINITY, f32::min);
            let last = kept.iter().copied().filter(|&j| before[j] == least).max().unwrap();
            assert!(gone.iter().all(|&j| before[j] < least || (before[j] == least && j > last)), "k {k}");
        }
    }
}

#[test]
fn threads_do_not_change_which_stay() {
    let (rows, cols) = (200, 500);
    let values = hostile(9, 2 * rows * cols, 2);
    let run = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut fused = Fused::new().unwrap();
        let layout = Layout::panel_major(rows, cols, fused.panel().unwrap()).unwrap();
        pool.install(|| top_k(&mut fused, layout, &values, [31, 400]))
    };
    let one = run(1);
    for threads in [2, 3, 8] {
        assert!(run(threads) == one, "{threads}");
    }
}

/// What a backend has kept of narrow rows for each thread is not enough for wide ones.
#[test]
fn wide_rows_after_narrow_ones() {
    let pool = ThreadPoolBuilder::new().num_threads(8).build().unwrap();
    let (narrow, wide) = (Layout::row_major(700, 64), Layout::row_major(400, 128));
    let values = hostile(11, 2 * 700 * 128, 2);
    for _ in 0..20 {
        let mut fused = Fused::new().unwrap();
        for layout in [narrow, wide] {
            let values = &values[..2 * layout.rows() * layout.cols()];
            let expected = top_k(&mut Naive, layout, values, [9, 60]);
            assert!(pool.install(|| top_k(&mut fused, layout, values, [9, 60])) == expected, "{layout:?}");
        }
    }
}

/// The other backends' epilogues are the same code.
#[test]
fn every_backend_keeps_the_same() {
    let (rows, cols) = (30, 90);
    let values = hostile(2, 2 * rows * cols, 1);
    let expected = top_k(&mut Naive, Layout::row_major(rows, cols), &values, [9, 60]);
    for kind in BackendKind::ALL.into_iter().filter(|kind| kind.is_built()) {
        let mut backend = backend(kind).unwrap();
        assert!(top_k(&mut *backend, Layout::row_major(rows, cols), &values, [9, 60]) == expected, "{kind}");
        let mut h = vec![1.0; 6];
        let mut refused = |k: &[usize], sums: usize| {
            let (h, mut sums) = (MatMut::row_major(&mut h, 2, 3).unwrap(), vec![9.0; sums]);
            let error = backend.top_k(TopK { k, h, col_sums: Some(&mut sums) }).unwrap_err();
            assert!(sums.iter().all(|&s| s == 9.0));
            error
        };
        assert!(matches!(refused(&[0], 3), Error::Scalar { name: "k", .. }));
        assert!(matches!(refused(&[1, 1], 3), Error::Shape { operand: "k", found: 2, expected: 1, .. }));
        assert!(matches!(refused(&[1], 2), Error::Shape { operand: "col_sums", found: 2, expected: 3, .. }));
        assert_eq!(h, [1.0; 6]);
    }
}

/// Column sums as they are defined: row after row in f32 inside blocks, the blocks in f64.
fn column_sums(h: &[f32], cols: usize) -> Vec<f32> {
    let column = |j: usize| {
        let blocks = h.chunks(cols * sae_kernels::ops::REDUCE_ROWS);
        blocks.map(|block| f64::from(block.chunks(cols).fold(0.0, |sum, row| sum + row[j]))).sum::<f64>() as f32
    };
    (0..cols).map(column).collect()
}

#[test]
fn a_threshold_cuts_what_the_encoder_gives_without_it() {
    let (n, d_in, d_hid) = (101, 40, 150);
    let (mut x, w, bias) =
        (random(1, n * d_in, -1.0, 1.0), random(2, d_in * d_hid, -0.5, 0.5), random(3, d_hid, -1.0, 1.0));
    x[5 * d_in] = f32::NAN;
    for kind in [BackendKind::Fused, BackendKind::MatrixMultiply, BackendKind::Naive] {
        let mut backend = backend(kind).unwrap();
        for activation in Activation::ALL {
            let mut encode = |threshold: Option<&[f32]>| {
                let (mut h, mut sums) = (vec![0.0; n * d_hid], vec![0.0; d_hid]);
                let op = Encode {
                    x: MatRef::row_major(&x, n, d_in).unwrap(),
                    w: MatRef::row_major(&w, d_in, d_hid).unwrap(),
                    bias: &bias,
                    activation,
                    threshold,
                    h: MatMut::row_major(&mut h, n, d_hid).unwrap(),
                    col_sums: Some(&mut sums),
                };
                backend.encode(op).map(|()| (h, sums))
            };
            let (plain, _) = encode(None).unwrap();
            for threshold in [0.0, 0.3, 0.9] {
                let (cut, sums) = encode(Some(&[threshold])).unwrap();
                let expected: Vec<f32> = plain.iter().map(|&h| if h.abs() <= threshold { 0.0 } else { h }).collect();
                assert_eq!(bits(&cut), bits(&expected), "{kind} {} {threshold}", activation.name());
                assert_eq!(
                    bits(&sums),
                    bits(&column_sums(&expected, d_hid)),
                    "{kind} {} {threshold}",
                    activation.name()
                );
            }
            assert!(matches!(encode(Some(&[0.1, 0.2])), Err(Error::Shape { operand: "threshold", .. })));
        }
    }
}

/// `delta_out·w_t` by itself, times the gate, is given to the operation once more, with the identity for weights: a chain of
/// one product with 1 and zeros, which rounds nothing.
#[test]
fn gates_multiply_and_supports_mask_what_the_operation_gives_without_them() {
    let (n, d_in, d_hid) = (60, 35, 130);
    let (delta, w_t) = (random(1, n * d_in, -1.0, 1.0), random(2, d_in * d_hid, -0.5, 0.5));
    let gates: Vec<f32> =
        random(3, n * d_hid, 0.0, 1.0).into_iter().map(|g| if g < 0.3 { 0.0 } else { 1.0 / 0.7 }).collect();
    let codes: Vec<f32> =
        random(4, n * d_hid, -1.0, 1.0).into_iter().map(|h| if h.abs() < 0.4 { 0.0 } else { h }).collect();
    let (term, l1) = (random(5, d_hid, -0.1, 0.1), [0.01]);
    let mut identity = vec![0.0; d_hid * d_hid];
    identity.iter_mut().step_by(d_hid + 1).for_each(|one| *one = 1.0);
    fn view(values: &[f32], rows: usize, cols: usize) -> MatRef<'_> {
        MatRef::row_major(values, rows, cols).unwrap()
    }
    for isa in Isa::available() {
        let mut fused = Fused::with_isa(isa).unwrap();
        for activation in Activation::ALL {
            let mut hidden = |delta: MatRef<'_>, w_t: MatRef<'_>, support: bool, gate: Option<MatRef<'_>>| {
                let (mut out, mut grad) = (vec![0.0; n * d_hid], vec![0.0; d_hid]);
                let op = HiddenDelta {
                    delta_out: delta,
                    w_t,
                    h: view(&codes, n, d_hid),
                    activation,
                    support,
                    gate,
                    row_term: Some(&term),
                    l1: Some(&l1),
                    delta_hid: MatMut::row_major(&mut out, n, d_hid).unwrap(),
                    bias_grad: Some(&mut grad),
                };
                fused.hidden_delta(op).map(|()| (out, grad))
            };
            let gate = view(&gates, n, d_hid);
            let (gated, _) = hidden(view(&delta, n, d_in), view(&w_t, d_in, d_hid), false, Some(gate)).unwrap();
            let mut product = vec![0.0; n * d_hid];
            let c = MatMut::row_major(&mut product, n, d_hid).unwrap();
            let (a, b) = (view(&delta, n, d_in), view(&w_t, d_in, d_hid));
            Fused::with_isa(isa).unwrap().gemm(Gemm { form: Form::Nn, a, b, c, accumulate: false }).unwrap();
            product.iter_mut().zip(&gates).for_each(|(z, gate)| *z *= gate);
            let (expected, _) = hidden(view(&product, n, d_hid), view(&identity, d_hid, d_hid), false, None).unwrap();
            assert!(gated == expected, "{isa} {}: gate", activation.name());

            let (masked, sums) = hidden(view(&delta, n, d_in), view(&w_t, d_in, d_hid), true, Some(gate)).unwrap();
            let expected: Vec<f32> = gated.iter().zip(&codes).map(|(&d, &h)| if h == 0.0 { 0.0 } else { d }).collect();
            assert!(masked == expected, "{isa} {}: support", activation.name());
            assert_eq!(sums, column_sums(&expected, d_hid));
            let wrong = hidden(view(&delta, n, d_in), view(&w_t, d_in, d_hid), true, Some(view(&gates, n - 1, d_hid)));
            assert!(matches!(wrong, Err(Error::Shape { operand: "gate", dim: "rows", .. })));
        }
    }
}

const SIZES: [usize; 3] = [50, 30, 70];

fn weights(tied: bool) -> Parameters {
    let [_, d_in, d_hid] = SIZES;
    let mut weights = Parameters::zeros(d_in, d_hid);
    for (seed, (_, tensor)) in weights.tensors_mut().into_iter().enumerate() {
        tensor.copy_from_slice(&random(seed as u64, tensor.len(), -0.5, 0.5));
    }
    if tied {
        weights.w_dec = (0..d_hid * d_in).map(|at| weights.w_enc[at % d_in * d_hid + at / d_in]).collect();
    }
    weights
}

fn step(backend: &dyn Backend, cfg: StepConfig) -> Step {
    let [n, d_in, d_hid] = SIZES;
    let mut step = Step::new(d_in, d_hid, 2 * n, backend.panel(), cfg).unwrap();
    step.set_weights(&weights(cfg.tied)).unwrap();
    step
}

fn configs() -> Vec<StepConfig> {
    let kl = Penalty::Kl { rho: 0.1, beta: 0.1, average: RhoHat::Batch };
    let base = StepConfig { weight_decay: 0.01, ..StepConfig::new() };
    let identity = StepConfig { hidden: Activation::Identity, output: Activation::Identity, ..base };
    let dropout = Some(Dropout { rate: 0.4, seed: 5 });
    vec![
        StepConfig { selection: Selection::TopK { k: 9 }, ..identity },
        StepConfig {
            selection: Selection::TopK { k: 20 },
            penalty: Penalty::L1 { beta: 0.01 },
            hidden: Activation::Tanh,
            ..base
        },
        StepConfig { selection: Selection::Threshold { threshold: 0.5 }, tied: true, ..base },
        StepConfig { penalty: kl, dropout, ..base },
        StepConfig {
            tied: true,
            dropout,
            decoupled_decay: true,
            clip_norm: Some(0.1),
            hidden: Activation::Relu,
            ..base
        },
    ]
}

/// Reports' losses and weights after a few steps, of clean, corrupted and paired inputs in turn.
fn train(backend: &mut dyn Backend, cfg: StepConfig) -> (Vec<u64>, Vec<u32>) {
    let [n, d_in, _] = SIZES;
    let both = random(8, 2 * n * d_in, 0.0, 1.0);
    let (clean, x) = both.split_at(n * d_in);
    let view = |x| MatRef::row_major(x, n, d_in).unwrap();
    let inputs = [
        Input::Clean(view(clean)),
        Input::Corrupted { x: view(x), target: view(clean) },
        Input::Paired { both: MatRef::row_major(&both, 2 * n, d_in).unwrap(), gamma: 0.7 },
    ];
    let mut step = step(backend, cfg);
    let losses = (0..9).map(|i| step.train_step(backend, inputs[i % 3], 0.01).unwrap().loss.to_bits()).collect();
    let weights = step.weights();
    if cfg.tied {
        assert_eq!(weights.w_dec[1], weights.w_enc[SIZES[2]], "tied weights stay tied");
    }
    (losses, weights.tensors().iter().flat_map(|(_, w)| bits(w)).collect())
}

#[test]
fn training_has_the_same_bits_on_every_instruction_set_and_any_number_of_threads() {
    for cfg in configs() {
        let run = |isa, threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| train(&mut Fused::with_isa(isa).unwrap(), cfg))
        };
        let mut known = None;
        for isa in Isa::available().into_iter().filter(|isa| isa.keeps_bits()) {
            for threads in [1, 2, 5] {
                let found = run(isa, threads);
                assert!(known.get_or_insert_with(|| found.clone()) == &found, "{isa}, {threads} threads: {cfg:?}");
            }
        }
    }
}

#[test]
fn features_and_mean_activations_are_of_what_stays() {
    let [n, d_in, d_hid] = SIZES;
    let x = random(3, n * d_in, 0.0, 1.0);
    let x = MatRef::row_major(&x, n, d_in).unwrap();
    let mut backend = Fused::new().unwrap();
    let cfg = StepConfig { selection: Selection::TopK { k: 9 }, ..StepConfig::new() };
    let mut step = step(&backend, cfg);
    step.evaluate(&mut backend, x, None).unwrap();
    let mut features = vec![0.0; n * d_hid];
    step.encode(&mut backend, x, MatMut::row_major(&mut features, n, d_hid).unwrap()).unwrap();
    assert!(features.chunks(d_hid).all(|h| h.iter().filter(|&&h| h != 0.0).count() == 9));
    let hidden = step.hidden(n).unwrap();
    assert!((0..n * d_hid).all(|at| hidden.at(0, at / d_hid, at % d_hid) == features[at]));
    let sum: f64 = features.iter().map(|&h| f64::from(h)).sum();
    let mean: f64 = step.batch_mean().iter().map(|&m| f64::from(m)).sum();
    // 70 sums of 50 numbers below 1, each rounded a few times.
    assert!((sum / n as f64 - mean).abs() < 1e-5 * mean, "{sum} {mean}");
    // Another k, not another kind.
    step.set_selection(Selection::TopK { k: 3 }).unwrap();
    step.encode(&mut backend, x, MatMut::row_major(&mut features, n, d_hid).unwrap()).unwrap();
    assert!(features.chunks(d_hid).all(|h| h.iter().filter(|&&h| h != 0.0).count() == 3));
    assert!(matches!(step.set_selection(Selection::TopK { k: 0 }), Err(Error::Scalar { name: "k", .. })));
    assert!(matches!(step.set_selection(Selection::All), Err(Error::Scalar { name: "selection", .. })));
}

#[test]
fn dropout_is_another_every_step_and_none_in_evaluation() {
    let [n, d_in, _] = SIZES;
    let x = random(3, n * d_in, 0.0, 1.0);
    let x = MatRef::row_major(&x, n, d_in).unwrap();
    let dropout = |rate| StepConfig { dropout: Some(Dropout { rate, seed: 1 }), ..StepConfig::new() };
    let mut step = step(&Naive, dropout(0.5));
    let evaluated = step.evaluate(&mut Naive, x, None).unwrap().loss;
    let mut plain = self::step(&Naive, StepConfig::new());
    assert_eq!(evaluated, plain.evaluate(&mut Naive, x, None).unwrap().loss);
    let first = step.objective(&mut Naive, x).unwrap().loss;
    assert_eq!(step.objective(&mut Naive, x).unwrap().loss, first, "a step's dropout is its own");
    // With a learning rate of 0 nothing else changes from step to step.
    let losses: Vec<f64> = (0..4).map(|_| step.train_step(&mut Naive, x, 0.0).unwrap().loss).collect();
    assert_eq!(losses[0], first);
    assert!(losses.windows(2).all(|w| w[0] != w[1]) && losses[0] != evaluated, "{losses:?}");
    // And with a rate of 0 nothing is dropped.
    let mut none = self::step(&Naive, dropout(0.0));
    assert_eq!(none.objective(&mut Naive, x).unwrap().loss, evaluated);
}

#[test]
fn the_terms_of_a_paired_input_are_those_of_its_parts() {
    let [n, d_in, d_hid] = SIZES;
    let both: Vec<f64> = random(8, 2 * n * d_in, 0.0, 1.0).into_iter().map(f64::from).collect();
    let (clean, x) = both.split_at(n * d_in);
    let view = |x| MatRef::row_major(x, n, d_in).unwrap();
    let penalty = Penalty::Kl { rho: 0.1, beta: 0.5, average: RhoHat::Batch };
    let cfg = StepConfig::<f64> { penalty, weight_decay: 0.01, ..StepConfig::new() };
    let mut step = Step::new(d_in, d_hid, 2 * n, None, cfg).unwrap();
    let wide = |w: &[f32]| w.iter().map(|&w| f64::from(w)).collect::<Vec<_>>();
    let Parameters { w_enc, b_enc, w_dec, b_dec } = weights(false);
    let own = Parameters { w_enc: wide(&w_enc), b_enc: wide(&b_enc), w_dec: wide(&w_dec), b_dec: wide(&b_dec) };
    step.set_weights(&own).unwrap();
    let j = step.evaluate(&mut Naive, view(clean), None).unwrap();
    let d = step.evaluate(&mut Naive, Input::Corrupted { x: view(x), target: view(clean) }, None).unwrap();
    let all = MatRef::row_major(&both, 2 * n, d_in).unwrap();
    let found = step.evaluate(&mut Naive, Input::Paired { both: all, gamma: 0.7 }, None).unwrap();
    assert_eq!(found.n, n);
    assert_eq!(
        (found.reconstruction, found.sparsity, found.weight_decay),
        (j.reconstruction, j.sparsity, j.weight_decay)
    );
    // Few roundings of numbers of one size.
    assert!((found.denoising - 0.7 * d.reconstruction).abs() < 1e-14 * d.reconstruction);
    assert!((found.loss - j.loss - found.denoising).abs() < 1e-14 * found.loss);
    let odd = MatRef::row_major(&both[..3 * d_in], 3, d_in).unwrap();
    assert!(matches!(
        step.evaluate(&mut Naive, Input::Paired { both: odd, gamma: 0.7 }, None),
        Err(Error::Shape { operand: "x", dim: "rows", .. })
    ));
    assert!(matches!(
        step.evaluate(&mut Naive, Input::Paired { both: all, gamma: -1.0 }, None),
        Err(Error::Scalar { name: "gamma", .. })
    ));
    for rows in [3, n / 2] {
        let target = MatRef::row_major(&both[..rows * d_in], rows, d_in).unwrap();
        assert!(matches!(
            step.evaluate(&mut Naive, Input::Corrupted { x: view(x), target }, None),
            Err(Error::Shape { operand: "target", dim: "rows", found, .. }) if found == rows
        ));
    }
}

#[test]
fn untied_weights_are_refused_where_they_have_to_be_tied() {
    let [_, d_in, d_hid] = SIZES;
    let mut step = Step::new(d_in, d_hid, 4, None, StepConfig { tied: true, ..StepConfig::new() }).unwrap();
    let error = step.set_weights(&weights(false)).unwrap_err();
    assert!(matches!(&error, Error::Scalar { name: "w_enc", .. }), "{error}");
    assert_eq!(step.weights(), Parameters::zeros(d_in, d_hid));
    step.set_weights(&weights(true)).unwrap();
    assert_eq!(step.weights(), weights(true));
}

/// The same step with and without: weights differ by lr·λ times what they were, biases do not.
#[test]
fn decoupled_decay_shrinks_and_is_no_part_of_the_objective_or_its_gradient() {
    let [n, d_in, _] = SIZES;
    let x = random(3, n * d_in, 0.0, 1.0);
    let x = MatRef::row_major(&x, n, d_in).unwrap();
    for rule in sae_kernels::ops::Rule::all() {
        let cfg =
            |weight_decay, decoupled_decay| StepConfig { weight_decay, decoupled_decay, rule, ..StepConfig::new() };
        let after = |cfg: StepConfig| {
            let mut step = step(&Naive, cfg);
            let report = step.train_step(&mut Naive, x, 0.1).unwrap();
            (report, step.weights())
        };
        let ((none, plain), (decayed, shrunk)) = (after(cfg(0.0, true)), after(cfg(0.5, true)));
        assert_eq!(none, decayed, "{}", rule.name());
        let before = weights(false);
        for (((name, plain), (_, shrunk)), (_, before)) in
            plain.tensors().into_iter().zip(shrunk.tensors()).zip(before.tensors())
        {
            for ((p, s), b) in plain.iter().zip(shrunk).zip(before) {
                let expected = if name.starts_with('w') { p - 0.05 * b } else { *p };
                // A few roundings of numbers below 1.
                assert!((s - expected).abs() < 1e-6, "{} {name}: {s} {expected}", rule.name());
            }
        }
    }
}
