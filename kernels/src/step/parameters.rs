//! The four tensors of the model, in the two forms they are kept in.

use crate::error::expect;
use crate::layout::Layout;
use crate::matrix::Matrix;
use crate::ops::Result;
use crate::real::Real;

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
    pub fn zeros(d_in: usize, d_hid: usize) -> Self {
        let zeros = |len| vec![T::ZERO; len];
        Self { w_enc: zeros(d_in * d_hid), b_enc: zeros(d_hid), w_dec: zeros(d_hid * d_in), b_dec: zeros(d_in) }
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

/// The same four tensors in the layout the backend works in.
#[derive(Clone, Debug)]
pub(super) struct Tensors<T: Real> {
    pub(super) w_enc: Matrix<T>,
    pub(super) b_enc: Vec<T>,
    pub(super) w_dec: Matrix<T>,
    pub(super) b_dec: Vec<T>,
}

impl<T: Real> Tensors<T> {
    pub(super) fn zeros(d_in: usize, d_hid: usize, panel: Option<usize>) -> Result<Self> {
        Ok(Self {
            w_enc: matrix(d_in, d_hid, panel)?,
            b_enc: vec![T::ZERO; d_hid],
            w_dec: matrix(d_hid, d_in, panel)?,
            b_dec: vec![T::ZERO; d_in],
        })
    }

    /// Whether `from` has these shapes.
    pub(super) fn check(&self, from: &Parameters<T>) -> Result {
        let (d_hid, d_in) = (self.b_enc.len(), self.b_dec.len());
        expect("w_enc", "length", from.w_enc.len(), d_in * d_hid, "d_in x d_hid")?;
        expect("b_enc", "length", from.b_enc.len(), d_hid, "d_hid")?;
        expect("w_dec", "length", from.w_dec.len(), d_hid * d_in, "d_hid x d_in")?;
        expect("b_dec", "length", from.b_dec.len(), d_in, "d_in")
    }

    /// Overwrites everything, or nothing.
    pub(super) fn copy_from(&mut self, from: &Parameters<T>) -> Result {
        self.check(from)?;
        self.w_enc.copy_from_row_major(&from.w_enc)?;
        self.w_dec.copy_from_row_major(&from.w_dec)?;
        self.b_enc.copy_from_slice(&from.b_enc);
        self.b_dec.copy_from_slice(&from.b_dec);
        Ok(())
    }

    pub(super) fn to_parameters(&self) -> Parameters<T> {
        Parameters {
            w_enc: self.w_enc.to_row_major(),
            b_enc: self.b_enc.clone(),
            w_dec: self.w_dec.to_row_major(),
            b_dec: self.b_dec.clone(),
        }
    }
}

/// A zeroed matrix in the layout the backend works in.
pub(super) fn matrix<T: Real>(rows: usize, cols: usize, panel: Option<usize>) -> Result<Matrix<T>> {
    Matrix::zeros(match panel {
        Some(panel) => Layout::panel_major(rows, cols, panel)?,
        None => Layout::row_major(rows, cols),
    })
}

/// `to [cols, rows] = fromᵀ`.
pub(super) fn transpose<T: Real>(from: &Matrix<T>, to: &mut Matrix<T>) {
    let (from, mut to) = (from.view(), to.view_mut());
    for r in 0..from.rows() {
        for c in 0..from.cols() {
            to.set(0, c, r, from.at(0, r, c));
        }
    }
}
