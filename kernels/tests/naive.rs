//! The naive backend against examples worked out by hand. Numbers are chosen so that every result is exact in f32 too:
//! equality is exact throughout, unless a test says otherwise.

use sae_kernels::ops::{
    Activation, Decode, Encode, Form, Gemm, GradSink, HiddenDelta, Hyper, Loss, REDUCE_ROWS, Rule, UpdateMatrix,
    UpdateVector, WeightGrad,
};
use sae_kernels::{Backend, BackendKind, Error, Layout, MatMut, MatRef, Matrix, Naive, Real};

fn m<T: Real>(rows: usize, cols: usize, data: &[f64]) -> Matrix<T> {
    let data: Vec<T> = data.iter().map(|&v| T::from_f64(v)).collect();
    Matrix::from_row_major(&data, Layout::row_major(rows, cols)).unwrap()
}

fn v<T: Real>(data: &[f64]) -> Vec<T> {
    data.iter().map(|&v| T::from_f64(v)).collect()
}

fn f64s<T: Real>(data: &[T]) -> Vec<f64> {
    data.iter().map(|v| v.to_f64()).collect()
}

/// `c = a·b + (accumulate ? start : 0)`.
fn product<T: Real>(form: Form, a: &Matrix<T>, b: &Matrix<T>, mut c: Matrix<T>, accumulate: bool) -> Vec<f64> {
    Naive.gemm(Gemm { form, a: a.view(), b: b.view(), c: c.view_mut(), accumulate }).unwrap();
    f64s(&c.to_row_major())
}

fn gemm_examples<T: Real>() {
    // | 1 2 3 |   | 1  0 |   | 14 −2 |
    // | 4 5 6 | · | 2 −1 | = | 32 −5 |
    //             | 3  0 |
    let (a, b) = (m::<T>(2, 3, &[1., 2., 3., 4., 5., 6.]), m(3, 2, &[1., 0., 2., -1., 3., 0.]));
    let a_t = m(3, 2, &[1., 4., 2., 5., 3., 6.]);
    let old = || m(2, 2, &[100., 200., 300., 400.]);
    assert_eq!(product(Form::Nn, &a, &b, old(), false), [14., -2., 32., -5.]);
    assert_eq!(product(Form::Tn, &a_t, &b, old(), false), [14., -2., 32., -5.]);
    assert_eq!(product(Form::Nn, &a, &b, old(), true), [114., 198., 332., 395.]);
    assert_eq!(product(Form::Tn, &a_t, &b, old(), true), [114., 198., 332., 395.]);
}

#[test]
fn products_by_hand() {
    gemm_examples::<f32>();
    gemm_examples::<f64>();
}

#[test]
fn overwriting_never_reads_the_result() {
    let (a, b) = (m::<f32>(1, 1, &[2.]), m(1, 1, &[3.]));
    assert_eq!(product(Form::Nn, &a, &b, m(1, 1, &[f64::NAN]), false), [6.]);
}

#[test]
fn zero_times_nan_is_nan() {
    let (a, b) = (m::<f32>(1, 2, &[0., 1.]), m(2, 1, &[f64::NAN, 1.]));
    assert!(product(Form::Nn, &a, &b, m(1, 1, &[0.]), false)[0].is_nan());
}

#[test]
fn an_empty_contraction_is_zero() {
    let (a, b) = (m::<f32>(2, 0, &[]), m(0, 1, &[]));
    assert_eq!(product(Form::Nn, &a, &b, m(2, 1, &[7., 8.]), false), [0., 0.]);
    assert_eq!(product(Form::Nn, &a, &b, m(2, 1, &[7., 8.]), true), [7., 8.]);
}

#[test]
fn products_are_one_fused_chain_in_order() {
    // (1 + 2⁻¹²)² − 1 = 2⁻¹¹ + 2⁻²⁴: the last bit is lost where the square is rounded before the 1 is taken off.
    let e = 1.0 + (-12f64).exp2();
    let fused = (-11f64).exp2() + (-24f64).exp2();
    let (a, b) = (m::<f32>(1, 2, &[-1., e]), m(2, 1, &[1., e]));
    assert_eq!(product(Form::Nn, &a, &b, m(1, 1, &[0.]), false), [fused]);
    // The other order rounds the square first.
    let (a, b) = (m::<f32>(1, 2, &[e, -1.]), m(2, 1, &[e, 1.]));
    assert_eq!(product(Form::Nn, &a, &b, m(1, 1, &[0.]), false), [(-11f64).exp2()]);
}

