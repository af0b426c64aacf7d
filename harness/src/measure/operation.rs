//! The operations, on random data and in the layout their backend works in.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use rayon::prelude::*;
use sae_kernels::ops::{Activation, Decode, Encode, Form, Gemm, GradSink, HiddenDelta, Loss, WeightGrad};
use sae_kernels::step::{BatchedStep, Parameters, Penalty, RhoHat, StepConfig, StepReport};
use sae_kernels::{Backend, BackendKind, Isa, Layout, Matrix, math};

use crate::data::{Stream, rng};
use crate::error::Result;

/// The sizes of an operation; of a product, m, k and n.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Samples; the rows of a product's result.
    pub batch: usize,
    /// Input width; the terms of a product's sums.
    pub d_in: usize,
    /// Hidden width; the columns of a product's result.
    pub d_hid: usize,
    /// Models that take a step together, of which each other operation has one.
    pub models: usize,
}

/// What can be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Multiply-adds in registers.
    Peak,
    /// The sigmoid over `batch·d_hid` elements.
    Sigmoid,
    /// G1 with its epilogue.
    Encode,
    /// G2 with its epilogue.
    Decode,
    /// G4, G3 and G5, gradients stored.
    Backward,
    /// A whole training step.
    Step,
    /// A product of row-major matrices.
    Gemm,
}

impl Op {
    /// Every operation.
    pub const ALL: [Self; 7] =
        [Self::Peak, Self::Sigmoid, Self::Encode, Self::Decode, Self::Backward, Self::Step, Self::Gemm];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peak => "peak",
            Self::Sigmoid => "sigmoid",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Backward => "backward",
            Self::Step => "step",
            Self::Gemm => "gemm",
        }
    }

    /// Operations of a call, by convention; what `peak` does, it counts itself.
    pub fn flops(self, sizes: Sizes) -> f64 {
        let Sizes { batch, d_in, d_hid, models } = sizes;
        let (n, d, h) = (batch as f64, d_in as f64, d_hid as f64);
        match self {
            Self::Peak => f64::NAN,
            Self::Sigmoid => n * h,
            Self::Encode | Self::Decode | Self::Gemm => 2.0 * n * d * h,
            Self::Backward => 6.0 * n * d * h,
            Self::Step => 10.0 * n * d * h * models as f64,
        }
    }

    /// Bytes of the operands, counted generously.
    pub fn bytes(self, sizes: Sizes) -> u128 {
        let (n, d, h) = (sizes.batch as u128, sizes.d_in as u128, sizes.d_hid as u128);
        let elements = match self {
            Self::Peak => 0,
            Self::Sigmoid => 2 * n * h,
            Self::Encode | Self::Gemm => n * d + d * h + n * h,
            Self::Decode => 2 * n * d + d * h + n * h,
            Self::Backward => 2 * n * d + 3 * d * h + 2 * n * h,
            Self::Step => n * d + sizes.models as u128 * (2 * n * d + 9 * d * h + 2 * n * h),
        };
        elements.saturating_mul(size_of::<f32>() as u128)
    }

    /// The operation with its operands.
    ///
    /// # Errors
    /// Those of layouts that do not fit in an address.
    pub fn build(self, sizes: Sizes, backend: Box<dyn Backend>) -> Result<Operation> {
        let Sizes { batch: n, d_in: d, d_hid: h, .. } = sizes;
        let mut random = Random { rng: rng(0, Stream::Noise), panel: backend.panel() };
        let isa = if matches!(self, Self::Peak | Self::Sigmoid) { Isa::detect()? } else { backend.isa() };
        let work = match self {
            Self::Peak => Work::Peak,
            Self::Sigmoid => Work::Sigmoid { x: random.values(n * h, -4.0, 4.0), out: vec![0.0; n * h] },
            Self::Encode => Work::Encode {
                x: random.matrix(n, d, 0.0, 1.0)?,
                w: random.weights(d, h, d)?,
                bias: random.values(h, -0.1, 0.1),
                h: random.matrix(n, h, 0.0, 0.0)?,
                sums: vec![0.0; h],
            },
            Self::Decode => Work::Decode {
                h: random.matrix(n, h, 0.0, 1.0)?,
                w: random.weights(h, d, h)?,
                bias: random.values(d, -0.1, 0.1),
                target: random.matrix(n, d, 0.0, 1.0)?,
                delta: random.matrix(n, d, 0.0, 0.0)?,
                grad: vec![0.0; d],
            },
            Self::Backward => Work::Backward(Box::new(Backward {
                x: random.matrix(n, d, 0.0, 1.0)?,
                h: random.matrix(n, h, 0.0, 1.0)?,
                w_dec_t: random.weights(d, h, h)?,
                delta_out: random.matrix(n, d, -1.0, 1.0)?,
                row_term: random.values(h, -0.1, 0.1),
                delta_hid: random.matrix(n, h, 0.0, 0.0)?,
                b_enc_grad: vec![0.0; h],
                w_enc_grad: random.matrix(d, h, 0.0, 0.0)?,
                w_dec_grad: random.matrix(h, d, 0.0, 0.0)?,
            })),
            Self::Step => Work::Step(Box::new(TimedStep::new(sizes, backend.as_ref())?)),
            Self::Gemm => Work::Gemm {
                a: random.row_major(n, d)?,
                b: random.row_major(d, h)?,
                c: Matrix::zeros(Layout::row_major(n, h))?,
            },
        };
        Ok(Operation { isa, backend, work })
    }
}

