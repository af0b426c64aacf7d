//! `README.md` of a folder of results.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;
use sae_harness::measure::{Sizes, step_roof};

use crate::contender::FUSED;
use crate::parts::{BATCHED_MODELS, Part, THREADED};
use crate::phases::{self, PhaseRow};
use crate::plots::Plot;
use crate::record::{DISTURBED, Row, shown};
use crate::targets::{self, ODD_LEAST, best_peer, field, find};

/// What a person has to say about a folder, which is taken over as it is.
const NOTES: &str = "notes.md";

/// All of it, from the rows and from what else the folder holds.
pub(crate) fn write(folder: &Path, rows: &[Row], phases: &[PhaseRow], plots: &[Plot]) -> Result<String> {
    let mut text = String::from(
        "# Results\n\n\
         Written by `make results` and `make compare`; every figure is in [`results.csv`](results.csv)",
    );
    if !phases.is_empty() {
        write!(text, " and [`{0}`]({0})", phases::FILE)?;
    }
    write!(
        text,
        ", the machine in [`machine.txt`](machine.txt).\n\n\
         Single precision, random data. All contenders of a line ran on one machine in turn, each after its own untimed \
         call, every sample at least 20 ms; a figure is the median of the repetitions. Products, encoders and steps are measured \
         in {} passes over all their shapes, odd shapes in {}, and the middle one counts. The peak is a loop of fused \
         multiply-adds in registers on the same threads in the same rounds. `fused` is this library. The others are \
         products of other libraries on row-major matrices, in this library's process, followed in `encode` and `step` by its \
         vectorised epilogues as passes of their own; `plain loops` are what one would write without them. A step counts \
         10·n·d_in·d_hid operations: sigmoids, squared error, KL penalty, Adam, weight decay. A contender that \
         took its process down at a shape, or computed something else, is named there as failed.\n",
        Part::Step.passes(),
        Part::Odd.passes(),
    )?;
    for plot in plots {
        write!(text, "\n![{}]({})\n", plot.title, plot.file)?;
    }
    disturbed(&mut text, rows)?;
    distance(&mut text, rows)?;
    targets::table(&mut text, rows)?;
    for (part, title) in [("gemm", "Products: m, k, n"), ("encode", "Encode"), ("step", "Training step")] {
        race_table(&mut text, rows, part, title, "")?;
    }
    race_table(
        &mut text,
        rows,
        "batched",
        &format!("Training step of {BATCHED_MODELS} models of one shape"),
        "`fused` takes them in one batched step, all others one model after the other. ",
    )?;
    race_table(&mut text, rows, "frameworks", "Training step beside PyTorch and JAX", &frameworks_note(rows))?;
    phase_table(&mut text, rows, phases)?;
    odd_tables(&mut text, rows, phases)?;
    growth_tables(&mut text, rows, phases)?;
    if let Ok(notes) = fs::read_to_string(folder.join(NOTES)) {
        write!(text, "\n{}", notes.trim_start())?;
    }
    Ok(text)
}

