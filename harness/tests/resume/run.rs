//! A run to compare with, and what two runs have to have in common.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::common::Sae;

/// The keys of a log's line that are measured times.
const TIMES: [&str; 2] = ["samples_per_s", "stall_ms"];

/// What a run leaves that has to be the same however often it was stopped: weights, their configuration, and the log without
/// times.
#[derive(Debug, PartialEq)]
pub(crate) struct Result {
    model: Vec<u8>,
    cfg: Vec<u8>,
    log: Vec<Value>,
}

impl Result {
    /// What lies in a run's folder.
    pub(crate) fn of(run: &Path) -> Self {
        let read = |name: &str| std::fs::read(run.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let log = String::from_utf8(read("metrics.jsonl")).unwrap();
        let line = |line: &str| {
            let mut value: Value = serde_json::from_str(line).unwrap();
            TIMES.iter().for_each(|key| drop(value.as_object_mut().unwrap().remove(*key)));
            value
        };
        Self { model: read("model.safetensors"), cfg: read("cfg.json"), log: log.lines().map(line).collect() }
    }

    /// Steps in the log.
    pub(crate) fn steps(&self) -> usize {
        self.log.iter().filter(|line| line["kind"] == "step").count()
    }

    /// Panics where `run` has ended in anything else; `what` says what was done to it.
    pub(crate) fn assert_same(&self, run: &Path, what: &str) {
        let other = Self::of(run);
        assert_eq!(other.log, self.log, "{what}: the logs differ");
        assert!(other == *self, "{what}: the models differ");
    }
}

impl Sae {
    /// A process that runs `line` beside the test, its output dropped.
    pub(crate) fn spawn(&self, line: &str) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sae"));
        command.current_dir(self.folder.path()).args(line.split_whitespace()).env_remove("SAE_KERNELS_ISA");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs `line` up to its end; what it leaves in the folder `run`.
    pub(crate) fn reference(&self, line: &str) -> Result {
        self.done(&format!("train {line} --out reference -q"));
        Result::of(&self.path("reference"))
    }
}

/// The names of a run's checkpoints, the oldest first.
pub(crate) fn checkpoints(run: &Path) -> Vec<String> {
    let folder = run.join("checkpoints");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("step-")).collect();
    names.sort();
    names
}
