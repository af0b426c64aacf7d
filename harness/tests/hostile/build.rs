//! Files as their formats' descriptions have them, written here byte by byte so that any byte can be wrong.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;

/// An IDX file of an element type, dimensions and data.
pub(crate) fn idx(code: u8, dims: &[u32], data: &[u8]) -> Vec<u8> {
    let dims_bytes: Vec<u8> = dims.iter().flat_map(|d| d.to_be_bytes()).collect();
    [&[0, 0, code, dims.len() as u8][..], &dims_bytes, data].concat()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A version 1 `.npy` with its header's text.
pub(crate) fn npy_of(header: &str, data: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

pub(crate) fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    npy_of(&format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n"), data)
}

pub(crate) fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A `.npz` of named entries, stored or deflated.
pub(crate) fn npz(entries: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
    let method = if deflate { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// `bytes` with what is at the first place of `from` replaced by `to`, of any length.
pub(crate) fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from).unwrap_or_else(|| panic!("{from:02x?} is not there"));
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

/// A safetensors file of a header and data.
pub(crate) fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// One tensor of a safetensors header.
pub(crate) fn tensor(name: &str, dtype: &str, shape: &str, from: u64, to: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
}

/// A chunk of a PNG with its checksum.
pub(crate) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
}

/// A PNG's IHDR.
pub(crate) fn ihdr(width: u32, height: u32, depth: u8, color: u8) -> Vec<u8> {
    let rest = [depth, color, 0, 0, 0];
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &rest].concat())
}

/// Rows, each with its filter byte, packed as IDAT.
pub(crate) fn idat(rows: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(rows).unwrap();
    chunk(b"IDAT", &encoder.finish().unwrap())
}

pub(crate) fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
}

/// A grey image of 3×2 pixels.
pub(crate) fn small_png() -> Vec<u8> {
    png(&[ihdr(3, 2, 8, 0), idat(&[0, 10, 20, 30, 0, 40, 50, 60]), chunk(b"IEND", &[])])
}

/// A grey JPEG of 8×8 pixels, all 128: quantiser 1, and for both classes of coefficients one code of one bit, that of
/// category 0 and of a block's end (ITU-T T.81).
pub(crate) fn jpeg(frame: u8, height: u16, width: u16) -> Vec<u8> {
    let quantiser = [&[0xFF, 0xDB, 0, 67, 0][..], &[1; 64]].concat();
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    let header = [&[0xFF, frame, 0, 11, 8][..], &size, &[1, 1, 0x11, 0]].concat();
    let codes = |class: u8| [&[0xFF, 0xC4, 0, 20, class, 1][..], &[0; 15], &[0]].concat();
    let scan = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x3F];
    [&[0xFF, 0xD8][..], &quantiser, &header, &codes(0x00), &codes(0x10), &scan, &[0xFF, 0xD9]].concat()
}

/// `cfg.json` of a model with 2 inputs and 1 hidden unit.
pub(crate) const CFG: &str = r#"{
  "architecture": "standard", "d_in": 2, "d_sae": 1, "dtype": "float32", "device": "cpu",
  "apply_b_dec_to_input": false, "normalize_activations": "none", "reshape_activations": "none",
  "metadata": { "sae_lens_version": "6.18.0" },
  "sae": {
    "format_version": 1, "hidden": "sigmoid", "output": "sigmoid", "convention": "per_sample",
    "reconstruction": "squared", "sparsity": "kl", "rho": 0.05, "beta": 3.0, "lambda": 0.0, "image": null,
    "preprocessing": { "kind": "none" }
  }
}"#;

/// The header of its weights.
pub(crate) fn weights_header() -> String {
    let tensors = [
        tensor("W_enc", "F32", "[2,1]", 0, 8),
        tensor("b_enc", "F32", "[1]", 8, 12),
        tensor("W_dec", "F32", "[1,2]", 12, 20),
        tensor("b_dec", "F32", "[2]", 20, 28),
    ];
    format!("{{{}}}", tensors.join(","))
}

pub(crate) fn weights() -> Vec<u8> {
    safetensors(&weights_header(), &f32s(&[0.5, -0.5, 0.25, 1.0, 2.0, 0.0, -1.0]))
}

/// Two files as the fuzz targets take them, a 0 between them: `cfg.json` or `stack.json`, or what they say of a preprocessing,
/// and the tensors beside it.
pub(crate) fn model(text: &str, tensors: &[u8]) -> Vec<u8> {
    [text.as_bytes(), &[0], tensors].concat()
}

/// `stack.json` of a stack with 2 inputs, a layer of 3 units, one of 1, and 2 classes.
pub(crate) const STACK: &str = r#"{
  "format_version": 1, "d_in": 2,
  "layers": [{ "d_hid": 3, "activation": "sigmoid" }, { "d_hid": 1, "activation": "relu" }],
  "labels": [0, 7], "image": null, "preprocessing": { "kind": "none" }
}"#;

/// The header of its weights.
pub(crate) fn stack_header() -> String {
    let tensors = [
        tensor("layers.0.W_enc", "F32", "[2,3]", 0, 24),
        tensor("layers.0.b_enc", "F32", "[3]", 24, 36),
        tensor("layers.1.W_enc", "F32", "[3,1]", 36, 48),
        tensor("layers.1.b_enc", "F32", "[1]", 48, 52),
        tensor("head.W", "F32", "[1,2]", 52, 60),
        tensor("head.b", "F32", "[2]", 60, 68),
    ];
    format!("{{{}}}", tensors.join(","))
}

pub(crate) fn stack_weights() -> Vec<u8> {
    safetensors(&stack_header(), &f32s(&[0.5; 17]))
}

/// What `cfg.json` says of a whitening whose matrix is in `preprocess.safetensors`.
pub(crate) const WHITENING: &str = r#"{ "kind": "pca", "mean": [0.5, 1.5], "spread": [2.0, 0.0],
  "vectors": { "rows": 2, "cols": 2, "tensor": "vectors" } }"#;

/// That matrix: the identity.
pub(crate) fn vectors() -> Vec<u8> {
    let values = [1.0f64, 0.0, 0.0, 1.0].map(f64::to_le_bytes).concat();
    safetensors(&format!("{{{}}}", tensor("vectors", "F64", "[2,2]", 0, 32)), &values)
}

/// The header's entries of a layer without anything before it.
pub(crate) fn layer(name: &str, inputs: u64, outputs: u64) -> String {
    let (w, b) = (4 * inputs * outputs, 4 * outputs);
    let bias = tensor(&format!("{name}.b_enc"), "F32", &format!("[{outputs}]"), w, w + b);
    format!("{},{bias}", tensor(&format!("{name}.W_enc"), "F32", &format!("[{inputs},{outputs}]"), 0, w))
}
