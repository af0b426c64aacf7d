//! Which settings differ between two runs, and which of them may when one goes on with the other.

use std::fmt;

use sae_kernels::BackendKind;
use toml::{Table, Value};

use super::Config;
use crate::error::{Error, Result, excerpt};

/// Settings that no number of a result depends on: how often a run is saved, and what is drawn of it. The data are known by
/// their hash, not by their place.
const FREE: [&str; 7] = [
    "data.source",
    "train.checkpoint_steps",
    "train.checkpoint_minutes",
    "train.keep",
    "train.tensorboard",
    "train.tensorboard_share",
    "train.gradient_norm_steps",
];

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its full name, `section.key`.
    pub key: String,
    /// What it was.
    pub old: String,
    /// What it is.
    pub new: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {} and is {}", self.key, self.old, self.new)
    }
}

impl Config {
    /// The settings of `new` that differ from these and that a result depends on, in the order of the file. Threads are
    /// among them only for backends whose bits depend on them.
    ///
    /// # Errors
    /// [`Error::Failed`] where settings cannot be written as TOML.
    pub fn changes(&self, new: &Self) -> Result<Vec<Change>> {
        let table = |config: &Self| {
            Table::try_from(config).map_err(|e| Error::Failed(format!("the config cannot be written as TOML: {e}")))
        };
        let (old, new_table) = (table(self)?, table(new)?);
        let mut changes = Vec::new();
        compare("", &old, &new_table, &mut changes);
        let same_bits = self.backend == BackendKind::Fused && new.backend == BackendKind::Fused;
        let free = |c: &Change| FREE.contains(&c.key.as_str()) || (c.key == "threads" && same_bits);
        changes.retain(|c| !free(c));
        Ok(changes)
    }
}

/// Both tables have the same keys.
fn compare(section: &str, old: &Table, new: &Table, changes: &mut Vec<Change>) {
    for (key, value) in old {
        match (value, new.get(key)) {
            (Value::Table(old), Some(Value::Table(new))) => compare(&format!("{key}."), old, new, changes),
            (old, Some(new)) if old != new => changes.push(Change {
                key: format!("{section}{key}"),
                old: excerpt(&old.to_string()),
                new: excerpt(&new.to_string()),
            }),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pairs: &[(&str, &str)]) -> String {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let changes = Config::default().changes(&Config::load(None, &pairs).unwrap()).unwrap();
        changes.iter().map(Change::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn every_setting_a_result_depends_on_is_named_with_both_values() {
        assert_eq!(told(&[]), "");
        assert_eq!(told(&[("seed", "3")]), "seed was 0 and is 3");
        let found = told(&[("optimizer.kind", "sgd"), ("model.d_hid", "7")]);
        assert_eq!(found, "model.d_hid was 196 and is 7; optimizer.kind was \"adam\" and is \"sgd\"");
        assert_eq!(told(&[("backend", "naive"), ("threads", "2")]).matches(" was ").count(), 2);
    }

    #[test]
    fn how_often_a_run_is_saved_and_on_how_many_threads_it_runs_is_free() {
        assert_eq!(told(&[("threads", "3"), ("train.keep", "5"), ("train.checkpoint_steps", "5")]), "");
        assert_eq!(told(&[("train.checkpoint_minutes", "1"), ("data.source", "moved.npy")]), "");
    }
}
