//! Which runs can be trained together: one pass over the same batches, each step one batched call.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::config::{Config, SparsityKind};

/// What all runs of a group have in common: the data, the batches and the shape of the step. `data.` is the whole section.
const COMMON: [&str; 17] = [
    "seed",
    "backend",
    "threads",
    "data.",
    "model.d_hid",
    "model.hidden",
    "model.output",
    "model.tied",
    "loss.convention",
    "loss.reconstruction",
    "noise.",
    "train.batch",
    "train.shuffle",
    "train.drop_last",
    "train.clip_norm",
    "train.clip_value",
    "optimizer.kind",
];
/// What each has of its own; sections as above.
const OWN: [&str; 17] = [
    "model.init",
    "model.dropout",
    "loss.weight_decay",
    "loss.decay",
    "sparsity.",
    "optimizer.",
    "schedule.",
    "early_stopping.",
    "train.epochs",
    "train.max_steps",
    "train.threshold_active",
    "train.tensorboard",
    "train.tensorboard_share",
    "train.checkpoint_steps",
    "train.checkpoint_minutes",
    "train.keep",
    "train.log_steps",
];
/// Choices that a batched step knows; runs with others are trained alone.
const KINDS: [(&str, &[&str]); 2] = [
    ("sparsity.kind", &["none", "kl", "l1", "topk", "threshold"]),
    ("optimizer.kind", &["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]),
];

/// The settings that runs have to share to be trained together; `None` for a run that is trained alone, because a
/// setting that batched steps do not know is not at its default.
fn common(config: &Config) -> Option<String> {
    let (table, defaults) = (Table::try_from(config).ok()?, Table::try_from(Config::default()).ok()?);
    let (all, defaults) = (flat(&table), flat(&defaults));
    let is_in =
        |list: &[&str], key: &str| list.iter().any(|name| *name == key || name.ends_with('.') && key.starts_with(name));
    // Which activations stay is decided alike for all, and so is whether any are dropped; by numbers of each one's own.
    let selection = match config.sparsity.kind {
        SparsityKind::TopK | SparsityKind::Threshold => config.sparsity.kind.name(),
        SparsityKind::None | SparsityKind::Kl | SparsityKind::L1 => "all",
    };
    let mut shared = format!("selection = {selection}\ndropout = {}\n", config.model.dropout > 0.0);
    for (key, value) in &all {
        if let Some((_, known)) = KINDS.iter().find(|(name, _)| name == key) {
            value.as_str().filter(|kind| known.contains(kind))?;
        }
        if is_in(&COMMON, key) {
            shared += &format!("{key} = {value}\n");
        } else if !is_in(&OWN, key) && defaults.get(key) != Some(value) {
            return None;
        }
    }
    Some(shared)
}

/// Every key as `section.key`.
fn flat(table: &Table) -> BTreeMap<String, &Value> {
    let mut all = BTreeMap::new();
    for (name, value) in table {
        match value {
            Value::Table(section) => all.extend(section.iter().map(|(key, value)| (format!("{name}.{key}"), value))),
            value => drop(all.insert(name.clone(), value)),
        }
    }
    all
}

/// Whether the two can be trained together.
pub fn trains_together(a: &Config, b: &Config) -> bool {
    common(a).is_some_and(|shared| common(b) == Some(shared))
}

/// The runs in groups that are trained together, of at most `most` and of about one size; each is the places of its runs
/// in `configs`, in their order.
pub fn groups(configs: &[&Config], most: usize) -> Vec<Vec<usize>> {
    let mut kinds: Vec<(Option<String>, Vec<usize>)> = Vec::new();
    for (index, config) in configs.iter().enumerate() {
        let shared = common(config);
        match kinds.iter_mut().find(|(other, _)| shared.is_some() && *other == shared) {
            Some((_, group)) => group.push(index),
            None => kinds.push((shared, vec![index])),
        }
    }
    let parts = |(_, group): (Option<String>, Vec<usize>)| {
        let size = group.len().div_ceil(group.len().div_ceil(most.max(1)));
        group.chunks(size).map(<[usize]>::to_vec).collect::<Vec<_>>()
    };
    kinds.into_iter().flat_map(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str)]) -> Config {
        let settings: Vec<_> = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::parse("", "", &settings).unwrap()
    }

    #[test]
    fn runs_of_one_shape_on_the_same_batches_are_trained_together() {
        let base = config(&[]);
        for own in [
            [("sparsity.beta", "1"), ("sparsity.rho", "0.2")],
            [("loss.weight_decay", "0"), ("sparsity.kind", "l1")],
            [("optimizer.lr", "0.1"), ("train.epochs", "3")],
        ] {
            assert!(trains_together(&base, &config(&own)), "{own:?}");
        }
        for (shared, own) in [
            (("sparsity.kind", "topk"), ("sparsity.k", "9")),
            (("model.dropout", "0.5"), ("model.dropout", "0.2")),
            (("noise.kind", "masking"), ("loss.decay", "decoupled")),
        ] {
            assert!(trains_together(&config(&[shared]), &config(&[shared, own])), "{own:?}");
        }
        let lbfgs = config(&[("optimizer.kind", "lbfgs")]);
        assert!(!trains_together(&lbfgs, &lbfgs), "L-BFGS is trained alone");
        for other in [
            ("seed", "1"),
            ("model.d_hid", "64"),
            ("model.output", "identity"),
            ("train.batch", "32"),
            ("data.validation", "0.2"),
            ("loss.reconstruction", "bce"),
            ("optimizer.kind", "sgd"),
            ("sparsity.kind", "topk"),
            ("model.tied", "true"),
            ("model.dropout", "0.5"),
            ("noise.kind", "masking"),
        ] {
            assert!(!trains_together(&base, &config(&[other])), "{other:?}");
        }
    }

    #[test]
    fn groups_are_of_one_size_and_hold_every_run_once() {
        let configs: Vec<Config> = (0..9)
            .map(|i| config(&[("model.d_hid", ["8", "9"][i % 2]), ("optimizer.lr", &format!("0.{}", i + 1))]))
            .collect();
        let refs: Vec<&Config> = configs.iter().collect();
        assert_eq!(groups(&refs, 16), [vec![0, 2, 4, 6, 8], vec![1, 3, 5, 7]]);
        assert_eq!(groups(&refs, 4), [vec![0, 2, 4], vec![6, 8], vec![1, 3, 5, 7]]);
        assert_eq!(groups(&refs, 1).len(), 9);
        assert_eq!(groups(&[], 4), Vec::<Vec<usize>>::new());
    }
}
