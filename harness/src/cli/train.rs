//! `sae train`.

use std::path::Path;

use super::args::TrainArgs;
use super::overrides::Overrides;
use super::progress::{Extent, Progress};
use super::run_dir::{METRICS, RunDir};
use super::{finish, output, system};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::measure::peak_gflops;
use crate::report::board::{Board, BoardOptions};
use crate::train::metrics::{EpochMeasures, Measures, MetricsWriter, Record};
use crate::train::{Observer, Trainer, TrainingSet};

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
        progress: Progress::new(
            args.quiet,
            Extent {
                steps: plan.steps,
                epochs: plan.steps.div_ceil(plan.steps_per_epoch.max(1)),
                flops_per_sample: finish::flops_per_sample(&trainer),
                peak_gflops,
            },
        ),
        json: args.json,
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
    finish::run(&mut trainer, &dir.path, peak_gflops, args)
}

/// The log and the progress of a run.
struct Watch {
    log: MetricsWriter,
    progress: Progress,
    /// Whether each epoch is a line on stdout.
    json: bool,
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
        flops_per_sample: finish::flops_per_sample(trainer),
        peak_gflops: Some(peak_gflops),
        share: config.train.tensorboard_share,
    };
    Board::create(folder, config, options).map(Some)
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
        let record = Record::Epoch(measures.clone());
        if self.json {
            output::print_json(&serde_json::to_value(&record).map_err(failed)?)?;
        }
        self.log.write(&record).map_err(failed)
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
