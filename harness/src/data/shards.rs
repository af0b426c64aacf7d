//! Arrays in several files that are one set: `.npy` and `.safetensors`, one behind the other.
//!
//! A spec is a file, a folder with such files, or a pattern with `*`, `?` or `[…]`, and for `.safetensors` a tensor's name behind
//! a colon. The files come in the order of their names, byte by byte: `part-002` before `part-010`, but `part-10` before
//! `part-2`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::element::Element;
use super::source::{Source, has_extension};
use super::{Dataset, Part, Shape, folder, images, npy, safetensors};
use crate::error::{Error, Result, one_line};
use crate::paths::file_name;

/// The arrays of a set, of which only the headers were read.
#[derive(Clone, Debug)]
pub(crate) struct Shards {
    /// What the set is called.
    pub(crate) name: String,
    /// Rows of all files.
    pub(crate) rows: usize,
    /// Length of a row.
    pub(crate) cols: usize,
    /// Height and width, where a row is an image.
    pub(crate) image: Option<(usize, usize)>,
    files: Vec<Shard>,
}

/// One file.
#[derive(Clone, Debug)]
struct Shard {
    path: PathBuf,
    /// The path, for messages.
    name: String,
    /// The number of its first row.
    first: usize,
    rows: usize,
    /// Where its rows begin.
    offset: u64,
    element: Element,
    fortran: bool,
    /// Bytes of the whole file.
    len: u64,
}

/// Where an array is in a file, and what it is.
pub(super) struct Place {
    pub(super) shape: Shape,
    pub(super) element: Element,
    pub(super) offset: u64,
}

/// The files that a spec means.
struct Files {
    paths: Vec<PathBuf>,
    /// The tensor's name.
    key: Option<String>,
    /// What they are called together.
    name: String,
}

impl Shards {
    /// The arrays that `spec` names; `None` where it names something else.
    ///
    /// # Errors
    /// Where a pattern matches nothing or something else, a header is wrong, or the rows of two files differ in length.
    pub(crate) fn find(spec: &str) -> Result<Option<Self>> {
        let Some(Files { paths, key, name }) = files(spec)? else { return Ok(None) };
        let mut all = Self { name, rows: 0, cols: 0, image: None, files: Vec::with_capacity(paths.len()) };
        for path in paths {
            let mut source = Source::open(&path)?;
            let place = match has_extension(&path, "npy") {
                true => npy::place(&mut source)?,
                false => safetensors::place(&mut source, key.as_deref())?,
            };
            let Shape { rows, cols, image, array } = place.shape;
            match all.files.first() {
                None => (all.cols, all.image) = (cols, image),
                Some(first) if cols != all.cols => {
                    let expected = format!("{}, as in {}", all.cols, first.name);
                    return Err(Error::input(&source.name, format!("its rows have {cols} columns"), expected));
                }
                Some(_) if image != all.image => all.image = None,
                Some(_) => {}
            }
            all.files.push(Shard {
                name: source.name,
                path,
                first: all.rows,
                rows,
                offset: place.offset,
                element: place.element,
                fortran: array.fortran,
                len: source.len,
            });
            all.rows = all.rows.checked_add(rows).ok_or_else(|| too_many(spec))?;
        }
        match all.rows.checked_mul(all.cols).and_then(|count| count.checked_mul(size_of::<f32>())) {
            Some(bytes) if isize::try_from(bytes).is_ok() => Ok(Some(all)),
            _ => Err(too_many(spec)),
        }
    }

    /// Bytes of all rows as `f32`.
    pub(crate) fn bytes(&self) -> usize {
        self.rows * self.cols * size_of::<f32>()
    }

    /// Refuses arrays whose rows do not lie together.
    ///
    /// # Errors
    /// [`Error::Input`] with the first of them.
    pub(crate) fn check_rows_lie_together(&self) -> Result {
        match self.files.iter().find(|file| file.fortran && file.rows > 1) {
            None => Ok(()),
            Some(file) => {
                let expected =
                    "rows that lie together, as numpy.ascontiguousarray makes them, or a larger data.buffer_mib";
                Err(Error::input(&file.name, "it is stored column by column (fortran_order)", expected))
            }
        }
    }
}

fn too_many(spec: &str) -> Error {
    Error::input(one_line(spec), "it has too many values to count", "fewer")
}

/// All sets of a spec that means several files, as one; `None` where it means one file or something else.
pub(super) fn load_all(spec: &str, load: impl Fn(&Path, Option<&str>) -> Result<Dataset>) -> Result<Option<Dataset>> {
    let Some(Files { paths, key, name }) = files(spec)? else { return Ok(None) };
    if let [only] = &paths[..]
        && only.as_path() == Path::new(spec)
    {
        return Ok(None);
    }
    let mut all: Option<Dataset> = None;
    for path in &paths {
        let set = load(path, key.as_deref())?;
        let Some(all) = &mut all else {
            all = Some(Dataset { name: name.clone(), ..set });
            continue;
        };
        if set.cols != all.cols {
            let expected = format!("{}, as in {}", all.cols, one_line(&paths[0].to_string_lossy()));
            return Err(Error::input(path.display(), format!("its rows have {} columns", set.cols), expected));
        }
        all.rows += set.rows;
        all.data.extend_from_slice(&set.data);
        all.image = all.image.filter(|image| set.image == Some(*image));
        all.labels = match (all.labels.take(), set.labels) {
            (Some(labels), Some(more)) => Some([labels, more].concat()),
            _ => None,
        };
    }
    Ok(all)
}

