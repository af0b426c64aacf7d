//! What is trained on: rows held out first, then preprocessing fitted on the others.

use std::sync::Arc;

use super::ahead::Streamed;
use super::feed::{Feed, InMemory};
use super::stream::RowStream;
use super::{Plan, survey};
use crate::config::{Config, data_fits};
use crate::data::{Dataset, Fingerprint, Split, load};
use crate::error::{Error, Result};
use crate::preprocess::{Fitted, Preprocess};

/// A set, divided and preprocessed.
#[derive(Clone, Debug)]
pub struct TrainingSet {
    /// The rows to train on; where they are streamed, some of them, evenly spread.
    pub train: Dataset,
    /// The rows to watch the training by; may be none.
    pub validation: Dataset,
    /// The rows to judge the result by; may be none.
    pub test: Dataset,
    /// Which data these are.
    pub fingerprint: Fingerprint,
    /// Which row of the data each row of `train` was.
    pub origin: Vec<usize>,
    /// All the rows to train on, where they are not in memory together.
    pub(crate) stream: Option<Arc<RowStream>>,
    /// The map from raw data to inputs, fitted on the training rows.
    pub preprocessing: Fitted,
    /// What the user should be told, a line each.
    pub warnings: Vec<String>,
}

impl TrainingSet {
    /// Loads what the settings name.
    ///
    /// # Errors
    /// Those of [`load`] and of [`TrainingSet::new`].
    pub fn load(config: &Config) -> Result<Self> {
        match survey::too_large(config)? {
            Some(shards) => survey::survey(config, shards, None),
            None => Self::new(config, load(&config.data.source, config.seed)?),
        }
    }

    /// The same with a map that was fitted before, as a run does that goes on.
    ///
    /// # Errors
    /// As [`TrainingSet::load`].
    pub fn load_with(config: &Config, preprocessing: Fitted) -> Result<Self> {
        match survey::too_large(config)? {
            Some(shards) => survey::survey(config, shards, Some(preprocessing)),
            None => Self::divide(config, load(&config.data.source, config.seed)?, Some(preprocessing)),
        }
    }

    /// The training rows in batches.
    pub(super) fn feed(&self, plan: Plan, config: &Config) -> Box<dyn Feed> {
        match &self.stream {
            Some(stream) => Box::new(Streamed::new(plan, Arc::clone(stream))),
            None => Box::new(InMemory::new(plan, config.train.shuffle, config.seed)),
        }
    }

    /// How many rows there are to train on.
    pub fn train_rows(&self) -> usize {
        self.stream.as_ref().map_or(self.train.rows, |stream| stream.rows() as usize)
    }

    /// Divides `set`, fits the preprocessing on its training rows and applies it to all.
    ///
    /// # Errors
    /// [`Error::Setting`] where no row is left to train on, or the reconstruction loss cannot be computed on such data.
    pub fn new(config: &Config, set: Dataset) -> Result<Self> {
        Self::divide(config, set, None)
    }

    /// Divides `set` and applies a map that was fitted before; images are cut as for any data, not drawn from.
    ///
    /// # Errors
    /// As [`TrainingSet::new`].
    pub fn with_map(config: &Config, mut set: Dataset, map: Fitted) -> Result<Self> {
        map.prepare(&mut set)?;
        let mut config = config.clone();
        config.data.preprocess = Preprocess::None;
        Ok(Self { preprocessing: map, ..Self::divide(&config, set, None)? })
    }

    fn divide(config: &Config, set: Dataset, fitted: Option<Fitted>) -> Result<Self> {
        if set.data.len() != set.rows * set.cols || set.data.is_empty() {
            let found = format!("{} values for {} rows of {} columns", set.data.len(), set.rows, set.cols);
            return Err(Error::input(&set.name, found, "rows x columns values, at least one"));
        }
        let fingerprint = Fingerprint::of(&set);
        let (preprocess, options) = (config.data.preprocess, config.data.options());
        let set = preprocess.samples(set, &options, config.seed)?;
        let split = Split::new(set.rows, config.data.validation, config.data.test, config.train.shuffle, config.seed)?;
        let mut parts = if split.train.len() == set.rows && split.train.is_sorted() {
            let none = set.select(&[]);
            [set, none.clone(), none]
        } else {
            [set.select(&split.train), set.select(&split.validation), set.select(&split.test)]
        };
        let preprocessing = match fitted {
            Some(fitted) => fitted,
            None => preprocess.fit(&parts[0].data, parts[0].rows, parts[0].cols, &options)?,
        };
        for part in &mut parts {
            preprocessing.map(part)?;
        }
        // Rows that are held out may well be a little outside; only what is trained on has to fit.
        let warnings = warnings(config, &parts[0].name, parts[0].cols, parts[0].range())?;
        let [train, validation, test] = parts;
        Ok(Self { train, validation, test, fingerprint, origin: split.train, stream: None, preprocessing, warnings })
    }
}

/// What the user should be told of training data called `name` with values from `min` to `max` as the network sees them.
pub(super) fn warnings(config: &Config, name: &str, cols: usize, (min, max): (f32, f32)) -> Result<Vec<String>> {
    let mut warnings = config.warnings(cols);
    warnings.extend(data_fits(config.model.output, config.loss.reconstruction, min, max)?);
    if min == max {
        warnings.push(format!("{name}: every training value is {min} after preprocessing: there is nothing to learn"));
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::digits;

    fn config(pairs: &[(&str, &str)]) -> Config {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::load(None, &pairs).unwrap()
    }

    #[test]
    fn preprocessing_sees_the_training_rows_and_no_others() {
        let mut set = digits().unwrap();
        set.rows = 4;
        set.cols = 1;
        set.data = vec![1.0, 3.0, 100.0, -100.0];
        set.labels = None;
        set.image = None;
        let config = config(&[("data.validation", "0.25"), ("data.test", "0.25"), ("train.shuffle", "false")]);
        let set = TrainingSet::new(&config, set).unwrap();
        assert_eq!(set.train.data, [0.0, 1.0]);
        assert_eq!((set.validation.data, set.test.data), (vec![49.5], vec![-50.5]));
        assert_eq!(set.preprocessing, Fitted::Range { min: 1.0, max: 3.0 });
    }

    #[test]
    fn nothing_held_out_and_no_shuffle_is_the_file_itself() {
        let config = config(&[
            ("data.validation", "0"),
            ("data.test", "0"),
            ("train.shuffle", "false"),
            ("data.preprocess", "none"),
        ]);
        let config = Config {
            model: crate::config::ModelConfig {
                output: crate::config::OutputActivation::Identity,
                ..config.model.clone()
            },
            ..config
        };
        let raw = digits().unwrap();
        let set = TrainingSet::new(&config, raw.clone()).unwrap();
        assert_eq!((set.train.data, set.test.rows), (raw.data, 0));
        assert_eq!(set.warnings, Vec::<String>::new());
    }

    #[test]
    fn data_that_the_output_cannot_reach_are_told_and_bce_refuses_them() {
        let raw = [("data.preprocess", "none")];
        let set = TrainingSet::load(&config(&raw)).unwrap();
        assert!(set.warnings[0].contains("[0, 16]"), "{:?}", set.warnings);
        let bce = [raw[0], ("loss.reconstruction", "bce")];
        assert_eq!(TrainingSet::load(&config(&bce)).unwrap_err().exit_code(), 2);
    }
}
