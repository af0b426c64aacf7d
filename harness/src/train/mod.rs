//! Training, and the record it leaves.

pub mod metrics;
