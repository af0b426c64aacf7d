//! Trains complete sparse autoencoders with [`sae_kernels`], checks them and measures throughput.

pub mod atomic;
pub mod eval;
pub mod model;
pub mod report;
pub mod train;
