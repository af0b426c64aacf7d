//! The weights of a model on disk, and what any file of ours in the format safetensors is read by.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sae_kernels::step::Parameters;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::file::WEIGHTS_FILE;
use super::file_error::{ModelFileError, at, not_safetensors, short, value};
use crate::data::safetensors::{LENGTH_BYTES, check_header_length};
use crate::error::excerpt;
use crate::json;

/// Reads the four tensors of a `.safetensors` file and nothing else: what `init = "file.safetensors"` starts from.
///
/// # Errors
/// If the file is missing or damaged, or a tensor is missing, unknown, not `f32`, not of the shape that `d_in` and `d_hid` give it, or
/// holds a number that is not finite.
pub fn load_weights_only(path: &Path, d_in: usize, d_hid: usize) -> Result<Parameters, ModelFileError> {
    parse_weights(&read_whole(path)?, path, d_in, d_hid)
}

/// The same of the content of such a file.
///
/// # Errors
/// As [`load_weights_only`].
pub fn weights_from_bytes(bytes: &[u8], d_in: usize, d_hid: usize) -> Result<Parameters, ModelFileError> {
    parse_weights(bytes, Path::new(WEIGHTS_FILE), d_in, d_hid)
}

/// The content of a `.safetensors` file of the tensors in the order of [`Parameters`].
pub(super) fn serialize(
    tensors: [&[f32]; 4],
    d_in: usize,
    d_hid: usize,
    path: &Path,
) -> Result<Vec<u8>, ModelFileError> {
    let shapes = Shapes::new(path, d_in, d_hid)?;
    let mut bytes = Vec::with_capacity(4);
    for ((name, shape), values) in shapes.all().into_iter().zip(tensors) {
        let expected: usize = shape.iter().product();
        if values.len() != expected {
            return Err(value(path, format!("length of {name}"), values.len(), expected));
        }
        check_finite(path, name, values)?;
        bytes.push(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    }
    let mut views = Vec::with_capacity(4);
    for ((name, shape), data) in shapes.all().into_iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, shape, data).map_err(|e| not_safetensors(path, &e))?;
        views.push((name, view));
    }
    safetensors::serialize(views, None).map_err(|e| not_safetensors(path, &e))
}

/// The tensors of a `.safetensors` file, whose header is held against the file first.
///
/// # Errors
/// If it is none.
pub(crate) fn tensors_of<'a>(bytes: &'a [u8], path: &Path) -> Result<SafeTensors<'a>, ModelFileError> {
    let header = header_of(bytes, path)?;
    json::check(header).map_err(|e| ModelFileError::Format {
        path: path.to_path_buf(),
        problem: format!("the safetensors header: {}", short(&e.to_string())),
        expected: "a JSON object",
    })?;
    SafeTensors::deserialize(bytes).map_err(|e| not_safetensors(path, &e))
}

fn parse_weights(bytes: &[u8], path: &Path, d_in: usize, d_hid: usize) -> Result<Parameters, ModelFileError> {
    let shapes = Shapes::new(path, d_in, d_hid)?;
    let file = tensors_of(bytes, path)?;
    let known = shapes.all();
    let mut names = file.names();
    names.sort_unstable();
    if let Some(unknown) = names.iter().find(|name| !known.iter().any(|(k, _)| k == *name)) {
        return Err(value(path, "a tensor", format!("`{}`", excerpt(unknown)), "only W_enc, b_enc, W_dec, b_dec"));
    }
    let mut tensors = Vec::with_capacity(4);
    for (name, shape) in known {
        let tensor = file.tensor(name).map_err(|_| ModelFileError::Format {
            path: path.to_path_buf(),
            problem: format!("tensor {name} is missing"),
            expected: "the tensors W_enc, b_enc, W_dec, b_dec",
        })?;
        if tensor.dtype() != Dtype::F32 {
            return Err(value(path, format!("dtype of {name}"), tensor.dtype(), Dtype::F32));
        }
        if tensor.shape() != shape {
            return Err(value(path, format!("shape of {name}"), show(tensor.shape()), show(&shape)));
        }
        let (chunks, _) = tensor.data().as_chunks::<4>();
        let values: Vec<f32> = chunks.iter().map(|&b| f32::from_le_bytes(b)).collect();
        check_finite(path, name, &values)?;
        tensors.push(values);
    }
    let [w_enc, b_enc, w_dec, b_dec]: [Vec<f32>; 4] =
        tensors.try_into().expect("one vector was pushed for each of the four names");
    Ok(Parameters { w_enc, b_enc, w_dec, b_dec })
}

