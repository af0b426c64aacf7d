//! TensorBoard's event files: a run's numbers, histograms and pictures, as `tensorboard --logdir` reads them.
//!
//! A file is a row of records (see [`record`]), each an `Event` of TensorFlow's `event.proto`, in the wire format of Protocol
//! Buffers (see `wire`). The first one names the version of the format.
//!
//! ```no_run
//! use sae_harness::tensorboard::EventFile;
//!
//! let mut events = EventFile::create("runs/mine".as_ref(), 0)?;
//! events.scalar(1, "loss/total", 12.5)?;
//! events.histogram(1, "weights/encoder", [0.1, -0.2, 0.3])?;
//! events.flush()?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod buckets;
pub mod record;
mod wire;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use buckets::Buckets;
use wire::Message;

/// What the first event of every file says.
const VERSION: &str = "brain.Event:2";
/// What the name of an event file has to contain for TensorBoard to see it.
pub const FILE_MARK: &str = "tfevents";

/// An event file that is being written. What is buffered is on disk after [`EventFile::flush`].
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    out: BufWriter<File>,
}

/// A picture: RGB, row by row, three bytes a pixel, as a PNG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    /// The whole PNG file.
    pub png: Vec<u8>,
}

impl EventFile {
    /// Starts a file in `folder`, with a name of its own. Where `step` is not 0, it goes on with a run after that many
    /// updates: what other files in the folder say of later ones no longer counts.
    ///
    /// # Errors
    /// Those of the file system; the message names the path.
    pub fn create(folder: &Path, step: u64) -> io::Result<Self> {
        let seconds = now() as u64;
        for number in 0u32.. {
            let path = folder.join(format!("events.out.{FILE_MARK}.{seconds}.sae.{}.{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(at(&path, &e)),
                Ok(file) => {
                    let mut events = Self { path, out: BufWriter::new(file) };
                    events.write(&event(0, |m| m.text(3, VERSION)))?;
                    if step > 0 {
                        // SessionLog { status: START }: TensorBoard forgets what comes after this step.
                        events.write(&event(step, |m| m.message(7, |log| log.integer(1, 1))))?;
                    }
                    return Ok(events);
                }
            }
        }
        Err(io::Error::other("every number is taken"))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A number, after `step` updates.
    ///
    /// # Errors
    /// Those of the file system; the message names the path.
    pub fn scalar(&mut self, step: u64, tag: &str, value: f64) -> io::Result<()> {
        self.summary(step, tag, |value_of| value_of.float(2, value as f32))
    }

    /// How values are distributed. Those that are not finite are left out.
    ///
    /// # Errors
    /// As [`EventFile::scalar`].
    pub fn histogram(&mut self, step: u64, tag: &str, values: impl IntoIterator<Item = f64>) -> io::Result<()> {
        let buckets: Buckets = values.into_iter().collect();
        self.summary(step, tag, |value| value.message(5, |histogram| buckets.encode(histogram)))
    }

    /// A picture.
    ///
    /// # Errors
    /// As [`EventFile::scalar`].
    pub fn image(&mut self, step: u64, tag: &str, picture: &Picture) -> io::Result<()> {
        /// TensorFlow's number for red, green, blue.
        const RGB: u64 = 3;
        self.summary(step, tag, |value| {
            value.message(4, |image| {
                image.integer(1, picture.height as u64);
                image.integer(2, picture.width as u64);
                image.integer(3, RGB);
                image.bytes(4, &picture.png);
            });
        })
    }

    /// A text, shown as Markdown.
    ///
    /// # Errors
    /// As [`EventFile::scalar`].
    pub fn text(&mut self, step: u64, tag: &str, text: &str) -> io::Result<()> {
        /// `DT_STRING` of TensorFlow's `types.proto`.
        const STRING: u64 = 7;
        self.summary(step, tag, |value| {
            value.message(8, |tensor| {
                tensor.integer(1, STRING);
                // The shape of a single string has no dimensions.
                tensor.message(2, |_| {});
                tensor.bytes(8, text.as_bytes());
            });
            value.message(9, |metadata| metadata.message(1, |plugin| plugin.text(1, "text")));
        })
    }

    /// Hands all that is buffered to the system.
    ///
    /// # Errors
    /// As [`EventFile::scalar`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush().map_err(|e| at(&self.path, &e))
    }

    /// A summary of one value with this tag.
    fn summary(&mut self, step: u64, tag: &str, fill: impl FnOnce(&mut Message)) -> io::Result<()> {
        let event = event(step, |m| {
            m.message(5, |summary| {
                summary.message(1, |value| {
                    value.text(1, tag);
                    fill(value);
                });
            });
        });
        self.write(&event)
    }

    fn write(&mut self, event: &[u8]) -> io::Result<()> {
        record::write(&mut self.out, event).map_err(|e| at(&self.path, &e))
    }
}

/// An event of now.
fn event(step: u64, fill: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::default();
    message.double(1, now());
    if step > 0 {
        message.integer(2, step);
    }
    fill(&mut message);
    message.into_bytes()
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::record::read;
    use super::*;

    #[test]
    fn a_file_begins_with_its_version_and_holds_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(dir.path(), 0).unwrap();
        events.scalar(7, "loss/total", 0.5).unwrap();
        events.flush().unwrap();
        let bytes = std::fs::read(events.path()).unwrap();
        let records = read(&bytes).unwrap();
        assert_eq!(records.len(), 2);
        // wall_time, a double in field 1, takes nine bytes; then file_version, a text in field 3.
        assert_eq!(&records[0][9..], b"\x1a\x0dbrain.Event:2");
        // step 7 in field 2, then summary { value { tag, simple_value 0.5 } }.
        assert_eq!(&records[1][9..], b"\x10\x07\x2a\x13\x0a\x11\x0a\x0aloss/total\x15\x00\x00\x00\x3f");
    }

    #[test]
    fn a_second_file_in_a_folder_has_a_name_of_its_own_and_says_where_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let first = EventFile::create(dir.path(), 0).unwrap();
        let mut second = EventFile::create(dir.path(), 300).unwrap();
        second.flush().unwrap();
        assert_ne!(first.path(), second.path());
        assert!(second.path().file_name().unwrap().to_str().unwrap().contains(FILE_MARK));
        let bytes = std::fs::read(second.path()).unwrap();
        // step 300 in field 2, session_log { status: START } in field 7.
        assert_eq!(&read(&bytes).unwrap()[1][9..], b"\x10\xac\x02\x3a\x02\x08\x01");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = EventFile::create("/nowhere/at/all".as_ref(), 0).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
