//! Where the time of a step goes, and what bounds each part of it.

use sae_kernels::{Backend, Isa};

use super::bandwidth::Triad;
use super::operation::{Sizes, TimedStep};
use super::timed::{Laps, Phase, Timed};
use super::timing::{Timing, compare, median};
use crate::error::Result;

/// Passes over memory before the repetitions, and as many after them.
const PASSES: usize = 5;
/// Seconds below which a phase is too near the clock's own cost, some tens of nanoseconds, to be told.
const RESOLUTION: f64 = 1e-6;

/// The parts of a step, and the roofs above them.
#[derive(Clone, Debug)]
pub struct Phases {
    sizes: Sizes,
    /// The median of each.
    medians: Laps,
    /// The median of the steps that were timed.
    step: f64,
    peak_gflops: f64,
    /// Bytes a second.
    bandwidth: f64,
}

/// What is known of one phase.
#[derive(Clone, Copy, Debug)]
pub struct PhaseRow {
    /// Which one.
    pub phase: Phase,
    /// The median; `None` where it is too short to be told.
    pub seconds: Option<f64>,
    /// Of the step.
    pub share: Option<f64>,
    /// Of the phase's product, where it has one.
    pub gflops: Option<f64>,
    /// Of the peak in the same run.
    pub fraction_of_peak: Option<f64>,
    /// What must be moved at least, were nothing left in caches from the phase before.
    pub bytes: Option<f64>,
    /// Operations a byte.
    pub intensity: Option<f64>,
    /// `min(peak, intensity · bandwidth)`.
    pub roof_gflops: Option<f64>,
    /// Which of the two that is: `arithmetic` or `memory`.
    pub bound: Option<&'static str>,
}

impl Phases {
    /// Bytes of memory that [`Phases::measure`] takes beside those of the step.
    pub fn bytes() -> u128 {
        Triad::bytes()
    }

    /// Times whole steps as [`compare`] does, and their phases.
    ///
    /// # Errors
    /// Those of the step.
    pub fn measure(sizes: Sizes, backend: Box<dyn Backend>, isa: Isa, reps: usize) -> Result<(Timing, Self)> {
        let mut timed = Timed::new(backend);
        let mut step = TimedStep::new(sizes, &timed)?;
        let mut rates = Vec::with_capacity(2 * PASSES);
        let mut triad = Triad::new();
        // The first pass warms up.
        triad.run();
        rates.extend((0..PASSES).map(|_| triad.run()));
        let mut laps = Vec::new();
        let timing = compare(isa, reps, &mut || {
            timed.begin();
            step.run(&mut timed)?;
            laps.push(timed.end());
            Ok(None)
        })?;
        rates.extend((0..PASSES).map(|_| triad.run()));
        // The last ones are those that were compared; the others warmed up and calibrated.
        let counted = laps.len().min(reps.saturating_mul(timing.calls as usize));
        let laps = &laps[laps.len() - counted..];
        let medians = Phase::ALL.map(|phase| median(laps.iter().map(|laps| laps[phase as usize]).collect()));
        let step = median(laps.iter().map(|laps| laps.iter().sum()).collect());
        let phases = Self { sizes, medians, step, peak_gflops: timing.peak_gflops, bandwidth: median(rates) };
        Ok((timing, phases))
    }

    /// What is known of a phase.
    pub fn row(&self, phase: Phase) -> PhaseRow {
        let seconds = Some(self.medians[phase as usize]).filter(|&seconds| seconds >= RESOLUTION);
        let (flops, bytes) = (flops(phase, self.sizes), moved(phase, self.sizes));
        let intensity = flops.zip(bytes).map(|(flops, bytes)| flops / bytes);
        let memory = intensity.map(|intensity| intensity * self.bandwidth / 1e9);
        let gflops = flops.zip(seconds).map(|(flops, seconds)| flops / seconds / 1e9);
        PhaseRow {
            phase,
            seconds,
            share: seconds.map(|seconds| seconds / self.step),
            gflops,
            fraction_of_peak: gflops.map(|gflops| gflops / self.peak_gflops),
            bytes,
            intensity,
            roof_gflops: memory.map(|memory| memory.min(self.peak_gflops)),
            bound: memory.map(|memory| if memory < self.peak_gflops { "memory" } else { "arithmetic" }),
        }
    }

    /// All of them, in the order of a step.
    pub fn rows(&self) -> impl Iterator<Item = PhaseRow> {
        Phase::ALL.into_iter().map(|phase| self.row(phase))
    }

    /// What memory gives and takes, in GB/s: a = b + s·c over arrays larger than the last-level cache.
    pub fn bandwidth_gb_s(&self) -> f64 {
        self.bandwidth / 1e9
    }
}

/// Operations of a phase, where it has a product: `2·n·d_in·d_hid` a model.
fn flops(phase: Phase, sizes: Sizes) -> Option<f64> {
    let product = 2.0 * sizes.batch as f64 * sizes.d_in as f64 * sizes.d_hid as f64 * sizes.models as f64;
    (!matches!(phase, Phase::Penalty | Phase::Biases | Phase::Other)).then_some(product)
}

