//! Random operands in either layout.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sae_kernels::{Layout, Matrix};

/// A source of operands: no zeros, no subnormals, the same numbers in every run.
pub(crate) struct Source {
    rng: ChaCha8Rng,
    panel: Option<usize>,
}

impl Source {
    /// Matrices panel-major with this panel, or row-major.
    pub(crate) fn new(panel: Option<usize>) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(0), panel }
    }

    /// Uniform in `low..high`.
    pub(crate) fn vector(&mut self, len: usize, low: f32, high: f32) -> Vec<f32> {
        (0..len).map(|_| self.rng.random_range(low..high)).collect()
    }

    /// Uniform in `low..high`.
    pub(crate) fn matrix(&mut self, rows: usize, cols: usize, low: f32, high: f32) -> Matrix {
        let data = self.vector(rows * cols, low, high);
        Matrix::from_row_major(&data, self.layout(rows, cols)).expect("one element a place")
    }

    /// A weight matrix, uniform in ±√(6/(rows + cols)), so that sums over rows stay near 1 (Glorot & Bengio 2010).
    pub(crate) fn weights(&mut self, rows: usize, cols: usize) -> Matrix {
        let limit = (6.0 / (rows + cols) as f32).sqrt();
        self.matrix(rows, cols, -limit, limit)
    }

    /// For results.
    pub(crate) fn zeros(&self, rows: usize, cols: usize) -> Matrix {
        Matrix::zeros(self.layout(rows, cols)).expect("the shape fits in memory")
    }

    fn layout(&self, rows: usize, cols: usize) -> Layout {
        match self.panel {
            Some(panel) => Layout::panel_major(rows, cols, panel).expect("the shape fits in memory"),
            None => Layout::row_major(rows, cols),
        }
    }
}
