//! Hostile arguments: each is an error that names both sides, never a panic, and nothing has then been written.

use crate::support::this_again;
use sae_kernels::ops::{Activation, Decode, Encode, Form, Gemm, GradSink, HiddenDelta, Hyper, Loss, Rule};
use sae_kernels::ops::{UpdateMatrix, UpdateVector, WeightGrad};
use sae_kernels::{Backend, BackendKind, Error, Fused, ISA_VARIABLE, Isa, Layout, MatMut, MatRef, Naive, backend};

/// Every backend in this build, the fused one on each instruction set.
fn backends() -> Vec<Box<dyn Backend>> {
    let mut all: Vec<Box<dyn Backend>> = vec![Box::new(Naive)];
    for isa in Isa::available() {
        all.push(Box::new(Fused::with_isa(isa).unwrap()));
    }
    all.extend(BackendKind::ALL.into_iter().filter(|kind| kind.is_built()).map(|kind| backend(kind).unwrap()));
    all
}

/// The sizes of a call's operands, all right at first; a test makes one of them wrong.
#[derive(Clone, Debug)]
struct Sizes {
    /// `[batch, rows, cols]` of the left operand, the right one, and four that are shaped like the result.
    a: [usize; 3],
    b: [usize; 3],
    matrices: [[usize; 3]; 4],
    /// Lengths of vectors: the bias or row term, the sums, the losses.
    vectors: [usize; 3],
}

const M: usize = 3;
const N: usize = 5;
const K: usize = 4;
const BATCH: usize = 2;

impl Sizes {
    fn right(form: Form) -> Self {
        let a = match form {
            Form::Nn => [BATCH, M, K],
            Form::Tn => [BATCH, K, M],
        };
        let matrices = [[BATCH, M, N]; 4];
        Self { a, b: [BATCH, K, N], matrices, vectors: [BATCH * N, BATCH * N, BATCH] }
    }

    /// Each with one size wrong by one.
    fn wrong(form: Form, matrices: usize, vectors: &[usize]) -> Vec<Self> {
        let right = Self::right(form);
        let mut all = Vec::new();
        for dim in 0..3 {
            for change in [-1, 1] {
                let changed = |shape: [usize; 3]| {
                    let mut shape = shape;
                    shape[dim] = shape[dim].wrapping_add_signed(change);
                    shape
                };
                all.push(Self { a: changed(right.a), ..right.clone() });
                all.push(Self { b: changed(right.b), ..right.clone() });
                for i in 0..matrices {
                    let mut wrong = right.clone();
                    wrong.matrices[i] = changed(wrong.matrices[i]);
                    all.push(wrong);
                }
            }
        }
        for &i in vectors {
            for change in [-1, 1] {
                let mut wrong = right.clone();
                wrong.vectors[i] = wrong.vectors[i].wrapping_add_signed(change);
                all.push(wrong);
            }
        }
        all
    }
}

fn layout([batch, rows, cols]: [usize; 3]) -> Layout {
    Layout::row_major(rows, cols).batched_dense(batch).unwrap()
}

/// Memory for a call: what is read is 1, what is written holds 9.
struct Memory {
    ones: Vec<f32>,
    matrices: [Vec<f32>; 4],
    sums: Vec<f32>,
    loss: Vec<f64>,
}

impl Memory {
    fn new() -> Self {
        let nines = || vec![9.0; 200];
        Self { ones: vec![1.0; 200], matrices: [nines(), nines(), nines(), nines()], sums: nines(), loss: vec![9.0; 9] }
    }

    fn is_untouched(&self) -> bool {
        let mut all = self.matrices.iter().flatten().chain(&self.sums);
        all.all(|x| *x == 9.0) && self.loss.iter().all(|x| *x == 9.0)
    }
}

type Call = fn(&mut dyn Backend, &Sizes, &mut Memory) -> Result<(), Error>;

fn gemm(backend: &mut dyn Backend, sizes: &Sizes, memory: &mut Memory, form: Form) -> Result<(), Error> {
    let [c, ..] = &mut memory.matrices;
    let a = MatRef::new(&memory.ones, layout(sizes.a)).unwrap();
    let b = MatRef::new(&memory.ones, layout(sizes.b)).unwrap();
    backend.gemm(Gemm { form, a, b, c: MatMut::new(c, layout(sizes.matrices[0])).unwrap(), accumulate: false })
}

