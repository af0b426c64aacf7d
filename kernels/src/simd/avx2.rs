//! AVX2 with FMA: 8 lanes, 16 registers.

use core::arch::x86_64::*;

use super::{Simd, Table, Task};
use crate::isa::Isa;

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// Sign bits set in the first `n` lanes.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    debug_assert!(n <= 8);
    // SAFETY: the caller's; no memory is touched.
    unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
}

impl Simd for Avx2 {
    const ISA: Isa = Isa::Avx2;
    const LANES: usize = 8;
    const CHAINS: usize = 6;
    type F = __m256;
    type I = __m256i;
    type M = __m256;
    no_half!();

    fn new() -> Option<Self> {
        Isa::Avx2.is_available().then_some(Self(()))
    }

    #[inline]
    fn vectorize<T: Task>(self, task: T) -> T::Output {
        #[target_feature(enable = "avx2,fma")]
        fn inner<T: Task>(simd: Avx2, task: T) -> T::Output {
            task.run(simd)
        }
        // SAFETY: the token proves the instructions.
        unsafe { inner(self, task) }
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        // SAFETY: the caller's.
        unsafe { _mm256_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, p: *const f32, n: usize) -> __m256 {
        // SAFETY: the caller's; masked lanes are not accessed.
        unsafe { _mm256_maskload_ps(p, first(n)) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, v: __m256, n: usize) {
        // SAFETY: the caller's; masked lanes are not accessed.
        unsafe { _mm256_maskstore_ps(p, first(n), v) }
    }

    op! {
        fn splat(x: f32) -> __m256 { _mm256_set1_ps(x) }
        fn add(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        fn sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        fn mul(a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        fn div(a: __m256, b: __m256) -> __m256 { _mm256_div_ps(a, b) }
        fn sqrt(a: __m256) -> __m256 { _mm256_sqrt_ps(a) }
        fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        fn neg_mul_add(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fnmadd_ps(a, b, c) }
        fn min(a: __m256, b: __m256) -> __m256 { _mm256_min_ps(a, b) }
        fn max(a: __m256, b: __m256) -> __m256 { _mm256_max_ps(a, b) }
        fn abs(a: __m256) -> __m256 { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
        fn neg(a: __m256) -> __m256 { _mm256_xor_ps(a, _mm256_set1_ps(-0.0)) }
        fn copysign(magnitude: __m256, sign: __m256) -> __m256 {
            _mm256_or_ps(magnitude, _mm256_and_ps(sign, _mm256_set1_ps(-0.0)))
        }
        fn lt(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
        fn gt(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_GT_OQ>(a, b) }
        fn eq(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
        fn select(mask: __m256, yes: __m256, no: __m256) -> __m256 { _mm256_blendv_ps(no, yes, mask) }
        fn bits(a: __m256) -> __m256i { _mm256_castps_si256(a) }
        fn from_bits(a: __m256i) -> __m256 { _mm256_castsi256_ps(a) }
        fn splat_i(x: i32) -> __m256i { _mm256_set1_epi32(x) }
        fn add_i(a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi32(a, b) }
        fn sub_i(a: __m256i, b: __m256i) -> __m256i { _mm256_sub_epi32(a, b) }
        fn and_i(a: __m256i, b: __m256i) -> __m256i { _mm256_and_si256(a, b) }
        fn to_float(a: __m256i) -> __m256 { _mm256_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn shl_i<const N: i32>(self, a: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions; no memory is touched.
        unsafe { _mm256_slli_epi32::<N>(a) }
    }

    #[inline(always)]
    fn shr_i<const N: i32>(self, a: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions; no memory is touched.
        unsafe { _mm256_srai_epi32::<N>(a) }
    }

    #[inline(always)]
    fn lookup(self, table: &'static Table, at: __m256i) -> __m256 {
        // SAFETY: the token proves the instructions; a table has more than 8 elements.
        unsafe { _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.0.as_ptr()), at) }
    }

    pin!(__m256, "avx2", ymm_reg "{0}");

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: the caller's: 8 rows at both ends. The shuffles touch no memory.
        unsafe {
            let row = |i: usize| _mm256_loadu_ps(src.add(i * src_stride));
            let mut t = [_mm256_setzero_ps(); 8];
            // 4×4 blocks inside each group of four rows.
            for g in 0..2 {
                let (a, b, c, d) = (row(4 * g), row(4 * g + 1), row(4 * g + 2), row(4 * g + 3));
                let (ab0, ab1) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (cd0, cd1) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                t[4 * g] = _mm256_shuffle_ps::<0x44>(ab0, cd0);
                t[4 * g + 1] = _mm256_shuffle_ps::<0xee>(ab0, cd0);
                t[4 * g + 2] = _mm256_shuffle_ps::<0x44>(ab1, cd1);
                t[4 * g + 3] = _mm256_shuffle_ps::<0xee>(ab1, cd1);
            }
            // t[4g + j], 128-bit lane l: column 4l + j of rows 4g..4g+4. Gather lane l of the two groups.
            for j in 0..4 {
                _mm256_storeu_ps(dst.add(j * dst_stride), _mm256_permute2f128_ps::<0x20>(t[j], t[4 + j]));
                _mm256_storeu_ps(dst.add((4 + j) * dst_stride), _mm256_permute2f128_ps::<0x31>(t[j], t[4 + j]));
            }
        }
    }
}
