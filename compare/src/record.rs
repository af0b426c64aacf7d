//! `results.csv`: a line for each contender, operation, shape and number of threads.

use std::path::Path;

use anyhow::{Context, Result};
use sae_harness::measure::Timing;
use serde::{Deserialize, Serialize};

use crate::parts::{Part, Race};

/// The file's name.
pub(crate) const FILE: &str = "results.csv";

/// What one contender reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) part: String,
    pub(crate) op: String,
    pub(crate) contender: String,
    pub(crate) isa: String,
    pub(crate) batch: usize,
    pub(crate) d_in: usize,
    pub(crate) d_hid: usize,
    pub(crate) threads: usize,
    pub(crate) reps: usize,
    pub(crate) calls_per_rep: u64,
    pub(crate) median_ms: f64,
    pub(crate) min_ms: f64,
    pub(crate) gflops: f64,
    pub(crate) peak_gflops: f64,
    pub(crate) best_peak_gflops: f64,
    pub(crate) fraction_of_peak: f64,
    pub(crate) commit: String,
}

impl Row {
    pub(crate) fn new(part: Part, race: &Race, who: String, isa: &str, reps: usize, t: &Timing, commit: &str) -> Self {
        let gflops = race.op.flops(race.sizes) / t.median / 1e9;
        Self {
            part: part.name().to_owned(),
            op: race.op.name().to_owned(),
            contender: who,
            isa: isa.to_owned(),
            batch: race.sizes.batch,
            d_in: race.sizes.d_in,
            d_hid: race.sizes.d_hid,
            threads: race.threads,
            reps,
            calls_per_rep: t.calls,
            median_ms: round(t.median * 1e3),
            min_ms: round(t.min * 1e3),
            gflops: round(gflops),
            peak_gflops: round(t.peak_gflops),
            best_peak_gflops: round(t.best_peak_gflops),
            fraction_of_peak: round(gflops / t.peak_gflops),
            commit: commit.to_owned(),
        }
    }

    pub(crate) fn shape(&self) -> [usize; 3] {
        [self.batch, self.d_in, self.d_hid]
    }
}

/// To five digits: more than repeats.
fn round(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// The rows of a folder; none where there is no file yet.
///
/// # Errors
/// Where the file is not what [`write`] leaves.
pub(crate) fn read(folder: &Path) -> Result<Vec<Row>> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut reader = csv::Reader::from_path(&path).with_context(|| format!("{}", path.display()))?;
    reader.deserialize().collect::<Result<_, _>>().with_context(|| format!("{}: a row of results", path.display()))
}

/// Writes all rows.
///
/// # Errors
/// Where the file system refuses.
pub(crate) fn write(folder: &Path, rows: &[Row]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    let path = folder.join(FILE);
    sae_harness::atomic::write(&path, &writer.into_inner()?)?;
    Ok(())
}
