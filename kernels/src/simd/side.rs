//! Several vectors side by side, as one vector: what one waits for, the others' work fills.

use super::{Simd, Table, Task};
use crate::isa::Isa;

/// `N` neighbouring vectors of `S`. The same operations on every lane, so the same bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side<S, const N: usize>(pub(crate) S);

/// `$body` for each `$i`, as an array. Not a closure: that would be compiled without the instructions, and what is in it
/// called, where the compiler does not take it apart.
macro_rules! all {
    ($i:ident => $body:expr) => {{
        let $i = 0;
        let mut all = [$body; N];
        for $i in 1..N {
            all[$i] = $body;
        }
        all
    }};
}

/// Methods that do the same on each vector.
macro_rules! each {
    ($(fn $name:ident($($arg:ident: $t:ident),*) -> $r:ident)*) => {
        $(
            #[inline(always)]
            fn $name(self, $($arg: Self::$t),*) -> Self::$r {
                all!(i => self.0.$name($($arg[i]),*))
            }
        )*
    };
}

impl<S: Simd, const N: usize> Simd for Side<S, N> {
    const ISA: Isa = S::ISA;
    const LANES: usize = N * S::LANES;
    const CHAINS: usize = S::CHAINS / N;
    type F = [S::F; N];
    type I = [S::I; N];
    type M = [S::M; N];
    no_half!();

    fn new() -> Option<Self> {
        S::new().map(Self)
    }

    #[inline(always)]
    fn vectorize<T: Task>(self, task: T) -> T::Output {
        struct Beside<T, const N: usize>(T);
        impl<T: Task, const N: usize> Task for Beside<T, N> {
            type Output = T::Output;
            #[inline(always)]
            fn run<S: Simd>(self, simd: S) -> T::Output {
                self.0.run(Side::<S, N>(simd))
            }
        }
        self.0.vectorize(Beside::<T, N>(task))
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::F {
        // SAFETY: the caller's.
        unsafe { all!(i => self.0.load(p.add(i * S::LANES))) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::F) {
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: the caller's.
            unsafe { self.0.store(p.add(i * S::LANES), v) };
        }
    }

    #[inline(always)]
    unsafe fn load_partial(self, p: *const f32, n: usize) -> Self::F {
        // SAFETY: the caller's; an empty part touches nothing.
        unsafe {
            all!(i => {
                let left = n.saturating_sub(i * S::LANES).min(S::LANES);
                self.0.load_partial(p.wrapping_add(i * S::LANES), left)
            })
        }
    }

    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, v: Self::F, n: usize) {
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: the caller's; an empty part touches nothing.
            unsafe {
                self.0.store_partial(p.wrapping_add(i * S::LANES), v, n.saturating_sub(i * S::LANES).min(S::LANES));
            }
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [self.0.splat(x); N]
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        [self.0.splat_i(x); N]
    }

    each! {
        fn add(a: F, b: F) -> F
        fn sub(a: F, b: F) -> F
        fn mul(a: F, b: F) -> F
        fn div(a: F, b: F) -> F
        fn sqrt(a: F) -> F
        fn mul_add(a: F, b: F, c: F) -> F
        fn neg_mul_add(a: F, b: F, c: F) -> F
        fn min(a: F, b: F) -> F
        fn max(a: F, b: F) -> F
        fn abs(a: F) -> F
        fn neg(a: F) -> F
        fn copysign(magnitude: F, sign: F) -> F
        fn lt(a: F, b: F) -> M
        fn gt(a: F, b: F) -> M
        fn eq(a: F, b: F) -> M
        fn select(mask: M, yes: F, no: F) -> F
        fn bits(a: F) -> I
        fn from_bits(a: I) -> F
        fn add_i(a: I, b: I) -> I
        fn sub_i(a: I, b: I) -> I
        fn and_i(a: I, b: I) -> I
        fn to_float(a: I) -> F
        fn scale(a: F, n: F) -> F
        fn power_of_two(n: F) -> F
    }

    #[inline(always)]
    fn shl_i<const B: i32>(self, a: Self::I) -> Self::I {
        all!(i => self.0.shl_i::<B>(a[i]))
    }

    #[inline(always)]
    fn shr_i<const B: i32>(self, a: Self::I) -> Self::I {
        all!(i => self.0.shr_i::<B>(a[i]))
    }

    #[inline(always)]
    fn lookup(self, table: &'static Table, at: Self::I) -> Self::F {
        all!(i => self.0.lookup(table, at[i]))
    }

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        for i in 0..N * N {
            let (r, c) = (i / N * S::LANES, i % N * S::LANES);
            // SAFETY: the caller's: blocks of the larger one.
            unsafe {
                self.0.transpose(src.add(r * src_stride + c), src_stride, dst.add(c * dst_stride + r), dst_stride)
            };
        }
    }
}
