//! Every method of every available token against the scalar operation it stands for.

use super::{Portable, Simd, Table, Task, dispatch};
use crate::isa::Isa;

/// Values at which operations go wrong.
const SPECIAL: [u32; 24] = [
    0x0000_0000, // 0
    0x8000_0000, // −0
    0x0000_0001, // smallest subnormal
    0x8000_0001,
    0x007f_ffff, // largest subnormal
    0x0080_0000, // smallest normal
    0x8080_0000,
    0x3f80_0000, // 1
    0xbf80_0000,
    0x3f80_0001,
    0x3f7f_ffff,
    0x3fc0_0000, // 1.5
    0x4000_0000, // 2
    0xc000_0000,
    0x4b7f_ffff, // 2²⁴ − 1
    0x4b00_0001,
    0x7f7f_ffff, // largest
    0xff7f_ffff,
    0x7f80_0000, // ∞
    0xff80_0000,
    0x7fc0_0000, // NaN
    0xffc0_0001,
    0x3eaa_aaab, // 1/3
    0xc2ae_ac50,
];

/// A 32-bit xorshift generator (Marsaglia, "Xorshift RNGs", 2003).
fn random_bits(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

/// All triples of special values are too many: pairs of them, with a third in turn, and random bit patterns.
fn triples() -> Vec<[f32; 3]> {
    let mut out = Vec::new();
    for (i, &a) in SPECIAL.iter().enumerate() {
        for (j, &b) in SPECIAL.iter().enumerate() {
            for k in 0..4 {
                out.push([a, b, SPECIAL[(7 * i + 5 * j + 6 * k) % SPECIAL.len()]].map(f32::from_bits));
            }
        }
    }
    let mut state = 0x9e37_79b9;
    for _ in 0..20_000 {
        let mut next = || f32::from_bits(random_bits(&mut state));
        out.push([next(), next(), next()]);
    }
    // Magnitudes near 1, where a·b + c cancels and a second rounding shows.
    for _ in 0..20_000 {
        let mut next = || f32::from_bits(random_bits(&mut state) & 0x80ff_ffff | 0x3f00_0000);
        out.push([next(), next(), next()]);
    }
    out
}

/// A vector expression.
trait Expression: Copy {
    fn vector<S: Simd>(self, s: S, a: S::F, b: S::F, c: S::F) -> S::F;
}

/// Maps an expression over triples, lane by lane.
struct Map<'a, E>(E, &'a [[f32; 3]]);

impl<E: Expression> Task for Map<'_, E> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let mut out = vec![0.0; self.1.len()];
        for (from, to) in self.1.chunks(S::LANES).zip(out.chunks_mut(S::LANES)) {
            let mut lanes = [[0.0f32; 16]; 3];
            for (i, t) in from.iter().enumerate() {
                for (lane, x) in lanes.iter_mut().zip(t) {
                    lane[i] = *x;
                }
            }
            // SAFETY: 16 lanes are at least `LANES`, and `to` has at most `LANES` elements.
            unsafe {
                let [a, b, c] = lanes.each_ref().map(|lane| s.load(lane.as_ptr()));
                s.store_partial(to.as_mut_ptr(), self.0.vector(s, a, b, c), to.len());
            }
        }
        out
    }
}

/// The same bits, or both NaN (which NaN comes of a NaN is the processor's choice).
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

fn check<E: Expression>(name: &str, e: E, fused: bool, scalar: impl Fn(f32, f32, f32) -> f32) {
    let inputs = triples();
    for isa in Isa::available() {
        if fused && isa == Isa::Portable && !Portable::FUSED {
            continue;
        }
        let found = dispatch(isa, Map(e, &inputs)).unwrap();
        for (t, y) in inputs.iter().zip(found) {
            let expected = scalar(t[0], t[1], t[2]);
            assert!(same(y, expected), "{isa} {name} {t:?}: {y:e}, expected {expected:e}");
        }
    }
}

macro_rules! methods {
    ($($test:ident $fused:literal: |$s:ident, $a:ident, $b:ident, $c:ident| $vector:expr, $scalar:expr;)*) => {
        $(
            #[test]
            fn $test() {
                #[derive(Clone, Copy)]
                struct This;
                impl Expression for This {
                    #[inline(always)]
                    fn vector<S: Simd>(self, $s: S, $a: S::F, $b: S::F, $c: S::F) -> S::F {
                        let _ = ($a, $b, $c);
                        $vector
                    }
                }
                check(stringify!($test), This, $fused, |$a: f32, $b: f32, $c: f32| {
                    let _ = ($a, $b, $c);
                    $scalar
                });
            }
        )*
    };
}

