//! From samples to what stays of their activations.

use std::ops::Range;

use crate::backend::Backend;
use crate::ops::{Encode, Result, TopK};
use crate::real::Real;
use crate::view::{MatMut, MatRef};

use super::{BatchedStep, Selection, StepConfig};

/// The encoders of all models.
struct Encoder<'a, T> {
    w: MatRef<'a, T>,
    bias: &'a [T],
    /// What all models have in common.
    cfg: &'a StepConfig<T>,
    ks: &'a [usize],
    thresholds: &'a [T],
}

impl<T: Real> Encoder<'_, T> {
    fn run(
        &self,
        backend: &mut dyn Backend<T>,
        x: MatRef<'_, T>,
        mut h: MatMut<'_, T>,
        col_sums: Option<&mut [T]>,
    ) -> Result {
        let (top_k, cuts) = match self.cfg.selection {
            Selection::All => (false, false),
            Selection::TopK { .. } => (true, false),
            Selection::Threshold { .. } => (false, true),
        };
        // The sums are of what stays.
        let (now, then) = if top_k { (None, col_sums) } else { (col_sums, None) };
        backend.encode(Encode {
            x,
            w: self.w,
            bias: self.bias,
            activation: self.cfg.hidden,
            threshold: cuts.then_some(self.thresholds),
            h: h.reborrow(),
            col_sums: now,
        })?;
        if top_k { backend.top_k(TopK { k: self.ks, h, col_sums: then }) } else { Ok(()) }
    }
}

impl<T: Real> BatchedStep<T> {
    /// The features of a batch of any size, by each model: `h [n, d_hid] = f(x·w_enc + b_enc)`, as far as they stay.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape), and those of the backend.
    pub fn encode(&self, backend: &mut dyn Backend<T>, x: MatRef<'_, T>, h: MatMut<'_, T>) -> Result {
        let encoder = Encoder {
            w: self.w_enc(),
            bias: &self.weights.b_enc,
            cfg: &self.cfgs[0],
            ks: &self.ks,
            thresholds: &self.thresholds,
        };
        encoder.run(backend, self.for_each_model(x), h, None)
    }

    /// Fills `rows` of `h` from those of `x`, and the sums of its columns where they are wanted.
    pub(super) fn encode_rows(
        &mut self,
        backend: &mut dyn Backend<T>,
        x: MatRef<'_, T>,
        rows: Range<usize>,
        sums: bool,
    ) -> Result {
        let cfg = &self.cfgs[0];
        let w = if cfg.tied { self.w_dec_t.view() } else { self.weights.w_enc.view() };
        let encoder = Encoder { w, bias: &self.weights.b_enc, cfg, ks: &self.ks, thresholds: &self.thresholds };
        let (x, h) = (x.row_range(rows.clone())?, self.h.view_mut().row_range(rows)?);
        encoder.run(backend, x, h, sums.then_some(&mut self.mean))
    }
}
