//! The checkpoints of a run: the newest one and some before it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Checkpoint;
use super::file::Sections;
use crate::atomic;
use crate::error::{Error, Result};

/// The folder in a run's.
pub const FOLDER: &str = "checkpoints";
/// A file is called `step-0000001200.safetensors`.
const PREFIX: &str = "step-";
const EXTENSION: &str = ".safetensors";
/// What a file that cannot be used is called from then on, behind its name.
const SET_ASIDE: &str = ".damaged";

/// The folder `checkpoints/`. One process at a time writes there.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    keep: usize,
}

/// The newest checkpoint that can be used.
#[derive(Debug)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub checkpoint: Checkpoint,
    /// Newer ones that cannot be used, and why, a line each.
    pub unusable: Vec<String>,
}

impl Store {
    /// The checkpoints of the run in `run`, of which `keep`, at least one, are kept.
    pub fn new(run: &Path, keep: usize) -> Self {
        Self { folder: run.join(FOLDER), keep: keep.max(1) }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a checkpoint, and removes the oldest once it is on disk.
    ///
    /// # Errors
    /// [`Error::Write`] where the file system refuses: all older ones are then as they were. Those of
    /// [`Checkpoint::into_sections`].
    pub fn save(&self, checkpoint: Checkpoint) -> Result<PathBuf> {
        let path = self.folder.join(format!("{PREFIX}{:010}{EXTENSION}", checkpoint.step));
        let sections = checkpoint.into_sections()?;
        let write = |error: io::Error| Error::Write { path: path.clone(), error };
        atomic::create_folder(&self.folder).map_err(write)?;
        sections.write(&path).map_err(|error| Error::Write { path: path.clone(), error: plain(&error) })?;
        // Too many files do no harm: what cannot be removed now is removed with the next.
        if let Ok(steps) = self.steps() {
            for (_, old) in steps.into_iter().rev().skip(self.keep).filter(|(_, old)| *old != path) {
                let _ = fs::remove_file(old);
            }
        }
        Ok(path)
    }

    /// The newest checkpoint that is whole; `None` where there never was one. Newer ones that are damaged are told, and left
    /// where they are.
    ///
    /// # Errors
    /// [`Error::Input`] where there are checkpoints and none can be used, [`Error::Read`].
    pub fn newest(&self) -> Result<Option<Found>> {
        let mut unusable = Vec::new();
        for (step, path) in self.steps()?.into_iter().rev() {
            let read = Sections::read(&path).map_err(|e| e.to_string()).and_then(Checkpoint::from_sections);
            match read {
                Ok(checkpoint) if checkpoint.step == step => return Ok(Some(Found { path, checkpoint, unusable })),
                Ok(other) => unusable.push(format!("{}: it is of step {}", path.display(), other.step)),
                Err(problem) => unusable.push(format!("{}: {problem}", path.display())),
            }
        }
        match unusable.is_empty() {
            true => Ok(None),
            false => Err(Error::input(
                self.folder.display(),
                format!("no checkpoint can be used ({})", unusable.join("; ")),
                "a whole one; remove the folder to begin at step 0",
            )),
        }
    }

    /// Gives every checkpoint newer than `step` another name, so that it is neither found nor counted again, and removes
    /// what a writer that was killed has left.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn set_aside_after(&self, step: u64) -> Result {
        for (_, path) in self.steps()?.into_iter().filter(|(found, _)| *found > step) {
            let mut name = path.clone().into_os_string();
            name.push(SET_ASIDE);
            let write = |error| Error::Write { path: path.clone(), error };
            atomic::rename(&path, Path::new(&name)).map_err(write)?;
        }
        match atomic::remove_leftovers(&self.folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::Write { path: self.folder.clone(), error }),
            _ => Ok(()),
        }
    }

    /// The files by their step, the oldest first.
    fn steps(&self) -> Result<Vec<(u64, PathBuf)>> {
        let read = |error| Error::read(&self.folder, error);
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(read)?,
        };
        let mut steps = Vec::new();
        for entry in entries {
            let path = entry.map_err(read)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let digits = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(EXTENSION));
            if let Some(step) = digits.and_then(|digits| digits.parse().ok()) {
                steps.push((step, path));
            }
        }
        steps.sort();
        Ok(steps)
    }
}

/// The error without the path in its message, which [`Error::Write`] adds.
fn plain(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use sae_kernels::step::{Parameters, State};

    use super::*;

    fn at(step: u64) -> Checkpoint {
        let mut weights = Parameters::zeros(2, 1);
        weights.w_enc[0] = step as f32;
        let text = || String::from("{}");
        Checkpoint {
            d_in: 2,
            d_hid: 1,
            step,
            program: text(),
            config: text(),
            data: text(),
            preprocessing: text(),
            run: text(),
            weights,
            optimizer: State { step, ..State::default() },
            best: None,
            moves: Vec::new(),
        }
    }

    fn names(store: &Store) -> Vec<String> {
        let entries = fs::read_dir(store.folder()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_newest_are_kept_and_the_newest_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), 2);
        assert!(store.newest().unwrap().is_none());
        for step in [3, 20, 100] {
            store.save(at(step)).unwrap();
            assert_eq!(store.newest().unwrap().unwrap().checkpoint, at(step));
        }
        assert_eq!(names(&store), ["step-0000000020.safetensors", "step-0000000100.safetensors"]);
        // Begun again from an earlier one: what is saved now is kept, however many steps the others have.
        Store::new(dir.path(), 1).save(at(50)).unwrap();
        assert!(names(&store).contains(&"step-0000000050.safetensors".to_owned()), "{:?}", names(&store));
    }

    #[test]
    fn a_damaged_newest_is_told_and_the_one_before_it_taken() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), 2);
        store.save(at(1)).unwrap();
        let newest = store.save(at(2)).unwrap();
        let mut bytes = fs::read(&newest).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&newest, bytes).unwrap();
        let found = store.newest().unwrap().unwrap();
        assert_eq!(found.checkpoint, at(1));
        assert!(found.unusable[0].contains("step-0000000002.safetensors: damaged"), "{:?}", found.unusable);
        fs::write(store.folder().join(".step.1.0.tmp"), "half").unwrap();
        store.set_aside_after(1).unwrap();
        assert_eq!(names(&store), ["step-0000000001.safetensors", "step-0000000002.safetensors.damaged"]);
        fs::write(&found.path, "").unwrap();
        let error = store.newest().unwrap_err();
        assert!(error.to_string().contains("no checkpoint can be used") && error.is_usage(), "{error}");
    }

    #[test]
    fn a_name_that_lies_about_its_step_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), 2);
        let path = store.save(at(7)).unwrap();
        fs::rename(&path, path.with_file_name("step-0000000009.safetensors")).unwrap();
        assert!(store.newest().unwrap_err().to_string().contains("it is of step 7"));
    }
}
