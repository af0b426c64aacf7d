//! Trains complete sparse autoencoders with [`sae_kernels`], checks them and measures throughput.

pub mod config;
pub mod data;
mod error;
mod paths;
pub mod preprocess;

pub use config::Config;
pub use error::{Error, Result};
