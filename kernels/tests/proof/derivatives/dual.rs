//! Numbers with a derivative (dual numbers), and a measure of how much the derivative's terms cancel.

use std::ops::{Add, Mul, Neg, Sub};

/// `value + derivative·ε`, ε² = 0: every operation carries the exact derivative along, rounded as values are.
///
/// `size` is the derivative with every term taken to be positive: roundings of the derivative are relative to it, as those
/// of a sum are to the sum of the sizes of its terms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dual {
    pub(super) value: f64,
    pub(super) derivative: f64,
    pub(super) size: f64,
}

impl Dual {
    pub(super) const fn constant(value: f64) -> Self {
        Self { value, derivative: 0.0, size: 0.0 }
    }

    /// What is derived by.
    pub(super) const fn variable(value: f64) -> Self {
        Self { value, derivative: 1.0, size: 1.0 }
    }

    /// `f(self)`, given `f` and `f'` there.
    fn through(self, value: f64, slope: f64) -> Self {
        Self { value, derivative: slope * self.derivative, size: slope.abs() * self.size }
    }

    pub(super) fn sigmoid(self) -> Self {
        let y = 1.0 / (1.0 + (-self.value).exp());
        self.through(y, y * (1.0 - y))
    }

    pub(super) fn tanh(self) -> Self {
        let y = self.value.tanh();
        self.through(y, (1.0 - y) * (1.0 + y))
    }

    pub(super) fn relu(self) -> Self {
        if self.value > 0.0 { self } else { Self::constant(0.0) }
    }

    pub(super) fn abs(self) -> Self {
        if self.value < 0.0 { -self } else { self }
    }

    pub(super) fn ln(self) -> Self {
        self.through(self.value.ln(), 1.0 / self.value)
    }

    /// `ln(1 + eˣ)`.
    pub(super) fn softplus(self) -> Self {
        let value = self.value.max(0.0) + (-self.value.abs()).exp().ln_1p();
        self.through(value, 1.0 / (1.0 + (-self.value).exp()))
    }

    pub(super) fn scaled(self, by: f64) -> Self {
        self.through(by * self.value, by)
    }
}

impl Add for Dual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            value: self.value + other.value,
            derivative: self.derivative + other.derivative,
            size: self.size + other.size,
        }
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Neg for Dual {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: -self.value, derivative: -self.derivative, size: self.size }
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self {
            value: self.value * other.value,
            derivative: self.derivative * other.value + self.value * other.derivative,
            size: self.size * other.value.abs() + self.value.abs() * other.size,
        }
    }
}

impl std::iter::Sum for Dual {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::constant(0.0), |sum, x| sum + x)
    }
}

/// Each rule against the difference quotient of the same function of plain numbers.
#[test]
fn dual_numbers_carry_the_derivative() {
    type Function = fn(Dual) -> Dual;
    let functions: [(&str, Function); 9] = [
        ("sigmoid", Dual::sigmoid),
        ("tanh", Dual::tanh),
        ("relu", Dual::relu),
        ("abs", Dual::abs),
        ("softplus", Dual::softplus),
        ("scaled", |x| x.scaled(-2.5)),
        ("product", |x| x * x * (Dual::constant(3.0) - x)),
        ("ln", |x| (x * x).ln()),
        ("sum", |x| [x, x, -(x * x)].into_iter().sum()),
    ];
    for (name, f) in functions {
        for x in [-1.7, -0.3, 0.4, 2.1] {
            let h = 1e-6;
            let at = |x| f(Dual::constant(x)).value;
            let (quotient, found) = ((at(x + h) - at(x - h)) / (2.0 * h), f(Dual::variable(x)));
            assert!((found.derivative - quotient).abs() < 1e-8 * (1.0 + quotient.abs()), "{name} at {x}");
            assert!(found.size >= found.derivative.abs() && found.value == at(x), "{name} at {x}");
        }
    }
}
