//! A run directory, with all that a report says of it.

use std::path::{Path, PathBuf};

use sae_kernels::BackendKind;

use super::baselines::{Baselines, Dense};
use super::examine::Examined;
use super::record::{RUN_FILE, RunRecord, sha256_file};
use crate::config::{Config, SparsityKind};
use crate::error::{Error, Result};
use crate::model::file::{CONFIG_FILE, ModelFile, WEIGHTS_FILE};
use crate::model::{Model, unreadable};
use crate::paths::{file_name, missing};
use crate::train::TrainingSet;
use crate::train::metrics::{self, Record};

/// The settings of a run, as resolved.
pub const SETTINGS_FILE: &str = "config.toml";
/// A line for every step and epoch.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// A run, as it is told.
#[derive(Clone, Debug)]
pub struct Run {
    /// The name of its folder.
    pub name: String,
    /// Where it is.
    pub folder: PathBuf,
    /// Its settings.
    pub config: Config,
    /// How it was made and what came out, where that was recorded.
    pub record: RunRecord,
    /// Its measures.
    pub records: Vec<Record>,
    /// Its model.
    pub model: ModelFile,
    /// The model with its data; a line that says why not.
    pub examined: Result<Examined, String>,
    /// What it has to beat.
    pub baselines: Option<Baselines>,
    /// Files and their SHA-256.
    pub hashes: Vec<(&'static str, String)>,
}

impl Run {
    /// Reads a run directory; the data are loaded as the settings say.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Input`], [`Error::Read`] for what is not there or no run.
    pub fn load(folder: &Path) -> Result<Self> {
        let config = settings(folder)?;
        let set = TrainingSet::load(&config);
        Self::with_set(folder, config, set.as_ref().map_err(ToString::to_string))
    }

    /// The same with data at hand.
    ///
    /// # Errors
    /// As [`Run::load`].
    pub fn with_set(folder: &Path, config: Config, set: Result<&TrainingSet, String>) -> Result<Self> {
        let model = ModelFile::load(folder).map_err(|e| unreadable(folder, e))?;
        let log = folder.join(METRICS_FILE);
        let log = metrics::read(&log).map_err(|e| Error::input(log.display(), e.to_string(), "a run's measures"))?;
        let records = log.records;
        let record = RunRecord::load(folder).unwrap_or_default();
        let examined =
            set.clone().and_then(|set| examine(folder, &config, &model, &record, set).map_err(|e| e.to_string()));
        let baselines = match (&set, &examined) {
            (Ok(set), Ok(examined)) => {
                let mut found = Baselines::fit(set, examined)?;
                if config.sparsity.kind != SparsityKind::None {
                    found.dense = Dense::beside(folder, &config, &record);
                }
                Some(found)
            }
            _ => None,
        };
        let hashes = [WEIGHTS_FILE, CONFIG_FILE, SETTINGS_FILE, METRICS_FILE]
            .into_iter()
            .filter_map(|name| Some((name, sha256_file(&folder.join(name))?)))
            .collect();
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Ok(Self { name: file_name(&folder), folder, config, record, records, model, examined, baselines, hashes })
    }

    /// Inputs, hidden units, inputs.
    pub fn shape(&self) -> String {
        let (d_in, d_hid) = (self.model.d_in, self.model.d_hid);
        format!("{d_in}–{d_hid}–{d_in}")
    }

    /// What the data are called.
    pub fn data_name(&self) -> &str {
        if self.record.data.name.is_empty() { &self.config.data.source } else { &self.record.data.name }
    }

    /// The step and the validation loss of the epoch whose weights were kept, where the run could stop early.
    pub fn best(&self) -> Option<(u64, f64)> {
        self.record.best.as_ref().map(|best| (best.step, best.val_loss))
    }

    /// The target mean activation, where there is one.
    pub fn rho(&self) -> Option<f64> {
        (self.config.sparsity.kind == SparsityKind::Kl).then_some(self.config.sparsity.rho)
    }
}

/// The settings of the run in `folder`.
///
/// # Errors
/// As [`Run::load`].
pub fn settings(folder: &Path) -> Result<Config> {
    const EXPECTED: &str = "a run directory, as `sae train` leaves it";
    if !folder.exists() {
        return Err(missing(folder, &[], EXPECTED));
    }
    for name in [SETTINGS_FILE, METRICS_FILE, WEIGHTS_FILE, CONFIG_FILE] {
        if !folder.join(name).is_file() {
            return Err(Error::input(folder.display(), format!("there is no {name} in it"), EXPECTED));
        }
    }
    Config::load(Some(&folder.join(SETTINGS_FILE)), &[])
}

fn examine(
    folder: &Path,
    config: &Config,
    model: &ModelFile,
    record: &RunRecord,
    set: &TrainingSet,
) -> Result<Examined> {
    let known = &record.data.sha256;
    if !known.is_empty() && super::record::DataRecord::of(set).sha256 != *known {
        let found = format!("the data are not those in {RUN_FILE}");
        return Err(Error::input(&config.data.source, found, "the data that the run was trained on"));
    }
    // Any backend gives these numbers, and this one is always there.
    let mut model = Model::new(model.clone(), BackendKind::Fused, &folder.display().to_string())?;
    Examined::new(&mut model, set, config.train.threshold_active as f32)
}
