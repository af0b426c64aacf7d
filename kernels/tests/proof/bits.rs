//! The promise of bits: the same on every instruction set that keeps them, for any number of threads, in every layout,
//! alone or in a batch, today and tomorrow, and the same as the reference where that rounds the same way.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;
use sae_kernels::ops::{Activation, Form, Rule};
use sae_kernels::{Fused, Isa, Naive};

use crate::soak::{Soak, mix};
use crate::support::{Case, Data, Op, Outputs, Places, Shared, Storage, run, share, training};

/// Shapes with whole and partial tiles, several panels, row blocks and cuts of k, and enough work for several threads.
const SHAPES: [[usize; 3]; 5] = [[1, 1, 1], [50, 67, 30], [101, 130, 1100], [260, 150, 40], [13, 17, 4500]];

fn keeping() -> Vec<Isa> {
    Isa::available().into_iter().filter(|isa| isa.keeps_bits()).collect()
}

fn fused(isa: Isa) -> Fused {
    Fused::with_isa(isa).unwrap()
}

fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Every operation on every shape.
fn cases() -> Vec<(Case, Data)> {
    let all = Op::all().into_iter().flat_map(|op| SHAPES.map(|shape| Case::new(op, shape)));
    all.enumerate().step_by(share()).map(|(seed, case)| (case, Data::random(&case, seed as u64))).collect()
}

fn assert_same(found: &Outputs<f32>, expected: &Outputs<f32>, what: &str, case: &Case) {
    for ((name, found), (_, expected)) in found.bits().into_iter().zip(expected.bits()) {
        let different = found.iter().zip(&expected).position(|(f, e)| f != e);
        assert_eq!((found.len(), different), (expected.len(), None), "{what}: {name} of {case:?}");
    }
}

#[test]
fn every_instruction_set_that_keeps_bits_computes_the_same() {
    let keeping = keeping();
    let Some((first, rest)) = keeping.split_first() else { return };
    for (case, data) in cases() {
        let expected = run(&mut fused(*first), &case, &data, &Places::TIGHT);
        for &isa in rest {
            let found = run(&mut fused(isa), &case, &data, &Places::TIGHT);
            assert_same(&found, &expected, &format!("{isa} against {first}"), &case);
        }
    }
}

#[test]
fn any_number_of_threads_computes_the_same() {
    for isa in Isa::available() {
        for op in Op::one_of_each().into_iter().step_by(share()) {
            for (seed, shape) in [[101, 130, 1100], [520, 150, 40], [30, 900, 70]].into_iter().enumerate() {
                let case = Case::new(op, shape);
                let data = Data::random(&case, seed as u64);
                let places = Places::all(Storage::Panel(64));
                let one = on_threads(1, || run(&mut fused(isa), &case, &data, &places));
                // All numbers of threads up to 16 on the first shape, a few on the others.
                for threads in (2..=16).filter(|t| seed == 0 || [2, 3, 5, 8].contains(t)) {
                    let found = on_threads(threads, || run(&mut fused(isa), &case, &data, &places));
                    assert_same(&found, &one, &format!("{isa}, {threads} threads"), &case);
                }
            }
        }
    }
}

#[test]
fn every_layout_computes_the_same() {
    for isa in Isa::available() {
        let mut fused = fused(isa);
        let places = Places::of(sae_kernels::Backend::panel(&fused));
        for (case, data) in cases() {
            let expected = run(&mut fused, &case, &data, &Places::TIGHT);
            for places in &places {
                let found = run(&mut fused, &case, &data, places);
                assert_same(&found, &expected, &format!("{isa}, {places:?}"), &case);
            }
        }
    }
}

/// Strips of a row-major `b`, which the last tiles of the strip before copy: too few tiles for that and enough, steps that are no
/// whole round, several runs of k, a last strip that is narrower, problems one behind the other.
#[test]
fn what_is_copied_on_the_way_is_as_what_was_in_panels() {
    for isa in Isa::available() {
        let mut fused = fused(isa);
        let panel = sae_kernels::Backend::panel(&fused).unwrap();
        let of_panels = Storage::Panel(panel);
        let places = [Places::TIGHT, Places::new([of_panels, Storage::Wide, of_panels, of_panels])];
        let ops =
            Op::one_of_each().into_iter().chain([Form::Nn, Form::Tn].map(|form| Op::Gemm { form, accumulate: false }));
        let shapes = [3, 4, 65, 257, 1030, 2100].into_iter().flat_map(|k| [[17, k], [257, k], [400, k]]);
        for (seed, (op, [m, k])) in
            ops.flat_map(|op| shapes.clone().map(move |shape| (op, shape))).enumerate().step_by(share())
        {
            let n = panel * [1, 2, 5][seed % 3] + [0, 5, panel / 2][seed / 3 % 3];
            let case = Case { batch: 1 + seed % 2, ..Case::new(op, [m, n, k]) };
            let data = Data::random(&case, seed as u64);
            let expected = run(&mut fused, &case, &data, &Places::all(of_panels));
            for places in &places {
                let found = on_threads(1 + seed % 2, || run(&mut fused, &case, &data, places));
                assert_same(&found, &expected, &format!("{isa}, {places:?}"), &case);
            }
        }
    }
}