/// An operation, ready to be called again and again.
pub struct Operation {
    isa: Isa,
    backend: Box<dyn Backend>,
    work: Work,
}

enum Work {
    Peak,
    Sigmoid { x: Vec<f32>, out: Vec<f32> },
    Encode { x: Matrix, w: Matrix, bias: Vec<f32>, h: Matrix, sums: Vec<f32> },
    Decode { h: Matrix, w: Matrix, bias: Vec<f32>, target: Matrix, delta: Matrix, grad: Vec<f32> },
    Backward(Box<Backward>),
    Step(Box<TimedStep>),
    Gemm { a: Matrix, b: Matrix, c: Matrix },
}

struct Backward {
    x: Matrix,
    h: Matrix,
    w_dec_t: Matrix,
    delta_out: Matrix,
    row_term: Vec<f32>,
    delta_hid: Matrix,
    b_enc_grad: Vec<f32>,
    w_enc_grad: Matrix,
    w_dec_grad: Matrix,
}

impl Operation {
    /// The instruction set it runs on.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// One call; the operations it did where only it can tell.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn run(&mut self) -> Result<Option<f64>> {
        let backend = &mut *self.backend;
        match &mut self.work {
            Work::Peak => {
                /// About a millisecond: the start of threads does not count against it.
                const ROUNDS: usize = 1 << 16;
                let done = rayon::broadcast(|_| sae_kernels::fma_loop(self.isa, ROUNDS));
                return Ok(Some(done.into_iter().sum::<Result<f64, sae_kernels::Error>>()?));
            }
            Work::Sigmoid { x, out } => {
                let isa = self.isa;
                let part = x.len().div_ceil(rayon::current_num_threads()).max(4096);
                x.par_chunks(part).zip(out.par_chunks_mut(part)).try_for_each(|(x, out)| math::sigmoid(isa, x, out))?;
            }
            Work::Encode { x, w, bias, h, sums } => backend.encode(Encode {
                threshold: None,
                x: x.view(),
                w: w.view(),
                bias,
                activation: Activation::Sigmoid,
                h: h.view_mut(),
                col_sums: Some(sums),
            })?,
            Work::Decode { h, w, bias, target, delta, grad } => backend.decode(Decode {
                h: h.view(),
                w: w.view(),
                bias,
                activation: Activation::Sigmoid,
                target: target.view(),
                loss: Loss::Squared,
                scale: 1.0 / target.layout().rows() as f32,
                delta: delta.view_mut(),
                bias_grad: Some(grad),
                x_hat: None,
                loss_sum: &mut [0.0],
            })?,
            Work::Backward(work) => work.run(backend)?,
            Work::Step(step) => step.run(backend)?,
            Work::Gemm { a, b, c } => {
                backend.gemm(Gemm { form: Form::Nn, a: a.view(), b: b.view(), c: c.view_mut(), accumulate: false })?
            }
        }
        Ok(None)
    }
}

