//! Experiments: published results, done again, each with a gate.
//!
//! A file under `harness/experiments/` states an experiment: what is measured, the published figure and its source, the
//! settings of the training, the seeds, and the gates that the measured values have to pass. The code of a measure is here, one
//! file each. [`Experiment::run`] runs it for every seed; [`page::write`] makes the page of all that have been run.

pub mod filters;
mod lanes;
mod measures;
pub mod page;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::Config;
use crate::error::{Error, Result, nearest};

/// An experiment, as its file states it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Its name: that of the file.
    #[serde(skip)]
    pub name: String,
    /// Which code measures it.
    pub measure: String,
    /// What it is, on one line.
    pub title: String,
    /// What was published, and where.
    pub published: String,
    /// The folder of the data that it needs, where it needs one.
    #[serde(default)]
    pub needs: Option<String>,
    /// It is run once with each.
    pub seeds: Vec<u64>,
    /// What has to hold.
    pub gates: Vec<Gate>,
    /// Numbers of the measure.
    #[serde(default)]
    pub settings: Table,
    /// The settings of the training, as `sae train` takes them; `{data}` in `data.source` is the folder of the data.
    #[serde(default)]
    pub run: Table,
}

/// A bound on a measured value, for every seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Which value.
    pub value: String,
    /// It is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// It is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// It is stated, whatever it is: the bound of a gate that has no other. What is not finite is not stated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stated: bool,
}

/// What was measured with one seed.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Values by name, in the order in which they are shown.
    pub values: Vec<(String, f64)>,
    /// Pictures and tables, by the end of their names.
    pub files: Vec<(String, Vec<u8>)>,
}

/// An experiment that has been run, as it is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The experiment's name.
    pub name: String,
    /// The same as in its file.
    pub title: String,
    /// The same.
    pub published: String,
    /// The same.
    pub seeds: Vec<u64>,
    /// Values by name, one a seed.
    pub values: Vec<Series>,
    /// The gates, with whether they hold.
    pub gates: Vec<Judged>,
    /// Files beside the record.
    pub files: Vec<String>,
    /// Seconds of all seeds together.
    pub seconds: f64,
    /// The processor they were spent on.
    pub processor: String,
    /// Threads.
    pub threads: usize,
}

/// A value for every seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// In the order of the seeds.
    pub of_seeds: Vec<f64>,
}

/// A gate and whether it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The gate.
    #[serde(flatten)]
    pub gate: Gate,
    /// Whether every seed passes.
    pub holds: bool,
}

/// What a measure works with.
pub(crate) struct Context<'a> {
    experiment: &'a Experiment,
    data: &'a Path,
    pub(crate) seed: u64,
    /// Whether this is the first seed: pictures are of that one.
    pub(crate) first: bool,
}

impl Experiment {
    /// Reads an experiment's file.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Input`].
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self::parse(&text, &name)
    }

    /// The same from its text.
    ///
    /// # Errors
    /// [`Error::Input`] for what is no experiment, or names a measure that there is not.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        let wrong = |e: toml::de::Error| Error::input(name, crate::error::one_line(e.message()), "an experiment");
        let mut experiment: Self = toml::from_str(text).map_err(wrong)?;
        experiment.name = name.to_owned();
        let names: Vec<&str> = measures::ALL.iter().map(|(name, _)| *name).collect();
        if !names.contains(&experiment.measure.as_str()) {
            return Err(Error::Setting {
                place: format!("{name}: measure"),
                found: format!("unknown measure `{}`", experiment.measure),
                expected: format!("one of: {}", names.join(", ")),
                nearest: nearest(&experiment.measure, names.iter().copied()).map(str::to_owned),
            });
        }
        let bounded = |gate: &Gate| gate.stated || gate.at_least.is_some() || gate.at_most.is_some();
        if experiment.seeds.is_empty() || experiment.gates.is_empty() || !experiment.gates.iter().all(bounded) {
            return Err(Error::input(name, "no seeds, or a gate without a bound", "seeds, and gates with bounds"));
        }
        Ok(experiment)
    }

    /// The experiments in a folder, by name: files with a measure. Others are settings of runs.
    ///
    /// # Errors
    /// Those of reading.
    pub fn all(folder: &Path) -> Result<Vec<Self>> {
        let entries = std::fs::read_dir(folder).map_err(|e| Error::read(folder, e))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let mut all = Vec::new();
        for path in paths {
            let text = std::fs::read_to_string(&path).map_err(|e| Error::read(&path, e))?;
            if text.parse::<Table>().is_ok_and(|table| table.contains_key("measure")) {
                all.push(Self::load(&path)?);
            }
        }
        Ok(all)
    }

    /// Whether the data that it needs are in the folder `data`.
    pub fn has_data(&self, data: &Path) -> bool {
        self.needs.as_ref().is_none_or(|needs| data.join(needs).is_dir())
    }

    /// Runs it with every seed, on data of the folder `data`, and leaves its files in `out`. Seeds are run side by side, on the
    /// threads of the pool this is called in. `tell` hears of every seed.
    ///
    /// # Errors
    /// Those of the training; a gate that does not hold is none.
    pub fn run(&self, data: &Path, out: &Path, mut tell: impl FnMut(&str)) -> Result<Outcome> {
        let Some((_, measure)) = measures::ALL.iter().find(|(name, _)| *name == self.measure) else {
            return Err(Error::Failed(format!("{}: there is no measure `{}`", self.name, self.measure)));
        };
        let start = Instant::now();
        let of_seed =
            |index: usize| measure(&Context { experiment: self, data, seed: self.seeds[index], first: index == 0 });
        let all = lanes::side_by_side(self.seeds.len(), of_seed, |index, measured: &Measured| {
            let said = measured.values.iter().map(|(name, value)| format!("{name} {value:.5}"));
            tell(&format!("{} seed {}: {}", self.name, self.seeds[index], said.collect::<Vec<_>>().join(", ")));
        })?;
        let mut values: Vec<Series> = Vec::new();
        let mut files = Vec::new();
        for measured in all {
            for (name, value) in measured.values {
                match values.iter_mut().find(|series| series.name == name) {
                    Some(series) => series.of_seeds.push(value),
                    None => values.push(Series { name, of_seeds: vec![value] }),
                }
            }
            for (end, bytes) in measured.files {
                let file = format!("{}-{end}", self.name);
                crate::atomic::write(&out.join(&file), &bytes)
                    .map_err(|e| Error::Failed(format!("cannot be written: {e}")))?;
                files.push(file);
            }
        }
        let gates = self.gates.iter().map(|gate| self.judge(gate, &values)).collect::<Result<_>>()?;
        Ok(Outcome {
            name: self.name.clone(),
            title: self.title.clone(),
            published: self.published.clone(),
            seeds: self.seeds.clone(),
            values,
            gates,
            files,
            seconds: start.elapsed().as_secs_f64(),
            processor: crate::measure::processor(),
            threads: rayon::current_num_threads(),
        })
    }

    fn judge(&self, gate: &Gate, values: &[Series]) -> Result<Judged> {
        let Some(series) = values.iter().find(|series| series.name == gate.value) else {
            let names: Vec<&str> = values.iter().map(|series| series.name.as_str()).collect();
            let found = format!("a gate on `{}`", gate.value);
            return Err(Error::input(&self.name, found, format!("one of: {}", names.join(", "))));
        };
        let passes = |v: &f64| {
            v.is_finite() && gate.at_least.is_none_or(|low| *v >= low) && gate.at_most.is_none_or(|high| *v <= high)
        };
        Ok(Judged { gate: gate.clone(), holds: series.of_seeds.iter().all(passes) })
    }
}