fn gemm_nn(backend: &mut dyn Backend, sizes: &Sizes, memory: &mut Memory) -> Result<(), Error> {
    gemm(backend, sizes, memory, Form::Nn)
}

fn gemm_tn(backend: &mut dyn Backend, sizes: &Sizes, memory: &mut Memory) -> Result<(), Error> {
    gemm(backend, sizes, memory, Form::Tn)
}

fn encode(backend: &mut dyn Backend, sizes: &Sizes, memory: &mut Memory) -> Result<(), Error> {
    let [h, ..] = &mut memory.matrices;
    backend.encode(Encode {
        threshold: None,
        x: MatRef::new(&memory.ones, layout(sizes.a)).unwrap(),
        w: MatRef::new(&memory.ones, layout(sizes.b)).unwrap(),
        bias: &memory.ones[..sizes.vectors[0]],
        activation: Activation::Sigmoid,
        h: MatMut::new(h, layout(sizes.matrices[0])).unwrap(),
        col_sums: Some(&mut memory.sums[..sizes.vectors[1]]),
    })
}

fn decode_with(
    backend: &mut dyn Backend,
    sizes: &Sizes,
    memory: &mut Memory,
    activation: Activation,
    loss: Loss,
) -> Result<(), Error> {
    let [delta, x_hat, ..] = &mut memory.matrices;
    backend.decode(Decode {
        h: MatRef::new(&memory.ones, layout(sizes.a)).unwrap(),
        w: MatRef::new(&memory.ones, layout(sizes.b)).unwrap(),
        bias: &memory.ones[..sizes.vectors[0]],
        activation,
        target: MatRef::new(&memory.ones, layout(sizes.matrices[2])).unwrap(),
        loss,
        scale: 1.0,
        delta: MatMut::new(delta, layout(sizes.matrices[0])).unwrap(),
        bias_grad: Some(&mut memory.sums[..sizes.vectors[1]]),
        x_hat: Some(MatMut::new(x_hat, layout(sizes.matrices[1])).unwrap()),
        loss_sum: &mut memory.loss[..sizes.vectors[2]],
    })
}

fn decode(backend: &mut dyn Backend, sizes: &Sizes, memory: &mut Memory) -> Result<(), Error> {
    decode_with(backend, sizes, memory, Activation::Tanh, Loss::Squared)
}

fn hidden_delta(backend: &mut dyn Backend, sizes: &Sizes, memory: &mut Memory) -> Result<(), Error> {
    let [delta_hid, ..] = &mut memory.matrices;
    backend.hidden_delta(HiddenDelta {
        support: false,
        gate: None,
        delta_out: MatRef::new(&memory.ones, layout(sizes.a)).unwrap(),
        w_t: MatRef::new(&memory.ones, layout(sizes.b)).unwrap(),
        h: MatRef::new(&memory.ones, layout(sizes.matrices[1])).unwrap(),
        activation: Activation::Sigmoid,
        row_term: Some(&memory.ones[..sizes.vectors[0]]),
        l1: Some(&memory.ones[..sizes.vectors[2]]),
        delta_hid: MatMut::new(delta_hid, layout(sizes.matrices[0])).unwrap(),
        bias_grad: Some(&mut memory.sums[..sizes.vectors[1]]),
    })
}

fn store(backend: &mut dyn Backend, sizes: &Sizes, memory: &mut Memory) -> Result<(), Error> {
    let [grad, ..] = &mut memory.matrices;
    let a = MatRef::new(&memory.ones, layout(sizes.a)).unwrap();
    let delta = MatRef::new(&memory.ones, layout(sizes.b)).unwrap();
    let sink = GradSink::Store(MatMut::new(grad, layout(sizes.matrices[0])).unwrap());
    backend.weight_grad(WeightGrad { a, delta, sink })
}

const ADAM: Hyper = Hyper {
    rule: Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8 },
    lr: 0.1,
    decay: 0.0,
    decoupled: false,
    step: 1,
    clip: None,
};

