//! Bounds what fusion costs: the time of `encode` over that of the plain product of the same shape in the same storage, for
//! products of at least 256 steps. Pairs are timed in turn, so that a clock that rises or falls meets both; the median of
//! their ratios counts. Exits with 1 where a ratio is over its bound.
//!
//! ```text
//! cargo bench --bench fusion                              on every thread
//! RAYON_NUM_THREADS=1 cargo bench --bench fusion          on one
//! SAE_KERNELS_ISA=avx2 cargo bench --bench fusion         on another instruction set
//! ```
//!
//! The epilogue works on each element of the result once, the product k times: the ratio is 1 plus something over k.

#[path = "../suite/operands.rs"]
mod operands;
#[path = "../suite/pair.rs"]
mod pair;

use std::process::ExitCode;
use std::time::Instant;

use pair::{K, M, N, Pair};

/// Pairs of one shape.
const PAIRS: usize = 31;
/// Multiply-adds of the product in whose time the epilogue handles an element: bias, sigmoid (an exponential and a division),
/// column sums, the store, and the buffer in between.
const EPILOGUE: f64 = 32.0;
/// What the median of ratios of equal things may be off by.
const NOISE: f64 = 0.02;

fn main() -> ExitCode {
    // `cargo bench -- FILTER` hands the filter to every bench: one that is not meant stays quiet.
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    if words.peek().is_some() && !words.any(|word| word.contains("fusion")) {
        return ExitCode::SUCCESS;
    }
    println!("{:<12}{:>6}{:>12}{:>12}{:>9}{:>9}", "storage", "k", "plain ms", "encode ms", "ratio", "at most");
    let mut within = true;
    for (storage, panels) in [("panel-major", true), ("row-major", false)] {
        for k in K {
            let mut pair = Pair::new(k, panels);
            let mut time = |run: fn(&mut Pair)| {
                let start = Instant::now();
                run(&mut pair);
                start.elapsed().as_secs_f64() * 1e3
            };
            let times: Vec<_> = (0..PAIRS + 2).map(|_| (time(Pair::plain), time(Pair::encode))).skip(2).collect();
            let plain = median(times.iter().map(|pair| pair.0));
            let encode = median(times.iter().map(|pair| pair.1));
            let ratio = median(times.iter().map(|pair| pair.1 / pair.0));
            let most = 1.0 + NOISE + EPILOGUE / k as f64;
            let verdict = if ratio > most { "  over" } else { "" };
            within &= ratio <= most;
            println!("{storage:<12}{k:>6}{plain:>12.3}{encode:>12.3}{ratio:>9.3}{most:>9.3}{verdict}");
        }
    }
    println!("c [{M}, {N}] = a [{M}, k] b [k, {N}], {} threads, {PAIRS} pairs", rayon::current_num_threads());
    ExitCode::from(u8::from(!within))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
