//! Where bytes come from: a file, or memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::{Path, PathBuf};

use super::ACCEPTED;
use crate::error::{Error, Result, one_line};
use crate::paths::{file_name, missing};

/// Bytes that can be gone through more than once.
pub(crate) trait Bytes: BufRead + Seek {}

impl<T: BufRead + Seek> Bytes for T {}

/// An open regular file, or the content of one.
pub(crate) struct Source<'a> {
    pub(crate) path: PathBuf,
    /// The path, for messages.
    pub(crate) name: String,
    /// Its length in bytes.
    pub(crate) len: u64,
    bytes: Box<dyn Bytes + 'a>,
}

impl Source<'static> {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let wrong = |found: &str| Err(Error::input(path.display(), found, ACCEPTED));
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(_) if path.is_symlink() => return wrong("this is a link to nothing that can be reached"),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Err(missing(path, &["digits", "synthetic"], ACCEPTED));
            }
            Err(e) => return Err(Error::read(path, e)),
        };
        if !metadata.is_file() {
            return wrong("this is not a regular file");
        }
        let file = File::open(path).map_err(|e| Error::read(path, e))?;
        let bytes = Box::new(BufReader::with_capacity(1 << 16, file));
        Ok(Self { path: path.to_owned(), name: one_line(&path.to_string_lossy()), len: metadata.len(), bytes })
    }
}

impl<'a> Source<'a> {
    /// The content of a file that is called `name`.
    pub(crate) fn of_bytes(name: &str, bytes: &'a [u8]) -> Self {
        let len = bytes.len() as u64;
        Self { path: name.into(), name: one_line(name), len, bytes: Box::new(Cursor::new(bytes)) }
    }

    /// The bytes, from the first on.
    pub(crate) fn start(&mut self) -> Result<&mut (dyn Bytes + 'a)> {
        self.at(0)
    }

    /// The bytes, from `offset` on.
    pub(crate) fn at(&mut self, offset: u64) -> Result<&mut (dyn Bytes + 'a)> {
        let seek = self.bytes.seek(std::io::SeekFrom::Start(offset));
        seek.map_err(|e| Error::read(&self.path, e))?;
        Ok(&mut *self.bytes)
    }

    /// The file's own name, for [`Dataset::name`](super::Dataset::name).
    pub(crate) fn short_name(&self) -> String {
        file_name(&self.path)
    }
}

pub(crate) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}
