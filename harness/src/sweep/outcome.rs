//! What a run of a sweep came to, and how fast a group of them was.

use serde::{Deserialize, Serialize};

use crate::report::record::RunRecord;

/// A run that is done, or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The name of its folder.
    pub name: String,
    /// What the sweep's keys are set to.
    pub values: Vec<String>,
    /// How it ended.
    pub status: Status,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// With a model.
    Done(Box<RunRecord>),
    /// Without one: an error, a line.
    Failed(String),
    /// It has not been trained yet.
    Pending,
}

impl Outcome {
    /// A number of the result, on the part it is judged by.
    pub fn number(&self, key: &str) -> Option<f64> {
        match &self.status {
            Status::Done(record) => record.result(record.judged(), key),
            _ => None,
        }
    }
}

/// How long a group took, and how long one after the other would have: a line of `speed.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Runs that were trained together.
    pub runs: usize,
    /// Their steps, added up.
    pub steps: u64,
    /// Seconds that those took, the fetching of batches included; validation is not.
    pub seconds: f64,
    /// Steps of one run alone, timed for comparison.
    pub alone_steps: u64,
    /// Seconds that those took.
    pub alone_seconds: f64,
    /// Threads.
    pub threads: usize,
}

impl Speed {
    /// Seconds that all steps would take one after the other, at the measured speed of one run alone.
    pub fn one_by_one(&self) -> f64 {
        self.alone_seconds / self.alone_steps as f64 * self.steps as f64
    }
}
