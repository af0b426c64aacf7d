//! Fused, batched GEMM + bias + activation for sparse autoencoders, forward and backward, on explicit SIMD.

mod backend;
mod epilogue;
mod error;
mod gemm;
mod isa;
mod kernels;
mod layout;
pub mod math;
mod matrix;
#[cfg(test)]
mod names_tests;
pub mod ops;
mod peak;
mod pool;
mod real;
mod simd;
pub mod step;
mod view;

pub use backend::{Backend, BackendKind, Fused, Naive, Operands, Product, Sgemm, Unfused, backend, openblas_config};
pub use error::Error;
pub use gemm::cache::CacheSizes;
pub use isa::{ISA_VARIABLE, Isa};
pub use kernels::{KernelInfo, kernels};
pub use layout::Layout;
pub use matrix::{AlignedVec, Matrix};
pub use peak::fma_loop;
pub use real::Real;
pub use step::{BatchedStep, Step, StepConfig};
pub use view::{MatMut, MatRef};
