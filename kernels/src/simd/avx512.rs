//! AVX-512: 16 lanes, 32 registers, masks.

use core::arch::x86_64::*;

use super::{Avx2, Simd, Table, Task};
use crate::isa::Isa;

/// Proof that the processor has AVX-512 F, DQ, BW, VL and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

#[inline(always)]
fn first(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1u32 << n) - 1) as __mmask16
}

impl Simd for Avx512 {
    const ISA: Isa = Isa::Avx512;
    const LANES: usize = 16;
    const CHAINS: usize = 4;
    type F = __m512;
    type I = __m512i;
    type M = __mmask16;
    type Half = Avx2;

    fn new() -> Option<Self> {
        Isa::Avx512.is_available().then_some(Self(()))
    }

    #[inline(always)]
    fn half(self) -> Avx2 {
        // SAFETY: a processor with AVX-512 has AVX2, and this token proves the rest.
        unsafe { Avx2::assume() }
    }

    #[inline(always)]
    fn low(self, a: __m512) -> __m256 {
        // SAFETY: the token proves the instructions; no memory is touched.
        unsafe { _mm512_castps512_ps256(a) }
    }

    #[inline]
    fn vectorize<T: Task>(self, task: T) -> T::Output {
        #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
        fn inner<T: Task>(simd: Avx512, task: T) -> T::Output {
            task.run(simd)
        }
        // SAFETY: the token proves the instructions.
        unsafe { inner(self, task) }
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m512) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, p: *const f32, n: usize) -> __m512 {
        // SAFETY: the caller's; masked lanes are not accessed.
        unsafe { _mm512_maskz_loadu_ps(first(n), p) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, v: __m512, n: usize) {
        // SAFETY: the caller's; masked lanes are not accessed.
        unsafe { _mm512_mask_storeu_ps(p, first(n), v) }
    }

    op! {
        fn splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
        fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fn sqrt(a: __m512) -> __m512 { _mm512_sqrt_ps(a) }
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn neg_mul_add(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fnmadd_ps(a, b, c) }
        fn min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        fn max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        fn abs(a: __m512) -> __m512 { _mm512_abs_ps(a) }
        fn neg(a: __m512) -> __m512 { _mm512_xor_ps(a, _mm512_set1_ps(-0.0)) }
        fn copysign(magnitude: __m512, sign: __m512) -> __m512 {
            _mm512_or_ps(magnitude, _mm512_and_ps(sign, _mm512_set1_ps(-0.0)))
        }
        fn lt(a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
        fn gt(a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
        fn eq(a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
        fn select(mask: __mmask16, yes: __m512, no: __m512) -> __m512 { _mm512_mask_blend_ps(mask, no, yes) }
        fn bits(a: __m512) -> __m512i { _mm512_castps_si512(a) }
        fn from_bits(a: __m512i) -> __m512 { _mm512_castsi512_ps(a) }
        fn splat_i(x: i32) -> __m512i { _mm512_set1_epi32(x) }
        fn add_i(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        fn sub_i(a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi32(a, b) }
        fn and_i(a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        fn to_float(a: __m512i) -> __m512 { _mm512_cvtepi32_ps(a) }
        fn scale(a: __m512, n: __m512) -> __m512 { _mm512_scalef_ps(a, n) }
        fn power_of_two(n: __m512) -> __m512 { _mm512_scalef_ps(_mm512_set1_ps(1.0), n) }
    }

    #[inline(always)]
    fn shl_i<const N: i32>(self, a: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions; no memory is touched.
        unsafe { _mm512_sllv_epi32(a, _mm512_set1_epi32(N)) }
    }

    #[inline(always)]
    fn shr_i<const N: i32>(self, a: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions; no memory is touched.
        unsafe { _mm512_srav_epi32(a, _mm512_set1_epi32(N)) }
    }

    #[inline(always)]
    fn lookup(self, table: &'static Table, at: __m512i) -> __m512 {
        // SAFETY: the token proves the instructions; a table has 16 elements.
        unsafe { _mm512_permutexvar_ps(at, _mm512_loadu_ps(table.0.as_ptr())) }
    }

    pin!(__m512, "avx512f", zmm_reg "{0}");

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: the caller's: 16 rows at both ends. The shuffles touch no memory.
        unsafe {
            let row = |i: usize| _mm512_loadu_ps(src.add(i * src_stride));
            let mut t = [_mm512_setzero_ps(); 16];
            let mut u = [_mm512_setzero_ps(); 16];
            // 4×4 blocks inside each group of four rows.
            for g in 0..4 {
                let (a, b, c, d) = (row(4 * g), row(4 * g + 1), row(4 * g + 2), row(4 * g + 3));
                let (ab0, ab1) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let (cd0, cd1) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
                t[4 * g] = _mm512_shuffle_ps::<0x44>(ab0, cd0);
                t[4 * g + 1] = _mm512_shuffle_ps::<0xee>(ab0, cd0);
                t[4 * g + 2] = _mm512_shuffle_ps::<0x44>(ab1, cd1);
                t[4 * g + 3] = _mm512_shuffle_ps::<0xee>(ab1, cd1);
            }
            // t[4g + j], 128-bit lane l: column 4l + j of rows 4g..4g+4. Gather lane l of the four groups.
            for j in 0..4 {
                let (a, b, c, d) = (t[j], t[4 + j], t[8 + j], t[12 + j]);
                let (ab_even, ab_odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
                let (cd_even, cd_odd) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
                u[j] = _mm512_shuffle_f32x4::<0x88>(ab_even, cd_even);
                u[4 + j] = _mm512_shuffle_f32x4::<0x88>(ab_odd, cd_odd);
                u[8 + j] = _mm512_shuffle_f32x4::<0xdd>(ab_even, cd_even);
                u[12 + j] = _mm512_shuffle_f32x4::<0xdd>(ab_odd, cd_odd);
            }
            for (i, v) in u.into_iter().enumerate() {
                _mm512_storeu_ps(dst.add(i * dst_stride), v);
            }
        }
    }
}
