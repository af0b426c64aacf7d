//! `README.md` of a folder of results.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::contender::FUSED;
use crate::plots::Plot;
use crate::record::{DISTURBED, Row};
use crate::targets::{self, best_peer, field, find};

/// All of it, from the rows and from what else the folder holds.
pub(crate) fn write(folder: &Path, rows: &[Row], plots: &[Plot]) -> Result<String> {
    let mut text = String::from(
        "# Results\n\n\
         Written by `make results`; every figure is in [`results.csv`](results.csv), the machine in \
         [`machine.txt`](machine.txt).\n\n\
         Single precision, random data. All contenders of a line ran in one process, in turn, each after its own untimed \
         call, every sample at least 20 ms; a figure is the median of the repetitions. The peak is a loop of fused \
         multiply-adds in registers on the same threads in the same rounds. `fused` is this library. The others are \
         products of other libraries on row-major matrices, followed in `encode` and `step` by this library's \
         vectorised epilogues as passes of their own; `plain loops` are what one would write without them. A step counts \
         10·n·d_in·d_hid operations: sigmoids, squared error, KL penalty, Adam. A contender that \
         took its process down at a shape is named there as crashed.\n",
    );
    for plot in plots {
        write!(text, "\n![{}]({})\n", plot.title, plot.file)?;
    }
    disturbed(&mut text, rows)?;
    target_table(&mut text, rows)?;
    for (part, title) in [("gemm", "Products: m, k, n"), ("encode", "Encode"), ("step", "Training step")] {
        race_table(&mut text, rows, part, title)?;
    }
    odd_table(&mut text, rows)?;
    race_table(&mut text, rows, "growth", "Training step, by batch, width and threads")?;
    if let Ok(table) = fs::read_to_string(folder.join("compare.md")) {
        write!(text, "\n{}", table.trim_start())?;
    }
    Ok(text)
}

fn disturbed(text: &mut String, rows: &[Row]) -> Result<()> {
    let bad = rows.iter().filter(|row| row.is_disturbed()).count();
    if bad > 0 {
        writeln!(
            text,
            "\nOther work took the processor in the races of {bad} of {} rows: the median of the peak was under {DISTURBED} of its \
             best, or below what a product reached. `peak_gflops` and `best_peak_gflops` in the CSV say which.",
            rows.len()
        )?;
    }
    Ok(())
}

fn target_table(text: &mut String, rows: &[Row]) -> Result<()> {
    text.push_str(
        "\n## Targets\n\n| what | batch, d_in, d_hid | threads | at least | measured | |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for target in targets::all(rows) {
        let (measured, verdict) = match target.measured {
            Some(value) => (format!("{value:.3}"), if value >= target.at_least { "reached" } else { "**missed**" }),
            None => ("–".to_owned(), "not measured"),
        };
        let (what, shape, threads) = (&target.what, shown(target.shape), target.threads);
        writeln!(
            text,
            "| {what} | {shape} | {threads} | {:.2} {} | {measured} | {verdict} |",
            target.at_least, target.unit
        )?;
    }
    Ok(())
}

/// A line a shape and number of threads, a column a contender, in GFLOP/s and as a fraction of the peak.
fn race_table(text: &mut String, rows: &[Row], part: &str, title: &str) -> Result<()> {
    let rows: Vec<Row> = rows.iter().filter(|row| row.part == part).cloned().collect();
    let Some(first) = rows.first() else { return Ok(()) };
    let mut names: Vec<&str> = Vec::new();
    let mut races: Vec<([usize; 3], usize)> = Vec::new();
    for row in &rows {
        if !names.contains(&row.contender.as_str()) {
            names.push(&row.contender);
        }
        if !races.contains(&(row.shape(), row.threads)) {
            races.push((row.shape(), row.threads));
        }
    }
    writeln!(
        text,
        "\n## {title}\n\nGFLOP/s, and the fraction of the peak; the last column is the time of the best other product over \
         that of `fused`. {} repetitions.\n",
        first.reps
    )?;
    writeln!(text, "| shape | threads | peak | {} | ahead by |", names.join(" | "))?;
    writeln!(text, "|{}", " --- |".repeat(names.len() + 4))?;
    for (shape, threads) in races {
        let field = field(&rows, part, shape, threads);
        let fastest = field.iter().map(|row| row.median_ms).fold(f64::INFINITY, f64::min);
        let note = if field.iter().any(|row| row.is_disturbed()) { " (disturbed)" } else { "" };
        write!(text, "| {}{note} | {threads} | {:.0} |", shown(shape), field[0].peak_gflops)?;
        for name in &names {
            match find(&field, name) {
                Some(row) if !row.is_measured() => text.push_str(" crashed |"),
                Some(row) if row.median_ms <= fastest => {
                    write!(text, " **{:.1} ({:.3})** |", row.gflops, row.fraction_of_peak)?
                }
                Some(row) => write!(text, " {:.1} ({:.3}) |", row.gflops, row.fraction_of_peak)?,
                None => text.push_str(" – |"),
            }
        }
        match find(&field, FUSED).zip(best_peer(&field)) {
            Some((ours, peer)) => writeln!(text, " {:.2}× |", peer.median_ms / ours.median_ms)?,
            None => text.push_str(" – |\n"),
        }
    }
    Ok(())
}

fn odd_table(text: &mut String, rows: &[Row]) -> Result<()> {
    let mut odd: Vec<&Row> = rows.iter().filter(|row| row.part == "odd").collect();
    if odd.is_empty() {
        return Ok(());
    }
    odd.sort_by(|a, b| a.fraction_of_peak.total_cmp(&b.fraction_of_peak));
    let under = odd.iter().filter(|row| row.fraction_of_peak < 0.75).count();
    writeln!(
        text,
        "\n## Odd shapes\n\nA training step of `fused` at {} shapes of primes, powers of two, their neighbours and skinny ones, \
         each dimension at least 64, at least 100 MFLOP a step. {under} are under 0.75 of the peak; the median is {:.3}. The \
         worst ten:\n\n| batch, d_in, d_hid | threads | GFLOP/s | of peak |\n| --- | --- | --- | --- |",
        odd.len(),
        odd[odd.len() / 2].fraction_of_peak,
    )?;
    for row in odd.iter().take(10) {
        writeln!(
            text,
            "| {} | {} | {:.1} | {:.3} |",
            shown(row.shape()),
            row.threads,
            row.gflops,
            row.fraction_of_peak
        )?;
    }
    Ok(())
}

fn shown([n, d, h]: [usize; 3]) -> String {
    format!("{n}, {d}, {h}")
}
