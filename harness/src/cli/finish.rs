//! The end of `sae train`: what came out, in files, in words, or as JSON.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::args::TrainArgs;
use super::run_dir::{CHECKPOINTS, CONFIG, METRICS};
use super::{measures, output, system};
use crate::error::{Error, Result};
use crate::eval::baseline::mean_mse;
use crate::model::Evaluation;
use crate::model::file::{CONFIG_FILE, WEIGHTS_FILE};
use crate::report::pictures;
use crate::report::record::{DataRecord, Machine, RUN_FILE, RunRecord};
use crate::report::run::Run;
use crate::train::{Part, Summary, Trainer};

/// Evaluates the model of a run that is done, writes all that is left to write into `folder`, and says what came out.
pub(super) fn run(trainer: &mut Trainer, folder: &Path, peak_gflops: f64, args: &TrainArgs) -> Result {
    // A machine that was busy when the run began is not as slow as it then seemed.
    let peak_gflops = peak_gflops.max(crate::measure::peak_gflops(trainer.backend().1)?);
    let summary = trainer.finish()?;
    trainer.model()?.save(folder).map_err(failed)?;
    let found = evaluations(trainer)?;
    let results = results(trainer, &found)?;
    let set = trainer.set();
    let peak = measures::peak(&set.preprocessing, set.train.range());
    let record = record(trainer, &summary, peak_gflops, results);
    record.save(folder).map_err(failed)?;
    let shown = Run::with_set(folder, trainer.config().clone(), Ok(set))?;
    let mut files = vec![CONFIG, METRICS, WEIGHTS_FILE, CONFIG_FILE, RUN_FILE, CHECKPOINTS];
    files.extend(pictures::save(&shown)?);
    let judged = if set.test.rows > 0 { &set.test } else { &set.train };
    let mean = mean_mse(&set.train.data, &judged.data, set.train.cols)?;
    warn(&found, mean);
    if args.json {
        return output::print_json(&object(&record, trainer, &summary, folder, mean, &files));
    }
    let rows: Vec<(&str, &Evaluation)> = found.iter().map(|(name, evaluation)| (*name, evaluation)).collect();
    let on = if set.test.rows > 0 { "test" } else { "train" };
    if let Some(best) = &summary.best {
        let early = if summary.stopped_early { "stopped early; " } else { "" };
        output::say(&format!("{early}the weights are those of epoch {}, the best by validation", best.epoch + 1));
    }
    output::print(&words(&record, &measures::table(&rows, peak)?, on, mean, folder, &files))
}

/// What the model makes of each part of the set that has rows.
///
/// # Errors
/// Those of [`Trainer::evaluate`].
pub(super) fn evaluations(trainer: &mut Trainer) -> Result<Vec<(&'static str, Evaluation)>> {
    let mut found = Vec::new();
    for (name, part) in [("train", Part::Train), ("validation", Part::Validation), ("test", Part::Test)] {
        found.extend(trainer.evaluate(part)?.map(|evaluation| (name, evaluation)));
    }
    Ok(found)
}

