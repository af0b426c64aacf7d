//! The door: whatever the arguments, an error that names both sides, or a result; never a panic, and after an error
//! nothing is written. Arguments are drawn so that some are right, some nearly, and some as large as can be said.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::ops::{
    Activation, Clip, Decode, Encode, Form, Gemm, GradSink, HiddenDelta, Hyper, Loss, Rule, TopK, UpdateMatrix,
    UpdateVector, WeightGrad,
};
use sae_kernels::step::{
    BatchedStep, Convention, Dropout, Input, Parameters, Penalty, RhoHat, Selection, State, Step, StepConfig,
    StepReport, divergence,
};
use sae_kernels::{
    Backend, BackendKind, Error, Fused, Isa, Layout, MatMut, MatRef, Matrix, Naive, Product, Sgemm, Unfused, backend,
    fma_loop, math,
};

use crate::soak::{Soak, mix};
use crate::support::share;

const MAX: usize = usize::MAX;
const HUGE: [usize; 9] = [
    1 << 31,
    1 << 32,
    1 << 47,
    isize::MAX as usize / 8,
    isize::MAX as usize / 4,
    isize::MAX as usize,
    MAX / 2 + 1,
    MAX - 1,
    MAX,
];
/// What a call must not take longer than: its operands are a few elements, or none.
const LIMIT: Duration = Duration::from_secs(10);

/// Draws arguments.
struct Hostile(ChaCha8Rng);

impl Hostile {
    fn one_in(&mut self, n: u32) -> bool {
        self.0.random_ratio(1, n)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.0).expect("there is a choice")
    }

    /// Mostly small, sometimes 0, sometimes as large as can be.
    fn size(&mut self) -> usize {
        if self.one_in(6) { self.pick(&HUGE) } else { self.0.random_range(0..7) }
    }

    /// The size that is right, mostly.
    fn near(&mut self, right: usize) -> usize {
        match self.0.random_range(0..24) {
            0 => right.wrapping_add(1),
            1 => right.wrapping_sub(1),
            2 => self.size(),
            _ => right,
        }
    }

    fn number(&mut self) -> f32 {
        let special =
            [0.0, -0.0, 1.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-45, f32::MIN_POSITIVE];
        if self.one_in(2) { self.pick(&special) } else { self.0.random_range(-2.0..2.0) }
    }

    fn fraction(&mut self) -> f32 {
        if self.one_in(8) { self.number() } else { self.0.random_range(0.0..1.0) }
    }

    /// A layout of nearly this shape, where there is one.
    fn layout(&mut self, [batch, rows, cols]: [usize; 3], panel: usize) -> Result<Layout, Error> {
        let (rows, cols) = (self.near(rows), self.near(cols));
        let layout = match self.0.random_range(0..4) {
            0 => Layout::row_major(rows, cols),
            1 => {
                let gap = self.0.random_range(0..4);
                let ld = self.near(cols.saturating_add(gap));
                Layout::row_major_ld(rows, cols, ld)?
            }
            2 => {
                let width = self.near(panel);
                Layout::panel_major(rows, cols, width)?
            }
            _ => {
                let more = self.size();
                Layout::row_major(rows.saturating_add(more), cols).top(rows)?
            }
        };
        let batch = self.near(batch);
        if self.one_in(2) {
            return layout.batched_dense(batch);
        }
        let stride = layout.problem_len().unwrap_or(MAX);
        let stride = self.near(stride);
        Ok(layout.batched(batch, stride))
    }

    fn rule(&mut self) -> Rule {
        let (a, b, eps) = (self.fraction(), self.fraction(), self.fraction());
        self.pick(&[
            Rule::Sgd,
            Rule::Momentum { momentum: a },
            Rule::Nesterov { momentum: a },
            Rule::Adagrad { eps },
            Rule::RmsProp { alpha: a, eps },
            Rule::Adam { beta1: a, beta2: b, eps },
            Rule::AdamW { beta1: a, beta2: b, eps },
        ])
    }

    fn hyper(&mut self) -> Hyper {
        let step = self.pick(&[0, 1, 2, 1000, u64::MAX - 1, u64::MAX]);
        let clip = if self.one_in(2) { Some(Clip { scale: self.number(), limit: self.number() }) } else { None };
        Hyper { rule: self.rule(), lr: self.number(), decay: self.number(), decoupled: self.one_in(2), step, clip }
    }
}

