//! `sae sweep`.

mod leave;
mod render;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::args::SweepArgs;
use super::overrides::Overrides;
use super::run_dir::{CONFIG, METRICS, numbered};
use super::{output, system};
use crate::atomic;
use crate::config::Config;
use crate::error::{Error, Result, one_line};
use crate::measure::peak_gflops;
use crate::report::record::RunRecord;
use crate::sweep::{Outcome, Planned, SETTINGS_FILE, Speed, Status, Sweep, groups};
use crate::train::metrics::{EpochMeasures, MetricsWriter, Record};
use crate::train::{Cohort, Observer, Silent, Trainer, TrainingSet};

/// Why a run has no model, a line.
const FAILED: &str = "failed.txt";
/// A line for each group that was trained together.
const SPEED: &str = "speed.jsonl";
/// The share of a group's time that timing one of its runs alone takes.
const ALONE_SHARE: f64 = 0.05;
/// Steps that it makes at a time; the first of them finds its data in no cache and is not counted.
const ALONE_STEPS: u64 = 9;

pub(super) fn run(args: SweepArgs, overrides: Overrides) -> Result {
    let settings = args.settings.pairs(overrides);
    let (sweep, dir) = match (&args.resume, &args.settings.config) {
        (None, Some(config)) => {
            let sweep = Sweep::load(config, &settings)?;
            let dir = create(args.out.as_deref())?;
            let path = dir.join(SETTINGS_FILE);
            atomic::write(&path, sweep.to_toml()?.as_bytes()).map_err(|error| Error::Write { path, error })?;
            (sweep, dir)
        }
        (Some(dir), None) => {
            if let Some((key, _)) = settings.first() {
                let place = format!("--{}", key.trim_start_matches('-'));
                return Err(Error::setting(place, "a setting with --resume", "none: a sweep goes on as it began"));
            }
            (Sweep::load(&dir.join(SETTINGS_FILE), &[])?, dir.clone())
        }
        _ => return Err(Error::setting("--config", "there is none", "a TOML file with [sweep], or --resume DIR")),
    };
    system::pool(sweep.base.threads)?.install(|| train(&sweep, &dir, &args))
}

fn train(sweep: &Sweep, dir: &Path, args: &SweepArgs) -> Result {
    let width = sweep.runs.len().to_string().len();
    let runs: Vec<Run> = sweep.runs.iter().enumerate().map(|(i, planned)| Run::new(dir, i, width, planned)).collect();
    let mut pending = Vec::new();
    for run in &runs {
        run.require_settings()?;
        if run.status() == Status::Pending {
            pending.push(run);
        }
    }
    let configs: Vec<&Config> = pending.iter().map(|run| &run.planned.config).collect();
    let groups = groups(&configs, sweep.together);
    let say = |line: &str| {
        if !args.quiet {
            output::say(line);
        }
    };
    say(&format!(
        "{} runs, {} to train in {} groups; {} threads; {}",
        runs.len(),
        pending.len(),
        groups.len(),
        rayon::current_num_threads(),
        dir.display()
    ));
    let mut data: Option<(Config, Arc<TrainingSet>)> = None;
    for (number, group) in groups.iter().enumerate() {
        let group: Vec<&Run> = group.iter().map(|&index| pending[index]).collect();
        let config = &group[0].planned.config;
        let set = match &data {
            Some((last, set)) if same_data(last, config) => Arc::clone(set),
            _ => {
                let set = Arc::new(TrainingSet::load(config)?);
                set.warnings.iter().for_each(|warning| output::say(&format!("warning: {warning}")));
                data = Some((config.clone(), Arc::clone(&set)));
                set
            }
        };
        let started = Instant::now();
        let speed = train_group(&group, &set)?;
        append(&dir.join(SPEED), &speed)?;
        let brought = match speed.alone_steps {
            0 => String::new(),
            _ => format!(", {:.2} times as fast as one after the other", speed.one_by_one() / speed.seconds),
        };
        say(&format!(
            "group {} of {}: {} runs of {} x {}, {:.1} s{brought}",
            number + 1,
            groups.len(),
            group.len(),
            set.train.cols,
            config.model.d_hid,
            started.elapsed().as_secs_f64(),
        ));
    }
    let outcomes: Vec<Outcome> = runs.iter().map(Run::outcome).collect();
    render::run(sweep, &outcomes, &speeds(&dir.join(SPEED)), dir, args.json)
}

/// Whether the two train on one set.
fn same_data(a: &Config, b: &Config) -> bool {
    let of = |c: &Config| (c.data.clone(), c.seed, c.train.shuffle, c.model.output, c.loss.reconstruction);
    of(a) == of(b)
}

