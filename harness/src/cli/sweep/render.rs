//! The end of a sweep: table, CSV, plots, and what came out in words or as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::failed;
use crate::atomic;
use crate::cli::{measures, output};
use crate::error::Result;
use crate::report::sweep::{MOST_KINDS, Point, Sensitivity, Tradeoff};
use crate::sweep::{Outcome, Search, Speed, Status, Sweep, csv, page};

/// Runs that are named where all is said in words.
const BEST: usize = 10;
/// Distinct values of a key, over which lines that join means say nothing.
const FEW: usize = 24;

/// Writes the files and says what came out.
pub(super) fn run(sweep: &Sweep, outcomes: &[Outcome], speeds: &[Speed], dir: &Path, as_json: bool) -> Result {
    let plots = plots(sweep, outcomes);
    let mut named = Vec::new();
    for (title, file, svg) in plots {
        atomic::write(&dir.join(&file), svg.as_bytes()).map_err(failed)?;
        named.push((title, file));
    }
    atomic::write(&dir.join("results.csv"), &csv(sweep, outcomes)?).map_err(failed)?;
    let text = page(sweep, outcomes, speeds, &named);
    atomic::write(&dir.join("README.md"), text.as_bytes()).map_err(failed)?;

    let count = |wanted: fn(&Status) -> bool| outcomes.iter().filter(|outcome| wanted(&outcome.status)).count();
    let (done, failed) = (count(|s| matches!(s, Status::Done(_))), count(|s| matches!(s, Status::Failed(_))));
    let mut best: Vec<(&Outcome, f64)> = outcomes.iter().filter_map(|o| Some((o, o.number("mse")?))).collect();
    best.sort_by(|a, b| a.1.total_cmp(&b.1));
    let files: Vec<&str> =
        ["README.md", "results.csv"].into_iter().chain(named.iter().map(|(_, file)| file.as_str())).collect();
    let speed = crate::sweep::speed(speeds);
    if as_json {
        return output::print_json(&json!({
            "out": dir.display().to_string(),
            "runs": outcomes.len(),
            "done": done,
            "failed": failed,
            "best": best.first().map(|(outcome, mse)| json!({
                "run": outcome.name,
                "mse": mse,
                "values": sweep.keys.iter().zip(&outcome.values).collect::<BTreeMap<_, _>>(),
            })),
            "speed": speeds,
            "files": files,
        }));
    }
    let mut text = format!("{done} of {} runs are done, {failed} failed\n\n", outcomes.len());
    for (outcome, mse) in best.iter().take(BEST) {
        let settings: Vec<String> =
            sweep.keys.iter().zip(&outcome.values).map(|(key, value)| format!("{key} {value}")).collect();
        text += &format!("{}  MSE {:>9}  {}\n", outcome.name, measures::short(*mse), settings.join(", "));
    }
    if best.len() > BEST {
        text += &format!("and {} more\n", best.len() - BEST);
    }
    if let Some(speed) = speed {
        text += &format!("\n{speed}\n");
    }
    text += &format!("\nLeft in {}: {}\n", dir.display(), files.join(", "));
    output::print(&text)
}

/// Title, file name and document of each plot.
fn plots(sweep: &Sweep, outcomes: &[Outcome]) -> Vec<(String, String, String)> {
    let done: Vec<&Outcome> = outcomes.iter().filter(|o| matches!(o.status, Status::Done(_))).collect();
    if done.is_empty() {
        return Vec::new();
    }
    let distinct = |key: usize| {
        let mut values: Vec<&str> = Vec::new();
        for outcome in &done {
            if !values.contains(&outcome.values[key].as_str()) {
                values.push(&outcome.values[key]);
            }
        }
        values
    };
    let counts: Vec<usize> = (0..sweep.keys.len()).map(|key| distinct(key).len()).collect();
    // Told apart by the key of the most values that can be.
    let kind = (0..counts.len()).filter(|&key| (2..=MOST_KINDS).contains(&counts[key])).max_by_key(|&key| counts[key]);
    let kinds = kind.map_or(Vec::new(), distinct);
    let point = |outcome: &Outcome| Point {
        mse: outcome.number("mse").unwrap_or(f64::NAN),
        rho_hat: outcome.number("rho_hat_mean").unwrap_or(f64::NAN),
        kind: kind.and_then(|key| kinds.iter().position(|value| *value == outcome.values[key])).unwrap_or(0),
    };
    let points: Vec<Point> = done.iter().map(|outcome| point(outcome)).collect();
    let names: Vec<String> = kinds
        .iter()
        .enumerate()
        .map(|(i, value)| match kind {
            Some(key) if i == 0 => format!("{} {value}", sweep.keys[key]),
            _ => (*value).to_owned(),
        })
        .collect();
    let title = format!("Reconstruction against sparsity, {} runs", done.len());
    let svg = Tradeoff { title: &title, points: &points, kinds: &names }.render();
    let mut plots = vec![(title, "tradeoff.svg".to_owned(), svg)];
    for (index, key) in sweep.keys.iter().enumerate() {
        let number = |outcome: &Outcome| outcome.values[index].parse::<f64>().ok();
        let runs: Option<Vec<(f64, Point)>> =
            done.iter().map(|outcome| Some((number(outcome)?, Point { kind: 0, ..point(outcome) }))).collect();
        let Some(runs) = runs.filter(|_| counts[index] > 1) else { continue };
        let name = match key.as_str() {
            "sparsity.beta" => "sparsity.beta (β)",
            "sparsity.rho" => "sparsity.rho (ρ)",
            "loss.weight_decay" => "loss.weight_decay (λ)",
            other => other,
        };
        let means = counts[index] <= FEW && (sweep.search == Search::Grid || counts[index] < done.len());
        let svg = Sensitivity { name, runs: &runs, means }.render();
        plots.push((format!("Sensitivity to {name}"), format!("sensitivity-{key}.svg"), svg));
    }
    plots
}
