//! `README.md` and `results.csv` of a sweep.

use std::fmt::Write;

use super::{Outcome, Search, Speed, Status, Sweep};
use crate::error::{Error, Result};

/// Numbers of a result in the CSV file, by the keys of `sae eval --json`.
const NUMBERS: [&str; 9] = [
    "loss",
    "reconstruction",
    "sparsity",
    "weight_decay",
    "mse",
    "psnr",
    "rho_hat_mean",
    "active_percent",
    "dead_units",
];
/// Those in the table.
const SHOWN: [(&str, &str); 6] = [
    ("mse", "MSE"),
    ("psnr", "PSNR, dB"),
    ("rho_hat_mean", "mean activation"),
    ("active_percent", "active, %"),
    ("dead_units", "dead units"),
    ("loss", "loss"),
];

/// A line a run: its settings, how it ended, and every number of its result.
///
/// # Errors
/// [`Error::Failed`], none that memory does not make.
pub fn csv(sweep: &Sweep, outcomes: &[Outcome]) -> Result<Vec<u8>> {
    let failed = |e: csv::Error| Error::Failed(format!("the results cannot be written as CSV: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = ["run"].into_iter().chain(sweep.keys.iter().map(String::as_str));
    let head = head.chain(["status", "part", "steps", "epochs", "seconds"]).chain(NUMBERS);
    writer.write_record(head).map_err(failed)?;
    for outcome in outcomes {
        let mut line = vec![outcome.name.clone()];
        line.extend(outcome.values.iter().cloned());
        match &outcome.status {
            Status::Done(record) => {
                line.extend(["done".to_owned(), record.judged().to_owned()]);
                line.extend([record.steps.to_string(), record.epochs.to_string(), record.seconds.to_string()]);
            }
            other => {
                let status = if matches!(other, Status::Pending) { "pending" } else { "failed" };
                line.push(status.to_owned());
                line.extend([""; 4].map(str::to_owned));
            }
        }
        line.extend(NUMBERS.map(|key| outcome.number(key).map_or(String::new(), |v| v.to_string())));
        writer.write_record(line).map_err(failed)?;
    }
    writer.into_inner().map_err(|e| Error::Failed(format!("the results cannot be written as CSV: {e}")))
}

/// The page: what was tried, how fast, the plots, and a table of all runs.
pub fn page(sweep: &Sweep, outcomes: &[Outcome], speeds: &[Speed], plots: &[(String, String)]) -> String {
    let mut text = String::from("# Sweep\n\n");
    let judged = outcomes.iter().find_map(|outcome| match &outcome.status {
        Status::Done(record) => Some((record.data.name.clone(), record.judged())),
        _ => None,
    });
    let how = match sweep.search {
        Search::Grid => "every combination of".to_owned(),
        Search::Random(_) => format!("{} draws of", outcomes.len()),
    };
    // Writing to a String cannot fail, here and below.
    let _ = write!(text, "{} runs, {how} {}", outcomes.len(), sweep.keys.join(", "));
    if let Some((data, part)) = &judged {
        let _ = write!(text, ", on {data}; figures are of the {part} set");
    }
    let count = |wanted: fn(&Status) -> bool| outcomes.iter().filter(|outcome| wanted(&outcome.status)).count();
    let failed = count(|status| matches!(status, Status::Failed(_)));
    let pending = count(|status| matches!(status, Status::Pending));
    text.push_str(". [`sweep.toml`](sweep.toml) has the settings, [`results.csv`](results.csv) every figure.\n");
    if failed + pending > 0 {
        let _ = writeln!(text, "\n{failed} runs failed, {pending} have not been trained yet.");
    }
    if let Some(line) = speed(speeds) {
        let _ = writeln!(text, "\n{line}");
    }
    for (title, file) in plots {
        let _ = writeln!(text, "\n![{title}]({file})");
    }
    text.push_str(
        "\n## Runs\n\n• marks a run that no other surpasses in both: none has a lower MSE with no higher mean activation. \
         The lowest MSE is **bold**.\n\n",
    );
    let shown: Vec<&str> = SHOWN.iter().map(|(_, name)| *name).collect();
    let _ = writeln!(text, "| run | {} | {} | |", sweep.keys.join(" | "), shown.join(" | "));
    let _ = writeln!(text, "|{}", " --- |".repeat(2 + sweep.keys.len() + SHOWN.len()));
    let best = outcomes.iter().filter_map(|o| o.number("mse")).fold(f64::INFINITY, f64::min);
    for (i, outcome) in outcomes.iter().enumerate() {
        let _ = write!(text, "| {} | {} |", outcome.name, outcome.values.join(" | "));
        for (key, _) in SHOWN {
            let _ = match outcome.number(key) {
                Some(v) if key == "mse" && v == best => write!(text, " **{}** |", short(v)),
                Some(v) if key == "dead_units" => write!(text, " {v} |"),
                Some(v) => write!(text, " {} |", short(v)),
                None => write!(text, " – |"),
            };
        }
        let note = match &outcome.status {
            Status::Failed(error) => format!("failed: {}", error.replace('|', "/")),
            Status::Pending => "not yet".to_owned(),
            Status::Done(_) if surpassed(i, outcomes) => String::new(),
            Status::Done(_) => "•".to_owned(),
        };
        let _ = writeln!(text, " {note} |");
    }
    text
}

/// Whether another run has a lower MSE and no higher mean activation, or as low an MSE and a lower mean activation.
fn surpassed(index: usize, outcomes: &[Outcome]) -> bool {
    let of = |outcome: &Outcome| outcome.number("mse").zip(outcome.number("rho_hat_mean"));
    let Some((mse, active)) = of(&outcomes[index]) else { return true };
    outcomes.iter().filter_map(of).any(|(m, a)| m <= mse && a <= active && (m < mse || a < active))
}

/// What training together brought; `None` where nothing was trained together.
pub(crate) fn speed(speeds: &[Speed]) -> Option<String> {
    let together: Vec<&Speed> = speeds.iter().filter(|s| s.runs > 1 && s.alone_steps > 0 && s.seconds > 0.0).collect();
    let first = together.first()?;
    let runs: usize = together.iter().map(|s| s.runs).sum();
    let took: f64 = together.iter().map(|s| s.seconds).sum();
    let one_by_one: f64 = together.iter().map(|s| s.one_by_one()).sum();
    let timed: u64 = together.iter().map(|s| s.alone_steps).sum();
    Some(format!(
        "{runs} runs were trained in {} groups of up to {}, on {} threads: their steps took {} s. One after the other they \
         would have taken {} s, by the speed of single runs over {timed} steps of the same data: together {:.2} times as \
         fast.",
        together.len(),
        together.iter().map(|s| s.runs).max().unwrap_or(0),
        first.threads,
        short(took),
        short(one_by_one),
        one_by_one / took,
    ))
}

/// Four significant digits.
fn short(value: f64) -> String {
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    let magnitude = rounded.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) { format!("{rounded:e}") } else { rounded.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::record::RunRecord;

    fn outcome(name: &str, value: &str, mse: f64, active: f64) -> Outcome {
        let mut record = RunRecord { steps: 7, ..RunRecord::default() };
        record.data.name = "digits".to_owned();
        record.results.insert("test".to_owned(), json!({ "mse": mse, "rho_hat_mean": active, "dead_units": 2 }));
        Outcome { name: name.to_owned(), values: vec![value.to_owned()], status: Status::Done(Box::new(record)) }
    }

    fn all() -> (Sweep, Vec<Outcome>) {
        let sweep = Sweep::parse("[sweep.keys]\nsparsity.beta = [0.1, 1, 3, 9]", "s", &[]).unwrap();
        let failed = Outcome { status: Status::Failed("loss | NaN".to_owned()), ..outcome("run-004", "9", 0.0, 0.0) };
        let done = [outcome("run-001", "0.1", 0.02, 0.2), outcome("run-002", "1", 0.03, 0.1)];
        (sweep, done.into_iter().chain([outcome("run-003", "3", 0.04, 0.15), failed]).collect())
    }

    #[test]
    fn the_table_marks_the_best_and_those_that_none_surpasses() {
        let (sweep, outcomes) = all();
        let text = page(&sweep, &outcomes, &[], &[("Plot".to_owned(), "plot.svg".to_owned())]);
        for line in [
            "| run-001 | 0.1 | **0.02** | – | 0.2 | – | 2 | – | • |",
            "| run-002 | 1 | 0.03 | – | 0.1 | – | 2 | – | • |",
            "| run-003 | 3 | 0.04 | – | 0.15 | – | 2 | – |  |",
            "| run-004 | 9 | – | – | – | – | – | – | failed: loss / NaN |",
            "![Plot](plot.svg)",
            "1 runs failed, 0 have not been trained yet.",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_csv_file_has_a_line_for_every_run() {
        let (sweep, outcomes) = all();
        let bytes = csv(&sweep, &outcomes).unwrap();
        let mut reader = csv::Reader::from_reader(&bytes[..]);
        assert_eq!(
            reader.headers().unwrap().iter().take(4).collect::<Vec<_>>(),
            ["run", "sparsity.beta", "status", "part"]
        );
        let lines: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
        assert_eq!(lines.len(), 4);
        assert_eq!((&lines[0][2], &lines[0][3], &lines[3][2]), ("done", "test", "failed"));
        assert_eq!(lines[1][lines[1].len() - 5].parse::<f64>().unwrap(), 0.03);
    }

    #[test]
    fn speed_compares_steps_with_steps() {
        let group = Speed { runs: 4, steps: 400, seconds: 2.0, alone_steps: 10, alone_seconds: 0.1, threads: 2 };
        let alone = Speed { runs: 1, steps: 100, seconds: 9.0, alone_steps: 0, alone_seconds: 0.0, threads: 2 };
        let line = speed(&[group, alone.clone()]).unwrap();
        assert!(
            line.starts_with("4 runs were trained in 1 groups of up to 4, on 2 threads: their steps took 2 s."),
            "{line}"
        );
        assert!(line.contains("would have taken 4 s") && line.contains("2.00 times"), "{line}");
        assert_eq!(speed(&[alone]), None);
    }

    #[test]
    fn numbers_keep_four_digits() {
        let cases = [(0.0, "0"), (0.0123456, "0.01235"), (12.0, "12"), (1.5e-7, "1.5e-7"), (123_456.0, "123500")];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
