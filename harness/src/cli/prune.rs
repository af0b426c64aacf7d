//! `sae prune`.

use std::path::Path;

use serde_json::json;

use super::args::PruneArgs;
use super::run_dir::{CONFIG, RunDir};
use super::{measures, output, system};
use crate::config::Config;
use crate::data::load;
use crate::error::{Error, Result};
use crate::model::file::ModelFile;
use crate::model::{Evaluation, Model, unreadable};
use crate::prune::{Choice, Pruned, Reason, Removed, Units, finetune, prune};
use crate::train::{Silent, TrainingSet};

/// Removed units that are listed one by one.
const LISTED: usize = 20;

pub(super) fn run(args: PruneArgs) -> Result {
    check(&args)?;
    let kind = args.on.backend.parse()?;
    let pool = system::pool(args.on.threads)?;
    pool.install(|| {
        let mut model = Model::load(&args.of.model, kind)?;
        let file = ModelFile::load(&args.of.model).map_err(|e| unreadable(&args.of.model, e))?;
        let mut config = settings(&args.of.model)?;
        (config.backend, config.data.source, config.seed) =
            (kind, args.of.data.clone(), args.seed.unwrap_or(config.seed));
        let set = TrainingSet::with_map(&config, load(&args.of.data, config.seed)?, model.preprocessing().clone())?;
        if set.train.cols != model.d_in() {
            let expected = format!("{}, the input width of the model", model.d_in());
            return Err(Error::input(&set.train.name, format!("rows have {} columns", set.train.cols), expected));
        }
        let units = Units::measure(&mut model, &file, &set.train.data)?;
        let choice = Choice { threshold: args.threshold, cosine: args.duplicates, keep: args.keep };
        let removed = units.choose(&choice, &mut model, &file, &set.train.data)?;
        let Pruned { model: left, removed, .. } = prune(&file, removed, !args.no_fold)?;
        let judged = if set.test.rows > 0 { &set.test } else { &set.train };
        let (part, peak) =
            (if set.test.rows > 0 { "test" } else { "all" }, measures::peak(model.preprocessing(), judged.range()));
        let threshold = config.train.threshold_active as f32;
        let evaluate =
            |file: &ModelFile| Model::new(file.clone(), kind, "the pruned model")?.evaluate(&judged.data, threshold);
        let mut found = vec![("before", evaluate(&file)?), ("pruned", evaluate(&left)?)];
        let dir = RunDir::create(Some(&args.out), "pruned", &config)?;
        let left = match args.finetune {
            None | Some(0) => left,
            Some(epochs) => {
                let tuned = finetune(&left, &config, set.clone(), epochs, &mut Silent)?;
                found.push(("fine-tuned", evaluate(&tuned)?));
                tuned
            }
        };
        left.save(&dir.path).map_err(|e| Error::Failed(format!("cannot be written: {e}")))?;
        let untied = file.cfg.tied && !left.cfg.tied;
        let change = Change { before: file.d_hid, after: left.d_hid, removed: &removed, untied };
        report(&args, &change, &found, (part, judged.rows), peak)
    })
}

/// What cannot be meant, before anything is read.
fn check(args: &PruneArgs) -> Result {
    if args.threshold.is_none() && args.duplicates.is_none() && args.keep.is_none() {
        return Err(Error::setting("sae prune", "nothing says which units go", "--threshold, --duplicates or --keep"));
    }
    if let Some(threshold) = args.threshold.filter(|t| !(t.is_finite() && *t >= 0.0)) {
        return Err(Error::setting("--threshold", threshold.to_string(), "a finite number, at least 0"));
    }
    if let Some(cosine) = args.duplicates.filter(|c| !(*c > 0.0 && *c <= 1.0)) {
        return Err(Error::setting("--duplicates", cosine.to_string(), "a cosine above 0, at most 1"));
    }
    if args.keep == Some(0) {
        return Err(Error::setting("--keep", "0", "at least 1"));
    }
    Ok(())
}

/// The settings of the run that the model came from, where it is a run directory; else the defaults.
fn settings(model: &Path) -> Result<Config> {
    let path = model.join(CONFIG);
    if path.is_file() { Config::load(Some(&path), &[]) } else { Config::load(None, &[]) }
}

/// What became of the units.
struct Change<'a> {
    before: usize,
    after: usize,
    removed: &'a [Removed],
    /// Whether the decoder got weights of its own.
    untied: bool,
}

fn report(
    args: &PruneArgs,
    &Change { before, after, removed, untied }: &Change<'_>,
    found: &[(&str, Evaluation)],
    (part, rows): (&str, usize),
    peak: f64,
) -> Result {
    if args.json {
        let mut object = json!({
            "model": args.of.model.display().to_string(),
            "data": args.of.data,
            "out": args.out.display().to_string(),
            "units_before": before,
            "units_after": after,
            "removed": removed,
            "untied": untied,
            "part": part,
        });
        for (name, evaluation) in found {
            object[name.replace('-', "_")] = measures::to_json(evaluation, peak)?;
        }
        return output::print_json(&object);
    }
    let mut text = format!("{before} units, {} removed, {after} left\n", removed.len());
    for unit in removed.iter().take(LISTED) {
        let why = match unit.reason {
            Reason::Quiet => "hardly answers".to_owned(),
            Reason::Light => "weighs little".to_owned(),
            Reason::Twin { of, cosine, .. } => format!("merged into unit {of}, cosine {cosine:.4}"),
        };
        let (mean, weight) = (measures::short(unit.mean), measures::short(unit.weight));
        text += &format!("  unit {:>5}  mean activation {mean:>9}  weight {weight:>9}  {why}\n", unit.unit);
    }
    if removed.len() > LISTED {
        text += &format!("  and {} more: --json lists all\n", removed.len() - LISTED);
    }
    if untied {
        text += "  the weights are no longer tied: decoder rows took over what duplicates added\n";
    }
    let columns: Vec<(&str, &Evaluation)> = found.iter().map(|(name, evaluation)| (*name, evaluation)).collect();
    text += &format!("\non {rows} rows ({part})\n{}", measures::table(&columns, peak)?);
    let (first, last) = (found[0].1.mse, found[found.len() - 1].1.mse);
    text += &format!("\nMSE {:+.2}%; left in {}\n", 100.0 * (last / first - 1.0), args.out.display());
    output::print(&text)
}
