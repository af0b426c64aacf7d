//! Training on all rows at once, by L-BFGS.

use sae_kernels::step::{Parameters, StepReport};
use sae_kernels::{Backend, MatRef, Step};

use super::lbfgs::{Lbfgs, Point};
use crate::config::OptimizerConfig;
use crate::error::Result;

/// A run's optimiser. A step is an iteration: a move of the weights, with as many evaluations of objective and gradient as its line
/// search takes, mostly one.
#[derive(Debug)]
pub(super) struct FullBatch {
    lbfgs: Lbfgs,
    tolerance: f64,
    /// Where the weights are, evaluated already.
    here: Option<Point>,
}

/// What a step came to.
pub(super) struct Iteration {
    /// Of the weights before the move.
    pub(super) report: StepReport,
    /// Whether there was no move to make.
    pub(super) has_converged: bool,
}

impl FullBatch {
    pub(super) fn new(config: &OptimizerConfig) -> Self {
        Self { lbfgs: Lbfgs::new(config.history), tolerance: config.tolerance, here: None }
    }

    /// What is remembered, the oldest first, for a checkpoint: where the weights are is evaluated again.
    pub(super) fn moves(&self) -> Vec<[Vec<f32>; 2]> {
        self.lbfgs.moves()
    }

    /// Goes on with what a checkpoint remembers; whether it is of the parameters of `step`.
    pub(super) fn remember(&mut self, moves: &[[Vec<f32>; 2]], step: &Step) -> bool {
        let parameters = joined(&step.weights(), step.config().tied).len();
        let fits = moves.iter().flatten().all(|vector| vector.len() == parameters);
        if fits {
            self.lbfgs.set_moves(moves);
        }
        fits
    }

    /// Numbers that are held beside the step's own, as multiples of the number of parameters: what is remembered, and two points
    /// with the direction from one to the other, in f64.
    pub(super) fn vectors(config: &OptimizerConfig) -> usize {
        2 * config.history + 2 * 3 + 2
    }

    /// One iteration on the rows `x`, the same in every step.
    ///
    /// # Errors
    /// Those of the backend.
    pub(super) fn step(&mut self, step: &mut Step, backend: &mut dyn Backend, x: MatRef<'_>) -> Result<Iteration> {
        let tied = step.config().tied;
        let mut weights = step.weights();
        let start = joined(&weights, tied);
        let mut evaluate = |position: Vec<f32>| -> Result<Point> {
            spread(&position, tied, &mut weights);
            step.set_weights(&weights)?;
            let (report, gradients) = step.objective_and_gradients(backend, x)?;
            Ok(Point { x: position, gradient: joined(&gradients, tied), report })
        };
        let here = match self.here.take() {
            Some(here) => here,
            None => evaluate(start)?,
        };
        let report = here.report;
        let next = if here.steepness() <= self.tolerance || !report.loss.is_finite() {
            None
        } else {
            self.lbfgs.iterate(&here, &mut evaluate)?
        };
        let has_converged = next.is_none();
        let here = next.unwrap_or(here);
        // The last evaluation may have been elsewhere.
        spread(&here.x, tied, &mut weights);
        step.set_weights(&weights)?;
        self.here = Some(here);
        Ok(Iteration { report, has_converged })
    }
}

/// All tensors in one vector; of tied weights only one matrix.
fn joined(weights: &Parameters, tied: bool) -> Vec<f32> {
    let parts = weights.tensors().into_iter().filter(|(name, _)| !(tied && *name == "w_enc"));
    parts.flat_map(|(_, tensor)| tensor.iter().copied()).collect()
}

/// The reverse of [`joined`].
fn spread(position: &[f32], tied: bool, weights: &mut Parameters) {
    let mut rest = position;
    for (name, tensor) in weights.tensors_mut() {
        if !(tied && name == "w_enc") {
            let (own, others) = rest.split_at(tensor.len());
            tensor.copy_from_slice(own);
            rest = others;
        }
    }
    if tied {
        let Parameters { w_enc, w_dec, b_enc, b_dec } = weights;
        let (d_in, d_hid) = (b_dec.len(), b_enc.len());
        w_enc.iter_mut().enumerate().for_each(|(at, w)| *w = w_dec[at % d_hid * d_in + at / d_hid]);
    }
}

#[cfg(test)]
mod tests {
    use sae_kernels::Naive;
    use sae_kernels::ops::{Activation, Rule};
    use sae_kernels::step::StepConfig;

    use super::*;
    use crate::config::{Config, Init};
    use crate::model::{initial_weights, tie};

    #[test]
    fn vectors_and_weights_are_each_others_reverse() {
        let mut weights = initial_weights(&Init::Xavier, 5, 3, 1).unwrap();
        for tied in [false, true] {
            if tied {
                tie(&mut weights);
            }
            let mut back = Parameters::zeros(5, 3);
            spread(&joined(&weights, tied), tied, &mut back);
            assert_eq!(back, weights);
        }
    }

    /// A linear autoencoder of one unit on points along a line: the optimum is known, no reconstruction error at all.
    #[test]
    fn points_on_a_line_are_reconstructed_by_one_unit() {
        let x: Vec<f32> = (0..20).flat_map(|i| [0.1, -0.2, 0.05].map(|v| v * (i as f32 - 9.5))).collect();
        let x = MatRef::row_major(&x, 20, 3).unwrap();
        for tied in [false, true] {
            let cfg = StepConfig {
                hidden: Activation::Identity,
                output: Activation::Identity,
                tied,
                rule: Rule::Sgd,
                ..StepConfig::new()
            };
            let mut step = Step::new(3, 1, 20, None, cfg).unwrap();
            let mut weights = initial_weights(&Init::Xavier, 3, 1, 1).unwrap();
            if tied {
                tie(&mut weights);
            }
            step.set_weights(&weights).unwrap();
            let config = Config::default().optimizer;
            let mut full = FullBatch::new(&config);
            let mut losses = Vec::new();
            while losses.len() < 100 {
                let Iteration { report, has_converged } = full.step(&mut step, &mut Naive, x).unwrap();
                losses.push(report.loss);
                if has_converged {
                    break;
                }
            }
            assert!(losses.windows(2).all(|w| w[1] <= w[0]), "{losses:?}");
            let last = losses[losses.len() - 1];
            assert!(losses.len() < 60 && last < 1e-7 * losses[0], "tied {tied}: {losses:?}");
            assert_eq!(step.objective(&mut Naive, x).unwrap().loss, last, "the weights are those of the last report");
        }
    }
}
