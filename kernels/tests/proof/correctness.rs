//! Every backend on every instruction set against the f64 reference, element by element: all operations, sizes around
//! every tile and every cut of k, all layouts, batches.

use sae_kernels::ops::{Activation, Form, Loss, Rule};
use sae_kernels::{Backend, BackendKind, Fused, Isa, Naive, backend};

use crate::support::{Case, Expected, Op, Places, Shared, Storage, share};

/// The fused backend on every instruction set there is, and all others in this build.
fn backends() -> Vec<Box<dyn Backend>> {
    let mut all: Vec<Box<dyn Backend>> = Vec::new();
    for isa in Isa::available() {
        all.push(Box::new(Fused::with_isa(isa).unwrap()));
    }
    let others = BackendKind::ALL.into_iter().filter(|kind| kind.is_built() && *kind != BackendKind::Fused);
    all.extend(others.map(|kind| backend(kind).unwrap()));
    all
}

/// Every case on every backend in a few layouts, other ones for each case.
fn sweep(cases: impl IntoIterator<Item = Case>, layouts: usize) {
    let mut backends = backends();
    for (seed, case) in cases.into_iter().enumerate().step_by(share()) {
        let expected = Expected::of(case, seed as u64);
        for backend in &mut backends {
            let places = Places::of(backend.panel());
            for i in 0..layouts {
                expected.check(backend.as_mut(), &places[(seed + i) % places.len()]).unwrap();
            }
        }
    }
}

/// All combinations.
fn shapes(m: &[usize], n: &[usize], k: &[usize]) -> Vec<[usize; 3]> {
    let mut all = Vec::new();
    for &m in m {
        for &n in n {
            all.extend(k.iter().map(|&k| [m, n, k]));
        }
    }
    all
}

fn cross(ops: &[Op], shapes: &[[usize; 3]]) -> Vec<Case> {
    ops.iter().flat_map(|&op| shapes.iter().map(move |&shape| Case::new(op, shape))).collect()
}

/// One row, one element more or less than tiles are high (6, 8, 12, 24, blocks of 48), lanes are wide (4, 8, 16) and
/// panels are (8, 16, 64).
const EDGES: [usize; 18] = [0, 1, 2, 3, 5, 6, 7, 8, 9, 13, 15, 16, 17, 31, 33, 63, 64, 65];

#[test]
fn products_at_every_edge_in_every_dimension() {
    let few = [0, 1, 5, 7, 16, 17, 64, 65];
    let mut all = shapes(&EDGES, &EDGES, &[1, 7, 33]);
    all.extend(shapes(&few, &few, &EDGES));
    sweep(cross(&Op::products(), &all), 2);
}

#[test]
fn every_operation_at_every_edge_of_its_result() {
    let rows = [0, 1, 5, 7, 17, 47, 48, 49, 97];
    let cols = [0, 1, 3, 5, 8, 9, 15, 17, 33, 47, 63, 65, 81, 129];
    sweep(cross(&Op::all(), &shapes(&rows, &cols, &[0, 3, 10])), 2);
}

#[test]
fn every_operation_in_every_layout() {
    let panels = Places::of(None).len();
    sweep(cross(&Op::all(), &[[53, 70, 19], [130, 21, 66], [200, 40, 9]]), panels);
}

/// The lengths around which k is cut depend on the second-level cache and on the panel: 64, 16 or 8 columns of a
/// quarter of 512 KiB to 2 MiB.
#[test]
fn operations_around_every_cut_of_k() {
    let cuts = [256, 784, 1024, 2048];
    let k: Vec<_> = cuts.into_iter().flat_map(|cut| [cut - 1, cut, cut + 1]).collect();
    sweep(cross(&Op::one_of_each(), &shapes(&[7], &[65], &k)), 2);
    sweep(cross(&Op::one_of_each(), &shapes(&[13], &[18], &[4095, 4096, 4097, 8192, 8193, 16385])), 2);
    sweep(cross(&Op::products(), &[[50, 70, 1025], [3, 5, 32769]]), 3);
}

#[test]
fn operations_large_enough_for_several_threads() {
    sweep(cross(&Op::one_of_each(), &[[300, 200, 70], [97, 400, 130], [33, 1500, 40], [1500, 33, 40]]), 3);
}