/// What was held to be the same in all frameworks.
fn frameworks_note(rows: &[Row]) -> String {
    let theirs = || rows.iter().filter(|row| row.part == "frameworks" && row.is_measured());
    let most = |of: fn(&Row) -> Option<f64>, same: bool| {
        theirs().filter(|row| row.is_comparable() == same).filter_map(of).fold(0.0, f64::max)
    };
    format!(
        "PyTorch and JAX each run in a process of Python that waits while others run, and time their steps themselves: no \
         call pays for a pipe. Same batch, same initial weights; the losses of the first five steps differ from ours by at \
         most {:.1e} of their value, with products of 16 bits (`bf16`, for information: another computation, with another \
         peak) by {:.1e}, and by no more than a thousandth (a hundredth) of what the steps took off the loss; more would be a \
         failure. While others ran, no process took more than {:.1} ms of processor time. PyTorch eager has the fused Adam, \
         PyTorch compiled has both its loss and its Adam compiled, JAX has the whole step in one jit. ",
        most(|row| row.loss_difference, true),
        most(|row| row.loss_difference, false),
        most(|row| row.idle_cpu_ms, true).max(most(|row| row.idle_cpu_ms, false)),
    )
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

/// How far the cores were from one another.
fn distance(text: &mut String, rows: &[Row]) -> Result<()> {
    let mut all: Vec<f64> = rows.iter().filter_map(|row| row.round_trip_ns).collect();
    all.sort_by(f64::total_cmp);
    if let (Some(least), Some(most)) = (all.first(), all.last()) {
        writeln!(
            text,
            "\nA word took {:.0} ns from one core to another and back at the median row of several threads, {least:.0} to {most:.0} \
             ns in all. Where that changes, a virtual machine was moved to other cores; `round_trip_ns` in the CSV says when.",
            all[all.len() / 2]
        )?;
    }
    Ok(())
}

/// A line a shape and number of threads, a column a contender, in GFLOP/s and as a fraction of the peak.
fn race_table(text: &mut String, rows: &[Row], part: &str, title: &str, note: &str) -> Result<()> {
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
        "\n## {title}\n\n{note}GFLOP/s, and the fraction of the peak; the last column is the time of the best other product over \
         that of `fused`. {} repetitions.\n",
        first.reps
    )?;
    writeln!(text, "| shape | threads | peak | {} | ahead by |", names.join(" | "))?;
    writeln!(text, "|{}", " --- |".repeat(names.len() + 4))?;
    for (shape, threads) in races {
        let field = field(&rows, part, shape, threads);
        let fastest =
            field.iter().filter(|row| row.is_comparable()).map(|row| row.median_ms).fold(f64::INFINITY, f64::min);
        let note = if field.iter().any(|row| row.is_disturbed()) { " (disturbed)" } else { "" };
        write!(text, "| {}{note} | {threads} | {:.0} |", shown(shape), field[0].peak_gflops)?;
        for name in &names {
            match find(&field, name) {
                Some(row) if !row.is_measured() => text.push_str(" failed |"),
                Some(row) if row.median_ms <= fastest && row.is_comparable() => {
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

/// Each step that was taken apart, a line a phase, and each other operation of the targets, which is one phase.
fn phase_table(text: &mut String, rows: &[Row], phases: &[PhaseRow]) -> Result<()> {
    let Some(first) = phases.first() else { return Ok(()) };
    writeln!(
        text,
        "\n## Where the time goes\n\n\
         The bytes of a phase are its operands, each moved once; its roof is the lower of the peak and of its operations a byte \
         times the bandwidth of a = b + s·c over arrays beyond the caches in the same run (here {:.1} GB/s). A phase whose \
         operands stay in the caches can pass the memory's roof. `sae bench step --phases` measures any other shape.\n\n\
         | step | threads | phase | ms | of the step | GFLOP/s | of peak | MB | operations a byte | roof | bound by |\n\
         |{}",
        first.bandwidth_gb_s,
        " --- |".repeat(11)
    )?;
    let number =
        |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |value| format!("{value:.digits$}"));
    let mut last = None;
    for row in phases {
        let (who, shape, threads) = row.key();
        let name = if last == Some(row.key()) {
            String::new()
        } else {
            shown(shape) + if who == FUSED { "" } else { " (avx2)" }
        };
        last = Some(row.key());
        let bound = row.roof_gflops.map_or("–", |roof| if roof < row.peak_gflops { "memory" } else { "arithmetic" });
        writeln!(
            text,
            "| {name} | {threads} | {} | {} | {} | {} | {} | {} | {} | {} | {bound} |",
            row.phase,
            row.median_ms.map_or("<0.001".to_owned(), |ms| format!("{ms:.3}")),
            row.median_ms.map_or("–".to_owned(), |ms| format!("{:.1}%", 100.0 * ms / row.step_ms)),
            number(row.gflops, 1),
            number(row.gflops.map(|gflops| gflops / row.peak_gflops), 3),
            number(row.bytes.map(|bytes| bytes / 1e6), 2),
            number(row.intensity, 1),
            number(row.roof_gflops, 0),
        )?;
    }
    let single = |part: &'static str| rows.iter().filter(move |row| row.part == part && row.contender == FUSED);
    writeln!(
        text,
        "\nThe other operations of the targets are one phase each:\n\n\
         | what | shape | threads | ms | GFLOP/s | of peak | MB | operations a byte | roof | bound by |\n|{}",
        " --- |".repeat(10)
    )?;
    for row in single("encode").chain(single("gemm")) {
        let Some(bandwidth) = bandwidth(phases, row.threads) else { continue };
        let [n, d, h] = row.shape().map(|v| v as f64);
        let vectors = if row.op == "encode" { 2.0 * h } else { 0.0 };
        let bytes = 4.0 * (n * d + d * h + n * h + vectors);
        let intensity = 2.0 * n * d * h / bytes;
        let memory = intensity * bandwidth;
        let bound = if memory < row.peak_gflops { "memory" } else { "arithmetic" };
        writeln!(
            text,
            "| {} | {} | {} | {:.3} | {:.1} | {:.3} | {:.2} | {intensity:.1} | {:.0} | {bound} |",
            row.op,
            shown(row.shape()),
            row.threads,
            row.median_ms,
            row.gflops,
            row.fraction_of_peak,
            bytes / 1e6,
            memory.min(row.peak_gflops),
        )?;
    }
    Ok(())
}

/// The worst of them, each with its roof where the bandwidth on as many threads was measured.
fn odd_tables(text: &mut String, rows: &[Row], phases: &[PhaseRow]) -> Result<()> {
    let mut counts: Vec<usize> = rows.iter().filter(|row| row.part == "odd").map(|row| row.threads).collect();
    counts.sort_unstable();
    counts.dedup();
    if counts.is_empty() {
        return Ok(());
    }
    text.push_str(
        "\n## Odd shapes\n\nA training step of `fused` at shapes of primes, powers of two, their neighbours and skinny ones, each \
         dimension at least 64, at least 100 MFLOP a step.",
    );
    if !phases.is_empty() {
        text.push_str(
            " The roof is that of a step whose every phase takes as long as the slower of its operations at the peak and of its \
             bytes at the bandwidth above; what stays in the caches from phase to phase can pass it.",
        );
    }
    text.push('\n');
    for threads in counts {
        let mut odd: Vec<&Row> =
            rows.iter().filter(|row| row.part == "odd" && row.threads == threads && row.is_measured()).collect();
        odd.sort_by(|a, b| a.fraction_of_peak.total_cmp(&b.fraction_of_peak));
        let bandwidth = bandwidth(phases, threads);
        let roof = |row: &Row| {
            let [batch, d_in, d_hid] = row.shape();
            let sizes = Sizes { batch, d_in, d_hid, models: 1 };
            bandwidth.map(|bandwidth| step_roof(sizes, row.peak_gflops, bandwidth) / row.peak_gflops)
        };
        let under = odd.iter().filter(|row| row.fraction_of_peak < ODD_LEAST).count();
        let Some(middle) = odd.get(odd.len() / 2) else { continue };
        writeln!(
            text,
            "\nThreads: {threads}. Of {} shapes, {under} are under {ODD_LEAST} of the peak; the median is {:.3}. The worst ten:\n\n\
             | batch, d_in, d_hid | GFLOP/s | of peak | roof, of peak |\n| --- | --- | --- | --- |",
            odd.len(),
            middle.fraction_of_peak,
        )?;
        for row in odd.iter().take(10) {
            let note = if row.is_disturbed() { " (disturbed)" } else { "" };
            let roof = roof(row).map_or("–".to_owned(), |roof| format!("{roof:.3}"));
            let shape = shown(row.shape());
            writeln!(text, "| {shape}{note} | {:.1} | {:.3} | {roof} |", row.gflops, row.fraction_of_peak)?;
        }
    }
    Ok(())
}

/// GB/s that memory gives so many threads, where it was measured.
fn bandwidth(phases: &[PhaseRow], threads: usize) -> Option<f64> {
    phases.iter().find(|row| row.threads == threads).map(|row| row.bandwidth_gb_s)
}

/// By batch and width, and by threads; and what the shape of the curves is to be expected from.
fn growth_tables(text: &mut String, rows: &[Row], phases: &[PhaseRow]) -> Result<()> {
    let threaded = |row: &Row| THREADED.contains(&row.shape());
    let by_size: Vec<Row> = rows.iter().filter(|row| row.part == "growth" && !threaded(row)).cloned().collect();
    let note = "`cold caches`: arrays larger than the last-level cache are streamed through before every call. ";
    race_table(text, &by_size, "growth", "How the cost of a training step grows", note)?;
    let by_threads = || rows.iter().filter(|row| row.part == "growth" && threaded(row));
    if by_threads().next().is_some() {
        writeln!(
            text,
            "\n| batch, d_in, d_hid | threads | ms | GFLOP/s | of all cores' peak |\n| --- | --- | --- | --- | --- |"
        )?;
    }
    for shape in THREADED {
        let mut counts: Vec<&Row> = by_threads().filter(|row| row.shape() == shape).collect();
        counts.sort_by_key(|row| row.threads);
        for row in counts {
            let (shape, threads) = (shown(shape), row.threads);
            writeln!(
                text,
                "| {shape} | {threads} | {:.3} | {:.1} | {:.3} |",
                row.median_ms, row.gflops, row.fraction_of_peak
            )?;
        }
    }
    let most = by_size.iter().map(|row| row.threads).max();
    let roofs = phases.iter().rfind(|row| Some(row.threads) == most);
    let (Some(roofs), false) = (roofs, by_size.is_empty()) else { return Ok(()) };
    // A step moves each weight, its copy and its moments this often, whatever the batch: see the bytes of the phases.
    const PASSES: f64 = 16.0;
    let (peak, bandwidth) = (roofs.peak_gflops, roofs.bandwidth_gb_s);
    let meet = peak * 4.0 * PASSES / 10.0 / bandwidth;
    writeln!(
        text,
        "\nWhat bounds the ends of these curves. Whatever the batch, a step with Adam reads and writes the two weight matrices, the \
         transposed copy and four moments: {PASSES} passes over d_in·d_hid numbers, {:.0} bytes a weight for 10·n operations. Where they \
         do not fit in the caches, {bandwidth:.1} GB/s of memory allow n·{:.2} GFLOP/s, which meets the peak of {peak:.0} at a batch of \
         {meet:.0}: to the left of it the curve by batch is a straight line that falls with n, not a cliff, and the curve by width \
         bends down where the weights (28 bytes each) outgrow the last-level cache. With cold caches small widths pay for reading \
         everything once. Short steps pay for starting and joining threads, some microseconds at each of the five products, \
         which many threads feel first.",
        4.0 * PASSES,
        10.0 * bandwidth / (4.0 * PASSES),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::Contender;
    use crate::frameworks::Framework;
    use crate::parts::races;
    use crate::plots;
    use sae_harness::measure::{Phase, Timing};

    /// Everybody at 90 GFLOP/s of 100, but for those who fail.
    fn rows(part: Part, failed: &str) -> Vec<Row> {
        let everybody = Contender::all(&[], Some(Path::new("python3")));
        let mut rows = Vec::new();
        for race in races(part, &[1, 2], &everybody) {
            for contender in &race.contenders {
                let median = race.op.flops(race.sizes) / 90e9;
                let timing =
                    Timing { median, min: median, calls: 1, flops: None, peak_gflops: 100.0, best_peak_gflops: 100.0 };
                rows.push(match contender.name() == failed {
                    true => Row::failed(part, &race, contender, 7, "commit"),
                    false => Row::new(part, &race, contender, "avx512", 7, &timing, "commit"),
                });
            }
        }
        rows
    }

    fn phase_rows() -> Vec<PhaseRow> {
        let phase = |threads: usize, phase: Phase| PhaseRow {
            contender: FUSED.to_owned(),
            batch: 256,
            d_in: 784,
            d_hid: 196,
            threads,
            phase: phase.name().to_owned(),
            step_ms: 8.0,
            median_ms: Some(1.0),
            gflops: Some(50.0),
            bytes: Some(1e6),
            intensity: Some(16.0),
            roof_gflops: Some(100.0),
            peak_gflops: 100.0,
            bandwidth_gb_s: 20.0,
        };
        [1, 2].into_iter().flat_map(|threads| Phase::ALL.map(|p| phase(threads, p))).collect()
    }

    fn page(rows: &[Row], phases: &[PhaseRow]) -> (String, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let plots = plots::write(folder.path(), rows, phases).unwrap();
        for plot in &plots {
            assert!(fs::read_to_string(folder.path().join(&plot.file)).unwrap().ends_with("</svg>\n"), "{}", plot.file);
        }
        let text = write(folder.path(), rows, phases, &plots).unwrap();
        (text, plots.into_iter().map(|plot| plot.file).collect())
    }

    #[test]
    fn a_page_of_all_parts_leaves_no_target_unmeasured() {
        let parts = [Part::Gemm, Part::Encode, Part::Step, Part::Batched, Part::Odd, Part::Growth, Part::Frameworks];
        let mut rows: Vec<Row> = parts.into_iter().flat_map(|part| rows(part, "")).collect();
        // Which is not built everywhere.
        let theirs = rows.iter().find(|row| row.part == "batched" && row.threads == 2).unwrap().clone();
        rows.push(Row { contender: "openblas".to_owned(), ..theirs });
        let (text, plots) = page(&rows, &phase_rows());
        assert!(!text.contains("not measured"), "{text}");
        for file in [
            "step-2.svg",
            "speedup-1.svg",
            "speedup-frameworks-2.svg",
            "phases-2.svg",
            "roofline-1.svg",
            "growth-batch.svg",
            "growth-width.svg",
            "growth-threads.svg",
            "odd.svg",
        ] {
            assert!(plots.iter().any(|plot| plot == file), "{file} in {plots:?}");
        }
    }

    #[test]
    fn a_contender_that_failed_stays_in_its_table() {
        let (text, _) = page(&rows(Part::Step, "gemm"), &[]);
        assert!(text.contains("| failed |"), "{text}");
    }

    #[test]
    fn what_the_passes_reached_and_how_far_the_cores_were_is_said_where_it_is_known() {
        let mut rows = rows(Part::Encode, "");
        let (text, _) = page(&rows, &[]);
        assert!(text.contains("| 0.900 | **missed** |") && !text.contains("A word took"), "{text}");
        for (i, row) in rows.iter_mut().enumerate() {
            (row.least_fraction, row.most_fraction) = (Some(0.85), Some(0.91));
            row.round_trip_ns = (row.threads > 1).then_some(if i % 2 == 0 { 66.0 } else { 320.0 });
        }
        let (text, _) = page(&rows, &[]);
        assert!(
            text.contains("| 0.900 | 0.850–0.910 | **missed** |") && text.contains("66 to 320 ns in all"),
            "{text}"
        );
    }

    #[test]
    fn a_lead_over_others_says_what_it_asks_of_the_peak() {
        let mut rows = rows(Part::Step, "");
        let (text, _) = page(&rows, &[]);
        assert!(text.contains("| 0.50 of peak | – | 0.900 |"), "{text}");
        // Everybody has 0.9 of the peak.
        assert!(text.contains("| 1.30 times | 1.170 | 1.000 |"), "{text}");
        for row in rows.iter_mut().filter(|row| row.contender != FUSED) {
            (row.median_ms, row.fraction_of_peak) = (row.median_ms * 2.0, row.fraction_of_peak / 2.0);
        }
        let (text, _) = page(&rows, &[]);
        assert!(text.contains("| 1.30 times | 0.585 | 2.000 |"), "{text}");
    }

    #[test]
    fn numbers_of_16_bits_beat_nobody() {
        let mut rows = rows(Part::Frameworks, "");
        for row in rows.iter_mut().filter(|row| row.contender == Framework::Bf16.name()) {
            (row.median_ms, row.gflops, row.fraction_of_peak) = (row.median_ms / 3.0, 270.0, 2.7);
        }
        assert!(!rows.iter().any(Row::is_disturbed));
        let (text, _) = page(&rows, &[]);
        assert!(text.contains("| 270.0 (2.700) | 1.00× |"), "{text}");
    }
}