/// The same for `run.json`.
///
/// # Errors
/// Those of [`measures::to_json`].
pub(super) fn results(trainer: &Trainer, found: &[(&'static str, Evaluation)]) -> Result<Map<String, Value>> {
    let set = trainer.set();
    let peak = measures::peak(&set.preprocessing, set.train.range());
    found.iter().map(|(name, evaluation)| Ok(((*name).to_owned(), measures::to_json(evaluation, peak)?))).collect()
}

/// Operations of a step for each sample: five products.
pub(super) fn flops_per_sample(trainer: &Trainer) -> f64 {
    10.0 * trainer.set().train.cols as f64 * trainer.config().model.d_hid as f64
}

/// What `run.json` says of a run that is done.
pub(super) fn record(trainer: &Trainer, summary: &Summary, peak_gflops: f64, results: Map<String, Value>) -> RunRecord {
    let (backend, isa) = trainer.backend();
    RunRecord {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: command(),
        machine: Machine {
            processor: crate::measure::processor(),
            target: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            isa: isa.name().to_owned(),
            backend: backend.name().to_owned(),
            threads: rayon::current_num_threads(),
            peak_gflops: Some(peak_gflops),
        },
        data: DataRecord::of(trainer.set()),
        steps: summary.steps,
        epochs: summary.epochs,
        best: summary.best.clone(),
        stopped_early: summary.stopped_early,
        seconds: summary.seconds,
        stall_seconds: summary.waited,
        samples_per_s: summary.samples_per_s,
        flops_per_sample: flops_per_sample(trainer),
        phases: trainer.phases().into_iter().map(|(name, seconds)| (name.to_owned(), seconds)).collect(),
        results,
    }
}

/// The words of this process's command, the program by its name.
fn command() -> Vec<String> {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    std::iter::once("sae".to_owned()).chain(words).collect()
}

fn warn(found: &[(&str, Evaluation)], mean: f64) {
    let judge = found.iter().find(|(name, _)| *name == "test").or(found.first());
    if let Some((name, evaluation)) = judge.filter(|(_, evaluation)| evaluation.mse >= mean) {
        output::say(&format!(
            "warning: the MSE on {name}, {}, is not below that of the mean training row, {}: it takes more steps \
             (train.epochs), larger ones (optimizer.lr) or a weaker penalty (sparsity.beta)",
            measures::short(evaluation.mse),
            measures::short(mean)
        ));
    }
}

fn object(record: &RunRecord, trainer: &Trainer, summary: &Summary, folder: &Path, mean: f64, files: &[&str]) -> Value {
    let mut object = json!({
        "kind": "summary",
        "out": folder.display().to_string(),
        "steps": record.steps,
        "epochs": record.epochs,
        "stopped_early": summary.stopped_early,
        "best_epoch": summary.best.as_ref().map(|best| best.epoch),
        "peak_rss_mib": system::peak_rss_mib(),
        "seconds": record.seconds,
        "stall_seconds": record.stall_seconds,
        "samples_per_s": record.samples_per_s,
        "gflops": record.gflops(),
        "peak_gflops": record.machine.peak_gflops,
        "fraction_of_peak": record.fraction_of_peak(),
        "backend": record.machine.backend,
        "isa": record.machine.isa,
        "threads": record.machine.threads,
        "d_in": record.data.d_in,
        "d_hid": trainer.config().model.d_hid,
        "mean_mse": mean,
        "files": files,
    });
    for part in ["train", "validation", "test"] {
        object[part] = record.results.get(part).cloned().unwrap_or(Value::Null);
    }
    object
}

/// One screen, at most 80 columns wide.
fn words(record: &RunRecord, table: &str, on: &str, mean: f64, folder: &Path, files: &[&str]) -> String {
    let fraction = record.fraction_of_peak().map_or(String::new(), |f| format!(", {:.0}% of peak", 100.0 * f));
    let stall = record.stall_seconds.map_or(String::new(), |stall| {
        format!("\n{stall:.2} s of them waiting for data, {:.1}%", 100.0 * stall / record.seconds)
    });
    let mut text = format!(
        "{} steps, {} epochs, {:.2} s, {:.0} samples/s, {:.1} GFLOP/s{fraction}{stall}\n\n{table}\n\
         MSE of the mean training row, on {on}: {}\n\nLeft in {}:\n",
        record.steps,
        record.epochs,
        record.seconds,
        record.samples_per_s,
        record.gflops(),
        measures::short(mean),
        folder.display(),
    );
    let mut line = String::from(" ");
    for (i, name) in files.iter().enumerate() {
        let end = if i + 1 < files.len() { "," } else { "" };
        if line.len() + name.len() + 2 > 78 {
            text += &line;
            text.push('\n');
            line = String::from(" ");
        }
        line += &format!(" {name}{end}");
    }
    text + &line + "\n"
}

/// An output that could not be written, after it could be at the start.
fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(format!("cannot be written: {error}"))
}
