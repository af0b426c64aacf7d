//! Error zero: on integers so small that no sum is rounded, in whatever order it is taken, results are those of integer
//! arithmetic. Every product, and everything linear that is fused to one, on every backend.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::ops::{Activation, Form, Loss, Rule};
use sae_kernels::{Backend, BackendKind, Fused, Isa, backend};

use crate::soak::{Soak, mix};
use crate::support::{Case, Data, Op, Outputs, Places, Shared, run, share};

/// Integers are up to this large.
const LARGEST: i32 = 3;
/// Bits of an f32's significand: integers up to 2²⁴ are exact, and so are eighths up to 2²¹.
const EXACT: i64 = 1 << 21;
/// The learning rate and the decay of an update, in eighths and halves.
const LR: f32 = 0.25;
const DECAY: f32 = 0.5;

fn backends() -> Vec<Box<dyn Backend>> {
    let mut all: Vec<Box<dyn Backend>> = Vec::new();
    all.extend(Isa::available().into_iter().map(|isa| Box::new(Fused::with_isa(isa).unwrap()) as Box<dyn Backend>));
    let others = BackendKind::ALL.into_iter().filter(|kind| kind.is_built() && *kind != BackendKind::Fused);
    all.extend(others.map(|kind| backend(kind).unwrap()));
    all
}

/// All that is linear, or linear on either side of 0.
fn ops() -> Vec<Op> {
    let mut ops = Op::products();
    for activation in [Activation::Identity, Activation::Relu] {
        ops.extend([true, false].map(|sums| Op::Encode { activation, sums }));
        let loss = Loss::Squared;
        ops.extend([true, false].map(|grad| Op::Decode { activation, loss, x_hat: grad, grad }));
        ops.extend([true, false].map(|all| Op::Hidden { activation, row_term: all, l1: all, grad: all }));
    }
    for rule in [Rule::Sgd, Rule::Momentum { momentum: 0.5 }] {
        ops.extend([true, false].map(|transposed| Op::Update { rule, transposed }));
    }
    ops
}

/// A problem, or a batch of them, its numbers and the places of its operands.
fn problem(seed: u64, panel: usize) -> (Case, Data, Places) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let op = *ops().choose(&mut rng).unwrap();
    let [m, n, k] = match rng.random_range(0..32) {
        0 => [rng.random_range(0..8), rng.random_range(0..20), rng.random_range(0..2100)],
        1 => [rng.random_range(0..100), rng.random_range(0..20), rng.random_range(0..20)],
        2..6 => [rng.random_range(0..14), rng.random_range(0..130), rng.random_range(0..40)],
        _ => [rng.random_range(0..14), rng.random_range(0..36), rng.random_range(0..10)],
    };
    // A loss sums squares: those of longer chains would be rounded.
    let k = if matches!(op, Op::Decode { .. }) { k % 13 } else { k };
    let batch = *[1, 1, 1, 0, 2, 3].choose(&mut rng).unwrap();
    let shared = *[Shared::Nothing, Shared::Nothing, Shared::A, Shared::B].choose(&mut rng).unwrap();
    let case = Case { batch, shared, ..Case::new(op, [m, n, k]) };
    let mut fill = |len: usize| -> Vec<f32> {
        let mut bits = 0u64;
        let mut number = |i: usize| {
            if i.is_multiple_of(16) {
                bits = rng.random();
            }
            let number = (bits & 15) as i32 * (2 * LARGEST + 1) / 16 - LARGEST;
            bits >>= 4;
            number as f32
        };
        (0..len).map(&mut number).collect()
    };
    let [a, b] = case.matrices();
    let out = batch * m * n;
    let data = Data {
        a: fill(a * m * k),
        b: fill(b * k * n),
        vector: fill(batch * n),
        third: fill(out),
        first_moment: fill(out),
        second_moment: vec![0.0; out],
        scale: 0.5,
        l1: 2.0,
        lr: LR,
        decay: DECAY,
        step: 1,
    };
    let places = Places::of(Some(panel));
    let places = places[rng.random_range(0..places.len())].starting_at(rng.random_range(0..32));
    (case, data, places)
}

