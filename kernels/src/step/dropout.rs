//! Dropout of hidden units.
//!
//! Which units are dropped is a function of the seed, the step, the row of the batch and the unit alone: a number is drawn
//! for each by mixing these bits, not one after the other. Threads, instruction sets and restarts do not show.

use crate::matrix::Matrix;
use crate::ops::Result;
use crate::pool;
use crate::real::Real;
use crate::view::MatRef;

/// Dropout between the hidden layer and the decoder, in training only, as PyTorch's `Dropout`: an activation becomes 0 with
/// probability `rate`, and what stays is divided by `1 − rate`. Penalty and mean activations are of the activations before.
///
/// N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout<T = f32> {
    /// The probability, from 0 up, below 1.
    pub rate: T,
    /// What the choice is a function of, beside the step.
    pub seed: u64,
}

/// What a pass with dropout leaves: `[max_batch, d_hid]` each.
#[derive(Clone, Debug)]
pub(super) struct Dropped<T: Real> {
    /// What the activations are multiplied by.
    gate: Matrix<T>,
    /// What comes of it.
    kept: Matrix<T>,
    /// Whether the last pass dropped units.
    on: bool,
}

impl<T: Real> Dropped<T> {
    /// For activations like `h`.
    pub(super) fn like(h: &Matrix<T>) -> Result<Self> {
        let zeros = || Matrix::zeros(h.layout());
        Ok(Self { gate: zeros()?, kept: zeros()?, on: false })
    }

    /// Of the first `rows` rows of `h`; `drops` says of each problem what is dropped, and at which step it is.
    pub(super) fn fill(&mut self, h: &Matrix<T>, rows: usize, drops: impl Fn(usize) -> (Dropout<T>, u64) + Sync) {
        drop_out(h, &mut self.gate, &mut self.kept, rows, drops);
        self.on = true;
    }

    /// Of a pass that drops none.
    pub(super) fn clear(&mut self) {
        self.on = false;
    }

    /// What the last pass multiplied by, if it did.
    pub(super) fn gate(&self) -> Option<MatRef<'_, T>> {
        self.on.then(|| self.gate.view())
    }

    /// The activations after it, if the last pass dropped units.
    fn kept(&self) -> Option<&Matrix<T>> {
        self.on.then_some(&self.kept)
    }
}

/// What the decoder saw in the last pass, whose activations are `h`.
pub(super) fn code<'a, T: Real>(dropped: &'a Option<Dropped<T>>, h: &'a Matrix<T>) -> &'a Matrix<T> {
    dropped.as_ref().and_then(Dropped::kept).unwrap_or(h)
}