/// Elements of an operand's storage: the largest panels of small shapes, and more.
const ROOM: usize = 1 << 13;

/// Memory for a call: what is read is 1, what is written is 9, and so is what lies behind it.
struct Memory {
    ones: Vec<f32>,
    nines: [Vec<f32>; 4],
    sums: Vec<f32>,
    loss: Vec<f64>,
}

impl Memory {
    fn new() -> Self {
        let nines = || vec![9.0; ROOM + 64];
        Self { ones: vec![1.0; ROOM], nines: [nines(), nines(), nines(), nines()], sums: nines(), loss: vec![9.0; 64] }
    }

    /// Whether nothing is written at all, or nothing behind the slices that were given.
    fn is_untouched(&self, at_all: bool) -> bool {
        let from = if at_all { 0 } else { ROOM };
        // All elements, without a way out in between: many at once.
        let nine = |x: &[f32]| x.iter().fold(true, |same, x| same & (x.to_bits() == 9f32.to_bits()));
        let f32s = self.nines.iter().chain([&self.sums]).all(|x| nine(&x[from..]));
        f32s && self.loss[if at_all { 0 } else { 32 }..].iter().all(|x| *x == 9.0)
    }
}

fn backends() -> Vec<Box<dyn Backend>> {
    let mut all: Vec<Box<dyn Backend>> = vec![Box::new(Unfused::new(Picky).unwrap())];
    all.extend(Isa::available().into_iter().map(|isa| Box::new(Fused::with_isa(isa).unwrap()) as Box<dyn Backend>));
    all.extend(BackendKind::ALL.into_iter().filter(|kind| kind.is_built()).map(|kind| backend(kind).unwrap()));
    all
}

/// A product that can be told small sizes only.
struct Picky;

impl Product for Picky {
    fn max_dim(&self) -> usize {
        5
    }

    fn sgemm(&mut self, mut op: Sgemm<'_>) {
        let ([m, n, k], form, add) = (op.dims(), op.form(), op.accumulate());
        let ((a, lda), (b, ldb), (c, ldc)) = op.operands();
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let left = |l: usize| if form == Form::Nn { a[i * lda + l] } else { a[l * lda + i] };
            let start = if add { c[i * ldc + j] } else { 0.0 };
            c[i * ldc + j] = (0..k).fold(start, |sum, l| left(l).mul_add(b[l * ldb + j], sum));
        }
    }
}

/// What every error has to be: one line that has both sides in it.
fn good(error: &Error) -> Result<(), String> {
    let message = error.to_string();
    let sides: Vec<String> = match error {
        Error::Shape { operand, dim, found, expected, .. } => {
            vec![(*operand).to_owned(), (*dim).to_owned(), found.to_string(), expected.to_string()]
        }
        Error::Storage { found, expected }
        | Error::LeadingDimension { found, expected }
        | Error::Overlap { found, expected } => {
            vec![found.to_string(), expected.to_string()]
        }
        Error::TooLarge { rows, cols, batch } => {
            vec![rows.to_string(), cols.to_string(), batch.to_string(), "largest".into()]
        }
        Error::ZeroPanel => vec!["0".into(), "at least 1".into()],
        Error::Panel { found, expected, isa, .. } => vec![found.to_string(), expected.to_string(), isa.to_string()],
        Error::IndexRange { found, limit, backend, .. } => {
            vec![found.to_string(), limit.to_string(), (*backend).into()]
        }
        Error::BceActivation { found } => vec![(*found).into(), "sigmoid".into()],
        Error::MissingState { rule, state } => vec![(*rule).into(), (*state).into(), "none".into()],
        Error::Scalar { name, found, expected } => vec![(*name).into(), found.clone(), (*expected).into()],
        Error::IsaUnavailable { wanted, available } => vec![wanted.to_string(), available.clone()],
        Error::Unknown { found, expected, .. } => vec![found.clone(), expected.clone()],
        Error::NotBuilt { backend, feature } => vec![(*backend).into(), (*feature).into()],
        _ => vec![],
    };
    let one_line = !message.contains('\n') || matches!(error, Error::Unknown { found, .. } if found.contains('\n'));
    let named = !sides.is_empty() && sides.iter().all(|side| message.contains(side));
    if one_line && named { Ok(()) } else { Err(format!("the message does not name both sides in one line: {message}")) }
}

