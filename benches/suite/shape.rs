//! The shapes of a step.

use std::fmt;

/// The sizes of one step.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) n: usize,
    pub(crate) d_in: usize,
    pub(crate) d_hid: usize,
}

/// MNIST at three widths, and activations of a small language model. The first is the smallest.
pub(crate) const SHAPES: [Shape; 4] = [
    Shape { n: 256, d_in: 784, d_hid: 196 },
    Shape { n: 256, d_in: 784, d_hid: 1024 },
    Shape { n: 1024, d_in: 784, d_hid: 4096 },
    Shape { n: 4096, d_in: 768, d_hid: 6144 },
];

impl Shape {
    /// Floating point operations of one of the five products.
    pub(crate) const fn flops(self) -> usize {
        2 * self.n * self.d_in * self.d_hid
    }
}

impl fmt::Display for Shape {
    /// `n x d_in x d_hid`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.n, self.d_in, self.d_hid)
    }
}
