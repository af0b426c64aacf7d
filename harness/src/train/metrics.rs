//! `metrics.jsonl`: one JSON object a line, one line a step and one an epoch.
//!
//! ```json
//! {"kind":"step","step":7,"epoch":0,"loss":9.1,"reconstruction":8.9,"sparsity":0.1,"weight_decay":0.1,"rho_hat_mean":0.2,"lr":0.001,"samples_per_s":51200.0}
//! {"kind":"epoch","step":7,"epoch":0,"loss":9.4, …,"val_loss":9.2,"val_mse":0.03}
//! ```
//!
//! JSON has no NaN and no infinity: a number that is not finite is written as `null`, and `null` is read as NaN.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::atomic;
use crate::error::Error;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// After a step.
    Step(Measures),
    /// After an epoch.
    Epoch(EpochMeasures),
}

/// What is measured of the training set: over one batch on a step's line, averaged over the epoch on an epoch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Updates done so far, from 1.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// J, the sum of its parts.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Reconstruction loss, by the run's convention.
    #[serde(deserialize_with = "number")]
    pub reconstruction: f64,
    /// Sparsity penalty, with its weight.
    #[serde(deserialize_with = "number")]
    pub sparsity: f64,
    /// Weight decay, with its coefficient.
    #[serde(deserialize_with = "number")]
    pub weight_decay: f64,
    /// γ·D, where corrupted samples are part of the objective; left out of the line where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub denoising: Option<f64>,
    /// Mean activation, over units and samples.
    #[serde(deserialize_with = "number")]
    pub rho_hat_mean: f64,
    /// Learning rate.
    #[serde(deserialize_with = "number")]
    pub lr: f64,
    /// Training samples per second of wall time.
    #[serde(deserialize_with = "number")]
    pub samples_per_s: f64,
    /// Milliseconds in which the training waited for rows to be read, where they are streamed; over all steps of an epoch on an
    /// epoch's line.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub stall_ms: Option<f64>,
    /// Norm of the gradient over all four tensors, before it is clipped and without the weight decay; left out of a line where it was not
    /// taken.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub gradient_norm: Option<f64>,
}

/// An epoch: the training set's measures, and the validation set's where there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMeasures {
    /// The training set's.
    #[serde(flatten)]
    pub train: Measures,
    /// The validation set's; all `None` where there is none.
    #[serde(flatten)]
    pub validation: Validation,
}

/// What is measured of the validation set. A measure that was not taken is left out of the line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// J.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub val_loss: Option<f64>,
    /// Reconstruction loss.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub val_reconstruction: Option<f64>,
    /// Sparsity penalty.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub val_sparsity: Option<f64>,
    /// Mean squared error per element.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub val_mse: Option<f64>,
    /// Mean activation.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub val_rho_hat_mean: Option<f64>,
    /// Share of activations above the run's threshold, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub val_active_percent: Option<f64>,
}

impl Record {
    /// Updates done when the line was written.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(m) => m.step,
            Self::Epoch(e) => e.train.step,
        }
    }
}

/// `null` is a number that was not finite.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// As [`number`], for a key that is there.
fn some_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    number(deserializer).map(Some)
}

/// A log that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The file system refused; the message names the path.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A line that is not a record.
    #[error("{path}, line {line}: {problem}, expected a record of a step or an epoch")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl From<MetricsError> for Error {
    fn from(error: MetricsError) -> Self {
        match error {
            MetricsError::Line { path, line, problem } => {
                let found = format!("line {line}: {problem}");
                Self::input(path.display(), found, "a record of a step or an epoch")
            }
            MetricsError::Io(error) => Self::Failed(error.to_string()),
        }
    }
}

/// Appends records to `metrics.jsonl`. Lines are buffered, and on disk after every epoch.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    out: BufWriter<File>,
}

