//! A training step allocates nothing.
//!
//! Alone in its file: it counts what the whole process allocates.

use std::alloc::{GlobalAlloc, Layout as Allocation, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use sae_kernels::ops::Rule;
use sae_kernels::step::{Penalty, RhoHat, Step, StepConfig};
use sae_kernels::{MatRef, Naive};

/// The system's allocator, counting calls of the thread under test.
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
