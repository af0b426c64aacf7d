//! Models: on disk, in memory, and what they do with a set of samples.

mod batch;
pub(crate) mod constants;
mod document;
mod evaluate;
pub mod file;
pub(crate) mod file_error;
mod init;
mod maximal;
mod memory;
pub(crate) mod objective;
mod reconstruct;
mod trained;
pub(crate) mod weights;

pub use batch::Batch;
pub use constants::{CONSTANTS_FILE, attach_constants};
pub(crate) use evaluate::copy_rows;
pub use evaluate::{Evaluation, Terms, evaluate, evaluate_pieces};
pub use init::initial_weights;
pub(crate) use init::tie;
pub use memory::step_bytes;
pub use objective::{adopt_objective, step_config};
pub use reconstruct::{Seen, reconstruct};
pub use trained::Model;

use std::io;
use std::path::Path;

use crate::error::Error;
use crate::eval::EvalError;
use file::ModelFileError;

/// A model file that could not be read, as an error of its user's.
pub(crate) fn unreadable(path: &Path, error: ModelFileError) -> Error {
    match error {
        ModelFileError::Io(e) => Error::read(path, io::Error::from(e.kind())),
        ModelFileError::Format { path, problem, expected } => Error::input(path.display(), problem, expected),
        ModelFileError::Value { path, what, found, expected } => {
            Error::input(path.display(), format!("{what} is {found}"), expected)
        }
    }
}

impl From<EvalError> for Error {
    fn from(error: EvalError) -> Self {
        Self::Failed(error.to_string())
    }
}
