//! What is measured: the operations, shapes, threads and contenders of each part.

use anyhow::{Result, bail};
use clap::ValueEnum;
use sae_harness::measure::{Op, Sizes};
use sae_kernels::BackendKind;

use crate::contender::Contender;
use crate::frameworks::Framework;

/// A part of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Products of row-major matrices, packing included.
    Gemm,
    /// The encoder's product with bias, sigmoid and column sums.
    Encode,
    /// The whole training step.
    Step,
    /// A training step of several small models of one shape.
    Batched,
    /// Where the time of the fused training step goes.
    Phases,
    /// Training steps of odd shapes, by the fused kernels alone.
    Odd,
    /// Training steps by batch, width and threads, with warm and cold caches, up to weights of several GB.
    Growth,
    /// The training step beside PyTorch's and JAX's.
    Frameworks,
}

impl Part {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gemm => "gemm",
            Self::Encode => "encode",
            Self::Step => "step",
            Self::Batched => "batched",
            Self::Phases => "phases",
            Self::Odd => "odd",
            Self::Growth => "growth",
            Self::Frameworks => "frameworks",
        }
    }

    /// How often all its races are held, one after the other. Whoever else has the processor for a while has it for the whole
    /// of a race, and where nobody takes turns in it that lasts a few hundredths of a second.
    pub(crate) const fn passes(self) -> usize {
        match self {
            Self::Gemm | Self::Encode | Self::Step => 3,
            Self::Odd => 5,
            _ => 1,
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

impl Race {
    pub(crate) fn shape(&self) -> [usize; 3] {
        [self.sizes.batch, self.sizes.d_in, self.sizes.d_hid]
    }

    /// Whether there is memory for all of it, counted generously: everybody with operands of his own, and the weights once
    /// more, row-major.
    ///
    /// # Errors
    /// Where there is not.
    pub(crate) fn require_memory(&self) -> sae_harness::Result {
        let (op, Sizes { batch, d_in, d_hid, .. }) = (self.op.name(), self.sizes);
        let weights = 2 * size_of::<f32>() as u128 * d_in as u128 * d_hid as u128;
        let bytes = self.op.bytes(self.sizes).saturating_mul(self.contenders.len() as u128).saturating_add(weights);
        let what = format!("{op} of {batch} x {d_in} x {d_hid}, for {} contenders", self.contenders.len());
        sae_harness::memory::require("sae-compare", &what, bytes)
    }
}

/// A shape on the command line.
///
/// # Errors
/// Where the text is not three numbers above 0.
pub(crate) fn shape(text: &str) -> Result<[usize; 3], String> {
    let numbers = text.split(',').map(|number| number.trim().parse().ok().filter(|&n| n > 0));
    let numbers = numbers.collect::<Option<Vec<usize>>>().and_then(|numbers| <[usize; 3]>::try_from(numbers).ok());
    numbers.ok_or_else(|| "expected three numbers, as in 256,784,196".to_owned())
}

/// Refuses a shape that no race has.
///
/// # Errors
/// The first of them, with the shapes there are.
pub(crate) fn require_shapes(
    named: &[[usize; 3]],
    parts: &[Part],
    threads: &[usize],
    everybody: &[Contender],
) -> Result<()> {
    let of = |&part: &Part| match part {
        Part::Phases => STEPS.to_vec(),
        _ => races(part, threads, everybody).iter().map(Race::shape).collect(),
    };
    let mut shapes: Vec<[usize; 3]> = parts.iter().flat_map(of).collect();
    let Some([n, d, h]) = named.iter().find(|shape| !shapes.contains(shape)) else { return Ok(()) };
    shapes.sort_unstable();
    shapes.dedup();
    let shapes: Vec<String> = shapes.iter().map(|[n, d, h]| format!("{n},{d},{h}")).collect();
    bail!("--shape: {n},{d},{h}, expected one of these parts' shapes: {}", shapes.join(" "))
}

/// The shapes of a step that the targets name.
pub(crate) const STEPS: [[usize; 3]; 6] =
    [[1024, 784, 4096], [4096, 768, 6144], [256, 784, 1024], [256, 784, 196], [64, 784, 196], [1000, 64, 25]];
/// Models too small to keep a processor busy alone, and how many.
pub(crate) const BATCHED: [usize; 3] = [256, 64, 100];
pub(crate) const BATCHED_MODELS: usize = 16;
const ENCODES: [[usize; 3]; 3] = [[1024, 784, 4096], [256, 784, 1024], [256, 784, 196]];
const GEMMS: [[usize; 3]; 5] =
    [[2048, 2048, 2048], [1024, 784, 4096], [1024, 4096, 784], [256, 784, 1024], [256, 784, 196]];

/// Multiply-adds of a product above which fewer threads than all take too long for everybody.
const LONG: usize = 1 << 34;

fn is_long(shape: [usize; 3]) -> bool {
    shape.iter().product::<usize>() > LONG
}

/// The races of a part, on the smallest and the largest of these numbers of threads, or on all of them.
pub(crate) fn races(part: Part, threads: &[usize], everybody: &[Contender]) -> Vec<Race> {
    let most = threads.iter().copied().max().unwrap_or(1);
    let (frameworks, libraries): (Vec<_>, Vec<_>) =
        everybody.iter().cloned().partition(|c| matches!(c, Contender::Framework(..)));
    match part {
        Part::Gemm => each(Op::Gemm, &GEMMS, threads, &libraries),
        Part::Encode => each(Op::Encode, &ENCODES, threads, &libraries),
        Part::Phases => Vec::new(),
        Part::Step => {
            let mut races = each(Op::Step, &STEPS, threads, &libraries);
            if sae_kernels::Isa::Avx2.is_available() {
                for race in races.iter_mut().filter(|race| race.sizes.d_hid == 4096) {
                    race.contenders.insert(1, Contender::FusedAvx2);
                }
            }
            races
        }
        Part::Batched => {
            let able: Vec<_> = libraries.into_iter().filter(|c| !matches!(c, Contender::Plain(_))).collect();
            let mut races = each(Op::Step, &[BATCHED], threads, &able);
            races.iter_mut().for_each(|race| race.sizes.models = BATCHED_MODELS);
            races
        }
        Part::Odd => {
            let shapes = odd();
            let on = |&t: &usize| shapes.iter().map(move |&shape| race(Op::Step, shape, t, vec![Contender::Fused]));
            threads.iter().flat_map(on).collect()
        }
        Part::Growth => growth(most, &libraries),
        Part::Frameworks => {
            let on = |t: usize| {
                // In 16 bits, for information: on all threads only.
                let some = |c: &Contender| t == most || !matches!(c, Contender::Framework(Framework::Bf16, _));
                let others = frameworks.iter().filter(|c| some(c)).cloned();
                std::iter::once(Contender::Fused).chain(others).collect::<Vec<_>>()
            };
            let pairs = STEPS.iter().flat_map(|&shape| threads.iter().map(move |&t| (shape, t)));
            let wanted = pairs.filter(|&(shape, t)| t == most || !is_long(shape));
            wanted.map(|(shape, t)| race(Op::Step, shape, t, on(t))).collect()
        }
    }
}

/// The shape whose cost is followed over batches and widths, and the shapes over threads.
pub(crate) const GROWN: [usize; 3] = [256, 784, 1024];
pub(crate) const THREADED: [[usize; 3]; 2] = [[1024, 784, 4096], [256, 784, 196]];
/// Weights of several GB: 1 GiB a matrix, seven of them with Adam's moments and the transposed copy.
const HUGE: [usize; 3] = [256, 4096, 65536];

fn growth(most: usize, libraries: &[Contender]) -> Vec<Race> {
    let beside =
        libraries.iter().filter(|c| matches!(c, Contender::GemmCrate | Contender::Built(BackendKind::OpenBlas)));
    let everybody: Vec<Contender> =
        [Contender::Fused, Contender::FusedCold].into_iter().chain(beside.cloned()).collect();
    let [batch, d_in, d_hid] = GROWN;
    let powers = |from: usize, to: usize| (0..).map(move |i| from << i).take_while(move |&v| v <= to);
    let mut shapes: Vec<[usize; 3]> = powers(16, 1 << 14).map(|n| [n, d_in, d_hid]).collect();
    shapes.extend(powers(64, 1 << 16).filter(|&h| h != d_hid).map(|h| [batch, d_in, h]));
    let mut races: Vec<Race> = shapes.into_iter().map(|shape| race(Op::Step, shape, most, everybody.clone())).collect();
    races.push(race(Op::Step, HUGE, most, vec![Contender::Fused]));
    for shape in THREADED {
        let mut counts: Vec<usize> = powers(1, 4 * most).chain([most]).collect();
        counts.sort_unstable();
        counts.dedup();
        let mut contenders = vec![Contender::Fused];
        contenders.extend(counts.into_iter().filter(|&t| t != most).map(Contender::FusedThreads));
        races.push(race(Op::Step, shape, most, contenders));
    }
    races
}

fn race(op: Op, [batch, d_in, d_hid]: [usize; 3], threads: usize, contenders: Vec<Contender>) -> Race {
    let contenders = contenders.into_iter().filter(|contender| contender.takes_part(op)).collect();
    Race { op, sizes: Sizes { batch, d_in, d_hid, models: 1 }, threads, contenders }
}

fn each(op: Op, shapes: &[[usize; 3]], threads: &[usize], everybody: &[Contender]) -> Vec<Race> {
    let most = threads.iter().copied().max().unwrap_or(1);
    let mut races = Vec::new();
    for &shape in shapes {
        let wanted = threads.iter().filter(|&&t| t == most || !is_long(shape));
        races.extend(wanted.map(|&threads| race(op, shape, threads, everybody.to_vec())));
    }
    races
}

/// Primes, powers of two, their neighbours, and round numbers that are neither.
const ODD: [usize; 28] = [
    64, 65, 67, 96, 100, 127, 128, 129, 191, 255, 256, 257, 383, 401, 511, 512, 513, 641, 769, 1000, 1009, 1023, 1024,
    1025, 2039, 2047, 2048, 2049,
];
/// Powers of two alone: rows and panels that all begin in the same set of a cache.
const POWERS: [[usize; 3]; 12] = [
    [64, 512, 512],
    [128, 256, 512],
    [256, 256, 256],
    [256, 1024, 1024],
    [512, 512, 512],
    [512, 128, 4096],
    [1024, 256, 1024],
    [2048, 256, 512],
    [4096, 128, 256],
    [64, 4096, 1024],
    [64, 1024, 4096],
    [128, 8192, 256],
];
/// Multiply-adds of one product of a step: at least 100 MFLOP a step, and not for seconds.
const ODD_WORK: std::ops::Range<usize> = 10_000_000..300_000_000;
/// How many of the combinations are taken, evenly.
const ODD_COUNT: usize = 140;
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
    SKINNY.into_iter().chain(POWERS).chain(taken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Row;

    #[test]
    fn odd_shapes_are_what_the_target_names() {
        let shapes = odd();
        assert_eq!(shapes.len(), SKINNY.len() + POWERS.len() + ODD_COUNT);
        for shape in shapes {
            assert!(shape.iter().all(|&d| d >= 64) && 10 * shape.iter().product::<usize>() >= 100_000_000, "{shape:?}");
        }
    }

    #[test]
    fn a_shape_is_three_numbers_and_one_that_is_measured() {
        assert_eq!(shape("256, 784,196"), Ok([256, 784, 196]));
        for wrong in ["", "256", "256,784", "256,784,0", "256,784,196,1", "a,b,c", "-1,2,3"] {
            assert!(shape(wrong).is_err(), "{wrong}");
        }
        let check = |shape, part| require_shapes(&[shape], &[part], &[1, 2], &[Contender::Fused]);
        assert!(check([256, 784, 196], Part::Step).is_ok() && check([256, 784, 196], Part::Phases).is_ok());
        let error = check([256, 784, 197], Part::Step).unwrap_err().to_string();
        assert!(error.contains("256,784,197") && error.contains("256,784,196"), "{error}");
    }

    #[test]
    fn a_race_knows_its_rows() {
        let races = races(Part::Growth, &[1, 2], &[Contender::Fused]);
        let timing = sae_harness::measure::Timing {
            median: 1.0,
            min: 1.0,
            calls: 1,
            flops: None,
            peak_gflops: 1.0,
            best_peak_gflops: 1.0,
        };
        for (index, race) in races.iter().enumerate() {
            for contender in &race.contenders {
                let row = Row::new(Part::Growth, race, contender, "avx512", 7, &timing, "commit");
                assert_eq!(races.iter().position(|race| row.is_of(race)), Some(index), "{row:?}");
            }
        }
    }

    #[test]
    fn every_part_has_races_and_the_fused_kernels_run_in_each() {
        let everybody = Contender::all(&[], Some(std::path::Path::new("python3")));
        for part in Part::value_variants().iter().filter(|part| **part != Part::Phases) {
            let races = races(*part, &[1, 2], &everybody);
            assert!(!races.is_empty() && races.iter().all(|race| race.contenders[0] == Contender::Fused), "{part:?}");
            let frameworks =
                races.iter().flat_map(|race| &race.contenders).any(|c| matches!(c, Contender::Framework(..)));
            assert_eq!(frameworks, *part == Part::Frameworks);
        }
    }
}
