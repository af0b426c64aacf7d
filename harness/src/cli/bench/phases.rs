//! `sae bench step --phases`: where the time of a step goes, and what bounds each part of it.

use sae_kernels::{Backend, Isa};
use serde_json::{Value, json};

use super::bandwidth::Triad;
use crate::cli::measures::short;
use crate::error::Result;
use crate::measure::{Laps, Phase, Sizes, Timed, TimedStep, Timing, compare, median};

/// Passes over memory before the repetitions, and as many after them.
const PASSES: usize = 5;
/// Seconds below which a phase is too near the clock's own cost, some tens of nanoseconds, to be told.
const RESOLUTION: f64 = 1e-6;

/// The parts of a step, and the roofs above them.
pub(super) struct Phases {
    sizes: Sizes,
    /// The median of each.
    medians: Laps,
    /// The median of the steps that were timed.
    step: f64,
    peak_gflops: f64,
    /// Bytes a second.
    bandwidth: f64,
}

/// Bytes of memory beside those of the step.
pub(super) fn bytes() -> u128 {
    Triad::bytes()
}

/// Times whole steps as [`compare`] does, and their phases.
///
/// # Errors
/// Those of the step.
pub(super) fn run(sizes: Sizes, backend: Box<dyn Backend>, isa: Isa, reps: usize) -> Result<(Timing, Phases)> {
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
    let phases = Phases { sizes, medians, step, peak_gflops: timing.peak_gflops, bandwidth: median(rates) };
    Ok((timing, phases))
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

/// What is known of one phase.
struct Row {
    phase: Phase,
    /// None below [`RESOLUTION`].
    seconds: Option<f64>,
    gflops: Option<f64>,
    bytes: Option<f64>,
    /// Operations a byte.
    intensity: Option<f64>,
    /// `min(peak, intensity · bandwidth)`.
    roof_gflops: Option<f64>,
    /// Which of the two that is.
    bound: Option<&'static str>,
}

impl Phases {
    fn row(&self, phase: Phase) -> Row {
        let seconds = Some(self.medians[phase as usize]).filter(|&seconds| seconds >= RESOLUTION);
        let (flops, bytes) = (flops(phase, self.sizes), moved(phase, self.sizes));
        let intensity = flops.zip(bytes).map(|(flops, bytes)| flops / bytes);
        let memory = intensity.map(|intensity| intensity * self.bandwidth / 1e9);
        Row {
            phase,
            seconds,
            gflops: flops.zip(seconds).map(|(flops, seconds)| flops / seconds / 1e9),
            bytes,
            intensity,
            roof_gflops: memory.map(|memory| memory.min(self.peak_gflops)),
            bound: memory.map(|memory| if memory < self.peak_gflops { "memory" } else { "arithmetic" }),
        }
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        Phase::ALL.into_iter().map(|phase| self.row(phase))
    }

    /// Bytes a second, in GB/s.
    pub(super) fn bandwidth_gb_s(&self) -> f64 {
        self.bandwidth / 1e9
    }

    /// An object a phase; what a phase does not have is null.
    pub(super) fn to_json(&self) -> Value {
        let rows = self.rows().map(|row| {
            json!({
                "phase": row.phase.name(),
                "median_ms": row.seconds.map(|seconds| seconds * 1e3),
                "share": row.seconds.map(|seconds| seconds / self.step),
                "gflops": row.gflops,
                "fraction_of_peak": row.gflops.map(|gflops| gflops / self.peak_gflops),
                "bytes": row.bytes,
                "intensity": row.intensity,
                "roof_gflops": row.roof_gflops,
                "bound": row.bound,
            })
        });
        Value::Array(rows.collect())
    }

    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "{:<16}{:>10}{:>9}{:>10}{:>9}{:>9}{:>12}{:>10}  {}\n",
            "phase", "ms", "% step", "GFLOP/s", "% peak", "MB", "FLOP/byte", "roof", "bound by"
        );
        let number = |value: Option<f64>| value.map_or("-".to_owned(), short);
        let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1}", 100.0 * value));
        for row in self.rows() {
            let ms = row.seconds.map_or_else(|| "<0.001".to_owned(), |seconds| short(seconds * 1e3));
            text += &format!(
                "{:<16}{ms:>10}{:>9}{:>10}{:>9}{:>9}{:>12}{:>10}  {}\n",
                row.phase.name(),
                percent(row.seconds.map(|seconds| seconds / self.step)),
                number(row.gflops),
                percent(row.gflops.map(|gflops| gflops / self.peak_gflops)),
                number(row.bytes.map(|bytes| bytes / 1e6)),
                number(row.intensity),
                number(row.roof_gflops),
                row.bound.unwrap_or("-"),
            );
        }
        text + &format!(
            "roof: the lower of the peak and of FLOP/byte times the {} GB/s of a = b + s c over memory\n",
            short(self.bandwidth_gb_s())
        )
    }
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
        assert_eq!(phases.table().lines().count(), 2 + Phase::ALL.len());
    }
}
