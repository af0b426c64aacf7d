//! Running the command; the tests of long runs use it too.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

/// A command that runs in a folder of its own.
pub(crate) struct Sae {
    pub(crate) folder: TempDir,
}

impl Sae {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        name.to_owned()
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sae"));
        command.current_dir(self.folder.path()).args(line.split_whitespace()).env_remove("SAE_KERNELS_ISA");
        command
    }

    pub(crate) fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs what has to work; its stdout.
    pub(crate) fn done(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "sae {line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what has to be refused: exit code 2, one line on stderr that holds every part of `told`, nothing on stdout.
    pub(crate) fn refused(&self, line: &str, told: &[&str]) {
        refused(line, &self.run(line), told);
    }
}

pub(crate) fn refused(line: &str, output: &Output, told: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "sae {line}: {text}");
    assert_eq!(text.lines().count(), 1, "sae {line}: {text}");
    assert!(text.starts_with("error: ") && !text.contains("panicked"), "sae {line}: {text}");
    assert!(output.stdout.is_empty(), "sae {line}: {:?}", output.stdout);
    for part in told {
        assert!(text.contains(part), "sae {line}: `{part}` is not in: {text}");
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
