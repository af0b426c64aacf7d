//! Files that are either whole or absent, and stay so when the machine stops.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes `path` through a temporary file in the same folder, which takes its name only once it is complete and on disk;
/// then the folder is brought to disk too, so that on return the new file is what is found after a power failure.
///
/// A reader sees the old file or the new one, never a part; when `fill` fails, the old file stays and nothing is left behind.
/// When only the folder cannot be brought to disk, the new file is in place.
///
/// # Errors
/// Whatever `fill` or the file system reports, with the path in front.
pub fn replace(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    write_then_rename(path, fill).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

fn write_then_rename(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let name = beside(path)?;
    let mut temporary = Temporary(Some(name.clone()));
    let file = OpenOptions::new().write(true).create_new(true).open(&name)?;
    let mut out = BufWriter::new(file);
    fill(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    drop(file);
    rename(&name, path)?;
    temporary.0 = None;
    sync_parent(path)
}

/// Gives a file another name in the same file system. The folder is not brought to disk.
///
/// # Errors
/// Whatever the file system reports.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    uninterrupted(|| fs::rename(from, to))
}

/// Makes a folder, and brings its name to disk. One that is there already is fine.
///
/// # Errors
/// Whatever the file system reports.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    uninterrupted(|| fs::create_dir(path))?;
    sync_parent(path)
}

/// Brings the names in the folder that holds `path` to disk.
///
/// # Errors
/// Whatever the file system reports.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        // Elsewhere a folder cannot be opened as a file, and the system offers nothing else.
        Some(parent) if cfg!(unix) => {
            File::open(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?.sync_all()
        }
        _ => Ok(()),
    }
}

/// Repeats what a signal interrupts, which the standard library does not do for every call.
fn uninterrupted(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Removes what writers that were killed have left in `folder`. Only for the one process that writes there.
///
/// # Errors
/// Whatever the file system reports.
pub(crate) fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(is_temporary) {
            uninterrupted(|| fs::remove_file(&path))?;
        }
    }
    Ok(())
}

/// Whether this is the name of a temporary file of [`replace`].
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".tmp")
}

/// A name in the folder of `path` that no other writer, in this process or another, uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file, expected folder/name"));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.{}.tmp", process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(hidden))
}

/// Removes the temporary file, as long as it is called so.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = &self.0 {
            let _ = uninterrupted(|| fs::remove_file(name));
        }
    }
}

/// [`replace`] with bytes at hand.
///
/// # Errors
/// As [`replace`].
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |out| out.write_all(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write(&path, b"old").unwrap();
        let error = replace(&path, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk on fire"))
        })
        .unwrap_err();
        assert!(error.to_string().contains("a.txt: disk on fire"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_replaces_the_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write(&path, b"something long").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write(&path, b"kept").unwrap();
        fs::write(beside(&path).unwrap(), b"half").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        remove_leftovers(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(fs::read(&path).unwrap(), b"kept");
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let error = write(&dir.path().join("none").join("a.txt"), b"x").unwrap_err();
        assert!(error.to_string().contains("a.txt"), "{error}");
        assert!(write(Path::new("/"), b"x").is_err());
    }
}
