//! `run.json`: what is known of a run beyond its settings, its measures and its model.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::data::Dataset;
use crate::train::{Best, TrainingSet};

/// The name of the file in a run directory.
pub const RUN_FILE: &str = "run.json";

/// How a run was made, on what, and what came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRecord {
    /// The version of this program.
    pub version: String,
    /// The words of the command.
    pub command: Vec<String>,
    /// Where it ran.
    pub machine: Machine,
    /// What it ran on.
    pub data: DataRecord,
    /// Updates.
    pub steps: u64,
    /// Epochs begun.
    pub epochs: u64,
    /// The epoch whose weights are the model, where the run could stop early.
    pub best: Option<Best>,
    /// Whether it did.
    pub stopped_early: bool,
    /// Seconds spent in steps.
    pub seconds: f64,
    /// Of them, those in which the training waited for rows, where they are streamed.
    pub stall_seconds: Option<f64>,
    /// Training samples in one of those seconds.
    pub samples_per_s: f64,
    /// Operations of a step for each sample.
    pub flops_per_sample: f64,
    /// Seconds that each part of the steps took.
    pub phases: Vec<(String, f64)>,
    /// What the model makes of `train`, `validation` and `test`, each with the keys of `sae eval --json`.
    pub results: Map<String, Value>,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Its architecture and the operating system.
    pub target: String,
    /// The instruction set of the kernels.
    pub isa: String,
    /// Who carried the operations out.
    pub backend: String,
    /// On how many threads.
    pub threads: usize,
    /// Multiply-adds in registers on those threads, counted as two operations each; the better of a timing before and one after the run.
    pub peak_gflops: Option<f64>,
}

/// A set of samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataRecord {
    /// What it is called.
    pub name: String,
    /// Rows to train on, to validate and to test.
    pub rows: [usize; 3],
    /// Length of a sample.
    pub d_in: usize,
    /// SHA-256 of the values as trained on: those three parts one after the other, preprocessed, as little-endian f32.
    pub sha256: String,
}

impl RunRecord {
    /// Writes the file into `folder`, whole or not at all.
    ///
    /// # Errors
    /// If the file system refuses; the message names the path.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        text.push('\n');
        atomic::write(&folder.join(RUN_FILE), text.as_bytes())
    }

    /// Reads the file in `folder`; `None` where it is not there or not to be understood.
    pub fn load(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(RUN_FILE)).ok()?).ok()
    }

    /// The command as one would type it.
    pub fn command_line(&self) -> String {
        self.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// Operations a second, in units of 10⁹.
    pub fn gflops(&self) -> f64 {
        self.samples_per_s * self.flops_per_sample / 1e9
    }

    /// The part of the peak that is; `None` where the peak is unknown.
    pub fn fraction_of_peak(&self) -> Option<f64> {
        self.machine.peak_gflops.filter(|&peak| peak > 0.0).map(|peak| self.gflops() / peak)
    }

    /// A number of [`RunRecord::results`].
    pub fn result(&self, part: &str, key: &str) -> Option<f64> {
        self.results.get(part)?.get(key)?.as_f64()
    }

    /// The part that the result is judged by.
    pub fn judged(&self) -> &'static str {
        ["test", "validation"]
            .into_iter()
            .find(|part| self.results.get(*part).is_some_and(Value::is_object))
            .unwrap_or("train")
    }
}

impl DataRecord {
    /// Describes a set.
    pub fn of(set: &TrainingSet) -> Self {
        let parts = [&set.train, &set.validation, &set.test];
        let mut hash = Sha256::new();
        let mut bytes = Vec::new();
        // Of rows that are streamed some are here; this says which all of them are.
        if set.stream.is_some() {
            hash.update(set.fingerprint.hash.as_bytes());
        }
        for values in parts.iter().flat_map(|part: &&Dataset| part.data.chunks(1 << 14)) {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            hash.update(&bytes);
        }
        Self {
            name: set.train.name.clone(),
            rows: [set.train_rows(), set.validation.rows, set.test.rows],
            d_in: set.train.cols,
            sha256: hex(&hash.finalize()),
        }
    }
}

/// SHA-256 of a file, as `sha256sum` prints it; `None` where it cannot be read.
pub(super) fn sha256_file(path: &Path) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match io::Read::read(&mut file, &mut buffer).ok()? {
            0 => return Some(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A word as a POSIX shell reads it back.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_a_damaged_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(RunRecord::load(dir.path()), None);
        let mut record = RunRecord { steps: 7, samples_per_s: 2e9, flops_per_sample: 3.0, ..RunRecord::default() };
        record.machine.peak_gflops = Some(12.0);
        record.results.insert("test".into(), serde_json::json!({ "mse": 0.25 }));
        record.save(dir.path()).unwrap();
        let back = RunRecord::load(dir.path()).unwrap();
        assert_eq!(back, record);
        assert_eq!((back.gflops(), back.fraction_of_peak()), (6.0, Some(0.5)));
        assert_eq!((back.judged(), back.result("test", "mse")), ("test", Some(0.25)));
        std::fs::write(dir.path().join(RUN_FILE), b"{").unwrap();
        assert_eq!(RunRecord::load(dir.path()), None);
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let command = ["sae", "train", "--data", "my file's.npy", "--seed=7", ""].map(str::to_owned).to_vec();
        let record = RunRecord { command, ..RunRecord::default() };
        assert_eq!(record.command_line(), r"sae train --data 'my file'\''s.npy' --seed=7 ''");
    }

    #[test]
    fn a_file_has_the_hash_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, b"abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_file(&path).as_deref(), Some(expected));
        assert_eq!(sha256_file(&dir.path().join("none")), None);
    }
}
