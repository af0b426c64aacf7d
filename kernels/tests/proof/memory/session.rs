//! Calls one after the other in the same arenas, each looked at from all sides.

use rayon::{ThreadPool, ThreadPoolBuilder};
use sae_kernels::ops::{Decode, Encode, Gemm, GradSink, HiddenDelta, TopK, UpdateMatrix, UpdateVector, WeightGrad};
use sae_kernels::{Backend, BackendKind, Fused, Isa, backend};

use super::arena::{Arena, Operand, canaries};
use super::call::{
    A, B, Call, EXTRA, FIRST, LOSS, OPERANDS, OUT, SECOND, SLICES, SUMS, THIRD, TRANSPOSED, VECTOR, What,
};
use crate::soak::mix;
use crate::support::{Data, Op};

/// What a call does with an operand.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Read,
    Write,
    ReadAndWrite,
}

/// A deliberate fault, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sabotage {
    /// Reads the element behind the last of an operand at a right edge.
    ReadBehind,
    /// Writes the element before the first of one at a left edge.
    WriteBefore,
    /// Writes into a gap.
    WriteGap,
    /// Changes an element that is only to be read.
    WriteInput,
    /// Leaves an element of a result as it was.
    LeaveOutput,
}

/// An operand of the call at hand.
struct Held<'a> {
    operand: Operand<'a>,
    role: Role,
    from: usize,
    /// Which table its numbers are from: that of positive ones or the other.
    positive: bool,
    doubles: bool,
}

/// The memory, the numbers and the backends of many calls.
pub(super) struct Session {
    arenas: Vec<Arena>,
    canaries: Vec<u32>,
    signed: Vec<u32>,
    positive: Vec<u32>,
    backends: Vec<(BackendKind, Isa, Box<dyn Backend>)>,
    pools: Vec<ThreadPool>,
    numbers: Data,
    pub(super) sabotage: Option<Sabotage>,
}

