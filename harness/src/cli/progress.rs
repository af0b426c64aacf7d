//! How a run goes, for a person: a bar on a terminal, a line an epoch elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::measures::short;
use super::output;
use crate::train::metrics::{EpochMeasures, Measures};

/// How often the bar's numbers change.
const INTERVAL: Duration = Duration::from_millis(100);

/// Says what happens on stderr.
pub(super) enum Progress {
    /// Nothing.
    Quiet,
    /// A bar, redrawn in place.
    Bar { bar: ProgressBar, next: Instant, epochs: u64 },
    /// Lines.
    Lines { epochs: u64 },
}

impl Progress {
    /// Progress over `steps` steps and `epochs` epochs.
    pub(super) fn new(quiet: bool, steps: u64, epochs: u64) -> Self {
        if quiet {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { epochs };
        }
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:20} {pos}/{len} {wide_msg} {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self::Bar { bar, next: Instant::now(), epochs }
    }

    pub(super) fn step(&mut self, m: &Measures) {
        let Self::Bar { bar, next, epochs } = self else { return };
        let now = Instant::now();
        if now < *next {
            return;
        }
        *next = now + INTERVAL;
        bar.set_position(m.step);
        bar.set_message(format!(
            "epoch {}/{epochs}, loss {} = {} + {} + {}, mean rho {}, {:.0} samples/s",
            m.epoch + 1,
            short(m.loss),
            short(m.reconstruction),
            short(m.sparsity),
            short(m.weight_decay),
            short(m.rho_hat_mean),
            m.samples_per_s
        ));
    }

    pub(super) fn epoch(&mut self, m: &EpochMeasures) {
        let Self::Lines { epochs } = self else { return };
        let t = &m.train;
        let validation = m.validation.val_loss.map_or(String::new(), |loss| format!(", validation {}", short(loss)));
        output::say(&format!(
            "epoch {}/{epochs}  loss {} (reconstruction {}, sparsity {}, weight decay {}){validation}, mean rho {}, {:.0} samples/s",
            t.epoch + 1,
            short(t.loss),
            short(t.reconstruction),
            short(t.sparsity),
            short(t.weight_decay),
            short(t.rho_hat_mean),
            t.samples_per_s
        ));
    }

    pub(super) fn finish(self) {
        if let Self::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}
