//! Threads: rayon's, in whatever pool the caller is.
//!
//! Work is cut into units that any thread may take; nothing about a result depends on who takes which.

use std::cell::Cell;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads a call may use: those of the pool the caller runs in, or of rayon's global pool. One, where that pool
/// is dead.
pub(crate) fn threads() -> usize {
    if is_inherited() { 1 } else { rayon::current_num_threads() }
}

/// Whether the caller's pool is one that this process has from its parent: `fork` copies a pool but not its threads, and
/// who hands them work waits for ever. A pool whose threads were first seen in this process is its own.
fn is_inherited() -> bool {
    static FIRST_PROCESS: OnceLock<u32> = OnceLock::new();
    thread_local! {
        static FIRST_SEEN_IN: Cell<u32> = const { Cell::new(0) };
    }
    let this = process::id();
    let seen = FIRST_SEEN_IN.get();
    if seen == 0 {
        FIRST_SEEN_IN.set(this);
    }
    if *FIRST_PROCESS.get_or_init(|| this) == this {
        return false;
    }
    rayon::current_thread_index().is_none() || (seen != 0 && seen != this)
}

/// Calls `unit(slot, index)` once for every index below `units`, on up to `slots` threads. Calls with one slot never
/// run at the same time. Allocates nothing.
pub(crate) fn for_each(slots: usize, units: usize, unit: &(dyn Fn(usize, usize) + Sync)) {
    let slots = slots.min(units);
    if slots <= 1 {
        (0..units).for_each(|index| unit(0, index));
        return;
    }
    let next = AtomicUsize::new(0);
    fork(0..slots, &|slot| {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= units {
                break;
            }
            unit(slot, index);
        }
    });
}

fn fork(slots: std::ops::Range<usize>, work: &(dyn Fn(usize) + Sync)) {
    if slots.len() <= 1 {
        return work(slots.start);
    }
    let half = slots.start + slots.len() / 2;
    rayon::join(|| fork(slots.start..half, work), || fork(half..slots.end, work));
}
