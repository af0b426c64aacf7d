//! `sae train`.

mod begin;
mod drive;

use std::path::Path;

use super::args::TrainArgs;
use super::overrides::Overrides;
use super::{finish, output, system};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::measure::peak_gflops;
use crate::train::Trainer;

use begin::Session;

pub(super) fn run(args: TrainArgs, overrides: Overrides) -> Result {
    let settings = args.settings.pairs(overrides);
    match &args.resume {
        None => {
            let config = Config::load(args.settings.config.as_deref(), &settings)?;
            system::pool(config.threads)?.install(|| train(begin::start(config, &args)?, &args))
        }
        Some(dir) => {
            let resumed = begin::find(dir, &args, &settings)?;
            system::pool(resumed.config.threads)?.install(|| train(begin::go_on(resumed, &args)?, &args))
        }
    }
}

fn train(mut session: Session, args: &TrainArgs) -> Result {
    if !args.quiet {
        output::say(&opening(&session.trainer, &session.dir.path));
        if let Some(stream) = &session.trainer.set().stream {
            output::say(&stream.describe());
        }
        if session.from.is_some() {
            output::say(&format!(
                "goes on after step {} of {}",
                session.trainer.state().step,
                session.trainer.plan().steps
            ));
        }
    }
    let peak_gflops = peak_gflops(session.trainer.backend().1)?;
    drive::drive(&mut session, peak_gflops, args)?;
    // The folder stays locked up to the end.
    let Session { mut trainer, dir, .. } = session;
    finish::run(&mut trainer, &dir.path, peak_gflops, args)
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
        set.train_rows(),
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
