//! The steps of a run, with a checkpoint whenever one is due.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::checkpoint::Store;
use crate::cli::args::TrainArgs;
use crate::cli::interrupt::Interrupt;
use crate::cli::progress::{Extent, Progress};
use crate::cli::{finish, output};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::report::board::{Board, BoardOptions};
use crate::report::record::quoted;
use crate::train::metrics::{EpochMeasures, Measures, MetricsWriter, Record};
use crate::train::{Observer, Trainer};

use super::begin::Session;
use super::failed;

/// Trains up to the end of the run, or to a signal.
///
/// # Errors
/// [`Error::Interrupted`] after a signal, with a checkpoint where that could be written; what ends the run otherwise.
pub(super) fn drive(session: &mut Session, peak_gflops: f64, args: &TrainArgs) -> Result {
    let Session { trainer, dir, store, log, from } = session;
    let interrupt = Interrupt::listen()?;
    let plan = trainer.plan();
    let extent = Extent {
        steps: plan.steps,
        epochs: plan.steps.div_ceil(plan.steps_per_epoch.max(1)),
        flops_per_sample: finish::flops_per_sample(trainer),
        peak_gflops,
    };
    let mut watch = Watch {
        log,
        progress: Progress::new(args.quiet, extent),
        json: args.json,
        board: board(trainer, &dir.path, peak_gflops)?,
        epoch_ended: false,
    };
    let mut saves = Saves::new(&trainer.config().train, store, trainer.state().step, from.clone());
    let outcome = steps(trainer, &mut watch, &mut saves, &interrupt, &dir.path);
    watch.progress.finish();
    // What was measured is kept, also where the run failed.
    let flushed = watch.log.flush().map_err(failed);
    // From here on everything is short, and nothing of it is lost: a signal ends the process.
    interrupt.arm();
    outcome.map_err(|error| match error {
        Error::Failed(told) => Error::Failed(match &saves.newest {
            Some(path) => format!("{told}; the last good checkpoint is {}", path.display()),
            None => format!("{told}; there was no checkpoint yet"),
        }),
        other => other,
    })?;
    flushed
}

fn steps(
    trainer: &mut Trainer,
    watch: &mut Watch<'_>,
    saves: &mut Saves<'_>,
    interrupt: &Interrupt,
    dir: &Path,
) -> Result {
    while !trainer.is_done() {
        trainer.advance(watch)?;
        watch.look(trainer)?;
        let step = trainer.state().step;
        if let Some(signal) = interrupt.received().filter(|_| !trainer.is_done()) {
            let kept = saves.save(trainer, watch);
            let told = match (kept, &saves.newest) {
                (Ok(()), _) => {
                    format!(
                        "stopped after step {step}; sae train --resume {} goes on from there",
                        quoted(&dir.to_string_lossy())
                    )
                }
                (Err(error), Some(newest)) => {
                    return Err(Error::Failed(format!(
                        "stopped after step {step} without a checkpoint of it: {error}; the last one is {}",
                        newest.display()
                    )));
                }
                (Err(error), None) => return Err(error),
            };
            return Err(Error::Interrupted { code: signal.exit_code(), told });
        }
        if saves.are_due(step) && !trainer.is_done() {
            saves.try_save(trainer, watch)?;
        }
    }
    if saves.at_step != trainer.state().step || saves.newest.is_none() {
        saves.try_save(trainer, watch)?;
    }
    Ok(())
}

/// When checkpoints are due, and the newest.
struct Saves<'a> {
    store: &'a Store,
    /// Steps between two; 0 for no limit.
    steps: u64,
    /// Time between two.
    every: Option<Duration>,
    at_step: u64,
    at: Instant,
    newest: Option<PathBuf>,
}

impl<'a> Saves<'a> {
    fn new(config: &TrainConfig, store: &'a Store, at_step: u64, newest: Option<PathBuf>) -> Self {
        let seconds = 60.0 * config.checkpoint_minutes;
        let every = if seconds > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None };
        Self { store, steps: config.checkpoint_steps, every, at_step, at: Instant::now(), newest }
    }

    fn are_due(&self, step: u64) -> bool {
        let by_steps = self.steps > 0 && step - self.at_step >= self.steps;
        by_steps || self.every.is_some_and(|every| self.at.elapsed() >= every)
    }

    /// Writes a checkpoint, the log before it: where the one is on disk, so is the other.
    fn save(&mut self, trainer: &Trainer, watch: &mut Watch<'_>) -> Result {
        watch.log.sync().map_err(failed)?;
        self.newest = Some(self.store.save(trainer.checkpoint()?)?);
        (self.at_step, self.at) = (trainer.state().step, Instant::now());
        Ok(())
    }

    /// The same where a file system that refuses is no reason to end the run: the older checkpoints are still there.
    fn try_save(&mut self, trainer: &Trainer, watch: &mut Watch<'_>) -> Result {
        match self.save(trainer, watch) {
            Err(error @ Error::Write { .. }) => {
                watch.progress.say(&format!("warning: no checkpoint of step {}: {error}", trainer.state().step));
                (self.at_step, self.at) = (trainer.state().step, Instant::now());
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// The log and the progress of a run.
struct Watch<'a> {
    log: &'a mut MetricsWriter,
    progress: Progress,
    /// Whether each epoch is a line on stdout.
    json: bool,
    board: Option<Board>,
    /// Since the model was looked at.
    epoch_ended: bool,
}

impl Watch<'_> {
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

impl Observer for Watch<'_> {
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
