//! What a pass over a batch is given.

use crate::error::{Error, expect};
use crate::ops::Result;
use crate::real::Real;
use crate::view::MatRef;

use super::BatchedStep;

/// Samples, and what is to be made of them. A matrix of samples is an [`Input::Clean`].
#[derive(Clone, Copy, Debug)]
pub enum Input<'x, T = f32> {
    /// `[n, d_in]`: each sample is to be reconstructed from itself. `J(x)`.
    Clean(MatRef<'x, T>),
    /// Denoising: each sample is to be reconstructed from a corrupted copy (P. Vincent et al., "Extracting and composing
    /// robust features with denoising autoencoders", 2008). `J` of the corrupted copies, with the clean samples as targets.
    Corrupted {
        /// `[n, d_in]`: what is encoded.
        x: MatRef<'x, T>,
        /// `[n, d_in]`: what is to be reconstructed.
        target: MatRef<'x, T>,
    },
    /// Both: `J(x) + γ·D(x, x')`, where D is the reconstruction term of the samples x when they are reconstructed from their
    /// corrupted copies x', scaled as that of J. Penalty, mean activations and weight decay are those of J alone.
    Paired {
        /// `[2n, d_in]`: the samples, then their corrupted copies in the same order.
        both: MatRef<'x, T>,
        /// γ.
        gamma: T,
    },
}

impl<'x, T> From<MatRef<'x, T>> for Input<'x, T> {
    fn from(x: MatRef<'x, T>) -> Self {
        Self::Clean(x)
    }
}

/// An input that fits, one problem a model.
#[derive(Clone, Copy)]
pub(super) struct Samples<'x, T> {
    /// All rows that are encoded.
    pub(super) x: MatRef<'x, T>,
    /// `[n, d_in]`.
    pub(super) target: MatRef<'x, T>,
    /// Samples: the rows that J is of.
    pub(super) n: usize,
    /// Whether the targets are other samples.
    pub(super) is_corrupted: bool,
    /// γ; of meaning only where there are rows behind the first `n`.
    pub(super) gamma: f64,
}

impl<T> Samples<'_, T> {
    /// All rows.
    pub(super) fn rows(&self) -> usize {
        self.x.rows()
    }
}

impl<T: Real> BatchedStep<T> {
    /// Checks an input, and gives each model its problem.
    pub(super) fn fit<'x>(&self, input: impl Into<Input<'x, T>>) -> Result<Samples<'x, T>> {
        let input = input.into();
        let is_corrupted = matches!(input, Input::Corrupted { .. });
        // And the rows that the target has to have.
        let (x, target, of_target, gamma) = match input {
            Input::Clean(x) => (x, x, x.rows(), T::ZERO),
            Input::Corrupted { x, target } => (x, target, x.rows(), T::ZERO),
            Input::Paired { both, gamma } => {
                let half = both.rows() / 2;
                if both.rows() % 2 != 0 {
                    let because = "the samples, and as many corrupted copies";
                    return Err(Error::Shape {
                        operand: "x",
                        dim: "rows",
                        found: both.rows(),
                        expected: 2 * half,
                        because,
                    });
                }
                super::config::not_negative("gamma", gamma)?;
                (both, both.row_range(0..half)?, half, gamma)
            }
        };
        let x = self.for_each_model(x);
        expect("x", "batch", x.batch(), self.models(), "one a model")?;
        expect("x", "columns", x.cols(), self.d_in(), "d_in")?;
        let (rows, most) = (x.rows(), self.max_batch());
        if rows == 0 {
            return Err(Error::Scalar { name: "rows of x", found: "0".to_owned(), expected: "at least 1" });
        }
        if rows > most {
            let because = "at most the step's max_batch";
            return Err(Error::Shape { operand: "x", dim: "rows", found: rows, expected: most, because });
        }
        let target = self.for_each_model(target);
        let n = target.rows();
        expect("target", "rows", n, of_target, "the rows of x")?;
        expect("target", "batch", target.batch(), self.models(), "one a model")?;
        expect("target", "columns", target.cols(), self.d_in(), "d_in")?;
        Ok(Samples { x, target, n, is_corrupted, gamma: gamma.to_f64() })
    }

    /// A single batch for all models, or one a model as given.
    pub(super) fn for_each_model<'x>(&self, x: MatRef<'x, T>) -> MatRef<'x, T> {
        if x.batch() == 1 { x.shared(self.models()) } else { x }
    }
}