/// More than half of a second-level cache of 2 MiB for each of two threads, and few panels: rows are asked for in another way.
#[test]
fn products_whose_rows_come_from_far() {
    let encode = Op::Encode { activation: Activation::Sigmoid, sums: true };
    // Among the layouts of each is the one of all panels.
    sweep(cross(&[encode], &[[850, 67, 640], [850, 60, 641]]), 3);
}

#[test]
fn batches_are_independent_problems() {
    let mut cases = Vec::new();
    for op in Op::all() {
        for shape in [[7, 17, 5], [50, 65, 9], [1, 1, 1]] {
            for shared in [Shared::Nothing, Shared::A, Shared::B] {
                cases.push(Case { batch: 3, shared, ..Case::new(op, shape) });
            }
        }
        cases.push(Case { batch: 0, ..Case::new(op, [4, 5, 6]) });
    }
    sweep(cases, 4);
}

/// The contraction runs along rows of the left operand, which may be in panels of any width.
#[test]
fn the_left_operand_of_an_nn_product_has_panels_of_any_width() {
    let op = Op::Gemm { form: Form::Nn, accumulate: false };
    for isa in Isa::available() {
        let mut fused = Fused::with_isa(isa).unwrap();
        let own = Storage::Panel(fused.panel().unwrap());
        for (seed, k) in [1, 5, 20, 1500, 2100, 8200].into_iter().enumerate() {
            let expected = Expected::of(Case::new(op, [9, 20, k]), seed as u64);
            for panel in [1, 2, 3, 5, 7, 8, 64, 100, 4096] {
                expected.check(&mut fused, &Places::new([Storage::Panel(panel), own, Storage::Wide, own])).unwrap();
            }
        }
    }
}

/// Backends that work on rows take panels of any width in every place.
#[test]
fn unfused_backends_take_panels_of_any_width() {
    for kind in BackendKind::ALL.into_iter().filter(|kind| kind.is_built() && *kind != BackendKind::Fused) {
        let mut backend = backend(kind).unwrap();
        for (seed, op) in Op::all().into_iter().enumerate().step_by(share()) {
            for shape in [[1, 30, 9], [30, 1, 9], [9, 30, 1], [50, 70, 3]] {
                let expected = Expected::of(Case::new(op, shape), seed as u64);
                for panel in [1, 3, 4, 6, 100] {
                    expected.check(backend.as_mut(), &Places::all(Storage::Panel(panel))).unwrap();
                    let mixed = [Storage::Tight, Storage::Panel(panel), Storage::Panel(5), Storage::Panel(2 * panel)];
                    expected.check(backend.as_mut(), &Places::new(mixed)).unwrap();
                }
            }
        }
    }
}

/// A bound that lets everything pass proves nothing: results that are wrong by a part in 10⁵ are refused.
#[test]
fn the_bounds_refuse_what_is_slightly_wrong() {
    for op in Op::all() {
        let case = Case::new(op, [20, 30, 40]);
        let expected = Expected::of(case, 1);
        let mut wrong = Expected::of(case, 1);
        wrong.data.a.iter_mut().for_each(|a| *a *= 1.0 + 1e-4);
        expected.check(&mut Naive, &Places::TIGHT).unwrap();
        assert!(wrong.check(&mut Naive, &Places::TIGHT).is_err(), "{op:?}");
    }
}

/// What the sweeps run over: a choice that it lacks would not show in them.
#[test]
fn the_list_of_operations_has_every_choice() {
    let ops = Op::all();
    let has = |wanted: &dyn Fn(&Op) -> bool| assert!(ops.iter().any(wanted));
    for f in Activation::ALL {
        has(&|op| matches!(op, Op::Encode { activation, .. } if *activation == f));
        has(&|op| matches!(op, Op::Decode { activation, loss: Loss::Squared, .. } if *activation == f));
        has(&|op| matches!(op, Op::Hidden { activation, .. } if *activation == f));
    }
    has(&|op| matches!(op, Op::Decode { loss: Loss::Bce, .. }));
    for r in Rule::all() {
        has(&|op| matches!(op, Op::Update { rule, .. } if *rule == r));
    }
}