/// Every operand at every distance from a cache line, and at other distances than its neighbours.
#[test]
fn every_alignment_computes_the_same() {
    for isa in Isa::available() {
        let mut fused = fused(isa);
        let panel = sae_kernels::Backend::panel(&fused).unwrap();
        for (seed, op) in Op::all().into_iter().enumerate().step_by(share()) {
            let case = Case::new(op, [14, 70, 30]);
            let data = Data::random(&case, seed as u64);
            let expected = run(&mut fused, &case, &data, &Places::TIGHT);
            for front in 0..16 {
                for places in [Places::TIGHT, Places::all(Storage::Wide), Places::all(Storage::Panel(panel))] {
                    let found = run(&mut fused, &case, &data, &places.starting_at(front));
                    assert_same(&found, &expected, &format!("{isa}, {front} elements on, {places:?}"), &case);
                }
            }
        }
    }
}

#[test]
fn a_hundred_repetitions_compute_the_same() {
    for isa in Isa::available() {
        let mut fused = fused(isa);
        for (seed, op) in Op::one_of_each().into_iter().enumerate().step_by(share()) {
            let case = Case::new(op, [110, 140, 80]);
            let data = Data::random(&case, seed as u64);
            on_threads(3, || {
                let first = run(&mut fused, &case, &data, &Places::TIGHT);
                for _ in 1..100 / share().min(20) {
                    assert_same(&run(&mut fused, &case, &data, &Places::TIGHT), &first, isa.name(), &case);
                }
            });
        }
    }
}

/// Also after other calls of other sizes, which leave their numbers in the backend's scratch memory.
#[test]
fn a_second_run_computes_the_same() {
    for isa in Isa::available() {
        let mut fused = fused(isa);
        let cases = cases();
        let once: Vec<_> = cases.iter().map(|(case, data)| run(&mut fused, case, data, &Places::TIGHT)).collect();
        for ((case, data), once) in cases.iter().zip(&once).rev() {
            assert_same(&run(&mut fused, case, data, &Places::TIGHT), once, isa.name(), case);
        }
    }
}

#[test]
fn a_problem_computes_the_same_alone_and_in_a_batch() {
    for isa in Isa::available() {
        let mut fused = fused(isa);
        for op in Op::all().into_iter().step_by(share()) {
            for [m, n, k] in [[50, 67, 30], [7, 17, 300]] {
                let case = Case { batch: 3, shared: Shared::B, ..Case::new(op, [m, n, k]) };
                let data = Data::random(&case, 5);
                let whole = run(&mut fused, &case, &data, &Places::all(Storage::Wide));
                for p in 0..3 {
                    let part = |x: &Vec<f32>, len: usize| x[p * len..][..len].to_vec();
                    let one = Data {
                        a: part(&data.a, m * k),
                        vector: part(&data.vector, n),
                        third: part(&data.third, m * n),
                        first_moment: part(&data.first_moment, m * n),
                        second_moment: part(&data.second_moment, m * n),
                        ..data.clone()
                    };
                    let alone = run(&mut fused, &Case::new(op, [m, n, k]), &one, &Places::TIGHT);
                    let third = |len: usize| p * len / 3..(p + 1) * len / 3;
                    let tensors = whole.tensors.iter().map(|(name, x)| (*name, x[third(x.len())].to_vec())).collect();
                    let loss = whole.loss[third(whole.loss.len())].to_vec();
                    assert_same(&Outputs { tensors, loss }, &alone, isa.name(), &case);
                }
            }
        }
    }
}

