//! Hand-optimised CPU kernels for sparse autoencoders, and the harness that trains with them and proves them.
//!
//! This package only joins the two crates, and owns the benches, and the tests of whole trainings.

pub use sae_harness as harness;
pub use sae_kernels as kernels;

/// The README's examples, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
