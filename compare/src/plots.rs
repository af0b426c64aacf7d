//! The plots of a folder of results.

use std::path::Path;

use anyhow::Result;

use crate::chart::{Scale, Series, bars, curves, layers, roofline};
use crate::contender::{FUSED, FUSED_COLD};
use crate::frameworks::Framework;
use crate::parts::{GROWN, THREADED};
use crate::phases::PhaseRow;
use crate::record::Row;
use crate::targets::{ODD_LEAST, field, find};

/// A plot that was written.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) file: String,
}

const PEAK: Scale = Scale {
    label: "fraction of peak",
    top: 1.0,
    tick: 0.2,
    mark: 1.0,
    mark_label: "multiply-adds alone, same threads, same run",
};

/// Writes every plot that the rows have numbers for.
///
/// # Errors
/// Where the file system refuses.
pub(crate) fn write(folder: &Path, rows: &[Row], phases: &[PhaseRow]) -> Result<Vec<Plot>> {
    let mut plots = Vec::new();
    let mut save = |file: String, title: String, svg: String| -> Result<()> {
        sae_harness::atomic::write(&folder.join(&file), svg.as_bytes())?;
        plots.push(Plot { title, file });
        Ok(())
    };
    let measured = [
        ("step", "Training step"),
        ("encode", "Encode"),
        ("gemm", "Product of row-major matrices"),
        ("frameworks", "Training step beside PyTorch and JAX"),
        ("batched", "Training step of 16 models"),
    ];
    for (part, what) in measured {
        // Numbers of 16 bits have another peak.
        let rows: Vec<Row> = rows.iter().filter(|row| row.part == part && row.is_comparable()).cloned().collect();
        for threads in threads_of(&rows, part) {
            let Some((groups, series)) = by_shape(&rows, part, threads, |row, _| row.fraction_of_peak) else {
                continue;
            };
            let title = format!("{what}, {}", plural(threads));
            save(format!("{part}-{threads}.svg"), title.clone(), bars(&title, PEAK, &groups, &series))?;
        }
    }
    for (part, file, others) in
        [("step", "speedup", "each other"), ("frameworks", "speedup-frameworks", "PyTorch and JAX")]
    {
        for threads in threads_of(rows, part) {
            let ratio = |row: &Row, ours: &Row| row.median_ms / ours.median_ms;
            let Some((groups, mut series)) = by_shape(rows, part, threads, ratio) else { continue };
            series.remove(0);
            series.retain(|s| s.name != Framework::Bf16.name());
            let most = series
                .iter()
                .flat_map(|s| s.values.iter().flatten())
                .copied()
                .filter(|v| v.is_finite())
                .fold(1.0, f64::max);
            let scale = Scale {
                label: "times as fast as it",
                top: most.ceil(),
                tick: if most > 4.0 { 1.0 } else { 0.5 },
                mark: 1.0,
                mark_label: "",
            };
            let title = format!("Training step: the fused kernels' speed over {others}, {}", plural(threads));
            save(format!("{file}-{threads}.svg"), title.clone(), bars(&title, scale, &groups, &series))?;
        }
    }
    where_time_goes(phases, &mut save)?;
    growth(rows, &mut save)?;
    odd(rows, &mut save)?;
    Ok(plots)
}

fn plural(threads: usize) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}

