//! Many inputs on every instruction set at once.

use rayon::prelude::*;
use sae_kernels::Isa;

use crate::measure::{Worst, error};
use crate::table::Row;

/// Whether multiplication and addition are one rounding on `isa`.
pub(crate) fn fused(isa: Isa) -> bool {
    isa != Isa::Portable || cfg!(any(target_arch = "aarch64", target_feature = "fma"))
}

/// What a sweep has found.
pub(crate) struct Sweep {
    /// The largest error of each instruction set.
    pub(crate) worst: Vec<(Isa, Worst)>,
    /// The first input whose result differs between two fused instruction sets.
    pub(crate) different: Option<u32>,
    /// The first input (of two of one sign, next to each other in the sweep) where the function falls on any.
    pub(crate) turn: Option<u32>,
}

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

fn first(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    a.into_iter().chain(b).min()
}

impl Sweep {
    /// Over ascending bit patterns.
    pub(crate) fn of(row: &Row, bits: &[u32]) -> Self {
        let x: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        let exact: Vec<f64> = x.iter().map(|&x| (row.exact)(f64::from(x))).collect();
        let mut found = Self { worst: Vec::new(), different: None, turn: None };
        let mut reference: Option<Vec<f32>> = None;
        for isa in Isa::available() {
            let mut y = vec![0.0; x.len()];
            (row.apply)(isa, &x, &mut y).unwrap();
            let worst =
                bits.iter().zip(&y).zip(&exact).map(|((&input, &y), &exact)| Worst { input, error: error(y, exact) });
            found.worst.push((isa, worst.fold(Worst::NONE, Worst::worse)));
            // Ascending bits are ascending numbers without the sign, descending ones with it.
            let falls = |i: &usize| {
                let (a, b) = if x[*i].is_sign_negative() { (y[i + 1], y[*i]) } else { (y[*i], y[i + 1]) };
                x[*i].is_sign_negative() == x[i + 1].is_sign_negative() && a > b
            };
            found.turn = first(found.turn, (0..x.len().saturating_sub(1)).find(falls).map(|i| bits[i]));
            if !fused(isa) {
                continue;
            }
            let differs = |r: &Vec<f32>| (0..x.len()).find(|&i| !same(r[i], y[i])).map(|i| bits[i]);
            found.different = first(found.different, reference.as_ref().and_then(differs));
            reference.get_or_insert(y);
        }
        found
    }

    /// Over all inputs, on every core.
    pub(crate) fn all(row: &Row) -> Self {
        const BLOCK: u32 = 1 << 14;
        (0..=u32::MAX / BLOCK)
            .into_par_iter()
            .map(|block| {
                // One more, so that neighbours across blocks are compared too.
                let start = block * BLOCK;
                let bits: Vec<u32> = (start..=start.saturating_add(BLOCK)).collect();
                Self::of(row, &bits)
            })
            .reduce_with(Self::merge)
            .expect("there is at least one block")
    }

    fn merge(mut self, other: Self) -> Self {
        for ((_, a), (_, b)) in self.worst.iter_mut().zip(other.worst) {
            *a = a.worse(b);
        }
        self.different = first(self.different, other.different);
        self.turn = first(self.turn, other.turn);
        self
    }
}
