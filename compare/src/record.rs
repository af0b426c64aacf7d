//! `results.csv`: a line for each contender, operation, shape and number of threads.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sae_harness::measure::Timing;
use serde::{Deserialize, Serialize};

use crate::contender::Contender;
use crate::frameworks::Framework;
use crate::parts::{Part, Race};

/// The file's name.
pub(crate) const FILE: &str = "results.csv";

/// The median of the peak over its best, below which a race was disturbed by other work.
pub(crate) const DISTURBED: f64 = 0.9;

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
    /// That take a step together.
    #[serde(default = "one")]
    pub(crate) models: usize,
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
    /// The largest relative difference of the first losses from ours, where they were held against each other.
    #[serde(default)]
    pub(crate) loss_difference: Option<f64>,
    /// The most processor time that a process of its own took between two turns, in ms.
    #[serde(default)]
    pub(crate) idle_cpu_ms: Option<f64>,
    /// The least and the most of the peak that a pass reached, where there were several.
    #[serde(default)]
    pub(crate) least_fraction: Option<f64>,
    #[serde(default)]
    pub(crate) most_fraction: Option<f64>,
    /// What a word took from one core to another and back before a race of several threads, in ns: which cores a virtual
    /// machine has can change.
    #[serde(default)]
    pub(crate) round_trip_ns: Option<f64>,
}

impl Row {
    /// Whether it is one of the race's, both being of one part.
    pub(crate) fn is_of(&self, race: &Race) -> bool {
        let mine = |c: &Contender| c.threads(race.threads) == self.threads && c.name() == self.contender;
        self.shape() == race.shape() && (self.threads == race.threads || race.contenders.iter().any(mine))
    }

    pub(crate) fn new(
        part: Part,
        race: &Race,
        who: &Contender,
        isa: &str,
        reps: usize,
        t: &Timing,
        commit: &str,
    ) -> Self {
        let gflops = race.op.flops(race.sizes) / t.median / 1e9;
        Self {
            part: part.name().to_owned(),
            op: race.op.name().to_owned(),
            contender: who.name(),
            isa: isa.to_owned(),
            batch: race.sizes.batch,
            d_in: race.sizes.d_in,
            d_hid: race.sizes.d_hid,
            models: race.sizes.models,
            threads: who.threads(race.threads),
            reps,
            calls_per_rep: t.calls,
            median_ms: round(t.median * 1e3),
            min_ms: round(t.min * 1e3),
            gflops: round(gflops),
            peak_gflops: round(t.peak_gflops),
            best_peak_gflops: round(t.best_peak_gflops),
            fraction_of_peak: round(gflops / t.peak_gflops),
            commit: commit.to_owned(),
            loss_difference: None,
            idle_cpu_ms: None,
            least_fraction: None,
            most_fraction: None,
            round_trip_ns: None,
        }
    }

    /// Of a contender that failed: no number in it.
    pub(crate) fn failed(part: Part, race: &Race, who: &Contender, reps: usize, commit: &str) -> Self {
        let nan = f64::NAN;
        let timing = Timing { median: nan, min: nan, calls: 0, flops: None, peak_gflops: nan, best_peak_gflops: nan };
        Self::new(part, race, who, "", reps, &timing, commit)
    }

    /// Whether there is a measurement.
    pub(crate) fn is_measured(&self) -> bool {
        self.median_ms.is_finite()
    }

    /// Whether other work took the processor: then the fraction of the peak says little.
    pub(crate) fn is_disturbed(&self) -> bool {
        let beyond = self.fraction_of_peak > 1.0 && self.is_comparable();
        self.peak_gflops < DISTURBED * self.best_peak_gflops || beyond
    }

    /// Whether it computes what the others do: numbers of 16 bits have another peak.
    pub(crate) fn is_comparable(&self) -> bool {
        self.contender != Framework::Bf16.name()
    }

    pub(crate) fn shape(&self) -> [usize; 3] {
        [self.batch, self.d_in, self.d_hid]
    }
}