/// The products, in integers.
fn products(case: &Case, data: &Data) -> Vec<i64> {
    let &Case { batch, m, n, k, .. } = case;
    let [a_matrices, b_matrices] = case.matrices();
    let whole = |x: &[f32]| -> Vec<i32> { x.iter().map(|&x| x as i32).collect() };
    let (a, b) = (whole(&data.a), whole(&data.b));
    let mut out = vec![0i32; batch * m * n];
    for p in 0..batch {
        let a = &a[if a_matrices == batch { p * m * k } else { 0 }..][..m * k];
        let b = &b[if b_matrices == batch { p * k * n } else { 0 }..][..k * n];
        for i in 0..m {
            for q in 0..k {
                let left = match case.op.form() {
                    Form::Nn => a[i * k + q],
                    Form::Tn => a[q * m + i],
                };
                let row = &mut out[(p * m + i) * n..][..n];
                row.iter_mut().zip(&b[q * n..][..n]).for_each(|(sum, right)| *sum += left * right);
            }
        }
    }
    out.into_iter().map(i64::from).collect()
}

/// What a call has to give, in eighths.
fn expected(case: &Case, data: &Data) -> Outputs<i64> {
    let &Case { op, batch, m, n, .. } = case;
    let eighths = |x: f32| (8.0 * x) as i64;
    let column = |i: usize| i / (m * n) * n + i % n;
    let [vector, third, first] = [&data.vector, &data.third, &data.first_moment].map(|x| move |i: usize| eighths(x[i]));
    let p = products(case, data);
    let each =
        |f: &dyn Fn(usize, i64) -> i64| -> Vec<i64> { p.iter().enumerate().map(|(i, &p)| f(i, 8 * p)).collect() };
    let through = |f: Activation, x: i64, y: i64| if f == Activation::Relu && y <= 0 { 0 } else { x };
    let columns = |x: &[i64]| -> Vec<i64> {
        let mut sums = vec![0; batch * n];
        x.iter().enumerate().for_each(|(i, x)| sums[column(i)] += x);
        sums
    };
    let mut tensors = Vec::new();
    let mut loss = Vec::new();
    match op {
        Op::Gemm { accumulate, .. } => tensors.push(("c", each(&|i, p| p + if accumulate { third(i) } else { 0 }))),
        Op::Store => tensors.push(("grad", each(&|_, p| p))),
        Op::Encode { activation: f, sums } => {
            let h = each(&|i, p| through(f, p + vector(column(i)), p + vector(column(i))));
            let total = columns(&h);
            tensors.push(("h", h));
            tensors.extend(sums.then_some(("col_sums", total)));
        }
        Op::Decode { activation: f, x_hat, grad, .. } => {
            let y = each(&|i, p| through(f, p + vector(column(i)), p + vector(column(i))));
            let delta: Vec<_> = y.iter().enumerate().map(|(i, &y)| through(f, (y - third(i)) / 2, y)).collect();
            let total = columns(&delta);
            tensors.push(("delta", delta));
            tensors.extend(grad.then_some(("bias_grad", total)));
            loss = vec![0.0; batch];
            for (i, y) in y.iter().enumerate() {
                loss[i / (m * n)] += ((y - third(i)) / 8).pow(2) as f64 / 2.0;
            }
            tensors.extend(x_hat.then_some(("x_hat", y)));
        }
        Op::Hidden { activation: f, row_term, l1, grad } => {
            let delta = each(&|i, p| {
                let row = if row_term { vector(column(i)) } else { 0 };
                let l1 = if l1 { 16 * third(i).signum() } else { 0 };
                through(f, p + row + l1, third(i))
            });
            let total = columns(&delta);
            tensors.push(("delta_hid", delta));
            tensors.extend(grad.then_some(("bias_grad", total)));
        }
        Op::Update { rule, transposed } => {
            let keeps = rule.keeps_m();
            let decayed = |i: usize, p: i64| p + third(i) / 2;
            let m_after = each(&|i, p| if keeps { first(i) / 2 + decayed(i, p) } else { first(i) });
            let w = each(&|i, p| third(i) - if keeps { m_after[i] / 4 } else { decayed(i, p) / 4 });
            let w_t = (0..batch * m * n).map(|i| w[(i / (m * n) * m + i % m) * n + i / m % n]).collect();
            tensors.push(("w", w));
            tensors.extend((transposed || keeps).then_some(("m", m_after)));
            tensors.extend(transposed.then(|| ("v", vec![0; batch * m * n])));
            tensors.extend(transposed.then_some(("w_t", w_t)));
        }
    }
    Outputs { tensors, loss }
}