fn int(x: f32) -> i32 {
    x.to_bits() as i32
}

fn float(x: i32) -> f32 {
    f32::from_bits(x as u32)
}

static NUMBERS: Table = Table::new([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);

methods! {
    splat_is_the_same_in_every_lane false: |s, a, b, c| s.splat(1.25), 1.25;
    add_is_scalar_add false: |s, a, b, c| s.add(a, b), a + b;
    sub_is_scalar_sub false: |s, a, b, c| s.sub(a, b), a - b;
    mul_is_scalar_mul false: |s, a, b, c| s.mul(a, b), a * b;
    div_is_scalar_div false: |s, a, b, c| s.div(a, b), a / b;
    sqrt_is_scalar_sqrt false: |s, a, b, c| s.sqrt(a), a.sqrt();
    mul_add_rounds_once true: |s, a, b, c| s.mul_add(a, b, c), a.mul_add(b, c);
    neg_mul_add_rounds_once true: |s, a, b, c| s.neg_mul_add(a, b, c), (-a).mul_add(b, c);
    min_returns_the_second_unless_the_first_is_smaller false: |s, a, b, c| s.min(a, b), if a < b { a } else { b };
    max_returns_the_second_unless_the_first_is_larger false: |s, a, b, c| s.max(a, b), if a > b { a } else { b };
    abs_clears_the_sign_bit false: |s, a, b, c| s.abs(a), a.abs();
    neg_flips_the_sign_bit false: |s, a, b, c| s.neg(a), -a;
    copysign_takes_the_sign_bit false: |s, a, b, c| s.copysign(s.abs(a), b), a.abs().copysign(b);
    lt_is_false_for_nan false: |s, a, b, c| s.select(s.lt(a, b), c, a), if a < b { c } else { a };
    gt_is_false_for_nan false: |s, a, b, c| s.select(s.gt(a, b), c, a), if a > b { c } else { a };
    eq_is_false_for_nan false: |s, a, b, c| s.select(s.eq(a, b), c, a), if a == b { c } else { a };
    splat_i_keeps_its_bits false: |s, a, b, c| s.from_bits(s.splat_i(0x1234_5678)), float(0x1234_5678);
    add_i_wraps false: |s, a, b, c| s.from_bits(s.add_i(s.bits(a), s.bits(b))), float(int(a).wrapping_add(int(b)));
    sub_i_wraps false: |s, a, b, c| s.from_bits(s.sub_i(s.bits(a), s.bits(b))), float(int(a).wrapping_sub(int(b)));
    and_i_is_bitwise false: |s, a, b, c| s.from_bits(s.and_i(s.bits(a), s.bits(b))), float(int(a) & int(b));
    shl_i_shifts_zeros_in false: |s, a, b, c| s.from_bits(s.shl_i::<23>(s.bits(a))), float(int(a) << 23);
    shr_i_shifts_the_sign_in false: |s, a, b, c| s.from_bits(s.shr_i::<23>(s.bits(a))), float(int(a) >> 23);
    lookup_takes_the_lowest_three_bits false: |s, a, b, c| s.lookup(&NUMBERS, s.bits(a)), (int(a) & 7) as f32;
    to_float_is_the_nearest false: |s, a, b, c| s.to_float(s.bits(a)), int(a) as f32;
}

/// `a·2ⁿ` in f64, whose rounding to f32 is the only one: both the product and the power are exact for |n| ≤ 252.
fn scaled(a: f32, n: f32) -> f32 {
    (f64::from(a) * f64::from(n).exp2()) as f32
}

#[test]
fn scale_rounds_once() {
    #[derive(Clone, Copy)]
    struct This;
    impl Expression for This {
        #[inline(always)]
        fn vector<S: Simd>(self, s: S, a: S::F, n: S::F, _: S::F) -> S::F {
            s.scale(a, n)
        }
    }
    let mut state = 0x2545_f491;
    let mut inputs = Vec::new();
    for n in -252..=252 {
        let n = n as f32;
        inputs.extend(SPECIAL.map(|a| [f32::from_bits(a), n, 0.0]));
        for _ in 0..64 {
            let bits = random_bits(&mut state);
            inputs.push([f32::from_bits(bits), n, 0.0]);
            // Results around the subnormals: |a| within 2⁻¹⁶⁰ … 2⁻¹²⁰ of them.
            let exponent = (127 - n as i32 - 160 + (bits >> 9) as i32 % 40).clamp(0, 254) as u32;
            inputs.push([f32::from_bits(bits & 0x807f_ffff | exponent << 23), n, 0.0]);
        }
    }
    for isa in Isa::available() {
        for (t, y) in inputs.iter().zip(dispatch(isa, Map(This, &inputs)).unwrap()) {
            let expected = scaled(t[0], t[1]);
            assert!(same(y, expected), "{isa} {:e} * 2^{}: {y:e}, expected {expected:e}", t[0], t[1]);
        }
    }
}

#[test]
fn power_of_two_is_exact_and_tiny_below_the_normal_numbers() {
    #[derive(Clone, Copy)]
    struct This;
    impl Expression for This {
        #[inline(always)]
        fn vector<S: Simd>(self, s: S, n: S::F, _: S::F, _: S::F) -> S::F {
            s.power_of_two(n)
        }
    }
    let inputs: Vec<_> = (-252..=127).map(|n| [n as f32, 0.0, 0.0]).collect();
    for isa in Isa::available() {
        for (t, y) in inputs.iter().zip(dispatch(isa, Map(This, &inputs)).unwrap()) {
            if t[0] < -126.0 {
                assert!((0.0..=f32::MIN_POSITIVE).contains(&y), "{isa} 2^{}: {y:e}", t[0]);
            } else {
                assert_eq!(y, f64::from(t[0]).exp2() as f32, "{isa} 2^{}", t[0]);
            }
        }
    }
}

/// Loads and stores of every length, from exact-size allocations, for tools that watch memory, and inside a larger one.
struct Partial;

impl Task for Partial {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for n in 0..=S::LANES {
            let from: Box<[f32]> = (0..n).map(|i| 1.0 + i as f32).collect();
            let mut all = vec![-1.0f32; S::LANES].into_boxed_slice();
            let mut exact = vec![-1.0f32; n].into_boxed_slice();
            let mut inside = vec![-1.0f32; S::LANES].into_boxed_slice();
            // SAFETY: `from` and `exact` have n elements, `all` and `inside` LANES.
            unsafe {
                let v = s.load_partial(from.as_ptr(), n);
                s.store(all.as_mut_ptr(), v);
                s.store_partial(exact.as_mut_ptr(), v, n);
                s.store_partial(inside.as_mut_ptr(), s.load(all.as_ptr()), n);
            }
            let expected =
                |rest: f32| (0..S::LANES).map(move |i| if i < n { from[i] } else { rest }).collect::<Vec<_>>();
            assert_eq!(exact.to_vec(), expected.clone()(0.0)[..n], "{} store_partial {n}", S::ISA);
            assert_eq!(all.to_vec(), expected.clone()(0.0), "{} load_partial {n}", S::ISA);
            assert_eq!(inside.to_vec(), expected(-1.0), "{} store_partial {n} wrote behind its end", S::ISA);
        }
    }
}

