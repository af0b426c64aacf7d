//! What is measured: the operations, shapes, threads and contenders of each part.

use clap::ValueEnum;
use sae_harness::measure::{Op, Sizes};

use crate::contender::Contender;

/// A part of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Products of row-major matrices, packing included.
    Gemm,
    /// The encoder's product with bias, sigmoid and column sums.
    Encode,
    /// The whole training step.
    Step,
    /// Training steps of odd shapes, by the fused kernels alone.
    Odd,
    /// Training steps by batch, width and threads.
    Growth,
}

impl Part {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gemm => "gemm",
            Self::Encode => "encode",
            Self::Step => "step",
            Self::Odd => "odd",
            Self::Growth => "growth",
        }
    }
}

/// One measurement: everybody on the same shape and threads, in turn.
#[derive(Clone, Debug)]
pub(crate) struct Race {
    pub(crate) op: Op,
    pub(crate) sizes: Sizes,
    pub(crate) threads: usize,
    pub(crate) contenders: Vec<Contender>,
}

/// The shapes of a step that the targets name.
const STEPS: [[usize; 3]; 6] =
    [[1024, 784, 4096], [4096, 768, 6144], [256, 784, 1024], [256, 784, 196], [64, 784, 196], [1000, 64, 25]];
const ENCODES: [[usize; 3]; 3] = [[1024, 784, 4096], [256, 784, 1024], [256, 784, 196]];
const GEMMS: [[usize; 3]; 5] =
    [[2048, 2048, 2048], [1024, 784, 4096], [1024, 4096, 784], [256, 784, 1024], [256, 784, 196]];

/// Multiply-adds of a product above which one thread takes too long for all contenders.
const LONG: usize = 1 << 34;

/// The races of a part, on the smallest and the largest of these numbers of threads, or on all of them.
pub(crate) fn races(part: Part, threads: &[usize], everybody: &[Contender]) -> Vec<Race> {
    let most = threads.iter().copied().max().unwrap_or(1);
    let fused = || vec![Contender::Fused];
    match part {
        Part::Gemm => each(Op::Gemm, &GEMMS, threads, everybody),
        Part::Encode => each(Op::Encode, &ENCODES, threads, everybody),
        Part::Step => {
            let mut races = each(Op::Step, &STEPS, threads, everybody);
            if sae_kernels::Isa::Avx2.is_available() {
                for race in races.iter_mut().filter(|race| race.sizes.d_hid == 4096) {
                    race.contenders.insert(1, Contender::FusedAvx2);
                }
            }
            races
        }
        Part::Odd => odd().into_iter().map(|shape| race(Op::Step, shape, most, fused())).collect(),
        Part::Growth => {
            let some = |c: &&Contender| !matches!(c, Contender::Plain(_) | Contender::Gemmkit);
            let peers: Vec<Contender> = everybody.iter().filter(some).cloned().collect();
            let powers = |from: usize, to: usize| (0..).map(move |i| from << (2 * i)).take_while(move |&v| v <= to);
            let batches = powers(16, 1 << 14).map(|batch| race(Op::Step, [batch, 784, 1024], most, peers.clone()));
            let widths = powers(64, 1 << 16).map(|d_hid| race(Op::Step, [256, 784, d_hid], most, peers.clone()));
            let counts = (0..).map(|i| 1 << i).take_while(|&t| t < most).chain([most]);
            let threads = counts.map(|t| race(Op::Step, [1024, 784, 4096], t, peers.clone()));
            batches.chain(widths).chain(threads).collect()
        }
    }
}

fn race(op: Op, [batch, d_in, d_hid]: [usize; 3], threads: usize, contenders: Vec<Contender>) -> Race {
    let contenders = contenders.into_iter().filter(|contender| contender.takes_part(op)).collect();
    Race { op, sizes: Sizes { batch, d_in, d_hid, models: 1 }, threads, contenders }
}

fn each(op: Op, shapes: &[[usize; 3]], threads: &[usize], everybody: &[Contender]) -> Vec<Race> {
    let most = threads.iter().copied().max().unwrap_or(1);
    let mut races = Vec::new();
    for &shape in shapes {
        let long = shape.iter().product::<usize>() > LONG;
        let wanted = threads.iter().filter(|&&t| t == most || !long);
        races.extend(wanted.map(|&threads| race(op, shape, threads, everybody.to_vec())));
    }
    races
}

/// Primes, powers of two, their neighbours, and round numbers that are neither.
const ODD: [usize; 28] = [
    64, 65, 67, 96, 100, 127, 128, 129, 191, 255, 256, 257, 383, 401, 511, 512, 513, 641, 769, 1000, 1009, 1023, 1024,
    1025, 2039, 2047, 2048, 2049,
];
/// Multiply-adds of one product of a step: at least 100 MFLOP a step, and not for seconds.
const ODD_WORK: std::ops::Range<usize> = 10_000_000..300_000_000;
/// How many of the combinations are taken, evenly.
const ODD_COUNT: usize = 160;
/// One dimension far above the others.
const SKINNY: [[usize; 3]; 9] = [
    [64, 64, 2503],
    [64, 2503, 64],
    [2503, 64, 64],
    [64, 64, 16384],
    [64, 16384, 64],
    [16384, 64, 64],
    [65, 67, 16381],
    [65, 16381, 67],
    [16381, 65, 67],
];

/// Shapes with each dimension at least 64 and at least 100 MFLOP a step.
fn odd() -> Vec<[usize; 3]> {
    let shapes = ODD.iter().flat_map(|&n| ODD.iter().flat_map(move |&d| ODD.iter().map(move |&h| [n, d, h])));
    let all: Vec<_> = shapes.filter(|shape| ODD_WORK.contains(&shape.iter().product())).collect();
    let taken = (0..ODD_COUNT).map(|i| all[i * all.len() / ODD_COUNT]);
    SKINNY.into_iter().chain(taken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_shapes_are_what_the_target_names() {
        let shapes = odd();
        assert_eq!(shapes.len(), SKINNY.len() + ODD_COUNT);
        for shape in shapes {
            assert!(shape.iter().all(|&d| d >= 64) && 10 * shape.iter().product::<usize>() >= 100_000_000, "{shape:?}");
        }
    }

    #[test]
    fn every_part_has_races_and_the_fused_kernels_run_in_each() {
        let everybody = Contender::all(&[]);
        for part in Part::value_variants() {
            let races = races(*part, &[1, 2], &everybody);
            assert!(!races.is_empty() && races.iter().all(|race| race.contenders[0] == Contender::Fused), "{part:?}");
        }
    }
}
