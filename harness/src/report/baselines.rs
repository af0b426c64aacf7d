//! What a model has to beat: the mean, principal components, and the same autoencoder without a sparsity term.

use std::path::{Path, PathBuf};

use super::examine::Examined;
use super::record::RunRecord;
use crate::config::{Config, SparsityKind};
use crate::error::Result;
use crate::eval::baseline::{Pca, mean_mse};
use crate::train::TrainingSet;

/// Rows that components are fitted to, evenly spread.
const ROWS: usize = 10_000;
/// Inputs above which components are not fitted: the time grows with their third power.
const WIDEST: usize = 1024;

/// Mean squared errors on the part of the data that the model is judged by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Baselines {
    /// Of the mean training row.
    pub mean: f64,
    /// Of so many principal components of the training rows.
    pub pca: Vec<(usize, f64)>,
    /// The rows these were fitted to.
    pub rows: usize,
    /// Of the same autoencoder without a sparsity term: its folder, its error, its percentage of active units.
    pub dense: Option<Dense>,
}

/// A run that differs in having no sparsity term.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// Where it is.
    pub folder: PathBuf,
    /// Its mean squared error on the same rows.
    pub mse: f64,
    /// The share of its activations above its threshold, in percent.
    pub active_percent: Option<f64>,
}

impl Baselines {
    /// Fits mean and components to the training rows. Components there are as many as hidden units, at most as many as inputs, and
    /// as many as are active on an average sample.
    ///
    /// # Errors
    /// Where the eigenvalues do not converge.
    pub fn fit(set: &TrainingSet, examined: &Examined) -> Result<Self> {
        let judged = match examined.part {
            "test" => &set.test,
            "validation" => &set.validation,
            _ => &set.train,
        };
        let d_in = set.train.cols;
        let mut found = Self { mean: mean_mse(&set.train.data, &judged.data, d_in)?, ..Self::default() };
        if d_in > WIDEST {
            return Ok(found);
        }
        let every = set.train.rows.div_ceil(ROWS).max(1);
        let rows: Vec<usize> = (0..set.train.rows).step_by(every).collect();
        found.rows = rows.len();
        let pca = match every {
            1 => Pca::fit(&set.train.data, d_in)?,
            _ => Pca::fit(&set.train.select(&rows).data, d_in)?,
        };
        let d_hid = examined.order.len();
        let active = examined.evaluation.activity.active_percent() / 100.0 * d_hid as f64;
        let mut counts = vec![(active.round() as usize).clamp(1, d_in), d_hid.min(d_in)];
        counts.dedup();
        for components in counts {
            found.pca.push((components, pca.mse(&judged.data, components)?));
        }
        Ok(found)
    }
}

impl Dense {
    /// The run beside `folder` whose settings are those of `config`, but for its sparsity term, which is none. `data` is what both
    /// have to have been trained on.
    pub fn beside(folder: &Path, config: &Config, data: &RunRecord) -> Option<Self> {
        let folder = std::fs::canonicalize(folder).ok()?;
        let mut beside: Vec<PathBuf> = std::fs::read_dir(folder.parent()?).ok()?.flatten().map(|e| e.path()).collect();
        beside.sort();
        beside.into_iter().filter(|other| *other != folder).find_map(|other| {
            let settings = std::fs::read_to_string(other.join("config.toml")).ok()?;
            let settings = Config::parse(&settings, "config.toml", &[]).ok()?;
            if settings.sparsity.kind != SparsityKind::None || !same_but_sparsity(&settings, config) {
                return None;
            }
            let record = RunRecord::load(&other)?;
            let same = record.data.sha256 == data.data.sha256 && record.judged() == data.judged();
            let mse = record.result(record.judged(), "mse").filter(|_| same)?;
            let active_percent = record.result(record.judged(), "active_percent");
            Some(Self { folder: other, mse, active_percent })
        })
    }
}

fn same_but_sparsity(a: &Config, b: &Config) -> bool {
    let common = |config: &Config| Config {
        sparsity: Config::default().sparsity,
        threads: 0,
        backend: sae_kernels::BackendKind::Fused,
        train: crate::config::TrainConfig { tensorboard: true, tensorboard_share: 0.0, ..config.train.clone() },
        ..config.clone()
    };
    common(a) == common(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(folder: &Path, kind: &str, d_hid: usize, mse: f64) -> (Config, RunRecord) {
        let text = format!("[sparsity]\nkind = \"{kind}\"\n[model]\nd_hid = {d_hid}");
        let config = Config::parse(&text, "test", &[]).unwrap();
        let mut record = RunRecord::default();
        record.data.sha256 = "00".into();
        record.results.insert("test".into(), serde_json::json!({ "mse": mse, "active_percent": 50.0 }));
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("config.toml"), config.to_toml().unwrap()).unwrap();
        record.save(folder).unwrap();
        (config, record)
    }

    #[test]
    fn the_run_without_sparsity_is_found_among_its_neighbours() {
        let dir = tempfile::tempdir().unwrap();
        let sparse = dir.path().join("sparse");
        let (config, record) = run(&sparse, "kl", 9, 0.5);
        run(&dir.path().join("wider"), "none", 10, 0.1);
        assert_eq!(Dense::beside(&sparse, &config, &record), None);
        run(&dir.path().join("dense"), "none", 9, 0.25);
        let found = Dense::beside(&sparse, &config, &record).unwrap();
        assert_eq!((found.mse, found.folder.file_name().unwrap().to_str()), (0.25, Some("dense")));
        let mut other = record.clone();
        other.data.sha256 = "11".into();
        assert_eq!(Dense::beside(&sparse, &config, &other), None, "other data");
    }
}
