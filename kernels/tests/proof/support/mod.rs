//! What every test here is made of: cases, operands in their storage, calls, and bounds on their results.

pub(crate) mod bounds;
mod case;
mod place;
mod run;
pub(crate) mod training;

pub(crate) use bounds::bounds;
pub(crate) use case::{Case, Data, Op, Shared};
pub(crate) use place::{Places, Storage};
pub(crate) use run::{Outputs, run};

use std::process::Command;

use place::Placed;
use sae_kernels::{Backend, Naive};

/// One case in how many the large sweeps run: `SAE_TEST_SHARE`, all where it is not set. For emulated processors; a prime
/// number does not fall into step with the lists.
pub(crate) fn share() -> usize {
    std::env::var("SAE_TEST_SHARE").map_or(1, |share| share.parse().expect("SAE_TEST_SHARE is a number, 1 or more"))
}

/// This program, to be started again: by cargo's runner where it is one for another processor.
pub(crate) fn this_again() -> Command {
    let program = std::env::current_exe().expect("this process has a file");
    let of_this = format!("CARGO_TARGET_{}_", std::env::consts::ARCH.to_uppercase());
    let runner = std::env::vars().find(|(name, _)| name.starts_with(&of_this) && name.ends_with("_RUNNER"));
    let Some((_, runner)) = runner else { return Command::new(program) };
    let mut words = runner.split_whitespace();
    let mut command = Command::new(words.next().expect("a runner has a name"));
    command.args(words).arg(program);
    command
}

/// A case with its numbers, the exact results, and how far an f32 backend may be from them.
pub(crate) struct Expected {
    case: Case,
    pub(crate) data: Data,
    exact: Outputs<f64>,
    bounds: Outputs<f64>,
}

impl Expected {
    pub(crate) fn of(case: Case, seed: u64) -> Self {
        let data = Data::random(&case, seed);
        let exact = run::<f64>(&mut Naive, &case, &data, &Places::TIGHT);
        let bounds = bounds(&case, &data);
        Self { case, data, exact, bounds }
    }

    /// Runs the case on a backend. The first element that is too far off, if any.
    pub(crate) fn check(&self, backend: &mut dyn Backend, places: &Places) -> Result<(), String> {
        let found = run(backend, &self.case, &self.data, places);
        let complain = |name: &str, i: usize, found: f64, exact: f64, bound: f64| {
            let (kind, isa, case) = (backend.kind(), backend.isa(), self.case);
            let off = (found - exact).abs();
            let place = format!("{kind} {isa} {name}[{i}]: {found:e}, expected {exact:e}");
            Err(format!("{place}, off by {off:e}, bound {bound:e}\n{case:?}\n{places:?}"))
        };
        assert_eq!(found.tensors.len(), self.bounds.tensors.len(), "every output has a bound");
        let pairs = found.tensors.iter().zip(&self.exact.tensors).zip(&self.bounds.tensors);
        for (((name, found), (exact_name, exact)), (bound_name, bounds)) in pairs {
            assert_eq!((name, name), (exact_name, bound_name));
            assert_eq!((found.len(), found.len()), (exact.len(), bounds.len()), "{name}");
            for (i, ((&found, &exact), &bound)) in found.iter().zip(exact).zip(bounds).enumerate() {
                if !within(f64::from(found), exact, bound) {
                    return complain(name, i, f64::from(found), exact, bound);
                }
            }
        }
        assert_eq!(found.loss.len(), self.bounds.loss.len());
        for (i, ((&found, &exact), &bound)) in
            found.loss.iter().zip(&self.exact.loss).zip(&self.bounds.loss).enumerate()
        {
            if !within(found, exact, bound) {
                return complain("loss", i, found, exact, bound);
            }
        }
        Ok(())
    }
}

/// A NaN is within no bound.
fn within(found: f64, exact: f64, bound: f64) -> bool {
    (found - exact).abs() <= bound
}
