//! What can be wrong with a call. Every variant names both sides: what was found and what was expected.

use crate::Isa;

/// An argument that does not fit, found at the door: nothing has been read or written yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A dimension of one operand disagrees with the dimension another operand sets.
    #[error("{operand}: {dim} is {found}, expected {expected} ({because})")]
    Shape {
        /// The operand that does not fit.
        operand: &'static str,
        /// Which of its dimensions.
        dim: &'static str,
        /// What it is.
        found: usize,
        /// What it has to be.
        expected: usize,
        /// Where that expectation comes from.
        because: &'static str,
    },
    /// A slice is shorter than its layout reaches.
    #[error("storage holds {found} elements, but the layout reaches {expected}")]
    Storage {
        /// Elements in the slice.
        found: usize,
        /// Elements the layout needs.
        expected: usize,
    },
    /// A leading dimension smaller than the row it has to hold.
    #[error("leading dimension is {found}, expected at least the row length {expected}")]
    LeadingDimension {
        /// The leading dimension given.
        found: usize,
        /// The number of columns.
        expected: usize,
    },
    /// Problems of a batch, or rows of a matrix, that would be written share storage.
    #[error("batch stride is {found}, expected at least {expected}: problems of an output must not overlap")]
    Overlap {
        /// The batch stride given.
        found: usize,
        /// The extent of one problem.
        expected: usize,
    },
    /// The extent of a layout does not fit in an address.
    #[error("layout {rows} x {cols} (batch {batch}) reaches past the largest possible allocation")]
    TooLarge {
        /// Rows of the layout.
        rows: usize,
        /// Columns of the layout.
        cols: usize,
        /// Problems in the batch.
        batch: usize,
    },
    /// A panel width of zero.
    #[error("panel width is 0, expected at least 1")]
    ZeroPanel,
    /// A panel-major operand whose panel width the selected kernels cannot read.
    #[error("{operand}: panel width is {found}, expected a multiple of {expected}, the panel of the {isa} kernels")]
    Panel {
        /// The operand that does not fit.
        operand: &'static str,
        /// Its panel width.
        found: usize,
        /// The width the kernels work in.
        expected: usize,
        /// The instruction set that was selected.
        isa: Isa,
    },
    /// A dimension or stride beyond what a foreign library's interface can say.
    #[error("{operand}: a dimension or stride is {found}, expected at most {limit}, the index range of {backend}")]
    IndexRange {
        /// The operand that does not fit.
        operand: &'static str,
        /// Its largest dimension or stride.
        found: usize,
        /// The limit.
        limit: usize,
        /// The backend.
        backend: &'static str,
    },
    /// The loss needs another output activation.
    #[error("loss bce needs activation sigmoid (it is computed from logits), found {found}")]
    BceActivation {
        /// The activation given.
        found: &'static str,
    },
    /// The optimiser rule keeps a state matrix that was not given.
    #[error("optimizer {rule} needs the state `{state}`, found none")]
    MissingState {
        /// The rule's name.
        rule: &'static str,
        /// The state it needs.
        state: &'static str,
    },
    /// A scalar outside its valid range.
    #[error("{name} is {found}, expected {expected}")]
    Scalar {
        /// The scalar's name.
        name: &'static str,
        /// Its value, printed.
        found: String,
        /// The valid range.
        expected: &'static str,
    },
    /// The processor lacks the instruction set that was asked for.
    #[error("instruction set {wanted} is not available on this processor, expected one of: {available}")]
    IsaUnavailable {
        /// The instruction set asked for.
        wanted: Isa,
        /// Those that are available.
        available: String,
    },
    /// A name that is not in the list.
    #[error("unknown {what} `{found}`, expected one of: {expected}")]
    Unknown {
        /// What kind of name.
        what: &'static str,
        /// The name given.
        found: String,
        /// The names there are.
        expected: String,
    },
    /// A backend that this build does not contain.
    #[error("backend {backend} is not in this build, expected a build with the cargo feature `{feature}`")]
    NotBuilt {
        /// The backend asked for.
        backend: &'static str,
        /// The feature that brings it.
        feature: &'static str,
    },
}

/// Checks one dimension against the one that sets it.
pub(crate) fn expect(
    operand: &'static str,
    dim: &'static str,
    found: usize,
    expected: usize,
    because: &'static str,
) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Shape { operand, dim, found, expected, because }) }
}
