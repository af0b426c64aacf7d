//! `sae train`.

use std::path::Path;

use serde_json::{Value, json};

use super::args::TrainArgs;
use super::overrides::Overrides;
use super::progress::Progress;
use super::run_dir::{CONFIG, CURVES, FILTERS, METRICS, RunDir};
use super::{measures, output, system};
use crate::config::{Config, SparsityKind};
use crate::error::{Error, Result};
use crate::eval::baseline::mean_mse;
use crate::measure::peak_gflops;
use crate::model::Evaluation;
use crate::model::file::{CONFIG_FILE, WEIGHTS_FILE};
use crate::report::board::{Board, BoardOptions};
use crate::report::curves::{self, CurvesOptions};
use crate::report::filters::{FilterOptions, FilterSheet};
use crate::train::metrics::{self, EpochMeasures, Measures, MetricsWriter, Record};
use crate::train::{Observer, Part, Summary, Trainer, TrainingSet};

pub(super) fn run(args: TrainArgs, overrides: Overrides) -> Result {
    let named =
        [("data.source", &args.data), ("backend", &args.backend), ("threads", &args.threads), ("seed", &args.seed)];
    let named = named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
    let settings: Overrides = named.chain(overrides).collect();
    let config = Config::load(args.config.as_deref(), &settings)?;
    let pool = system::pool(config.threads)?;
    pool.install(|| train(config, &args))
}

fn train(config: Config, args: &TrainArgs) -> Result {
    let set = TrainingSet::load(&config)?;
    for warning in &set.warnings {
        output::say(&format!("warning: {warning}"));
    }
    let mut trainer = Trainer::with_set(config, set)?;
    let dir = RunDir::create(args.out.as_deref(), &trainer.set().train.name, trainer.config())?;
    if !args.quiet {
        output::say(&opening(&trainer, &dir.path));
    }
    let log = dir.file(METRICS);
    let plan = trainer.plan();
    let peak_gflops = peak_gflops(trainer.backend().1)?;
    let mut watch = Watch {
        log: MetricsWriter::create(&log).map_err(failed)?,
        progress: Progress::new(args.quiet, plan.steps, plan.steps.div_ceil(plan.steps_per_epoch.max(1))),
        board: board(&trainer, &dir.path, peak_gflops)?,
        epoch_ended: false,
    };
    let mut done = Ok(());
    while done.is_ok() && !trainer.is_done() {
        done = trainer.advance(&mut watch).and_then(|()| watch.look(&mut trainer));
    }
    watch.progress.finish();
    // What was measured is kept, also where the run failed.
    watch.log.flush().map_err(failed)?;
    done?;
    let summary = trainer.summary()?;
    trainer.model()?.save(&dir.path).map_err(failed)?;
    pictures(&trainer, &dir, &log)?;
    let files = [CONFIG, METRICS, WEIGHTS_FILE, CONFIG_FILE, FILTERS, CURVES];
    report(&mut trainer, &summary, &dir.path, &files, args.json)
}

/// The log and the progress of a run.
struct Watch {
    log: MetricsWriter,
    progress: Progress,
    board: Option<Board>,
    /// Since the model was looked at.
    epoch_ended: bool,
}

impl Watch {
    /// Between two steps.
    fn look(&mut self, trainer: &mut Trainer) -> Result {
        match &mut self.board {
            Some(board) if std::mem::take(&mut self.epoch_ended) => {
                let last = trainer.is_done();
                board.look(trainer, last)
            }
            _ => Ok(()),
        }
    }
}

fn board(trainer: &Trainer, folder: &Path, peak_gflops: f64) -> Result<Option<Board>> {
    let config = trainer.config();
    if !config.train.tensorboard {
        return Ok(None);
    }
    let options = BoardOptions {
        from_step: trainer.state().step,
        steps: trainer.plan().steps,
        flops_per_sample: flops_per_sample(trainer),
        peak_gflops: Some(peak_gflops),
        share: config.train.tensorboard_share,
    };
    Board::create(folder, config, options).map(Some)
}

/// Operations of a step for each sample: five products.
fn flops_per_sample(trainer: &Trainer) -> f64 {
    10.0 * trainer.set().train.cols as f64 * trainer.config().model.d_hid as f64
}

impl Observer for Watch {
    fn step(&mut self, measures: &Measures) -> Result {
        self.progress.step(measures);
        if let Some(board) = &mut self.board {
            board.step(measures)?;
        }
        self.log.write(&Record::Step(measures.clone())).map_err(failed)
    }

