//! A backend that is timed: where the time of a step goes.

use std::time::Instant;

use sae_kernels::ops::{
    Decode, Encode, Gemm, GradSink, HiddenDelta, Result, TopK, UpdateMatrix, UpdateVector, WeightGrad,
};
use sae_kernels::{Backend, BackendKind, Isa, MatRef};

/// A part of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// G1 with its epilogue.
    Encode,
    /// Between encoder and decoder: mean activations, the penalty and its gradient.
    Penalty,
    /// G2 with its epilogue.
    Decode,
    /// G4 with its epilogue.
    HiddenDelta,
    /// G3 with the update of `w_dec` and of its transposed copy.
    WeightGradDec,
    /// G5 with the update of `w_enc`.
    WeightGradEnc,
    /// The updates of both biases.
    Biases,
    /// What is left: everything between and around the others.
    Other,
}

impl Phase {
    /// Every part, in the order of a step.
    pub const ALL: [Self; 8] = [
        Self::Encode,
        Self::Penalty,
        Self::Decode,
        Self::HiddenDelta,
        Self::WeightGradDec,
        Self::WeightGradEnc,
        Self::Biases,
        Self::Other,
    ];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Penalty => "penalty",
            Self::Decode => "decode",
            Self::HiddenDelta => "hidden_delta",
            Self::WeightGradDec => "weight_grad_dec",
            Self::WeightGradEnc => "weight_grad_enc",
            Self::Biases => "biases",
            Self::Other => "other",
        }
    }
}

/// Seconds of each phase, in the order of [`Phase::ALL`].
pub(crate) type Laps = [f64; Phase::ALL.len()];

/// Hands every operation on and keeps the time. Each moment from [`Timed::begin`] to [`Timed::end`] is in one phase, so
/// the phases add up to the step.
pub(crate) struct Timed {
    inner: Box<dyn Backend>,
    last: Instant,
    laps: Laps,
    /// Calls of each phase's operation.
    calls: [u32; Phase::ALL.len()],
}

impl Timed {
    pub(crate) fn new(inner: Box<dyn Backend>) -> Self {
        Self { inner, last: Instant::now(), laps: [0.0; _], calls: [0; _] }
    }

    /// Starts the clock of a step.
    pub(crate) fn begin(&mut self) {
        self.laps = [0.0; _];
        self.calls = [0; _];
        self.last = Instant::now();
    }

    /// Stops it.
    pub(crate) fn end(&mut self) -> Laps {
        self.lap(Phase::Other);
        self.laps
    }

    /// Puts the time since the last lap into `phase`.
    fn lap(&mut self, phase: Phase) {
        let now = Instant::now();
        self.laps[phase as usize] += (now - self.last).as_secs_f64();
        self.last = now;
    }

    fn time<T>(&mut self, before: Phase, phase: Phase, call: impl FnOnce(&mut dyn Backend) -> T) -> T {
        self.lap(before);
        let result = call(&mut *self.inner);
        self.lap(phase);
        self.calls[phase as usize] += 1;
        result
    }
}

impl Backend for Timed {
    fn kind(&self) -> BackendKind {
        self.inner.kind()
    }

    fn isa(&self) -> Isa {
        self.inner.isa()
    }

    fn panel(&self) -> Option<usize> {
        self.inner.panel()
    }

    fn keeps_threads(&self) -> bool {
        self.inner.keeps_threads()
    }

    fn gemm(&mut self, op: Gemm<'_>) -> Result {
        self.inner.gemm(op)
    }

    fn encode(&mut self, op: Encode<'_>) -> Result {
        self.time(Phase::Other, Phase::Encode, |inner| inner.encode(op))
    }

    fn top_k(&mut self, op: TopK<'_>) -> Result {
        self.time(Phase::Other, Phase::Encode, |inner| inner.top_k(op))
    }

    fn decode(&mut self, op: Decode<'_>) -> Result {
        self.time(Phase::Penalty, Phase::Decode, |inner| inner.decode(op))
    }

    fn hidden_delta(&mut self, op: HiddenDelta<'_>) -> Result {
        self.time(Phase::Other, Phase::HiddenDelta, |inner| inner.hidden_delta(op))
    }

    fn weight_grad(&mut self, op: WeightGrad<'_>) -> Result {
        // Only the decoder's weights have a transposed copy.
        let phase = match &op.sink {
            GradSink::Update(update) if update.w_t.is_some() => Phase::WeightGradDec,
            _ => Phase::WeightGradEnc,
        };
        self.time(Phase::Other, phase, |inner| inner.weight_grad(op))
    }

    fn update_matrix(&mut self, grad: MatRef<'_>, update: UpdateMatrix<'_>) -> Result {
        let phase = if update.w_t.is_some() { Phase::WeightGradDec } else { Phase::WeightGradEnc };
        self.time(Phase::Other, phase, |inner| inner.update_matrix(grad, update))
    }

    fn update_vector(&mut self, op: UpdateVector<'_>) -> Result {
        self.time(Phase::Other, Phase::Biases, |inner| inner.update_vector(op))
    }

    fn sum_of_squares(&mut self, w: MatRef<'_>, sums: &mut [f64]) -> Result {
        self.inner.sum_of_squares(w, sums)
    }
}

#[cfg(test)]
mod tests {
    use sae_kernels::backend;

    use super::*;
    use crate::measure::{Sizes, TimedStep};

    #[test]
    fn each_operation_of_a_step_is_in_one_phase() {
        let mut timed = Timed::new(backend(BackendKind::Fused).unwrap());
        let mut step = TimedStep::new(Sizes { batch: 5, d_in: 19, d_hid: 7, models: 2 }, &timed).unwrap();
        for _ in 0..2 {
            timed.begin();
            step.run(&mut timed).unwrap();
            let laps = timed.end();
            let calls = Phase::ALL.map(|phase| (phase.name(), timed.calls[phase as usize]));
            assert_eq!(
                calls,
                [
                    ("encode", 1),
                    ("penalty", 0),
                    ("decode", 1),
                    ("hidden_delta", 1),
                    ("weight_grad_dec", 1),
                    ("weight_grad_enc", 1),
                    ("biases", 2),
                    ("other", 0),
                ]
            );
            assert!(laps.iter().all(|&seconds| seconds >= 0.0));
        }
    }

    #[test]
    fn phases_are_numbered_as_they_are_listed() {
        for (at, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, at);
        }
    }

    #[test]
    fn the_phases_add_up_to_all_the_time_there_was() {
        let mut timed = Timed::new(backend(BackendKind::Naive).unwrap());
        let mut step = TimedStep::new(Sizes { batch: 5, d_in: 19, d_hid: 7, models: 1 }, &timed).unwrap();
        timed.begin();
        let began = timed.last;
        step.run(&mut timed).unwrap();
        let laps = timed.end();
        let (sum, whole): (f64, f64) = (laps.iter().sum(), (timed.last - began).as_secs_f64());
        // Fewer than 20 intervals, each converted and added with a rounding of at most 2⁻⁵³ of the whole.
        assert!((sum - whole).abs() <= 40.0 * 2f64.powi(-53) * whole, "{sum} {whole}");
    }
}
