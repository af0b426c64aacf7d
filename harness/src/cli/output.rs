//! Writing to the two streams, where either may be closed.

use std::io::{self, Write};

use crate::error::{Error, Result};

/// Writes a result to stdout. A reader that has seen enough and closed it is no failure.
///
/// # Errors
/// [`Error::Failed`] where stdout cannot be written.
pub(super) fn print(text: &str) -> Result {
    let mut out = io::stdout().lock();
    let done =
        out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    match done.and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Failed(format!("stdout: cannot be written: {e}")))
        }
        _ => Ok(()),
    }
}

/// Writes a JSON object to stdout.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json(value: &serde_json::Value) -> Result {
    print(&value.to_string())
}

/// Writes a line to stderr; there is nobody to tell where that fails.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
