//! What of a run goes to TensorBoard.
//!
//! | tags | when |
//! | --- | --- |
//! | `loss/…`, `activity/rho_hat_mean`, `schedule/lr`, `speed/…` | up to 2,000 times a run, and after every epoch (`epoch/…`) |
//! | `gradient/norm` | of the first step of every epoch; where `train.clip_norm` or `train.gradient_norm_steps` is set, with the losses as well |
//! | `validation/…` | after every epoch |
//! | `histograms/…`, `images/…`, `activity/active_percent`, `activity/dead_units` | after the first and the last epoch, and in between as often as the time they take stays below a share of the run's |

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::filters::{FilterOptions, FilterSheet, FiltersError, Scale};
use super::palette::Palette;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::tensorboard::{EventFile, Picture};
use crate::train::Trainer;
use crate::train::metrics::{EpochMeasures, Measures};

/// The most points of a curve over steps.
const POINTS: u64 = 2000;
/// Weights of a matrix that a histogram counts, evenly spread.
const WEIGHTS: usize = 1 << 15;
/// Rows whose activations a histogram counts, and those whose reconstructions are shown.
const ROWS: usize = 128;
const SHOWN: usize = 12;
/// Filters shown.
const FILTERS: usize = 100;
/// How often what was written becomes visible, at least.
const FLUSH: Duration = Duration::from_secs(5);

/// Writes a run's event file.
#[derive(Debug)]
pub struct Board {
    events: EventFile,
    /// Every so manieth step is written.
    every: u64,
    flops_per_sample: f64,
    peak_gflops: Option<f64>,
    /// What histograms and pictures may take of the run's time, and have.
    share: f64,
    spent: Duration,
    begun: Instant,
    flushed: Instant,
    looked: Option<u64>,
    /// The last epoch with a norm of the gradient.
    normed: Option<u64>,
    /// The norm that was recorded last and is not written yet, with its step.
    norm: Option<(u64, f64)>,
}

/// What a board cannot take from the measures.
#[derive(Clone, Copy, Debug)]
pub struct BoardOptions {
    /// Updates the run had before, where it goes on.
    pub from_step: u64,
    /// Updates it will have.
    pub steps: u64,
    /// Operations of a step for each sample.
    pub flops_per_sample: f64,
    /// The processor's peak on the run's threads, where it was measured.
    pub peak_gflops: Option<f64>,
    /// The share of the run's time that histograms and pictures may take.
    pub share: f64,
}

impl Board {
    /// Starts an event file in `folder` and writes the settings to it.
    ///
    /// # Errors
    /// [`Error::Failed`] where it cannot be written.
    pub fn create(folder: &Path, config: &Config, options: BoardOptions) -> Result<Self> {
        let mut events = EventFile::create(folder, options.from_step).map_err(failed)?;
        let settings: String = config.to_toml()?.lines().map(|line| format!("    {line}\n")).collect();
        events.text(options.from_step, "config", &settings).map_err(failed)?;
        let now = Instant::now();
        Ok(Self {
            events,
            every: options.steps.div_ceil(POINTS).max(1),
            flops_per_sample: options.flops_per_sample,
            peak_gflops: options.peak_gflops,
            share: options.share,
            spent: Duration::ZERO,
            begun: now,
            flushed: now,
            looked: None,
            normed: None,
            norm: None,
        })
    }

    /// After a step.
    ///
    /// # Errors
    /// [`Error::Failed`] where the file cannot be written.
    pub fn step(&mut self, m: &Measures) -> Result {
        let due = m.step.is_multiple_of(self.every);
        if due {
            self.measures("", m).map_err(failed)?;
        }
        if let Some(norm) = m.gradient_norm {
            self.norm = Some((m.step, norm));
        }
        // The first norm of an epoch at once; of the others the newest with the losses, as steps whose norm is recorded need
        // not be those that are written.
        if (due || self.normed != Some(m.epoch))
            && let Some((step, norm)) = self.norm.take()
        {
            self.normed = Some(m.epoch);
            self.events.scalar(step, "gradient/norm", norm).map_err(failed)?;
        }
        Ok(())
    }

    /// After an epoch.
    ///
    /// # Errors
    /// As [`Board::step`].
    pub fn epoch(&mut self, m: &EpochMeasures) -> Result {
        self.epoch_measures(m).map_err(failed)
    }

    /// After an epoch, with the model at hand: histograms and pictures, where there is time for them or `last` says that there
    /// will be no other occasion.
    ///
    /// # Errors
    /// As [`Board::step`], and those of the backend.
    pub fn look(&mut self, trainer: &mut Trainer, last: bool) -> Result {
        let step = trainer.state().step;
        let due = self.looked.is_none() || self.spent.as_secs_f64() < self.share * self.begun.elapsed().as_secs_f64();
        if (due || last) && self.looked != Some(step) {
            let start = Instant::now();
            self.histograms(trainer, step)?;
            self.looked = Some(step);
            self.spent += start.elapsed();
        }
        if last || self.flushed.elapsed() > FLUSH {
            self.flushed = Instant::now();
            self.events.flush().map_err(failed)?;
        }
        Ok(())
    }

