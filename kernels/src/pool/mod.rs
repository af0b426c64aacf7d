//! Threads: rayon's, in whatever pool the caller is.
//!
//! Work is cut into units that any thread may take; nothing about a result depends on who takes which.

mod shares;
mod team;

use std::cell::Cell;
use std::process;
use std::sync::OnceLock;

use shares::Shares;
pub(crate) use shares::{Grid, Turn};

/// How many threads a call may use: those of the pool the caller runs in, or of rayon's global pool. One, where that pool
/// is dead.
pub(crate) fn threads() -> usize {
    if is_inherited() { 1 } else { rayon::current_num_threads() }
}

/// Threads for work on so many elements along each dimension: this one alone where they are fewer than `least`.
pub(crate) fn threads_for<const N: usize>(dims: [usize; N], least: usize) -> usize {
    if dims.into_iter().fold(1, usize::saturating_mul) < least { 1 } else { threads() }
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

/// Runs `body`, whose calls of [`for_each`] on this thread share one fork of the pool. Allocates nothing.
pub(crate) fn together<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    team::lead(threads(), body)
}

/// Whether this thread is in [`together`]: its helpers need not be woken.
pub(crate) fn is_together() -> bool {
    team::is_led()
}

/// Calls `unit(slot, index)` once for every index below `units`, on up to `slots` threads. Calls with one slot never
/// run at the same time. A thread begins with its own share of the indices, neighbours, and goes on with the others'.
/// Allocates nothing.
pub(crate) fn for_each(slots: usize, units: usize, unit: &(dyn Fn(usize, usize) + Sync)) {
    let grid = Grid { rows: units, cols: 1, last: 1.0, down: false };
    for_each_of(slots, grid, &|turn| unit(turn.slot, turn.row));
}

/// As [`for_each`], of a grid of units.
pub(crate) fn for_each_of(slots: usize, grid: Grid, unit: &(dyn Fn(&Turn) + Sync)) {
    let allowed = slots.max(1);
    let slots = slots.min(grid.rows * grid.cols);
    let shares = Shares::new(slots, grid);
    let work = |slot: usize| {
        assert!(slot < allowed, "thread {slot} of a pool that had {allowed}");
        while let Some(turn) = shares.take(slot) {
            unit(&turn);
        }
    };
    if slots <= 1 {
        work(0);
    } else if team::run(&work) {
        // The team has done it.
    } else if Waiting::is_here() {
        work(slot());
    } else {
        fork(0..slots, &|_| work(slot()));
    }
}

/// Where this thread waits for others, and meanwhile takes up what it finds: another call of the kernels, perhaps. That
/// one runs on this thread alone, or calls would pile up on its stack without end; the others are busy anyway.
struct Waiting;

thread_local! {
    static WAITING: Cell<usize> = const { Cell::new(0) };
}

impl Waiting {
    fn begin() -> Self {
        WAITING.set(WAITING.get() + 1);
        Self
    }

    fn is_here() -> bool {
        WAITING.get() > 0
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.set(WAITING.get() - 1);
    }
}

/// The number of this thread in its pool.
fn slot() -> usize {
    rayon::current_thread_index().unwrap_or(0)
}

fn fork(slots: std::ops::Range<usize>, work: &(dyn Fn(usize) + Sync)) {
    if slots.len() <= 1 {
        return work(slots.start);
    }
    let _waiting = Waiting::begin();
    let half = slots.start + slots.len() / 2;
    rayon::join(|| fork(slots.start..half, work), || fork(half..slots.end, work));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_work_stays_on_its_thread() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| {
            assert_eq!(threads_for([3, 5], 16), 1);
            assert_eq!(threads_for([4, 4], 16), 3);
            assert_eq!(threads_for([2, 2, 4], 16), 3);
            assert_eq!(threads_for([1 << 40, 1 << 40, 2], usize::MAX), 3);
            assert_eq!(threads_for([1 << 40, 0], 1), 1);
        });
    }

    /// Pauses of all lengths up to the one after which a helper sleeps, and beyond.
    #[test]
    fn who_falls_asleep_while_called_wakes_up() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let mut done = std::sync::atomic::AtomicUsize::new(0);
        for pause in 0..500 {
            pool.install(|| {
                together(|| {
                    for_each(2, 2, &|_, _| _ = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
                    (0..pause * 80).for_each(|_| std::hint::spin_loop());
                });
            });
        }
        assert_eq!(*done.get_mut(), 1000);
    }

    #[test]
    fn a_call_that_a_waiting_thread_takes_up_stays_on_it() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let both = std::sync::Barrier::new(2);
        let stayed = std::sync::atomic::AtomicUsize::new(0);
        pool.install(|| {
            assert!(!Waiting::is_here());
            let caller = slot();
            for_each(2, 2, &|_, _| {
                // Each thread has one of the two.
                both.wait();
                if slot() != caller {
                    return;
                }
                assert!(Waiting::is_here());
                for_each(2, 64, &|_, _| {
                    assert_eq!(slot(), caller);
                    stayed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                });
            });
            assert!(!Waiting::is_here());
        });
        // Those that are left of the call are nobody else's.
        assert_eq!(stayed.into_inner(), 64);
    }
}
