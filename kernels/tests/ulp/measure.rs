//! The measure: how far a result is from the exact value, in units in the last place.

/// The distance of `found` from `exact`, in units in the last place of `exact` rounded to f32.
///
/// A power of two takes the unit above it, zero and subnormal numbers the smallest subnormal. 0 where both are NaN, or
/// where `exact` rounds to the infinity that was found; infinite where only one is NaN or infinite, and for a zero of the
/// wrong sign.
pub(crate) fn error(found: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if found.is_nan() || rounded.is_nan() {
        return if found.is_nan() && rounded.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if found.is_infinite() || rounded.is_infinite() {
        return if found == rounded { 0.0 } else { f64::INFINITY };
    }
    if found == 0.0 && found.is_sign_negative() != exact.is_sign_negative() {
        return f64::INFINITY;
    }
    (f64::from(found) - exact).abs() / unit(rounded)
}

/// The unit in the last place of a finite number.
fn unit(x: f32) -> f64 {
    let exponent = u64::from((x.to_bits() >> 23) & 0xff).max(1);
    // The smallest exponent field, 1, is 2⁻¹²⁶, with 23 bits below it: 2⁻¹⁴⁹.
    f64::from_bits((exponent + 1023 - 127 - 23) << 52)
}

/// The largest error of a sweep and the first input (as bits) it occurs at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Worst {
    pub(crate) input: u32,
    pub(crate) error: f64,
}

impl Worst {
    pub(crate) const NONE: Self = Self { input: 0, error: 0.0 };

    /// The worse of two; between equals the smaller input.
    pub(crate) fn worse(self, other: Self) -> Self {
        let first = other.error > self.error || (other.error == self.error && other.input < self.input);
        if first { other } else { self }
    }
}

#[test]
fn an_exact_result_has_no_error() {
    for x in [0.0, -0.0, 1.0, -1.5, 1e-45, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(error(x, f64::from(x)), 0.0, "{x:e}");
    }
    assert_eq!(error(f32::NAN, f64::NAN), 0.0);
}

#[test]
fn a_neighbour_is_one_unit_away() {
    for x in [0.0f32, 1.0, 1.5, -2.75, 1e-45, 3e-42, -1e-39, f32::MIN_POSITIVE, 1e30] {
        let up = f32::from_bits(x.to_bits() + 1);
        assert_eq!(error(up, f64::from(x)), 1.0, "{x:e}");
    }
    // Half the unit below a power of two, a whole one below other numbers.
    assert_eq!(error(f32::from_bits(0x3f7f_ffff), 1.0), 0.5);
    assert_eq!(error(f32::from_bits(0x3fbf_ffff), 1.5), 1.0);
}

#[test]
fn fractions_of_a_unit_count() {
    assert_eq!(error(1.0, 1.0 + 0.25 * f64::from(f32::EPSILON)), 0.25);
    assert_eq!(error(-1.0, -1.0 - 0.5 * f64::from(f32::EPSILON)), 0.5);
    let smallest = f64::from(f32::from_bits(1));
    assert_eq!(error(0.0, 0.25 * smallest), 0.25);
    assert_eq!(error(f32::from_bits(1), 0.25 * smallest), 0.75);
    assert_eq!(error(f32::from_bits(3), 1.5 * smallest), 1.5);
}

#[test]
fn a_result_of_the_wrong_sign_is_far_away() {
    assert_eq!(error(-1.0, 1.0), 2.0 / f64::from(f32::EPSILON));
    assert_eq!(error(f32::from_bits(0x8000_0001), f64::from(f32::from_bits(1))), 2.0);
    assert_eq!(error(-0.0, 0.0), f64::INFINITY);
    assert_eq!(error(0.0, -0.0), f64::INFINITY);
    assert_eq!(error(-0.0, 1e-60), f64::INFINITY);
    assert_eq!(error(0.0, 1e-60), 1e-60 / f64::from(f32::from_bits(1)));
}

#[test]
fn an_infinity_or_a_nan_out_of_place_is_infinitely_wrong() {
    assert_eq!(error(f32::INFINITY, 1e38), f64::INFINITY);
    assert_eq!(error(f32::MAX, f64::INFINITY), f64::INFINITY);
    assert_eq!(error(f32::NEG_INFINITY, f64::INFINITY), f64::INFINITY);
    assert_eq!(error(f32::INFINITY, 1e39), 0.0);
    assert_eq!(error(f32::NAN, 1.0), f64::INFINITY);
    assert_eq!(error(0.0, f64::NAN), f64::INFINITY);
    // A finite result just below the overflow threshold rounds to the largest number.
    assert_eq!(error(f32::MAX, f64::from(f32::MAX)), 0.0);
}

#[test]
fn the_worse_of_two_is_the_larger_then_the_first() {
    let (a, b) = (Worst { input: 7, error: 0.5 }, Worst { input: 3, error: 0.5 });
    assert_eq!(a.worse(b), b);
    assert_eq!(b.worse(a), b);
    assert_eq!(Worst::NONE.worse(a), a);
}
