//! How fast memory is: the other roof.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;
use sae_kernels::CacheSizes;

/// Bytes of an array at least, whatever the caches.
const LEAST: usize = 16 << 20;
/// Elements that a thread takes at once.
const PART: usize = 1 << 16;

/// Three arrays for `a = b + s·c`, each as large as the last-level cache, so that none is left there when its turn comes.
#[derive(Clone, Debug)]
pub struct Triad {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Triad {
    /// Elements of an array.
    fn len() -> usize {
        CacheSizes::detect().l3.max(LEAST) / size_of::<f32>()
    }

    /// Bytes of all three arrays.
    pub fn bytes() -> u128 {
        (3 * Self::len() * size_of::<f32>()) as u128
    }

    /// Arrays of numbers that are not zero.
    #[expect(clippy::new_without_default, reason = "as large as a cache: made on purpose")]
    pub fn new() -> Self {
        let len = Self::len();
        Self { a: vec![0.5; len], b: vec![1.0; len], c: vec![2.0; len] }
    }

    /// Bytes a second of one pass on every thread of the pool: those read and written, each array once. That the
    /// processor may read what it is about to overwrite is not counted, here as in the phases.
    pub fn run(&mut self) -> f64 {
        let s = black_box(0.5);
        let start = Instant::now();
        let parts = self.b.par_chunks(PART).zip(self.c.par_chunks(PART));
        self.a.par_chunks_mut(PART).zip(parts).for_each(|(a, (b, c))| {
            for ((a, &b), &c) in a.iter_mut().zip(b).zip(c) {
                *a = b + s * c;
            }
        });
        let seconds = start.elapsed().as_secs_f64();
        black_box(&mut self.a);
        Self::bytes() as f64 / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_touches_every_element() {
        let mut triad = Triad { a: vec![0.0; PART + 3], b: vec![1.0; PART + 3], c: vec![2.0; PART + 3] };
        triad.run();
        assert!(triad.a.iter().all(|&a| a == 2.0));
    }
}
