//! The README's table of kernels and instruction sets, against what runs here.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::ops::{
    Activation, Decode, Encode, Form, Gemm, GradSink, HiddenDelta, Hyper, Loss, Rule, TopK, UpdateMatrix, UpdateVector,
    WeightGrad,
};
use sae_kernels::{Backend, Error, Fused, Isa, MatMut, MatRef, math};

const README: &str = include_str!("../../README.md");

/// Sizes that are no multiple of any tile, panel or vector, and enough of them for whole ones.
const N: usize = 53;
const D_IN: usize = 75;
const D_HID: usize = 139;

type Run = fn(Isa) -> Result<Vec<f32>, Error>;
type Slices = fn(Isa, &[f32], &mut [f32]) -> Result<(), Error>;

/// The rows of the table: a kernel, and its results on fixed operands.
const KERNELS: [(&str, Run); 13] = [
    ("gemm", gemm),
    ("encode", encode),
    ("decode", decode),
    ("hidden_delta", hidden_delta),
    ("weight_grad", weight_grad),
    ("update_vector", update_vector),
    ("top_k", top_k),
    ("exp", |isa| slice(isa, math::exp)),
    ("log", |isa| slice(isa, math::log)),
    ("sigmoid", |isa| slice(isa, math::sigmoid)),
    ("tanh", |isa| slice(isa, math::tanh)),
    ("log1p", |isa| slice(isa, math::log1p)),
    ("softplus", |isa| slice(isa, math::softplus)),
];

/// Numbers in 0.01..1, the same for the same seed.
fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(0.01..1.0)).collect()
}

fn rows<T>(data: &[T], cols: usize) -> MatRef<'_, T> {
    MatRef::row_major(data, data.len() / cols, cols).unwrap()
}

fn rows_mut<T>(data: &mut [T], cols: usize) -> MatMut<'_, T> {
    let rows = data.len() / cols;
    MatMut::row_major(data, rows, cols).unwrap()
}

fn gemm(isa: Isa) -> Result<Vec<f32>, Error> {
    let (a, b, mut c) = (random(1, N * D_IN), random(2, D_IN * D_HID), vec![0.0; N * D_HID]);
    Fused::with_isa(isa)?.gemm(Gemm {
        form: Form::Nn,
        a: rows(&a, D_IN),
        b: rows(&b, D_HID),
        c: rows_mut(&mut c, D_HID),
        accumulate: false,
    })?;
    Ok(c)
}

fn encode(isa: Isa) -> Result<Vec<f32>, Error> {
    let (x, w, bias) = (random(1, N * D_IN), random(2, D_IN * D_HID), random(3, D_HID));
    let (mut h, mut sums) = (vec![0.0; N * D_HID], vec![0.0; D_HID]);
    Fused::with_isa(isa)?.encode(Encode {
        threshold: None,
        x: rows(&x, D_IN),
        w: rows(&w, D_HID),
        bias: &bias,
        activation: Activation::Tanh,
        h: rows_mut(&mut h, D_HID),
        col_sums: Some(&mut sums),
    })?;
    Ok([h, sums].concat())
}

fn decode(isa: Isa) -> Result<Vec<f32>, Error> {
    let (h, w, bias) = (random(1, N * D_HID), random(2, D_HID * D_IN), random(3, D_IN));
    let target = random(4, N * D_IN);
    let (mut delta, mut bias_grad, mut x_hat) = (vec![0.0; N * D_IN], vec![0.0; D_IN], vec![0.0; N * D_IN]);
    let mut loss = [0.0];
    Fused::with_isa(isa)?.decode(Decode {
        h: rows(&h, D_HID),
        w: rows(&w, D_IN),
        bias: &bias,
        activation: Activation::Sigmoid,
        target: rows(&target, D_IN),
        loss: Loss::Bce,
        scale: 0.5,
        delta: rows_mut(&mut delta, D_IN),
        bias_grad: Some(&mut bias_grad),
        x_hat: Some(rows_mut(&mut x_hat, D_IN)),
        loss_sum: &mut loss,
    })?;
    let loss = loss[0].to_bits();
    let loss = vec![f32::from_bits((loss >> 32) as u32), f32::from_bits(loss as u32)];
    Ok([delta, bias_grad, x_hat, loss].concat())
}

fn hidden_delta(isa: Isa) -> Result<Vec<f32>, Error> {
    let (delta_out, w_t, h) = (random(1, N * D_IN), random(2, D_IN * D_HID), random(3, N * D_HID));
    let (row_term, mut delta_hid, mut bias_grad) = (random(4, D_HID), vec![0.0; N * D_HID], vec![0.0; D_HID]);
    Fused::with_isa(isa)?.hidden_delta(HiddenDelta {
        support: false,
        gate: None,
        delta_out: rows(&delta_out, D_IN),
        w_t: rows(&w_t, D_HID),
        h: rows(&h, D_HID),
        activation: Activation::Sigmoid,
        row_term: Some(&row_term),
        l1: Some(&[0.1]),
        delta_hid: rows_mut(&mut delta_hid, D_HID),
        bias_grad: Some(&mut bias_grad),
    })?;
    Ok([delta_hid, bias_grad].concat())
}

