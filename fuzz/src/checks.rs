//! What holds of every reader of files, whatever the bytes.
//!
//! - It does not panic.
//! - A refusal is one line, of no great length, that begins with the name of the file, and a user's error.
//! - What is accepted is whole: as many values as rows and columns say, each of them finite.
//! - What is accepted and written again, by code that is not the reader's, is read as the same.
//!
//! Shared by the fuzz targets and by the test that goes through their corpora.

use std::io::{Cursor, Write};

use sae_harness::Config;
use sae_harness::data::{Dataset, from_bytes};
use sae_harness::model::attach_constants;
use sae_harness::model::file::{ModelFile, weights_from_bytes};
use sae_harness::preprocess::Fitted;
use sae_harness::stack::Stack;

/// What a target does with any bytes: it panics where they find a fault.
pub type Check = fn(&[u8]);

/// The check of each target.
pub const ALL: [(&str, Check); 12] = [
    ("idx", idx),
    ("gzip", gzip),
    ("npy", npy),
    ("npz", npz),
    ("csv", csv),
    ("safetensors", safetensors),
    ("png", png),
    ("jpeg", jpeg),
    ("config", config),
    ("model", model),
    ("preprocess", preprocess),
    ("stack", stack),
];

/// IDX, as it is.
pub fn idx(bytes: &[u8]) {
    if let Some(set) = read("a.idx", bytes) {
        let dims = [set.rows as u32, set.cols as u32].map(u32::to_be_bytes).concat();
        let values = set.data.iter().flat_map(|v| v.to_be_bytes());
        same("a.idx", &set, [0, 0, 0x0D, 2].into_iter().chain(dims).chain(values).collect());
    }
}

/// IDX, packed: where the first bit is 1 the rest is packed here, so that its content is reached; else it is taken as it
/// is.
pub fn gzip(bytes: &[u8]) {
    match bytes.split_first() {
        Some((first, rest)) if first & 1 == 1 => {
            let packed = packed(rest);
            let unpacked = from_bytes("a.idx", rest);
            match read("a.idx", &packed) {
                Some(set) => assert!(unpacked.is_ok_and(|plain| plain.data == set.data)),
                // A gzip file in a gzip file is none.
                None => assert!(unpacked.is_err() || rest.starts_with(&[0x1F, 0x8B]) || !rest.starts_with(&[0, 0])),
            }
        }
        Some((_, rest)) => {
            read("a.idx", rest);
        }
        None => {}
    }
}

/// NumPy's arrays.
pub fn npy(bytes: &[u8]) {
    if let Some(set) = read("a.npy", bytes) {
        same("a.npy", &set, to_npy(&set));
    }
}

/// Archives of NumPy's arrays: where the first bit is 1, the rest is the array `X` in an archive; else it is taken as it is.
pub fn npz(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let method = if first & 2 == 2 { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let set = if first & 1 == 1 { read("a.npz", &archive(rest, method)) } else { read("a.npz", rest) };
    if let Some(set) = set {
        same("a.npz", &set, archive(&to_npy(&set), method));
    }
}

/// Comma-separated numbers.
pub fn csv(bytes: &[u8]) {
    if let Some(set) = read("a.csv", bytes) {
        let line = |row: usize| set.row(row).iter().map(|v| format!("{v:e}")).collect::<Vec<_>>().join(",") + "\n";
        same("a.csv", &set, (0..set.rows).map(line).collect::<String>().into_bytes());
    }
}

/// Tensors, as a set and as a model's weights.
pub fn safetensors(bytes: &[u8]) {
    if let Some(set) = read("a.safetensors", bytes) {
        let (rows, cols, len) = (set.rows, set.cols, 4 * set.data.len());
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":[{rows},{cols}],"data_offsets":[0,{len}]}}}}"#);
        let values = set.data.iter().flat_map(|v| v.to_le_bytes());
        let head = (header.len() as u64).to_le_bytes();
        same("a.safetensors", &set, head.into_iter().chain(header.into_bytes()).chain(values).collect());
    }
    match weights_from_bytes(bytes, 2, 1) {
        Ok(weights) => assert_eq!([weights.w_enc.len(), weights.b_enc.len(), weights.b_dec.len()], [2, 1, 2]),
        Err(error) => refusal("model.safetensors", &error.to_string()),
    }
}

/// PNG images.
pub fn png(bytes: &[u8]) {
    image("a.png", bytes);
}

/// JPEG images.
pub fn jpeg(bytes: &[u8]) {
    image("a.jpg", bytes);
}

fn image(name: &str, bytes: &[u8]) {
    if let Some(set) = read(name, bytes) {
        assert!(set.data.iter().all(|v| (0.0..=255.0).contains(v)));
        assert_eq!(set.image.map(|(height, width)| height * width), Some(set.cols));
    }
}

/// Settings of a run.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::parse(text, "a.toml", &[]) {
        Ok(config) => {
            let again = config.to_toml().unwrap();
            assert_eq!(Config::parse(&again, "again", &[]).unwrap(), config);
        }
        Err(error) => {
            assert_eq!(error.exit_code(), 2);
            let message = error.to_string();
            assert!(one_line(&message) && message.len() < LONGEST, "{message}");
        }
    }
}