/// The first element that is not exact.
fn check(seed: u64, backend: &mut dyn Backend) -> Result<(), String> {
    let (case, data, places) = problem(seed, backend.panel().unwrap_or(5));
    let expected = expected(&case, &data);
    let found = run(backend, &case, &data, &places);
    let wrong =
        |what: &str| Err(format!("seed {seed}, {} {}: {what}\n{case:?}\n{places:?}", backend.kind(), backend.isa()));
    if found.loss != expected.loss {
        return wrong(&format!("losses {:?}, not {:?}", found.loss, expected.loss));
    }
    for ((name, found), (_, expected)) in found.tensors.iter().zip(&expected.tensors) {
        assert!(expected.iter().all(|x| x.abs() < 8 * EXACT), "the numbers are small enough");
        if found.len() != expected.len() {
            return wrong(&format!("{name} has {} elements, not {}", found.len(), expected.len()));
        }
        if let Some(i) =
            found.iter().zip(expected).position(|(&found, &expected)| 8.0 * f64::from(found) != expected as f64)
        {
            return wrong(&format!("{name}[{i}] is {}, not {}/8", found[i], expected[i]));
        }
    }
    if found.tensors.len() == expected.tensors.len() { Ok(()) } else { wrong("an output is missing") }
}

#[test]
fn sums_of_small_integers_are_exact_on_every_backend() {
    for backend in &mut backends() {
        for case in 0..4000 / share() as u64 {
            check(mix(0, case), backend.as_mut()).unwrap();
        }
    }
}

/// As many of each: what the sums above are checked with is arithmetic of another kind than theirs, and sees one unit.
#[test]
fn one_unit_more_is_seen() {
    let op = Op::Gemm { form: Form::Nn, accumulate: false };
    let ones = |len: usize| vec![1.0; len];
    let case = Case::new(op, [5, 6, 7]);
    let mut data = Data { a: ones(35), b: ones(42), ..Data::random(&case, 1) };
    assert!(expected(&case, &data).tensors[0].1.iter().all(|x| *x == 56));
    data.b[0] = 2.0;
    let more: Vec<_> = expected(&case, &data).tensors[0].1.iter().map(|x| x - 56).collect();
    assert_eq!(more.iter().sum::<i64>(), 5 * 8);
}

/// A part of `make soak`.
#[test]
#[ignore = "runs for SOAK_SECONDS"]
fn soak() {
    let mut soak = Soak::start();
    let mut backends = backends();
    let count = backends.len();
    while soak.goes_on() && soak.cases < 4_000_000 {
        let number = mix(soak.seed, soak.cases);
        // Mostly the fused kernels.
        let which = if number.is_multiple_of(4) {
            number as usize / 4 % count
        } else {
            number as usize / 4 % Isa::available().len()
        };
        if let Err(wrong) = check(number, backends[which].as_mut()) {
            soak.fault(&wrong);
        }
        soak.cases += 1;
    }
    soak.finish(&format!("backends={count}"));
}
