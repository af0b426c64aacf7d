//! Calls: which there are, and how a number becomes one.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::ops::{Activation, Form, Rule};
use sae_kernels::{BackendKind, Isa, KernelInfo, kernels};

use super::arena::{Edge, Spot, Store};
use crate::soak::mix;
use crate::support::{Case, Op, Shared};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    /// An operation with a product.
    Product(Op),
    /// The hidden layer with a threshold.
    Cut(Activation),
    /// The hidden layer's error where it is gated, and 0 where the activation is.
    Gated(Activation),
    /// The largest elements of each row of `m × n`, up to `k` of them.
    Largest,
    /// An optimiser's step on a vector of `m·n` elements; with state that the rule does not keep, or without.
    Vector(Rule, bool),
    /// A function of a slice of `m·n` elements, by its place in [`SLICES`].
    Slice(usize),
    /// The sum of squares of an `m × n` matrix.
    Squares,
}

/// The functions of slices.
pub(super) type Slice = fn(Isa, &[f32], &mut [f32]) -> Result<(), sae_kernels::Error>;
pub(super) const SLICES: [Slice; 6] = {
    use sae_kernels::math::{exp, log, log1p, sigmoid, softplus, tanh};
    [exp, log, log1p, sigmoid, softplus, tanh]
};

/// Places of operands, each with memory of its own.
pub(super) const OPERANDS: usize = 11;
pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const VECTOR: usize = 2;
pub(super) const SUMS: usize = 3;
pub(super) const THIRD: usize = 4;
pub(super) const OUT: usize = 5;
pub(super) const EXTRA: usize = 6;
pub(super) const FIRST: usize = 7;
pub(super) const SECOND: usize = 8;
pub(super) const TRANSPOSED: usize = 9;
pub(super) const LOSS: usize = 10;

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) what: What,
    /// Whose: `Fused` on an instruction set, or another backend.
    pub(super) backend: BackendKind,
    pub(super) isa: Isa,
    pub(super) case: Case,
    pub(super) spots: [Spot; OPERANDS],
    /// Where in the table of numbers each operand begins.
    pub(super) from: [usize; OPERANDS],
    pub(super) threads: usize,
    /// Whether the backend has no scratch memory of earlier calls.
    pub(super) fresh: bool,
}

/// All there is to call.
pub(super) fn whats() -> Vec<What> {
    let mut all: Vec<_> = Op::all().into_iter().map(What::Product).collect();
    all.extend(Rule::all().into_iter().flat_map(|rule| [true, false].map(|spare| What::Vector(rule, spare))));
    all.extend((0..SLICES.len()).map(What::Slice));
    all.extend(Activation::ALL.into_iter().flat_map(|f| [What::Cut(f), What::Gated(f)]));
    all.extend([What::Squares, What::Largest]);
    all
}

/// Sizes of a result that are tried one by one: up to two tiles and a row, two panels and a column.
fn edges(kernel: &KernelInfo) -> [usize; 2] {
    let (rows, width) = kernel.main_tile();
    [2 * rows + 1, 2 * width + 1]
}

/// A list of calls: each number is one, the same on every run.
pub(super) enum List {
    /// Everything there is to call, on every instruction set, with every result of up to two tiles and a row by two panels
    /// and a column.
    Edges,
    /// Random ones.
    Random,
}

impl List {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Edges => kernels().iter().map(|kernel| block(kernel).iter().product::<usize>() as u64).sum(),
            Self::Random => u64::MAX,
        }
    }

    pub(super) fn call(&self, seed: u64, number: u64) -> Call {
        let mut rng = ChaCha8Rng::seed_from_u64(mix(seed, number));
        match self {
            Self::Random => random(&mut rng),
            Self::Edges => {
                let mut left = number as usize;
                for kernel in kernels() {
                    let [ops, rows, cols] = block(&kernel);
                    if left < ops * rows * cols {
                        let [op, m, n] = [left / (rows * cols), left / cols % rows, left % cols];
                        let k = if rng.random_ratio(1, 4) {
                            rng.random_range(0..=kernel.panel)
                        } else {
                            rng.random_range(0..6)
                        };
                        return complete(&mut rng, &kernel, BackendKind::Fused, whats()[op], [m, n, k]);
                    }
                    left -= ops * rows * cols;
                }
                unreachable!("the number is below the length")
            }
        }
    }
}

fn block(kernel: &KernelInfo) -> [usize; 3] {
    let [m, n] = edges(kernel);
    [whats().len(), m + 1, n + 1]
}