impl Backward {
    fn run(&mut self, backend: &mut dyn Backend) -> Result {
        backend.hidden_delta(HiddenDelta {
            support: false,
            gate: None,
            delta_out: self.delta_out.view(),
            w_t: self.w_dec_t.view(),
            h: self.h.view(),
            activation: Activation::Sigmoid,
            row_term: Some(&self.row_term),
            l1: None,
            delta_hid: self.delta_hid.view_mut(),
            bias_grad: Some(&mut self.b_enc_grad),
        })?;
        let sink = GradSink::Store(self.w_dec_grad.view_mut());
        backend.weight_grad(WeightGrad { a: self.h.view(), delta: self.delta_out.view(), sink })?;
        let sink = GradSink::Store(self.w_enc_grad.view_mut());
        backend.weight_grad(WeightGrad { a: self.x.view(), delta: self.delta_hid.view(), sink })?;
        Ok(())
    }
}

/// Models with random weights, and a batch that all see: sigmoids, KL penalty, Adam, in panels of the backend's width.
pub struct TimedStep {
    /// The models: all in one, in a backend that has batched products; elsewhere one in each.
    steps: Vec<BatchedStep>,
    x: Matrix,
    lr: Vec<f32>,
    reports: Vec<StepReport>,
}

impl TimedStep {
    /// As many models as the sizes say.
    ///
    /// # Errors
    /// Those of layouts that do not fit in an address.
    pub fn new(sizes: Sizes, backend: &dyn Backend) -> Result<Self> {
        let Sizes { batch, d_in, d_hid, models } = sizes;
        let panel = backend.panel();
        let mut random = Random { rng: rng(0, Stream::Noise), panel };
        let penalty = Penalty::Kl { rho: 0.05, beta: 3.0, average: RhoHat::Batch };
        let cfg = StepConfig { penalty, weight_decay: 1e-4, ..StepConfig::new() };
        let together = if backend.kind() == BackendKind::Fused { models } else { 1 };
        let cfgs = vec![cfg; together];
        let mut steps = Vec::new();
        let limit = (6.0 / (d_in + d_hid) as f32).sqrt();
        for _ in 0..models / together {
            let mut step = BatchedStep::new(d_in, d_hid, batch, panel, &cfgs)?;
            step.report_weight_decay = false;
            for model in 0..together {
                let weights = Parameters {
                    w_enc: random.values(d_in * d_hid, -limit, limit),
                    w_dec: random.values(d_in * d_hid, -limit, limit),
                    ..Parameters::zeros(d_in, d_hid)
                };
                step.set_weights(model, &weights)?;
            }
            steps.push(step);
        }
        let x = random.matrix(batch, d_in, 0.0, 1.0)?;
        Ok(Self { steps, x, lr: vec![1e-4; together], reports: vec![StepReport::default(); together] })
    }

    /// The batch, and the first model's weights, row-major.
    pub fn start(&self) -> (Vec<f32>, Parameters) {
        (self.x.to_row_major(), self.steps[0].weights(0))
    }

    /// The first model's configuration, and its learning rate.
    pub fn config(&self) -> (&StepConfig, f32) {
        (&self.steps[0].configs()[0], self.lr[0])
    }

    /// What the last step of the first model reported.
    pub fn report(&self) -> &StepReport {
        &self.reports[0]
    }

