//! A run that starts, or goes on.

use std::path::{Path, PathBuf};

use crate::atomic;
use crate::checkpoint::{Found, Store};
use crate::cli::args::TrainArgs;
use crate::cli::output;
use crate::cli::overrides::Overrides;
use crate::cli::run_dir::{CONFIG, METRICS, RunDir};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::train::metrics::MetricsWriter;
use crate::train::{Trainer, TrainingSet};

use super::failed;

/// A run that is ready for its next step.
pub(super) struct Session {
    pub(super) trainer: Trainer,
    pub(super) dir: RunDir,
    pub(super) store: Store,
    pub(super) log: MetricsWriter,
    /// The checkpoint it goes on from.
    pub(super) from: Option<PathBuf>,
}

/// A run that is to go on: its folder, its settings as they are to be, and its newest checkpoint.
pub(super) struct Resumed {
    dir: RunDir,
    found: Option<Found>,
    pub(super) config: Config,
}

/// Starts a run in a new folder.
pub(super) fn start(config: Config, args: &TrainArgs) -> Result<Session> {
    let set = TrainingSet::load(&config)?;
    warn(&set);
    let trainer = Trainer::with_set(config, set)?;
    let dir = RunDir::create(args.out.as_deref(), &trainer.set().train.name, trainer.config())?;
    let log = MetricsWriter::create(&dir.file(METRICS)).map_err(failed)?;
    // The names of both are on disk before the first checkpoint is.
    atomic::sync_parent(&dir.file(METRICS)).map_err(failed)?;
    let store = Store::new(&dir.path, trainer.config().train.keep);
    Ok(Session { trainer, dir, store, log, from: None })
}

/// Locks the folder of a run and reads what is there.
pub(super) fn find(path: &Path, args: &TrainArgs, settings: &Overrides) -> Result<Resumed> {
    let dir = RunDir::open(path)?;
    let found = Store::new(path, 1).newest()?;
    let own = dir.file(CONFIG);
    let config = match (&args.settings.config, &found) {
        (Some(file), _) => Config::load(Some(file), settings)?,
        (None, Some(found)) if !own.is_file() => Config::parse(&found.checkpoint.config, "checkpoint", settings)?,
        _ => Config::load(Some(&own), settings)?,
    };
    Ok(Resumed { dir, found, config })
}

/// Goes on with a run.
pub(super) fn go_on(resumed: Resumed, args: &TrainArgs) -> Result<Session> {
    let Resumed { dir, found, config } = resumed;
    let unusable = found.as_ref().map_or(&[][..], |found| &found.unusable);
    for line in unusable {
        output::say(&format!("warning: {line}; it is set aside"));
    }
    let trainer = match &found {
        Some(found) => Trainer::resume(config, &found.checkpoint, args.force)?,
        None => from_the_start(config, &dir, args.force)?,
    };
    warn(trainer.set());
    let step = trainer.state().step;
    let store = Store::new(&dir.path, trainer.config().train.keep);
    store.set_aside_after(step)?;
    dir.write_settings(trainer.config())?;
    let inside_epoch = trainer.state().position.batch > 0 && !trainer.is_done();
    let log = MetricsWriter::resume(&dir.file(METRICS), step, inside_epoch)?;
    Ok(Session { trainer, dir, store, log, from: found.map(|found| found.path) })
}

/// A run that has no checkpoint yet begins again, in its folder.
fn from_the_start(config: Config, dir: &RunDir, force: bool) -> Result<Trainer> {
    let changes = Config::load(Some(&dir.file(CONFIG)), &[])?.changes(&config)?;
    if !force && !changes.is_empty() {
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        return Err(Error::setting("--resume", changes.join("; "), "the settings of the run, or --force"));
    }
    output::say(&format!("{}: there is no checkpoint yet; the run begins again at step 0", dir.path.display()));
    Trainer::new(config)
}

fn warn(set: &TrainingSet) {
    for warning in &set.warnings {
        output::say(&format!("warning: {warning}"));
    }
}
