//! The unfused backend over the fused backend's own product: then both compute the same chains, and whatever differs
//! between them would be the doing of fusion.

use sae_kernels::ops::{Form, Gemm, Rule};
use sae_kernels::{Backend, Fused, Isa, Layout, MatMut, MatRef, Product, Sgemm, Unfused};

use crate::support::{Case, Data, Op, Places, Shared, Storage, run, share, training};

/// The product of [`Fused`].
#[derive(Debug)]
struct FusedProduct(Fused);

impl Product for FusedProduct {
    fn sgemm(&mut self, mut op: Sgemm<'_>) {
        let ([m, n, k], form, accumulate) = (op.dims(), op.form(), op.accumulate());
        let [a_rows, a_cols] = match form {
            Form::Nn => [m, k],
            Form::Tn => [k, m],
        };
        let ((a, lda), (b, ldb), (c, ldc)) = op.operands();
        let [of_a, of_b, of_c] = [(a_rows, a_cols, lda), (k, n, ldb), (m, n, ldc)]
            .map(|(rows, cols, ld)| Layout::row_major_ld(rows, cols, ld).unwrap());
        let (a, b) = (MatRef::new(a, of_a).unwrap(), MatRef::new(b, of_b).unwrap());
        self.0.gemm(Gemm { form, a, b, c: MatMut::new(c, of_c).unwrap(), accumulate }).unwrap();
    }
}

fn both(isa: Isa) -> (Fused, Unfused<FusedProduct>) {
    let product = FusedProduct(Fused::with_isa(isa).unwrap());
    (Fused::with_isa(isa).unwrap(), Unfused::with_isa(product, isa).unwrap())
}

fn same(isa: Isa, [left, right]: [&mut dyn Backend; 2], case: &Case, data: &Data, places: &Places) {
    let [left, right] = [left, right].map(|backend| run(backend, case, data, places).bits());
    for ((name, left), (_, right)) in left.into_iter().zip(right) {
        let different = left.iter().zip(&right).position(|(l, r)| l != r);
        assert_eq!((left.len(), different), (right.len(), None), "{isa}: {name} of {case:?}, {places:?}");
    }
}

#[test]
fn fused_and_unfused_compute_the_same_bits() {
    for isa in Isa::available() {
        let (mut fused, mut unfused) = both(isa);
        let panel = Storage::Panel(fused.panel().unwrap());
        let all =
            [Places::TIGHT, Places::all(Storage::Wide), Places::new([Storage::Wide, panel, Storage::Tight, panel])];
        for (seed, op) in Op::all().into_iter().enumerate().step_by(share()) {
            for shape in [[1, 1, 1], [0, 5, 3], [6, 16, 0], [50, 67, 30], [101, 130, 1100], [260, 150, 40]] {
                let case = Case { batch: 2, shared: Shared::A, ..Case::new(op, shape) };
                let data = Data::random(&case, seed as u64);
                let places = &all[seed % all.len()];
                same(isa, [&mut fused, &mut unfused], &case, &data, places);
            }
        }
    }
}

/// Columns behind whole panels, which some tiers compute together with the last of these: tiles of every height, one run of k and
/// several, one panel before them and more.
#[test]
fn a_tail_behind_a_panel_is_as_any_other_column() {
    for isa in Isa::available() {
        let (mut fused, mut unfused) = both(isa);
        let panel = fused.panel().unwrap();
        let shapes = [1, 2, 3, 4, 5, 6, 48, 53, 97].into_iter().flat_map(|m| [1, 3, 7, 8, 9].map(|tail| [m, tail]));
        for (seed, [m, tail]) in shapes.enumerate().step_by(share()) {
            let k = [1, 6, 64, 65, 130, 1100][seed % 6];
            let n = panel * (1 + seed / 6 % 2) + tail;
            for op in Op::all() {
                let case = Case { batch: 1 + k % 2, ..Case::new(op, [m, n, k]) };
                let data = Data::random(&case, seed as u64);
                same(isa, [&mut fused, &mut unfused], &case, &data, &Places::all(Storage::Panel(panel)));
            }
        }
    }
}

/// Adam's steps, which some tiers take between the steps of the next tile's loop: tiles of every width and height, a last one
/// that has no next, loops too short for all vectors or for any, and, beside them, what is taken at once.
#[test]
fn updates_in_the_next_tiles_loop_are_those_of_a_stored_gradient() {
    for isa in Isa::available() {
        let (mut fused, mut unfused) = both(isa);
        let panel = fused.panel().unwrap();
        let rules = [Rule::adam(), Rule::adamw(), Rule::rmsprop()];
        let shapes = [1, 5, 6, 7, 16, 64, 65, 200].into_iter().flat_map(|m| [16, 32, 48, 64, 80, 131].map(|n| [m, n]));
        for (seed, [m, n]) in shapes.enumerate().step_by(share()) {
            for k in [0, 1, 3, 4, 7, 30, 47, 48, 64, 129] {
                let op = Op::Update { rule: rules[seed % rules.len()], transposed: seed % 2 == 0 };
                let case = Case { batch: 2, ..Case::new(op, [m, n, k]) };
                let data = Data::random(&case, seed as u64);
                for places in [Places::all(Storage::Panel(panel)), Places::all(Storage::Panel(2 * panel))] {
                    same(isa, [&mut fused, &mut unfused], &case, &data, &places);
                }
            }
        }
    }
}

#[test]
fn fused_and_unfused_train_the_same_bits() {
    for isa in Isa::available() {
        let (mut fused, mut unfused) = both(isa);
        for setup in training::setups().into_iter().step_by(share()) {
            let panel = fused.panel();
            let same = training::run(&mut fused, panel, &setup) == training::run(&mut unfused, None, &setup);
            assert!(same, "{isa}: {setup:?}");
        }
    }
}
