//! The unfused backends: somebody's product, then our epilogue as a pass of its own over the finished matrix.
//!
//! A comparison with the fused backend shows what fusion brings and nothing else: the instructions after the product
//! are the same, on the same numbers. Works on row-major storage; a panel-major operand of a product is copied first (and
//! costs that), one of an epilogue is met in strips that no panel border cuts.

use super::fused::{fill, finish_decode, update_tile};
use super::pass::pass;
use super::product::{Product, Sgemm};
use super::{Backend, BackendKind};
use crate::epilogue::{
    DecodeTile, EncodeTile, HiddenTile, StoreTile, Sums, on_isa, sum_of_squares, top_k, update_slice,
};
use crate::error::Error;
use crate::gemm::raw::Raw;
use crate::gemm::tier::Tier;
use crate::isa::Isa;
use crate::layout::Layout;
use crate::matrix::AlignedVec;
use crate::ops::check::Dims;
use crate::ops::{
    Coefficients, Decode, Encode, Form, Gemm, GradSink, HiddenDelta, REDUCE_ROWS, Result, TopK, UpdateMatrix,
    UpdateVector, WeightGrad, check,
};
use crate::pool;
use crate::view::{MatMut, MatRef};

/// A backend made of somebody's product; [`Product`] shows how.
#[derive(Debug)]
pub struct Unfused<G> {
    product: G,
    tier: &'static Tier,
    sums: Sums,
    loss: Sums,
    /// The numbers of an update, one element a problem.
    by: Vec<Coefficients<f32>>,
    /// Row-major copies of operands in other layouts.
    a: AlignedVec<f32>,
    b: AlignedVec<f32>,
    /// The product, where it cannot be left in the result's own storage.
    z: AlignedVec<f32>,
    /// A row of activations for each thread.
    rows: AlignedVec<f32>,
}

impl<G: Product> Unfused<G> {
    /// With its epilogues on the best instruction set there is.
    ///
    /// # Errors
    /// Those of [`Isa::detect`].
    pub fn new(product: G) -> Result<Self> {
        Self::with_isa(product, Isa::detect()?)
    }

    /// With its epilogues on a given instruction set.
    ///
    /// # Errors
    /// [`Error::IsaUnavailable`].
    pub fn with_isa(product: G, isa: Isa) -> Result<Self> {
        let isa = isa.require()?;
        let tier = Tier::of(isa).expect("the instruction set was just found");
        Ok(Self {
            product,
            tier,
            sums: Sums::default(),
            loss: Sums::default(),
            by: Vec::new(),
            a: AlignedVec::default(),
            b: AlignedVec::default(),
            z: AlignedVec::default(),
            rows: AlignedVec::default(),
        })
    }

    /// Refuses what the product cannot be told.
    fn fits(&self, a: Layout, b: Layout, c: Layout) -> Result {
        let (limit, backend) = (self.product.max_dim(), self.product.kind().name());
        for (operand, layout) in [("a", a), ("b", b), ("c", c)] {
            let found = layout.rows().max(layout.cols()).max(layout.row_stride());
            if found > limit {
                return Err(Error::IndexRange { operand, found, limit, backend });
            }
        }
        Ok(())
    }

    /// The product of `a` and `b`, in `into` where that is row-major, else in scratch. Returns where.
    fn multiply(&mut self, form: Form, dims: Dims, a: MatRef<'_>, b: MatRef<'_>, into: Option<&mut MatMut<'_>>) -> Raw {
        let z = match into {
            Some(c) if c.layout().is_row_major() => Raw::write(c),
            _ => Raw::scratch(&mut self.z, dims),
        };
        let (a, b) = (row_major(&mut self.a, a), row_major(&mut self.b, b));
        self.each(form, dims, a, b, z, false);
        z
    }

    fn each(&mut self, form: Form, dims: Dims, a: Raw, b: Raw, c: Raw, accumulate: bool) {
        let Dims { batch, m, n, k } = dims;
        for problem in 0..batch {
            let c_ptr = c.at(problem, 0, 0);
            if k == 0 {
                for r in 0..if accumulate { 0 } else { m } {
                    // SAFETY: `c` is writable over [m, n].
                    unsafe { std::ptr::write_bytes(c_ptr.add(r * c.row_stride()), 0, n) };
                }
                continue;
            }
            let (a_rows, a_cols) = match form {
                Form::Nn => (m, k),
                Form::Tn => (k, m),
            };
            let (lda, ldb, ldc) = (leading(a, a_cols), leading(b, n), leading(c, n));
            // SAFETY: the door has checked the shapes of the operands, the scratch has that of the result, and each is
            // initialised; `c` is borrowed mutably or scratch, and apart from `a` and `b`.
            let (a, b, c) = unsafe {
                (
                    std::slice::from_raw_parts(a.at(problem, 0, 0), span(a_rows, a_cols, lda)),
                    std::slice::from_raw_parts(b.at(problem, 0, 0), span(k, n, ldb)),
                    std::slice::from_raw_parts_mut(c_ptr, span(m, n, ldc)),
                )
            };
            self.product.sgemm(Sgemm { form, m, n, k, a, lda, b, ldb, accumulate, c, ldc });
        }
    }