#[test]
fn layout_and_batch_change_no_bit() {
    let (batch, rows, k, cols) = (3, 5, 7, 6);
    let fill = |len: usize, seed: usize| -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + seed * 11) % 101) as f32 / 53.0 - 0.9).collect()
    };
    let (a, b) = (fill(batch * rows * k, 1), fill(batch * k * cols, 2));
    let run = |layout: &dyn Fn(usize, usize) -> Layout| {
        let dense = |r, c| layout(r, c).batched_dense(batch).unwrap();
        let a = Matrix::from_row_major(&a, dense(rows, k)).unwrap();
        let b = Matrix::from_row_major(&b, dense(k, cols)).unwrap();
        let mut c = Matrix::zeros(dense(rows, cols)).unwrap();
        let (a, b) = (a.view(), b.view());
        Naive.gemm(Gemm { form: Form::Nn, a, b, c: c.view_mut(), accumulate: false }).unwrap();
        c.to_row_major()
    };
    let plain = run(&Layout::row_major);
    assert_eq!(plain, run(&|r, c| Layout::row_major_ld(r, c, c + 3).unwrap()));
    for panel in 1..9 {
        assert_eq!(plain, run(&|r, c| Layout::panel_major(r, c, panel).unwrap()), "panel {panel}");
    }
    // Problem 1 alone, and with `b` shared by a batch stride of 0.
    let (a1, b1) = (&a[rows * k..][..rows * k], &b[k * cols..][..k * cols]);
    let mut c = vec![0.0; 2 * rows * cols];
    Naive
        .gemm(Gemm {
            form: Form::Nn,
            a: MatRef::new(a1, Layout::row_major(rows, k).batched(2, 0)).unwrap(),
            b: MatRef::new(b1, Layout::row_major(k, cols).batched(2, 0)).unwrap(),
            c: MatMut::new(&mut c, Layout::row_major(rows, cols).batched_dense(2).unwrap()).unwrap(),
            accumulate: false,
        })
        .unwrap();
    for half in c.chunks(rows * cols) {
        assert_eq!(half, &plain[rows * cols..][..rows * cols]);
    }
}

/// `h` and `col_sums` of `z + 0`, so that f is seen alone.
fn activated<T: Real>(activation: Activation, z: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (x, w, bias) = (m::<T>(z.len(), 1, z), m(1, 1, &[1.]), v(&[0.]));
    let (mut h, mut sums) = (m(z.len(), 1, &vec![0.; z.len()]), v(&[9.]));
    let (x, w, bias) = (x.view(), w.view(), bias.as_slice());
    Naive
        .encode(Encode { threshold: None, x, w, bias, activation, h: h.view_mut(), col_sums: Some(&mut sums) })
        .unwrap();
    (f64s(&h.to_row_major()), f64s(&sums))
}

#[test]
fn activations_by_hand() {
    let (h, sums) = activated::<f32>(Activation::Identity, &[-2., 0., 3.]);
    assert_eq!((h, sums), (vec![-2., 0., 3.], vec![1.]));
    let (h, sums) = activated::<f32>(Activation::Relu, &[-2., 0., 3.]);
    assert_eq!((h, sums), (vec![0., 0., 3.], vec![3.]));
    // The sigmoid overflows nowhere and keeps its limits.
    let (h, sums) = activated::<f32>(Activation::Sigmoid, &[-1000., 0., 1000.]);
    assert_eq!((h, sums), (vec![0., 0.5, 1.], vec![1.5]));
    let (h, _) = activated::<f32>(Activation::Tanh, &[-1000., 0., 1000.]);
    assert_eq!(h, [-1., 0., 1.]);
    // σ(ln 3) = 3/4 and tanh(ln 2) = 3/5. The argument, the function and at most two operations are each within an ulp
    // (2⁻⁵² below 2) and no slope exceeds 1: four ulps.
    let (h, _) = activated::<f64>(Activation::Sigmoid, &[3f64.ln(), -(3f64.ln())]);
    assert!((h[0] - 0.75).abs() < 4.0 * f64::EPSILON && (h[1] - 0.25).abs() < 4.0 * f64::EPSILON, "{h:?}");
    let (h, _) = activated::<f64>(Activation::Tanh, &[2f64.ln()]);
    assert!((h[0] - 0.6).abs() < 4.0 * f64::EPSILON, "{h:?}");
    for activation in Activation::ALL {
        let (h, sums) = activated::<f32>(activation, &[f64::NAN, 1.]);
        assert!(h[0].is_nan() && !h[1].is_nan() && sums[0].is_nan(), "{activation:?} {h:?}");
    }
}

