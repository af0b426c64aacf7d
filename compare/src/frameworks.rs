//! The same training step in PyTorch and JAX: a process of Python that runs steps on request, and waits otherwise.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use sae_harness::Error;
use sae_harness::measure::{Lap, Repeat, Sizes, TimedStep};
use sae_kernels::step::Penalty;
use sae_kernels::{BackendKind, backend};
use serde::Deserialize;

/// Steps whose losses are held against ours.
const FIRST: usize = 5;
const WORKER: &str = include_str!("../python/worker.py");

/// A step in a framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framework {
    Eager,
    Compiled,
    Jax,
    /// Products of numbers of 16 bits: another computation, shown for information.
    Bf16,
}

impl Framework {
    pub(crate) const ALL: [Self; 4] = [Self::Eager, Self::Compiled, Self::Jax, Self::Bf16];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Eager => "pytorch eager",
            Self::Compiled => "pytorch compiled",
            Self::Jax => "jax jit",
            Self::Bf16 => "pytorch compiled bf16",
        }
    }

    /// How far a loss may be from ours: this part of what the steps took off the loss, and this part of the loss.
    ///
    /// Sums in another order give losses and gradients that differ by a few units of 2⁻²⁴, and Adam makes of a gradient
    /// near 0 a step of either sign. A step left out, a penalty or decay of another weight or another learning rate
    /// shows in the first part. Products of 8-bit significands err by 2⁻⁹ each.
    const fn tolerance(self) -> (f64, f64) {
        match self {
            Self::Bf16 => (1e-2, 1e-3),
            _ => (1e-3, 1e-6),
        }
    }
}

/// The batch and the weights that everybody starts from, and the losses of our first steps.
pub(crate) struct Start {
    file: tempfile::NamedTempFile,
    sizes: Sizes,
    losses: Vec<f64>,
    options: Vec<(&'static str, f64)>,
}

impl Start {
    /// Writes the file, and makes the first steps.
    ///
    /// # Errors
    /// Where the file system or the kernels refuse.
    pub(crate) fn new(sizes: Sizes) -> Result<Self> {
        let mut fused = backend(BackendKind::Fused)?;
        let mut step = TimedStep::new(sizes, fused.as_ref())?;
        let (x, weights) = step.start();
        let mut file = tempfile::Builder::new().prefix("sae-compare-").tempfile()?;
        {
            let mut out = BufWriter::new(file.as_file_mut());
            for value in [&x, &weights.w_enc, &weights.w_dec].into_iter().flatten() {
                out.write_all(&value.to_le_bytes())?;
            }
            out.flush()?;
        }
        let (config, lr) = step.config();
        let Penalty::Kl { rho, beta, .. } = config.penalty else { bail!("the measured step has a KL penalty") };
        let options = [("--rho", rho), ("--beta", beta), ("--lr", lr), ("--decay", config.weight_decay)];
        // In decimal, as they were meant: 0.05, not the nearest number of 32 bits.
        let options = options.map(|(name, value)| (name, value.to_string().parse().unwrap_or(f64::NAN))).to_vec();
        let mut losses = Vec::new();
        for _ in 0..FIRST {
            step.run(fused.as_mut())?;
            losses.push(step.report().loss);
        }
        Ok(Self { file, sizes, losses, options })
    }

    fn path(&self) -> &Path {
        self.file.path()
    }
}

/// The first line of a worker, or its last.
#[derive(Deserialize)]
#[serde(untagged)]
enum Greeting {
    Ready { version: String, losses: Vec<f64> },
    Failed { error: String },
}

/// A process of Python.
pub(crate) struct Worker {
    framework: Framework,
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The largest relative difference of a loss from ours.
    pub(crate) loss_difference: f64,
    /// The most seconds of processor time that it took while others ran.
    pub(crate) idle_cpu: f64,
}

impl Worker {
    /// Starts it on as many threads as this pool has, and holds its first losses against ours.
    ///
    /// # Errors
    /// Where Python, the framework or the losses are not what is expected.
    pub(crate) fn start(python: &Path, framework: Framework, start: &Start) -> Result<Self> {
        let name = framework.name();
        let Sizes { batch, d_in, d_hid, .. } = start.sizes;
        let mut command = Command::new(python);
        command.args(["-c", WORKER, name]).arg("--data").arg(start.path());
        let counts = [("--batch", batch), ("--d-in", d_in), ("--d-hid", d_hid), ("--first", FIRST)];
        for (option, value) in counts.into_iter().chain([("--threads", rayon::current_num_threads())]) {
            command.args([option, &value.to_string()]);
        }
        for (option, value) in &start.options {
            command.arg(option).arg(value.to_string());
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("--python: {} cannot be run", python.display()))?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("the output was asked for")?);
        let mut worker = Self { framework, child, requests, answers, loss_difference: 0.0, idle_cpu: 0.0 };
        let line = worker.answer().with_context(|| format!("{name} did not start"))?;
        let losses = match serde_json::from_str(&line).with_context(|| format!("{name} said `{line}`"))? {
            Greeting::Ready { version, losses } => {
                eprintln!("{name}: {version}");
                losses
            }
            Greeting::Failed { error } => bail!("{name}: {error}"),
        };
        worker.loss_difference = agreement(framework, &losses, &start.losses)?;
        Ok(worker)
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "its process ended");
        Ok(line.trim().to_owned())
    }

    fn request(&mut self, calls: u64) -> Result<f64> {
        let requests = self.requests.as_mut().context("it was ended")?;
        writeln!(requests, "{calls}")?;
        let line = self.answer()?;
        let numbers: Vec<f64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        let &[seconds, idle] = &numbers[..] else { bail!("it said `{line}`, expected seconds") };
        self.idle_cpu = self.idle_cpu.max(idle);
        Ok(seconds)
    }
}

