//! One small vector trait, instantiated per instruction set.
//!
//! A value of a type that implements [`Simd`] is a token: only detection makes one, so holding it proves that the
//! processor has the instructions, and every method that touches no memory is safe.
//!
//! Code generic over the trait is `#[inline(always)]` down to the intrinsics and becomes machine code for one
//! instruction set where a [`Task`] is handed to [`Simd::vectorize`]: that function alone carries the `target_feature`.
//!
//! Each method is one IEEE-754 operation, rounded once, the same on every instruction set; `min` and `max` return their
//! second operand where the first is not smaller (larger). Sequences of them therefore give the same bits everywhere.

// Where an instruction set is enabled for the whole build, its intrinsics are safe and their blocks superfluous.
#![allow(unused_unsafe, reason = "whether a block is needed depends on the build's target features")]

/// Methods that wrap intrinsics which touch no memory.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! op {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $t:ty),*) -> $r:ty { $body:expr })*) => {
        $(
            #[inline(always)]
            $(#[$meta])*
            fn $name(self, $($arg: $t),*) -> $r {
                // SAFETY: the token proves the instructions; no memory is touched.
                unsafe { $body }
            }
        )*
    };
}

/// [`Simd::Half`] and what goes with it, where there is none.
macro_rules! no_half {
    () => {
        type Half = Self;

        #[inline(always)]
        fn half(self) -> Self {
            self
        }

        #[inline(always)]
        fn low(self, a: Self::F) -> Self::F {
            a
        }
    };
}

/// [`Simd::pin`] of vectors that live in registers of a class.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! pin {
    ($vector:ty, $feature:literal, $class:ident $register:literal) => {
        #[inline(always)]
        fn pin(self, v: $vector) -> $vector {
            #[inline]
            #[target_feature(enable = $feature)]
            fn pin(mut v: $vector) -> $vector {
                // SAFETY: no instruction is added.
                unsafe { std::arch::asm!(concat!("/* ", $register, " */"), inout($class) v, options(nostack, preserves_flags)) };
                v
            }
            // SAFETY: the token proves the instructions.
            unsafe { pin(v) }
        }
    };
}

