//! NEON: 4 lanes, 32 registers. Every 64-bit Arm processor has it.

use core::arch::aarch64::*;

use super::{Simd, Table, Task};
use crate::isa::Isa;

/// Proof that the processor has NEON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

impl Simd for Neon {
    const ISA: Isa = Isa::Neon;
    const LANES: usize = 4;
    const CHAINS: usize = 4;
    const MIXED: bool = true;
    type F = float32x4_t;
    type I = int32x4_t;
    type M = uint32x4_t;
    no_half!();

    fn new() -> Option<Self> {
        Isa::Neon.is_available().then_some(Self(()))
    }

    #[inline]
    fn vectorize<T: Task>(self, task: T) -> T::Output {
        #[target_feature(enable = "neon")]
        fn inner<T: Task>(simd: Neon, task: T) -> T::Output {
            task.run(simd)
        }
        // SAFETY: the token proves the instructions.
        unsafe { inner(self, task) }
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> float32x4_t {
        // SAFETY: the caller's.
        unsafe { vld1q_f32(p) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: float32x4_t) {
        // SAFETY: the caller's.
        unsafe { vst1q_f32(p, v) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, p: *const f32, n: usize) -> float32x4_t {
        debug_assert!(n <= 4);
        let mut lanes = [0.0f32; 4];
        // SAFETY: the caller's for the source; the array has room for the at most 4 elements.
        unsafe {
            core::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n);
            vld1q_f32(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, v: float32x4_t, n: usize) {
        debug_assert!(n <= 4);
        let mut lanes = [0.0f32; 4];
        // SAFETY: the caller's for the destination; the array holds the at most 4 elements.
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), v);
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n);
        }
    }

    op! {
        fn splat(x: f32) -> float32x4_t { vdupq_n_f32(x) }
        fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t { vaddq_f32(a, b) }
        fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t { vsubq_f32(a, b) }
        fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t { vmulq_f32(a, b) }
        fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t { vdivq_f32(a, b) }
        fn sqrt(a: float32x4_t) -> float32x4_t { vsqrtq_f32(a) }
        fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t { vfmaq_f32(c, a, b) }
        fn neg_mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t { vfmsq_f32(c, a, b) }
        // NEON's own min and max return NaN for a NaN on either side and order the zeros.
        fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t { vbslq_f32(vcltq_f32(a, b), a, b) }
        fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t { vbslq_f32(vcgtq_f32(a, b), a, b) }
        fn abs(a: float32x4_t) -> float32x4_t { vabsq_f32(a) }
        fn neg(a: float32x4_t) -> float32x4_t { vnegq_f32(a) }
        fn copysign(magnitude: float32x4_t, sign: float32x4_t) -> float32x4_t {
            vbslq_f32(vdupq_n_u32(0x8000_0000), sign, magnitude)
        }
        fn lt(a: float32x4_t, b: float32x4_t) -> uint32x4_t { vcltq_f32(a, b) }
        fn gt(a: float32x4_t, b: float32x4_t) -> uint32x4_t { vcgtq_f32(a, b) }
        fn eq(a: float32x4_t, b: float32x4_t) -> uint32x4_t { vceqq_f32(a, b) }
        fn select(mask: uint32x4_t, yes: float32x4_t, no: float32x4_t) -> float32x4_t { vbslq_f32(mask, yes, no) }
        fn bits(a: float32x4_t) -> int32x4_t { vreinterpretq_s32_f32(a) }
        fn from_bits(a: int32x4_t) -> float32x4_t { vreinterpretq_f32_s32(a) }
        fn splat_i(x: i32) -> int32x4_t { vdupq_n_s32(x) }
        fn add_i(a: int32x4_t, b: int32x4_t) -> int32x4_t { vaddq_s32(a, b) }
        fn sub_i(a: int32x4_t, b: int32x4_t) -> int32x4_t { vsubq_s32(a, b) }
        fn and_i(a: int32x4_t, b: int32x4_t) -> int32x4_t { vandq_s32(a, b) }
        fn to_float(a: int32x4_t) -> float32x4_t { vcvtq_f32_s32(a) }
    }

    #[inline(always)]
    fn shl_i<const N: i32>(self, a: int32x4_t) -> int32x4_t {
        // SAFETY: the token proves the instructions; no memory is touched.
        unsafe { vshlq_n_s32::<N>(a) }
    }

    #[inline(always)]
    fn shr_i<const N: i32>(self, a: int32x4_t) -> int32x4_t {
        // SAFETY: the token proves the instructions; no memory is touched.
        unsafe { vshrq_n_s32::<N>(a) }
    }

    #[inline(always)]
    fn lookup(self, table: &'static Table, at: int32x4_t) -> float32x4_t {
        let at = self.and_i(at, self.splat_i(7));
        // SAFETY: the token proves the instructions; a table has more than 32 bytes.
        unsafe {
            let bytes: *const u8 = table.0.as_ptr().cast();
            // The numbers of an element's four bytes.
            let at = vmlaq_s32(vdupq_n_s32(0x0302_0100), at, vdupq_n_s32(0x0404_0404));
            let halves = uint8x16x2_t(vld1q_u8(bytes), vld1q_u8(bytes.add(16)));
            vreinterpretq_f32_u8(vqtbl2q_u8(halves, vreinterpretq_u8_s32(at)))
        }
    }

    pin!(float32x4_t, "neon", vreg "{0:v}");

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: the caller's: 4 rows at both ends. The shuffles touch no memory.
        unsafe {
            let row = |i: usize| vld1q_f32(src.add(i * src_stride));
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            // 2×2 blocks: even columns (0, 2) and odd columns (1, 3) of two rows each.
            let ab = (vtrn1q_f32(a, b), vtrn2q_f32(a, b));
            let cd = (vtrn1q_f32(c, d), vtrn2q_f32(c, d));
            let pairs = |v: float32x4_t| vreinterpretq_f64_f32(v);
            let low = |x, y| vreinterpretq_f32_f64(vtrn1q_f64(pairs(x), pairs(y)));
            let high = |x, y| vreinterpretq_f32_f64(vtrn2q_f64(pairs(x), pairs(y)));
            vst1q_f32(dst, low(ab.0, cd.0));
            vst1q_f32(dst.add(dst_stride), low(ab.1, cd.1));
            vst1q_f32(dst.add(2 * dst_stride), high(ab.0, cd.0));
            vst1q_f32(dst.add(3 * dst_stride), high(ab.1, cd.1));
        }
    }
}