    fn measures(&mut self, prefix: &str, m: &Measures) -> io::Result<()> {
        let gflops = m.samples_per_s * self.flops_per_sample / 1e9;
        let numbers = [
            ("loss/total", Some(m.loss)),
            ("loss/reconstruction", Some(m.reconstruction)),
            ("loss/sparsity", Some(m.sparsity)),
            ("loss/weight_decay", Some(m.weight_decay)),
            ("loss/denoising", m.denoising),
            ("activity/rho_hat_mean", Some(m.rho_hat_mean)),
            ("schedule/lr", Some(m.lr)),
            ("speed/samples_per_s", Some(m.samples_per_s)),
            ("speed/stall_ms", m.stall_ms),
            ("speed/gflops", Some(gflops)),
            ("speed/fraction_of_peak", self.peak_gflops.map(|peak| gflops / peak)),
        ];
        for (tag, value) in numbers {
            if let Some(value) = value {
                self.events.scalar(m.step, &format!("{prefix}{tag}"), value)?;
            }
        }
        Ok(())
    }

    fn epoch_measures(&mut self, m: &EpochMeasures) -> io::Result<()> {
        self.measures("epoch/", &m.train)?;
        let v = &m.validation;
        let numbers = [
            ("validation/loss/total", v.val_loss),
            ("validation/loss/reconstruction", v.val_reconstruction),
            ("validation/loss/sparsity", v.val_sparsity),
            ("validation/mse", v.val_mse),
            ("validation/activity/rho_hat_mean", v.val_rho_hat_mean),
            ("validation/activity/active_percent", v.val_active_percent),
        ];
        for (tag, value) in numbers {
            if let Some(value) = value {
                self.events.scalar(m.train.step, tag, value)?;
            }
        }
        Ok(())
    }

    fn histograms(&mut self, trainer: &mut Trainer, step: u64) -> Result {
        for (name, w) in ["encoder", "decoder"].into_iter().zip(trainer.weights()) {
            let (rows, cols) = (w.rows(), w.cols());
            let every = (rows * cols).div_ceil(WEIGHTS);
            let values = (0..rows * cols).step_by(every).map(|i| f64::from(w.at(0, i / cols, i % cols)));
            self.events.histogram(step, &format!("histograms/weights_{name}"), values).map_err(failed)?;
        }
        let w = trainer.weights()[0];
        let (d_in, shown) = (w.rows(), w.cols().min(FILTERS));
        let filters: Vec<f32> = (0..shown).flat_map(|j| (0..d_in).map(move |i| w.at(0, i, j))).collect();
        let set = trainer.set();
        let image = set.train.image;
        let watched = if set.validation.rows > 0 { &set.validation } else { &set.train };
        let rows = watched.data[..watched.data.len().min(ROWS * d_in)].to_vec();
        let (low, high) = watched.range();
        let threshold = trainer.config().train.threshold_active as f32;

        let options = FilterOptions { image, palette: Palette::BlueYellow, side: 16, ..FilterOptions::default() };
        self.picture(step, "images/filters", FilterSheet::samples(&filters, d_in, &options))?;

        let found = trainer.look(&rows, |seen| {
            let n = seen.x.len() / d_in;
            let d_hid = seen.h.len() / n;
            let mut rho_hat = vec![0.0; d_hid];
            let mut active = vec![0u32; d_hid];
            for row in seen.h.chunks_exact(d_hid) {
                for ((&h, mean), active) in row.iter().zip(&mut rho_hat).zip(&mut active) {
                    *mean += f64::from(h) / n as f64;
                    *active += u32::from(h > threshold);
                }
            }
            let pairs = n.min(SHOWN) * d_in;
            let pairs = [&seen.x[..pairs], &seen.x_hat[..pairs]].concat();
            let every = seen.h.len().div_ceil(WEIGHTS);
            let h: Vec<f32> = seen.h.iter().step_by(every).copied().collect();
            Ok((rho_hat, active, h, pairs, n))
        })?;
        let Some((rho_hat, active, h, pairs, n)) = found else { return Ok(()) };
        let percent = 100.0 * active.iter().map(|&a| f64::from(a)).sum::<f64>() / (n * active.len()) as f64;
        let dead = active.iter().filter(|&&a| a == 0).count();
        let events = &mut self.events;
        events.histogram(step, "histograms/rho_hat", rho_hat).map_err(failed)?;
        events.histogram(step, "histograms/activations", h.into_iter().map(f64::from)).map_err(failed)?;
        events.scalar(step, "activity/active_percent", percent).map_err(failed)?;
        events.scalar(step, "activity/dead_units", dead as f64).map_err(failed)?;
        let scale = Scale::Range(low, high);
        let columns = pairs.len() / d_in / 2;
        let options = FilterOptions { image, scale, columns, side: 32, ..FilterOptions::default() };
        self.picture(step, "images/reconstructions", FilterSheet::samples(&pairs, d_in, &options))
    }

    fn picture(&mut self, step: u64, tag: &str, sheet: Result<FilterSheet, FiltersError>) -> Result {
        let sheet = sheet.map_err(failed)?;
        let (height, width) = sheet.size;
        let picture = Picture { height, width, png: sheet.png().map_err(failed)? };
        self.events.image(step, tag, &picture).map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(format!("TensorBoard's events cannot be written: {error}"))
}
