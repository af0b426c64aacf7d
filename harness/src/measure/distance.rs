//! How far apart the processor's cores are for threads that share data.

use std::hint::spin_loop;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::median;

/// Exchanges that are timed together, and how often.
const EXCHANGES: u32 = 64;
const ROUNDS: usize = 25;
/// Where other work keeps the threads from running, they do not try longer.
const LIMIT: Duration = Duration::from_millis(20);
/// Looks at the word between two looks at the clock, which takes as long as an exchange.
const LOOKS: u32 = 1024;

/// Nanoseconds in which a word that one thread writes is answered by another: the median of some rounds, the threads
/// wherever the system puts them. Tens where their cores share a cache, hundreds where they do not. A virtual machine's
/// processors can change from one to the other at any moment, and what threads that share data reach changes with it.
/// `None` with one processor, or where the threads did not run at the same time.
pub fn round_trip_ns() -> Option<f64> {
    if thread::available_parallelism().map_or(1, NonZeroUsize::get) < 2 {
        return None;
    }
    // Odd numbers are questions, the even ones behind them answers.
    let (word, done) = (AtomicU32::new(0), AtomicBool::new(false));
    let end = Instant::now() + LIMIT;
    let answer = || {
        while !done.load(Ordering::Relaxed) {
            match word.load(Ordering::Acquire) {
                question if question % 2 == 1 => word.store(question + 1, Ordering::Release),
                _ => spin_loop(),
            }
        }
    };
    let ask = || -> Option<f64> {
        let mut rounds = Vec::with_capacity(ROUNDS);
        for round in 0..ROUNDS as u32 {
            let start = Instant::now();
            for exchange in 0..EXCHANGES {
                let question = 2 * (round * EXCHANGES + exchange) + 1;
                word.store(question, Ordering::Release);
                let mut looks = 0u32;
                while word.load(Ordering::Acquire) != question + 1 {
                    spin_loop();
                    looks = looks.wrapping_add(1);
                    if looks.is_multiple_of(LOOKS) && Instant::now() > end {
                        return None;
                    }
                }
            }
            rounds.push(start.elapsed().as_secs_f64() / f64::from(EXCHANGES) * 1e9);
        }
        Some(median(rounds))
    };
    thread::scope(|scope| {
        scope.spawn(answer);
        let found = ask();
        done.store(true, Ordering::Relaxed);
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_answered_or_given_up() {
        for _ in 0..20 {
            // That it comes back at all is the claim: the threads may never run at the same time.
            if let Some(ns) = round_trip_ns() {
                assert!(ns > 0.0 && ns.is_finite(), "{ns}");
            }
        }
    }
}