    /// The step of an optimiser whose operands passed the door, from a gradient in `z`, whose layout, where it is not
    /// row-major scratch, is `of_z`.
    fn update(&mut self, mut update: UpdateMatrix<'_>, dims: Dims, z: Raw, of_z: Option<Layout>) {
        // Rows of a tile are columns of the transposed weights.
        let rows = self.strip(update.w_t.as_ref().map(MatMut::layout));
        let state = [&update.m, &update.v].into_iter().flatten().map(MatMut::layout);
        let size = [rows, self.strip(state.chain([update.w.layout()]).chain(of_z))];
        let by = fill(std::mem::take(&mut self.by), update.hyper);
        on_isa(self.tier.isa, update_tile(&mut update, &by, dims, rows, self.tier.panel), |epilogue| {
            // SAFETY: the door has checked every shape; no panel of an operand is cut; outputs are borrowed mutably.
            unsafe { pass(dims, z, size, epilogue) }
        });
        self.by = by;
    }

    /// The widest strip, a divisor of the tier's panel, that lies in one panel of each of these.
    fn strip(&self, views: impl IntoIterator<Item = Layout>) -> usize {
        let panels = views.into_iter().filter(|layout| !layout.is_row_major()).map(|layout| layout.panel());
        panels.fold(self.tier.panel, common_divisor)
    }
}

impl Raw {
    /// Row-major scratch for the result of a product.
    fn scratch(buffer: &mut AlignedVec<f32>, dims: Dims) -> Self {
        let layout = Layout::row_major(dims.m, dims.n).batched(dims.batch, dims.m * dims.n);
        let len = dims.batch * dims.m * dims.n;
        if buffer.len() < len {
            *buffer = AlignedVec::zeros(len);
        }
        Self::write(&mut MatMut::new(buffer, layout).expect("the buffer has this length"))
    }
}

/// The stride of rows of `cols` elements: a single row in panels has that of a panel, which is shorter.
fn leading(of: Raw, cols: usize) -> usize {
    of.row_stride().max(cols)
}

/// Elements from the first to the last of a row-major matrix that is not empty.
fn span(rows: usize, cols: usize, stride: usize) -> usize {
    (rows - 1) * stride + cols
}

/// Euclid's algorithm.
fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// The operand itself where it is row-major or has no element, else a copy.
fn row_major(buffer: &mut AlignedVec<f32>, view: MatRef<'_>) -> Raw {
    let layout = view.layout();
    if layout.is_row_major() || layout.is_empty() {
        return Raw::read(view);
    }
    let (batch, rows, cols, panel) = (layout.batch(), layout.rows(), layout.cols(), layout.panel());
    let copy = Raw::scratch(buffer, Dims { batch, m: rows, n: cols, k: 0 });
    let source = Raw::read(view);
    pool::for_each(pool::threads(), batch * rows, &|_, unit| {
        let (b, r) = (unit / rows, unit % rows);
        for c in (0..cols).step_by(panel) {
            // SAFETY: a run of one row's columns, inside both; rows are disjoint.
            unsafe { std::ptr::copy_nonoverlapping(source.at(b, r, c), copy.at(b, r, c), panel.min(cols - c)) };
        }
    });
    copy
}

impl<G: Product> Backend for Unfused<G> {
    fn kind(&self) -> BackendKind {
        self.product.kind()
    }

    fn isa(&self) -> Isa {
        self.tier.isa
    }

    fn panel(&self) -> Option<usize> {
        None
    }

    fn gemm(&mut self, mut op: Gemm<'_>) -> Result {
        let dims = check::gemm(&op)?;
        self.fits(op.a.layout(), op.b.layout(), op.c.layout())?;
        let c = Raw::write(&mut op.c);
        let direct = op.c.layout().is_row_major();
        let z = if direct { c } else { Raw::scratch(&mut self.z, dims) };
        if op.accumulate && !direct && dims.batch > 0 {
            // A row-major copy of what is added to.
            let start = row_major(&mut self.z, op.c.as_ref());
            debug_assert_eq!(start.at(0, 0, 0), z.at(0, 0, 0));
        }
        let (a, b) = (row_major(&mut self.a, op.a), row_major(&mut self.b, op.b));
        self.each(op.form, dims, a, b, z, op.accumulate);
        if !direct {
            let tile = [REDUCE_ROWS, self.strip([op.c.layout()])];
            on_isa(self.tier.isa, StoreTile { c }, |epilogue| {
                // SAFETY: the door has checked both shapes; no panel of `c` is cut; it is borrowed mutably.
                unsafe { pass(dims, z, tile, epilogue) }
            });
        }
        Ok(())
    }