const ADAM: Hyper = Hyper {
    rule: Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8 },
    lr: 0.01,
    decay: 0.1,
    decoupled: false,
    step: 3,
    clip: None,
};

fn weight_grad(isa: Isa) -> Result<Vec<f32>, Error> {
    let (a, delta) = (random(1, N * D_IN), random(2, N * D_HID));
    let [mut w, mut m, mut v] = [3, 4, 5].map(|seed| random(seed, D_IN * D_HID));
    let mut w_t = vec![0.0; D_HID * D_IN];
    Fused::with_isa(isa)?.weight_grad(WeightGrad {
        a: rows(&a, D_IN),
        delta: rows(&delta, D_HID),
        sink: GradSink::Update(UpdateMatrix {
            hyper: &[ADAM],
            w: rows_mut(&mut w, D_HID),
            w_t: Some(rows_mut(&mut w_t, D_IN)),
            m: Some(rows_mut(&mut m, D_HID)),
            v: Some(rows_mut(&mut v, D_HID)),
        }),
    })?;
    Ok([w, w_t, m, v].concat())
}

fn top_k(isa: Isa) -> Result<Vec<f32>, Error> {
    let mut h = random(1, N * D_HID);
    Fused::with_isa(isa)?.top_k(TopK { k: &[30], h: rows_mut(&mut h, D_HID), col_sums: None })?;
    Ok(h)
}

fn update_vector(isa: Isa) -> Result<Vec<f32>, Error> {
    let (grad, [mut w, mut m, mut v]) = (random(1, D_HID), [2, 3, 4].map(|seed| random(seed, D_HID)));
    let update = UpdateVector { hyper: &[ADAM], w: &mut w, grad: &grad, m: Some(&mut m), v: Some(&mut v) };
    Fused::with_isa(isa)?.update_vector(update)?;
    Ok([w, m, v].concat())
}

fn slice(isa: Isa, function: Slices) -> Result<Vec<f32>, Error> {
    let mut out = vec![0.0; D_HID];
    function(isa, &random(1, D_HID), &mut out)?;
    Ok(out)
}

/// The cells of the table's row that starts with `name`, by instruction set.
fn row(name: &str) -> Vec<(Isa, &'static str)> {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    let mut table =
        README.lines().skip_while(|line| !line.starts_with("| kernel |")).take_while(|l| l.starts_with('|'));
    let header = cells(table.next().expect("the README has the table"));
    let found = table.map(cells).find(|cells| cells[0].trim_matches('`') == name);
    let found = found.unwrap_or_else(|| panic!("the README's table has no row {name}"));
    header[1..].iter().zip(&found[1..]).map(|(isa, cell)| (isa.parse().unwrap(), *cell)).collect()
}

#[test]
fn kernels_run_where_the_readme_says() {
    for (name, run) in KERNELS {
        for (isa, cell) in row(name) {
            if isa.is_available() {
                assert_eq!(cell, if run(isa).is_ok() { "yes" } else { "no" }, "{name}, {isa}");
            }
        }
    }
}

#[test]
fn the_readme_has_a_column_for_every_instruction_set() {
    assert_eq!(row("gemm").into_iter().map(|(isa, _)| isa).collect::<Vec<_>>(), Isa::ALL);
}

#[test]
fn panels_are_as_wide_as_the_readme_says() {
    for (isa, cell) in row("panel width") {
        if isa.is_available() {
            assert_eq!(cell, Fused::with_isa(isa).unwrap().panel().unwrap().to_string(), "{isa}");
        }
    }
}

#[test]
fn bits_are_the_same_where_the_readme_says() {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let same: Vec<Isa> = Isa::available().into_iter().filter(|isa| isa.keeps_bits()).collect();
    for (isa, cell) in row("same bits") {
        if isa.is_available() {
            let expected = if isa == Isa::Portable { "with FMA" } else { "yes" };
            assert_eq!(cell, expected, "{isa}");
            assert!(isa == Isa::Portable || same.contains(&isa), "{isa}");
        }
    }
    for (name, run) in KERNELS {
        for pair in same.windows(2) {
            let (a, b) = (bits(run(pair[0]).unwrap()), bits(run(pair[1]).unwrap()));
            let differ = a.iter().zip(&b).position(|(a, b)| a != b);
            assert_eq!((a.len(), differ), (b.len(), None), "{name}: {} and {}", pair[0], pair[1]);
        }
    }
}
