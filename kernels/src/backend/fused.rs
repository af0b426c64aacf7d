//! The fused backend: own micro-kernels, everything else in the tile.

use super::pass::pass;
use super::{Backend, BackendKind};
use crate::epilogue::{
    DecodeTile, EncodeTile, HiddenTile, StoreTile, Sums, UpdateTile, on_isa, sum_of_squares, top_k, update_slice,
};
use crate::error::Error;
use crate::gemm::raw::Raw;
use crate::gemm::tier::Tier;
use crate::gemm::{Epilogue, Product, Scratch, group};
use crate::isa::Isa;
use crate::layout::Layout;
use crate::matrix::AlignedVec;
use crate::ops::check::Dims;
use crate::ops::{
    Coefficients, Decode, Encode, Form, Gemm, GradSink, HiddenDelta, Hyper, Loss, Result, TopK, UpdateMatrix,
    UpdateVector, WeightGrad, check,
};
use crate::view::{MatMut, MatRef};

/// Products whose bias, activation, loss, gradient or optimiser step happens in the tile, before it is stored.
///
/// Works in panel-major and row-major storage; fastest where every matrix is panel-major with [`Backend::panel`]
/// columns a panel. Runs on the threads of the rayon pool it is called in. Allocates only when a call needs more scratch
/// memory than any before it.
#[derive(Debug)]
pub struct Fused {
    tier: &'static Tier,
    scratch: Scratch,
    sums: Sums,
    loss: Sums,
    /// The numbers of an update, one element a problem.
    by: Vec<Coefficients<f32>>,
    /// A row of activations for each thread.
    rows: AlignedVec<f32>,
}

impl Fused {
    /// On the best instruction set, or the one `SAE_KERNELS_ISA` names.
    ///
    /// # Errors
    /// As [`Isa::detect`].
    pub fn new() -> Result<Self> {
        Self::with_isa(Isa::detect()?)
    }

    /// On a given instruction set.
    ///
    /// # Errors
    /// [`Error::IsaUnavailable`].
    pub fn with_isa(isa: Isa) -> Result<Self> {
        let isa = isa.require()?;
        let tier = Tier::of(isa).expect("the instruction set was just found");
        let (sums, loss) = (Sums::default(), Sums::default());
        Ok(Self { tier, scratch: Scratch::default(), sums, loss, by: Vec::new(), rows: AlignedVec::default() })
    }

    /// The kernels read and write whole panels: a panel-major operand needs panels of a multiple of their width.
    fn fits(&self, operand: &'static str, layout: Layout) -> Result {
        let (found, expected) = (layout.panel(), self.tier.panel);
        if layout.is_row_major() && layout.panel_stride() == found || found % expected == 0 {
            return Ok(());
        }
        Err(Error::Panel { operand, found, expected, isa: self.tier.isa })
    }

    fn fits_update(&self, update: &UpdateMatrix<'_>) -> Result {
        let views =
            [("w", Some(&update.w)), ("w_t", update.w_t.as_ref()), ("m", update.m.as_ref()), ("v", update.v.as_ref())];
        views.into_iter().try_for_each(|(name, view)| view.map_or(Ok(()), |view| self.fits(name, view.layout())))
    }

    fn read(&self, view: MatRef<'_>) -> Raw {
        Raw::read(view).padded_to(self.tier.panel)
    }

    fn write(&self, view: &mut MatMut<'_>) -> Raw {
        Raw::write(view).padded_to(self.tier.panel)
    }

    /// # Safety
    /// As [`Product::run`].
    unsafe fn product(&mut self, form: Form, dims: Dims, a: Raw, b: Raw, start: Option<Raw>, epilogue: &dyn Epilogue) {
        let group = group(self.tier, form, dims);
        let product = Product { tier: self.tier, form, dims, a, b, start, group, epilogue };
        // SAFETY: the caller's.
        unsafe { product.run(&mut self.scratch) }
    }
}

impl Backend for Fused {
    fn kind(&self) -> BackendKind {
        BackendKind::Fused
    }

    fn isa(&self) -> Isa {
        self.tier.isa
    }

    fn panel(&self) -> Option<usize> {
        Some(self.tier.panel)
    }

    fn keeps_threads(&self) -> bool {
        true
    }