fn update_with(
    backend: &mut dyn Backend,
    sizes: &Sizes,
    memory: &mut Memory,
    hyper: Hyper,
    [has_m, has_v]: [bool; 2],
) -> Result<(), Error> {
    let [w, w_t, m, v] = &mut memory.matrices;
    let [batch, rows, cols] = sizes.matrices[1];
    let a = MatRef::new(&memory.ones, layout(sizes.a)).unwrap();
    let delta = MatRef::new(&memory.ones, layout(sizes.b)).unwrap();
    let sink = GradSink::Update(UpdateMatrix {
        hyper: &vec![hyper; sizes.vectors[2]],
        w: MatMut::new(w, layout(sizes.matrices[0])).unwrap(),
        w_t: Some(MatMut::new(w_t, layout([batch, cols, rows])).unwrap()),
        m: has_m.then(|| MatMut::new(m, layout(sizes.matrices[2])).unwrap()),
        v: has_v.then(|| MatMut::new(v, layout(sizes.matrices[3])).unwrap()),
    });
    backend.weight_grad(WeightGrad { a, delta, sink })
}

fn update(backend: &mut dyn Backend, sizes: &Sizes, memory: &mut Memory) -> Result<(), Error> {
    update_with(backend, sizes, memory, ADAM, [true, true])
}

/// Each operation, its form, how many of the matrices it has, and which vectors.
const CALLS: [(Call, Form, usize, &[usize]); 7] = [
    (gemm_nn, Form::Nn, 1, &[]),
    (gemm_tn, Form::Tn, 1, &[]),
    (encode, Form::Nn, 1, &[0, 1]),
    (decode, Form::Nn, 3, &[0, 1, 2]),
    (hidden_delta, Form::Nn, 2, &[0, 1, 2]),
    (store, Form::Tn, 1, &[]),
    (update, Form::Tn, 4, &[2]),
];

fn refused(backend: &dyn Backend, result: Result<(), Error>, memory: &Memory, what: &str) -> Error {
    let who = format!("{} {} {what}", backend.kind(), backend.isa());
    let error = result.expect_err(&who);
    assert!(memory.is_untouched(), "{who}: written in spite of: {error}");
    error
}

#[test]
fn a_wrong_size_is_an_error_that_names_both_sides() {
    for mut backend in backends() {
        for (i, (call, form, matrices, vectors)) in CALLS.into_iter().enumerate() {
            call(backend.as_mut(), &Sizes::right(form), &mut Memory::new()).unwrap();
            for sizes in Sizes::wrong(form, matrices, vectors) {
                let mut memory = Memory::new();
                let result = call(backend.as_mut(), &sizes, &mut memory);
                let error = refused(backend.as_ref(), result, &memory, &format!("operation {i}, {sizes:?}"));
                let Error::Shape { operand, found, expected, .. } = error else { panic!("{error}") };
                let message = error.to_string();
                let named = [operand.to_owned(), found.to_string(), expected.to_string()];
                assert!(found != expected && named.iter().all(|part| message.contains(part)), "{message}");
                assert!(!message.contains('\n'), "one line: {message}");
            }
        }
    }
}

#[test]
fn cross_entropy_needs_a_sigmoid() {
    for mut backend in backends() {
        for activation in Activation::ALL.into_iter().filter(|f| *f != Activation::Sigmoid) {
            let mut memory = Memory::new();
            let sizes = Sizes::right(Form::Nn);
            let result = decode_with(backend.as_mut(), &sizes, &mut memory, activation, Loss::Bce);
            let error = refused(backend.as_ref(), result, &memory, "bce");
            assert_eq!(error, Error::BceActivation { found: activation.name() });
        }
    }
}

#[test]
fn a_rule_needs_its_state_and_a_step() {
    for mut backend in backends() {
        for rule in Rule::all() {
            for has in [[false, false], [true, false], [false, true]] {
                let (hyper, sizes, mut memory) = (Hyper { rule, ..ADAM }, Sizes::right(Form::Tn), Memory::new());
                let missing = (rule.keeps_m() && !has[0]) || (rule.keeps_v() && !has[1]);
                let matrix = update_with(backend.as_mut(), &sizes, &mut memory, hyper, has);
                let [w, _, m, v] = &mut memory.matrices;
                let grad = &memory.ones;
                let (m, v) = (has[0].then_some(m.as_mut_slice()), has[1].then_some(v.as_mut_slice()));
                let vector = backend.update_vector(UpdateVector { hyper: &[hyper], w, grad, m, v });
                if !missing {
                    matrix.and(vector).unwrap();
                    continue;
                }
                for result in [matrix, vector] {
                    let error = refused(backend.as_ref(), result, &memory, rule.name());
                    assert!(matches!(error, Error::MissingState { .. }), "{error}");
                }
            }
        }
        for rule in [Rule::adam(), Rule::adamw()] {
            let (hyper, sizes, mut memory) = (Hyper { rule, step: 0, ..ADAM }, Sizes::right(Form::Tn), Memory::new());
            let result = update_with(backend.as_mut(), &sizes, &mut memory, hyper, [true, true]);
            let error = refused(backend.as_ref(), result, &memory, "step 0");
            assert!(matches!(error, Error::Scalar { name: "step", .. }), "{error}");
        }
    }
}