/// Bytes a phase must move at least, were nothing left in caches from the one before: every operand read once and every
/// result written once, 4 bytes an element. With n samples, d = `d_in`, h = `d_hid`:
///
/// | phase | read | written | elements |
/// | --- | --- | --- | --- |
/// | encode | x, w_enc, b_enc | h, sums | nd + dh + nh + 2h |
/// | penalty | means | means, ρ̂, row term | 4h |
/// | decode | h, w_dec, b_dec, x | delta_out, db_dec | 2nd + dh + nh + 2d |
/// | hidden_delta | delta_out, w_decᵀ, h, row term | delta_hid, db_enc | nd + dh + 2nh + 2h |
/// | weight_grad_dec | h, delta_out, w_dec, m, v | w_dec, m, v, w_decᵀ | nh + nd + 7dh |
/// | weight_grad_enc | x, delta_hid, w_enc, m, v | w_enc, m, v | nd + nh + 6dh |
/// | biases | b, m, v, db of both | b, m, v | 7d + 7h |
///
/// `other` has no operands to speak of. All of it is once for each model, but for x, which they share.
fn moved(phase: Phase, sizes: Sizes) -> Option<f64> {
    let (n, d, h) = (sizes.batch as f64, sizes.d_in as f64, sizes.d_hid as f64);
    let models = sizes.models as f64;
    let x = n * d;
    let elements = match phase {
        Phase::Encode => x + models * (d * h + n * h + 2.0 * h),
        Phase::Penalty => models * 4.0 * h,
        Phase::Decode => x + models * (n * d + d * h + n * h + 2.0 * d),
        Phase::HiddenDelta => models * (n * d + d * h + 2.0 * n * h + 2.0 * h),
        Phase::WeightGradDec => models * (n * h + n * d + 7.0 * d * h),
        Phase::WeightGradEnc => x + models * (n * h + 6.0 * d * h),
        Phase::Biases => models * 7.0 * (d + h),
        Phase::Other => return None,
    };
    Some(elements * size_of::<f32>() as f64)
}

/// GFLOP/s of a step whose every phase takes as long as the slower of two: its operations at the peak, its bytes at the
/// bandwidth. What stays in the caches from phase to phase can pass it.
pub fn step_roof(sizes: Sizes, peak_gflops: f64, bandwidth_gb_s: f64) -> f64 {
    let seconds = |phase| {
        let arithmetic = flops(phase, sizes).unwrap_or(0.0) / (1e9 * peak_gflops);
        let memory = moved(phase, sizes).unwrap_or(0.0) / (1e9 * bandwidth_gb_s);
        arithmetic.max(memory)
    };
    let operations: f64 = Phase::ALL.into_iter().filter_map(|phase| flops(phase, sizes)).sum();
    operations / Phase::ALL.into_iter().map(seconds).sum::<f64>() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { batch: 2, d_in: 3, d_hid: 5, models: 1 };

    #[test]
    fn every_product_of_a_step_is_in_one_phase() {
        let flops: f64 = Phase::ALL.into_iter().filter_map(|phase| flops(phase, SIZES)).sum();
        assert_eq!(flops, 10.0 * 2.0 * 3.0 * 5.0);
    }

    #[test]
    fn bytes_are_those_of_the_operands() {
        let elements = Phase::ALL.map(|phase| moved(phase, SIZES).map(|bytes| bytes / 4.0));
        let expected = [41.0, 20.0, 43.0, 51.0, 121.0, 106.0, 56.0].map(Some);
        assert_eq!(elements[..7], expected);
        // Of three models: x, 6 elements, once.
        let of_three = Phase::ALL.map(|phase| moved(phase, Sizes { models: 3, ..SIZES }).map(|bytes| bytes / 4.0));
        let expected = [41.0 * 3.0 - 12.0, 60.0, 43.0 * 3.0 - 12.0, 153.0, 363.0, 106.0 * 3.0 - 12.0, 168.0].map(Some);
        assert_eq!(of_three[..7], expected);
        assert_eq!(elements[7], None);
    }

    #[test]
    fn the_lower_roof_bounds_a_phase() {
        let mut medians = [1e-3; Phase::ALL.len()];
        medians[Phase::Biases as usize] = 1e-9;
        let mut phases = Phases { sizes: SIZES, medians, step: 8e-3, peak_gflops: 100.0, bandwidth: 1e9 };
        // 60 operations over 164 bytes, at 1 GB/s.
        let row = phases.row(Phase::Encode);
        assert_eq!((row.roof_gflops, row.bound), (Some(60.0 / 164.0 * 1e9 / 1e9), Some("memory")));
        phases.bandwidth = 1e12;
        let row = phases.row(Phase::Encode);
        assert_eq!((row.roof_gflops, row.bound), (Some(100.0), Some("arithmetic")));
        assert_eq!(row.gflops, Some(60.0 / 1e-3 / 1e9));
        // Too short to be told, and no product.
        let row = phases.row(Phase::Biases);
        assert_eq!((row.seconds, row.gflops, row.bound), (None, None, None));
        assert_eq!(phases.rows().count(), Phase::ALL.len());
    }

    #[test]
    fn the_roof_of_a_step_is_that_of_its_phases() {
        let sizes = Sizes { batch: 64, d_in: 64, d_hid: 2503, models: 1 };
        // Penalty and biases have no operations, and nearly no bytes.
        let fast = step_roof(sizes, 100.0, 1e9);
        assert!((fast / 100.0 - 1.0).abs() < 1e-6, "{fast}");
        let slow = step_roof(sizes, 1e12, 10.0);
        let bytes: f64 = Phase::ALL.into_iter().filter_map(|phase| moved(phase, sizes)).sum();
        let expected = 10.0 * 64.0 * 64.0 * 2503.0 / bytes * 10.0;
        assert!((slow / expected - 1.0).abs() < 1e-9, "{slow} {expected}");
        // Between the two: products bound by the peak, updates by memory.
        let both = step_roof(sizes, 200.0, 20.0);
        assert!(both < 200.0 && both > step_roof(sizes, 1e12, 20.0).min(100.0), "{both}");
    }
}
