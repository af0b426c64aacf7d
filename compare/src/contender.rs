//! Who is measured: the fused kernels, and every other product under the same epilogues.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rayon::ThreadPool;
use sae_harness::measure::{Lap, Op, Operation, Repeat, Sizes};
use sae_kernels::{Backend, BackendKind, Fused, Isa, Unfused, backend};

use crate::cblas::Cblas;
use crate::cold::Cold;
use crate::frameworks::{Framework, Start, Worker};
use crate::plain::Plain;
use crate::products::{Faer, GemmCrate, Gemmkit, first_error};

/// The name of what is measured against all others.
pub(crate) const FUSED: &str = "fused";
/// The fused kernels on a lesser instruction set.
pub(crate) const FUSED_AVX2: &str = "fused (avx2)";
/// The fused kernels, everything they touch out of the caches.
pub(crate) const FUSED_COLD: &str = "fused, cold caches";
/// What follows the name of a product that plain loops finish.
pub(crate) const PLAIN: &str = " + plain loops";

/// Somebody who can carry operations out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Fused,
    FusedAvx2,
    /// With caches emptied before every call.
    FusedCold,
    /// On so many threads of its own, whatever the race's.
    FusedThreads(usize),
    Built(BackendKind),
    Faer,
    GemmCrate,
    Gemmkit,
    /// A library with the C interface of BLAS, and the name it goes by.
    Cblas(PathBuf, String),
    /// A built product, finished by plain loops.
    Plain(BackendKind),
    /// A step in PyTorch or JAX, and the Python to run it.
    Framework(Framework, PathBuf),
}

impl Contender {
    /// The fused kernels, then every product, those whose threads keep looking out for work last; then frameworks.
    pub(crate) fn all(cblas: &[PathBuf], python: Option<&Path>) -> Vec<Self> {
        let mut all = vec![Self::Fused, Self::Faer, Self::GemmCrate, Self::Gemmkit];
        let built = [BackendKind::MatrixMultiply, BackendKind::OpenBlas].into_iter().filter(|kind| kind.is_built());
        all.extend(built.clone().map(Self::Built));
        all.extend(cblas.iter().map(|path| {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let name = name.strip_prefix("lib").unwrap_or(&name).replace('_', "-");
            Self::Cblas(path.clone(), format!("cblas {}", name.split(".so").next().unwrap_or(&name)))
        }));
        all.extend(built.max_by_key(|kind| *kind == BackendKind::OpenBlas).map(Self::Plain));
        all.extend(python.into_iter().flat_map(|python| Framework::ALL.map(|f| Self::Framework(f, python.to_owned()))));
        all
    }

