//! What can go wrong in the harness. Every message is one line: what, where, and what was expected.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// A failure of the harness.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation of the kernels was refused.
    #[error(transparent)]
    Kernels(#[from] sae_kernels::Error),
    /// A file could not be read.
    #[error("{}: cannot be read: {error}", Show(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A file could not be written.
    #[error("{}: cannot be written: {error}", Show(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// There is no such file.
    #[error("{}: no such file or folder{}; expected {expected}", Show(path), Suggestion(nearest.as_deref()))]
    Missing {
        /// The path given.
        path: PathBuf,
        /// The nearest name there is.
        nearest: Option<String>,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// The content of an input is not what it has to be.
    #[error("{file}: {found}, expected {expected}")]
    Input {
        /// The file, and the array inside it where there are several.
        file: String,
        /// What was found, and where.
        found: String,
        /// What it has to be.
        expected: String,
    },
    /// A setting, on the command line or in a config, is wrong.
    #[error("{place}: {found}, expected {expected}{}", Suggestion(nearest.as_deref()))]
    Setting {
        /// The file and line, or the option.
        place: String,
        /// What was found.
        found: String,
        /// What it has to be.
        expected: String,
        /// The nearest valid name.
        nearest: Option<String>,
    },
    /// The memory for a tensor could not be had.
    #[error("{what}: {bytes} bytes of memory are not available")]
    Memory {
        /// What was to be stored.
        what: String,
        /// How much it needs.
        bytes: u128,
    },
    /// The work was broken off by a signal, and what was done is kept.
    #[error("{told}")]
    Interrupted {
        /// The exit code: 128 and the signal's number.
        code: u8,
        /// Where the work is, and how to go on.
        told: String,
    },
    /// The work was begun and could not be finished.
    #[error("{0}")]
    Failed(String),
}

/// The result of a harness function.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit code of a process that ends with this error: 2 for bad usage or bad input, 1 for work that failed, 128 and
    /// more after a signal.
    pub fn exit_code(&self) -> u8 {
        use sae_kernels::Error as Kernels;
        match self {
            Self::Read { .. } | Self::Missing { .. } | Self::Input { .. } | Self::Setting { .. } => 2,
            Self::Kernels(
                Kernels::Unknown { .. }
                | Kernels::NotBuilt { .. }
                | Kernels::IsaUnavailable { .. }
                | Kernels::BceActivation { .. }
                | Kernels::Scalar { .. },
            ) => 2,
            Self::Interrupted { code, .. } => *code,
            _ => 1,
        }
    }

    /// Whether the caller can mend it by calling differently or with another input.
    pub fn is_usage(&self) -> bool {
        self.exit_code() == 2
    }

    /// An [`Error::Input`].
    pub(crate) fn input(file: impl fmt::Display, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let (found, expected) = once(found.into(), expected.into());
        Self::Input { file: one_line(&file.to_string()), found, expected }
    }

    /// An [`Error::Setting`] without a suggestion.
    pub(crate) fn setting(place: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let (found, expected) = once(found.into(), expected.into());
        Self::Setting { place: place.into(), found, expected, nearest: None }
    }

    /// An [`Error::Read`].
    pub(crate) fn read(path: &Path, error: io::Error) -> Self {
        Self::Read { path: path.to_owned(), error }
    }
}

/// What was found, and what was expected: where the first is another error that says what it expected, it knows more.
fn once(found: String, expected: String) -> (String, String) {
    match found.split_once(", expected ") {
        Some((found, expected)) => (found.to_owned(), expected.to_owned()),
        None => (found, expected),
    }
}

/// The candidate a misspelt `name` most likely meant: the fewest edits, at most a third of its length and at least two.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer names are not compared: edit distance is quadratic.
    const LONGEST: usize = 256;
    if name.len() > LONGEST {
        return None;
    }
    let limit = (name.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        // A name replaced as a whole is no misspelling.
        .filter(|&(edits, candidate)| edits <= limit && edits < candidate.chars().count())
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, candidate)| candidate)
}

/// Foreign text for a message: control characters escaped, at most 40 characters.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    one_line(&short)
}

/// The text with its control characters escaped, so that it stays on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

struct Show<'a>(&'a Path);

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.0.to_string_lossy()))
    }
}

struct Suggestion<'a>(Option<&'a str>);

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, " (did you mean `{}`?)", one_line(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_misspellings_and_nothing_else() {
        let names = ["hidden", "output", "d_hid", "init", "lr"];
        assert_eq!(nearest("hiden", names), Some("hidden"));
        assert_eq!(nearest("d_hdi", names), Some("d_hid"));
        assert_eq!(nearest("reconstruction", names), None);
        assert_eq!(nearest("xy", names), None);
        assert_eq!(nearest(&"x".repeat(100_000), names), None);
    }

    #[test]
    fn messages_stay_on_one_line() {
        let error = Error::Missing { path: "a\nb".into(), nearest: Some("a\rb".into()), expected: "a file" };
        assert_eq!(error.to_string(), "a\\nb: no such file or folder (did you mean `a\\rb`?); expected a file");
        assert_eq!(excerpt(&"é\n".repeat(40)), format!("{}…", "é\\n".repeat(20)));
    }

    #[test]
    fn what_another_error_expected_is_said_once() {
        let inner = "rows of 2 columns, expected 1, as in the training data";
        assert_eq!(Error::input("m", inner, "a map that fits").to_string(), format!("m: {inner}"));
        assert_eq!(Error::input("m", "rows of 2 columns", "1").to_string(), "m: rows of 2 columns, expected 1");
    }

    #[test]
    fn bad_input_exits_with_two_and_failed_work_with_one() {
        assert_eq!(Error::input("x.npy", "3", "4").exit_code(), 2);
        assert_eq!(Error::read(Path::new("x"), io::ErrorKind::NotFound.into()).exit_code(), 2);
        assert_eq!("x".parse::<sae_kernels::BackendKind>().map_err(Error::from).unwrap_err().exit_code(), 2);
        assert_eq!(Error::Write { path: "x".into(), error: io::ErrorKind::StorageFull.into() }.exit_code(), 1);
        assert_eq!(Error::Failed("out of luck".into()).exit_code(), 1);
        assert_eq!(Error::Interrupted { code: 130, told: String::new() }.exit_code(), 130);
    }
}
