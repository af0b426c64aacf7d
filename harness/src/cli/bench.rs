//! `sae bench`: the speed of one operation against the processor's peak, in one run and on the same threads.

mod phases;

use sae_kernels::{Isa, backend, openblas_config};
use serde_json::json;

use super::args::BenchArgs;
use super::{measures, output, system};
use crate::error::{Error, Result, excerpt, nearest};
use crate::measure::{Op, Phases, Sizes, Timing, compare, round_trip_ns};

/// The most elements of a dimension taken for meant; that of the config key `model.d_hid`.
const MOST: usize = 1 << 28;
/// The most models taken for meant.
const MOST_MODELS: usize = 1 << 16;
/// The most repetitions taken for meant.
const MOST_REPS: usize = 1_000_000;
/// The median of the peak over its best, below which a run was disturbed.
const DISTURBED: f64 = 0.9;

pub(super) fn run(args: BenchArgs) -> Result {
    let op = parse_op(&args.op)?;
    let sizes = Sizes { batch: args.batch, d_in: args.d_in, d_hid: args.d_hid, models: args.models };
    for (option, value, most) in [
        ("--batch", args.batch, MOST),
        ("--d-in", args.d_in, MOST),
        ("--d-hid", args.d_hid, MOST),
        ("--models", args.models, MOST_MODELS),
        ("--reps", args.reps, MOST_REPS),
    ] {
        if !(1..=most).contains(&value) {
            return Err(Error::setting(option, value.to_string(), format!("1 to {most}")));
        }
    }
    if args.dtype != "f32" {
        return Err(Error::setting("--dtype", excerpt(&args.dtype), "f32, the only element type there is"));
    }
    if args.phases && op != Op::Step {
        return Err(Error::setting("--phases", format!("operation `{}`", op.name()), "step, which alone has phases"));
    }
    if args.models != 1 && op != Op::Step {
        return Err(Error::setting("--models", format!("operation `{}`", op.name()), "step, which alone has models"));
    }
    let kind = args.on.backend.parse()?;
    let bytes = op.bytes(sizes).saturating_add(if args.phases { Phases::bytes() } else { 0 });
    crate::memory::require("sae bench", &format!("{} at this size", op.name()), bytes)?;
    let pool = system::pool(args.on.threads)?;
    pool.install(|| {
        let isa = Isa::detect()?;
        let backend = backend(kind)?;
        if args.phases {
            let ran_on = backend.isa();
            let (timing, phases) = Phases::measure(sizes, backend, isa, args.reps)?;
            return report(op, sizes, &args, ran_on, &timing, Some(&phases));
        }
        let mut operation = op.build(sizes, backend)?;
        let ran_on = operation.isa();
        let timing = compare(isa, args.reps, &mut || operation.run())?;
        report(op, sizes, &args, ran_on, &timing, None)
    })
}

fn parse_op(name: &str) -> Result<Op> {
    Op::ALL.into_iter().find(|op| op.name() == name).ok_or_else(|| {
        let names = Op::ALL.map(Op::name);
        Error::Setting {
            place: "sae bench".to_owned(),
            found: format!("unknown operation `{}`", excerpt(name)),
            expected: format!("one of: {}", names.join(", ")),
            nearest: nearest(name, names).map(str::to_owned),
        }
    })
}

fn report(op: Op, sizes: Sizes, args: &BenchArgs, isa: Isa, timing: &Timing, phases: Option<&Phases>) -> Result {
    let flops = timing.flops.unwrap_or_else(|| op.flops(sizes));
    let gflops = flops / timing.median / 1e9;
    let fraction = gflops / timing.peak_gflops;
    // Every model sees every sample.
    let samples_per_s = (sizes.batch * sizes.models) as f64 / timing.median;
    let (median_ms, min_ms) = (timing.median * 1e3, timing.min * 1e3);
    let threads = rayon::current_num_threads();
    let apart = if threads > 1 { round_trip_ns() } else { None };
    let blas = openblas_config().filter(|_| args.on.backend == "openblas");
    if timing.peak_gflops < DISTURBED * timing.best_peak_gflops {
        output::say(&format!(
            "warning: the peak loop reached {} GFLOP/s at best and {} in the median: other work takes the processor, and the \
             figures are worth little",
            measures::short(timing.best_peak_gflops),
            measures::short(timing.peak_gflops)
        ));
    }
    if args.json {
        let mut object = json!({
            "op": op.name(),
            "backend": args.on.backend,
            "isa": isa.name(),
            "dtype": args.dtype,
            "threads": threads,
            "batch": sizes.batch,
            "d_in": sizes.d_in,
            "d_hid": sizes.d_hid,
            "models": sizes.models,
            "reps": args.reps,
            "median_ms": median_ms,
            "min_ms": min_ms,
            "gflops": gflops,
            "peak_gflops": timing.peak_gflops,
            "fraction_of_peak": fraction,
            "samples_per_s": samples_per_s,
            "peak_rss_mib": system::peak_rss_mib(),
            "best_peak_gflops": timing.best_peak_gflops,
            "calls_per_rep": timing.calls,
            "round_trip_ns": apart,
            "processor": crate::measure::processor(),
            "version": env!("CARGO_PKG_VERSION"),
            "blas": blas,
        });
        if let Some(phases) = phases {
            object["bandwidth_gb_s"] = phases.bandwidth_gb_s().into();
            object["phases"] = phases::to_json(phases);
        }
        return output::print_json(&object);
    }
    let models = if sizes.models == 1 { String::new() } else { format!(", {} models", sizes.models) };
    let mut text = format!(
        "{} {} on {isa}, {threads} threads, batch {} d_in {} d_hid {}{models}\n\
         median {} ms, fastest {} ms, of {} repetitions of {} calls\n\
         {} GFLOP/s, {:.1}% of the {} GFLOP/s that multiply-adds alone reach\n\
         {:.0} samples/s\n",
        args.on.backend,
        op.name(),
        sizes.batch,
        sizes.d_in,
        sizes.d_hid,
        measures::short(median_ms),
        measures::short(min_ms),
        args.reps,
        timing.calls,
        measures::short(gflops),
        100.0 * fraction,
        measures::short(timing.peak_gflops),
        samples_per_s,
    );
    if let Some(rss) = system::peak_rss_mib() {
        text += &format!("{rss:.0} MiB of memory at most\n");
    }
    if let Some(ns) = apart {
        text += &format!("{ns:.0} ns from one core to another and back\n");
    }
    if let Some(blas) = blas {
        text += &format!("{blas}\n");
    }
    if let Some(phases) = phases {
        text += &format!("\n{}", phases::table(phases));
    }
    output::print(&text)
}
