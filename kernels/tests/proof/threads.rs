//! Any use of threads: a caller's pool, pools of one thread, many callers at once, calls from inside parallel loops.

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use sae_kernels::{Backend, Fused, Isa};

use crate::support::{Case, Data, Op, Places, Storage, run, share, training};

/// Calls of enough work to be split, of each operation.
fn calls() -> Vec<(Case, Data)> {
    let case = |op| Case::new(op, [150, 140, 130]);
    Op::one_of_each().into_iter().step_by(share()).map(|op| (case(op), Data::random(&case(op), 3))).collect()
}

type Bits = Vec<(&'static str, Vec<u64>)>;

/// Every call's bits, on a backend of its own.
fn all_bits(isa: Isa, calls: &[(Case, Data)]) -> Vec<Bits> {
    let mut fused = Fused::with_isa(isa).unwrap();
    let places = Places::all(Storage::Panel(fused.panel().unwrap()));
    calls.iter().map(|(case, data)| run(&mut fused, case, data, &places).bits()).collect()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn sixteen_threads_with_a_backend_each_compute_the_same() {
    let calls = calls();
    for isa in Isa::available() {
        let expected = pool(1).install(|| all_bits(isa, &calls));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| all_bits(isa, &calls))).collect();
            for thread in threads {
                assert!(thread.join().unwrap() == expected, "{isa}");
            }
        });
    }
}

#[test]
fn sixteen_callers_of_one_pool_compute_the_same() {
    let (calls, isa, pool) = (calls(), Isa::detect().unwrap(), pool(3));
    let expected = all_bits(isa, &calls);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16).map(|_| scope.spawn(|| pool.install(|| all_bits(isa, &calls)))).collect();
        for caller in callers {
            assert!(caller.join().unwrap() == expected);
        }
    });
}

/// A call inside a parallel loop gives its own parts to the loop's threads, and may be handed parts of its neighbours'
/// while it waits.
#[test]
fn calls_inside_a_parallel_loop_compute_the_same() {
    let calls = calls();
    for isa in Isa::available() {
        let expected = pool(1).install(|| all_bits(isa, &calls));
        for threads in [1, 2, 4] {
            let all: Vec<_> =
                pool(threads).install(|| (0..12).into_par_iter().map(|_| all_bits(isa, &calls)).collect());
            assert!(all.iter().all(|found| *found == expected), "{isa}, {threads} threads");
        }
    }
}

/// Scratch memory that was made for few threads serves many, and the other way round.
#[test]
fn a_backend_may_move_between_pools() {
    let calls = calls();
    let mut fused = Fused::new().unwrap();
    let places = Places::TIGHT;
    for (case, data) in &calls {
        let expected = pool(1).install(|| run(&mut fused, case, data, &places).bits());
        for threads in [4, 2, 7, 1] {
            let found = pool(threads).install(|| run(&mut fused, case, data, &places).bits());
            assert!(found == expected, "{threads} threads: {case:?}");
        }
    }
}

#[test]
fn training_runs_at_once_compute_the_same() {
    let setup = training::setups().remove(0);
    let run = || {
        let mut fused = Fused::new().unwrap();
        let panel = fused.panel();
        training::run(&mut fused, panel, &setup)
    };
    let expected = run();
    let all: Vec<_> = (0..4).into_par_iter().map(|_| run()).collect();
    assert!(all.iter().all(|found| *found == expected));
}
