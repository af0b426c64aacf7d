//! The matrix of a model's preprocessing: a tensor in a file beside the weights, so that `cfg.json` stays a text.
//!
//! In `cfg.json`, `sae.preprocessing.vectors` is then `{"rows": k, "cols": d, "tensor": "vectors"}`, and
//! `preprocess.safetensors` holds that tensor, `[k, d]`, little-endian `f64`.

use std::io::ErrorKind;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;
use serde_json::{Value, json};

use super::file_error::{ModelFileError, not_safetensors, short, value};
use super::weights::{read_whole, show, tensors_of};
use crate::preprocess::RowMajor;

/// The name of the file beside the weights.
pub const CONSTANTS_FILE: &str = "preprocess.safetensors";
/// The key of the matrix among the constants, and the tensor's name.
const KEY: &str = "vectors";

/// The constants without their matrix, and the file that holds it; `None` where they have none.
///
/// # Errors
/// If the matrix is not one.
pub(crate) fn detach(constants: &Value, path: &Path) -> Result<Option<(Value, Vec<u8>)>, ModelFileError> {
    let Some(inline) = constants.get(KEY) else { return Ok(None) };
    let matrix = RowMajor::deserialize(inline).map_err(|e| value(path, KEY, e, "a matrix of finite numbers"))?;
    let (shape, bytes) = (vec![matrix.rows, matrix.cols], matrix.to_bytes());
    let view = TensorView::new(Dtype::F64, shape, &bytes).map_err(|e| not_safetensors(path, &e))?;
    let file = safetensors::serialize([(KEY, view)], None).map_err(|e| not_safetensors(path, &e))?;
    let mut text = constants.clone();
    text[KEY] = json!({ "rows": matrix.rows, "cols": matrix.cols, "tensor": KEY });
    Ok(Some((text, file)))
}

/// Puts the matrix that `constants` only name in its place, from the file at `path`.
///
/// # Errors
/// If the file is missing or damaged, or its tensor is not the one that is named.
pub(crate) fn attach(constants: &mut Value, path: &Path) -> Result<(), ModelFileError> {
    if !names_a_matrix(constants) {
        return Ok(());
    }
    let bytes = read_whole(path).map_err(|error| match error {
        ModelFileError::Io(e) if e.kind() == ErrorKind::NotFound => ModelFileError::Format {
            path: path.to_path_buf(),
            problem: "there is no such file".to_owned(),
            expected: "the matrix of the preprocessing, beside cfg.json",
        },
        error => error,
    })?;
    attach_bytes(constants, &bytes, path)
}

/// The same from the content of the file, `preprocess.safetensors`: what a `cfg.json` that is not read from its folder needs.
///
/// # Errors
/// If the file is damaged, or its tensor is not the one that is named.
pub fn attach_constants(constants: &mut Value, file: &[u8]) -> Result<(), ModelFileError> {
    match names_a_matrix(constants) {
        true => attach_bytes(constants, file, Path::new(CONSTANTS_FILE)),
        false => Ok(()),
    }
}

fn names_a_matrix(constants: &Value) -> bool {
    constants.get(KEY).and_then(|matrix| matrix.get("tensor")).is_some()
}

fn attach_bytes(constants: &mut Value, bytes: &[u8], path: &Path) -> Result<(), ModelFileError> {
    let file = tensors_of(bytes, path)?;
    let tensor = file.tensor(KEY).map_err(|e| not_safetensors(path, &e))?;
    let named = [&constants[KEY]["rows"], &constants[KEY]["cols"]].map(Value::as_u64);
    match *tensor.shape() {
        [rows, cols] if tensor.dtype() == Dtype::F64 && named == [rows, cols].map(|n| Some(n as u64)) => {
            let matrix = RowMajor::from_bytes(rows, cols, tensor.data())
                .map_err(|problem| value(path, KEY, problem, "finite numbers"))?;
            constants[KEY] = serde_json::to_value(matrix).map_err(|e| value(path, KEY, e, "a matrix"))?;
            Ok(())
        }
        _ => {
            let found = format!("{} {}", tensor.dtype(), show(tensor.shape()));
            Err(value(path, KEY, found, format!("F64, as cfg.json has it: {}", short(&constants[KEY].to_string()))))
        }
    }
}