    fn encode(&mut self, mut op: Encode<'_>) -> Result {
        let dims = check::encode(&op)?;
        self.fits(op.x.layout(), op.w.layout(), op.h.layout())?;
        let z = self.multiply(Form::Nn, dims, op.x, op.w, Some(&mut op.h));
        let size = [REDUCE_ROWS, self.strip([op.h.layout()])];
        let sums = op.col_sums.is_some().then(|| self.sums.partials(dims));
        let (threshold, h) = (op.threshold, Raw::write(&mut op.h));
        let tile = EncodeTile { bias: op.bias, n: dims.n, activation: op.activation, threshold, h, sums };
        on_isa(self.tier.isa, tile, |epilogue| {
            // SAFETY: the door has checked every shape; no panel of an operand is cut; outputs are borrowed mutably.
            unsafe { pass(dims, z, size, epilogue) }
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
        self.fits(op.h.layout(), op.w.layout(), op.delta.layout())?;
        let z = self.multiply(Form::Nn, dims, op.h, op.w, Some(&mut op.delta));
        let x_hat = op.x_hat.as_ref().map(MatMut::layout);
        let size = [REDUCE_ROWS, self.strip([op.target.layout(), op.delta.layout()].into_iter().chain(x_hat))];
        let tile = DecodeTile {
            bias: op.bias,
            n: dims.n,
            activation: op.activation,
            loss: op.loss,
            scale: op.scale,
            target: Raw::read(op.target),
            delta: Raw::write(&mut op.delta),
            x_hat: op.x_hat.as_mut().map(Raw::write),
            grad_sums: self.sums.partials(dims),
            loss_sums: self.loss.partials(dims),
        };
        on_isa(self.tier.isa, tile, |epilogue| {
            // SAFETY: the door has checked every shape; no panel of an operand is cut; outputs are borrowed mutably.
            unsafe { pass(dims, z, size, epilogue) }
        });
        finish_decode(&self.sums, &self.loss, op.loss, op.bias_grad, op.loss_sum);
        Ok(())
    }

    fn hidden_delta(&mut self, mut op: HiddenDelta<'_>) -> Result {
        let dims = check::hidden_delta(&op)?;
        self.fits(op.delta_out.layout(), op.w_t.layout(), op.delta_hid.layout())?;
        let z = self.multiply(Form::Nn, dims, op.delta_out, op.w_t, Some(&mut op.delta_hid));
        let gate = op.gate.map(|gate| gate.layout());
        let size = [REDUCE_ROWS, self.strip([op.h.layout(), op.delta_hid.layout()].into_iter().chain(gate))];
        let tile = HiddenTile {
            n: dims.n,
            activation: op.activation,
            h: Raw::read(op.h),
            support: op.support,
            gate: op.gate.map(Raw::read),
            row_term: op.row_term,
            l1: op.l1,
            delta_hid: Raw::write(&mut op.delta_hid),
            sums: op.bias_grad.is_some().then(|| self.sums.partials(dims)),
        };
        on_isa(self.tier.isa, tile, |epilogue| {
            // SAFETY: the door has checked every shape; no panel of an operand is cut; outputs are borrowed mutably.
            unsafe { pass(dims, z, size, epilogue) }
        });
        if let Some(out) = op.bias_grad {
            self.sums.columns_into(out);
        }
        Ok(())
    }

    fn weight_grad(&mut self, op: WeightGrad<'_>) -> Result {
        let dims = check::weight_grad(&op)?;
        self.fits(op.a.layout(), op.delta.layout(), Layout::row_major(dims.m, dims.n))?;
        match op.sink {
            GradSink::Store(grad) => {
                self.gemm(Gemm { form: Form::Tn, a: op.a, b: op.delta, c: grad, accumulate: false })?;
            }
            GradSink::Update(update) => {
                let z = self.multiply(Form::Tn, dims, op.a, op.delta, None);
                self.update(update, dims, z, None);
            }
        }
        Ok(())
    }

    fn update_matrix(&mut self, grad: MatRef<'_>, update: UpdateMatrix<'_>) -> Result {
        let dims = check::update_matrix(&grad, &update)?;
        self.update(update, dims, Raw::read(grad), Some(grad.layout()));
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
