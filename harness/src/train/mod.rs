//! Training, and the record it leaves.

pub mod metrics;
mod schedule;
mod set;
mod trainer;

pub use schedule::Schedule;
pub use set::TrainingSet;
pub use trainer::{Observer, Part, Silent, Summary, Trainer};
