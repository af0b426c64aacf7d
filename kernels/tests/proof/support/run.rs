//! One call on one backend.

use sae_kernels::ops::{Decode, Encode, Gemm, GradSink, HiddenDelta, UpdateMatrix, WeightGrad};
use sae_kernels::{Backend, Real};

use super::{Case, Data, Op, Placed, Places};

/// What a call has written: each output by name, dense and row-major, and the losses.
#[derive(Clone, Debug)]
pub(crate) struct Outputs<T> {
    pub(crate) tensors: Vec<(&'static str, Vec<T>)>,
    pub(crate) loss: Vec<f64>,
}

impl Outputs<f32> {
    /// Every bit.
    pub(crate) fn bits(&self) -> Vec<(&'static str, Vec<u64>)> {
        let bits = |x: &Vec<f32>| x.iter().map(|x| u64::from(x.to_bits())).collect();
        let mut all: Vec<_> = self.tensors.iter().map(|(name, x)| (*name, bits(x))).collect();
        all.push(("loss", self.loss.iter().map(|x| x.to_bits()).collect()));
        all
    }
}

/// The outputs of a call under construction, and whether what it must not touch is untouched.
struct Collect<T> {
    outputs: Outputs<T>,
    damage: Vec<&'static str>,
}

impl<T: Real> Collect<T> {
    fn input(&mut self, name: &'static str, placed: &Placed<T>) {
        if !placed.is_untouched() {
            self.damage.push(name);
        }
    }

    fn output(&mut self, name: &'static str, placed: &Placed<T>) {
        if !placed.gaps_are_untouched() {
            self.damage.push(name);
        }
        self.outputs.tensors.push((name, placed.dense()));
    }

    fn outputs(&mut self, placed: &[(&'static str, Option<&Placed<T>>)]) {
        for (name, placed) in placed {
            placed.iter().for_each(|placed| self.output(name, placed));
        }
    }
}

/// Runs a case, and asserts that inputs and gaps are as they were.
pub(crate) fn run<T: Real>(backend: &mut dyn Backend<T>, case: &Case, data: &Data, places: &Places) -> Outputs<T> {
    let &Case { op, batch, m, n, k, .. } = case;
    let [a_rows, a_cols] = case.a_shape();
    let [a_matrices, b_matrices] = case.matrices();
    let place = |i: usize| places.place(i);
    let t = |x: f32| T::from_f64(f64::from(x));
    let (shape, flat) = ([batch, m, n], [1, 1, batch * n]);

    let a = Placed::input(&data.a, [batch, a_rows, a_cols], a_matrices, place(0));
    let b = Placed::input(&data.b, [batch, k, n], b_matrices, place(1));
    let vector = Placed::input(&data.vector, flat, 1, places.vector(6));
    let mut sums = Placed::<T>::output(flat, places.vector(7));
    let mut got = Collect { outputs: Outputs { tensors: Vec::new(), loss: Vec::new() }, damage: Vec::new() };
    match op {
        Op::Gemm { form, accumulate } => {
            let mut c =
                if accumulate { Placed::state(&data.third, shape, place(2)) } else { Placed::output(shape, place(2)) };
            let gemm = Gemm { form, a: a.view(), b: b.view(), c: c.view_mut(), accumulate };
            backend.gemm(gemm).unwrap();
            got.output("c", &c);
        }
        Op::Encode { activation, sums: wanted } => {
            let mut h = Placed::output(shape, place(2));
            let encode = Encode {
                threshold: None,
                x: a.view(),
                w: b.view(),
                bias: vector.slice(),
                activation,
                h: h.view_mut(),
                col_sums: wanted.then(|| sums.slice_mut()),
            };
            backend.encode(encode).unwrap();
            got.outputs(&[("h", Some(&h)), ("col_sums", wanted.then_some(&sums))]);
        }
        Op::Decode { activation, loss, x_hat: wanted, grad } => {
            let target = Placed::input(&data.third, shape, batch, place(2));
            let (mut delta, mut x_hat) = (Placed::output(shape, place(3)), Placed::output(shape, place(4)));
            let mut loss_sum = vec![f64::NAN; batch];
            let decode = Decode {
                h: a.view(),
                w: b.view(),
                bias: vector.slice(),
                activation,
                target: target.view(),
                loss,
                scale: t(data.scale),
                delta: delta.view_mut(),
                bias_grad: grad.then(|| sums.slice_mut()),
                x_hat: wanted.then(|| x_hat.view_mut()),
                loss_sum: &mut loss_sum,
            };
            backend.decode(decode).unwrap();
            got.input("target", &target);
            let (sums, x_hat) = (grad.then_some(&sums), wanted.then_some(&x_hat));
            got.outputs(&[("delta", Some(&delta)), ("bias_grad", sums), ("x_hat", x_hat)]);
            got.outputs.loss = loss_sum;
        }
        Op::Hidden { activation, row_term, l1, grad } => {
            let l1s = vec![t(data.l1); batch];
            let h = Placed::input(&data.third, shape, batch, place(2));
            let mut delta = Placed::output(shape, place(3));
            let hidden = HiddenDelta {
                support: false,
                gate: None,
                delta_out: a.view(),
                w_t: b.view(),
                h: h.view(),
                activation,
                row_term: row_term.then(|| vector.slice()),
                l1: l1.then_some(&l1s),
                delta_hid: delta.view_mut(),
                bias_grad: grad.then(|| sums.slice_mut()),
            };
            backend.hidden_delta(hidden).unwrap();
            got.input("h", &h);
            got.outputs(&[("delta_hid", Some(&delta)), ("bias_grad", grad.then_some(&sums))]);
        }
        Op::Store => {
            let mut grad = Placed::output(shape, place(2));
            let sink = GradSink::Store(grad.view_mut());
            backend.weight_grad(WeightGrad { a: a.view(), delta: b.view(), sink }).unwrap();
            got.output("grad", &grad);
        }
        Op::Update { rule, transposed } => {
            let mut w = Placed::state(&data.third, shape, place(2));
            let mut w_t = Placed::output([batch, n, m], place(3));
            let mut first = Placed::state(&data.first_moment, shape, place(4));
            let mut second = Placed::state(&data.second_moment, shape, place(5));
            // State that the rule does not keep is given in half of the cases, and has to stay.
            let (has_m, has_v) = (transposed || rule.keeps_m(), transposed || rule.keeps_v());
            let sink = GradSink::Update(UpdateMatrix {
                hyper: &vec![data.hyper(rule); batch],
                w: w.view_mut(),
                w_t: transposed.then(|| w_t.view_mut()),
                m: has_m.then(|| first.view_mut()),
                v: has_v.then(|| second.view_mut()),
            });
            backend.weight_grad(WeightGrad { a: a.view(), delta: b.view(), sink }).unwrap();
            let (first, second) = (has_m.then_some(&first), has_v.then_some(&second));
            got.outputs(&[("w", Some(&w)), ("m", first), ("v", second), ("w_t", transposed.then_some(&w_t))]);
        }
    }
    for (name, operand) in [("a", &a), ("b", &b), ("vector", &vector)] {
        got.input(name, operand);
    }
    let (kind, isa) = (backend.kind(), backend.isa());
    assert!(
        got.damage.is_empty(),
        "{kind} {isa}: {:?}: written where it must not be\n{case:?}\n{places:?}",
        got.damage
    );
    got.outputs
}
