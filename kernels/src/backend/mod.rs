//! Who carries the operations out.
//!
//! One trait, four implementors, chosen at run time:
//!
//! | backend | product | what follows it |
//! | --- | --- | --- |
//! | `fused` | own micro-kernels | in the tile, before it leaves the first-level cache |
//! | `openblas` | `cblas_sgemm` | the same vectorised epilogue, as a pass of its own |
//! | `matrixmultiply` | `matrixmultiply::sgemm` | the same vectorised epilogue, as a pass of its own |
//! | `naive` | plain loops, f32 or f64 | plain loops: the definition of correct |
//!
//! Any other product becomes a backend by [`Unfused`].

mod fused;
mod matrixmultiply;
mod naive;
#[cfg(feature = "openblas")]
mod openblas;
mod pass;
mod product;
mod unfused;

pub use fused::Fused;
pub use naive::Naive;
pub use product::{Operands, Product, Sgemm};
pub use unfused::Unfused;

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::isa::Isa;
use crate::ops::{Decode, Encode, Gemm, HiddenDelta, Result, TopK, UpdateMatrix, UpdateVector, WeightGrad};
use crate::view::MatRef;

/// The operations of a training step. Every operand is checked before anything is written; after an error all outputs
/// are as they were.
///
/// A backend owns its scratch memory, which grows to what the largest call needs and stays: hence `&mut self`. Use one
/// backend a thread of control; each may itself run on many threads.
pub trait Backend<T = f32>: Send {
    /// Which one this is.
    fn kind(&self) -> BackendKind;

    /// The instruction set its own code runs on.
    fn isa(&self) -> Isa;

    /// The panel width it works fastest in; `None` for row-major.
    fn panel(&self) -> Option<usize>;

    /// Whether all its threads are rayon's and take part in its own code only, so that a step may keep them from one
    /// operation to the next.
    fn keeps_threads(&self) -> bool {
        false
    }

    /// `c = a·b` or `aᵀ·b`.
    ///
    /// # Errors
    /// [`Error::Shape`].
    fn gemm(&mut self, op: Gemm<'_, T>) -> Result;

    /// `h = f(x·w + bias)`, small ones 0 where asked for, and its column sums.
    ///
    /// # Errors
    /// [`Error::Shape`].
    fn encode(&mut self, op: Encode<'_, T>) -> Result;

    /// The `k` largest elements of each row of `h`, the others 0.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Scalar`].
    fn top_k(&mut self, op: TopK<'_, T>) -> Result;

    /// `x_hat = g(h·w + bias)`, the loss and its gradient.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::BceActivation`].
    fn decode(&mut self, op: Decode<'_, T>) -> Result;

    /// `delta_hid = (delta_out·w_t ⊙ gate + row_term + l1·sign h) ⊙ f'(h)`.
    ///
    /// # Errors
    /// [`Error::Shape`].
    fn hidden_delta(&mut self, op: HiddenDelta<'_, T>) -> Result;

    /// `aᵀ·delta`, stored or applied.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::MissingState`], [`Error::Scalar`].
    fn weight_grad(&mut self, op: WeightGrad<'_, T>) -> Result;

    /// An optimiser's step on a matrix whose gradient `grad [rows, cols]` has been stored: what
    /// [`Backend::weight_grad`] does in its tiles, with the same bits.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::MissingState`], [`Error::Scalar`].
    fn update_matrix(&mut self, grad: MatRef<'_, T>, update: UpdateMatrix<'_, T>) -> Result;

    /// An optimiser's step on a vector.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::MissingState`], [`Error::Scalar`].
    fn update_vector(&mut self, op: UpdateVector<'_, T>) -> Result;

    /// `Σ w²`: `sums`, one element a problem, written.
    ///
    /// # Errors
    /// [`Error::Shape`].
    fn sum_of_squares(&mut self, w: MatRef<'_, T>, sums: &mut [f64]) -> Result;
}

/// A backend's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// Own fused kernels.
    Fused,
    /// The system's OpenBLAS.
    OpenBlas,
    /// The matrixmultiply crate.
    MatrixMultiply,
    /// Plain loops.
    Naive,
    /// Somebody else's [`Product`] under [`Unfused`]: made in code, of no name that can be asked for.
    Product,
}

impl BackendKind {
    /// Every backend that [`backend`] can make.
    pub const ALL: [Self; 4] = [Self::Fused, Self::OpenBlas, Self::MatrixMultiply, Self::Naive];

    /// The name `--backend` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fused => "fused",
            Self::OpenBlas => "openblas",
            Self::MatrixMultiply => "matrixmultiply",
            Self::Naive => "naive",
            Self::Product => "product",
        }
    }

    /// Whether this build contains it.
    pub const fn is_built(self) -> bool {
        match self {
            Self::OpenBlas => cfg!(feature = "openblas"),
            Self::Product => false,
            Self::Fused | Self::MatrixMultiply | Self::Naive => true,
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn unknown(name: &str) -> Error {
    let expected = BackendKind::ALL.map(BackendKind::name).join(", ");
    Error::Unknown { what: "backend", found: name.to_owned(), expected }
}

impl FromStr for BackendKind {
    type Err = Error;

    fn from_str(name: &str) -> std::result::Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| unknown(name))
    }
}

/// Makes a backend.
///
/// # Errors
/// [`Error::NotBuilt`], [`Error::Unknown`] for [`BackendKind::Product`], and those of [`Isa::detect`].
pub fn backend(kind: BackendKind) -> Result<Box<dyn Backend>> {
    match kind {
        BackendKind::Fused => Ok(Box::new(Fused::new()?)),
        #[cfg(feature = "openblas")]
        BackendKind::OpenBlas => Ok(Box::new(Unfused::new(openblas::OpenBlas)?)),
        #[cfg(not(feature = "openblas"))]
        BackendKind::OpenBlas => Err(Error::NotBuilt { backend: "openblas", feature: "openblas" }),
        BackendKind::MatrixMultiply => Ok(Box::new(Unfused::new(matrixmultiply::MatrixMultiply)?)),
        BackendKind::Naive => Ok(Box::new(Naive)),
        BackendKind::Product => Err(unknown(kind.name())),
    }
}

/// What the OpenBLAS in this build says of itself; `None` where there is none.
pub fn openblas_config() -> Option<String> {
    #[cfg(feature = "openblas")]
    return Some(openblas::config());
    #[cfg(not(feature = "openblas"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_build_with_openblas_says_what_it_is() {
        let config = openblas_config();
        assert_eq!(config.is_some(), cfg!(feature = "openblas"));
        assert!(config.is_none_or(|config| config.contains("OpenBLAS")), "its name is in it");
    }
}
