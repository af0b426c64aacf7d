//! The ladder of docs/KERNELS.md: what each rung reaches, as a fraction of the peak of the machine's multiply-adds, timed in
//! turn with it and with the other rungs. Checks that every rung is right, then prints the table that stands there.
//!
//! ```text
//! make ladder
//! ```

mod rungs;

use std::process::ExitCode;

use rayon::ThreadPoolBuilder;
use rungs::{Computes, Problem, RUNGS, Run, Rung, check};
use sae_harness::measure::{Repeat, Timing, interleaved, processor};
use sae_kernels::Isa;

/// m, k, n: the encoder of MNIST.
const SIZES: [usize; 3] = [256, 784, 1024];
/// Rounds, in each of which every rung runs.
const ROUNDS: usize = 15;

fn main() -> ExitCode {
    // `cargo bench -- FILTER` hands the filter to every bench: one that is not meant stays quiet.
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    if words.peek().is_some() && !words.any(|word| word.contains("ladder")) {
        return ExitCode::SUCCESS;
    }
    match table() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn table() -> Result<(), Box<dyn std::error::Error>> {
    let isa = Isa::detect()?;
    for problem in check::SIZES.map(Problem::new) {
        check::products(&problem)?;
        check::encodes(&problem)?;
    }
    let problem = Problem::new(SIZES);
    let all = rayon::current_num_threads();
    let mut timings = Vec::new();
    for (threads, of_all) in [(1, false), (all, true)] {
        let rungs = RUNGS.iter().filter(|rung| rung.threads == of_all);
        let mut runs: Vec<_> = rungs.map(|rung| (rung.start)(&problem)).collect();
        let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
        let found = pool.install(|| time(isa, &mut runs))?;
        timings.extend(found.into_iter().map(|timing| (threads, timing)));
    }
    let [m, k, n] = SIZES;
    println!("| rung | what is new | threads | GFLOP/s | of the peak |\n| --- | --- | --- | --- | --- |");
    for (number, (rung, (threads, timing))) in (1..).zip(RUNGS.iter().zip(&timings)) {
        let Rung { name, what, .. } = rung;
        let gflops = flops(rung.computes) / timing.median / 1e9;
        let fraction = gflops / timing.peak_gflops;
        println!("| {number} `{name}` | {what} | {threads} | {gflops:.1} | {fraction:.3} |");
    }
    let peak = |i: usize| timings[i].1.peak_gflops;
    let (one, many) = (peak(0), peak(timings.len() - 1));
    println!();
    println!("c [{m}, {n}] = a [{m}, {k}] · b [{k}, {n}], {isa}, {}; peak {one:.1} GFLOP/s on one", processor());
    println!("thread, {many:.1} on {all}; medians of {ROUNDS} rounds.");
    Ok(())
}

/// Floating point operations of a run: those of its products.
fn flops(computes: Computes) -> f64 {
    let [m, k, n] = SIZES;
    let products = if computes == Computes::Step { 5 } else { 1 };
    (2 * m * k * n * products) as f64
}

/// Each rung in turn, on the threads of the pool.
fn time(isa: Isa, runs: &mut [Box<dyn Run + '_>]) -> sae_harness::Result<Vec<Timing>> {
    let calls = runs.iter_mut().map(|run| {
        move || -> sae_harness::Result<Option<f64>> {
            run.run();
            Ok(None)
        }
    });
    let mut calls: Vec<_> = calls.collect();
    let mut entrants: Vec<&mut dyn Repeat> = calls.iter_mut().map(|call| call as &mut dyn Repeat).collect();
    interleaved(isa, ROUNDS, &mut entrants)
}
