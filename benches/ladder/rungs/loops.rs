//! Rungs 1 and 2: plain loops, compiled for this processor.

use pulp::{Arch, NullaryFnOnce};

use super::Problem;

/// 1. Each element of c is the product of a row of a and a column of b.
pub(super) fn dot(p: &Problem, c: &mut [f32]) {
    struct Dot<'a>(&'a Problem, &'a mut [f32]);

    impl NullaryFnOnce for Dot<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Self(Problem { m, k, n, a, b, .. }, c) = self;
            for i in 0..*m {
                for j in 0..*n {
                    let mut sum = 0.0;
                    for p in 0..*k {
                        sum = a[i * k + p].mul_add(b[p * n + j], sum);
                    }
                    c[i * n + j] = sum;
                }
            }
        }
    }

    Arch::new().dispatch(Dot(p, c));
}

/// 2. The same multiply-adds, row by row: each row of c gathers rows of b, which lie in memory as they are read.
pub(super) fn rows(p: &Problem, c: &mut [f32]) {
    struct Rows<'a>(&'a Problem, &'a mut [f32]);

    impl NullaryFnOnce for Rows<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Self(Problem { k, n, a, b, .. }, c) = self;
            for (a, c) in a.chunks(*k).zip(c.chunks_mut(*n)) {
                c.fill(0.0);
                for (x, b) in a.iter().zip(b.chunks(*n)) {
                    for (sum, y) in c.iter_mut().zip(b) {
                        *sum = x.mul_add(*y, *sum);
                    }
                }
            }
        }
    }

    Arch::new().dispatch(Rows(p, c));
}