fn threads_of(rows: &[Row], part: &str) -> Vec<usize> {
    let mut threads: Vec<usize> = rows.iter().filter(|row| row.part == part).map(|row| row.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    threads.reverse();
    threads
}

type Groups = (Vec<String>, Vec<Series<Option<f64>>>);

/// A group a shape and a series a contender, ours first; `value` has the contender's row and ours.
fn by_shape(rows: &[Row], part: &str, threads: usize, value: impl Fn(&Row, &Row) -> f64) -> Option<Groups> {
    let mine = |row: &&Row| row.part == part && row.threads == threads;
    let (mut shapes, mut names) = (Vec::new(), vec![FUSED.to_owned()]);
    for row in rows.iter().filter(mine) {
        if !shapes.contains(&row.shape()) {
            shapes.push(row.shape());
        }
        if !names.contains(&row.contender) {
            names.push(row.contender.clone());
        }
    }
    if shapes.is_empty() {
        return None;
    }
    let at = |name: &str, shape: [usize; 3]| {
        let field = field(rows, part, shape, threads);
        find(&field, name).zip(find(&field, FUSED)).map(|(row, ours)| value(row, ours))
    };
    let series = names
        .iter()
        .map(|name| Series { name: name.clone(), values: shapes.iter().map(|&shape| at(name, shape)).collect() })
        .collect();
    Some((shapes.iter().map(|[n, d, h]| format!("{n}, {d}, {h}")).collect(), series))
}

type Save<'a> = &'a mut dyn FnMut(String, String, String) -> Result<()>;

/// A row's place on the axis, where it belongs to the plot.
type Place = fn(&Row, usize) -> Option<usize>;

fn growth(rows: &[Row], save: Save<'_>) -> Result<()> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.part == "growth" && row.is_measured()).collect();
    let [batch, d_in, d_hid] = GROWN;
    // On as many threads as there are cores: those of every contender but ours.
    let most = rows.iter().filter(|row| row.contender == FUSED_COLD).map(|row| row.threads).max().unwrap_or(1);
    let plots: [(&str, String, &str, Place); 2] = [
        (
            "batch",
            format!("Training step by batch (d_in {d_in}, d_hid {d_hid}), {}", plural(most)),
            "batch",
            |row, most| (row.threads == most && row.d_in == GROWN[1] && row.d_hid == GROWN[2]).then_some(row.batch),
        ),
        (
            "width",
            format!("Training step by hidden width (batch {batch}, d_in {d_in}), {}", plural(most)),
            "d_hid",
            |row, most| {
                let other = row.shape() == THREADED[1];
                (row.threads == most && row.batch == GROWN[0] && row.d_in == GROWN[1] && !other).then_some(row.d_hid)
            },
        ),
    ];
    for (file, title, across, place) in plots {
        let mut series: Vec<Series<(f64, f64)>> = Vec::new();
        for row in &rows {
            if let Some(at) = place(row, most) {
                add(&mut series, &row.contender, (at as f64, row.fraction_of_peak));
            }
        }
        if !series.is_empty() {
            save(format!("growth-{file}.svg"), title.clone(), curves(&title, PEAK, across, &series))?;
        }
    }
    let mut series: Vec<Series<(f64, f64)>> = Vec::new();
    for shape in THREADED {
        for row in rows.iter().filter(|row| row.shape() == shape) {
            let [n, d, h] = shape;
            // The peak in every row of a race is that of all cores.
            add(&mut series, &format!("{FUSED} {n}, {d}, {h}"), (row.threads as f64, row.fraction_of_peak));
        }
    }
    if !series.is_empty() {
        let cores = most as f64;
        let counts: Vec<f64> = series[0].values.iter().map(|v| v.0).collect();
        let ideal = counts.iter().map(|&t| (t, (t / cores).min(1.0))).collect();
        series.push(Series { name: "all cores as good as one".to_owned(), values: ideal });
        let title = format!("Training step by threads, on {most} cores");
        let scale = Scale { label: "fraction of all cores' peak", ..PEAK };
        save("growth-threads.svg".to_owned(), title.clone(), curves(&title, scale, "threads", &series))?;
    }
    Ok(())
}

/// Adds a point to the series of that name, in the order of the axis.
fn add(series: &mut Vec<Series<(f64, f64)>>, name: &str, point: (f64, f64)) {
    let at = series.iter().position(|s| s.name == name).unwrap_or_else(|| {
        series.push(Series { name: name.to_owned(), values: Vec::new() });
        series.len() - 1
    });
    series[at].values.push(point);
    series[at].values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
}

/// The share of each phase in the step, and the phases under their roofs.
fn where_time_goes(rows: &[PhaseRow], save: Save<'_>) -> Result<()> {
    let mut counts: Vec<usize> = rows.iter().map(|row| row.threads).collect();
    counts.sort_unstable();
    counts.dedup();
    for &threads in counts.iter().rev() {
        let rows: Vec<&PhaseRow> = rows.iter().filter(|row| row.threads == threads && row.contender == FUSED).collect();
        let (mut shapes, mut phases) = (Vec::new(), Vec::new());
        for row in &rows {
            if !shapes.contains(&row.shape()) {
                shapes.push(row.shape());
            }
            if !phases.contains(&row.phase) {
                phases.push(row.phase.clone());
            }
        }
        // The products first: they have the same colours in both plots.
        phases.sort_by_key(|phase| {
            !rows.iter().any(|row| row.phase == *phase && row.intensity.is_some() && row.gflops.is_some())
        });
        let Some(first) = rows.first() else { continue };
        let of = |phase: &str, shape: [usize; 3]| rows.iter().find(|row| row.phase == phase && row.shape() == shape);
        let share = |phase: &str, shape| of(phase, shape).and_then(|row| row.median_ms.map(|ms| ms / row.step_ms));
        let series: Vec<_> = phases
            .iter()
            .map(|p| Series { name: p.clone(), values: shapes.iter().map(|&shape| share(p, shape)).collect() })
            .collect();
        let groups: Vec<String> = shapes.iter().map(|[n, d, h]| format!("{n}, {d}, {h}")).collect();
        let scale = Scale { label: "share of the step's time", top: 1.0, tick: 0.2, mark: 1.0, mark_label: "" };
        let title = format!("Where the time of a fused training step goes, {}", plural(threads));
        save(format!("phases-{threads}.svg"), title.clone(), layers(&title, scale, &groups, &series))?;

        let points: Vec<Series<(f64, f64)>> = phases
            .iter()
            .map(|p| Series {
                name: p.clone(),
                values: rows
                    .iter()
                    .filter(|row| row.phase == *p)
                    .filter_map(|row| row.intensity.zip(row.gflops))
                    .collect(),
            })
            .filter(|series| !series.values.is_empty())
            .collect();
        let title = format!(
            "Products of a fused training step, at {} shapes, under their roofs, {}",
            shapes.len(),
            plural(threads)
        );
        save(
            format!("roofline-{threads}.svg"),
            title.clone(),
            roofline(&title, first.peak_gflops, first.bandwidth_gb_s, &points),
        )?;
    }
    Ok(())
}

/// Every odd shape, from the worst.
fn odd(rows: &[Row], save: Save<'_>) -> Result<()> {
    let mut series = Vec::new();
    let mut count = 0;
    for threads in threads_of(rows, "odd") {
        let mine = rows.iter().filter(|row| row.part == "odd" && row.threads == threads && row.is_measured());
        let mut odd: Vec<f64> = mine.map(|row| row.fraction_of_peak).collect();
        odd.sort_unstable_by(f64::total_cmp);
        count = count.max(odd.len());
        let values = odd.into_iter().enumerate().map(|(i, value)| ((i + 1) as f64, value)).collect();
        series.push(Series { name: plural(threads), values });
    }
    if series.is_empty() {
        return Ok(());
    }
    let title = format!("Training step at {count} odd shapes, from the worst");
    let scale = Scale { mark: ODD_LEAST, mark_label: "no shape is to be under 0.75", ..PEAK };
    save("odd.svg".to_owned(), title.clone(), curves(&title, scale, "shapes from the worst, logarithmic", &series))
}
