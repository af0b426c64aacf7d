//! Where training data come from: built-in sets and files, each turned into one row-major `f32` matrix.
//!
//! [`load`] takes what `--data` takes:
//!
//! | spec | what |
//! | --- | --- |
//! | `digits` | 1,797 handwritten digits, 8×8, built in |
//! | `synthetic`, `synthetic:rows=…,d_in=…,atoms=…,active=…,noise=…` | sparse sums of a known dictionary, see [`Synthetic`] |
//! | a folder | MNIST's four files; the training part, see [`load_folder`] |
//! | an IDX file, gzipped or not | images or vectors; labels beside them where found |
//! | `x.npy`, `x.npz`, `x.npz:KEY` | an array of at least two dimensions |
//! | `x.csv` | one row a line, an optional header |
//!
//! Files are recognised by their first bytes, CSV by its name. Whatever a header claims is held against the length of
//! the file before memory is taken for it; missing and surplus bytes, NaN, infinities and empty sets are errors.

mod csv;
mod digits;
mod element;
mod folder;
mod idx;
mod noise;
mod npy;
mod npz;
mod split;
mod synthetic;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use digits::digits;
pub use folder::{Part, load_folder};
pub use noise::Noise;
pub use split::{Split, Stream, epoch_order, rng, rng_at};
pub use synthetic::Synthetic;

use crate::error::{Error, Result};
use crate::paths::{file_name, missing};

/// A set of samples: `rows` vectors of length `cols`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// What it is called in reports: the built-in name or the file's.
    pub name: String,
    /// Samples.
    pub rows: usize,
    /// Length of a sample, `d_in`.
    pub cols: usize,
    /// `[rows, cols]`, row-major, all finite.
    pub data: Vec<f32>,
    /// Height and width, where a row is an image; `height·width = cols`.
    pub image: Option<(usize, usize)>,
    /// A label a row.
    pub labels: Option<Vec<i64>>,
}

impl Dataset {
    /// Row `index`.
    ///
    /// # Panics
    /// Where `index` is not below `rows`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.data[index * self.cols..][..self.cols]
    }

    /// The rows at `indices`, in that order, with their labels.
    ///
    /// # Panics
    /// Where an index is not below `rows`.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            name: self.name.clone(),
            rows: indices.len(),
            cols: self.cols,
            data: indices.iter().flat_map(|&i| self.row(i)).copied().collect(),
            image: self.image,
            labels: self.labels.as_ref().map(|labels| indices.iter().map(|&i| labels[i]).collect()),
        }
    }

    /// The smallest and the largest value; `(∞, −∞)` for a set without rows.
    pub fn range(&self) -> (f32, f32) {
        self.data.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
    }
}

/// Loads what `spec` names; `seed` matters to `synthetic` only.
///
/// # Errors
/// [`Error::Missing`] with the nearest existing name, [`Error::Input`], [`Error::Setting`] for parameters of
/// `synthetic`, [`Error::Read`], [`Error::Memory`].
pub fn load(spec: &str, seed: u64) -> Result<Dataset> {
    match spec {
        "digits" => return digits(),
        "synthetic" => return Synthetic::default().generate(seed),
        _ => {}
    }
    if let Some(parameters) = spec.strip_prefix("synthetic:") {
        return Synthetic::parse(parameters)?.generate(seed);
    }
    let path = Path::new(spec);
    if path.is_dir() {
        return load_folder(path, Part::Train);
    }
    if path.exists() {
        return load_file(path, None);
    }
    match spec.rsplit_once(':') {
        Some((file, key)) if has_extension(Path::new(file), "npz") => load_file(Path::new(file), Some(key)),
        _ => load_file(path, None),
    }
}

/// What [`load`] accepts, for messages.
const ACCEPTED: &str = "digits, synthetic, an IDX, .npy, .npz or .csv file, or a folder with MNIST's files";

