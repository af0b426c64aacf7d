//! Rungs 8 to 12: the library.

use rayon::prelude::*;
use sae_kernels::ops::{Activation, Encode, Form, Gemm};
use sae_kernels::step::{Parameters, Penalty, RhoHat, Step, StepConfig};
use sae_kernels::{Backend, Fused, Isa, Layout, MatMut, MatRef, Matrix, math};

use super::{Problem, Run};

const FITS: &str = "the operands have one shape";

fn fused() -> Fused {
    Fused::new().expect("SAE_KERNELS_ISA is unset or names an instruction set of this machine")
}

/// The product of row-major slices, and what follows it.
struct RowMajor<'a> {
    problem: &'a Problem,
    fused: Fused,
    c: Vec<f32>,
    sums: Vec<f32>,
    /// Whether bias, sigmoid and column sums follow.
    passes: bool,
}

/// 8. The library's product of a caller's slices.
pub(super) fn gemm(problem: &Problem) -> Box<dyn Run + '_> {
    row_major(problem, false)
}

/// 10. The product, then a pass over its rows for the bias and the sigmoid, vectorised, and one for the sums of its columns.
pub(super) fn passes(problem: &Problem) -> Box<dyn Run + '_> {
    row_major(problem, true)
}

fn row_major(problem: &Problem, passes: bool) -> Box<dyn Run + '_> {
    let c = vec![f32::NAN; problem.m * problem.n];
    Box::new(RowMajor { problem, fused: fused(), c, sums: vec![0.0; problem.n], passes })
}

impl Run for RowMajor<'_> {
    fn run(&mut self) {
        let Problem { m, k, n, a, b, bias } = self.problem;
        let a = MatRef::row_major(a, *m, *k).expect(FITS);
        let b = MatRef::row_major(b, *k, *n).expect(FITS);
        let c = MatMut::row_major(&mut self.c, *m, *n).expect(FITS);
        self.fused.gemm(Gemm { form: Form::Nn, a, b, c, accumulate: false }).expect(FITS);
        if self.passes {
            activate(self.fused.isa(), bias, &mut self.c);
            self.sums.fill(0.0);
            for row in self.c.chunks(*n) {
                self.sums.iter_mut().zip(row).for_each(|(sum, y)| *sum += y);
            }
        }
    }

    fn result(&self) -> Vec<f32> {
        self.c.clone()
    }
}

/// `c = sigmoid(c + bias)`, some rows a thread.
fn activate(isa: Isa, bias: &[f32], c: &mut [f32]) {
    let rows = (c.len() / bias.len()).div_ceil(rayon::current_num_threads());
    c.par_chunks_mut(rows * bias.len()).for_each(|rows| {
        let mut z = vec![0.0; bias.len()];
        for row in rows.chunks_mut(bias.len()) {
            z.iter_mut().zip(row.iter().zip(bias)).for_each(|(z, (c, bias))| *z = c + bias);
            math::sigmoid(isa, &z, row).expect("slices of one length, an instruction set that was found");
        }
    });
}

/// Operands in panels, as a step keeps them.
struct PanelMajor<'a> {
    problem: &'a Problem,
    fused: Fused,
    a: Matrix,
    b: Matrix,
    c: Matrix,
    sums: Vec<f32>,
    /// Whether bias, sigmoid and column sums are in the tile.
    encode: bool,
}

/// 9. The product of operands that are in panels.
pub(super) fn panel_major(problem: &Problem) -> Box<dyn Run + '_> {
    in_panels(problem, false)
}

/// 11. The same with bias, sigmoid and column sums in the tile, before it is stored.
pub(super) fn encode(problem: &Problem) -> Box<dyn Run + '_> {
    in_panels(problem, true)
}

fn in_panels(problem: &Problem, encode: bool) -> Box<dyn Run + '_> {
    let fused = fused();
    let Problem { m, k, n, ref a, ref b, .. } = *problem;
    let panel = fused.panel().expect("the fused kernels have panels");
    let layout = |rows, cols| Layout::panel_major(rows, cols, panel).expect("the shape fits in memory");
    Box::new(PanelMajor {
        problem,
        a: Matrix::from_row_major(a, layout(m, k)).expect(FITS),
        b: Matrix::from_row_major(b, layout(k, n)).expect(FITS),
        c: Matrix::zeros(layout(m, n)).expect("the shape fits in memory"),
        sums: vec![0.0; n],
        fused,
        encode,
    })
}

impl Run for PanelMajor<'_> {
    fn run(&mut self) {
        let (a, b, c) = (self.a.view(), self.b.view(), self.c.view_mut());
        if self.encode {
            let (bias, sums) = (&self.problem.bias, Some(&mut self.sums[..]));
            let op =
                Encode { x: a, w: b, bias, activation: Activation::Sigmoid, threshold: None, h: c, col_sums: sums };
            self.fused.encode(op).expect(FITS);
        } else {
            self.fused.gemm(Gemm { form: Form::Nn, a, b, c, accumulate: false }).expect(FITS);
        }
    }

    fn result(&self) -> Vec<f32> {
        self.c.to_row_major()
    }
}

struct Training {
    step: Step,
    fused: Fused,
    x: Matrix,
    loss: f64,
}

/// 12. A training step on a as a batch, with b as the encoder's weights and its transpose as the decoder's: encode, decode,
///     the errors of both layers, and Adam on all weights.
pub(super) fn step(problem: &Problem) -> Box<dyn Run + '_> {
    let Problem { m, k, n, ref a, ref b, ref bias } = *problem;
    let fused = fused();
    let mut weights = Parameters::zeros(k, n);
    weights.w_enc.copy_from_slice(b);
    weights.b_enc.copy_from_slice(bias);
    for (i, w) in weights.w_dec.iter_mut().enumerate() {
        *w = b[i % k * n + i / k];
    }
    let penalty = Penalty::Kl { rho: 0.05, beta: 3.0, average: RhoHat::Batch };
    let mut step = Step::new(k, n, m, fused.panel(), StepConfig { penalty, ..StepConfig::new() }).expect(FITS);
    step.set_weights(&weights).expect(FITS);
    let layout = match fused.panel() {
        Some(panel) => Layout::panel_major(m, k, panel).expect("the shape fits in memory"),
        None => Layout::row_major(m, k),
    };
    Box::new(Training { step, fused, x: Matrix::from_row_major(a, layout).expect(FITS), loss: f64::NAN })
}

impl Run for Training {
    fn run(&mut self) {
        self.loss = self.step.train_step(&mut self.fused, self.x.view(), 1e-6).expect(FITS).loss;
    }

    fn result(&self) -> Vec<f32> {
        vec![self.loss as f32]
    }
}