impl MetricsWriter {
    /// Starts an empty log.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, MetricsError> {
        let file = File::create(path).map_err(|e| at(path, &e))?;
        Ok(Self { path: path.to_path_buf(), out: BufWriter::new(file) })
    }

    /// Goes on with the log of an interrupted run whose checkpoint was taken after `step` updates: later lines, and whatever a
    /// machine that stopped has left behind them, are removed. So is the line of an epoch that ended with that step, where
    /// the step is `inside_epoch`: a longer run goes on with it. A file that is missing is started.
    ///
    /// # Errors
    /// If the file cannot be read or written, or a line before that step's is no record.
    pub fn resume(path: &Path, step: u64, inside_epoch: bool) -> Result<Self, MetricsError> {
        if !path.try_exists().map_err(|e| at(path, &e))? {
            return Self::create(path);
        }
        let mut records = Vec::new();
        let outcome = read_each(path, |record| records.push(record));
        if let Err(error @ MetricsError::Line { .. }) = outcome
            && records.last().is_none_or(|last| last.step() < step)
        {
            return Err(error);
        }
        records.retain(|record| match record {
            Record::Epoch(_) if inside_epoch => record.step() < step,
            _ => record.step() <= step,
        });
        atomic::replace(path, |out| records.iter().try_for_each(|record| write_line(out, record)))?;
        let file = OpenOptions::new().append(true).open(path).map_err(|e| at(path, &e))?;
        Ok(Self { path: path.to_path_buf(), out: BufWriter::new(file) })
    }

    /// Writes one line, and after an epoch's all that is buffered.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write(&mut self, record: &Record) -> Result<(), MetricsError> {
        write_line(&mut self.out, record).map_err(|e| at(&self.path, &e))?;
        if matches!(record, Record::Epoch(_)) {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes all that is buffered, and brings it to disk.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn sync(&mut self) -> Result<(), MetricsError> {
        self.flush()?;
        Ok(self.out.get_ref().sync_all().map_err(|e| at(&self.path, &e))?)
    }

    /// Writes all that is buffered. Dropping the writer does too, but cannot report a failure.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn flush(&mut self) -> Result<(), MetricsError> {
        Ok(self.out.flush().map_err(|e| at(&self.path, &e))?)
    }
}

fn write_line(out: &mut impl Write, record: &Record) -> io::Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    out.write_all(b"\n")
}

/// A log as read.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsLog {
    /// The records, in the order of the file.
    pub records: Vec<Record>,
    /// Whether the last line was cut off, as a run that is killed leaves it; it is not among the records.
    pub cut_off: bool,
}

/// Reads a whole log.
///
/// # Errors
/// If the file cannot be read, or a line is no record. A last line that is not closed by a newline is left out instead.
pub fn read(path: &Path) -> Result<MetricsLog, MetricsError> {
    let mut records = Vec::new();
    let cut_off = read_each(path, |record| records.push(record))?;
    Ok(MetricsLog { records, cut_off })
}

