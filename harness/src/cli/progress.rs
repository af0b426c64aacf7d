//! How a run goes, for a person: a bar on a terminal, a line an epoch elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::measures::short;
use super::output;
use crate::train::metrics::{EpochMeasures, Measures};

/// How often the bar's numbers change.
const INTERVAL: Duration = Duration::from_millis(100);
/// Three lines that fit 80 columns.
const TEMPLATE: &str = "{prefix} {bar:22} {percent:>3}%  step {pos}/{len}  {eta} left\n{msg}";

/// Says what happens on stderr.
pub(super) enum Progress {
    /// Nothing.
    Quiet,
    /// A bar, redrawn in place.
    Bar { bar: ProgressBar, next: Instant, extent: Extent },
    /// Lines.
    Lines { extent: Extent },
}

/// How long a run is, and what its speed is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) steps: u64,
    pub(super) epochs: u64,
    pub(super) flops_per_sample: f64,
    pub(super) peak_gflops: f64,
}

impl Extent {
    /// The part of the peak, in percent.
    fn percent_of_peak(&self, samples_per_s: f64) -> f64 {
        100.0 * samples_per_s * self.flops_per_sample / 1e9 / self.peak_gflops
    }
}

impl Progress {
    pub(super) fn new(quiet: bool, extent: Extent) -> Self {
        if quiet {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { extent };
        }
        let bar = ProgressBar::with_draw_target(Some(extent.steps), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("━╸─"));
        Self::Bar { bar, next: Instant::now(), extent }
    }

    pub(super) fn step(&mut self, m: &Measures) {
        let Self::Bar { bar, next, extent } = self else { return };
        let now = Instant::now();
        if now < *next {
            return;
        }
        *next = now + INTERVAL;
        bar.set_position(m.step);
        bar.set_prefix(format!("epoch {}/{}", m.epoch + 1, extent.epochs));
        let [loss, speed] = lines(m, extent);
        bar.set_message(format!("{loss}\n{speed}"));
    }

    pub(super) fn epoch(&mut self, m: &EpochMeasures) {
        let Self::Lines { extent } = self else { return };
        let t = &m.train;
        let denoising = t.denoising.map_or(String::new(), |part| format!(", denoising {}", short(part)));
        let validation = m.validation.val_loss.map_or(String::new(), |loss| format!(", validation {}", short(loss)));
        output::say(&format!(
            "epoch {}/{}  loss {} (reconstruction {}, sparsity {}, weight decay {}{denoising}){validation}, mean rho {}, {:.0} samples/s, \
             {:.0}% of peak",
            t.epoch + 1,
            extent.epochs,
            short(t.loss),
            short(t.reconstruction),
            short(t.sparsity),
            short(t.weight_decay),
            short(t.rho_hat_mean),
            t.samples_per_s,
            extent.percent_of_peak(t.samples_per_s)
        ));
    }

    /// A line that stays, above the bar where there is one.
    pub(super) fn say(&self, line: &str) {
        match self {
            Self::Bar { bar, .. } => bar.suspend(|| output::say(line)),
            _ => output::say(line),
        }
    }

    pub(super) fn finish(&self) {
        if let Self::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

/// What stands below the bar.
fn lines(m: &Measures, extent: &Extent) -> [String; 2] {
    [
        format!(
            "loss {} = reconstruction {} + sparsity {} + decay {}{}",
            short(m.loss),
            short(m.reconstruction),
            short(m.sparsity),
            short(m.weight_decay),
            m.denoising.map_or(String::new(), |part| format!(" + denoising {}", short(part)))
        ),
        format!(
            "mean activation {}, {:.0} samples/s, {:.0}% of peak",
            short(m.rho_hat_mean),
            m.samples_per_s,
            extent.percent_of_peak(m.samples_per_s)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use indicatif::TermLike;

    use super::*;

    /// Lines as they were written, on a terminal of 80 columns.
    #[derive(Clone, Debug, Default)]
    struct Terminal(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().unwrap().extend(text.lines().map(str::to_owned));
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_tells_everything_in_80_columns() {
        let terminal = Terminal::default();
        let extent = Extent { steps: 1_234_567, epochs: 1000, flops_per_sample: 1e6, peak_gflops: 230.0 };
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let bar = ProgressBar::with_draw_target(Some(extent.steps), target);
        bar.set_style(ProgressStyle::with_template(TEMPLATE).unwrap());
        let mut progress = Progress::Bar { bar: bar.clone(), next: Instant::now(), extent };
        let loss = 1.234e-4;
        progress.step(&Measures {
            step: 123_456,
            epoch: 998,
            loss,
            reconstruction: loss,
            sparsity: loss,
            weight_decay: loss,
            denoising: None,
            rho_hat_mean: loss,
            lr: 1e-3,
            samples_per_s: 199_999.0,
            stall_ms: None,
            gradient_norm: None,
        });
        bar.force_draw();
        let lines = terminal.0.lock().unwrap();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:?}");
        let all = lines.join("\n");
        for part in [
            "epoch 999/1000",
            "step 123456/1234567",
            "left",
            "loss 1.234e-4 = reconstruction 1.234e-4 + sparsity 1.234e-4 + decay 1.234e-4",
            "mean activation 1.234e-4",
            "199999 samples/s",
            "87% of peak",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }
}
