//! Training, and the record it leaves.

mod feed;
pub mod metrics;
mod plan;
mod set;
mod state;
mod trainer;

pub use feed::{Feed, Position};
pub use plan::Plan;
pub use set::TrainingSet;
pub use state::{Mean, RunState};
pub use trainer::{Observer, Part, Silent, Summary, Trainer};
