//! `sae-compare`: the kernels beside other libraries in one process, A B A B, and the record of it.
//!
//! Each round of a race runs the peak loop on the same threads, and then every contender in turn, on random operands of
//! its own. A row is the median of the rounds, beside the median of the peak in the same rounds. Some parts
//! hold all their races several times, and a row is the middle one. `make results` measures all parts; README.md in the folder
//! of the results says what they show.

mod apart;
mod cblas;
mod chart;
mod cold;
mod contender;
mod frameworks;
mod machine;
mod parts;
mod phases;
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
use clap::{Parser, ValueEnum};
use sae_harness::measure::{Repeat, interleaved, round_trip_ns};
use sae_kernels::Isa;

use apart::Apart;
use contender::{Contender, Work};
use frameworks::Start;
use parts::{Part, Race, races};
use record::Row;

/// Measures the kernels beside other libraries and records the results.
#[derive(Debug, Parser)]
#[command(name = "sae-compare", version)]
struct Args {
    /// What to measure; where none is named, all of it, frameworks with --python only. The parts add up in the folder.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Only races of this shape, BATCH,D_IN,D_HID (a product's M,K,N); more than one can be named. What the folder has of
    /// other shapes stays.
    #[arg(long, value_name = "N,D,H", value_parser = parts::shape)]
    shape: Vec<[usize; 3]>,
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
    /// A Python with PyTorch and JAX, for the part `frameworks`.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Contenders to run beside the fused kernels, by name, instead of all whose products are right: each is checked first.
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
    ensure!(args.race.is_none() || args.part.len() == 1, "--race: expected one --part that it is of");
    let out = args.out.clone().unwrap_or_else(|| Path::new("results").join(machine::slug()).join(machine::date()));
    if args.race.is_none() {
        fs::create_dir_all(&out).with_context(|| format!("{}", out.display()))?;
    }

    if !args.render {
        let commit = machine::commit();
        let wanted = match (&args.part[..], &args.python) {
            ([], None) => Part::value_variants().iter().copied().filter(|part| *part != Part::Frameworks).collect(),
            ([], Some(_)) => Part::value_variants().to_vec(),
            (parts, python) => {
                let lacks = parts.contains(&Part::Frameworks) && python.is_none();
                ensure!(!lacks, "--part frameworks: expected --python, as `make compare` gives it");
                parts.to_vec()
            }
        };
        let everybody = contenders(&args)?;
        parts::require_shapes(&args.shape, &wanted, &threads, &everybody)?;
        let shapes = |shape: [usize; 3]| args.shape.is_empty() || args.shape.contains(&shape);
        for part in wanted {
            if part == Part::Phases {
                phases::measure(&out, &threads, args.reps, shapes)?;
                continue;
            }
            let mut rows = if args.race.is_some() { Vec::new() } else { record::read(&out)? };
            rows.retain(|row| row.part != part.name() || !shapes(row.shape()));
            let races = races(part, &threads, &everybody);
            let named: Vec<&str> = Part::value_variants().iter().map(|part| part.name()).collect();
            // Parts in their order, and the races of this one.
            let place = |row: &Row| {
                let race = if row.part == part.name() { races.iter().position(|race| row.is_of(race)) } else { None };
                (named.iter().position(|name| *name == row.part), race)
            };
            let mut passes: Vec<Vec<Vec<Row>>> = vec![Vec::new(); races.len()];
            let turns = if args.race.is_some() { 1 } else { part.passes() };
            for (index, race) in (0..turns).flat_map(|_| races.iter().enumerate()) {
                if args.race.is_none_or(|wanted| wanted == index) && shapes(race.shape()) {
                    if let Err(error) = race.require_memory() {
                        eprintln!("left out: {error}");
                        continue;
                    }
                    passes[index].push(match args.race {
                        Some(_) => hold(part, race, args.reps, &commit)?,
                        None => apart::hold(&Apart { part, index, race, threads: &threads, args: &args }, &commit)?,
                    });
                    rows.retain(|row| row.part != part.name() || !row.is_of(race));
                    rows.extend(record::middle(&passes[index]));
                }
                if args.race.is_none() {
                    rows.sort_by_key(place);
                    record::write(&out, &rows)?;
                }
            }
            if args.race.is_some() {
                print!("{}", String::from_utf8(record::bytes(&rows)?)?);
                return Ok(());
            }
        }
        sae_harness::atomic::write(&out.join(machine::FILE), machine::describe(&commit, &args, &out)?.as_bytes())?;
    }
    let (rows, phases) = (record::read(&out)?, phases::read(&out)?);
    let measured = !rows.is_empty() || !phases.is_empty();
    ensure!(measured, "{}: no results, expected some to write tables of", out.join(record::FILE).display());
    let plots = plots::write(&out, &rows, &phases)?;
    sae_harness::atomic::write(&out.join("README.md"), tables::write(&out, &rows, &phases, &plots)?.as_bytes())?;
    println!("{}", out.display());
    Ok(())
}