/// One call of an operation.
fn operation(h: &mut Hostile, backend: &mut dyn Backend, memory: &mut Memory) -> Result<(), Error> {
    let panel = backend.panel().unwrap_or(4);
    let [m, n, k, batch] = [h.size(), h.size(), h.size(), h.size()].map(|size| if size > 6 { 3 } else { size });
    let (m, batch) = if h.one_in(8) { (h.size(), h.size()) } else { (m, batch) };
    let form = h.pick(&[Form::Nn, Form::Tn]);
    let activation = h.pick(&Activation::ALL);
    let Memory { ones, nines: [c, d, e, f], sums, loss } = memory;
    let [c, d, e, f] = [c, d, e, f].map(|x| &mut x[..ROOM]);
    let length = |h: &mut Hostile, right: usize| h.near(right).min(ROOM);
    let vector = length(h, batch.saturating_mul(n));
    let of_sums = length(h, batch.saturating_mul(n));
    let of_loss = h.near(batch).min(32);
    let of_problems = h.near(batch).min(32);
    let out = [batch, m, n];
    let b = h.layout([batch, k, n], panel)?;
    match h.0.random_range(0..7) {
        0 => {
            let a = h.layout(if form == Form::Nn { [batch, m, k] } else { [batch, k, m] }, panel)?;
            let (a, b) = (MatRef::new(ones, a)?, MatRef::new(ones, b)?);
            backend.gemm(Gemm { form, a, b, c: MatMut::new(c, h.layout(out, panel)?)?, accumulate: h.one_in(2) })
        }
        1 => backend.encode(Encode {
            threshold: h.one_in(3).then_some(&ones[..of_problems]),
            x: MatRef::new(ones, h.layout([batch, m, k], panel)?)?,
            w: MatRef::new(ones, b)?,
            bias: &ones[..vector],
            activation,
            h: MatMut::new(c, h.layout(out, panel)?)?,
            col_sums: h.one_in(2).then_some(&mut sums[..of_sums]),
        }),
        2 => backend.decode(Decode {
            h: MatRef::new(ones, h.layout([batch, m, k], panel)?)?,
            w: MatRef::new(ones, b)?,
            bias: &ones[..vector],
            activation,
            target: MatRef::new(ones, h.layout(out, panel)?)?,
            loss: h.pick(&Loss::ALL),
            scale: h.number(),
            delta: MatMut::new(c, h.layout(out, panel)?)?,
            bias_grad: h.one_in(2).then_some(&mut sums[..of_sums]),
            x_hat: if h.one_in(2) { Some(MatMut::new(d, h.layout(out, panel)?)?) } else { None },
            loss_sum: &mut loss[..of_loss],
        }),
        3 => backend.hidden_delta(HiddenDelta {
            support: h.one_in(3),
            gate: if h.one_in(3) { Some(MatRef::new(ones, h.layout(out, panel)?)?) } else { None },
            delta_out: MatRef::new(ones, h.layout([batch, m, k], panel)?)?,
            w_t: MatRef::new(ones, b)?,
            h: MatRef::new(ones, h.layout(out, panel)?)?,
            activation,
            row_term: h.one_in(2).then_some(&ones[..vector]),
            l1: h.one_in(2).then_some(&ones[..of_problems]),
            delta_hid: MatMut::new(c, h.layout(out, panel)?)?,
            bias_grad: h.one_in(2).then_some(&mut sums[..of_sums]),
        }),
        4 => {
            let a = MatRef::new(ones, h.layout([batch, k, m], panel)?)?;
            let delta = MatRef::new(ones, b)?;
            let w = MatMut::new(c, h.layout(out, panel)?)?;
            let sink = if h.one_in(3) {
                GradSink::Store(w)
            } else {
                GradSink::Update(UpdateMatrix {
                    hyper: &vec![h.hyper(); of_problems],
                    w,
                    w_t: if h.one_in(2) { Some(MatMut::new(d, h.layout([batch, n, m], panel)?)?) } else { None },
                    m: if h.one_in(4) { None } else { Some(MatMut::new(e, h.layout(out, panel)?)?) },
                    v: if h.one_in(4) { None } else { Some(MatMut::new(f, h.layout(out, panel)?)?) },
                })
            };
            backend.weight_grad(WeightGrad { a, delta, sink })
        }
        5 => backend.top_k(TopK {
            k: &vec![h.near(n); of_problems],
            h: MatMut::new(c, h.layout(out, panel)?)?,
            col_sums: h.one_in(2).then_some(&mut sums[..of_sums]),
        }),
        _ => {
            let len = n.saturating_mul(k).min(ROOM);
            let [grad, of_m, of_v] = [0; 3].map(|_| length(h, len));
            backend.update_vector(UpdateVector {
                hyper: &vec![h.hyper(); of_problems],
                w: &mut c[..len],
                grad: &ones[..grad],
                m: (!h.one_in(4)).then_some(&mut d[..of_m]),
                v: (!h.one_in(4)).then_some(&mut e[..of_v]),
            })
        }
    }
}

