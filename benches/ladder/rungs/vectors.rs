//! Rung 4, and the micro-kernel of those above it: the tile in vectors of the instruction set, of the size that fills its
//! registers.

use pulp::{Arch, Simd, WithSimd};

use super::Problem;

/// Loops around a tile of MR rows and NV vectors.
pub(super) trait Loops {
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S);
}

/// Runs loops on the best instruction set, around the tile that it likes: as many sums as there are registers, less NV for
/// b and one for an element of a.
pub(super) fn dispatch(loops: impl Loops) {
    struct Best<L>(L);

    impl<L: Loops> WithSimd for Best<L> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            match S::F32_LANES {
                // AVX2: 12 + 2 + 1 of 16 registers.
                8 => self.0.run::<S, 6, 2>(simd),
                // AVX-512 and NEON: 24 + 4 + 1 of 32.
                _ => self.0.run::<S, 6, 4>(simd),
            }
        }
    }

    Arch::new().dispatch(Best(loops));
}

/// Columns of b, k rows of them.
#[derive(Clone, Copy)]
pub(super) struct Strip<'a> {
    /// From the first element on.
    pub(super) b: &'a [f32],
    /// Elements from row to row.
    pub(super) stride: usize,
}

/// Rows of a and of c, both row-major: all of them, or those of one thread.
pub(super) struct Rows<'a> {
    /// `[_, k]`
    pub(super) a: &'a [f32],
    pub(super) k: usize,
    /// `[_, n]`
    pub(super) c: &'a mut [f32],
    pub(super) n: usize,
}

impl Rows<'_> {
    pub(super) fn count(&self) -> usize {
        self.c.len() / self.n
    }

    /// MR rows from row `i` on, or as many as are left one by one, times a strip of b, into the columns from `j` on.
    #[inline(always)]
    pub(super) fn times<S: Simd, const MR: usize, const NV: usize>(
        &mut self,
        simd: S,
        strip: Strip<'_>,
        [i, j]: [usize; 2],
    ) {
        if i + MR <= self.count() {
            self.tile::<S, MR, NV>(simd, strip, [i, j]);
        } else {
            for i in i..self.count() {
                self.tile::<S, 1, NV>(simd, strip, [i, j]);
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const MR: usize, const NV: usize>(&mut self, simd: S, strip: Strip<'_>, [i, j]: [usize; 2]) {
        let width = NV * S::F32_LANES;
        let a: [&[f32]; MR] = std::array::from_fn(|r| &self.a[(i + r) * self.k..][..self.k]);
        let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
        for q in 0..self.k {
            let (b, _) = S::as_simd_f32s(&strip.b[q * strip.stride..][..width]);
            let b: &[S::f32s; NV] = b.first_chunk().expect("NV vectors of them");
            for (sums, a) in sums.iter_mut().zip(a) {
                let x = simd.splat_f32s(a[q]);
                for (sum, y) in sums.iter_mut().zip(b) {
                    *sum = simd.mul_add_f32s(x, *y, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let (c, _) = S::as_mut_simd_f32s(&mut self.c[(i + r) * self.n + j..][..width]);
            c.copy_from_slice(sums);
        }
    }
}

/// 4. The tile of rung 3, as large as the registers are.
pub(super) fn vectors(p: &Problem, c: &mut [f32]) {
    struct Vectors<'a>(&'a Problem, Rows<'a>);

    impl Loops for Vectors<'_> {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(mut self, simd: S) {
            let Problem { m, n, ref b, .. } = *self.0;
            for i in (0..m).step_by(MR) {
                for j in (0..n).step_by(NV * S::F32_LANES) {
                    self.1.times::<S, MR, NV>(simd, Strip { b: &b[j..], stride: n }, [i, j]);
                }
            }
        }
    }

    dispatch(Vectors(p, Rows { a: &p.a, k: p.k, c, n: p.n }));
}
