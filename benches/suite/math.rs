//! exp and sigmoid over slices, on one thread: every instruction set, and the standard library element by element.
//!
//! The elements are those of the slice. `fma_peak` counts floating point operations, as in every other group: divided by
//! those that one element takes, it is the ceiling.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use sae_kernels::ops::Result;
use sae_kernels::{Isa, math};

use crate::lines::{line, peak};
use crate::operands::Source;

/// Elements: inside the first-level cache, and beyond the second.
const LENGTHS: [usize; 2] = [2048, 1 << 20];

type Slices = fn(Isa, &[f32], &mut [f32]) -> Result;

pub(crate) fn bench(criterion: &mut Criterion) {
    group(criterion, "exp", math::exp, f32::exp);
    group(criterion, "sigmoid", math::sigmoid, |x| 1.0 / (1.0 + (-x).exp()));
}

fn group(criterion: &mut Criterion, name: &str, ours: Slices, std: fn(f32) -> f32) {
    let mut group = criterion.benchmark_group(name);
    peak(&mut group, 1);
    for len in LENGTHS {
        let start = || (Source::new(None).vector(len, -8.0, 8.0), vec![0.0; len]);
        for isa in Isa::available() {
            line(&mut group, BenchmarkId::new(isa.name(), len), len, start, |(x, out)| {
                ours(isa, black_box(x), black_box(out)).expect("the slices have one length");
            });
        }
        line(&mut group, BenchmarkId::new("std", len), len, start, |(x, out)| {
            for (out, &x) in black_box(out).iter_mut().zip(black_box(&*x)) {
                *out = std(x);
            }
        });
    }
    group.finish();
}
