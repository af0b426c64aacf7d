//! Rung 5: the order in which tiles are visited.

use pulp::Simd;

use super::Problem;
use super::vectors::{Loops, Rows, Strip, dispatch};

/// 5. All rows with one strip of b before the next strip: the strip comes from the second-level cache for every tile but the
///    first, instead of all of b from farther away for every row of tiles.
pub(super) fn blocks(p: &Problem, c: &mut [f32]) {
    struct Blocks<'a>(&'a Problem, Rows<'a>);

    impl Loops for Blocks<'_> {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(mut self, simd: S) {
            let Problem { m, n, ref b, .. } = *self.0;
            for j in (0..n).step_by(NV * S::F32_LANES) {
                for i in (0..m).step_by(MR) {
                    self.1.times::<S, MR, NV>(simd, Strip { b: &b[j..], stride: n }, [i, j]);
                }
            }
        }
    }

    dispatch(Blocks(p, Rows { a: &p.a, k: p.k, c, n: p.n }));
}
