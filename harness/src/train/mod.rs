//! Training, and the record it leaves.

mod ahead;
mod blocks;
mod cohort;
mod feed;
mod full_batch;
mod lbfgs;
mod memory;
#[cfg(test)]
mod method_tests;
pub mod metrics;
mod noise;
mod plan;
mod resume;
mod schedule;
mod set;
mod state;
pub(crate) mod stream;
mod survey;
mod trainer;

pub use cohort::Cohort;
pub use feed::{Feed, Position};
pub use plan::Plan;
pub use schedule::{Plateau, Schedule};
pub use set::TrainingSet;
pub use state::{Best, Mean, RunState};
pub use trainer::{Observer, Part, Silent, Summary, Trainer};
