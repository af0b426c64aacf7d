//! The fallback: 4 compile-time lanes of the `wide` crate, for any target.
//!
//! `wide` chooses its instructions when the crate is compiled and detects nothing at run time. A multiplication and
//! addition is fused where the target has FMA at compile time (64-bit Arm, or x86-64 with `-C target-feature=+fma`);
//! elsewhere it rounds twice, and this tier alone is exempt from the promise of the same bits.

use wide::bytemuck::cast;
use wide::{f32x4, i32x4};

use super::{Simd, Table, Task};
use crate::isa::Isa;

/// The portable tier needs no proof.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable(());

impl Simd for Portable {
    const ISA: Isa = Isa::Portable;
    const LANES: usize = 4;
    const CHAINS: usize = 1;
    type F = f32x4;
    type I = i32x4;
    type M = f32x4;
    no_half!();

    fn new() -> Option<Self> {
        Some(Self(()))
    }

    #[inline]
    fn vectorize<T: Task>(self, task: T) -> T::Output {
        task.run(self)
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> f32x4 {
        // SAFETY: the caller's: 4 elements; an array of f32 is aligned as f32 is.
        f32x4::new(unsafe { p.cast::<[f32; 4]>().read() })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: f32x4) {
        // SAFETY: the caller's: 4 elements; an array of f32 is aligned as f32 is.
        unsafe { p.cast::<[f32; 4]>().write(v.to_array()) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, p: *const f32, n: usize) -> f32x4 {
        debug_assert!(n <= 4);
        let mut lanes = [0.0f32; 4];
        // SAFETY: the caller's for the source; the array has room for the at most 4 elements.
        unsafe { core::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n) }
        f32x4::new(lanes)
    }

    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, v: f32x4, n: usize) {
        debug_assert!(n <= 4);
        let lanes = v.to_array();
        // SAFETY: the caller's for the destination; the array holds the at most 4 elements.
        unsafe { core::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32x4 {
        f32x4::splat(x)
    }

    #[inline(always)]
    fn add(self, a: f32x4, b: f32x4) -> f32x4 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f32x4, b: f32x4) -> f32x4 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f32x4, b: f32x4) -> f32x4 {
        a * b
    }

    #[inline(always)]
    fn div(self, a: f32x4, b: f32x4) -> f32x4 {
        a / b
    }

    #[inline(always)]
    fn sqrt(self, a: f32x4) -> f32x4 {
        a.sqrt()
    }

    #[inline(always)]
    fn mul_add(self, a: f32x4, b: f32x4, c: f32x4) -> f32x4 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn neg_mul_add(self, a: f32x4, b: f32x4, c: f32x4) -> f32x4 {
        a.mul_neg_add(b, c)
    }

    #[inline(always)]
    fn min(self, a: f32x4, b: f32x4) -> f32x4 {
        a.simd_lt(b).select(a, b)
    }

    #[inline(always)]
    fn max(self, a: f32x4, b: f32x4) -> f32x4 {
        a.simd_gt(b).select(a, b)
    }

    #[inline(always)]
    fn abs(self, a: f32x4) -> f32x4 {
        cast(cast::<_, i32x4>(a) & i32x4::splat(i32::MAX))
    }

    #[inline(always)]
    fn neg(self, a: f32x4) -> f32x4 {
        cast(cast::<_, i32x4>(a) ^ i32x4::splat(i32::MIN))
    }

    #[inline(always)]
    fn copysign(self, magnitude: f32x4, sign: f32x4) -> f32x4 {
        cast(cast::<_, i32x4>(magnitude) | (cast::<_, i32x4>(sign) & i32x4::splat(i32::MIN)))
    }

    #[inline(always)]
    fn lt(self, a: f32x4, b: f32x4) -> f32x4 {
        a.simd_lt(b)
    }

    #[inline(always)]
    fn gt(self, a: f32x4, b: f32x4) -> f32x4 {
        a.simd_gt(b)
    }

    #[inline(always)]
    fn eq(self, a: f32x4, b: f32x4) -> f32x4 {
        a.simd_eq(b)
    }

    #[inline(always)]
    fn select(self, mask: f32x4, yes: f32x4, no: f32x4) -> f32x4 {
        mask.select(yes, no)
    }

    #[inline(always)]
    fn bits(self, a: f32x4) -> i32x4 {
        cast(a)
    }

    #[inline(always)]
    fn from_bits(self, a: i32x4) -> f32x4 {
        cast(a)
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> i32x4 {
        i32x4::splat(x)
    }

    #[inline(always)]
    fn add_i(self, a: i32x4, b: i32x4) -> i32x4 {
        a + b
    }

    #[inline(always)]
    fn sub_i(self, a: i32x4, b: i32x4) -> i32x4 {
        a - b
    }

    #[inline(always)]
    fn and_i(self, a: i32x4, b: i32x4) -> i32x4 {
        a & b
    }

    #[inline(always)]
    fn shl_i<const N: i32>(self, a: i32x4) -> i32x4 {
        a << N as u32
    }

    #[inline(always)]
    fn shr_i<const N: i32>(self, a: i32x4) -> i32x4 {
        a >> N as u32
    }

    #[inline(always)]
    fn to_float(self, a: i32x4) -> f32x4 {
        a.round_float()
    }

    #[inline(always)]
    fn lookup(self, table: &'static Table, at: i32x4) -> f32x4 {
        f32x4::new(at.to_array().map(|at| table.0[(at & 7) as usize]))
    }

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: the caller's: 4 rows of 4 elements at `src`.
        let rows = [0, 1, 2, 3].map(|i| unsafe { self.load(src.add(i * src_stride)) });
        for (i, v) in f32x4::transpose(rows).into_iter().enumerate() {
            // SAFETY: the caller's: 4 rows of 4 elements at `dst`.
            unsafe { self.store(dst.add(i * dst_stride), v) }
        }
    }
}
