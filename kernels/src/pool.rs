//! Threads: rayon's, in whatever pool the caller is.
//!
//! Work is cut into units that any thread may take; nothing about a result depends on who takes which.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads a call may use: those of the pool the caller runs in, or of rayon's global pool.
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
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
