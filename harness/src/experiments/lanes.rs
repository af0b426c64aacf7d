//! Work that is done side by side, each piece on threads of its own.
//!
//! Small models keep one thread busy, hardly two: at each of their products threads wait for each other. Seeds have nothing to
//! wait for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// Calls `each` with every number below `count`, and gives back what came of it, in that order. As many calls go on at once as
/// there are threads in the pool this is called in, and those threads are shared out to them. `tell` hears of each as it ends.
///
/// # Errors
/// That of the lowest number that failed. Nothing new is begun after a failure.
pub(super) fn side_by_side<T: Send>(
    count: usize,
    each: impl Fn(usize) -> Result<T> + Sync,
    mut tell: impl FnMut(usize, &T),
) -> Result<Vec<T>> {
    let pools = pools(rayon::current_num_threads(), count)?;
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut results: Vec<Option<Result<T>>> = (0..count).map(|_| None).collect();
    std::thread::scope(|scope| {
        for pool in &pools {
            let (sender, next, each) = (sender.clone(), &next, &each);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    let result = pool.install(|| each(index));
                    if result.is_err() {
                        next.store(count, Ordering::Relaxed);
                    }
                    // The other end is there as long as this scope.
                    let _ = sender.send((index, result));
                }
            });
        }
        drop(sender);
        for (index, result) in receiver {
            if let Ok(value) = &result {
                tell(index, value);
            }
            results[index] = Some(result);
        }
    });
    // Numbers are given out in order: what was never begun comes after a failure.
    results.into_iter().flatten().collect()
}

/// A pool for each piece that goes on at once.
fn pools(threads: usize, pieces: usize) -> Result<Vec<ThreadPool>> {
    let lanes = threads.min(pieces).max(1);
    let pool = |lane: usize| {
        let share = threads / lanes + usize::from(lane < threads % lanes);
        let pool = ThreadPoolBuilder::new().num_threads(share).build();
        pool.map_err(|e| Error::Failed(format!("{share} threads cannot be started: {e}")))
    };
    (0..lanes).map(pool).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
    }

    #[test]
    fn every_piece_is_done_once_and_comes_in_its_place_whatever_the_threads() {
        for threads in [1, 2, 5] {
            let mut told = Vec::new();
            let run = || side_by_side(7, |i| Ok(10 * i), |i, value| told.push((i, *value)));
            assert_eq!(with_threads(threads, run).unwrap(), [0, 10, 20, 30, 40, 50, 60]);
            told.sort_unstable();
            assert!(told.iter().enumerate().all(|(i, &one)| one == (i, 10 * i)) && told.len() == 7, "{told:?}");
        }
        assert!(with_threads(2, || side_by_side(0, |_| Ok(()), |_, ()| ())).unwrap().is_empty());
    }

    #[test]
    fn all_threads_are_shared_out() {
        let sizes = |threads, pieces| {
            pools(threads, pieces).unwrap().iter().map(ThreadPool::current_num_threads).collect::<Vec<_>>()
        };
        assert_eq!((sizes(8, 3), sizes(2, 3), sizes(3, 1)), (vec![3, 3, 2], vec![1, 1], vec![3]));
    }

    #[test]
    fn the_first_failure_is_the_error_and_nothing_follows_it() {
        let begun = AtomicUsize::new(0);
        let each = |i: usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            if i >= 2 { Err(Error::Failed(format!("number {i}"))) } else { Ok(()) }
        };
        let error = with_threads(1, || side_by_side(6, each, |_, ()| ())).unwrap_err();
        assert_eq!((error.to_string().as_str(), begun.into_inner()), ("number 2", 3));
    }
}