impl Outcome {
    /// Whether all gates hold.
    pub fn holds(&self) -> bool {
        self.gates.iter().all(|judged| judged.holds)
    }
}

impl Context<'_> {
    /// The settings of the training, with further ones laid over them, and the seed of this run.
    pub(crate) fn config(&self, settings: &[(&str, &str)]) -> Result<Config> {
        let text = toml::to_string(&self.experiment.run).map_err(|e| Error::Failed(e.to_string()))?;
        let text = text.replace("{data}", &self.data.to_string_lossy().replace('\\', "/"));
        let seed = self.seed.to_string();
        let settings = [("seed", seed.as_str())].into_iter().chain(settings.iter().copied());
        let settings: Vec<(String, String)> = settings.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let mut config = Config::parse(&text, &self.experiment.name, &settings)?;
        // There is no run directory: what only an event file would show need not be computed.
        config.train.tensorboard = false;
        Ok(config)
    }

    /// The models that are compared, in the order of `settings.models`: names, and settings of the training in which they differ.
    ///
    /// # Errors
    /// [`Error::Input`] where they are no list of tables with `name` and `with`; those of [`Context::config`].
    pub(crate) fn models(&self) -> Result<Vec<(String, Config)>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Model {
            name: String,
            with: Table,
        }
        let expected = "a list of tables with `name` and `with`";
        let Some(list) = self.experiment.settings.get("models") else {
            return Err(self.missing("models", expected));
        };
        let wrong = |e: toml::de::Error| {
            Error::input(
                &self.experiment.name,
                crate::error::one_line(&format!("settings.models: {}", e.message())),
                expected,
            )
        };
        let models: Vec<Model> = list.clone().try_into().map_err(wrong)?;
        let config = |Model { name, with }: Model| {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let with: Vec<(String, String)> = with.iter().map(|(key, value)| (key.clone(), text(value))).collect();
            let with: Vec<(&str, &str)> = with.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            Ok((name, self.config(&with)?))
        };
        models.into_iter().map(config).collect()
    }

    /// A file or folder of the data.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    /// A number of the measure.
    ///
    /// # Errors
    /// [`Error::Input`] where the file does not have it.
    pub(crate) fn number(&self, key: &str) -> Result<f64> {
        match self.experiment.settings.get(key) {
            Some(Value::Float(number)) => Ok(*number),
            Some(Value::Integer(number)) => Ok(*number as f64),
            _ => Err(self.missing(key, "a number")),
        }
    }

    /// A list of numbers of the measure.
    ///
    /// # Errors
    /// [`Error::Input`] where the file does not have it.
    pub(crate) fn numbers(&self, key: &str) -> Result<Vec<f64>> {
        let list = self.experiment.settings.get(key).and_then(Value::as_array);
        let number = |v: &Value| v.as_float().or_else(|| v.as_integer().map(|v| v as f64));
        list.and_then(|list| list.iter().map(number).collect()).ok_or_else(|| self.missing(key, "a list of numbers"))
    }

    fn missing(&self, key: &str, expected: &str) -> Error {
        Error::input(&self.experiment.name, format!("settings.{key} is not there"), expected)
    }
}

impl Measured {
    pub(crate) fn value(&mut self, name: impl Into<String>, value: f64) {
        self.values.push((name.into(), value));
    }
}

#[cfg(test)]
mod tests;
