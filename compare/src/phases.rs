//! `phases.csv`: where the time of the fused training step goes.

use std::path::Path;

use anyhow::{Context, Result};
use sae_harness::measure::{Phases, Sizes};
use sae_kernels::{BackendKind, Fused, Isa, backend};
use serde::{Deserialize, Serialize};

use crate::contender::{FUSED, FUSED_AVX2};
use crate::parts::STEPS;
use crate::record::round;

/// The file's name.
pub(crate) const FILE: &str = "phases.csv";

/// One phase of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PhaseRow {
    pub(crate) contender: String,
    pub(crate) batch: usize,
    pub(crate) d_in: usize,
    pub(crate) d_hid: usize,
    pub(crate) threads: usize,
    pub(crate) phase: String,
    /// Of the whole step.
    pub(crate) step_ms: f64,
    pub(crate) median_ms: Option<f64>,
    pub(crate) gflops: Option<f64>,
    pub(crate) bytes: Option<f64>,
    pub(crate) intensity: Option<f64>,
    pub(crate) roof_gflops: Option<f64>,
    pub(crate) peak_gflops: f64,
    pub(crate) bandwidth_gb_s: f64,
}

impl PhaseRow {
    pub(crate) fn shape(&self) -> [usize; 3] {
        [self.batch, self.d_in, self.d_hid]
    }

    /// Of one line of a table: one step.
    pub(crate) fn key(&self) -> (&str, [usize; 3], usize) {
        (&self.contender, self.shape(), self.threads)
    }
}

/// Measures the steps that the targets name, on each of these numbers of threads: those of the `wanted` shapes. What the
/// folder has of others stays.
///
/// # Errors
/// Where the kernels or the file system refuse.
pub(crate) fn measure(
    folder: &Path,
    threads: &[usize],
    reps: usize,
    wanted: impl Fn([usize; 3]) -> bool,
) -> Result<()> {
    let mut rows = read(folder)?;
    rows.retain(|row| !wanted(row.shape()));
    for &threads in threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        for [batch, d_in, d_hid] in STEPS.into_iter().filter(|&shape| wanted(shape)) {
            let sizes = Sizes { batch, d_in, d_hid, models: 1 };
            let avx2 = d_hid == 4096 && Isa::Avx2.is_available();
            for contender in [FUSED, FUSED_AVX2].into_iter().take(1 + usize::from(avx2)) {
                let (timing, phases) = pool.install(|| {
                    let made = if contender == FUSED {
                        backend(BackendKind::Fused)?
                    } else {
                        Box::new(Fused::with_isa(Isa::Avx2)?)
                    };
                    anyhow::Ok(Phases::measure(sizes, made, Isa::detect()?, reps)?)
                })?;
                eprintln!("phases of {contender} {batch} x {d_in} x {d_hid}, {threads} threads");
                rows.extend(phases.rows().map(|row| PhaseRow {
                    contender: contender.to_owned(),
                    batch,
                    d_in,
                    d_hid,
                    threads,
                    phase: row.phase.name().to_owned(),
                    step_ms: round(1e3 * timing.median),
                    median_ms: row.seconds.map(|seconds| round(1e3 * seconds)),
                    gflops: row.gflops.map(round),
                    bytes: row.bytes,
                    intensity: row.intensity.map(round),
                    roof_gflops: row.roof_gflops.map(round),
                    peak_gflops: round(timing.peak_gflops),
                    bandwidth_gb_s: round(phases.bandwidth_gb_s()),
                }));
            }
        }
    }
    rows.sort_by_key(|row| (row.threads, STEPS.iter().position(|&shape| shape == row.shape())));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in &rows {
        writer.serialize(row)?;
    }
    sae_harness::atomic::write(&folder.join(FILE), &writer.into_inner()?)?;
    Ok(())
}

/// The rows of a folder; none where there is no file.
///
/// # Errors
/// Where the file is not what [`measure`] leaves.
pub(crate) fn read(folder: &Path) -> Result<Vec<PhaseRow>> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let rows = csv::Reader::from_path(&path)?.deserialize().collect::<Result<_, _>>();
    rows.with_context(|| format!("{}: expected rows of phases", path.display()))
}
