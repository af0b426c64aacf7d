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
//! | `x.safetensors`, `x.safetensors:KEY` | a tensor of at least two dimensions |
//! | a folder or a pattern (`acts/*.npy`, `acts/*.safetensors:KEY`) of the two | the arrays one behind the other, in the order of their names |
//! | a PNG or JPEG image, or a folder of them, `…:patch=…,stride=…,count=…,color=…` | patches, see [`Images`] |
//!
//! Files are recognised by their first bytes, CSV and safetensors by their names. Whatever a header claims is held
//! against the length of the file before memory is taken for it; missing and surplus bytes, NaN, infinities and empty
//! sets are errors. Packed files (gzip, zip) and CSV are gone through once, keeping nothing, and only then read. So a
//! file that is refused takes at most twice its size (unpacked, where it is packed) and 64 MiB, and one that is
//! accepted takes no more than that beside the samples, 4 bytes a value. What is packed may unfold to 64 MiB, or to a
//! hundred times its size.

mod csv;
mod digits;
mod element;
mod fingerprint;
mod folder;
mod idx;
mod images;
mod noise;
mod npy;
mod npz;
pub(crate) mod safetensors;
pub(crate) mod shards;
mod source;
mod split;
mod synthetic;

use std::path::Path;

pub use digits::digits;
pub use fingerprint::Fingerprint;
pub(crate) use fingerprint::Hasher;
pub use folder::{Part, load_folder};
pub use images::{Color, Images};
pub use noise::Noise;
pub use split::{Split, Stream, epoch_order, rng, rng_at};
pub(crate) use split::{below, dropout_seed, permute, uniform};
pub use synthetic::Synthetic;

use crate::error::{Error, Result};

use source::{Source, has_extension};

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
    if let Some(set) = shards::load_all(spec, |path, key| read(Source::open(path)?, key, seed))? {
        return Ok(set);
    }
    let path = Path::new(spec);
    if path.exists() {
        return load_path(path, None, seed);
    }
    match spec.rsplit_once(':') {
        Some((file, rest)) if takes_more(Path::new(file), rest) => load_path(Path::new(file), Some(rest), seed),
        _ => load_path(path, None, seed),
    }
}

/// Whether what follows a colon behind `path` may be an array's name or an image's parameters, not part of a name.
fn takes_more(path: &Path, rest: &str) -> bool {
    ["npz", "safetensors"].iter().any(|extension| has_extension(path, extension))
        || (path.exists() && (rest.is_empty() || rest.contains('=')))
}

fn load_path(path: &Path, rest: Option<&str>, seed: u64) -> Result<Dataset> {
    if path.is_dir() {
        return match rest {
            None if !images::in_folder(path) => load_folder(path, Part::Train),
            _ => Images::parse(rest.unwrap_or_default())?.load(path, seed),
        };
    }
    read(Source::open(path)?, rest, seed)
}

/// Reads a set from the content of a file, `bytes`, that is called `name`: what [`load`] does with a file of that name.
/// Labels in files beside it are not looked for.
///
/// ```
/// let set = sae_harness::data::from_bytes("points.csv", b"x,y\n1,2\n3,4\n")?;
/// assert_eq!((set.rows, set.data), (2, vec![1.0, 2.0, 3.0, 4.0]));
/// # Ok::<(), sae_harness::Error>(())
/// ```
///
/// # Errors
/// As [`load`].
pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Dataset> {
    read(Source::of_bytes(name, bytes), None, 0)
}

/// What [`load`] accepts, for messages.
const ACCEPTED: &str = "digits, synthetic, an IDX, .npy, .npz, .csv or .safetensors file, a PNG or JPEG image, \
                        or a folder of images, of .npy or .safetensors files or with MNIST's files";