/// One call of something else that is public.
fn other(h: &mut Hostile, backend: &mut dyn Backend, memory: &mut Memory) -> Result<(), Error> {
    match h.0.random_range(0..9) {
        0 => {
            let shape = [h.size(), h.size(), h.size()];
            let view = MatRef::new(&memory.ones, h.layout(shape, 4)?)?;
            if view.batch() > 0 {
                let (last, many) = (view.problem(view.batch() - 1), view.shared(h.size()));
                assert_eq!((last.rows(), many.cols()), (view.rows(), view.cols()));
            }
            if !view.layout().is_empty() {
                assert_eq!(view.at(view.batch() - 1, view.rows() - 1, view.cols() - 1), 1.0);
                // Few elements, but as many problems as can be said where they share them.
                if view.batch() < 1000 {
                    let mut sums = vec![0.0; view.batch()];
                    backend.sum_of_squares(view, &mut sums)?;
                    assert!(sums.iter().all(|&sum| sum > 0.0));
                }
            }
            Ok(())
        }
        1 => {
            // So many that an address cannot say it, or few.
            let shape = [h.size(), h.size(), h.size()];
            let layout = h.layout(shape, 4)?;
            let len = layout.len()?;
            if (1 << 16..1 << 46).contains(&len) {
                return Ok(());
            }
            let given = h.near(layout.batch().saturating_mul(layout.rows()).saturating_mul(layout.cols())).min(ROOM);
            let mut matrix = Matrix::from_row_major(&memory.ones[..given], layout)?;
            let rows = h.near(layout.rows());
            matrix.top(rows)?;
            matrix.top_mut(rows)?;
            assert_eq!(matrix.to_row_major(), &memory.ones[..given]);
            Ok(())
        }
        2 => {
            let isa = h.pick(&Isa::ALL);
            let (len, out) = (h.0.random_range(0..70), h.0.random_range(0..70));
            let out = if h.one_in(2) { len } else { out };
            let function = h.pick(&[math::exp, math::log, math::sigmoid, math::tanh, math::log1p, math::softplus]);
            let x: Vec<f32> = (0..len).map(|_| h.number()).collect();
            function(isa, &x, &mut memory.nines[0][..out])
        }
        3 => {
            let letters = ["avx", "512", "2", "neon", "portable", "fused", "naive", "blas", "\n", "\0", "é", " ", ""];
            let name: String = (0..h.0.random_range(0..4)).map(|_| h.pick(&letters)).collect();
            let isa = name.parse::<Isa>().and_then(|isa| Fused::with_isa(isa).map(drop));
            let kind = name.parse::<BackendKind>().and_then(|kind| self::backend(kind).map(drop));
            isa.and(kind)
        }
        4 => {
            fma_loop(h.pick(&Isa::ALL), h.0.random_range(0..3))?;
            let (rho, rho_hat) = (f64::from(h.fraction()), f64::from(h.number()));
            let d = divergence(rho, rho_hat);
            assert!(rho_hat.is_nan() || !(0.01..0.99).contains(&rho) || d.value.is_finite());
            Ok(())
        }
        5 => batched_step(h, backend, memory),
        _ => step(h, backend, memory),
    }
}