    fn gemm(&mut self, mut op: Gemm<'_>) -> Result {
        let dims = check::gemm(&op)?;
        if op.form == Form::Tn {
            self.fits("a", op.a.layout())?;
        }
        self.fits("b", op.b.layout())?;
        self.fits("c", op.c.layout())?;
        let c = self.write(&mut op.c);
        let start = op.accumulate.then_some(c);
        on_isa(self.tier.isa, StoreTile { c }, |epilogue| {
            // SAFETY: the door has checked every shape and panel; `c` is borrowed mutably.
            unsafe { self.product(op.form, dims, self.read(op.a), self.read(op.b), start, epilogue) }
        });
        Ok(())
    }

    fn encode(&mut self, mut op: Encode<'_>) -> Result {
        let dims = check::encode(&op)?;
        self.fits("w", op.w.layout())?;
        self.fits("h", op.h.layout())?;
        let sums = op.col_sums.is_some().then(|| self.sums.partials(dims));
        let h = self.write(&mut op.h);
        let tile = EncodeTile { bias: op.bias, n: dims.n, activation: op.activation, threshold: op.threshold, h, sums };
        on_isa(self.tier.isa, tile, |epilogue| {
            // SAFETY: the door has checked every shape and panel; outputs are borrowed mutably.
            unsafe { self.product(Form::Nn, dims, self.read(op.x), self.read(op.w), None, epilogue) }
        });
        if let Some(out) = op.col_sums {
            self.sums.columns_into(out);
        }
        Ok(())
    }

    fn top_k(&mut self, op: TopK<'_>) -> Result {
        let dims = check::top_k(&op)?;
        top_k(self.tier.isa, op, dims, &mut self.rows, &mut self.sums);
        Ok(())
    }

    fn decode(&mut self, mut op: Decode<'_>) -> Result {
        let dims = check::decode(&op)?;
        self.fits("w", op.w.layout())?;
        self.fits("target", op.target.layout())?;
        self.fits("delta", op.delta.layout())?;
        if let Some(x_hat) = &op.x_hat {
            self.fits("x_hat", x_hat.layout())?;
        }
        let tile = DecodeTile {
            bias: op.bias,
            n: dims.n,
            activation: op.activation,
            loss: op.loss,
            scale: op.scale,
            target: self.read(op.target),
            delta: self.write(&mut op.delta),
            x_hat: op.x_hat.as_mut().map(|x_hat| self.write(x_hat)),
            grad_sums: self.sums.partials(dims),
            loss_sums: self.loss.partials(dims),
        };
        on_isa(self.tier.isa, tile, |epilogue| {
            // SAFETY: the door has checked every shape and panel; outputs are borrowed mutably.
            unsafe { self.product(Form::Nn, dims, self.read(op.h), self.read(op.w), None, epilogue) }
        });
        finish_decode(&self.sums, &self.loss, op.loss, op.bias_grad, op.loss_sum);
        Ok(())
    }

    fn hidden_delta(&mut self, mut op: HiddenDelta<'_>) -> Result {
        let dims = check::hidden_delta(&op)?;
        self.fits("w_t", op.w_t.layout())?;
        self.fits("h", op.h.layout())?;
        self.fits("delta_hid", op.delta_hid.layout())?;
        if let Some(gate) = &op.gate {
            self.fits("gate", gate.layout())?;
        }
        let tile = HiddenTile {
            n: dims.n,
            activation: op.activation,
            h: self.read(op.h),
            support: op.support,
            gate: op.gate.map(|gate| self.read(gate)),
            row_term: op.row_term,
            l1: op.l1,
            delta_hid: self.write(&mut op.delta_hid),
            sums: op.bias_grad.is_some().then(|| self.sums.partials(dims)),
        };
        on_isa(self.tier.isa, tile, |epilogue| {
            // SAFETY: the door has checked every shape and panel; outputs are borrowed mutably.
            unsafe { self.product(Form::Nn, dims, self.read(op.delta_out), self.read(op.w_t), None, epilogue) }
        });
        if let Some(out) = op.bias_grad {
            self.sums.columns_into(out);
        }
        Ok(())
    }