/// Trains runs together, leaves their files, and times one of them alone.
fn train_group(group: &[&Run], set: &Arc<TrainingSet>) -> Result<Speed> {
    let mut logs = group.iter().map(|run| run.begin()).collect::<Result<Vec<_>>>()?;
    let configs: Vec<Config> = group.iter().map(|run| run.planned.config.clone()).collect();
    let mut alone = Alone {
        config: configs[0].clone(),
        set: Arc::clone(set),
        trainer: None,
        steps: 0,
        seconds: 0.0,
        diverged: false,
    };
    let (ended, seconds, steps) = if let [config] = &configs[..] {
        // By a trainer, which knows every setting.
        let mut trainer = Trainer::with_set(config.clone(), Arc::clone(set))?;
        let error = trainer.run(&mut logs[0]).err();
        let (seconds, steps) = (trainer.state().seconds(), trainer.state().step);
        (vec![(trainer, error)], seconds, steps)
    } else {
        let mut cohort = Cohort::new(configs.clone(), Arc::clone(set))?;
        let mut observers: Vec<&mut dyn Observer> = logs.iter_mut().map(|log| log as &mut dyn Observer).collect();
        // In turn, so that whatever else the machine does meets both.
        while !cohort.is_done() {
            cohort.advance(&mut observers)?;
            alone.advance(ALONE_SHARE * cohort.seconds())?;
        }
        let (seconds, steps) = (cohort.seconds(), cohort.steps());
        (cohort.into_runs(), seconds, steps)
    };
    logs.iter_mut().try_for_each(|log| log.0.flush()).map_err(failed)?;
    let peak_gflops = peak_gflops(ended[0].0.backend().1)?;
    for (run, (mut trainer, error)) in group.iter().zip(ended) {
        match error {
            None => leave::run(&mut trainer, &run.path, peak_gflops)?,
            Some(error) => {
                let line = format!("{}\n", one_line(&error.to_string()));
                atomic::write(&run.path.join(FAILED), line.as_bytes()).map_err(failed)?;
            }
        }
    }
    let threads = rayon::current_num_threads();
    Ok(Speed { runs: group.len(), steps, seconds, alone_steps: alone.steps, alone_seconds: alone.seconds, threads })
}

/// A run of a group once more, alone: how fast its steps are.
struct Alone {
    config: Config,
    set: Arc<TrainingSet>,
    trainer: Option<Trainer>,
    steps: u64,
    seconds: f64,
    diverged: bool,
}

impl Alone {
    /// Makes some steps where fewer than these seconds have been spent on them; a run that comes to its end begins again.
    /// One that diverges is timed up to there.
    fn advance(&mut self, seconds: f64) -> Result {
        if self.seconds >= seconds || self.diverged {
            return Ok(());
        }
        if self.trainer.as_ref().is_none_or(Trainer::is_done) {
            self.trainer = Some(Trainer::with_set(self.config.clone(), Arc::clone(&self.set))?);
        }
        let Some(trainer) = &mut self.trainer else { return Ok(()) };
        let mut from = None;
        for _ in 0..ALONE_STEPS {
            if trainer.advance(&mut Silent).is_err() {
                self.diverged = true;
                break;
            }
            from.get_or_insert((trainer.state().step, trainer.state().seconds()));
        }
        if let Some((step, start)) = from {
            self.steps += trainer.state().step - step;
            self.seconds += trainer.state().seconds() - start;
        }
        Ok(())
    }
}

/// A run of the sweep, and its folder.
struct Run<'a> {
    name: String,
    path: PathBuf,
    planned: &'a Planned,
}

impl<'a> Run<'a> {
    fn new(dir: &Path, index: usize, width: usize, planned: &'a Planned) -> Self {
        let name = format!("run-{:0width$}", index + 1);
        Self { path: dir.join(&name), name, planned }
    }

    /// Refuses a folder of other settings.
    fn require_settings(&self) -> Result {
        let path = self.path.join(CONFIG);
        if path.exists() && Config::load(Some(&path), &[])? != self.planned.config {
            let expected = format!("those of {} in the sweep", self.name);
            return Err(Error::input(path.display(), "these are other settings", expected));
        }
        Ok(())
    }

    fn status(&self) -> Status {
        if let Some(record) = RunRecord::load(&self.path) {
            return Status::Done(Box::new(record));
        }
        match fs::read_to_string(self.path.join(FAILED)) {
            Ok(line) => Status::Failed(one_line(line.trim())),
            Err(_) => Status::Pending,
        }
    }

    fn outcome(&self) -> Outcome {
        Outcome { name: self.name.clone(), values: self.planned.values.clone(), status: self.status() }
    }

    /// Makes the folder, with the settings and an empty log.
    fn begin(&self) -> Result<Log> {
        fs::create_dir_all(&self.path).map_err(|error| Error::Write { path: self.path.clone(), error })?;
        let settings = self.planned.config.to_toml()?;
        atomic::write(&self.path.join(CONFIG), settings.as_bytes()).map_err(failed)?;
        Ok(Log(MetricsWriter::create(&self.path.join(METRICS)).map_err(failed)?))
    }
}

/// The log of a run: of epochs alone, as there are many runs.
struct Log(MetricsWriter);

impl Observer for Log {
    fn epoch(&mut self, measures: &EpochMeasures) -> Result {
        self.0.write(&Record::Epoch(measures.clone())).map_err(failed)
    }
}

/// The folder of a new sweep.
fn create(out: Option<&Path>) -> Result<PathBuf> {
    let Some(out) = out else { return numbered(Path::new("runs"), "sweep") };
    let refused = |found: String| {
        let place = format!("--out {}", one_line(&out.to_string_lossy()));
        Error::setting(place, found, "a new or empty folder (--resume DIR goes on with a sweep)")
    };
    match fs::read_dir(out) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(refused("this folder is not empty".to_owned())),
            None => Ok(out.to_owned()),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => match fs::create_dir_all(out) {
            Ok(()) => Ok(out.to_owned()),
            Err(e) => Err(refused(format!("cannot be written: {}", e.kind()))),
        },
        Err(e) => Err(refused(format!("cannot be read: {}", e.kind()))),
    }
}

fn append(path: &Path, speed: &Speed) -> Result {
    let mut text = fs::read_to_string(path).unwrap_or_default();
    text += &serde_json::to_string(speed).map_err(failed)?;
    text.push('\n');
    atomic::write(path, text.as_bytes()).map_err(failed)
}

/// What was written; a line that is not to be understood is left out.
fn speeds(path: &Path) -> Vec<Speed> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(format!("cannot be written: {error}"))
}
