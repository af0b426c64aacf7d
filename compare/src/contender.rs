//! Who is measured: the fused kernels, and every other product under the same epilogues.

use std::path::PathBuf;

use anyhow::{Context, Result};
use sae_harness::measure::{Op, Operation, Sizes};
use sae_kernels::{Backend, BackendKind, Fused, Isa, Unfused, backend};

use crate::cblas::Cblas;
use crate::plain::Plain;
use crate::products::{Faer, GemmCrate, Gemmkit, first_error};

/// The name of what is measured against all others.
pub(crate) const FUSED: &str = "fused";
/// The fused kernels on a lesser instruction set.
pub(crate) const FUSED_AVX2: &str = "fused (avx2)";
/// What follows the name of a product that plain loops finish.
pub(crate) const PLAIN: &str = " + plain loops";

/// Somebody who can carry operations out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Fused,
    FusedAvx2,
    Built(BackendKind),
    Faer,
    GemmCrate,
    Gemmkit,
    /// A library with the C interface of BLAS, and the name it goes by.
    Cblas(PathBuf, String),
    /// A built product, finished by plain loops.
    Plain(BackendKind),
}

impl Contender {
    /// The fused kernels, then every product; those whose threads keep looking out for work last.
    pub(crate) fn all(cblas: &[PathBuf]) -> Vec<Self> {
        let mut all = vec![Self::Fused, Self::Faer, Self::GemmCrate, Self::Gemmkit];
        let built = [BackendKind::MatrixMultiply, BackendKind::OpenBlas].into_iter().filter(|kind| kind.is_built());
        all.extend(built.clone().map(Self::Built));
        all.extend(cblas.iter().map(|path| {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let name = name.strip_prefix("lib").unwrap_or(&name);
            Self::Cblas(path.clone(), format!("cblas {}", name.split(".so").next().unwrap_or(name)))
        }));
        all.extend(built.max_by_key(|kind| *kind == BackendKind::OpenBlas).map(Self::Plain));
        all
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Fused => FUSED.to_owned(),
            Self::FusedAvx2 => FUSED_AVX2.to_owned(),
            Self::Built(kind) => kind.name().to_owned(),
            Self::Faer => "faer".to_owned(),
            Self::GemmCrate => "gemm".to_owned(),
            Self::Gemmkit => "gemmkit".to_owned(),
            Self::Cblas(_, name) => name.clone(),
            Self::Plain(kind) => format!("{}{PLAIN}", kind.name()),
        }
    }

    /// Whether it is different from the others in this operation.
    pub(crate) fn takes_part(&self, op: Op) -> bool {
        op != Op::Gemm || !matches!(self, Self::Plain(_))
    }

    fn backend(&self) -> Result<Box<dyn Backend>> {
        Ok(match self {
            Self::Fused => backend(BackendKind::Fused)?,
            Self::FusedAvx2 => Box::new(Fused::with_isa(Isa::Avx2)?),
            Self::Built(kind) | Self::Plain(kind) => backend(*kind)?,
            Self::Faer => Box::new(Unfused::new(Faer)?),
            Self::GemmCrate => Box::new(Unfused::new(GemmCrate)?),
            Self::Gemmkit => Box::new(Unfused::new(Gemmkit)?),
            Self::Cblas(path, _) => Box::new(Unfused::new(Cblas::load(path)?.0)?),
        })
    }

    /// What is wrong with its products on this machine, where something is.
    pub(crate) fn first_error(&self) -> Result<Option<String>> {
        Ok(first_error(self.backend()?.as_mut()))
    }

    /// The operation with random operands of its own.
    pub(crate) fn build(&self, op: Op, sizes: Sizes) -> Result<Work> {
        let backend = self.backend().with_context(|| format!("contender {}", self.name()))?;
        Ok(match self {
            Self::Plain(_) => Work::Plain { op, plain: Box::new(Plain::new(sizes)), product: backend },
            _ => Work::Operation(Box::new(op.build(sizes, backend)?)),
        })
    }
}

/// An operation, ready to be called again and again.
pub(crate) enum Work {
    Operation(Box<Operation>),
    Plain { op: Op, plain: Box<Plain>, product: Box<dyn Backend> },
}

impl Work {
    pub(crate) fn isa(&self) -> Isa {
        match self {
            Self::Operation(operation) => operation.isa(),
            Self::Plain { product, .. } => product.isa(),
        }
    }

    pub(crate) fn run(&mut self) -> sae_harness::Result<Option<f64>> {
        match self {
            Self::Operation(operation) => operation.run(),
            Self::Plain { op, plain, product } => {
                let done = match op {
                    Op::Encode => plain.encode(product.as_mut()),
                    _ => plain.step(product.as_mut()).map(drop),
                };
                done.map(|()| None).map_err(|error| sae_harness::Error::Failed(error.to_string()))
            }
        }
    }
}