#[test]
fn partial_loads_and_stores_touch_nothing_behind_their_end() {
    for isa in Isa::available() {
        dispatch(isa, Partial).unwrap();
    }
}

struct Transpose;

impl Task for Transpose {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = S::LANES;
        let (src_stride, dst_stride) = (n + 3, n + 5);
        // The last row ends the allocation.
        let src: Vec<f32> = (0..(n - 1) * src_stride + n).map(|i| i as f32).collect();
        let mut dst = vec![-1.0f32; (n - 1) * dst_stride + n];
        // SAFETY: both hold n rows of n elements at their stride.
        unsafe { s.transpose(src.as_ptr(), src_stride, dst.as_mut_ptr(), dst_stride) }
        for (i, &y) in dst.iter().enumerate() {
            let (r, c) = (i / dst_stride, i % dst_stride);
            let expected = if c < n { src[c * src_stride + r] } else { -1.0 };
            assert_eq!(y, expected, "{} row {r}, column {c}", S::ISA);
        }
    }
}

#[test]
fn transpose_swaps_rows_and_columns() {
    for isa in Isa::available() {
        dispatch(isa, Transpose).unwrap();
    }
}

#[test]
fn dispatch_refuses_what_the_processor_lacks() {
    for isa in Isa::ALL {
        assert_eq!(dispatch(isa, Transpose).is_ok(), isa.is_available(), "{isa}");
    }
}
