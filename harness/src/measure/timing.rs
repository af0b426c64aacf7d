//! Timing: repetitions of each contender and of the peak loop in turn, so that a clock that rises or falls meets all.

use std::thread::sleep;
use std::time::{Duration, Instant};

use sae_kernels::{Isa, fma_loop};

use crate::error::{Error, Result};

/// Seconds that a timed repetition lasts at least: far above the resolution of any clock and the start of threads.
const SHORTEST: f64 = 2e-3;
/// The same where several take turns: threads that have rested may all wake on one core, and part only after a while.
const SHORTEST_OF_MANY: f64 = 2e-2;
/// Seconds of warm-up before anything counts.
const WARM_UP: f64 = 0.1;

/// Between contenders: the threads of a library that still look out for work have gone to sleep (OpenBLAS's do so after
/// 2²⁶ ticks).
const REST: Duration = Duration::from_millis(40);
/// Seconds of a call above which a contender needs no untimed one to find its data in the caches again.
const LONG: f64 = 0.1;

/// What came out.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Seconds of a call: the median of the repetitions.
    pub median: f64,
    /// The fastest one.
    pub min: f64,
    /// Calls in a repetition.
    pub calls: u64,
    /// Operations in a call, where only the run can tell.
    pub flops: Option<f64>,
    /// The median of the peak loop, all threads together.
    pub peak_gflops: f64,
    /// The best one: far above the median where other work took the processor.
    pub best_peak_gflops: f64,
}

/// Something that is timed, again and again.
pub trait Repeat {
    /// Makes that many calls.
    ///
    /// # Errors
    /// Those of the calls.
    fn repeat(&mut self, calls: u64) -> Result<Lap>;

    /// Seconds that a timed repetition lasts at least where several take turns.
    fn shortest(&self) -> f64 {
        SHORTEST_OF_MANY
    }
}

/// Some calls, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Lap {
    /// How long they took.
    pub seconds: f64,
    /// Operations of a call, where it counts them itself.
    pub flops: Option<f64>,
}

/// Calls of a function in this process. It returns the operations it did where it counts them itself.
impl<F: FnMut() -> Result<Option<f64>>> Repeat for F {
    fn repeat(&mut self, calls: u64) -> Result<Lap> {
        let mut flops = None;
        let start = Instant::now();
        for _ in 0..calls {
            flops = self()?;
        }
        Ok(Lap { seconds: start.elapsed().as_secs_f64(), flops })
    }
}

/// Times `reps` repetitions of `call`, each after one of the peak loop on all threads of the pool.
///
/// # Errors
/// Those of `call`, and [`Error::Failed`] where the clock stands still.
pub fn compare(isa: Isa, reps: usize, call: &mut dyn Repeat) -> Result<Timing> {
    Ok(interleaved(isa, reps, &mut [call])?.remove(0))
}

/// Times `reps` rounds, in each of which the peak loop runs on all threads of the pool, and then a repetition of every
/// entrant, in turn. Where there are several, each rests first, and a short one has an untimed call.
///
/// # Errors
/// Those of the calls, and [`Error::Failed`] where the clock stands still.
pub fn interleaved(isa: Isa, reps: usize, entrants: &mut [&mut dyn Repeat]) -> Result<Vec<Timing>> {
    let alone = entrants.len() < 2;
    let shortest: Vec<f64> = entrants.iter().map(|e| if alone { SHORTEST } else { e.shortest() }).collect();
    let of_peak = if alone { SHORTEST } else { SHORTEST_OF_MANY };
    let rest = if alone { Duration::ZERO } else { REST };
    let mut flops = vec![None; entrants.len()];
    let mut repeat = |i: usize, calls: u64| -> Result<f64> {
        let lap = entrants[i].repeat(calls)?;
        flops[i] = lap.flops;
        Ok(lap.seconds)
    };
    let calibrated = shortest.iter().enumerate().map(|(i, &shortest)| calibrate(shortest, &mut |n| repeat(i, n)));
    let mut times = calibrated.collect::<Result<Vec<u64>>>()?;
    let mut long = vec![alone; times.len()];
    let mut rounds = calibrate(of_peak, &mut |rounds| peak(isa, rounds).map(|(seconds, _)| seconds))?;
    let mut seconds = vec![Vec::with_capacity(reps); times.len()];
    let mut rates = Vec::with_capacity(reps);
    while rates.len() < reps {
        sleep(rest);
        if !alone {
            peak(isa, rounds)?;
        }
        let (took, done) = peak(isa, rounds)?;
        let mut round = Vec::with_capacity(times.len());
        for (i, &n) in times.iter().enumerate() {
            sleep(rest);
            if !long[i] {
                long[i] = repeat(i, 1)? > LONG;
            }
            round.push(repeat(i, n)?);
        }
        // Calibrated while something else had the processor: begin again with more calls.
        let again = times.iter().zip(&round).zip(&shortest).map(|((&n, &took), &shortest)| longer(n, took, shortest));
        let again: Vec<u64> = again.collect();
        if again != times || longer(rounds, took, of_peak) != rounds {
            (times, rounds) = (again, longer(rounds, took, of_peak));
            seconds.iter_mut().for_each(Vec::clear);
            rates.clear();
            continue;
        }
        rates.push(done / took / 1e9);
        for ((all, took), &n) in seconds.iter_mut().zip(round).zip(&times) {
            all.push(took / n as f64);
        }
    }
    let best_peak_gflops = rates.iter().copied().fold(0.0, f64::max);
    let peak_gflops = median(rates);
    let results = seconds.into_iter().zip(times).zip(flops);
    Ok(results
        .map(|((seconds, calls), flops)| {
            let min = seconds.iter().copied().fold(f64::INFINITY, f64::min);
            Timing { median: median(seconds), min, calls, flops, peak_gflops, best_peak_gflops }
        })
        .collect())
}