impl Session {
    pub(super) fn new() -> Self {
        let canaries = canaries();
        let table = |low: f32| -> Vec<u32> {
            let unit = |i| (mix(1, i) >> 40) as f32 / (1u32 << 24) as f32;
            (0..1 << 16).map(|i| (low + (1.0 - low) * unit(i)).to_bits()).collect()
        };
        let arenas = (0..OPERANDS).map(|i| Arena::new(if i <= B { 1100 } else { 400 }, i <= B, &canaries)).collect();
        let pools = (1..=3).map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap()).collect();
        let numbers = Data::random(&crate::support::Case::new(Op::Store, [1, 1, 1]), 1);
        let (signed, positive) = (table(-1.0), table(0.01));
        Self { arenas, canaries, signed, positive, backends: Vec::new(), pools, numbers, sabotage: None }
    }

    /// The backend of a call: a new one where it is to be fresh.
    fn backend(&mut self, call: &Call) -> usize {
        let wanted = |(kind, isa, _): &(BackendKind, Isa, Box<dyn Backend>)| (*kind, *isa) == (call.backend, call.isa);
        let new = || -> Box<dyn Backend> {
            match call.backend {
                BackendKind::Fused => Box::new(Fused::with_isa(call.isa).unwrap()),
                kind => backend(kind).unwrap(),
            }
        };
        match self.backends.iter().position(wanted) {
            Some(i) => {
                if call.fresh {
                    self.backends[i].2 = new();
                }
                i
            }
            None => {
                self.backends.push((call.backend, call.isa, new()));
                self.backends.len() - 1
            }
        }
    }

    /// Makes a call twice: on nothing but canaries, which also fills the backend's scratch memory with them, and on
    /// numbers. What was wrong, if anything.
    pub(super) fn make(&mut self, call: &Call) -> Result<(), String> {
        let at = self.backend(call);
        let mut backend = std::mem::replace(&mut self.backends[at].2, Box::new(sae_kernels::Naive));
        let result = self.twice(call, backend.as_mut());
        self.backends[at].2 = backend;
        result
    }

    fn twice(&self, call: &Call, backend: &mut dyn Backend) -> Result<(), String> {
        let held = self.hold(call);
        let numbers = &self.numbers;
        let run = |backend: &mut dyn Backend| match call.threads {
            1 => perform(call, &held, numbers, backend),
            threads => {
                let held = &held;
                self.pools[threads - 1].install(move || perform(call, held, numbers, backend))
            }
        };

        run(backend).map_err(|error| format!("refused: {error}"))?;
        for (name, held) in names(&held) {
            let damage = if held.role == Role::Read {
                held.operand.damage(&self.canaries)
            } else {
                held.operand.reset(&self.canaries)
            };
            damage.map_or(Ok(()), |damage| Err(format!("on canaries: {name}: {damage}")))?;
        }

        for (_, held) in names(&held).filter(|(_, held)| held.role != Role::Write) {
            held.operand.fill(self.table(held), held.from);
        }
        run(backend).map_err(|error| format!("refused: {error}"))?;
        if let Some(sabotage) = self.sabotage {
            commit(sabotage, &held);
        }
        let mut wrong = Vec::new();
        for (name, held) in names(&held) {
            if held.role == Role::Read && !held.operand.has(self.table(held), held.from) {
                wrong.push(format!("{name}: an input has changed"));
            }
            if held.role != Role::Read && !held.operand.is_written(held.doubles) {
                wrong.push(format!("{name}: an element was not written, or is made of what is no element"));
            }
            wrong.extend(held.operand.reset(&self.canaries).map(|damage| format!("{name}: {damage}")));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    /// What is no canary any more though no call has business there.
    pub(super) fn damage(&self) -> Option<String> {
        self.arenas.iter().find_map(|arena| arena.damage(&self.canaries))
    }

    fn table(&self, held: &Held<'_>) -> &[u32] {
        if held.positive { &self.positive } else { &self.signed }
    }

    /// The operands of a call, each in its place.
    fn hold(&self, call: &Call) -> [Option<Held<'_>>; OPERANDS] {
        use Role::{Read, ReadAndWrite, Write};
        let case = &call.case;
        let (batch, m, n, k) = (case.batch, case.m, case.n, case.k);
        let mut all: [Option<Held<'_>>; OPERANDS] = Default::default();
        let mut hold = |operand: usize, role: Role, matrices: usize, [rows, cols]: [usize; 2], batch: usize| {
            let place = |spot| self.arenas[operand].place([matrices, rows, cols], batch, spot);
            let spot = call.spots[operand];
            let flat = matches!(call.what, What::Vector(..) | What::Slice(_));
            let first = if flat { None } else { place(spot) };
            let placed = first.or_else(|| place(spot.plain())).expect("the largest room is large enough");
            let positive = operand == SECOND || operand == THIRD || matches!(call.what, What::Slice(_));
            all[operand] =
                Some(Held { operand: placed, role, from: call.from[operand], positive, doubles: operand == LOSS });
        };
        match call.what {
            What::Product(op) => {
                let [a, b] = case.matrices();
                hold(A, Read, a, case.a_shape(), batch);
                hold(B, Read, b, [k, n], batch);
                let (result, row) = ([m, n], [1, batch * n]);
                match op {
                    Op::Gemm { accumulate, .. } => {
                        hold(OUT, if accumulate { ReadAndWrite } else { Write }, batch, result, batch)
                    }
                    Op::Encode { sums, .. } => {
                        hold(VECTOR, Read, 1, row, 1);
                        hold(OUT, Write, batch, result, batch);
                        if sums {
                            hold(SUMS, Write, 1, row, 1);
                        }
                    }
                    Op::Decode { x_hat, grad, .. } => {
                        hold(VECTOR, Read, 1, row, 1);
                        hold(THIRD, Read, batch, result, batch);
                        hold(OUT, Write, batch, result, batch);
                        if x_hat {
                            hold(EXTRA, Write, batch, result, batch);
                        }
                        if grad {
                            hold(SUMS, Write, 1, row, 1);
                        }
                        hold(LOSS, Write, 1, [1, 2 * batch], 1);
                    }
                    Op::Hidden { row_term, grad, .. } => {
                        hold(THIRD, Read, batch, result, batch);
                        hold(OUT, Write, batch, result, batch);
                        if row_term {
                            hold(VECTOR, Read, 1, row, 1);
                        }
                        if grad {
                            hold(SUMS, Write, 1, row, 1);
                        }
                    }
                    Op::Store => hold(OUT, Write, batch, result, batch),
                    Op::Update { rule, transposed } => {
                        hold(OUT, ReadAndWrite, batch, result, batch);
                        // State that the rule does not keep is given where `transposed` is, and has to stay.
                        for (state, kept) in [(FIRST, rule.keeps_m()), (SECOND, rule.keeps_v())] {
                            if kept || transposed {
                                hold(state, if kept { ReadAndWrite } else { Read }, batch, result, batch);
                            }
                        }
                        if transposed {
                            hold(TRANSPOSED, Write, batch, [n, m], batch);
                        }
                    }
                }
            }
            What::Cut(_) | What::Gated(_) => {
                let [a, b] = case.matrices();
                hold(A, Read, a, case.a_shape(), batch);
                hold(B, Read, b, [k, n], batch);
                hold(VECTOR, Read, 1, [1, batch * n], 1);
                hold(OUT, Write, batch, [m, n], batch);
                hold(SUMS, Write, 1, [1, batch * n], 1);
                if matches!(call.what, What::Gated(_)) {
                    hold(THIRD, Read, batch, [m, n], batch);
                    hold(EXTRA, Read, batch, [m, n], batch);
                }
            }
            What::Largest => {
                hold(OUT, ReadAndWrite, batch, [m, n], batch);
                hold(SUMS, Write, 1, [1, batch * n], 1);
            }
            What::Vector(rule, spare) => {
                hold(A, Read, 1, [1, m * n], 1);
                hold(OUT, ReadAndWrite, 1, [1, m * n], 1);
                for (state, kept) in [(FIRST, rule.keeps_m()), (SECOND, rule.keeps_v())] {
                    if kept || spare {
                        hold(state, if kept { ReadAndWrite } else { Read }, 1, [1, m * n], 1);
                    }
                }
            }
            What::Slice(_) => {
                hold(A, Read, 1, [1, m * n], 1);
                hold(OUT, Write, 1, [1, m * n], 1);
            }
            What::Squares => hold(A, Read, batch, [m, n], batch),
        }
        all
    }
}

const NAMES: [&str; OPERANDS] =
    ["a", "b", "vector", "sums", "third", "result", "x_hat", "first moment", "second moment", "transpose", "loss"];

fn names<'a, 'b>(held: &'b [Option<Held<'a>>; OPERANDS]) -> impl Iterator<Item = (&'static str, &'b Held<'a>)> {
    NAMES.into_iter().zip(held).filter_map(|(name, held)| Some((name, held.as_ref()?)))
}

/// Makes the call once.
fn perform(
    call: &Call,
    held: &[Option<Held<'_>>; OPERANDS],
    numbers: &Data,
    backend: &mut dyn Backend,
) -> Result<(), sae_kernels::Error> {
    let get = |i: usize| held[i].as_ref().map(|held| &held.operand);
    let need = |i: usize| get(i).expect("the operand was placed");
    let sums = || get(SUMS).map(Operand::slice_mut);
    match call.what {
        What::Product(op) => {
            let (a, b) = (need(A).read(), need(B).read());
            match op {
                Op::Gemm { form, accumulate } => backend.gemm(Gemm { form, a, b, c: need(OUT).write(), accumulate }),
                Op::Encode { activation, .. } => backend.encode(Encode {
                    threshold: None,
                    x: a,
                    w: b,
                    bias: need(VECTOR).slice(),
                    activation,
                    h: need(OUT).write(),
                    col_sums: sums(),
                }),
                Op::Decode { activation, loss, .. } => backend.decode(Decode {
                    h: a,
                    w: b,
                    bias: need(VECTOR).slice(),
                    activation,
                    target: need(THIRD).read(),
                    loss,
                    scale: numbers.scale,
                    delta: need(OUT).write(),
                    bias_grad: sums(),
                    x_hat: get(EXTRA).map(Operand::write),
                    loss_sum: need(LOSS).doubles(),
                }),
                Op::Hidden { activation, l1, .. } => backend.hidden_delta(HiddenDelta {
                    support: false,
                    gate: None,
                    delta_out: a,
                    w_t: b,
                    h: need(THIRD).read(),
                    activation,
                    row_term: get(VECTOR).map(Operand::slice),
                    l1: l1.then_some(&vec![numbers.l1; a.batch()]),
                    delta_hid: need(OUT).write(),
                    bias_grad: sums(),
                }),
                Op::Store => backend.weight_grad(WeightGrad { a, delta: b, sink: GradSink::Store(need(OUT).write()) }),
                Op::Update { rule, .. } => {
                    let sink = GradSink::Update(UpdateMatrix {
                        hyper: &vec![numbers.hyper(rule); a.batch()],
                        w: need(OUT).write(),
                        w_t: get(TRANSPOSED).map(Operand::write),
                        m: get(FIRST).map(Operand::write),
                        v: get(SECOND).map(Operand::write),
                    });
                    backend.weight_grad(WeightGrad { a, delta: b, sink })
                }
            }
        }
        What::Cut(activation) => backend.encode(Encode {
            threshold: Some(&vec![0.3; need(A).read().batch()]),
            x: need(A).read(),
            w: need(B).read(),
            bias: need(VECTOR).slice(),
            activation,
            h: need(OUT).write(),
            col_sums: sums(),
        }),
        What::Gated(activation) => backend.hidden_delta(HiddenDelta {
            support: true,
            gate: Some(need(EXTRA).read()),
            delta_out: need(A).read(),
            w_t: need(B).read(),
            h: need(THIRD).read(),
            activation,
            row_term: Some(need(VECTOR).slice()),
            l1: None,
            delta_hid: need(OUT).write(),
            bias_grad: sums(),
        }),
        What::Largest => {
            let h = need(OUT).write();
            let k = vec![call.case.k.max(1); h.batch()];
            backend.top_k(TopK { k: &k, h, col_sums: sums() })
        }
        What::Vector(rule, _) => backend.update_vector(UpdateVector {
            hyper: &[numbers.hyper(rule)],
            w: need(OUT).slice_mut(),
            grad: need(A).slice(),
            m: get(FIRST).map(Operand::slice_mut),
            v: get(SECOND).map(Operand::slice_mut),
        }),
        What::Slice(function) => SLICES[function](call.isa, need(A).slice(), need(OUT).slice_mut()),
        What::Squares => {
            let a = need(A).read();
            backend.sum_of_squares(a, std::hint::black_box(&mut vec![0.0; a.batch()]))
        }
    }
}

/// Does what a faulty kernel might.
fn commit(sabotage: Sabotage, held: &[Option<Held<'_>>; OPERANDS]) {
    let of = |i: usize| held[i].as_ref().expect("sabotaged calls have this operand").operand.ends();
    let ([a, a_end], [c, c_end]) = (of(A), of(OUT));
    // SAFETY: none: that these go wrong, or are found, is what is tested. All addresses are inside the arenas.
    unsafe {
        match sabotage {
            Sabotage::ReadBehind => drop(std::hint::black_box(a_end.read_volatile())),
            Sabotage::WriteBefore => c.wrapping_sub(1).write_volatile(1.0),
            Sabotage::WriteGap => c_end.write_volatile(1.0),
            Sabotage::WriteInput => a.write_volatile(2.0),
            Sabotage::LeaveOutput => c.write_volatile(f32::from_bits(0x7fa0_0000)),
        }
    }
}