/// Hands the records on, up to the first line that is none; whether the last line was cut off.
fn read_each(path: &Path, mut take: impl FnMut(Record)) -> Result<bool, MetricsError> {
    let mut file = BufReader::new(File::open(path).map_err(|e| at(path, &e))?);
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if file.read_until(b'\n', &mut text).map_err(|e| at(path, &e))? == 0 {
            break;
        }
        if text.last() != Some(&b'\n') {
            return Ok(true);
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        take(serde_json::from_slice(&text).map_err(|e| MetricsError::Line {
            path: path.to_path_buf(),
            line,
            problem: e.to_string(),
        })?);
    }
    Ok(false)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;

    fn measures(step: u64, epoch: u64) -> Measures {
        let loss = 1.0 / step as f64;
        Measures {
            step,
            epoch,
            loss,
            reconstruction: 0.7 * loss,
            sparsity: 0.2 * loss,
            weight_decay: 0.1 * loss,
            denoising: None,
            rho_hat_mean: 0.05,
            lr: 1e-3,
            samples_per_s: 12345.678,
            stall_ms: step.is_multiple_of(2).then_some(0.25),
            gradient_norm: step.is_multiple_of(2).then_some(0.125),
        }
    }

    fn sample() -> Vec<Record> {
        let validation = Validation { val_loss: Some(0.3), val_mse: Some(0.01), ..Validation::default() };
        vec![
            Record::Step(measures(1, 0)),
            Record::Step(measures(2, 0)),
            Record::Epoch(EpochMeasures { train: measures(2, 0), validation }),
            Record::Step(measures(3, 1)),
            Record::Epoch(EpochMeasures { train: measures(3, 1), validation: Validation::default() }),
        ]
    }

    fn write_all(path: &Path, records: &[Record]) {
        let mut writer = MetricsWriter::create(path).unwrap();
        for record in records {
            writer.write(record).unwrap();
        }
    }

    #[test]
    fn records_come_back_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        write_all(&path, &sample());
        assert_eq!(read(&path).unwrap(), MetricsLog { records: sample(), cut_off: false });
    }

    #[test]
    fn a_line_has_the_documented_keys_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        write_all(&path, &sample());
        let text = fs::read_to_string(&path).unwrap();
        let keys = |line: usize| -> Vec<String> {
            let value: Value = serde_json::from_str(text.lines().nth(line).unwrap()).unwrap();
            value.as_object().unwrap().keys().cloned().collect()
        };
        let common =
            ["epoch", "kind", "loss", "lr", "reconstruction", "rho_hat_mean", "samples_per_s", "sparsity", "step"];
        let mut step: Vec<&str> = common.to_vec();
        step.push("weight_decay");
        let sorted = |mut keys: Vec<String>| {
            keys.sort();
            keys
        };
        assert_eq!(sorted(keys(0)), step);
        assert_eq!(sorted(keys(4)), step);
        // The norm of the gradient and the time of waiting are on lines that know them.
        let own = ["gradient_norm", "stall_ms", "val_loss", "val_mse", "weight_decay"];
        let mut with_validation = [&common[..], &own].concat();
        with_validation.sort_unstable();
        assert_eq!(sorted(keys(2)), with_validation);
        assert!(text.lines().nth(2).unwrap().contains(r#""kind":"epoch""#));
        assert!(text.lines().next().unwrap().contains(r#""kind":"step""#));
    }

    #[test]
    fn numbers_that_are_not_finite_are_null_in_the_file_and_nan_when_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut train = measures(1, 0);
        train.loss = f64::NAN;
        train.sparsity = f64::INFINITY;
        let validation = Validation { val_loss: Some(f64::NEG_INFINITY), ..Validation::default() };
        write_all(&path, &[Record::Epoch(EpochMeasures { train, validation })]);
        let value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert!(value["loss"].is_null() && value["sparsity"].is_null() && value["val_loss"].is_null());
        let log = read(&path).unwrap();
        let Record::Epoch(epoch) = &log.records[0] else { panic!("{log:?}") };
        assert!(epoch.train.loss.is_nan() && epoch.train.sparsity.is_nan());
        assert!(epoch.validation.val_loss.unwrap().is_nan());
        assert_eq!(epoch.validation.val_mse, None);
    }

    #[test]
    fn an_epochs_line_is_on_disk_when_write_returns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut writer = MetricsWriter::create(&path).unwrap();
        for record in &sample()[..3] {
            writer.write(record).unwrap();
        }
        assert_eq!(read(&path).unwrap().records, sample()[..3]);
    }

    #[test]
    fn a_log_cut_off_at_any_byte_gives_its_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        write_all(&path, &sample());
        let whole = fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let lines = whole[..length].iter().filter(|&&b| b == b'\n').count();
            let log = read(&path).unwrap();
            assert_eq!(log.records, sample()[..lines]);
            assert_eq!(log.cut_off, length > 0 && whole[length - 1] != b'\n');
        }
    }

    #[test]
    fn a_line_that_is_no_record_is_named_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        write_all(&path, &sample()[..1]);
        for bad in ["{\"kind\":\"step\",\"step\":1}", "{\"kind\":\"hour\"}", "[]", "\u{0}", "{\"kind\":\"step\""] {
            let mut text = fs::read(&path).unwrap();
            text.extend_from_slice(bad.as_bytes());
            text.push(b'\n');
            let other = dir.path().join("bad.jsonl");
            fs::write(&other, text).unwrap();
            let error = read(&other).unwrap_err().to_string();
            assert!(error.contains("bad.jsonl, line 2: "), "{error}");
            assert!(MetricsWriter::resume(&other, 9, false).is_err());
        }
        assert!(read(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn a_resumed_log_is_the_log_of_a_run_that_was_never_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        write_all(&path, &sample());
        let whole = fs::read(&path).unwrap();
        // Each takes a while to be brought to disk.
        for length in (0..=whole.len()).step_by(7) {
            fs::write(&path, &whole[..length]).unwrap();
            let kept = read(&path).unwrap().records.iter().filter(|r| r.step() <= 2).count();
            let mut writer = MetricsWriter::resume(&path, 2, false).unwrap();
            for record in &sample()[kept..] {
                writer.write(record).unwrap();
            }
            drop(writer);
            assert_eq!(fs::read(&path).unwrap(), whole, "cut at {length}");
        }
        fs::remove_file(&path).unwrap();
        MetricsWriter::resume(&path, 0, false).unwrap();
        assert_eq!(read(&path).unwrap().records, []);
    }

    #[test]
    fn what_a_machine_that_stopped_left_behind_the_checkpoint_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        write_all(&path, &sample()[..3]);
        let good = fs::read(&path).unwrap();
        fs::write(&path, [&good[..], b"{\"kind\":\"st\n\0\0\0\0"].concat()).unwrap();
        MetricsWriter::resume(&path, 2, false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), good);
    }

    #[test]
    fn the_line_of_an_epoch_cut_short_goes_where_a_longer_run_goes_on_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        write_all(&path, &sample()[..3]);
        MetricsWriter::resume(&path, 2, true).unwrap();
        assert_eq!(read(&path).unwrap().records, sample()[..2]);
    }
}