/// The two files of a model: the text up to the first 0 is `cfg.json`, what follows the weights.
pub fn model(bytes: &[u8]) {
    let (config, weights) = two(bytes);
    match ModelFile::from_bytes(config, weights) {
        Ok(model) => {
            let (config, weights) = model.to_bytes().unwrap();
            assert_eq!(ModelFile::from_bytes(&config, &weights).unwrap(), model);
        }
        Err(error) => {
            let message = error.to_string();
            assert!(one_line(&message) && message.len() < LONGEST, "{message}");
        }
    }
}

/// The map of a model: the text up to the first 0 is what `cfg.json` says of it, what follows `preprocess.safetensors`.
pub fn preprocess(bytes: &[u8]) {
    /// Values of a row that the map is tried on.
    const MOST: usize = 64;
    let (text, file) = two(bytes);
    let Ok(mut constants) = serde_json::from_slice(text) else { return };
    if let Err(error) = attach_constants(&mut constants, file) {
        return refusal("preprocess.safetensors", &error.to_string());
    }
    let Ok(map) = serde_json::from_value::<Fitted>(constants) else { return };
    // JSON does not hold what f32 does not hold; no map with such a constant is applied.
    let again = serde_json::from_value::<Fitted>(serde_json::to_value(&map).unwrap());
    let round = again.is_ok_and(|again| again == map);
    for cols in 1..=MOST {
        let row = vec![0.5; cols];
        match map.apply(row, cols) {
            Ok(mapped) => {
                assert!(round && mapped.len() == map.width(cols).unwrap() && mapped.iter().all(|v| v.is_finite()));
                assert_eq!(map.invert(mapped, cols).map(|raw| raw.len()).unwrap_or(cols), cols);
            }
            Err(error) => {
                let message = error.to_string();
                assert!(one_line(&message) && message.len() < LONGEST, "{message}");
            }
        }
    }
}

/// The two files of a stack: the text up to the first 0 is `stack.json`, what follows the weights.
pub fn stack(bytes: &[u8]) {
    let (config, weights) = two(bytes);
    match Stack::from_bytes(config, weights) {
        Ok(stack) => {
            let (config, weights) = stack.to_bytes().unwrap();
            assert_eq!(Stack::from_bytes(&config, &weights).unwrap(), stack);
        }
        Err(error) => {
            refusal("stack.", &error.to_string());
            assert_eq!(error.exit_code(), 2, "{error}");
        }
    }
}

/// What is before the first 0, and what is behind it.
fn two(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

/// The longest message.
const LONGEST: usize = 1000;

fn read(name: &str, bytes: &[u8]) -> Option<Dataset> {
    match from_bytes(name, bytes) {
        Ok(set) => {
            assert!(set.rows > 0 && set.cols > 0 && set.data.len() == set.rows * set.cols);
            assert!(set.data.iter().all(|v| v.is_finite()));
            assert!(set.labels.as_ref().is_none_or(|labels| labels.len() == set.rows));
            Some(set)
        }
        Err(error) => {
            refusal(name, &error.to_string());
            assert_eq!(error.exit_code(), 2, "{error}");
            None
        }
    }
}

fn refusal(file: &str, message: &str) {
    assert!(message.starts_with(file) && one_line(message) && message.len() < LONGEST, "{message}");
}

fn one_line(message: &str) -> bool {
    !message.chars().any(char::is_control)
}

/// Reads `bytes` and expects the rows of `set`.
fn same(name: &str, set: &Dataset, bytes: Vec<u8>) {
    let again = from_bytes(name, &bytes).unwrap();
    assert_eq!((again.rows, again.cols), (set.rows, set.cols));
    // Not only equal: a zero keeps its sign.
    assert!(again.data.iter().zip(&set.data).all(|(a, b)| a.to_bits() == b.to_bits()));
}

fn to_npy(set: &Dataset) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {})}}", set.rows, set.cols);
    let len = (header.len() as u16).to_le_bytes();
    let values = set.data.iter().flat_map(|v| v.to_le_bytes());
    b"\x93NUMPY\x01\x00".iter().copied().chain(len).chain(header.into_bytes()).chain(values).collect()
}

fn archive(array: &[u8], method: zip::CompressionMethod) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("X.npy", zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
    writer.write_all(array).unwrap();
    writer.finish().unwrap().into_inner()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
