//! The gradient of the step is the derivative of its objective: in f64 to a relative 10⁻¹⁰, over random configurations
//! of shape, activations, loss, penalty and convention, half of them with tied weights, selections, dropout, corrupted inputs
//! and decoupled decay besides, for every parameter.

mod dual;
mod objective;
mod single;

use sae_kernels::step::{Input, Step};
use sae_kernels::{Layout, MatRef, Naive};

use crate::soak::{Soak, mix};
use crate::support::share;
use objective::{Example, Noise};

/// The relative error allowed.
const RELATIVE: f64 = 1e-10;
/// Where the terms of a derivative cancel, what is left has the roundings of all of them: a few hundred operations, each
/// with 2⁻⁵³ of its size.
const OF_SIZE: f64 = 300.0 / (1u64 << 53) as f64;

/// What an example's gradients were like.
#[derive(Default)]
struct Found {
    /// The largest error relative to the derivative, of those that are within [`RELATIVE`].
    relative: f64,
    /// The largest error relative to the size of the derivative's terms.
    of_size: f64,
    /// Elements within [`RELATIVE`], and others: zeros, and such whose terms cancel.
    counts: [usize; 2],
}

impl Found {
    fn and(self, other: Self) -> Self {
        let [a, b] = [self.counts, other.counts];
        Self {
            relative: self.relative.max(other.relative),
            of_size: self.of_size.max(other.of_size),
            counts: [a[0] + b[0], a[1] + b[1]],
        }
    }
}

/// The gradients of an example against the derivatives.
fn check(seed: u64) -> Result<Found, String> {
    let example = if seed.is_multiple_of(2) { Example::random(seed) } else { Example::whole(seed) };
    let Example { d_in, d_hid, n, .. } = example;
    let panel = [None, Some(1), Some(3)][seed as usize % 3];
    let mut step = Step::new(d_in, d_hid, 2 * n, panel, example.cfg).unwrap();
    step.set_weights(&example.weights).unwrap();
    let view = |x| MatRef::new(x, Layout::row_major(n, d_in)).unwrap();
    if let Some(earlier) = &example.earlier {
        step.train_step(&mut Naive, view(earlier), 0.0).unwrap();
    }
    let input = match &example.noise {
        Noise::None => Input::Clean(view(&example.x)),
        Noise::Corrupted(x) => Input::Corrupted { x: view(x), target: view(&example.x) },
        Noise::Paired(both, gamma) => {
            Input::Paired { both: MatRef::row_major(both, 2 * n, d_in).unwrap(), gamma: *gamma }
        }
    };
    let loss = step.objective(&mut Naive, input).unwrap().loss;
    let found = step.gradients(&mut Naive, input).unwrap();
    let mut all = Found::default();
    for (t, (name, found)) in found.tensors().into_iter().enumerate() {
        for (i, &found) in found.iter().enumerate() {
            let exact = example.objective(t, i);
            let error = (found - exact.derivative).abs();
            let relative = error / exact.derivative.abs();
            let cancels = relative > RELATIVE || exact.derivative == 0.0;
            all.counts[usize::from(cancels)] += 1;
            if exact.size > 0.0 {
                all.of_size = all.of_size.max(error / exact.size);
            }
            if !cancels {
                all.relative = all.relative.max(relative);
            } else if error.is_nan() || error > OF_SIZE * exact.size {
                let what = format!("{name}[{i}]: {found:e}, not {:e} (size {:e})", exact.derivative, exact.size);
                return Err(format!("seed {seed}: {what}: {:?}", example.cfg));
            }
            let off = (loss - exact.value).abs();
            if off.is_nan() || off > 1e-12 * (1.0 + exact.value.abs()) {
                return Err(format!("seed {seed}: objective {loss:e}, not {:e}: {:?}", exact.value, example.cfg));
            }
        }
    }
    Ok(all)
}

#[test]
fn gradients_of_ten_thousand_random_configurations_are_the_derivatives() {
    let all = (0..10_000 / share() as u64).fold(Found::default(), |all, case| all.and(check(mix(0, case)).unwrap()));
    assert!(all.relative <= RELATIVE);
    // Exact zeros behind a ReLU, and the rare cancellation, are few beside what is compared to ten digits.
    assert!(all.counts[0] > 4 * all.counts[1], "{:?}", all.counts);
}

/// A part of `make soak`.
#[test]
#[ignore = "runs for SOAK_SECONDS"]
fn soak() {
    let (mut soak, mut all) = (Soak::start(), Found::default());
    while soak.goes_on() && soak.cases < 500_000 {
        let number = soak.cases;
        match check(mix(soak.seed, number)) {
            Ok(found) => all = all.and(found),
            Err(wrong) => soak.fault(&format!("case {number}: {wrong}")),
        }
        soak.cases += 1;
    }
    // In roundings of the size of a derivative's terms, of which 300 are allowed where they cancel.
    let roundings = all.of_size * (1u64 << 53) as f64;
    soak.finish(&format!("largest_relative_error={:.1e} largest_of_terms={roundings:.0}_roundings", all.relative));
}