fn load_file(path: &Path, key: Option<&str>) -> Result<Dataset> {
    let mut source = Source::open(path)?;
    let mut magic = [0u8; 8];
    let got = element::fill(&mut source.file, &mut magic).map_err(|e| Error::read(path, e))?;
    let magic = &magic[..got];
    source.rewind()?;
    let unsupported = |found: &str| Err(Error::input(&source.name, found, ACCEPTED));
    match magic {
        [] => unsupported("the file is empty"),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => npy::load(source),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => npz::load(source, key),
        [0x1F, 0x8B, ..] | [0, 0, 0x08..=0x0E, _, ..] => idx::load(source),
        _ if has_extension(path, "csv") => csv::load(source),
        _ if has_extension(path, "npy") => npy::load(source),
        _ if has_extension(path, "npz") => npz::load(source, key),
        [0x89, b'P', b'N', b'G', ..] | [0xFF, 0xD8, 0xFF, ..] => unsupported("this is an image"),
        _ if has_extension(path, "safetensors") => unsupported("this is a .safetensors file"),
        _ => unsupported("the format is not recognised"),
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

/// An open regular file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// The path, for messages.
    pub(crate) name: String,
    pub(crate) file: File,
    /// Its length in bytes.
    pub(crate) len: u64,
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Err(missing(path, &["digits", "synthetic"], ACCEPTED));
            }
            Err(e) => return Err(Error::read(path, e)),
        };
        if !metadata.is_file() {
            return Err(Error::input(path.display(), "this is not a regular file", ACCEPTED));
        }
        let file = File::open(path).map_err(|e| Error::read(path, e))?;
        let name = crate::error::one_line(&path.to_string_lossy());
        Ok(Self { path: path.to_owned(), name, file, len: metadata.len() })
    }

    fn rewind(&mut self) -> Result {
        std::io::Seek::rewind(&mut self.file).map_err(|e| Error::read(&self.path, e))
    }

    /// The file's own name, for [`Dataset::name`].
    pub(crate) fn short_name(&self) -> String {
        file_name(&self.path)
    }
}

/// The shape of a set: the first dimension counts the rows, the others are one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) image: Option<(usize, usize)>,
}

impl Shape {
    /// The shape that `dims` describe, where they are at least two, nothing is empty, and `size` bytes an element fit
    /// in an address.
    pub(crate) fn new(dims: &[u64], size: usize, file: &str) -> Result<Self> {
        let printed = dims.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let wrong = |expected: &str| Err(Error::input(file, format!("its shape is [{printed}]"), expected));
        if dims.len() < 2 {
            return wrong("at least two dimensions, [rows, columns]");
        }
        let Some(count) = element::element_count(dims, size) else {
            return wrong("a size that fits in memory");
        };
        if count == 0 {
            return wrong("at least one row and one column");
        }
        let image = match dims {
            [_, height, width] => Some((*height as usize, *width as usize)),
            _ => None,
        };
        Ok(Self { rows: dims[0] as usize, cols: count / dims[0] as usize, image })
    }
}

/// Refuses NaN and infinities, naming the first by row and column, both counted from 0.
pub(crate) fn check_finite(file: &str, data: &[f32], cols: usize) -> Result {
    match data.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let found = format!("row {}, column {} (counted from 0) is {} as f32", at / cols, at % cols, data[at]);
            Err(Error::input(file, found, "a finite number"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_suggests_its_neighbour_and_built_in_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("activations.npy"), "x").unwrap();
        let spec = folder.path().join("activatoins.npy");
        let error = load(spec.to_str().unwrap(), 0).unwrap_err();
        assert!(error.to_string().contains("did you mean `"), "{error}");
        assert!(error.to_string().contains("activations.npy`"), "{error}");
        assert_eq!(error.exit_code(), 2);
        let error = load("digit", 0).unwrap_err();
        assert!(error.to_string().contains("did you mean `digits`"), "{error}");
        let error = load("no-such-folder/no-such-file", 0).unwrap_err();
        assert!(!error.to_string().contains("did you mean"), "{error}");
    }

    #[test]
    fn what_is_no_data_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes, found) in [
            ("a.png", &b"\x89PNG\r\n\x1a\n"[..], "this is an image"),
            ("a.bin", b"hello", "not recognised"),
            ("a.safetensors", b"12345678{}", ".safetensors"),
            ("empty.csv", b"", "is empty"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = load(path.to_str().unwrap(), 0).unwrap_err().to_string();
            assert!(error.contains(found) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn shapes_flatten_to_rows_and_name_images() {
        let shape = |dims: &[u64]| Shape::new(dims, 4, "test");
        assert_eq!(shape(&[5, 6]).unwrap(), Shape { rows: 5, cols: 6, image: None });
        assert_eq!(shape(&[5, 2, 3]).unwrap(), Shape { rows: 5, cols: 6, image: Some((2, 3)) });
        assert_eq!(shape(&[5, 2, 3, 4]).unwrap(), Shape { rows: 5, cols: 24, image: None });
        for bad in [&[][..], &[5], &[0, 3], &[3, 0], &[u64::MAX, u64::MAX]] {
            assert!(shape(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_that_are_not_finite_are_named_by_row_and_column() {
        let error = check_finite("x", &[0.0, 1.0, 2.0, f32::NAN], 2).unwrap_err().to_string();
        assert!(error.contains("row 1, column 1") && error.contains("NaN"), "{error}");
    }

    #[test]
    fn select_takes_rows_and_labels_together() {
        let set = digits().unwrap();
        let part = set.select(&[3, 0, 3]);
        assert_eq!((part.rows, part.cols), (3, set.cols));
        assert_eq!(part.row(1), set.row(0));
        assert_eq!(part.labels.unwrap(), [3, 0, 3]);
    }
}