/// A shape, for a table.
pub(crate) fn shown([n, d, h]: [usize; 3]) -> String {
    format!("{n}, {d}, {h}")
}

/// In files that know of one model only.
fn one() -> usize {
    1
}

/// Of several passes over the same race, every contender's middle row, the lower of two, with what the others reached.
pub(crate) fn middle(passes: &[Vec<Row>]) -> Vec<Row> {
    let Some(contenders) = passes.first() else { return Vec::new() };
    let of = |first: &Row| {
        let mut rows: Vec<&Row> = passes
            .iter()
            .flatten()
            .filter(|row| (&row.contender, row.threads) == (&first.contender, first.threads))
            .collect();
        rows.sort_by(|a, b| a.fraction_of_peak.total_cmp(&b.fraction_of_peak));
        let middle = rows[(rows.len() - 1) / 2].clone();
        let (least, most) = (rows[0].fraction_of_peak, rows[rows.len() - 1].fraction_of_peak);
        if rows.len() == 1 || !least.is_finite() || !most.is_finite() {
            return middle;
        }
        Row { least_fraction: Some(least), most_fraction: Some(most), ..middle }
    };
    contenders.iter().map(of).collect()
}

/// To five digits: more than repeats.
pub(crate) fn round(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// The rows of a folder; none where there is no file yet.
///
/// # Errors
/// Where the file is not what [`write()`] leaves.
pub(crate) fn read(folder: &Path) -> Result<Vec<Row>> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let content = fs::read(&path).with_context(|| format!("{}", path.display()))?;
    parse(&content).with_context(|| format!("{}: expected rows of results", path.display()))
}

/// The rows of a file's content.
///
/// # Errors
/// Where it is not what [`bytes`] makes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Row>> {
    Ok(csv::Reader::from_reader(bytes).deserialize().collect::<Result<_, _>>()?)
}

/// The content of a file of these rows.
///
/// # Errors
/// None that memory does not make.
pub(crate) fn bytes(rows: &[Row]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    Ok(writer.into_inner()?)
}

/// Writes all rows.
///
/// # Errors
/// Where the file system refuses.
pub(crate) fn write(folder: &Path, rows: &[Row]) -> Result<()> {
    sae_harness::atomic::write(&folder.join(FILE), &bytes(rows)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::races;

    #[test]
    fn of_several_passes_each_contender_has_its_middle_one() {
        let race = &races(Part::Odd, &[1], &[Contender::Fused])[0];
        let row = |contender: &Contender, milliseconds: f64| {
            let (median, min) = (1e-3 * milliseconds, 1e-3 * milliseconds);
            let timing = Timing { median, min, calls: 1, flops: None, peak_gflops: 100.0, best_peak_gflops: 100.0 };
            Row::new(Part::Odd, race, contender, "avx512", 7, &timing, "commit")
        };
        let pass = |a, b| vec![row(&Contender::Fused, a), row(&Contender::FusedAvx2, b)];
        let of = |passes: &[Vec<Row>]| middle(passes).iter().map(|row| row.median_ms).collect::<Vec<_>>();
        assert!(of(&[]).is_empty());
        assert_eq!(of(&[pass(3.0, 1.0)]), [3.0, 1.0]);
        assert_eq!(of(&[pass(3.0, 1.0), pass(2.0, 9.0), pass(40.0, 5.0)]), [3.0, 5.0]);
        // The slower of two.
        assert_eq!(of(&[pass(3.0, 1.0), pass(2.0, 9.0)]), [3.0, 9.0]);

        let three = middle(&[pass(3.0, 1.0), pass(2.0, 9.0), pass(40.0, 5.0)]);
        let reached = |milliseconds| Some(row(&Contender::Fused, milliseconds).fraction_of_peak);
        assert_eq!((three[0].least_fraction, three[0].most_fraction), (reached(40.0), reached(2.0)));
        let one = &middle(&[pass(3.0, 1.0)])[0];
        assert_eq!((one.least_fraction, one.most_fraction), (None, None));
    }
}