/// Whether two models have the same weights, NaNs included.
fn same(a: &Parameters, b: &Parameters) -> bool {
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    a.tensors().iter().zip(b.tensors()).all(|((_, a), (_, b))| bits(a) == bits(b))
}

/// Any configuration of a step.
fn config(h: &mut Hostile) -> StepConfig {
    let average = if h.one_in(2) { RhoHat::Batch } else { RhoHat::Ema { decay: h.fraction() } };
    let (rho, beta) = (h.fraction(), h.fraction());
    StepConfig {
        hidden: if h.one_in(2) { Activation::Sigmoid } else { h.pick(&Activation::ALL) },
        output: if h.one_in(2) { Activation::Sigmoid } else { h.pick(&Activation::ALL) },
        loss: h.pick(&Loss::ALL),
        convention: h.pick(&Convention::ALL),
        weight_decay: h.fraction(),
        penalty: h.pick(&[Penalty::None, Penalty::L1 { beta }, Penalty::Kl { rho, beta, average }]),
        rule: h.rule(),
        decoupled_decay: h.one_in(3),
        tied: h.one_in(3),
        selection: match h.0.random_range(0..4) {
            0 => Selection::TopK { k: h.size() },
            1 => Selection::Threshold { threshold: h.fraction() },
            _ => Selection::All,
        },
        dropout: h.one_in(3).then(|| Dropout { rate: h.fraction(), seed: 3 }),
        clip_norm: h.one_in(3).then(|| h.number()),
        clip_value: h.one_in(3).then(|| h.number()),
    }
}

/// Sizes of a step, and the panels of its matrices.
fn sizes(h: &mut Hostile, backend: &dyn Backend) -> ([usize; 3], Option<usize>) {
    let [d_in, d_hid, most] = [h.size(), h.size(), h.size()];
    // Small, or so large that no memory is asked for: what is between would be taken.
    let sizes = [d_in, d_hid, most].map(|size| if size < 7 { size } else { size | 1 << 47 });
    let small = sizes.iter().all(|&size| size < 7);
    let sizes = if small { sizes } else { [sizes[0] | 1 << 47, sizes[1], sizes[2]] };
    let panel = if h.one_in(2) { backend.panel() } else { None };
    let panel = if h.one_in(16) { Some(h.size()).filter(|p| *p < 100 || *p > 1 << 50) } else { panel };
    (sizes, panel)
}

/// Any weights, sometimes one too few.
fn weights(h: &mut Hostile, d_in: usize, d_hid: usize) -> Parameters {
    let mut weights = Parameters::zeros(d_in, d_hid);
    for (_, tensor) in weights.tensors_mut() {
        tensor.iter_mut().for_each(|w| *w = h.number());
    }
    if h.one_in(2) {
        weights.w_dec = (0..d_hid * d_in).map(|at| weights.w_enc[at % d_in * d_hid + at / d_in]).collect();
    }
    if h.one_in(8) {
        weights.w_enc.pop();
    }
    weights
}

