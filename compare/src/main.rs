//! `sae-compare`: the kernels beside other libraries in one process, A B A B, and the record of it.
//!
//! Each round of a race runs the peak loop on the same threads, and then every contender in turn, on random operands of
//! its own. A row is the median of the rounds, beside the median of the peak in the same rounds. `make results` measures
//! all parts; README.md in the folder of the results says what they show.

mod apart;
mod cblas;
mod chart;
mod contender;
mod machine;
mod parts;
mod plain;
mod plots;
mod products;
mod random;
mod record;
mod tables;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use sae_harness::measure::{Call, interleaved};
use sae_kernels::Isa;

use apart::Apart;
use cblas::Cblas;
use contender::{Contender, Work};
use parts::{Part, Race, races};
use record::Row;

/// Measures the kernels beside other libraries and records the results.
#[derive(Debug, Parser)]
#[command(name = "sae-compare", version)]
struct Args {
    /// What to measure; all of it where none is named. The parts add up in the folder.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Where the results go, instead of results/PROCESSOR/DATE.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Repetitions; at least 7.
    #[arg(long, default_value_t = 7)]
    reps: usize,
    /// Numbers of threads; 1 and all where none is named.
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// A library with the C interface of BLAS and 32-bit indices, to stand in the same tables.
    #[arg(long)]
    cblas: Vec<PathBuf>,
    /// Contenders to run beside the fused kernels, by name; where none is named, all but faer, whose products have been
    /// seen to be wrong on a processor. Each is checked on small products first.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// One race of one part, by its number from 0, its rows on stdout: what this command runs itself for each race.
    #[arg(long, hide = true)]
    race: Option<usize>,
    /// Measure nothing: write tables and plots anew from the folder's results.csv.
    #[arg(long)]
    render: bool,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sae-compare: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> Result<()> {
    if args.race.is_some() {
        // A panic on one thread of a pool may leave the others waiting for it for ever: end all of them.
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            print(info);
            std::process::abort();
        }));
    }
    ensure!((7..=1000).contains(&args.reps), "--reps: {}, expected 7 to 1000", args.reps);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads = if args.threads.is_empty() { vec![1, cores] } else { args.threads.clone() };
    threads.sort_unstable();
    threads.dedup();
    ensure!(threads.iter().all(|t| (1..=4096).contains(t)), "--threads: {threads:?}, expected 1 to 4096");
    let date = machine::date();
    ensure!(args.race.is_none() || args.part.len() == 1, "--race: expected one --part that it is of");
    let out = args.out.clone().unwrap_or_else(|| Path::new("results").join(machine::slug()).join(&date));
    if args.race.is_none() {
        fs::create_dir_all(&out).with_context(|| format!("{}", out.display()))?;
    }

    if !args.render {
        let commit = machine::commit();
        let builds = args.cblas.iter().map(|path| Ok(Cblas::load(path)?.1)).collect::<Result<Vec<_>>>()?;
        let all = [Part::Gemm, Part::Encode, Part::Step, Part::Odd, Part::Growth];
        let wanted = if args.part.is_empty() { all.to_vec() } else { args.part.clone() };
        let mut everybody = Contender::all(&args.cblas);
        let names: Vec<String> = everybody.iter().map(Contender::name).collect();
        for name in &args.only {
            ensure!(names.contains(name), "--only: `{name}`, expected names among: {}", names.join(", "));
        }
        everybody.retain(|c| match c {
            Contender::Fused => true,
            Contender::Faer if args.only.is_empty() => false,
            _ => args.only.is_empty() || args.only.contains(&c.name()),
        });
        if args.race.is_none() {
            for contender in &everybody {
                if let Some(error) = contender.first_error()? {
                    bail!("{}: wrong on this machine: {error}", contender.name());
                }
            }
        }
        for part in wanted {
            let mut rows = if args.race.is_some() { Vec::new() } else { record::read(&out)? };
            rows.retain(|row| row.part != part.name());
            for (index, race) in races(part, &threads, &everybody).into_iter().enumerate() {
                if args.race.is_none_or(|wanted| wanted == index) {
                    rows.extend(match args.race {
                        Some(_) => hold(part, &race, args.reps, &commit)?,
                        None => {
                            apart::hold(&Apart { part, index, race: &race, threads: &threads, args: &args }, &commit)?
                        }
                    });
                }
                if args.race.is_none() {
                    rows.sort_by_key(|row| all.iter().position(|part| part.name() == row.part));
                    record::write(&out, &rows)?;
                }
            }
            if args.race.is_some() {
                print!("{}", String::from_utf8(record::bytes(&rows)?)?);
                return Ok(());
            }
        }
        sae_harness::atomic::write(&out.join("machine.txt"), machine::describe(&date, &commit, &builds).as_bytes())?;
    }
    let rows = record::read(&out)?;
    ensure!(!rows.is_empty(), "{}: no results, expected some to write tables of", out.join(record::FILE).display());
    let plots = plots::write(&out, &rows)?;
    sae_harness::atomic::write(&out.join("README.md"), tables::write(&out, &rows, &plots)?.as_bytes())?;
    println!("{}", out.display());
    Ok(())
}

/// Measures a race: one row a contender.
fn hold(part: Part, race: &Race, reps: usize, commit: &str) -> Result<Vec<Row>> {
    let Race { op, sizes, threads, contenders } = race;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(*threads).build()?;
    let bytes = op.bytes(*sizes).saturating_mul(contenders.len() as u128);
    let what = format!("{} at this size, for {} contenders", op.name(), contenders.len());
    sae_harness::model::require_memory("sae-compare", &what, bytes)?;
    let rows: Vec<Row> = pool.install(|| {
        let isa = Isa::detect()?;
        let mut works =
            contenders.iter().map(|contender| contender.build(*op, *sizes)).collect::<Result<Vec<Work>>>()?;
        let isas: Vec<Isa> = works.iter().map(Work::isa).collect();
        let mut runs: Vec<_> = works.iter_mut().map(|work| || work.run()).collect();
        let mut calls: Vec<Call<'_>> = runs.iter_mut().map(|run| run as Call<'_>).collect();
        let timings = interleaved(isa, reps, &mut calls)?;
        let rows = contenders.iter().zip(isas).zip(&timings);
        anyhow::Ok(
            rows.map(|((who, isa), timing)| Row::new(part, race, who.name(), isa.name(), reps, timing, commit))
                .collect(),
        )
    })?;
    for row in &rows {
        eprintln!(
            "{:7} {:24} {:5} x {:5} x {:5}, {} threads: {:9.4} ms {:7.2} GFLOP/s {:5.1}% of peak",
            row.op,
            row.contender,
            row.batch,
            row.d_in,
            row.d_hid,
            row.threads,
            row.median_ms,
            row.gflops,
            100.0 * row.fraction_of_peak
        );
    }
    Ok(rows)
}
