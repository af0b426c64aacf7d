//! The plots of a folder of results.

use std::path::Path;

use anyhow::Result;

use crate::chart::{Scale, Series, bars, curves};
use crate::contender::FUSED;
use crate::record::Row;
use crate::targets::{field, find};

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
pub(crate) fn write(folder: &Path, rows: &[Row]) -> Result<Vec<Plot>> {
    let mut plots = Vec::new();
    let mut save = |file: String, title: String, svg: String| -> Result<()> {
        sae_harness::atomic::write(&folder.join(&file), svg.as_bytes())?;
        plots.push(Plot { title, file });
        Ok(())
    };
    for (part, what) in [("step", "Training step"), ("encode", "Encode"), ("gemm", "Product of row-major matrices")] {
        for threads in threads_of(rows, part) {
            let Some((groups, series)) = by_shape(rows, part, threads, |row, _| row.fraction_of_peak) else { continue };
            let title = format!("{what}, {}", plural(threads));
            save(format!("{part}-{threads}.svg"), title.clone(), bars(&title, PEAK, &groups, &series))?;
        }
    }
    for threads in threads_of(rows, "step") {
        let ratio = |row: &Row, ours: &Row| row.median_ms / ours.median_ms;
        let Some((groups, mut series)) = by_shape(rows, "step", threads, ratio) else { continue };
        series.remove(0);
        let most = series.iter().flat_map(|s| s.values.iter().flatten()).copied().fold(1.0, f64::max);
        let scale = Scale {
            label: "times as fast as it",
            top: most.ceil(),
            tick: if most > 8.0 { 2.0 } else { 0.5 },
            mark: 1.0,
            mark_label: "",
        };
        let title = format!("Training step: the fused kernels' speed over each other, {}", plural(threads));
        save(format!("speedup-{threads}.svg"), title.clone(), bars(&title, scale, &groups, &series))?;
    }
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
    let Some(most) = threads_of(rows, "growth").first().copied() else { return Ok(()) };
    let plots: [(&str, &str, &str, Place); 3] = [
        ("batch", "Training step by batch (d_in 784, d_hid 1024)", "batch", |row, most| {
            (row.threads == most && row.d_hid == 1024).then_some(row.batch)
        }),
        ("width", "Training step by hidden width (batch 256, d_in 784)", "d_hid", |row, most| {
            (row.threads == most && row.batch == 256).then_some(row.d_hid)
        }),
        ("threads", "Training step by threads (1024, 784, 4096)", "threads", |row, _| {
            (row.shape() == [1024, 784, 4096]).then_some(row.threads)
        }),
    ];
    for (file, title, across, place) in plots {
        let mut series: Vec<Series<(f64, f64)>> = Vec::new();
        for row in rows.iter().filter(|row| row.part == "growth") {
            let Some(at) = place(row, most) else { continue };
            let point = (at as f64, row.fraction_of_peak);
            match series.iter_mut().find(|s| s.name == row.contender) {
                Some(series) => series.values.push(point),
                None => series.push(Series { name: row.contender.clone(), values: vec![point] }),
            }
        }
        for series in &mut series {
            series.values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            series.values.dedup_by_key(|point| point.0);
        }
        if !series.is_empty() {
            let title = if file == "threads" { title.to_owned() } else { format!("{title}, {}", plural(most)) };
            save(format!("growth-{file}.svg"), title.clone(), curves(&title, PEAK, across, &series))?;
        }
    }
    Ok(())
}

/// Every odd shape, from the worst.
fn odd(rows: &[Row], save: Save<'_>) -> Result<()> {
    let mut odd: Vec<f64> = rows.iter().filter(|row| row.part == "odd").map(|row| row.fraction_of_peak).collect();
    if odd.is_empty() {
        return Ok(());
    }
    odd.sort_unstable_by(f64::total_cmp);
    let title = format!("Training step at {} odd shapes, from the worst", odd.len());
    let values = odd.into_iter().enumerate().map(|(i, value)| ((i + 1) as f64, value)).collect();
    let series = [Series { name: FUSED.to_owned(), values }];
    save("odd.svg".to_owned(), title.clone(), curves(&title, PEAK, "shapes, logarithmic", &series))
}
