//! The folder that a run leaves.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::atomic;
use crate::config::Config;
use crate::error::{Error, Result, one_line};
use crate::report::run::{METRICS_FILE, SETTINGS_FILE};

/// The settings of a run, as resolved.
pub(super) const CONFIG: &str = SETTINGS_FILE;
/// A line for every step and epoch.
pub(super) const METRICS: &str = METRICS_FILE;

/// The parent of folders that nobody named.
const RUNS: &str = "runs";

/// A folder that was new or empty when the run began.
#[derive(Debug)]
pub(super) struct RunDir {
    pub(super) path: PathBuf,
}

impl RunDir {
    /// Makes `out`, which must be new or an empty folder; without it `runs/NAME-N`, N the first number from 1 whose folder
    /// does not exist. Writes the settings there.
    ///
    /// # Errors
    /// [`Error::Setting`] where the folder holds something already or cannot be written.
    pub(super) fn create(out: Option<&Path>, name: &str, config: &Config) -> Result<Self> {
        let path = match out {
            Some(path) => {
                named(path)?;
                path.to_owned()
            }
            None => numbered(Path::new(RUNS), name)?,
        };
        let settings = config.to_toml()?;
        atomic::write(&path.join(CONFIG), settings.as_bytes()).map_err(|e| unwritable(&path, e.kind()))?;
        Ok(Self { path })
    }

    /// A file of the run.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn named(path: &Path) -> Result {
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(refused(path, "this folder is not empty")),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => fs::create_dir_all(path).map_err(|e| unwritable(path, e.kind())),
        Err(e) if e.kind() == ErrorKind::NotADirectory => Err(refused(path, "this is not a folder")),
        Err(e) => Err(unwritable(path, e.kind())),
    }
}

fn numbered(parent: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(parent).map_err(|e| unwritable(parent, e.kind()))?;
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).take(64).collect();
    let name = name.trim_start_matches('.');
    for number in 1u32.. {
        let path = parent.join(format!("{}-{number}", if name.is_empty() { "run" } else { name }));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(unwritable(&path, e.kind())),
        }
    }
    Err(refused(parent, "every number is taken"))
}

fn unwritable(path: &Path, kind: ErrorKind) -> Error {
    refused(path, &format!("cannot be written: {kind}"))
}

fn refused(path: &Path, found: &str) -> Error {
    let place = format!("--out {}", one_line(&path.to_string_lossy()));
    Error::setting(place, found, "a new or empty folder that can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_holds_something_is_never_taken() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::default();
        let run = RunDir::create(Some(&dir.path().join("a/b")), "x", &config).unwrap();
        assert_eq!(fs::read_to_string(run.file(CONFIG)).unwrap(), config.to_toml().unwrap());
        let error = RunDir::create(Some(&dir.path().join("a/b")), "x", &config).unwrap_err();
        assert!(error.to_string().contains("this folder is not empty"), "{error}");
        let error = RunDir::create(Some(&dir.path().join("a/b/config.toml")), "x", &config).unwrap_err();
        assert!(error.to_string().contains("not a folder"), "{error}");
        let error = RunDir::create(Some(&dir.path().join("a/b/config.toml/c")), "x", &config).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        fs::create_dir(dir.path().join("empty")).unwrap();
        RunDir::create(Some(&dir.path().join("empty")), "x", &config).unwrap();
    }

    #[test]
    fn folders_without_a_name_are_numbered_from_1() {
        let dir = tempfile::tempdir().unwrap();
        let first = numbered(dir.path(), "a b/../c").unwrap();
        assert_eq!(first, dir.path().join("a-b-..-c-1"));
        assert_eq!(numbered(dir.path(), "a b/../c").unwrap(), dir.path().join("a-b-..-c-2"));
        assert_eq!(numbered(dir.path(), "..").unwrap(), dir.path().join("run-1"));
    }
}