/// The reference rounds as the kernels do in all that has no transcendental function, except in its losses (it squares
/// before it adds) and in the sign of a ReLU's zero slope.
#[test]
fn the_f32_reference_computes_the_same_where_it_rounds_the_same() {
    let mut ops = Op::products();
    for activation in [Activation::Relu, Activation::Identity] {
        ops.push(Op::Encode { activation, sums: true });
    }
    let activation = Activation::Identity;
    ops.push(Op::Hidden { activation, row_term: true, l1: true, grad: true });
    ops.extend(Rule::all().map(|rule| Op::Update { rule, transposed: true }));
    for isa in keeping() {
        let mut fused = fused(isa);
        for &op in ops.iter().step_by(share()) {
            for (seed, shape) in SHAPES.into_iter().enumerate() {
                let case = Case::new(op, shape);
                let data = Data::random(&case, seed as u64);
                let expected = run::<f32>(&mut Naive, &case, &data, &Places::TIGHT);
                assert_same(&run(&mut fused, &case, &data, &Places::TIGHT), &expected, isa.name(), &case);
            }
        }
    }
}

/// 0·NaN and 0·∞ are NaN, whether the zero is in the left operand or in the right.
#[test]
fn nothing_is_skipped_where_a_factor_is_zero() {
    for isa in Isa::available() {
        for form in [Form::Nn, Form::Tn] {
            let case = Case::new(Op::Gemm { form, accumulate: false }, [9, 21, 40]);
            for (zero_in_a, other) in
                [(true, f32::NAN), (true, f32::INFINITY), (false, f32::NAN), (false, f32::INFINITY)]
            {
                let mut data = Data::random(&case, 1);
                let (zeros, others) = if zero_in_a { (&mut data.a, &mut data.b) } else { (&mut data.b, &mut data.a) };
                zeros.fill(0.0);
                others.fill(other);
                let found = run(&mut fused(isa), &case, &data, &Places::all(Storage::Wide));
                assert!(found.tensors[0].1.iter().all(|c| c.is_nan()), "{isa} {form:?} {other}");
            }
        }
    }
}

#[test]
fn a_training_run_computes_the_same_on_every_instruction_set_and_any_number_of_threads() {
    for setup in training::setups().into_iter().step_by(share()) {
        let plain = keeping().first().map(|&isa| on_threads(1, || training::run(&mut fused(isa), None, &setup)));
        let Some(plain) = plain else { return };
        for isa in keeping() {
            let panel = sae_kernels::Backend::panel(&fused(isa));
            for (panel, threads) in [(None, 2), (panel, 1), (panel, 3)] {
                let found = on_threads(threads, || training::run(&mut fused(isa), panel, &setup));
                assert!(found == plain, "{isa}, panel {panel:?}, {threads} threads: {setup:?}");
            }
        }
    }
}

/// A part of `make soak`: random calls, each on every instruction set that keeps bits, in a layout, at an alignment and
/// on a number of threads of its own.
#[test]
#[ignore = "runs for SOAK_SECONDS"]
fn soak() {
    let mut soak = Soak::start();
    let mut backends: Vec<_> = keeping().into_iter().map(fused).collect();
    let pools: Vec<_> = (1..=16).map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap()).collect();
    let ops = Op::all();
    while soak.goes_on() {
        let seed = mix(soak.seed, soak.cases);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let [m, n, k] = match rng.random_range(0..16) {
            0 => [rng.random_range(0..16), rng.random_range(0..150), rng.random_range(900..4500)],
            1 | 2 => [rng.random_range(80..300), rng.random_range(60..300), rng.random_range(60..200)],
            _ => [rng.random_range(0..120), rng.random_range(0..150), rng.random_range(0..60)],
        };
        let shared = *[Shared::Nothing, Shared::A, Shared::B].choose(&mut rng).unwrap();
        let batch = *[1, 1, 1, 2, 3].choose(&mut rng).unwrap();
        let case = Case { batch, shared, ..Case::new(*ops.choose(&mut rng).unwrap(), [m, n, k]) };
        let data = Data::random(&case, seed);
        let mut expected: Option<Outputs<f32>> = None;
        for fused in &mut backends {
            let places = *Places::of(sae_kernels::Backend::panel(fused)).choose(&mut rng).unwrap();
            let places = places.starting_at(rng.random_range(0..32));
            let threads = rng.random_range(1..=16);
            let found = pools[threads - 1].install(|| run(fused, &case, &data, &places));
            match &expected {
                None => expected = Some(found),
                Some(expected) if expected.bits() == found.bits() => {}
                Some(_) => {
                    let isa = sae_kernels::Backend::isa(fused);
                    let number = soak.cases;
                    soak.fault(&format!("case {number}: {isa}, {threads} threads, {places:?}: {case:?}"));
                }
            }
        }
        soak.cases += 1;
    }
    soak.finish(&format!("instruction_sets={}", backends.len()));
}
