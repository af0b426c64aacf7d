//! What fusion costs: `encode` beside the plain product of the same shape in the same storage. The epilogue's work is a
//! share of the product's that falls as 1/k.

use criterion::{BenchmarkId, Criterion};

use crate::lines::{flops_group, line};
use crate::pair::{K, M, N, Pair};

type Run = fn(&mut Pair);

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = flops_group(criterion, "fusion");
    let lines: [(_, _, Run); 4] = [
        ("plain", true, Pair::plain),
        ("encode", true, Pair::encode),
        ("plain_row_major", false, Pair::plain),
        ("encode_row_major", false, Pair::encode),
    ];
    for k in K {
        for (name, panels, run) in lines {
            let id = BenchmarkId::new(name, format!("{M}x{k}x{N}"));
            line(&mut group, id, 2 * M * N * k, || Pair::new(k, panels), run);
        }
    }
    group.finish();
}