/// Who takes part, checked. In the process of a race, who was checked already.
fn contenders(args: &Args) -> Result<Vec<Contender>> {
    let mut everybody = Contender::all(&args.cblas, args.python.as_deref());
    let names: Vec<String> = everybody.iter().map(Contender::name).collect();
    for name in &args.only {
        ensure!(names.contains(name), "--only: `{name}`, expected names among: {}", names.join(", "));
    }
    everybody.retain(|c| *c == Contender::Fused || args.only.is_empty() || args.only.contains(&c.name()));
    if args.race.is_some() {
        return Ok(everybody);
    }
    let mut right = Vec::new();
    for contender in everybody {
        let name = contender.name();
        match contender.first_error()? {
            None => right.push(contender),
            Some(error) if args.only.is_empty() => eprintln!("{name}: left out, wrong on this machine: {error}"),
            Some(error) => bail!("{name}: wrong on this machine: {error}"),
        }
    }
    Ok(right)
}

/// Measures a race: one row a contender.
fn hold(part: Part, race: &Race, reps: usize, commit: &str) -> Result<Vec<Row>> {
    let Race { op, sizes, threads, contenders } = race;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(*threads).build()?;
    let mut rows: Vec<Row> = Vec::new();
    let apart = if *threads > 1 { round_trip_ns() } else { None };
    pool.install(|| {
        let isa = Isa::detect()?;
        let frameworks = contenders.iter().any(|c| matches!(c, Contender::Framework(..)));
        let start = if frameworks { Some(Start::new(*sizes)?) } else { None };
        let mut works = Vec::new();
        for contender in contenders {
            match contender.build(*op, *sizes, start.as_ref()) {
                Ok(work) => works.push((contender, work)),
                Err(error) if matches!(contender, Contender::Framework(..)) => {
                    eprintln!("{error:#}");
                    rows.push(Row::failed(part, race, contender, reps, commit));
                }
                Err(error) => return Err(error),
            }
        }
        drop(start);
        let mut entrants: Vec<&mut dyn Repeat> = works.iter_mut().map(|(_, work)| work as &mut dyn Repeat).collect();
        let timings = interleaved(isa, reps, &mut entrants)?;
        for ((contender, work), timing) in works.iter().zip(&timings) {
            let mut row = Row::new(part, race, contender, work.isa(), reps, timing, commit);
            row.round_trip_ns = apart.map(record::round);
            if let Work::Worker(worker) = work {
                row.loss_difference = Some(record::round(worker.loss_difference));
                row.idle_cpu_ms = Some(record::round(1e3 * worker.idle_cpu));
            }
            rows.push(row);
        }
        anyhow::Ok(())
    })?;
    rows.sort_by_key(|row| contenders.iter().position(|contender| contender.name() == row.contender));
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
