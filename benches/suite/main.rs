//! Kernels and whole training steps on every backend this build contains.
//!
//! One group per operation, one line per backend and shape, named `group/line/shape`. All lines of a group but those of
//! `exp` and `sigmoid` count floating point operations as criterion's elements, so `Gelem/s` reads GFLOP/s, and
//! `fma_peak` is what the same threads reach with fused multiply-adds alone.
//!
//! ```text
//! cargo bench                                    everything: several minutes
//! cargo bench -- '^step/'                        one group (a regular expression over the names)
//! cargo bench -- 'fused/256x784x1024'            one backend at one shape, in every group
//! cargo bench -- --quick                         a rough pass
//! cargo bench --features openblas                with the system's OpenBLAS
//! RAYON_NUM_THREADS=1 cargo bench -- '^gemm/'    on one thread
//! SAE_KERNELS_ISA=avx2 cargo bench -- '^gemm/'   on another instruction set
//! ```
//!
//! | line | storage |
//! | --- | --- |
//! | `fused` | panel-major, as the harness keeps it |
//! | `fused_row_major` | a caller's row-major slices |
//! | `openblas`, `matrixmultiply`, `naive` | row-major |
//!
//! The group `fusion` has lines of its own: `plain`, the product alone, and `encode`, the same product with all that follows
//! it, both by the fused backend; `_row_major` on a caller's slices. `cargo bench --bench fusion` bounds their ratio.
//!
//! `naive` runs at the smallest shape only. Lines run one after another, so compare those of one run, on a machine that
//! does nothing else.

mod fusion;
mod gemm;
mod lines;
mod math;
mod operands;
mod ops;
mod pair;
mod shape;
mod step;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    // Ten samples of whole products are enough for a median; the time a sample takes grows with the shape.
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .nresamples(10_000)
        .configure_from_args();
    gemm::bench(&mut criterion);
    fusion::bench(&mut criterion);
    ops::bench(&mut criterion);
    math::bench(&mut criterion);
    step::bench(&mut criterion);
    criterion.final_summary();
}
