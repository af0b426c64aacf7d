//! Trains complete sparse autoencoders with [`sae_kernels`], checks them and measures throughput.

pub mod data;
mod error;

pub use error::{Error, Result};
