//! A folder with MNIST's four files, under any of their usual names.

use std::path::{Path, PathBuf};

use super::source::Source;
use super::{Dataset, idx};
use crate::error::{Error, Result};
use crate::paths::file_name;

/// Which part of a set that comes divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `train-images` and `train-labels`.
    Train,
    /// `t10k-images` and `t10k-labels`.
    Test,
}

impl Part {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "t10k",
        }
    }
}

/// Loads one part of a folder in MNIST's layout, with its labels where they are there.
///
/// Names are `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, and so on, gzipped (`.gz`) or not.
///
/// # Errors
/// [`Error::Input`] where the part is not in the folder; those of an IDX file.
pub fn load_folder(folder: &Path, part: Part) -> Result<Dataset> {
    let prefix = part.prefix();
    let Some(images) = find(folder, &format!("{prefix}-images"), "idx3-ubyte") else {
        let expected = format!(
            "PNG or JPEG images, .npy or .safetensors files, or MNIST's files, {prefix}-images-idx3-ubyte or {prefix}-images.idx3-ubyte, .gz or not"
        );
        return Err(Error::input(folder.display(), format!("no {prefix} images in this folder"), expected));
    };
    let shown = images.display().to_string();
    let mut set = idx::samples(&mut Source::open(&images)?, file_name(folder))?;
    if let Some(labels) = find(folder, &format!("{prefix}-labels"), "idx1-ubyte") {
        set.labels = Some(idx::labels(&mut Source::open(&labels)?, set.rows, &shown)?);
    }
    Ok(set)
}

/// Whether the images of a part are in the folder.
pub(super) fn has(folder: &Path, part: Part) -> bool {
    find(folder, &format!("{}-images", part.prefix()), "idx3-ubyte").is_some()
}

fn find(folder: &Path, stem: &str, kind: &str) -> Option<PathBuf> {
    ["-", "."]
        .into_iter()
        .flat_map(|separator| ["", ".gz"].map(|end| folder.join(format!("{stem}{separator}{kind}{end}"))))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;

    #[test]
    fn both_spellings_of_the_names_are_found() {
        for separator in ["-", "."] {
            let folder = tempfile::tempdir().unwrap();
            let write = |name: &str, bytes: &[u8]| {
                std::fs::write(folder.path().join(name.replace("@", separator)), bytes).unwrap();
            };
            write("train-images@idx3-ubyte", &[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 5, 6]);
            write("train-labels@idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 1, 4]);
            let set = load(folder.path().to_str().unwrap(), 0).unwrap();
            assert_eq!((set.data, set.labels), (vec![5.0, 6.0], Some(vec![4])));
            let error = load_folder(folder.path(), Part::Test).unwrap_err().to_string();
            assert!(error.contains("no t10k images"), "{error}");
        }
    }

    #[test]
    fn mnist_has_its_published_shape() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/mnist"));
        if !folder.is_dir() {
            eprintln!("skipped: {} is not there", folder.display());
            return;
        }
        let set = load_folder(folder, Part::Test).unwrap();
        assert_eq!((set.rows, set.cols, set.image), (10_000, 784, Some((28, 28))));
        assert_eq!(set.range(), (0.0, 255.0));
        assert_eq!(set.labels.unwrap()[..4], [7, 2, 1, 0]);
    }
}
