//! The four tensors of the model, in the two forms they are kept in.

use crate::error::expect;
use crate::layout::Layout;
use crate::matrix::Matrix;
use crate::ops::Result;
use crate::real::Real;
use crate::view::MatRef;

/// The four tensors of the model, row-major: weights, their gradients, or an optimiser's moments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters<T = f32> {
    /// `[d_in, d_hid]`.
    pub w_enc: Vec<T>,
    /// `[d_hid]`.
    pub b_enc: Vec<T>,
    /// `[d_hid, d_in]`.
    pub w_dec: Vec<T>,
    /// `[d_in]`.
    pub b_dec: Vec<T>,
}

impl<T: Real> Parameters<T> {
    /// All zeros.
    ///
    /// # Panics
    /// As `Vec`: where that is more than an allocation can hold.
    pub fn zeros(d_in: usize, d_hid: usize) -> Self {
        let zeros = |len| vec![T::ZERO; len];
        let weights = d_in.saturating_mul(d_hid);
        Self { w_enc: zeros(weights), b_enc: zeros(d_hid), w_dec: zeros(weights), b_dec: zeros(d_in) }
    }

    /// The tensors by name, in a fixed order.
    pub fn tensors(&self) -> [(&'static str, &[T]); 4] {
        [("w_enc", &self.w_enc), ("b_enc", &self.b_enc), ("w_dec", &self.w_dec), ("b_dec", &self.b_dec)]
    }

    /// As [`Parameters::tensors`], to write.
    pub fn tensors_mut(&mut self) -> [(&'static str, &mut [T]); 4] {
        [("w_enc", &mut self.w_enc), ("b_enc", &mut self.b_enc), ("w_dec", &mut self.w_dec), ("b_dec", &mut self.b_dec)]
    }
}

/// The same four tensors of every model, in the layout the backend works in: a batch of matrices each, and a slice with
/// model after model.
#[derive(Clone, Debug)]
pub(super) struct Tensors<T: Real> {
    pub(super) w_enc: Matrix<T>,
    pub(super) b_enc: Vec<T>,
    pub(super) w_dec: Matrix<T>,
    pub(super) b_dec: Vec<T>,
}

impl<T: Real> Tensors<T> {
    pub(super) fn zeros(models: usize, d_in: usize, d_hid: usize, panel: Option<usize>) -> Result<Self> {
        Ok(Self {
            w_enc: matrices(models, d_in, d_hid, panel)?,
            b_enc: vec![T::ZERO; models * d_hid],
            w_dec: matrices(models, d_hid, d_in, panel)?,
            b_dec: vec![T::ZERO; models * d_in],
        })
    }

    /// `(d_in, d_hid)`.
    pub(super) fn widths(&self) -> (usize, usize) {
        let layout = self.w_enc.layout();
        (layout.rows(), layout.cols())
    }

    /// Whether `from` has the shapes of a model.
    pub(super) fn check(&self, from: &Parameters<T>) -> Result {
        let (d_in, d_hid) = self.widths();
        expect("w_enc", "length", from.w_enc.len(), d_in * d_hid, "d_in x d_hid")?;
        expect("b_enc", "length", from.b_enc.len(), d_hid, "d_hid")?;
        expect("w_dec", "length", from.w_dec.len(), d_hid * d_in, "d_hid x d_in")?;
        expect("b_dec", "length", from.b_dec.len(), d_in, "d_in")
    }

    /// Overwrites all of one model, or nothing.
    pub(super) fn copy_from(&mut self, model: usize, from: &Parameters<T>) -> Result {
        self.check(from)?;
        for (matrix, from) in [(&mut self.w_enc, &from.w_enc), (&mut self.w_dec, &from.w_dec)] {
            for (r, row) in from.chunks(matrix.layout().cols()).enumerate() {
                matrix.row_from(model, r, row);
            }
        }
        self.b_enc[model * from.b_enc.len()..][..from.b_enc.len()].copy_from_slice(&from.b_enc);
        self.b_dec[model * from.b_dec.len()..][..from.b_dec.len()].copy_from_slice(&from.b_dec);
        Ok(())
    }

    /// One model.
    pub(super) fn to_parameters(&self, model: usize) -> Parameters<T> {
        let (d_in, d_hid) = self.widths();
        Parameters {
            w_enc: row_major(self.w_enc.view().problem(model)),
            b_enc: self.b_enc[model * d_hid..][..d_hid].to_vec(),
            w_dec: row_major(self.w_dec.view().problem(model)),
            b_dec: self.b_dec[model * d_in..][..d_in].to_vec(),
        }
    }
}

/// Zeroed matrices, one a model, in the layout the backend works in.
pub(super) fn matrices<T: Real>(models: usize, rows: usize, cols: usize, panel: Option<usize>) -> Result<Matrix<T>> {
    let one = match panel {
        Some(panel) => Layout::panel_major(rows, cols, panel)?,
        None => Layout::row_major(rows, cols),
    };
    Matrix::zeros(one.batched_dense(models)?)
}

/// A dense row-major copy.
pub(super) fn row_major<T: Real>(view: MatRef<'_, T>) -> Vec<T> {
    (0..view.rows()).flat_map(|r| (0..view.cols()).map(move |c| view.at(0, r, c))).collect()
}

/// `to [cols, rows] = fromᵀ`, for one model.
pub(super) fn transpose<T: Real>(model: usize, from: &Matrix<T>, to: &mut Matrix<T>) {
    let (from, mut to) = (from.view(), to.view_mut());
    for r in 0..from.rows() {
        for c in 0..from.cols() {
            to.set(model, c, r, from.at(model, r, c));
        }
    }
}