/// Steps of several models of any configurations on any batches.
fn batched_step(h: &mut Hostile, backend: &mut dyn Backend, memory: &mut Memory) -> Result<(), Error> {
    let first = config(h);
    let models = h.0.random_range(0..4);
    // Mostly such as may stand together.
    let cfgs: Vec<_> = (0..models)
        .map(|_| {
            let own = config(h);
            let shared = if h.one_in(8) { own } else { first };
            let StepConfig { hidden, output, loss, convention, tied, selection, dropout, .. } = shared;
            StepConfig { hidden, output, loss, convention, tied, selection, dropout, ..own }
        })
        .collect();
    let ([d_in, d_hid, most], panel) = sizes(h, backend);
    let mut step = BatchedStep::new(d_in, d_hid, most, panel, &cfgs)?;
    let model = if h.one_in(8) { h.size() } else { h.0.random_range(0..models) };
    step.set_weights(model, &weights(h, d_in, d_hid))?;
    if h.one_in(4) {
        let state = State { step: h.pick(&[0, 1, u64::MAX - 1, u64::MAX]), ..step.state(h.0.random_range(0..models)) };
        step.set_state(h.near(model), &state)?;
    }
    let shape = [if h.one_in(2) { 1 } else { models }, h.near(most), h.near(d_in)];
    let x = MatRef::new(&memory.ones, h.layout(shape, 4)?)?;
    let all =
        |step: &BatchedStep| (0..models).map(|model| (step.weights(model), step.steps(model))).collect::<Vec<_>>();
    let before = all(&step);
    let lr: Vec<_> = (0..h.near(models).min(9)).map(|_| h.fraction()).collect();
    let mut reports = vec![StepReport::default(); h.near(models).min(9)];
    if let Err(error) = step.train_step(backend, x, &lr, &mut reports) {
        for ((now, steps), (then, earlier)) in all(&step).iter().zip(&before) {
            assert!(same(now, then) && steps == earlier, "a model has changed in spite of: {error}");
        }
        return Err(error);
    }
    step.hidden(h.near(models - 1), h.near(most))?;
    step.squared_norms(backend, &mut vec![0.0; h.near(models).min(9)])?;
    let x_hat = MatMut::new(&mut memory.nines[0][..ROOM], h.layout([models, shape[1], shape[2]], 4)?)?;
    step.evaluate(backend, x, Some(x_hat), &mut reports)?;
    let hidden = MatMut::new(&mut memory.nines[1][..ROOM], h.layout([models, shape[1], d_hid], 4)?)?;
    step.encode(backend, x, hidden)?;
    step.gradients(backend, x).map(drop)
}

/// A training step of any configuration on any batch.
fn step(h: &mut Hostile, backend: &mut dyn Backend, memory: &mut Memory) -> Result<(), Error> {
    let cfg = config(h);
    let ([d_in, d_hid, most], panel) = sizes(h, backend);
    let mut step = Step::new(d_in, d_hid, most, panel, cfg)?;
    let shape = [1, h.near(most), h.near(d_in)];
    step.set_weights(&weights(h, d_in, d_hid))?;
    if h.one_in(4) {
        let state = State { step: h.pick(&[0, 1, u64::MAX - 1, u64::MAX]), ..step.state() };
        step.set_state(&state)?;
    }
    let x = MatRef::new(&memory.ones, h.layout(shape, 4)?)?;
    let before = (step.weights(), step.state());
    let lr = h.fraction();
    let input = match h.0.random_range(0..4) {
        0 => Input::Corrupted { x, target: MatRef::new(&memory.ones, h.layout(shape, 4)?)? },
        1 => Input::Paired { both: x, gamma: h.fraction() },
        _ => Input::Clean(x),
    };
    if let Err(error) = step.train_step(backend, input, lr) {
        assert!(same(&step.weights(), &before.0), "the weights have changed in spite of: {error}");
        assert_eq!(step.state().step, before.1.step);
        return Err(error);
    }
    let n = h.near(most);
    step.hidden(n)?;
    let x_hat = MatMut::new(&mut memory.nines[0][..ROOM], h.layout(shape, 4)?)?;
    step.evaluate(backend, x, Some(x_hat))?;
    step.gradients(backend, x).map(drop)
}

