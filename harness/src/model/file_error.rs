//! What is wrong with a model file.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::one_line;

/// A model that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// The file system refused; the message names the path.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is not what its name says.
    #[error("{path}: {problem}, expected {expected}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What a right file would be.
        expected: &'static str,
    },
    /// A part of the file has another value than it has to have.
    #[error("{path}: {what} is {found}, expected {expected}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Which part.
        what: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
}

pub(super) fn at(path: &Path, error: &io::Error) -> ModelFileError {
    ModelFileError::Io(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

pub(super) fn not_safetensors(path: &Path, error: &safetensors::SafeTensorError) -> ModelFileError {
    ModelFileError::Format {
        path: path.to_path_buf(),
        problem: short(&error.to_string()),
        expected: "a whole safetensors file",
    }
}

/// Foreign text on one line, and of no more than it takes to recognise it.
pub(crate) fn short(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut text = one_line(text);
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

pub(super) fn not_config(path: &Path, error: &serde_json::Error) -> ModelFileError {
    ModelFileError::Format {
        path: path.to_path_buf(),
        problem: short(&error.to_string()),
        expected: "a cfg.json with the object `sae`, as `sae train` writes it",
    }
}

pub(super) fn value(
    path: &Path,
    what: impl Into<String>,
    found: impl ToString,
    expected: impl ToString,
) -> ModelFileError {
    ModelFileError::Value {
        path: path.to_path_buf(),
        what: what.into(),
        found: short(&found.to_string()),
        expected: expected.to_string(),
    }
}
