//! The folder that a run leaves.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::atomic;
use crate::config::Config;
use crate::error::{Error, Result, one_line};
use crate::paths::missing;
use crate::report::run::{METRICS_FILE, SETTINGS_FILE};

/// The settings of a run, as resolved.
pub(super) const CONFIG: &str = SETTINGS_FILE;
/// A line for every step and epoch.
pub(super) const METRICS: &str = METRICS_FILE;
/// The folder of the run's checkpoints.
pub(super) const CHECKPOINTS: &str = crate::checkpoint::FOLDER;

/// Locked by the process that writes in the folder, whose number it holds.
const LOCK: &str = ".lock";

/// The parent of folders that nobody named.
const RUNS: &str = "runs";

/// The folder of a run, in which no other process writes as long as this lives.
#[derive(Debug)]
pub(super) struct RunDir {
    pub(super) path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Makes `out`, which must be new or an empty folder; without it `runs/NAME-N`, N the first number from 1 whose folder
    /// does not exist. Writes the settings there.
    ///
    /// # Errors
    /// [`Error::Setting`] where the folder holds something already, cannot be written, or is written by another run.
    pub(super) fn create(out: Option<&Path>, name: &str, config: &Config) -> Result<Self> {
        let path = match out {
            Some(path) => {
                new_or_empty(path)?;
                path.to_owned()
            }
            None => numbered(Path::new(RUNS), name)?,
        };
        let lock = lock(&path, "--out")?;
        if out.is_some() {
            // Another run may have come first.
            new_or_empty(&path)?;
        }
        atomic::remove_leftovers(&path)
            .and_then(|()| atomic::sync_parent(&path))
            .map_err(|e| unwritable(&path, e.kind()))?;
        let this = Self { path, _lock: lock };
        this.write_settings(config)?;
        Ok(this)
    }

    /// Takes the folder of a run up again.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is none, [`Error::Setting`] where it is written by another run or cannot be written.
    pub(super) fn open(path: &Path) -> Result<Self> {
        const EXPECTED: &str = "the folder of a run, with its config.toml";
        if !path.exists() {
            return Err(missing(path, &[], EXPECTED));
        }
        if !path.join(CONFIG).is_file() && !path.join(CHECKPOINTS).is_dir() {
            return Err(Error::Missing { path: path.join(CONFIG), nearest: None, expected: EXPECTED });
        }
        let lock = lock(path, "--resume")?;
        atomic::remove_leftovers(path).map_err(|e| refused("--resume", path, &format!("cannot be written: {e}")))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Writes the settings.
    ///
    /// # Errors
    /// As [`RunDir::create`].
    pub(super) fn write_settings(&self, config: &Config) -> Result {
        let settings = config.to_toml()?;
        atomic::write(&self.path.join(CONFIG), settings.as_bytes()).map_err(|e| unwritable(&self.path, e.kind()))
    }

    /// A file of the run.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Locks the folder for this process. The lock goes with the process, however it ends; the file stays.
fn lock(path: &Path, option: &str) -> Result<File> {
    let write = |e: std::io::Error| refused(option, path, &format!("cannot be written: {}", e.kind()));
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join(LOCK));
    let mut file = open.map_err(write)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = match holder.trim().parse::<u32>() {
                Ok(process) => format!("process {process}"),
                Err(_) => "another process".to_owned(),
            };
            let place = format!("{option} {}", one_line(&path.to_string_lossy()));
            return Err(Error::setting(
                place,
                format!("{holder} is training here"),
                "a folder of its own for each run",
            ));
        }
        // A file system without locks is no reason not to train.
        Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => return Ok(file),
        Err(TryLockError::Error(e)) => return Err(write(e)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(write)?;
    Ok(file)
}

/// Makes the folder, or sees that it is empty, but for what a run leaves that was killed before it began.
fn new_or_empty(path: &Path) -> Result {
    let ours = |name: &std::ffi::OsStr| {
        name.to_str().is_some_and(|name| name == LOCK || (name.contains(CONFIG) && atomic::is_temporary(name)))
    };
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.find(|entry| entry.as_ref().map_or(true, |entry| !ours(&entry.file_name()))) {
            None => Ok(()),
            Some(_) if path.join(CONFIG).is_file() => {
                let place = format!("--out {}", one_line(&path.to_string_lossy()));
                let expected = "a new or empty folder, or --resume with it to go on with that run";
                Err(Error::setting(place, "this folder is not empty: it holds a run", expected))
            }
            Some(_) => Err(refused("--out", path, "this folder is not empty")),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => fs::create_dir_all(path).map_err(|e| unwritable(path, e.kind())),
        Err(e) if e.kind() == ErrorKind::NotADirectory => Err(refused("--out", path, "this is not a folder")),
        Err(e) => Err(unwritable(path, e.kind())),
    }
}

/// `PARENT/NAME-N`, N the first number from 1 whose folder does not exist, made.
///
/// # Errors
/// [`Error::Setting`] where it cannot be written.
pub(super) fn numbered(parent: &Path, name: &str) -> Result<PathBuf> {
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
    Err(refused("--out", parent, "every number is taken"))
}

fn unwritable(path: &Path, kind: ErrorKind) -> Error {
    refused("--out", path, &format!("cannot be written: {kind}"))
}

fn refused(option: &str, path: &Path, found: &str) -> Error {
    let place = format!("{option} {}", one_line(&path.to_string_lossy()));
    let expected = match option {
        "--out" => "a new or empty folder that can be written",
        _ => "a run's folder that can be written",
    };
    Error::setting(place, found, expected)
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
    fn a_folder_is_one_runs_at_a_time_and_of_a_run_that_never_began_anyones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let config = Config::default();
        let first = RunDir::create(Some(&path), "x", &config).unwrap();
        let error = RunDir::open(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("process {} is training here", std::process::id())), "{error}");
        drop(first);
        drop(RunDir::open(&path).unwrap());
        fs::rename(path.join(CONFIG), path.join(".config.toml.1.0.tmp")).unwrap();
        assert!(RunDir::open(&path).unwrap_err().to_string().contains("config.toml: no such file"));
        RunDir::create(Some(&path), "x", &config).unwrap();
        let error = RunDir::open(&dir.path().join("rnu")).unwrap_err().to_string();
        assert!(error.contains("did you mean `") && error.contains("run`"), "{error}");
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