fn random(rng: &mut ChaCha8Rng) -> Call {
    let kernels = kernels();
    let kernel = kernels.choose(rng).expect("the portable kernels are always there");
    let what = *whats().choose(rng).expect("the list is not empty");
    let backend = if rng.random_ratio(1, 16) { BackendKind::MatrixMultiply } else { BackendKind::Fused };
    let [m, n] = edges(kernel);
    let tallest = kernel.tiles.iter().map(|tile| tile.0).max().unwrap_or(1);
    let shape = match rng.random_range(0..256) {
        // The lengths around which k is cut, which depend on the second-level cache: 64, 16 or 8 columns of a quarter of it.
        0..6 => {
            let cut = *[256, 512, 768, 784, 1024, 2048].choose(rng).unwrap();
            [rng.random_range(1..=m), rng.random_range(1..=n), rng.random_range(cut - 1..=cut + 1)]
        }
        6 => {
            let cut = *[3072, 4096, 8192].choose(rng).unwrap();
            [rng.random_range(1..8), rng.random_range(1..20), rng.random_range(cut - 1..=cut + 1)]
        }
        // Enough work to be shared out.
        7 => [rng.random_range(90..200), rng.random_range(90..200), rng.random_range(80..140)],
        // Blocks of rows that are summed together, and all heights of the narrow tiles.
        8..40 => [rng.random_range(0..=2 * tallest.max(48) + 1), rng.random_range(0..=n / 2), rng.random_range(0..12)],
        40..72 => [rng.random_range(0..=m), rng.random_range(0..=n), rng.random_range(0..=n)],
        _ => [rng.random_range(0..=m), rng.random_range(0..=n), rng.random_range(0..16)],
    };
    complete(rng, kernel, backend, what, shape)
}

/// Draws what is left to choose.
fn complete(rng: &mut ChaCha8Rng, kernel: &KernelInfo, backend: BackendKind, what: What, shape: [usize; 3]) -> Call {
    let op = match what {
        What::Product(op) => op,
        _ => Op::Gemm { form: Form::Nn, accumulate: false },
    };
    let matrix = !matches!(what, What::Vector(..) | What::Slice(_));
    let batch = if matrix && rng.random_ratio(1, 5) { *[0, 2, 2, 3].choose(rng).unwrap() } else { 1 };
    let shared = match rng.random_range(0..6) {
        0 => Shared::A,
        1 => Shared::B,
        _ => Shared::Nothing,
    };
    // The left operand of an NN product may have panels of any width, and so may all of an unfused backend.
    let any_panel = |operand| backend != BackendKind::Fused || operand == A && op.form() == Form::Nn;
    let heavy = shape.iter().product::<usize>() >= 1 << 20;
    Call {
        what,
        backend,
        isa: kernel.isa,
        case: Case { batch, shared, ..Case::new(op, shape) },
        spots: std::array::from_fn(|operand| spot(rng, kernel.panel, any_panel(operand), operand)),
        from: std::array::from_fn(|_| rng.random_range(0..1 << 16)),
        threads: if heavy { rng.random_range(1..=3) } else { 1 },
        fresh: rng.random_ratio(1, 64),
    }
}

/// A place for an operand that the kernels take: in panels of their width, or of any.
fn spot(rng: &mut ChaCha8Rng, panel: usize, any_panel: bool, operand: usize) -> Spot {
    let edge = match rng.random_range(0..8) {
        0..3 => Edge::Left,
        3..6 => Edge::Right,
        _ => Edge::Inside(rng.random_range(1..20)),
    };
    let matrix = !matches!(operand, VECTOR | SUMS | LOSS);
    let store = match rng.random_range(0..8) {
        0..2 => Store::RowMajor(0),
        2 => Store::RowMajor(rng.random_range(1..80)),
        3..5 => Store::Rows,
        5 if any_panel => Store::Panels(rng.random_range(1..100)),
        _ => Store::Panels(panel * rng.random_range(1..4)),
    };
    let edge = match edge {
        // Doubles lie at even words.
        Edge::Inside(by) if operand == LOSS => Edge::Inside(by & !1),
        edge => edge,
    };
    let spot = Spot { store, edge, apart: rng.random() };
    if matrix { spot } else { spot.plain() }
}

impl Spot {
    /// For a slice, or an operand that no room holds otherwise.
    pub(super) fn plain(self) -> Self {
        Self { store: Store::RowMajor(0), apart: false, ..self }
    }
}