/// The first thing that is wrong with one case.
fn check(seed: u64, backends: &mut [Box<dyn Backend>], memory: &mut Memory) -> Result<(), String> {
    let mut h = Hostile(ChaCha8Rng::seed_from_u64(seed));
    let which = h.0.random_range(0..backends.len());
    let backend = backends[which].as_mut();
    let who = format!("{} {}", backend.kind(), backend.isa());
    let is_operation = !h.one_in(4);
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| match is_operation {
        true => operation(&mut h, backend, memory),
        false => other(&mut h, backend, memory),
    }));
    let wrong = |what: &str| Err(format!("{who}: {what}"));
    let Ok(result) = result else {
        *memory = Memory::new();
        backends[which] = Box::new(Naive);
        return wrong("panicked");
    };
    if start.elapsed() > LIMIT {
        return wrong("took too long");
    }
    // A refused operation writes nothing; other calls are several, of which some may have been carried out.
    let failed = result.is_err() && is_operation;
    if let Err(error) = &result {
        good(error)?;
    }
    if !memory.is_untouched(failed) {
        *memory = Memory::new();
        return wrong(&format!("written where nothing was to be written: {result:?}"));
    }
    if result.is_ok() || !is_operation {
        for slice in memory.nines.iter_mut().chain([&mut memory.sums]) {
            slice[..ROOM].fill(9.0);
        }
        memory.loss.fill(9.0);
    }
    Ok(())
}

#[test]
fn whatever_the_arguments_there_is_a_result_or_an_error_that_names_both_sides() {
    let (mut backends, mut memory) = (backends(), Memory::new());
    for case in 0..40_000 / share() as u64 {
        check(mix(0, case), &mut backends, &mut memory).unwrap_or_else(|wrong| panic!("case {case}: {wrong}"));
    }
}

/// Both sides of the door are seen: cases that are carried out, and each kind of refusal that arguments can cause.
#[test]
fn the_arguments_are_of_every_kind() {
    let (mut backends, mut memory) = (backends(), Memory::new());
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for case in 0..40_000 {
        let mut h = Hostile(ChaCha8Rng::seed_from_u64(mix(0, case)));
        let which = h.0.random_range(0..backends.len());
        let backend = backends[which].as_mut();
        let result =
            if h.one_in(4) { other(&mut h, backend, &mut memory) } else { operation(&mut h, backend, &mut memory) };
        let kind = result.map_or_else(|error| format!("{error:?}"), |()| "carried out".to_owned());
        *seen.entry(kind.split([' ', '{']).next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    for kind in [
        "carried",
        "Shape",
        "Storage",
        "LeadingDimension",
        "Overlap",
        "TooLarge",
        "ZeroPanel",
        "Panel",
        "IndexRange",
        "BceActivation",
        "MissingState",
        "Scalar",
        "Unknown",
    ] {
        assert!(seen.get(kind).is_some_and(|count| *count >= 20), "{kind}: {seen:?}");
    }
}

/// A part of `make soak`.
#[test]
#[ignore = "runs for SOAK_SECONDS"]
fn soak() {
    let mut soak = Soak::start();
    let (mut backends, mut memory) = (backends(), Memory::new());
    while soak.goes_on() && soak.cases < 4_000_000 {
        let number = soak.cases;
        if let Err(wrong) = check(mix(soak.seed, number), &mut backends, &mut memory) {
            soak.fault(&format!("case {number}: {wrong}"));
        }
        soak.cases += 1;
    }
    soak.finish("");
}