#[test]
fn encode_by_hand() {
    // x·w + bias = [1·1 + 2·3 + 10, 1·2 + 2·4 − 20] = [17, −10], then [−1·1 + 10, −1·2 − 20] = [9, −22].
    let (x, w, bias) = (m::<f32>(2, 2, &[1., 2., -1., 0.]), m(2, 2, &[1., 2., 3., 4.]), v(&[10., -20.]));
    let (mut h, mut sums) = (m(2, 2, &[0.; 4]), v(&[0., 0.]));
    let activation = Activation::Relu;
    let (x, w) = (x.view(), w.view());
    Naive
        .encode(Encode { threshold: None, x, w, bias: &bias, activation, h: h.view_mut(), col_sums: Some(&mut sums) })
        .unwrap();
    assert_eq!((h.to_row_major(), sums), (vec![17., 0., 9., 0.], vec![26., 0.]));
}

#[test]
fn column_sums_round_inside_blocks_and_not_between_them() {
    // 2²⁴ + 1 is not an f32: a block of 2²⁴ and ones stays 2²⁴, a second block of ones arrives whole.
    let big = 24f64.exp2();
    let mut z = vec![1.0; 2 * REDUCE_ROWS];
    z[0] = big;
    let (_, sums) = activated::<f32>(Activation::Identity, &z);
    assert_eq!(sums, [big + REDUCE_ROWS as f64]);
}

/// `(loss, delta, bias_grad, x_hat)` of one column of logits against one of targets.
fn decoded<T: Real>(
    activation: Activation,
    loss: Loss,
    scale: f64,
    z: &[f64],
    x: &[f64],
) -> (f64, Vec<f64>, Vec<f64>, Vec<f64>) {
    let n = z.len();
    let (h, w, bias, target) = (m::<T>(n, 1, z), m(1, 1, &[1.]), v(&[0.]), m(n, 1, x));
    let (mut delta, mut x_hat, mut grad, mut loss_sum) = (h.clone(), h.clone(), v(&[9.]), [9.0]);
    Naive
        .decode(Decode {
            h: h.view(),
            w: w.view(),
            bias: &bias,
            activation,
            target: target.view(),
            loss,
            scale: T::from_f64(scale),
            delta: delta.view_mut(),
            bias_grad: Some(&mut grad),
            x_hat: Some(x_hat.view_mut()),
            loss_sum: &mut loss_sum,
        })
        .unwrap();
    (loss_sum[0], f64s(&delta.to_row_major()), f64s(&grad), f64s(&x_hat.to_row_major()))
}

#[test]
fn decode_by_hand() {
    // ½(1² + 2²) = 5/2; delta = ¼·(x̂ − x).
    let (loss, delta, grad, x_hat) = decoded::<f32>(Activation::Identity, Loss::Squared, 0.25, &[3., 5.], &[2., 7.]);
    assert_eq!((loss, delta, grad, x_hat), (2.5, vec![0.25, -0.5], vec![-0.25], vec![3., 5.]));
    // x̂ = σ(0) = ½, x = 0: ℓ = 1/8, dℓ/dz = ½·¼.
    let (loss, delta, _, _) = decoded::<f32>(Activation::Sigmoid, Loss::Squared, 2.0, &[0.], &[0.]);
    assert_eq!((loss, delta), (0.125, vec![0.25]));
    // Where a ReLU is off its derivative is 0, the loss is not.
    let (loss, delta, _, _) = decoded::<f32>(Activation::Relu, Loss::Squared, 1.0, &[-4.], &[2.]);
    assert_eq!((loss, delta), (2.0, vec![0.0]));
    let (loss, delta, _, _) = decoded::<f32>(Activation::Tanh, Loss::Squared, 1.0, &[0.], &[2.]);
    assert_eq!((loss, delta), (2.0, vec![-2.0]));
}

