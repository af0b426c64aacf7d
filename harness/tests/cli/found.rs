//! What the command prints and leaves.

use std::path::Path;

use crate::common::{Sae, names};

impl Sae {
    /// Runs what has to work with `--json`; its last object. Only training has others before it, one an epoch.
    pub(crate) fn json(&self, line: &str) -> serde_json::Value {
        let text = self.done(&format!("{line} --json"));
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (last, epochs) = lines.split_last().unwrap();
        assert!(epochs.iter().all(|epoch| line.starts_with("train") && epoch["kind"] == "epoch"), "sae {line}: {text}");
        last.clone()
    }
}

pub(crate) fn number(object: &serde_json::Value, key: &str) -> f64 {
    object[key].as_f64().unwrap_or_else(|| panic!("{key} is no number in {object}"))
}

/// The names in a run directory, sorted, without the event file, whose name has the time in it.
pub(crate) fn run_names(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| !name.contains("tfevents")).collect()
}
