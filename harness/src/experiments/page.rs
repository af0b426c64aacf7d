//! The page of what was run, and its record.

use std::fmt::Write;
use std::path::Path;

use super::{Gate, Outcome, Series};
use crate::atomic;
use crate::error::{Error, Result};
use crate::report::number::short;

/// The page.
pub const PAGE: &str = "README.md";
/// The end of a record's name.
const RECORD: &str = ".json";

impl Outcome {
    /// Writes the record of an experiment into `out`.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn save(&self, out: &Path) -> Result {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| Error::Failed(format!("{}: {e}", self.name)))?;
        text.push(b'\n');
        atomic::write(&out.join(format!("{}{RECORD}", self.name)), &text)
            .map_err(|e| Error::Failed(format!("cannot be written: {e}")))
    }

    /// The records in a folder, by name.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Input`].
    pub fn all(folder: &Path) -> Result<Vec<Self>> {
        let entries = std::fs::read_dir(folder).map_err(|e| Error::read(folder, e))?;
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        let load = |path: &std::path::PathBuf| {
            let text = std::fs::read(path).map_err(|e| Error::read(path, e))?;
            serde_json::from_slice(&text)
                .map_err(|e| Error::input(path.display(), e.to_string(), "a record of an experiment"))
        };
        paths.iter().map(load).collect()
    }
}

/// Writes the page of every record in `out`; `findings` stands before the tables.
///
/// # Errors
/// Those of reading the records, and [`Error::Failed`].
pub fn write(out: &Path, findings: &str) -> Result {
    let outcomes = Outcome::all(out)?;
    let text = render(&outcomes, findings);
    atomic::write(&out.join(PAGE), text.as_bytes()).map_err(|e| Error::Failed(format!("cannot be written: {e}")))
}

fn render(outcomes: &[Outcome], findings: &str) -> String {
    let mut text = format!("{}\n\n## Gates\n\n", findings.trim_end());
    text +=
        "A gate has to hold with every seed. Values are means over the seeds, with the smallest and the largest.\n\n";
    text += "| experiment | value | ours | gate | holds |\n| --- | --- | --- | --- | --- |\n";
    for outcome in outcomes {
        for judged in &outcome.gates {
            let of = outcome.values.iter().find(|series| series.name == judged.gate.value);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| [{}](#{}) | {} | {} | {} | {} |",
                outcome.name,
                outcome.name,
                judged.gate.value,
                of.map_or_else(String::new, spread),
                bound(&judged.gate),
                if judged.holds { "yes" } else { "**no**" }
            );
        }
    }
    for outcome in outcomes {
        let _ = write!(text, "\n## {}\n\n{}. Published: {}\n\n", outcome.name, outcome.title, outcome.published);
        text += "| value | mean | smallest | largest |\n| --- | --- | --- | --- |\n";
        for series in &outcome.values {
            let (mean, low, high) = summary(&series.of_seeds);
            let _ = writeln!(text, "| {} | {} | {} | {} |", series.name, short(mean), short(low), short(high));
        }
        let seeds: Vec<String> = outcome.seeds.iter().map(u64::to_string).collect();
        let _ = write!(
            text,
            "\nSeeds {}; {:.0} s on {} ({} threads).",
            seeds.join(", "),
            outcome.seconds,
            outcome.processor,
            outcome.threads
        );
        let tables: Vec<String> =
            outcome.files.iter().filter(|f| f.ends_with(".csv")).map(|f| format!("[{f}]({f})")).collect();
        if !tables.is_empty() {
            let _ = write!(text, " Table: {}.", tables.join(", "));
        }
        text.push('\n');
        for file in outcome.files.iter().filter(|file| !file.ends_with(".csv")) {
            let _ = write!(text, "\n![{}]({file})\n", file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem));
        }
    }
    text
}

fn bound(gate: &Gate) -> String {
    let least = gate.at_least.map(|v| format!("≥ {v}"));
    let most = gate.at_most.map(|v| format!("≤ {v}"));
    let stated = gate.stated.then(|| "stated".to_owned());
    least.into_iter().chain(most).chain(stated).collect::<Vec<_>>().join(", ")
}

fn spread(series: &Series) -> String {
    let (mean, low, high) = summary(&series.of_seeds);
    if low == high { short(mean) } else { format!("{} ({} to {})", short(mean), short(low), short(high)) }
}

/// Mean, smallest, largest.
fn summary(values: &[f64]) -> (f64, f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (mean, low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}
