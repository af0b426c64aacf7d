//! Rung 3: a tile of the result in local variables, which the compiler keeps in registers.

use pulp::{Arch, NullaryFnOnce};

use super::Problem;

/// Rows of a tile.
const MR: usize = 4;
/// Columns of a tile.
const NR: usize = 16;

/// 3. MR·NR sums at once: every element of b that is loaded serves MR rows, every element of a NR columns, and c is stored
///    once.
pub(super) fn registers(p: &Problem, c: &mut [f32]) {
    struct Tiles<'a>(&'a Problem, &'a mut [f32]);

    impl NullaryFnOnce for Tiles<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Self(p, c) = self;
            for i in (0..p.m).step_by(MR) {
                for j in (0..p.n).step_by(NR) {
                    if i + MR <= p.m {
                        tile::<MR>(p, i, j, c);
                    } else {
                        // The last rows, one by one.
                        for i in i..p.m {
                            tile::<1>(p, i, j, c);
                        }
                    }
                }
            }
        }
    }

    Arch::new().dispatch(Tiles(p, c));
}

/// Rows `i..i + ROWS` and columns `j..j + NR` of c.
#[inline(always)]
fn tile<const ROWS: usize>(p: &Problem, i: usize, j: usize, c: &mut [f32]) {
    let a: [&[f32]; ROWS] = std::array::from_fn(|r| &p.a[(i + r) * p.k..][..p.k]);
    let mut sums = [[0.0f32; NR]; ROWS];
    for q in 0..p.k {
        let b: &[f32; NR] = p.b[q * p.n + j..].first_chunk().expect("n is a multiple of NR");
        for (sums, a) in sums.iter_mut().zip(a) {
            for (sum, y) in sums.iter_mut().zip(b) {
                *sum = a[q].mul_add(*y, *sum);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        c[(i + r) * p.n + j..][..NR].copy_from_slice(sums);
    }
}
