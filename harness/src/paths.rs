//! Paths that lead nowhere.

use std::path::Path;

use crate::error::{Error, nearest};

/// The error for a `path` that does not exist: it suggests the neighbour in the same folder, or the name among
/// `built_in` (for paths without a folder), that was most likely meant.
pub(crate) fn missing(path: &Path, built_in: &[&str], expected: &'static str) -> Error {
    Error::Missing { path: path.to_owned(), nearest: neighbour(path, built_in), expected }
}

/// The last part of a path, for names.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn neighbour(path: &Path, built_in: &[&str]) -> Option<String> {
    let wanted = file_name(path);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten();
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    // A link to nothing is in its folder, and is not what was meant.
    let names: Vec<String> = names.filter(|name| *name != wanted).collect();
    let built_in = if folder.is_none() { built_in } else { &[] };
    let found = nearest(&wanted, built_in.iter().copied().chain(names.iter().map(String::as_str)))?;
    Some(folder.map_or(found.to_owned(), |folder| folder.join(found).to_string_lossy().into_owned()))
}