    fn epoch(&mut self, measures: &EpochMeasures) -> Result {
        self.progress.epoch(measures);
        self.epoch_ended = true;
        if let Some(board) = &mut self.board {
            board.epoch(measures)?;
        }
        self.log.write(&Record::Epoch(measures.clone())).map_err(failed)
    }
}

/// An output that could not be written, after it could be at the start.
fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(format!("cannot be written: {error}"))
}

fn opening(trainer: &Trainer, dir: &Path) -> String {
    let (config, set) = (trainer.config(), trainer.set());
    let (backend, isa) = trainer.backend();
    format!(
        "{}: {} rows to train on, {} to validate, {} to test, {} columns; {} x {} x {} {}-{}; {backend} on {isa}, {} threads; {}",
        set.train.name,
        set.train.rows,
        set.validation.rows,
        set.test.rows,
        set.train.cols,
        set.train.cols,
        config.model.d_hid,
        set.train.cols,
        config.model.hidden,
        config.model.output,
        rayon::current_num_threads(),
        dir.display(),
    )
}

fn pictures(trainer: &Trainer, dir: &RunDir, log: &Path) -> Result {
    let (config, set) = (trainer.config(), trainer.set());
    let model = trainer.model()?;
    let options = FilterOptions { image: set.train.image, ..FilterOptions::default() };
    let sheet = FilterSheet::draw(&model.w_enc, model.d_in, model.d_hid, &options).map_err(failed)?;
    sheet.save(&dir.file(FILTERS)).map_err(failed)?;
    let records = metrics::read(log).map_err(failed)?.records;
    let options = CurvesOptions {
        title: format!("{}, {}-{}-{}", set.train.name, model.d_in, model.d_hid, model.d_in),
        per: config.loss.convention.name().trim_start_matches("per_").to_owned(),
        rho: (config.sparsity.kind == SparsityKind::Kl).then_some(config.sparsity.rho),
    };
    curves::save(&dir.file(CURVES), &records, &options).map_err(failed)
}

fn report(trainer: &mut Trainer, summary: &Summary, dir: &Path, files: &[&str], as_json: bool) -> Result {
    let mut found: Vec<(&str, Evaluation)> = Vec::new();
    for (name, part) in [("train", Part::Train), ("validation", Part::Validation), ("test", Part::Test)] {
        found.extend(trainer.evaluate(part)?.map(|evaluation| (name, evaluation)));
    }
    let set = trainer.set();
    let peak = measures::peak(&set.preprocessing, set.train.range());
    let judged = if set.test.rows > 0 { &set.test } else { &set.train };
    let mean = mean_mse(&set.train.data, &judged.data, set.train.cols)?;
    let judge = found.iter().find(|(name, _)| *name == "test").or(found.first());
    if let Some((name, evaluation)) = judge.filter(|(_, evaluation)| evaluation.mse >= mean) {
        output::say(&format!(
            "warning: the MSE on {name}, {}, is not below that of the mean training row, {}: it takes more steps \
             (train.epochs), larger ones (optimizer.lr) or a weaker penalty (sparsity.beta)",
            measures::short(evaluation.mse),
            measures::short(mean)
        ));
    }
    if as_json {
        let (backend, isa) = trainer.backend();
        let mut object = json!({
            "out": dir.display().to_string(),
            "steps": summary.steps,
            "epochs": summary.epochs,
            "seconds": summary.seconds,
            "samples_per_s": summary.samples_per_s,
            "backend": backend.name(),
            "isa": isa.name(),
            "threads": rayon::current_num_threads(),
            "d_in": set.train.cols,
            "d_hid": trainer.config().model.d_hid,
            "mean_mse": mean,
            "files": files,
        });
        for (name, evaluation) in &found {
            object[*name] = measures::to_json(evaluation, peak)?;
        }
        for absent in ["validation", "test"] {
            if object.get(absent).is_none() {
                object[absent] = Value::Null;
            }
        }
        return output::print_json(&object);
    }
    let rows: Vec<(&str, &Evaluation)> = found.iter().map(|(name, evaluation)| (*name, evaluation)).collect();
    let Summary { steps, epochs, seconds, samples_per_s, .. } = summary;
    output::print(&format!(
        "{steps} steps, {epochs} epochs, {seconds:.2} s, {samples_per_s:.0} samples/s\n{}MSE of the mean training row, on {}: {}\n{}: {}\n",
        measures::table(&rows, peak)?,
        if set.test.rows > 0 { "test" } else { "train" },
        measures::short(mean),
        dir.display(),
        files.join(", "),
    ))
}