#[test]
fn vectors_of_an_update_have_one_length() {
    for mut backend in backends() {
        for wrong in 0..3 {
            for by in [-1, 1] {
                let mut memory = Memory::new();
                let len = |i: usize| if i == wrong { 10usize.wrapping_add_signed(by) } else { 10 };
                let [w, m, v, _] = &mut memory.matrices;
                let result = backend.update_vector(UpdateVector {
                    hyper: &[ADAM],
                    w: &mut w[..10],
                    grad: &memory.ones[..len(0)],
                    m: Some(&mut m[..len(1)]),
                    v: Some(&mut v[..len(2)]),
                });
                let error = refused(backend.as_ref(), result, &memory, "vector");
                assert!(matches!(error, Error::Shape { dim: "length", .. }), "{error}");
            }
        }
    }
}

/// The fused kernels work in whole panels: an operand with others is refused, in every place but the left one of an NN
/// product.
#[test]
fn panels_that_the_kernels_cannot_read_are_refused() {
    for isa in Isa::available() {
        let mut fused = Fused::with_isa(isa).unwrap();
        let own = fused.panel().unwrap();
        let bad = Layout::panel_major(3, 2 * own, own / 2).unwrap();
        let ones = vec![1.0f32; 20 * own];
        for (place, form) in [("a", Form::Tn), ("b", Form::Nn), ("c", Form::Nn)] {
            let tight = Layout::row_major(3, if form == Form::Nn { 3 } else { 2 * own });
            let wide = Layout::row_major(if form == Form::Nn { 3 } else { 2 * own }, 2 * own);
            let pick = |name, good| if place == name { bad } else { good };
            let b = pick("b", Layout::row_major(3, 2 * own));
            let mut c_data = vec![9.0; 20 * own + 4 * own * own];
            let result = fused.gemm(Gemm {
                form,
                a: MatRef::new(&ones, pick("a", tight)).unwrap(),
                b: MatRef::new(&ones, b).unwrap(),
                c: MatMut::new(&mut c_data, pick("c", wide)).unwrap(),
                accumulate: false,
            });
            let expected = Error::Panel { operand: place, found: own / 2, expected: own, isa };
            assert_eq!(result, Err(expected.clone()));
            assert!(c_data.iter().all(|x| *x == 9.0));
            let message = expected.to_string();
            assert!(message.contains(&own.to_string()) && message.contains(isa.name()), "{message}");
        }
    }
}

/// Which instruction set a process of its own takes, whose variable is set: the others here must not see it change.
#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn the_variable_names_the_instruction_set() {
    let told = |name: &str| {
        let mut command = this_again();
        command.args(["errors::says_its_instruction_set", "--ignored", "--exact", "--nocapture"]);
        let out = command.env(ISA_VARIABLE, name).output().expect("this process can be started again");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    for isa in Isa::available() {
        assert!(told(isa.name()).contains(&format!("takes Ok({isa:?})\n")), "{isa}: {}", told(isa.name()));
    }
    assert!(told("").contains(&format!("takes Ok({:?})\n", Isa::available()[0])), "{}", told(""));
    assert!(told("sse9").contains("takes Err(Unknown"), "{}", told("sse9"));
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        assert!(told(isa.name()).contains("takes Err(IsaUnavailable"), "{isa}: {}", told(isa.name()));
    }
}

#[test]
#[ignore = "started by the_variable_names_the_instruction_set"]
fn says_its_instruction_set() {
    println!("takes {:?}", Isa::detect());
}
