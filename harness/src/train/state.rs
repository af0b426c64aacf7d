//! How far a run is: everything that decides its next step, but for the weights and the optimiser's state.

use sae_kernels::step::StepReport;
use serde::{Deserialize, Serialize};

use super::feed::Position;
use super::metrics::{EpochMeasures, Measures, number};
use super::schedule::Plateau;

/// A run between two steps. Random numbers need no state of their own: every stream is a function of the seed and the
/// position.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Updates done.
    pub step: u64,
    /// The batch that is next.
    pub position: Position,
    /// Over the batches of the position's epoch that are done.
    pub mean: Mean,
    /// Seconds spent in the steps of whole epochs, the fetching of their batches included; validation is not.
    pub seconds: f64,
    /// Samples of those epochs.
    pub samples: u64,
    /// Of the seconds, those that were waited for rows, where they are streamed.
    #[serde(default)]
    pub waited: Option<f64>,
    /// The epoch that was measured last.
    pub last: Option<EpochMeasures>,
    /// What the schedule of the learning rate remembers.
    pub plateau: Plateau,
    /// The best epoch so far, where the run may stop early.
    pub best: Option<Best>,
    /// Epochs since then.
    pub bad_epochs: u64,
    /// Whether the optimiser has found no better weights in its last step, and the run is over.
    #[serde(default)]
    pub has_converged: bool,
}

/// The epoch with the best validation loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Updates done when it had ended.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Its validation loss.
    pub val_loss: f64,
}

/// Means over an epoch, weighted by the samples of a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    samples: u64,
    #[serde(deserialize_with = "number")]
    seconds: f64,
    /// Of them, those that were waited for rows, where they are streamed.
    #[serde(default)]
    waited: Option<f64>,
    #[serde(deserialize_with = "number")]
    reconstruction: f64,
    #[serde(deserialize_with = "number")]
    sparsity: f64,
    #[serde(deserialize_with = "number")]
    weight_decay: f64,
    #[serde(default)]
    denoising: Option<f64>,
    #[serde(deserialize_with = "number")]
    rho_hat: f64,
}

impl RunState {
    /// Seconds spent in steps so far.
    pub fn seconds(&self) -> f64 {
        self.seconds + self.mean.seconds
    }

    /// Of them, those in which the training waited for rows, where they are streamed.
    pub fn waited(&self) -> Option<f64> {
        sum(self.waited, self.mean.waited)
    }

    /// Training samples in one of those seconds.
    pub fn samples_per_s(&self) -> f64 {
        (self.samples + self.mean.samples) as f64 / self.seconds()
    }

    /// Epochs begun.
    pub fn epochs(&self) -> u64 {
        self.position.epoch + u64::from(self.position.batch > 0)
    }

    /// Takes a step's report in, its `denoising` term, `seconds` for it, and those of them that were waited for rows.
    pub(super) fn add(&mut self, report: &StepReport, denoising: Option<f64>, seconds: f64, waited: Option<f64>) {
        self.step += 1;
        self.position.batch += 1;
        self.mean.add(report, denoising, seconds);
        self.mean.waited = sum(self.mean.waited, waited);
    }

    /// Goes to the start of the next epoch.
    pub(super) fn next_epoch(&mut self) {
        let mean = std::mem::take(&mut self.mean);
        self.seconds += mean.seconds;
        self.waited = sum(self.waited, mean.waited);
        self.samples += mean.samples;
        self.position = Position { epoch: self.position.epoch + 1, batch: 0 };
    }
}

/// Of what is known.
fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

impl Mean {
    fn add(&mut self, report: &StepReport, denoising: Option<f64>, seconds: f64) {
        let n = report.n as f64;
        self.samples += report.n as u64;
        self.seconds += seconds;
        self.reconstruction += n * report.reconstruction;
        self.sparsity += n * report.sparsity;
        self.weight_decay += n * report.weight_decay;
        if let Some(denoising) = denoising {
            *self.denoising.get_or_insert(0.0) += n * denoising;
        }
        self.rho_hat += n * report.rho_hat_mean;
    }

    /// The means, after `step` updates in all, the last of them with learning rate `lr`.
    pub(super) fn measures(&self, step: u64, epoch: u64, lr: f64) -> Measures {
        let n = self.samples as f64;
        let (reconstruction, sparsity, weight_decay) =
            (self.reconstruction / n, self.sparsity / n, self.weight_decay / n);
        let denoising = self.denoising.map(|denoising| denoising / n);
        Measures {
            step,
            epoch,
            loss: reconstruction + sparsity + weight_decay + denoising.unwrap_or(0.0),
            reconstruction,
            sparsity,
            weight_decay,
            denoising,
            rho_hat_mean: self.rho_hat / n,
            lr,
            samples_per_s: n / self.seconds,
            stall_ms: self.waited.map(|seconds| 1e3 * seconds),
            gradient_norm: None,
        }
    }
}
