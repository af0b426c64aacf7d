//! The sum of squares: against f64, and the same bits whatever the layout, the instruction set and the threads.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::{Backend, BackendKind, Fused, Isa, Layout, MatRef, Matrix, Naive, backend};

const SHAPES: [(usize, usize); 8] = [(0, 5), (5, 0), (1, 1), (47, 17), (48, 64), (49, 65), (97, 131), (200, 700)];

fn data(rows: usize, cols: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    (0..rows * cols).map(|_| rng.random_range(-1.0..1.0f32)).collect()
}

#[test]
fn sum_of_squares_is_within_its_bound_on_every_backend() {
    for (rows, cols) in SHAPES {
        let data = data(rows, cols);
        let view = MatRef::row_major(&data, rows, cols).unwrap();
        let exact = Backend::<f32>::sum_of_squares(&mut Naive, view);
        for kind in BackendKind::ALL.into_iter().filter(|kind| kind.is_built()) {
            let sum = backend(kind).unwrap().sum_of_squares(view);
            // Chains of at most 48 fused multiply-adds of positive terms in f32, the rest in f64: relative error γ₄₈.
            let bound = 49.0 * f64::from(f32::EPSILON) / 2.0 * exact;
            assert!((sum - exact).abs() <= bound, "{kind} {rows}x{cols}: {sum}, expected {exact}");
        }
    }
}

#[test]
fn sum_of_squares_has_the_same_bits_everywhere() {
    for (rows, cols) in SHAPES {
        let data = data(rows, cols);
        let expected =
            Fused::with_isa(Isa::available()[0]).unwrap().sum_of_squares(MatRef::row_major(&data, rows, cols).unwrap());
        for isa in Isa::available().into_iter().filter(|isa| isa.keeps_bits()) {
            let mut fused = Fused::with_isa(isa).unwrap();
            for panel in [1, 8, 16, 64, 128] {
                let panels = Matrix::from_row_major(&data, Layout::panel_major(rows, cols, panel).unwrap()).unwrap();
                for threads in [1, 2, 5] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let sum = pool.install(|| fused.sum_of_squares(panels.view()));
                    assert_eq!(
                        sum.to_bits(),
                        expected.to_bits(),
                        "{isa} {rows}x{cols} panel {panel} threads {threads}"
                    );
                }
            }
        }
    }
}