/// 2⁶⁴ divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's function of its counter (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(counter: u64) -> u64 {
    let z = (counter ^ counter >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The numbers of one row: 32 bits for each unit.
#[derive(Clone, Copy)]
struct Row(u64);

impl Row {
    fn new(seed: u64, step: u64, row: usize) -> Self {
        let of_step = mix(mix(seed.wrapping_add(GOLDEN)).wrapping_add(step.wrapping_mul(GOLDEN)));
        Self(mix(of_step.wrapping_add((row as u64).wrapping_mul(GOLDEN))))
    }

    /// Of the units from `first` on.
    fn from(self, first: usize) -> impl Iterator<Item = u32> {
        let mut both = self.pair(first / 2);
        (first..).map(move |unit| {
            if unit.is_multiple_of(2) {
                both = self.pair(unit / 2);
                both as u32
            } else {
                (both >> 32) as u32
            }
        })
    }

    /// Of two neighbours.
    fn pair(self, index: usize) -> u64 {
        mix(self.0.wrapping_add((index as u64 + 1).wrapping_mul(GOLDEN)))
    }
}

/// Rows that a thread takes at a time, and elements below which everything stays on the thread it is on.
const ROWS: usize = 8;
const SPLIT_WORK: usize = 1 << 14;

/// Fills the first `rows` rows of every problem: `gate` with 0 or `1/(1 − rate)`, `kept` with `h ⊙ gate`. The three have
/// one layout; `drops` and `steps` one element a problem.
fn drop_out<T: Real>(
    h: &Matrix<T>,
    gate: &mut Matrix<T>,
    kept: &mut Matrix<T>,
    rows: usize,
    drops: impl Fn(usize) -> (Dropout<T>, u64) + Sync,
) {
    let layout = h.layout();
    debug_assert!(layout == gate.layout() && layout == kept.layout() && rows <= layout.rows());
    let (models, units) = (layout.batch(), layout.cols());
    let width = if layout.is_row_major() { units } else { layout.panel() };
    let from = h.storage();
    let to = To(gate.storage_mut().as_mut_ptr(), kept.storage_mut().as_mut_ptr());
    let chunks = rows.div_ceil(ROWS);
    let slots = pool::threads_for([models, rows, units], SPLIT_WORK);
    pool::for_each(slots, models * chunks, &|_, chunk| {
        let to = &to;
        let (model, first) = (chunk / chunks, chunk % chunks * ROWS);
        let (Dropout { rate, seed }, step) = drops(model);
        let factor = T::from_f64(1.0 / (1.0 - rate.to_f64()));
        let below = (rate.to_f64() * 4_294_967_296.0) as u32;
        for row in first..rows.min(first + ROWS) {
            let numbers = Row::new(seed, step, row);
            for (panel, unit) in (0..units).step_by(width).enumerate() {
                let place = model * layout.batch_stride() + row * layout.row_stride() + panel * layout.panel_stride();
                for (at, number) in (place..place + width.min(units - unit)).zip(numbers.from(unit)) {
                    let open = if number < below { T::ZERO } else { factor };
                    let kept = from[at] * open;
                    // SAFETY: `at` is an index of `from`, and all three have one layout; rows of a problem are disjoint,
                    // and so are problems of a matrix that is written.
                    unsafe {
                        *to.0.add(at) = open;
                        *to.1.add(at) = kept;
                    }
                }
            }
        }
    });
}

/// Where the results go.
struct To<T>(*mut T, *mut T);

// SAFETY: addresses; units of work write to rows of their own.
unsafe impl<T: Send> Sync for To<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    #[test]
    fn the_share_that_is_dropped_is_the_rate_in_every_direction() {
        let (steps, rows, units, rate) = (20, 100, 60, 0.3f64);
        let below = (rate * 4_294_967_296.0) as u32;
        let (mut by_step, mut by_row, mut by_unit, mut pairs) = (vec![0; steps], vec![0; rows], vec![0; units], 0);
        for (step, of_step) in by_step.iter_mut().enumerate() {
            for (row, of_row) in by_row.iter_mut().enumerate() {
                let numbers = Row::new(7, step as u64, row);
                let mut before = 0;
                for (unit, number) in numbers.from(0).take(units).enumerate() {
                    let dropped = usize::from(number < below);
                    *of_step += dropped;
                    *of_row += dropped;
                    by_unit[unit] += dropped;
                    pairs += dropped * before;
                    before = dropped;
                }
            }
        }
        // Binomial counts: six standard deviations on either side of their means.
        let near = |count: usize, of: usize, p: f64| {
            let (mean, deviation) = (of as f64 * p, (of as f64 * p * (1.0 - p)).sqrt());
            assert!((count as f64 - mean).abs() < 6.0 * deviation, "{count} of {of}, expected {mean} ± {deviation}");
        };
        by_step.iter().for_each(|&count| near(count, rows * units, rate));
        by_row.iter().for_each(|&count| near(count, steps * units, rate));
        by_unit.iter().for_each(|&count| near(count, steps * rows, rate));
        near(pairs, steps * rows * (units - 1), rate * rate);
    }

    #[test]
    fn layouts_and_threads_do_not_change_which_units_are_dropped() {
        let (rows, units) = (300, 70);
        let values: Vec<f64> = (0..2 * rows * units).map(|i| i as f64 + 1.0).collect();
        let run = |layout: Layout, threads| {
            let h = Matrix::from_row_major(&values, layout.batched_dense(2).unwrap()).unwrap();
            let zeros = || Matrix::<f64>::zeros(h.layout()).unwrap();
            let (mut gate, mut kept) = (zeros(), zeros());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let drops = |model| (Dropout { rate: 0.5, seed: 3 + model as u64 }, 9);
            pool.install(|| drop_out(&h, &mut gate, &mut kept, rows - 1, drops));
            (gate.to_row_major(), kept.to_row_major())
        };
        let (gate, kept) = run(Layout::row_major(rows, units), 1);
        for ((g, k), v) in gate.iter().zip(&kept).zip(&values) {
            assert!((*g == 0.0 || *g == 2.0) && *k == g * v);
        }
        assert_ne!(gate[..rows * units], gate[rows * units..]);
        for panel in [1, 16, 64] {
            for threads in [1, 2, 3] {
                let same = run(Layout::panel_major(rows, units, panel).unwrap(), threads);
                assert!(same == (gate.clone(), kept.clone()), "{panel} {threads}");
            }
        }
    }
}
