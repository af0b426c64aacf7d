//! The unfused backend over the fused backend's own product: then both compute the same chains, and whatever differs
//! between them would be the doing of fusion.

#[path = "../../tests/proof/support/mod.rs"]
#[allow(dead_code, reason = "the integration tests use all of it")]
mod support;

use super::{Backend, BackendKind, Fused, Product, Sgemm, Unfused};
use crate::isa::Isa;
use crate::layout::Layout;
use crate::ops::{Form, Gemm};
use crate::view::{MatMut, MatRef};
use support::{Case, Data, Op, Places, Shared, Storage, run, share, training};

/// The product of [`Fused`].
#[derive(Debug)]
struct FusedProduct(Fused);

impl Product for FusedProduct {
    fn kind(&self) -> BackendKind {
        BackendKind::Fused
    }

    fn sgemm(&mut self, op: Sgemm<'_>) {
        let Sgemm { form, m, n, k, accumulate, .. } = op;
        let [a_rows, a_cols] = match form {
            Form::Nn => [m, k],
            Form::Tn => [k, m],
        };
        let [a, b, c] = [(a_rows, a_cols, op.lda), (k, n, op.ldb), (m, n, op.ldc)]
            .map(|(rows, cols, ld)| Layout::row_major_ld(rows, cols, ld).unwrap());
        let (a, b) = (MatRef::new(op.a, a).unwrap(), MatRef::new(op.b, b).unwrap());
        self.0.gemm(Gemm { form, a, b, c: MatMut::new(op.c, c).unwrap(), accumulate }).unwrap();
    }
}

fn both(isa: Isa) -> (Fused, Unfused<FusedProduct>) {
    let product = FusedProduct(Fused::with_isa(isa).unwrap());
    (Fused::with_isa(isa).unwrap(), Unfused::with_isa(product, isa).unwrap())
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
                let [left, right] =
                    [run(&mut fused, &case, &data, places).bits(), run(&mut unfused, &case, &data, places).bits()];
                for ((name, left), (_, right)) in left.into_iter().zip(right) {
                    let different = left.iter().zip(&right).position(|(l, r)| l != r);
                    assert_eq!((left.len(), different), (right.len(), None), "{isa}: {name} of {case:?}");
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
