//! Trains complete sparse autoencoders with [`sae_kernels`], checks them and measures throughput.

#![forbid(unsafe_code)]

pub mod atomic;
mod bytes;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod data;
mod error;
pub mod eval;
pub mod experiments;
mod json;
pub mod measure;
pub mod memory;
pub mod model;
mod paths;
pub mod preprocess;
pub mod prune;
pub mod report;
pub mod stack;
pub mod sweep;
pub mod tensorboard;
pub mod train;

pub use config::Config;
pub use error::{Error, Result};
