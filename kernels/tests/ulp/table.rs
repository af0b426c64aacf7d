//! What is claimed of each function.

use std::f32::consts::LN_2;

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
    /// The error that was asked for where multiplication and addition are fused.
    pub(crate) bound: f64,
    /// The largest error over all inputs where multiplication and addition are fused, to four places.
    pub(crate) fused: Worst,
    /// The same where they are not: no bound was set.
    pub(crate) unfused: Worst,
    /// The inputs around which the method changes or the result saturates.
    pub(crate) thresholds: &'static [f32],
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
        fused: worst(0xc0bb_a9b3, 0.9901),
        unfused: worst(0xc0bb_6b80, 0.9633),
        thresholds: &[-104.0, -103.972_08, -87.336_55, 0.346_573_6, -0.346_573_6, 88.722_84, 89.0],
    },
    Row {
        name: "log",
        apply: math::log,
        exact: f64::ln,
        bound: 1.0,
        fused: worst(0x3f3d_535a, 0.9147),
        unfused: worst(0x3f39_1272, 0.9695),
        thresholds: &[f32::MIN_POSITIVE, 0.375, 0.75, 1.0, 1.5, 2.0, 3.0, f32::MAX],
    },
    Row {
        name: "sigmoid",
        apply: math::sigmoid,
        exact: sigmoid,
        bound: 1.5,
        fused: worst(0xb96c_cf1e, 1.4724),
        unfused: worst(0xbeef_a116, 1.4749),
        thresholds: &[
            -104.0,
            -103.972_08,
            -87.336_55,
            -0.043_321_7,
            0.043_321_7,
            0.649_825_5,
            16.635_532,
            17.068_61,
            18.0,
        ],
    },
    Row {
        name: "tanh",
        apply: math::tanh,
        exact: f64::tanh,
        bound: 1.5,
        fused: worst(0x3f60_e159, 1.0463),
        unfused: worst(0x3f4f_1f76, 1.0502),
        thresholds: &[-9.010_914, -0.8, 0.8, 9.010_914, 10.0],
    },
    Row {
        name: "log1p",
        apply: math::log1p,
        exact: f64::ln_1p,
        bound: 2.0,
        fused: worst(0x3ef8_38f3, 0.9160),
        unfused: worst(0xbe92_69a9, 0.9921),
        thresholds: &[-1.0, -0.625, -0.25, 0.5, 1.0, 2.0, 5.0, 16_777_216.0, 1.276_058_8e38, 2.552_117_5e38, f32::MAX],
    },
    Row {
        name: "softplus",
        apply: math::softplus,
        exact: softplus,
        bound: 2.0,
        fused: worst(0xbfa1_a655, 1.6572),
        unfused: worst(0xbfa1_e259, 1.7212),
        thresholds: &[-104.0, -103.972_08, -87.336_55, -LN_2, LN_2, 1.0, 2.0, 16.635_532],
    },
];
