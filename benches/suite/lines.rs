//! The lines of a group: who runs, in which storage, and the ceiling above them all.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use sae_kernels::{Backend, BackendKind, Isa, backend, fma_loop};

/// A backend and the storage it is given.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) kind: BackendKind,
    /// Whether operands are panel-major with the backend's own panel.
    panels: bool,
}

impl Line {
    /// Every backend that is built; `row_major` adds the fused one on row-major storage, `naive` the definition.
    pub(crate) fn all(row_major: bool, naive: bool) -> Vec<Self> {
        let mut lines = Vec::new();
        for kind in BackendKind::ALL.into_iter().filter(|kind| kind.is_built()) {
            if kind == BackendKind::Naive && !naive {
                continue;
            }
            lines.push(Self { name: kind.name(), kind, panels: true });
            if kind == BackendKind::Fused && row_major {
                lines.push(Self { name: "fused_row_major", kind, panels: false });
            }
        }
        lines
    }

    /// The backend, and the panel width of its operands.
    pub(crate) fn start(&self) -> (Box<dyn Backend>, Option<usize>) {
        let backend = backend(self.kind).expect("the backend is in this build, on an instruction set of this machine");
        let panel = if self.panels { backend.panel() } else { None };
        (backend, panel)
    }
}

/// A group whose elements are floating point operations, with its ceiling.
pub(crate) fn flops_group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    peak(&mut group, rayon::current_num_threads());
    group
}

/// The line `fma_peak`: fused multiply-adds in registers, on `threads` threads of the pool.
pub(crate) fn peak(group: &mut BenchmarkGroup<'_, WallTime>, threads: usize) {
    /// Milliseconds of work, so that starting the threads does not show.
    const ROUNDS: usize = 1 << 16;
    let isa = Isa::detect().expect("SAE_KERNELS_ISA is unset or names an instruction set of this machine");
    let run = |rounds| fma_loop(isa, rounds).expect("the instruction set was just found");
    group.throughput(Throughput::Elements(run(1) as u64 * ROUNDS as u64 * threads as u64));
    group.bench_function("fma_peak", |b| {
        b.iter(|| match threads {
            1 => run(ROUNDS),
            _ => rayon::broadcast(|_| run(ROUNDS)).into_iter().sum(),
        });
    });
}

/// One line at one shape. `start` makes the operands, on the first use only, so that a line that is filtered out costs
/// nothing; `flops` is the work of one `run`.
pub(crate) fn line<S>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    flops: usize,
    start: impl Fn() -> S,
    mut run: impl FnMut(&mut S),
) {
    let mut state = None;
    group.throughput(Throughput::Elements(flops as u64));
    group.bench_function(id, |b| {
        let state = state.get_or_insert_with(&start);
        b.iter(|| run(state));
    });
}