#[test]
fn cross_entropy_by_hand() {
    // ℓ(0) = ln 2, to the rounding of ln_1p and of the constant.
    let (loss, delta, _, x_hat) = decoded::<f64>(Activation::Sigmoid, Loss::Bce, 0.5, &[0.], &[1.]);
    assert!((loss - std::f64::consts::LN_2).abs() <= f64::EPSILON, "{loss}");
    assert_eq!((delta, x_hat), (vec![-0.25], vec![0.5]));
    // No clamp: a logit that is wrong by 1000 costs 1000, one that is right costs nothing.
    let (loss, delta, _, _) = decoded::<f32>(Activation::Sigmoid, Loss::Bce, 1.0, &[1000., -1000.], &[0., 1.]);
    assert_eq!((loss, delta), (2000.0, vec![1.0, -1.0]));
    let (loss, delta, _, _) = decoded::<f32>(Activation::Sigmoid, Loss::Bce, 1.0, &[1000., -1000.], &[1., 0.]);
    assert_eq!((loss, delta), (0.0, vec![0.0, 0.0]));
}

#[test]
fn the_loss_is_rounded_inside_blocks_and_not_between_them() {
    // ℓ = ½·4096² = 2²³ and then ½: 2²³ + ½ rounds to 2²³ in f32, a second block of halves arrives whole.
    let mut z = vec![1.0; 2 * REDUCE_ROWS];
    z[0] = 4096.0;
    let (loss, ..) = decoded::<f32>(Activation::Identity, Loss::Squared, 1.0, &z, &vec![0.0; z.len()]);
    assert_eq!(loss, 23f64.exp2() + 0.5 * REDUCE_ROWS as f64);
}

#[test]
fn hidden_delta_by_hand() {
    // delta_out·w_t = 1·3 + 2·5 = 13 everywhere; row_term 1; l1·sign = ±2 or 0.
    let run = |activation, h: f64, row_term: Option<&[f32]>, l1| {
        let (delta_out, w_t, h) = (m::<f32>(1, 2, &[1., 2.]), m(2, 1, &[3., 5.]), m(1, 1, &[h]));
        let (mut delta, mut grad) = (m(1, 1, &[0.]), v(&[9.]));
        Naive
            .hidden_delta(HiddenDelta {
                support: false,
                gate: None,
                delta_out: delta_out.view(),
                w_t: w_t.view(),
                h: h.view(),
                activation,
                row_term,
                l1: Some(&[l1]),
                delta_hid: delta.view_mut(),
                bias_grad: Some(&mut grad),
            })
            .unwrap();
        assert_eq!(delta.to_row_major(), grad, "one row is its own sum");
        grad[0]
    };
    assert_eq!(run(Activation::Identity, 0.5, None, 0.0), 13.0);
    assert_eq!(run(Activation::Identity, 0.5, Some(&[1.0]), 0.0), 14.0);
    assert_eq!(run(Activation::Identity, 0.5, Some(&[1.0]), 2.0), 16.0);
    assert_eq!(run(Activation::Identity, -0.5, None, 2.0), 11.0);
    assert_eq!(run(Activation::Identity, 0.0, None, 2.0), 13.0);
    assert_eq!(run(Activation::Sigmoid, 0.25, None, 0.0), 13.0 * 0.1875);
    assert_eq!(run(Activation::Tanh, 0.5, None, 0.0), 13.0 * 0.75);
    assert_eq!(run(Activation::Relu, 0.5, None, 0.0), 13.0);
    assert_eq!(run(Activation::Relu, 0.0, None, 0.0), 0.0);
}

#[test]
fn weight_gradient_by_hand() {
    // aᵀ·delta with a [2, 2], delta [2, 1]: [1·5 + 3·6, 2·5 + 4·6].
    let (a, delta) = (m::<f32>(2, 2, &[1., 2., 3., 4.]), m(2, 1, &[5., 6.]));
    let mut grad = m(2, 1, &[f64::NAN; 2]);
    let (a, delta) = (a.view(), delta.view());
    Naive.weight_grad(WeightGrad { a, delta, sink: GradSink::Store(grad.view_mut()) }).unwrap();
    assert_eq!(grad.to_row_major(), [23., 34.]);

    // The same as an update: w − ½·g, and its transpose.
    let (mut w, mut w_t) = (m(2, 1, &[100., 200.]), m(1, 2, &[0., 0.]));
    let hyper = &[Hyper { rule: Rule::Sgd, lr: 0.5, decay: 0.0, decoupled: false, step: 1, clip: None }];
    let update = UpdateMatrix { hyper, w: w.view_mut(), w_t: Some(w_t.view_mut()), m: None, v: None };
    Naive.weight_grad(WeightGrad { a, delta, sink: GradSink::Update(update) }).unwrap();
    assert_eq!(w.to_row_major(), [88.5, 183.]);
    assert_eq!(w_t.to_row_major(), [88.5, 183.]);
}

