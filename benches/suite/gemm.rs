//! The plain product `c [m, n] = a [m, k] · b [k, n]`.

use criterion::{BenchmarkId, Criterion};
use sae_kernels::ops::{Form, Gemm};

use crate::lines::{Line, flops_group, line};
use crate::operands::Source;

/// m, k, n: the products of a step over MNIST, and a square one. The first is the smallest.
const SHAPES: [[usize; 3]; 5] =
    [[256, 784, 196], [256, 784, 1024], [1024, 784, 4096], [1024, 4096, 784], [2048, 2048, 2048]];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = flops_group(criterion, "gemm");
    for (i, [m, k, n]) in SHAPES.into_iter().enumerate() {
        for who in Line::all(true, i == 0) {
            let start = || {
                let (backend, panel) = who.start();
                let mut source = Source::new(panel);
                let (a, b) = (source.matrix(m, k, -1.0, 1.0), source.matrix(k, n, -1.0, 1.0));
                (backend, a, b, source.zeros(m, n))
            };
            line(&mut group, BenchmarkId::new(who.name, format!("{m}x{k}x{n}")), 2 * m * k * n, start, |s| {
                let (backend, a, b, c) = s;
                let op = Gemm { form: Form::Nn, a: a.view(), b: b.view(), c: c.view_mut(), accumulate: false };
                backend.gemm(op).expect("the operands have one shape");
            });
        }
    }
    group.finish();
}
