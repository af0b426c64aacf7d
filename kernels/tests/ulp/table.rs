//! What is claimed of each function.

use sae_kernels::{Error, Isa, math};

use crate::measure::Worst;

/// A function over slices.
pub(crate) type Apply = fn(Isa, &[f32], &mut [f32]) -> Result<(), Error>;

/// A function, its exact value, and its largest errors.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) apply: Apply,
    /// The value in f64: within 2⁻⁵⁰ of the exact one, so within 2⁻²⁶ of a unit of f32.
    pub(crate) exact: fn(f64) -> f64,
    /// The error that is promised on every instruction set.
    pub(crate) bound: f64,
    /// The largest error over all inputs where multiplication and addition are fused, to four places.
    pub(crate) fused: Worst,
    /// The same where they are not.
    pub(crate) unfused: Worst,
    /// The inputs around which the method changes or the result saturates.
    pub(crate) thresholds: &'static [f32],
    /// Whether a larger argument never gives a smaller result.
    pub(crate) monotone: bool,
}

const fn worst(input: u32, error: f64) -> Worst {
    Worst { input, error }
}

fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

fn softplus(x: f64) -> f64 {
    if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
}

pub(crate) const TABLE: [Row; 6] = [
    Row {
        name: "exp",
        apply: math::exp,
        exact: f64::exp,
        bound: 1.0,
        fused: worst(0, 0.0),
        unfused: worst(0, 0.0),
        thresholds: &[-104.0, -103.972_08, -87.336_55, 0.346_573_6, -0.346_573_6, 88.722_84, 89.0],
        monotone: true,
    },
    Row {
        name: "log",
        apply: math::log,
        exact: f64::ln,
        bound: 1.0,
        fused: worst(0, 0.0),
        unfused: worst(0, 0.0),
        thresholds: &[f32::MIN_POSITIVE, 0.375, 0.75, 1.0, 1.5, 2.0, 3.0, f32::MAX],
        monotone: true,
    },
    Row {
        name: "sigmoid",
        apply: math::sigmoid,
        exact: sigmoid,
        bound: 1.5,
        fused: worst(0, 0.0),
        unfused: worst(0, 0.0),
        thresholds: &[-104.0, -103.972_08, -87.336_55, -16.635_532, -0.346_573_6, 0.346_573_6, 16.635_532, 17.0],
        monotone: true,
    },
    Row {
        name: "tanh",
        apply: math::tanh,
        exact: f64::tanh,
        bound: 1.5,
        fused: worst(0, 0.0),
        unfused: worst(0, 0.0),
        thresholds: &[-9.010_914, -0.8, 0.8, 9.010_914, 10.0],
        monotone: true,
    },
    Row {
        name: "log1p",
        apply: math::log1p,
        exact: f64::ln_1p,
        bound: 2.0,
        fused: worst(0, 0.0),
        unfused: worst(0, 0.0),
        thresholds: &[-1.0, -0.625, -0.25, 0.5, 1.0, 2.0, 5.0, 16_777_216.0, 1.276_058_8e38, 2.552_117_5e38, f32::MAX],
        monotone: true,
    },
    Row {
        name: "softplus",
        apply: math::softplus,
        exact: softplus,
        bound: 2.0,
        fused: worst(0, 0.0),
        unfused: worst(0, 0.0),
        thresholds: &[-104.0, -103.972_08, -87.336_55, -0.693_147_2, 0.693_147_2, 16.635_532],
        // The steps of e^−|x| show where x is small.
        monotone: false,
    },
];