/// `(w, m, v)` after one step from `w = 1`, by the vector and by the matrix form.
fn updated<T: Real>(rule: Rule<T>, lr: f64, decay: f64, grad: f64, m0: f64, v0: f64) -> (f64, f64, f64) {
    let hyper =
        &[Hyper { rule, lr: T::from_f64(lr), decay: T::from_f64(decay), decoupled: false, step: 1, clip: None }];
    let (mut w, grad, mut m1, mut v1) = (v::<T>(&[1.]), v::<T>(&[grad]), v::<T>(&[m0]), v::<T>(&[v0]));
    Naive.update_vector(UpdateVector { hyper, w: &mut w, grad: &grad, m: Some(&mut m1), v: Some(&mut v1) }).unwrap();
    let (mut w2, mut m2, mut v2) = (m::<T>(1, 1, &[1.]), m::<T>(1, 1, &[m0]), m::<T>(1, 1, &[v0]));
    let (a, delta) = (m::<T>(1, 1, &[1.]), m::<T>(1, 1, &[grad[0].to_f64()]));
    let sink = GradSink::Update(UpdateMatrix {
        hyper,
        w: w2.view_mut(),
        w_t: None,
        m: Some(m2.view_mut()),
        v: Some(v2.view_mut()),
    });
    Naive.weight_grad(WeightGrad { a: a.view(), delta: delta.view(), sink }).unwrap();
    let vector = (w[0].to_f64(), m1[0].to_f64(), v1[0].to_f64());
    let at = |m: &Matrix<T>| m.view().at(0, 0, 0).to_f64();
    assert_eq!(vector, (at(&w2), at(&m2), at(&v2)), "the two forms agree");
    vector
}

#[test]
fn updates_by_hand() {
    // g = 0.5 + 0.25·1 = 0.75.
    assert_eq!(updated::<f32>(Rule::Sgd, 0.5, 0.25, 0.5, 7., 8.), (0.625, 7., 8.));
    // m = 0.5·1 + 0.75 = 1.25. A state that the rule does not keep stays as it is.
    let rule = Rule::Momentum { momentum: 0.5 };
    assert_eq!(updated::<f32>(rule, 0.5, 0.25, 0.5, 1., 8.), (0.375, 1.25, 8.));
    // v = ¾·4 + ¼·2² = 4, w = 1 − ½·2/(2 + 2).
    let rule = Rule::RmsProp { alpha: 0.75, eps: 2.0 };
    assert_eq!(updated::<f32>(rule, 0.5, 0., 2., 7., 4.), (0.75, 7., 4.));
    // m = 1, v = 1; corrected by 1 − ½ and 1 − ¾: w = 1 − ¼/½·1/(√1/√¼ + 2) = 1 − ½/4.
    let (beta1, beta2, eps) = (0.5, 0.75, 2.0);
    assert_eq!(updated::<f32>(Rule::Adam { beta1, beta2, eps }, 0.25, 0., 2., 0., 0.), (0.875, 1., 1.));
    // Weight decay ½ is part of Adam's gradient (1.5 + ½·1 = 2), and shrinks w by 1 − ¼·½ for AdamW.
    assert_eq!(updated::<f32>(Rule::Adam { beta1, beta2, eps }, 0.25, 0.5, 1.5, 0., 0.), (0.875, 1., 1.));
    assert_eq!(updated::<f32>(Rule::AdamW { beta1, beta2, eps }, 0.25, 0.5, 2., 0., 0.), (0.75, 1., 1.));
}

