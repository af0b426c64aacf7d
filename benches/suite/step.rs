//! The whole training step: sigmoids, squared error, KL penalty, Adam; `10·n·d_in·d_hid` floating point operations.

use criterion::{BenchmarkId, Criterion};
use sae_kernels::step::{Parameters, Penalty, RhoHat, Step, StepConfig};

use crate::lines::{Line, flops_group, line};
use crate::operands::Source;
use crate::shape::SHAPES;

pub(crate) fn bench(criterion: &mut Criterion) {
    let cfg = StepConfig { penalty: Penalty::Kl { rho: 0.05, beta: 3.0, average: RhoHat::Batch }, ..StepConfig::new() };
    let mut group = flops_group(criterion, "step");
    for (i, shape) in SHAPES.into_iter().enumerate() {
        let (n, d_in, d_hid) = (shape.n, shape.d_in, shape.d_hid);
        for who in Line::all(false, i == 0) {
            let start = || {
                let (backend, panel) = who.start();
                let mut source = Source::new(panel);
                let weights = Parameters {
                    w_enc: source.weights(d_in, d_hid).to_row_major(),
                    w_dec: source.weights(d_hid, d_in).to_row_major(),
                    ..Parameters::zeros(d_in, d_hid)
                };
                let mut step = Step::new(d_in, d_hid, n, panel, cfg).expect("a valid configuration");
                step.set_weights(&weights).expect("weights of this shape");
                (backend, step, source.matrix(n, d_in, 0.0, 1.0))
            };
            line(&mut group, BenchmarkId::new(who.name, shape), 5 * shape.flops(), start, |(backend, step, x)| {
                step.train_step(backend.as_mut(), x.view(), 1e-4).expect("a batch of this shape");
            });
        }
    }
    group.finish();
}