/// Reads a file; `rest` is what its spec has behind a colon.
fn read(mut source: Source, rest: Option<&str>, seed: u64) -> Result<Dataset> {
    let mut magic = [0u8; 8];
    let got = element::fill(source.start()?, &mut magic).map_err(|e| Error::read(&source.path, e))?;
    let is = |extension: &str| has_extension(&source.path, extension);
    let unsupported = |found: &str| Err(Error::input(&source.name, found, ACCEPTED));
    let images = |source| Images::parse(rest.unwrap_or_default())?.read(source, seed);
    match &magic[..got] {
        [] => unsupported("the file is empty"),
        [0x89, b'P', b'N', b'G', ..] | [0xFF, 0xD8, 0xFF, ..] => images(source),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => npz::load(source, rest),
        _ if is("npz") => npz::load(source, rest),
        _ if is("safetensors") => safetensors::load(source, rest),
        _ if ["png", "jpg", "jpeg"].iter().any(|e| is(e)) => images(source),
        _ if rest.is_some() => Err(Error::setting(
            format!("--data {}:{}", source.name, crate::error::excerpt(rest.unwrap_or_default())),
            "something behind a colon",
            "it only behind a .npz or .safetensors file, an image or a folder of images",
        )),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => npy::load(source),
        [0x1F, 0x8B, ..] | [0, 0, 0x08..=0x0E, _, ..] => idx::load(source),
        _ if is("csv") => csv::load(source),
        _ if is("npy") => npy::load(source),
        _ => unsupported("the format is not recognised"),
    }
}

/// The shape of a set: the first dimension counts the rows, the others are one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) image: Option<(usize, usize)>,
    pub(crate) array: element::Array,
}

impl Shape {
    /// The shape that `dims` describe, where they are at least two, nothing is empty, and `size` bytes an element fit
    /// in an address.
    pub(crate) fn new(dims: &[u64], fortran: bool, size: usize, file: &str) -> Result<Self> {
        let wrong = |expected: &str| Err(Error::input(file, format!("its shape is {}", shown(dims)), expected));
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
        let (rows, cols) = (dims[0] as usize, count / dims[0] as usize);
        let dims = dims.iter().map(|&d| d as usize).collect();
        Ok(Self { rows, cols, image, array: element::Array { dims, count, cols, fortran } })
    }

    /// The set of these rows.
    pub(crate) fn dataset(self, name: String, data: Vec<f32>) -> Dataset {
        Dataset { name, rows: self.rows, cols: self.cols, data, image: self.image, labels: None }
    }
}

/// Dimensions for messages; of many, the first.
pub(crate) fn shown(dims: &[u64]) -> String {
    const MOST: usize = 8;
    let mut names: Vec<String> = dims.iter().take(MOST).map(u64::to_string).collect();
    if dims.len() > MOST {
        names.push(format!("… ({} dimensions)", dims.len()));
    }
    format!("[{}]", names.join(", "))
}

/// Some of these names, for messages.
pub(crate) fn some<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 8;
    let mut shown = Vec::new();
    for (index, name) in names.enumerate() {
        if index == MOST {
            shown.push("…".to_owned());
            break;
        }
        shown.push(crate::error::excerpt(name));
    }
    shown.join(", ")
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
            ("a.png", &b"\x89PNG\r\n\x1a\n"[..], "a.png"),
            ("a.bin", b"hello", "not recognised"),
            ("a.safetensors", b"12345678{}", "header"),
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
        let shape = |dims: &[u64]| Shape::new(dims, false, 4, "test");
        let of = |dims: &[u64]| shape(dims).map(|s| (s.rows, s.cols, s.image)).unwrap();
        assert_eq!(of(&[5, 6]), (5, 6, None));
        assert_eq!(of(&[5, 2, 3]), (5, 6, Some((2, 3))));
        assert_eq!(of(&[5, 2, 3, 4]), (5, 24, None));
        for bad in [&[][..], &[5], &[0, 3], &[3, 0], &[u64::MAX, u64::MAX], &[1; 300]] {
            assert_eq!(shape(bad).is_err(), bad.len() != 300, "{bad:?}");
        }
        assert!(shape(&[0; 300]).unwrap_err().to_string().contains("(300 dimensions)"));
    }

    #[test]
    fn bytes_in_memory_are_read_as_the_file_of_their_name() {
        assert_eq!(from_bytes("a.csv", b"1,2\n").unwrap().data, [1.0, 2.0]);
        assert!(from_bytes("a.txt", b"1,2\n").unwrap_err().to_string().contains("not recognised"));
    }

    #[test]
    fn a_colon_where_nothing_can_follow_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "1,2\n").unwrap();
        let error = load(&format!("{}:patch=8", path.display()), 0).unwrap_err();
        assert!(error.to_string().contains("behind a colon") && error.exit_code() == 2, "{error}");
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