#[test]
fn nothing_is_a_size() {
    // No rows: sums and losses are 0. No columns, no problems: nothing happens.
    let (mut sums, mut loss_sum) = ([9f32; 2], [9.0]);
    let (none, w, bias) = (m::<f32>(0, 3, &[]), m::<f32>(3, 2, &[1.; 6]), [0f32; 2]);
    let (mut h, target) = (m::<f32>(0, 2, &[]), m::<f32>(0, 2, &[]));
    let activation = Activation::Sigmoid;
    Naive
        .encode(Encode {
            threshold: None,
            x: none.view(),
            w: w.view(),
            bias: &bias,
            activation,
            h: h.view_mut(),
            col_sums: Some(&mut sums),
        })
        .unwrap();
    assert_eq!(sums, [0.; 2]);
    sums = [9.; 2];
    Naive
        .decode(Decode {
            h: none.view(),
            w: w.view(),
            bias: &bias,
            activation,
            target: target.view(),
            loss: Loss::Squared,
            scale: 1.0,
            delta: h.view_mut(),
            bias_grad: Some(&mut sums),
            x_hat: None,
            loss_sum: &mut loss_sum,
        })
        .unwrap();
    assert_eq!((sums, loss_sum), ([0.; 2], [0.]));
    let mut grad = m::<f32>(3, 2, &[9.; 6]);
    let (a, delta) = (none.view(), target.view());
    Naive.weight_grad(WeightGrad { a, delta, sink: GradSink::Store(grad.view_mut()) }).unwrap();
    assert_eq!(grad.to_row_major(), [0.; 6]);

    let batch = Layout::row_major(2, 2).batched(0, 4);
    let mut c = Matrix::<f32>::zeros(batch).unwrap();
    let a = MatRef::new(&[], batch).unwrap();
    Naive.gemm(Gemm { form: Form::Nn, a, b: a, c: c.view_mut(), accumulate: false }).unwrap();
}

#[test]
fn a_refused_call_writes_nothing() {
    let (a, wrong) = (m::<f32>(2, 2, &[1.; 4]), m::<f32>(3, 2, &[1.; 6]));
    let mut c = m::<f32>(2, 2, &[9.; 4]);
    let (mut sums, mut loss_sum) = ([9f32; 2], [9.0]);
    let (form, accumulate) = (Form::Nn, false);
    let shape = |r: Result<(), Error>| assert!(matches!(r, Err(Error::Shape { .. })), "{r:?}");
    shape(Naive.gemm(Gemm { form, a: a.view(), b: wrong.view(), c: c.view_mut(), accumulate }));
    let (activation, bias) = (Activation::Identity, [0f32; 2]);
    shape(Naive.encode(Encode {
        threshold: None,
        x: a.view(),
        w: a.view(),
        bias: &bias[..1],
        activation,
        h: c.view_mut(),
        col_sums: Some(&mut sums),
    }));
    let refused = Naive.decode(Decode {
        h: a.view(),
        w: a.view(),
        bias: &bias,
        activation,
        target: a.view(),
        loss: Loss::Bce,
        scale: 1.0,
        delta: c.view_mut(),
        bias_grad: Some(&mut sums),
        x_hat: None,
        loss_sum: &mut loss_sum,
    });
    assert_eq!(refused, Err(Error::BceActivation { found: "identity" }));
    shape(Naive.hidden_delta(HiddenDelta {
        support: false,
        gate: None,
        delta_out: a.view(),
        w_t: a.view(),
        h: wrong.view(),
        activation,
        row_term: None,
        l1: None,
        delta_hid: c.view_mut(),
        bias_grad: Some(&mut sums),
    }));
    let hyper = &[Hyper { rule: Rule::momentum(), lr: 1.0, decay: 0.0, decoupled: false, step: 1, clip: None }];
    let sink = GradSink::Update(UpdateMatrix { hyper, w: c.view_mut(), w_t: None, m: None, v: None });
    let refused = Naive.weight_grad(WeightGrad { a: a.view(), delta: a.view(), sink });
    assert_eq!(refused, Err(Error::MissingState { rule: "momentum", state: "m" }));
    shape(Naive.update_vector(UpdateVector { hyper, w: &mut sums, grad: &bias[..1], m: None, v: None }));
    assert_eq!((c.to_row_major(), sums, loss_sum), (vec![9.; 4], [9.; 2], [9.]));
}

#[test]
fn it_says_who_it_is() {
    let naive: &dyn Backend<f64> = &Naive;
    assert_eq!((naive.kind(), naive.panel()), (BackendKind::Naive, None));
}
