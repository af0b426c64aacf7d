//! The sum of squares: against f64, and the same bits whatever the layout, the instruction set and the threads.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::{Backend, BackendKind, Fused, Isa, Layout, MatRef, Matrix, Naive, backend};

const SHAPES: [(usize, usize); 8] = [(0, 5), (5, 0), (1, 1), (47, 17), (48, 64), (49, 65), (97, 131), (200, 700)];

fn data(rows: usize, cols: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    (0..rows * cols).map(|_| rng.random_range(-1.0..1.0f32)).collect()
}

fn sum_of_squares(backend: &mut dyn Backend, w: MatRef<'_>) -> f64 {
    let mut sums = [f64::NAN];
    backend.sum_of_squares(w, &mut sums).unwrap();
    sums[0]
}

#[test]
fn sum_of_squares_is_within_its_bound_on_every_backend() {
    for (rows, cols) in SHAPES {
        let data = data(rows, cols);
        let view = MatRef::row_major(&data, rows, cols).unwrap();
        let exact = sum_of_squares(&mut Naive, view);
        for kind in BackendKind::ALL.into_iter().filter(|kind| kind.is_built()) {
            let sum = sum_of_squares(backend(kind).unwrap().as_mut(), view);
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
        let expected = sum_of_squares(
            &mut Fused::with_isa(Isa::available()[0]).unwrap(),
            MatRef::row_major(&data, rows, cols).unwrap(),
        );
        for isa in Isa::available().into_iter().filter(|isa| isa.keeps_bits()) {
            let mut fused = Fused::with_isa(isa).unwrap();
            for panel in [1, 8, 16, 64, 128] {
                let panels = Matrix::from_row_major(&data, Layout::panel_major(rows, cols, panel).unwrap()).unwrap();
                for threads in [1, 2, 5] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let sum = pool.install(|| sum_of_squares(&mut fused, panels.view()));
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

#[test]
fn each_problem_of_a_batch_has_a_sum_of_its_own() {
    let (rows, cols) = (49, 65);
    let data = data(3 * rows, cols);
    let layout = Layout::row_major(rows, cols).batched_dense(3).unwrap();
    let batch = MatRef::new(&data, layout).unwrap();
    for kind in BackendKind::ALL.into_iter().filter(|kind| kind.is_built()) {
        let mut backend = backend(kind).unwrap();
        let mut sums = [f64::NAN; 3];
        backend.sum_of_squares(batch, &mut sums).unwrap();
        let alone: Vec<f64> = (0..3).map(|p| sum_of_squares(backend.as_mut(), batch.problem(p))).collect();
        assert_eq!(sums.to_vec(), alone, "{kind}");
        assert!(backend.sum_of_squares(batch, &mut sums[..2]).is_err(), "{kind}");
    }
}
