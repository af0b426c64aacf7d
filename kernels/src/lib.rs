//! Fused, batched GEMM + bias + activation for sparse autoencoders, forward and backward, on explicit SIMD.

mod backend;
mod error;
mod isa;
mod layout;
pub mod math;
mod matrix;
pub mod ops;
mod real;
#[allow(dead_code, reason = "the kernels use the rest of the trait")]
mod simd;
mod view;

pub use backend::{Backend, BackendKind};
pub use error::Error;
pub use isa::{ISA_VARIABLE, Isa};
pub use layout::Layout;
pub use matrix::{AlignedVec, Matrix};
pub use real::Real;
pub use view::{MatMut, MatRef};