fn is_array(path: &Path) -> bool {
    ["npy", "safetensors"].iter().any(|extension| has_extension(path, extension))
}

fn files(spec: &str) -> Result<Option<Files>> {
    let whole = Path::new(spec);
    if whole.is_dir() {
        return in_folder(whole);
    }
    let (path, key) = match spec.rsplit_once(':') {
        Some((path, key)) if !whole.exists() && has_extension(Path::new(path), "safetensors") => (path, Some(key)),
        _ => (spec, None),
    };
    let key = key.map(str::to_owned);
    if Path::new(path).is_file() {
        let name = file_name(Path::new(path));
        let name = key.as_ref().map_or(name.clone(), |key| format!("{name}:{key}"));
        return Ok(is_array(Path::new(path)).then(|| Files { paths: vec![path.into()], key, name }));
    }
    if !path.contains(['*', '?', '[']) {
        return Ok(None);
    }
    const EXPECTED: &str = "a pattern of .npy or .safetensors files";
    let matches = glob::glob(path)
        .map_err(|e| Error::setting("data.source", format!("{}: {}", one_line(path), e.msg), EXPECTED))?;
    let mut paths = Vec::new();
    for found in matches {
        paths.push(found.map_err(|e| {
            let path = e.path().to_owned();
            Error::read(&path, e.into())
        })?);
    }
    paths.sort();
    match paths.iter().find(|path| !is_array(path)) {
        Some(other) => {
            Err(Error::input(one_line(path), format!("it matches {}", one_line(&other.to_string_lossy())), EXPECTED))
        }
        None if paths.is_empty() => Err(Error::input(one_line(path), "no file matches", EXPECTED)),
        None => Ok(Some(Files { paths, key, name: file_name(Path::new(path)) })),
    }
}

