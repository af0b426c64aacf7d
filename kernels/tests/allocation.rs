//! A training step allocates nothing.
//!
//! Alone in its file: it counts what the whole process allocates.

use std::alloc::{GlobalAlloc, Layout as Allocation, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sae_kernels::ops::Rule;
use sae_kernels::step::{BatchedStep, Dropout, Penalty, RhoHat, Selection, Step, StepConfig, StepReport};
use sae_kernels::{Backend, Fused, Isa, MatRef, Naive};

/// The system's allocator, counting calls of the threads under test.
struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn count() {
    if COUNTED.try_with(std::cell::Cell::get).unwrap_or(false) {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

/// One test at a time: they share the counter.
static ALONE: Mutex<()> = Mutex::new(());

// SAFETY: everything is handed to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Allocation) -> *mut u8 {
        count();
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Allocation) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator while `work` runs.
fn allocations(work: impl FnOnce()) -> usize {
    let before = CALLS.load(Ordering::Relaxed);
    COUNTED.set(true);
    work();
    COUNTED.set(false);
    CALLS.load(Ordering::Relaxed) - before
}

#[test]
fn a_step_allocates_nothing_whatever_its_batch() {
    let _alone = ALONE.lock().unwrap();
    assert_ne!(allocations(|| drop(std::hint::black_box(vec![0u8; 100]))), 0, "the counter counts");

    let x = [0.5f32; 8 * 6];
    let average = RhoHat::Ema { decay: 0.9 };
    for penalty in [Penalty::L1 { beta: 0.1 }, Penalty::Kl { rho: 0.1, beta: 0.1, average }] {
        let cfg = StepConfig { penalty, weight_decay: 0.1, rule: Rule::adam(), ..StepConfig::new() };
        let mut step = Step::new(6, 5, 8, Some(4), cfg).unwrap();
        for n in [8, 3, 1, 8] {
            let x = MatRef::row_major(&x, n, 6).unwrap();
            let calls = allocations(|| {
                step.train_step(&mut Naive, x, 0.1).unwrap();
                step.evaluate(&mut Naive, x, None).unwrap();
            });
            assert_eq!(calls, 0, "{n} samples, {penalty:?}");
        }
    }
}

/// The sizes are those of several units of work a product, tails included, and of k cut in two on machines with small
/// caches.
const D_IN: usize = 150;
const D_HID: usize = 200;
const N: usize = 130;

/// Asserts that steps on the fused backend allocate nothing once its scratch memory is there. What a pool's own threads do is counted too.
fn assert_only_the_first_step_allocates(threads: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let count = |on: bool| {
        COUNTED.set(on);
        pool.broadcast(|_| COUNTED.set(on));
    };
    let samples = vec![0.5f32; N * D_IN];
    let penalty = Penalty::Kl { rho: 0.1, beta: 0.1, average: RhoHat::Batch };
    let plain = StepConfig { penalty, ..StepConfig::new() };
    let (selection, dropout) = (Selection::TopK { k: 9 }, Some(Dropout { rate: 0.5, seed: 1 }));
    let selecting = StepConfig { selection, dropout, tied: true, weight_decay: 0.1, ..plain };
    for (isa, cfg) in Isa::available().into_iter().flat_map(|isa| [(isa, plain), (isa, selecting)]) {
        let mut fused = Fused::with_isa(isa).unwrap();
        let mut step = Step::new(D_IN, D_HID, N, fused.panel(), cfg).unwrap();
        // Rayon's queues grow while a pool is new.
        for _ in 0..3 {
            let x = MatRef::row_major(&samples, N, D_IN).unwrap();
            pool.install(|| step.train_step(&mut fused, x, 0.1).unwrap());
        }
        for n in [N, 3, N - 1, 1, N] {
            let x = MatRef::row_major(&samples, n, D_IN).unwrap();
            let calls = pool.install(|| {
                count(true);
                let start = CALLS.load(Ordering::Relaxed);
                step.train_step(&mut fused, x, 0.1).unwrap();
                step.evaluate(&mut fused, x, None).unwrap();
                let calls = CALLS.load(Ordering::Relaxed) - start;
                count(false);
                calls
            });
            assert_eq!(calls, 0, "{isa}, {threads} threads, {n} samples");
        }

        let mut step = BatchedStep::new(D_IN, D_HID, N, fused.panel(), &[cfg; 3]).unwrap();
        let mut reports = [StepReport::default(); 3];
        let x = MatRef::row_major(&samples, N, D_IN).unwrap();
        for round in 0..4 {
            let calls = pool.install(|| {
                count(true);
                let start = CALLS.load(Ordering::Relaxed);
                step.train_step(&mut fused, x, &[0.1; 3], &mut reports).unwrap();
                step.evaluate(&mut fused, x, None, &mut reports).unwrap();
                let calls = CALLS.load(Ordering::Relaxed) - start;
                count(false);
                calls
            });
            assert!(calls == 0 || round == 0, "{isa}, {threads} threads, 3 models");
        }
    }
}

#[test]
fn a_fused_step_allocates_nothing_after_the_first() {
    let _alone = ALONE.lock().unwrap();
    assert_only_the_first_step_allocates(1);
}

#[test]
fn a_fused_step_on_two_threads_allocates_nothing_after_the_first() {
    let _alone = ALONE.lock().unwrap();
    assert_only_the_first_step_allocates(2);
}