    fn weight_grad(&mut self, op: WeightGrad<'_>) -> Result {
        let dims = check::weight_grad(&op)?;
        self.fits("a", op.a.layout())?;
        self.fits("delta", op.delta.layout())?;
        let (a, b) = (self.read(op.a), self.read(op.delta));
        match op.sink {
            GradSink::Store(mut grad) => {
                self.fits("grad", grad.layout())?;
                on_isa(self.tier.isa, StoreTile { c: self.write(&mut grad) }, |epilogue| {
                    // SAFETY: the door has checked every shape and panel; `grad` is borrowed mutably.
                    unsafe { self.product(Form::Tn, dims, a, b, None, epilogue) }
                });
            }
            GradSink::Update(mut update) => {
                self.fits_update(&update)?;
                let by = fill(std::mem::take(&mut self.by), update.hyper);
                let group = group(self.tier, Form::Tn, dims);
                let tile = update_tile(&mut update, &by, dims, group, self.tier.panel);
                on_isa(self.tier.isa, tile, |epilogue| {
                    // SAFETY: the door has checked every shape and panel; outputs are borrowed mutably.
                    unsafe { self.product(Form::Tn, dims, a, b, None, epilogue) }
                });
                self.by = by;
            }
        }
        Ok(())
    }

    fn update_matrix(&mut self, grad: MatRef<'_>, mut update: UpdateMatrix<'_>) -> Result {
        let dims = check::update_matrix(&grad, &update)?;
        self.fits("grad", grad.layout())?;
        self.fits_update(&update)?;
        let by = fill(std::mem::take(&mut self.by), update.hyper);
        let (z, panel) = (self.read(grad), self.tier.panel);
        on_isa(self.tier.isa, update_tile(&mut update, &by, dims, panel, panel), |epilogue| {
            // SAFETY: the door has checked every shape and panel; outputs are borrowed mutably.
            unsafe { pass(dims, z, [panel, panel], epilogue) }
        });
        self.by = by;
        Ok(())
    }

    fn update_vector(&mut self, op: UpdateVector<'_>) -> Result {
        let len = check::update_vector(&op)?;
        update_slice(self.tier.isa, op, len);
        Ok(())
    }

    fn sum_of_squares(&mut self, w: MatRef<'_>, sums: &mut [f64]) -> Result {
        check::sum_of_squares(&w, sums)?;
        sum_of_squares(self.tier.isa, w, &mut self.sums, sums);
        Ok(())
    }
}

/// The numbers of every problem's update, in memory that stays.
pub(super) fn fill(mut by: Vec<Coefficients<f32>>, hypers: &[Hyper]) -> Vec<Coefficients<f32>> {
    by.clear();
    by.extend(hypers.iter().map(Hyper::coefficients));
    by
}

/// The epilogue of an update whose operands passed the door, on tiles of panels that are `panel` wide.
pub(super) fn update_tile<'a>(
    update: &mut UpdateMatrix<'_>,
    by: &'a [Coefficients<f32>],
    dims: Dims,
    group: usize,
    panel: usize,
) -> UpdateTile<'a> {
    let rules = || update.hyper.iter().map(|hyper| hyper.rule);
    let (keeps_m, keeps_v) = (rules().any(|rule| rule.keeps_m()), rules().any(|rule| rule.keeps_v()));
    let raw = |view: &mut MatMut<'_>| Raw::write(view).padded_to(panel);
    UpdateTile {
        by,
        m: dims.m,
        group,
        w: raw(&mut update.w),
        w_t: update.w_t.as_mut().map(raw),
        first: update.m.as_mut().filter(|_| keeps_m).map(raw),
        second: update.v.as_mut().filter(|_| keeps_v).map(raw),
    }
}

/// Sums up what the tiles of a decode left.
pub(super) fn finish_decode(
    grads: &Sums,
    losses: &Sums,
    loss: Loss,
    bias_grad: Option<&mut [f32]>,
    loss_sum: &mut [f64],
) {
    if let Some(out) = bias_grad {
        grads.columns_into(out);
    }
    let factor = match loss {
        Loss::Squared => 0.5,
        Loss::Bce => 1.0,
    };
    for (problem, out) in loss_sum.iter_mut().enumerate() {
        *out = factor * losses.total(problem);
    }
}