/// Asks for the cache line at an address, by the hint's names on x86-64 and 64-bit Arm. Elsewhere, and in Miri that knows no assembly,
/// nothing is done.
macro_rules! ask {
    ($p:ident, $x86:ident, $arm:literal) => {{
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch never faults.
        unsafe {
            core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::$x86 }>($p.cast());
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        // SAFETY: as above.
        unsafe {
            core::arch::asm!(concat!("prfm ", $arm, ", [{0}]"), in(reg) $p.addr(), options(nomem, nostack, preserves_flags));
        }
        #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", not(miri)))))]
        let _ = $p;
    }};
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod side;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;
pub(crate) use side::Side;

use crate::error::Error;
use crate::isa::Isa;

/// Runs `task` on the instruction set `isa`.
///
/// # Errors
/// [`Error::IsaUnavailable`].
pub(crate) fn dispatch<T: Task>(isa: Isa, task: T) -> Result<T::Output, Error> {
    let missing = || isa.require().err().unwrap_or(Error::IsaUnavailable { wanted: isa, available: String::new() });
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => Ok(Avx512::new().ok_or_else(missing)?.vectorize(task)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Ok(Avx2::new().ok_or_else(missing)?.vectorize(task)),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => Ok(Neon::new().ok_or_else(missing)?.vectorize(task)),
        Isa::Portable => Ok(Portable::new().ok_or_else(missing)?.vectorize(task)),
        #[allow(unreachable_patterns, reason = "which instruction sets are left depends on the target")]
        _ => Err(missing()),
    }
}

/// Code to be compiled for one instruction set: a closure that is generic over the token it is given.
///
/// `run` must be `#[inline(always)]`, or it is compiled without the instructions.
pub(crate) trait Task {
    type Output;
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Eight numbers to choose from: twice, so that they fill the longest vector.
#[repr(align(64))]
pub(crate) struct Table([f32; 16]);

impl Table {
    pub(crate) const fn new(t: [f32; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = t;
        Self([a, b, c, d, e, f, g, h, a, b, c, d, e, f, g, h])
    }

    pub(crate) const fn first(&self) -> f32 {
        self.0[0]
    }
}

/// Vectors of f32 of one instruction set.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Its name.
    const ISA: Isa;
    /// Whether [`Simd::mul_add`] rounds once.
    const FUSED: bool = Self::ISA.is_fused();
    /// f32 lanes of a vector.
    const LANES: usize;
    /// Chains of some dozens of dependent operations that together keep the units for arithmetic busy, as far as registers allow.
    const CHAINS: usize;
    /// Whether the compiler mixes the steps of a product, for scalars of several at once, until it runs out of registers.
    const MIXED: bool = false;
    /// f32 lanes.
    type F: Copy;
    /// As many i32 lanes.
    type I: Copy;
    /// As many truth values.
    type M: Copy;
    /// The instruction set that has vectors of half as many lanes, in the same registers. Itself, where there is none.
    type Half: Simd;

    /// The token, where the processor has the instructions.
    fn new() -> Option<Self>;

    /// The token, without looking.
    ///
    /// # Safety
    /// [`Simd::new`] has returned `Some` in this process.
    #[inline(always)]
    unsafe fn assume() -> Self {
        const { assert!(size_of::<Self>() == 0, "a token carries nothing") };
        // SAFETY: a zero-sized type has one value, and the caller has proof that it may exist.
        unsafe { std::mem::zeroed() }
    }

    /// The token of the half: these instructions include those.
    fn half(self) -> Self::Half;

    /// The lower half of a vector. All of it, where there is no half.
    fn low(self, a: Self::F) -> <Self::Half as Simd>::F;

    /// Runs `task` in a function compiled for this instruction set.
    fn vectorize<T: Task>(self, task: T) -> T::Output;

    /// # Safety
    /// `LANES` elements at `p` are readable.
    unsafe fn load(self, p: *const f32) -> Self::F;
    /// # Safety
    /// `LANES` elements at `p` are writable.
    unsafe fn store(self, p: *mut f32, v: Self::F);
    /// The first `n` lanes (at most `LANES`), zero in the others. Nothing behind them is touched.
    /// # Safety
    /// `n` elements at `p` are readable.
    unsafe fn load_partial(self, p: *const f32, n: usize) -> Self::F;
    /// Only the first `n` lanes (at most `LANES`). Nothing behind them is touched.
    /// # Safety
    /// `n` elements at `p` are writable.
    unsafe fn store_partial(self, p: *mut f32, v: Self::F, n: usize);

    fn splat(self, x: f32) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    fn sqrt(self, a: Self::F) -> Self::F;
    /// `a·b + c`, rounded once.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c − a·b`, rounded once.
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a` where `a < b`, else `b`.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a` where `a > b`, else `b`.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The sign bit cleared.
    fn abs(self, a: Self::F) -> Self::F;
    /// The sign bit flipped.
    fn neg(self, a: Self::F) -> Self::F;
    /// `magnitude` (sign bit clear) with the sign bit of `sign`.
    fn copysign(self, magnitude: Self::F, sign: Self::F) -> Self::F;

    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    fn gt(self, a: Self::F, b: Self::F) -> Self::M;
    fn eq(self, a: Self::F, b: Self::F) -> Self::M;
    /// `yes` where the mask is true, else `no`.
    fn select(self, mask: Self::M, yes: Self::F, no: Self::F) -> Self::F;

    fn bits(self, a: Self::F) -> Self::I;
    #[allow(clippy::wrong_self_convention, reason = "self is the token, not the value")]
    fn from_bits(self, a: Self::I) -> Self::F;
    fn splat_i(self, x: i32) -> Self::I;
    /// Wrapping.
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Wrapping.
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I;
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bits shifted left by N, zeros in.
    fn shl_i<const N: i32>(self, a: Self::I) -> Self::I;
    /// Bits shifted right by N, sign in.
    fn shr_i<const N: i32>(self, a: Self::I) -> Self::I;
    /// The nearest f32.
    fn to_float(self, a: Self::I) -> Self::F;
    /// What the lowest three bits of each lane are the number of.
    fn lookup(self, table: &'static Table, at: Self::I) -> Self::F;
    /// `a·2ⁿ`, rounded once, subnormal and infinite results included. `n` holds whole numbers, |n| ≤ 252.
    ///
    /// By default `(a·2ᵖ)·2^q` with `q` = `n` clamped to the exponents of normal numbers and `p = n − q`. Where `p` is not
    /// 0, `q` is an end of that range: for `q = 127` the first product is exact or infinite, and for `q = −126` a first
    /// product small enough to be rounded ends, as the true result does, far below the smallest subnormal.
    #[inline(always)]
    fn scale(self, a: Self::F, n: Self::F) -> Self::F {
        let q = self.min(self.max(n, self.splat(-126.0)), self.splat(127.0));
        let p = self.sub(n, q);
        self.mul(self.mul(a, normal_power(self, p)), normal_power(self, q))
    }

    /// `2ⁿ`; `n` holds whole numbers, −252 ≤ n ≤ 127. Below −126 it is something from 0 to 2⁻¹²⁶: for sums that it
    /// vanishes in.
    #[inline(always)]
    fn power_of_two(self, n: Self::F) -> Self::F {
        normal_power(self, self.max(n, self.splat(-126.0)))
    }

    /// `v`, of which the compiler knows no more than that it is in a register: what it is made from comes before, and what is made
    /// from it, and any access to memory behind, after.
    #[inline(always)]
    fn pin(self, v: Self::F) -> Self::F {
        v
    }

    /// Transposes a `LANES × LANES` block: row r of the result is column r of the source.
    /// # Safety
    /// `LANES` rows of `LANES` elements, `src_stride` apart, are readable at `src`, and as many, `dst_stride` apart,
    /// writable at `dst`. The blocks do not overlap.
    unsafe fn transpose(self, src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize);
}

/// Asks for the cache line at `p`; any address will do.
#[inline(always)]
pub(crate) fn prefetch(p: *const f32) {
    ask!(p, _MM_HINT_T0, "pldl1keep");
}

/// Asks for the cache line at `p` in the second-level cache; any address will do.
#[inline(always)]
pub(crate) fn prefetch_l2(p: *const f32) {
    ask!(p, _MM_HINT_T1, "pldl2keep");
}

/// `p`, of which the compiler no longer knows that it is the same: it reads again what is behind it.
#[inline(always)]
pub(crate) fn opaque<T>(p: &T) -> &T {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    #[allow(clippy::pointers_in_nomem_asm_block, reason = "there are no instructions that could follow it")]
    // SAFETY: no instruction is added, so the register still holds the address of what was borrowed.
    unsafe {
        let mut at: *const T = p;
        core::arch::asm!("/* {0} */", inout(reg) at, options(nomem, nostack, preserves_flags));
        &*at
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    p
}

/// `2ⁿ` for whole n, −126 ≤ n ≤ 127.
///
/// `n + 127`, the exponent field, is left in the low bits of `n + (2²³ + 127)`; the rest of its bits shift out.
#[inline(always)]
fn normal_power<S: Simd>(s: S, n: S::F) -> S::F {
    s.from_bits(s.shl_i::<23>(s.bits(s.add(n, s.splat(8_388_735.0)))))
}