/// The repeats that last long enough where `repeats` of them took `seconds`: at least twice as many where they did not.
fn longer(repeats: u64, seconds: f64, shortest: f64) -> u64 {
    match seconds < shortest {
        true => repeats.saturating_mul(2),
        false => repeats,
    }
}

/// How many repeats make a timed repetition, after warming up with more and more of them.
fn calibrate(shortest: f64, repeat: &mut dyn FnMut(u64) -> Result<f64>) -> Result<u64> {
    const MOST: u64 = 1 << 40;
    let (mut repeats, mut warm) = (1u64, 0.0);
    while repeats < MOST {
        let took = repeat(repeats)?;
        warm += took;
        if took < shortest {
            repeats *= 2;
        } else if warm >= WARM_UP {
            // What is faster when warm still lasts long enough.
            return Ok(if took < 1.25 * shortest { repeats + repeats.div_ceil(4) } else { repeats });
        }
    }
    Err(Error::Failed("the clock does not advance".to_owned()))
}

/// Seconds and operations of `rounds` rounds of the peak loop on every thread of the pool.
fn peak(isa: Isa, rounds: u64) -> Result<(f64, f64)> {
    let start = Instant::now();
    let done = rayon::broadcast(|_| fma_loop(isa, rounds as usize));
    let seconds = start.elapsed().as_secs_f64();
    let done = done.into_iter().sum::<Result<f64, sae_kernels::Error>>()?;
    Ok((seconds, done))
}

/// The peak of multiply-adds on all threads of the pool, taken in about a twentieth of a second: the best of loops that grow to
/// a millisecond. A loop that is disturbed, or too short for its threads to start together, shows less than the peak
/// and never more; where other work takes turns on the processor it is the short ones that pass between two turns.
///
/// # Errors
/// Where the processor lacks the instruction set.
pub fn peak_gflops(isa: Isa) -> Result<f64> {
    /// Loops, and the least and most seconds that all of them last.
    const LOOPS: usize = 32;
    const LEAST: f64 = 5e-2;
    const MOST: f64 = 0.5;
    /// Loops that grow at least, however long they last, and the length at which others stop growing.
    const GROW: usize = 5;
    const LONG: f64 = 1e-3;
    let (mut rounds, mut best, mut together, mut loops) = (1 << 12, 0.0f64, 0.0, 0);
    while together < LEAST || loops < LOOPS && together < MOST {
        let (seconds, done) = peak(isa, rounds)?;
        together += seconds;
        loops += 1;
        best = best.max(done / seconds);
        if (loops <= GROW || seconds < LONG) && rounds < 1 << 40 {
            rounds *= 2;
        }
    }
    Ok(best / 1e9)
}

/// The middle one, or the mean of the two middle ones.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => f64::NAN,
        _ => 0.5 * (values[(n - 1) / 2] + values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_middle_ones() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn a_repetition_is_calibrated_to_last_long_enough() {
        // A call of a fixed number of seconds, without a clock.
        for each in [1e-9, 3.7e-6, 1.9e-3, 5e-2] {
            let repeats = calibrate(SHORTEST, &mut |n| Ok(n as f64 * each)).unwrap();
            assert!(repeats as f64 * each >= SHORTEST, "{each}: {repeats}");
            assert!(repeats == 1 || repeats as f64 * each <= 2.0 * SHORTEST * 1.25, "{each}: {repeats}");
        }
        assert!(calibrate(SHORTEST, &mut |_| Ok(0.0)).is_err());
    }
}
