//! Random operations on random shapes in random layouts, against the f64 reference; a failure is shrunk to a small one.

use std::cell::RefCell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sae_kernels::{Backend, BackendKind, Fused, Isa, backend};

use crate::support::{Case, Expected, Op, Places, Shared, Storage, share};

/// Multiply-adds of one call, at most, so that all cases together take seconds.
const WORK: usize = 400_000;

/// Storage of an operand; panels are multiples of the backend's.
#[derive(Clone, Copy, Debug)]
enum Where {
    Tight,
    Wide,
    Panels(usize),
}

fn case() -> impl Strategy<Value = Case> {
    let shared = prop_oneof![4 => Just(Shared::Nothing), 1 => Just(Shared::A), 1 => Just(Shared::B)];
    // Mostly small sizes, and in one of three dimensions sometimes a large one.
    let shape = prop_oneof![
        4 => (0usize..80, 0usize..150, 0usize..80),
        1 => (0usize..700, 0usize..40, 0usize..40),
        1 => (0usize..40, 0usize..700, 0usize..40),
        1 => (0usize..12, 0usize..24, 0usize..5000),
    ];
    (select(Op::all()), 0usize..4, shape, shared)
        .prop_map(|(op, batch, (m, n, k), shared)| Case { batch, shared, ..Case::new(op, [m, n, k]) })
        .prop_filter("small enough", |case| case.batch * case.m * case.n * case.k.max(1) <= WORK)
}

fn places() -> impl Strategy<Value = [Where; 4]> {
    let one = prop_oneof![Just(Where::Tight), Just(Where::Wide), (1usize..4).prop_map(Where::Panels)];
    vec(one, 4).prop_map(|all| [all[0], all[1], all[2], all[3]])
}

/// The same cases on every run.
fn check(cases: u32, backend: Box<dyn Backend>) {
    let cases = cases / share() as u32;
    let config = Config { cases, failure_persistence: None, max_global_rejects: 100 * cases, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let panel = backend.panel().unwrap_or(5);
    let backend = RefCell::new(backend);
    let result = runner.run(&(case(), places(), any::<u64>()), |(case, places, seed)| {
        let places = Places::new(places.map(|place| match place {
            Where::Tight => Storage::Tight,
            Where::Wide => Storage::Wide,
            Where::Panels(times) => Storage::Panel(times * panel),
        }));
        Expected::of(case, seed).check(backend.borrow_mut().as_mut(), &places).map_err(TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn fused_kernels_are_within_the_bounds_of_the_reference() {
    for isa in Isa::available() {
        check(600, Box::new(Fused::with_isa(isa).unwrap()));
    }
}

#[test]
fn other_backends_are_within_the_bounds_of_the_reference() {
    for kind in BackendKind::ALL.into_iter().filter(|kind| kind.is_built() && *kind != BackendKind::Fused) {
        check(200, backend(kind).unwrap());
    }
}