/// Names and shapes of the four tensors, in the order of [`Parameters`].
struct Shapes {
    d_in: usize,
    d_hid: usize,
}

impl Shapes {
    /// Widths that are positive and whose product, in bytes, is an address.
    fn new(path: &Path, d_in: usize, d_hid: usize) -> Result<Self, ModelFileError> {
        for (name, width) in [("d_in", d_in), ("d_sae", d_hid)] {
            if width == 0 {
                return Err(value(path, name, 0, "at least 1"));
            }
        }
        if d_in.checked_mul(d_hid).and_then(|n| n.checked_mul(size_of::<f32>())).is_none() {
            return Err(value(path, "d_in x d_sae", format!("{d_in} x {d_hid}"), "a matrix that fits in memory"));
        }
        Ok(Self { d_in, d_hid })
    }

    fn all(&self) -> [(&'static str, Vec<usize>); 4] {
        let Self { d_in, d_hid } = *self;
        [("W_enc", vec![d_in, d_hid]), ("b_enc", vec![d_hid]), ("W_dec", vec![d_hid, d_in]), ("b_dec", vec![d_in])]
    }
}

/// The file's bytes; its header's claimed length is held against the file's before anything is allocated.
pub(crate) fn read_whole(path: &Path) -> Result<Vec<u8>, ModelFileError> {
    let mut file = File::open(path).map_err(|e| at(path, &e))?;
    let length = file.metadata().map_err(|e| at(path, &e))?.len();
    let mut head = [0; LENGTH_BYTES as usize];
    let head = &mut head[..length.min(LENGTH_BYTES) as usize];
    file.read_exact(head).map_err(|e| at(path, &e))?;
    header_length(head, length, path)?;
    let mut bytes = Vec::new();
    let capacity = usize::try_from(length).map_err(|_| at(path, &io::Error::from(io::ErrorKind::OutOfMemory)))?;
    bytes.try_reserve_exact(capacity).map_err(|e| at(path, &io::Error::new(io::ErrorKind::OutOfMemory, e)))?;
    bytes.extend_from_slice(head);
    file.take(length - head.len() as u64).read_to_end(&mut bytes).map_err(|e| at(path, &e))?;
    Ok(bytes)
}

/// The JSON between the length and the tensors.
fn header_of<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a [u8], ModelFileError> {
    let length = header_length(bytes, bytes.len() as u64, path)?;
    Ok(&bytes[LENGTH_BYTES as usize..][..length])
}

/// The header's length, which a file of `length` bytes that begins with `start` claims.
fn header_length(start: &[u8], length: u64, path: &Path) -> Result<usize, ModelFileError> {
    let Some(head) = start.first_chunk() else {
        return Err(value(path, "file length", format!("{length} bytes"), "a safetensors file, of at least 8"));
    };
    let header = u64::from_le_bytes(*head);
    check_header_length(header, length - LENGTH_BYTES)
        .map_err(|expected| value(path, "safetensors header length", format!("{header} bytes"), expected))
}

fn check_finite(path: &Path, name: &str, values: &[f32]) -> Result<(), ModelFileError> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(value(path, format!("element {i} of {name}"), values[i], "a finite number")),
    }
}

/// A shape, of which no more than the first dimensions are shown.
pub(crate) fn show(shape: &[usize]) -> String {
    const MOST: usize = 8;
    let dims: Vec<String> = shape.iter().take(MOST).map(usize::to_string).collect();
    format!("[{}{}]", dims.join(", "), if shape.len() > MOST { ", …" } else { "" })
}