    /// Whether it is this library.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Fused | Self::FusedAvx2 | Self::FusedCold | Self::FusedThreads(_))
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Fused => FUSED.to_owned(),
            Self::FusedAvx2 => FUSED_AVX2.to_owned(),
            Self::FusedCold => FUSED_COLD.to_owned(),
            Self::FusedThreads(threads) => format!("{FUSED}, {threads} threads"),
            Self::Built(kind) => kind.name().to_owned(),
            Self::Faer => "faer".to_owned(),
            Self::GemmCrate => "gemm".to_owned(),
            Self::Gemmkit => "gemmkit".to_owned(),
            Self::Cblas(_, name) => name.clone(),
            Self::Plain(kind) => format!("{}{PLAIN}", kind.name()),
            Self::Framework(framework, _) => framework.name().to_owned(),
        }
    }

    /// Whether it is different from the others in this operation.
    pub(crate) fn takes_part(&self, op: Op) -> bool {
        op != Op::Gemm || !matches!(self, Self::Plain(_))
    }

    /// The threads it runs on in a race on that many.
    pub(crate) fn threads(&self, race: usize) -> usize {
        if let Self::FusedThreads(own) = self { *own } else { race }
    }

    fn backend(&self) -> Result<Box<dyn Backend>> {
        Ok(match self {
            Self::Fused | Self::FusedCold | Self::FusedThreads(_) => backend(BackendKind::Fused)?,
            Self::FusedAvx2 => Box::new(Fused::with_isa(Isa::Avx2)?),
            Self::Built(kind) | Self::Plain(kind) => backend(*kind)?,
            Self::Faer => Box::new(Unfused::new(Faer)?),
            Self::GemmCrate => Box::new(Unfused::new(GemmCrate)?),
            Self::Gemmkit => Box::new(Unfused::new(Gemmkit)?),
            Self::Cblas(path, _) => Box::new(Unfused::new(Cblas::load(path)?.0)?),
            Self::Framework(framework, _) => bail!("{} has no operations of its own", framework.name()),
        })
    }

    /// What is wrong with its products on this machine, where something is.
    pub(crate) fn first_error(&self) -> Result<Option<String>> {
        if matches!(self, Self::Framework(..)) {
            return Ok(None);
        }
        Ok(first_error(self.backend()?.as_mut()))
    }

    /// The operation with random operands of its own; `start` is where a framework's step begins.
    pub(crate) fn build(&self, op: Op, sizes: Sizes, start: Option<&Start>) -> Result<Work> {
        if let Self::Framework(framework, python) = self {
            let start = start.with_context(|| format!("{}: expected a batch and weights", framework.name()))?;
            return Ok(Work::Worker(Worker::start(python, *framework, start)?));
        }
        let backend = self.backend().with_context(|| format!("contender {}", self.name()))?;
        if let Self::Plain(_) = self {
            return Ok(Work::Plain { op, plain: Box::new(Plain::new(sizes)), product: backend });
        }
        let operation = Box::new(op.build(sizes, backend)?);
        Ok(match self {
            Self::FusedCold => Work::Cold(Box::new(Cold::new(InProcess(operation)))),
            Self::FusedThreads(threads) => {
                Work::Pooled(rayon::ThreadPoolBuilder::new().num_threads(*threads).build()?, operation)
            }
            _ => Work::Operation(operation),
        })
    }
}

/// An operation on the threads of the pool it is called in.
pub(crate) struct InProcess(Box<Operation>);

impl Repeat for InProcess {
    fn repeat(&mut self, calls: u64) -> sae_harness::Result<Lap> {
        (|| self.0.run()).repeat(calls)
    }
}

/// An operation, ready to be called again and again.
pub(crate) enum Work {
    Operation(Box<Operation>),
    Cold(Box<Cold<InProcess>>),
    Pooled(ThreadPool, Box<Operation>),
    Plain { op: Op, plain: Box<Plain>, product: Box<dyn Backend> },
    Worker(Worker),
}

impl Work {
    /// The name of the instruction set; empty where that is not known.
    pub(crate) fn isa(&self) -> &'static str {
        match self {
            Self::Operation(operation) | Self::Pooled(_, operation) => operation.isa().name(),
            Self::Cold(cold) => cold.inner().0.isa().name(),
            Self::Plain { product, .. } => product.isa().name(),
            Self::Worker(_) => "",
        }
    }
}

impl Repeat for Work {
    fn repeat(&mut self, calls: u64) -> sae_harness::Result<Lap> {
        match self {
            Self::Operation(operation) => (|| operation.run()).repeat(calls),
            Self::Cold(cold) => cold.repeat(calls),
            Self::Pooled(pool, operation) => pool.install(|| (|| operation.run()).repeat(calls)),
            Self::Worker(worker) => worker.repeat(calls),
            Self::Plain { op, plain, product } => (|| {
                let done = match op {
                    Op::Encode => plain.encode(product.as_mut()),
                    _ => plain.step(product.as_mut()).map(drop),
                };
                done.map(|()| None).map_err(|error| sae_harness::Error::Failed(error.to_string()))
            })
            .repeat(calls),
        }
    }

    fn shortest(&self) -> f64 {
        match self {
            Self::Operation(_) | Self::Pooled(..) | Self::Plain { .. } => (|| Ok(None)).shortest(),
            Self::Cold(cold) => cold.shortest(),
            Self::Worker(worker) => worker.shortest(),
        }
    }
}