    /// A step of every model.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn run(&mut self, backend: &mut dyn Backend) -> Result {
        for step in &mut self.steps {
            step.train_step(backend, self.x.view(), &self.lr, &mut self.reports)?;
        }
        Ok(())
    }
}

/// Random operands.
struct Random {
    rng: ChaCha8Rng,
    panel: Option<usize>,
}

impl Random {
    /// Uniform numbers in [low, high).
    fn values(&mut self, len: usize, low: f32, high: f32) -> Vec<f32> {
        let unit = |bits: u32| (bits >> 8) as f32 / (1u32 << 24) as f32;
        (0..len).map(|_| low + (high - low) * unit(self.rng.next_u32())).collect()
    }

    /// In the backend's layout; zeros where the interval is empty.
    fn matrix(&mut self, rows: usize, cols: usize, low: f32, high: f32) -> Result<Matrix> {
        let mut matrix = Matrix::zeros(match self.panel {
            Some(panel) => Layout::panel_major(rows, cols, panel)?,
            None => Layout::row_major(rows, cols),
        })?;
        if low < high {
            for r in 0..rows {
                matrix.row_from(0, r, &self.values(cols, low, high));
            }
        }
        Ok(matrix)
    }

    /// Of a size that keeps sigmoids of sums over `k` terms away from their ends.
    fn weights(&mut self, rows: usize, cols: usize, k: usize) -> Result<Matrix> {
        let limit = (3.0 / k as f32).sqrt();
        self.matrix(rows, cols, -limit, limit)
    }

    fn row_major(&mut self, rows: usize, cols: usize) -> Result<Matrix> {
        Ok(Matrix::from_row_major(&self.values(rows * cols, -1.0, 1.0), Layout::row_major(rows, cols))?)
    }
}

#[cfg(test)]
mod tests {
    use sae_kernels::backend;

    use super::*;

    #[test]
    fn every_operation_runs_on_every_backend() {
        let sizes = Sizes { batch: 5, d_in: 19, d_hid: 7, models: 2 };
        for op in Op::ALL {
            for kind in BackendKind::ALL.into_iter().filter(|kind| kind.is_built()) {
                let mut operation = op.build(sizes, backend(kind).unwrap()).unwrap();
                for _ in 0..2 {
                    let counted = operation.run().unwrap();
                    assert_eq!(counted.is_some(), op == Op::Peak, "{} {kind}", op.name());
                }
            }
        }
    }

    #[test]
    fn operands_are_random_and_outputs_are_written() {
        let sizes = Sizes { batch: 5, d_in: 19, d_hid: 7, models: 1 };
        let mut operation = Op::Gemm.build(sizes, backend(BackendKind::Fused).unwrap()).unwrap();
        operation.run().unwrap();
        let Work::Gemm { a, b, c } = &operation.work else { panic!("built as gemm") };
        assert!(a.to_row_major().windows(2).all(|pair| pair[0] != pair[1]));
        let expected: f64 = (0..19).map(|k| f64::from(a.view().at(0, 0, k)) * f64::from(b.view().at(0, k, 0))).sum();
        // A chain of 19 multiply-adds of numbers below 1: 19 roundings of at most 2⁻²⁴·19 each.
        assert!((f64::from(c.view().at(0, 0, 0)) - expected).abs() <= 19.0 * 19.0 * 2f64.powi(-24));
    }

    #[test]
    fn operations_are_counted_by_their_products() {
        let sizes = Sizes { batch: 2, d_in: 3, d_hid: 5, models: 1 };
        let counts = Op::ALL[1..].iter().map(|op| op.flops(sizes)).collect::<Vec<_>>();
        assert_eq!(counts, [10.0, 60.0, 60.0, 180.0, 300.0, 60.0]);
        assert_eq!(Op::Step.flops(Sizes { models: 4, ..sizes }), 1200.0);
    }
}