/// By its own clock: the pipe's time is nobody's.
impl Repeat for Worker {
    fn repeat(&mut self, calls: u64) -> sae_harness::Result<Lap> {
        let seconds =
            self.request(calls).map_err(|error| Error::Failed(format!("{}: {error:#}", self.framework.name())))?;
        Ok(Lap { seconds, flops: None })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.requests = None;
        // Nothing is lost where it is gone already.
        drop(self.child.wait());
    }
}

/// The largest relative difference of the losses.
fn agreement(framework: Framework, theirs: &[f64], ours: &[f64]) -> Result<f64> {
    ensure!(theirs.len() == ours.len(), "{}: {} losses, expected {}", framework.name(), theirs.len(), ours.len());
    let (of_fall, of_loss) = framework.tolerance();
    let fall = ours.iter().fold(0.0, |fall: f64, loss| fall.max((ours[0] - loss).abs()));
    for (step, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
        // Also where it is NaN.
        let within = (theirs - ours).abs() <= of_fall * fall + of_loss * ours;
        ensure!(within, "{}: the loss of step {step} is {theirs}, expected {ours}", framework.name());
    }
    Ok(theirs.iter().zip(ours).fold(0.0, |most: f64, (theirs, ours)| most.max((theirs - ours).abs() / ours)))
}

/// What `python` has of the frameworks, a line each.
pub(crate) fn versions(python: &Path) -> Vec<String> {
    const LIST: &str = "import importlib.metadata as m, sys\n\
                        print('python ' + sys.version.split()[0])\n\
                        for name in ('torch', 'jax', 'jaxlib', 'numpy', 'mkl', 'scipy-openblas32'):\n    \
                        try: print(name, m.version(name))\n    \
                        except m.PackageNotFoundError: pass";
    let output = Command::new(python).args(["-c", LIST]).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_holds_the_batch_and_both_matrices() {
        let start = Start::new(Sizes { batch: 3, d_in: 5, d_hid: 2, models: 1 }).unwrap();
        assert_eq!(std::fs::metadata(start.path()).unwrap().len(), 4 * (3 * 5 + 2 * 5 * 2));
        assert_eq!(start.losses.len(), FIRST);
        assert!(start.losses.windows(2).all(|pair| pair[1] < pair[0]), "{:?}", start.losses);
        assert_eq!(start.options, [("--rho", 0.05), ("--beta", 3.0), ("--lr", 1e-4), ("--decay", 1e-4)]);
    }

    #[test]
    fn losses_that_differ_by_more_than_rounding_are_refused() {
        let ours = [100.0, 99.0, 98.0];
        assert_eq!(agreement(Framework::Jax, &ours, &ours).unwrap(), 0.0);
        assert!(agreement(Framework::Jax, &[100.0, 99.0, 98.001], &ours).unwrap() > 1e-6);
        assert!(agreement(Framework::Jax, &[100.0, 99.0, 98.01], &ours).is_err());
        assert!(agreement(Framework::Jax, &[100.0, 99.0, f64::NAN], &ours).is_err());
        assert!(agreement(Framework::Jax, &[100.0, 99.0], &ours).is_err());
    }

    #[test]
    fn a_python_that_is_not_there_is_an_error() {
        let start = Start::new(Sizes { batch: 3, d_in: 5, d_hid: 2, models: 1 }).unwrap();
        let error = Worker::start(Path::new("/no/such/python"), Framework::Jax, &start).err().unwrap();
        assert!(error.to_string().contains("--python: /no/such/python cannot be run"), "{error}");
    }
}