/// The arrays in a folder; `None` where there are none, or images or MNIST's files, which are what it is then.
fn in_folder(folder: &Path) -> Result<Option<Files>> {
    if images::in_folder(folder) || folder::has(folder, Part::Train) {
        return Ok(None);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::read(folder, e))? {
        let path = entry.map_err(|e| Error::read(folder, e))?.path();
        if is_array(&path) && path.is_file() && !file_name(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok((!paths.is_empty()).then(|| Files { paths, key: None, name: file_name(folder) }))
}

/// Reads rows of shards; one file is open at a time.
#[derive(Debug)]
pub(crate) struct Reader {
    shards: Arc<Shards>,
    open: Option<(usize, File)>,
    bytes: Vec<u8>,
}

impl Reader {
    /// Bytes that are read at a time, and that a reader takes of memory.
    pub(crate) const PIECE: usize = 1 << 17;

    pub(crate) fn new(shards: Arc<Shards>) -> Self {
        Self { shards, open: None, bytes: Vec::new() }
    }

    /// Appends these rows to `out`, in f32; all are finite.
    ///
    /// # Errors
    /// [`Error::Read`], and [`Error::Input`] where a file is not what it was when its header was read, or a value is not finite.
    pub(crate) fn read(&mut self, rows: Range<usize>, out: &mut Vec<f32>) -> Result {
        let shards = Arc::clone(&self.shards);
        let mut at = rows.start;
        while at < rows.end {
            let index = shards.files.partition_point(|file| file.first + file.rows <= at);
            let Some(file) = shards.files.get(index) else {
                return Err(Error::Failed(format!("row {at} of a set of {} rows was asked for", shards.rows)));
            };
            let end = rows.end.min(file.first + file.rows);
            self.read_from(index, file, at - file.first..end - file.first, out)?;
            at = end;
        }
        Ok(())
    }

    /// The same of one file, whose first row is 0.
    fn read_from(&mut self, index: usize, file: &Shard, rows: Range<usize>, out: &mut Vec<f32>) -> Result {
        let cols = self.shards.cols;
        let unreadable = |e| Error::read(&file.path, e);
        let handle = match &mut self.open {
            Some((open, handle)) if *open == index => handle,
            slot => {
                let handle = File::open(&file.path).map_err(unreadable)?;
                let len = handle.metadata().map_err(unreadable)?.len();
                if len != file.len {
                    let found = format!("it has {len} bytes");
                    return Err(Error::input(&file.name, found, format!("{}, as when the run began", file.len)));
                }
                &mut slot.insert((index, handle)).1
            }
        };
        let size = file.element.size();
        let start = file.offset + (rows.start * cols * size) as u64;
        handle.seek(SeekFrom::Start(start)).map_err(unreadable)?;
        let mut left = rows.len() * cols;
        let mut at = rows.start * cols;
        while left > 0 {
            let now = left.min(Self::PIECE / size);
            self.bytes.resize(now * size, 0);
            handle.read_exact(&mut self.bytes).map_err(unreadable)?;
            let before = out.len();
            file.element.append_f32(&self.bytes, out);
            // Without a branch for each value.
            if !out[before..].iter().fold(true, |finite, v| finite & v.is_finite()) {
                let bad = out[before..].iter().position(|v| !v.is_finite()).unwrap_or_default();
                let (row, column) = ((at + bad) / cols, (at + bad) % cols);
                let found = format!("row {row}, column {column} (counted from 0) is {} as f32", out[before + bad]);
                return Err(Error::input(&file.name, found, "a finite number"));
            }
            left -= now;
            at += now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;

    /// An `.npy` of `<f4` with rows of `cols` values.
    fn npy(values: &[f32], cols: usize) -> Vec<u8> {
        let mut header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {cols}), }}", values.len() / cols);
        header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
        header.push('\n');
        let len = (header.len() as u16).to_le_bytes();
        [
            b"\x93NUMPY\x01\x00",
            &len[..],
            header.as_bytes(),
            &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>(),
        ]
        .concat()
    }

    /// Three files with rows of three columns: 4, 1 and 3 rows of 0, 1, 2, ….
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let values: Vec<f32> = (0..24).map(|v| v as f32).collect();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("a-0.npy", &npy(&values[..12], 3));
        let doubles: Vec<u8> = values[12..15].iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
        let view = ::safetensors::tensor::TensorView::new(::safetensors::Dtype::F64, vec![1, 3], &doubles).unwrap();
        write("a-1.safetensors", &::safetensors::serialize([("X", view)], None).unwrap());
        write("a-2.npy", &npy(&values[15..], 3));
        write("notes.txt", b"nothing");
        folder
    }

    #[test]
    fn a_folder_and_a_pattern_are_their_files_one_behind_the_other() {
        let folder = folder();
        let expected: Vec<f32> = (0..24).map(|v| v as f32).collect();
        for spec in [folder.path().to_owned(), folder.path().join("a-*")] {
            let spec = spec.to_str().unwrap();
            let set = load(spec, 0).unwrap();
            assert_eq!((set.rows, set.cols, &set.data), (8, 3, &expected), "{spec}");
            let shards = Arc::new(Shards::find(spec).unwrap().unwrap());
            assert_eq!((shards.rows, shards.cols, shards.bytes()), (8, 3, 96));
            let mut reader = Reader::new(Arc::clone(&shards));
            for from in 0..8 {
                for to in from..=8 {
                    let mut out = vec![-1.0];
                    reader.read(from..to, &mut out).unwrap();
                    assert_eq!(out[1..], expected[3 * from..3 * to]);
                }
            }
            assert!(reader.read(7..9, &mut Vec::new()).is_err());
        }
        assert!(Shards::find("digits").unwrap().is_none());
        // Beside the four files or images, arrays are something else.
        std::fs::write(folder.path().join("train-images-idx3-ubyte"), b"").unwrap();
        assert!(Shards::find(folder.path().to_str().unwrap()).unwrap().is_none());
        assert!(Shards::find(folder.path().join("notes.txt").to_str().unwrap()).unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_with_a_shard_is_told_with_its_name() {
        let folder = folder();
        let told = |pattern: &str| Shards::find(folder.path().join(pattern).to_str().unwrap()).unwrap_err().to_string();
        assert!(told("b-*").contains("no file matches"), "{}", told("b-*"));
        assert!(told("*").contains("notes.txt"), "{}", told("*"));
        assert!(told("a-[").contains("data.source"), "{}", told("a-["));
        std::fs::write(folder.path().join("a-2.npy"), npy(&[1.0, 2.0], 2)).unwrap();
        let error = told("a-*");
        assert!(
            error.contains("a-2.npy: its rows have 2 columns, expected 3, as in ") && error.contains("a-0.npy"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_has_changed_or_is_not_finite_is_told() {
        let folder = folder();
        let shards = Arc::new(Shards::find(folder.path().to_str().unwrap()).unwrap().unwrap());
        let last = folder.path().join("a-2.npy");
        let values = [15.0, 16.0, 17.0, 18.0, f32::NAN, 20.0, 21.0, 22.0, 23.0];
        std::fs::write(&last, npy(&values, 3)).unwrap();
        let mut out = Vec::new();
        let error = Reader::new(Arc::clone(&shards)).read(0..8, &mut out).unwrap_err().to_string();
        assert!(error.contains("a-2.npy: row 1, column 1 (counted from 0) is NaN as f32"), "{error}");
        std::fs::write(&last, npy(&values[..6], 3)).unwrap();
        let error = Reader::new(shards).read(5..8, &mut out).unwrap_err().to_string();
        assert!(error.contains("as when the run began"), "{error}");
    }
}
