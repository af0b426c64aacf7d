//! Counts of values in bins of equal width, and their picture in text.

use std::fmt::Write;

use super::EvalError;

/// A histogram over `[lo, hi]`: bin `i` holds `lo + i·w ≤ v < lo + (i+1)·w`, the last one `hi` as well.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    lo: f64,
    hi: f64,
    counts: Vec<u64>,
    below: u64,
    above: u64,
    nan: u64,
}

impl Histogram {
    /// The largest number of bins.
    pub const MAX_BINS: usize = 1 << 16;

    /// Empty bins.
    ///
    /// # Errors
    /// If the range is empty or not finite, or the number of bins is 0 or above [`Self::MAX_BINS`].
    pub fn new(lo: f64, hi: f64, bins: usize) -> Result<Self, EvalError> {
        if !(lo < hi && (hi - lo).is_finite()) {
            return Err(EvalError::Scalar {
                name: "range",
                found: format!("[{lo}, {hi}]"),
                expected: "finite ends, the first below the second".into(),
            });
        }
        if !(1..=Self::MAX_BINS).contains(&bins) {
            return Err(EvalError::Scalar {
                name: "bins",
                found: bins.to_string(),
                expected: format!("1 to {}", Self::MAX_BINS),
            });
        }
        Ok(Self { lo, hi, counts: vec![0; bins], below: 0, above: 0, nan: 0 })
    }

    /// Counts values; those outside the range and NaN are counted apart.
    pub fn add(&mut self, values: impl IntoIterator<Item = f64>) {
        let bins = self.counts.len();
        for v in values {
            if v.is_nan() {
                self.nan += 1;
            } else if v < self.lo {
                self.below += 1;
            } else if v > self.hi {
                self.above += 1;
            } else {
                let bin = ((v - self.lo) / (self.hi - self.lo) * bins as f64) as usize;
                self.counts[bin.min(bins - 1)] += 1;
            }
        }
    }

    /// One count a bin.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The values below, above, and NaN.
    pub fn outside(&self) -> (u64, u64, u64) {
        (self.below, self.above, self.nan)
    }

    /// All values counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.below + self.above + self.nan
    }

    /// The bounds of bin `i`; `None` past the last bin.
    pub fn bounds(&self, i: usize) -> Option<(f64, f64)> {
        let n = self.counts.len();
        let edge = |i: usize| self.lo + (self.hi - self.lo) * (i as f64 / n as f64);
        (i < n).then(|| (edge(i), edge(i + 1)))
    }

    /// One line a bin: its bounds, a bar of at most `width` columns (the fullest bin's), its count. What is outside follows, where there is any.
    pub fn render(&self, width: usize) -> String {
        let most = self.counts.iter().copied().max().unwrap_or(0).max(1);
        let digits = decimals((self.hi - self.lo) / self.counts.len() as f64);
        let label = |v: f64| format!("{v:.digits$}");
        let edges = || (0..self.counts.len()).filter_map(|i| self.bounds(i));
        let column = edges().map(|(a, b)| label(a).len().max(label(b).len())).max().unwrap_or(0);
        let number = most.to_string().len();
        let mut text = String::new();
        for ((a, b), &count) in edges().zip(&self.counts) {
            let close = if b == self.hi { ']' } else { ')' };
            let (a, b, bar) = (label(a), label(b), bar(count as f64 / most as f64, width));
            line(&mut text, format_args!("[{a:>column$}, {b:>column$}{close} {count:>number$} {bar}"));
        }
        for (name, count) in [("below", self.below), ("above", self.above), ("NaN", self.nan)] {
            if count > 0 {
                line(&mut text, format_args!("{name}: {count}"));
            }
        }
        text
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    let start = text.len();
    text.write_fmt(content).expect("writing to a String cannot fail");
    text.truncate(start + text[start..].trim_end().len());
    text.push('\n');
}

/// A bar of `share·width` columns, in eighths; never empty where `share` is not 0.
fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share * width as f64 * 8.0).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8 - 1]);
    }
    bar
}

/// The decimals that tell apart two numbers `step` apart.
fn decimals(step: f64) -> usize {
    (1.0 - step.log10()).ceil().clamp(0.0, 9.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_counted_once_and_edges_go_up_but_the_last() {
        let mut h = Histogram::new(0.0, 1.0, 4).unwrap();
        h.add([0.0, 0.24, 0.25, 0.5, 0.99, 1.0, -1e-9, 1.0 + 1e-9, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
        assert_eq!(h.counts(), [2, 1, 1, 2]);
        assert_eq!(h.outside(), (2, 2, 1));
        assert_eq!(h.total(), 11);
        assert_eq!((h.bounds(1), h.bounds(3), h.bounds(4)), (Some((0.25, 0.5)), Some((0.75, 1.0)), None));
    }

    #[test]
    fn the_picture_has_a_line_a_bin_scaled_to_the_fullest() {
        let mut h = Histogram::new(0.0, 1.0, 4).unwrap();
        h.add([0.1; 16]);
        h.add([0.3; 4]);
        h.add([0.9; 1]);
        h.add([2.0]);
        let expected = "[0.00, 0.25) 16 ████████\n\
                        [0.25, 0.50)  4 ██\n\
                        [0.50, 0.75)  0\n\
                        [0.75, 1.00]  1 ▌\n\
                        above: 1\n";
        assert_eq!(h.render(8), expected);
    }

    #[test]
    fn a_count_is_never_drawn_as_nothing() {
        let mut h = Histogram::new(0.0, 1.0, 2).unwrap();
        h.add(vec![0.1; 100_000]);
        h.add([0.9]);
        assert!(h.render(10).lines().nth(1).unwrap().ends_with('▏'), "{}", h.render(10));
        assert_eq!(Histogram::new(0.0, 1.0, 2).unwrap().render(10).lines().count(), 2);
    }

    #[test]
    fn ranges_and_bins_that_make_no_histogram_are_errors() {
        let nan = f64::NAN;
        for (lo, hi) in [(0.0, 0.0), (1.0, 0.0), (nan, 1.0), (0.0, nan), (0.0, f64::INFINITY), (f64::MIN, f64::MAX)] {
            assert!(Histogram::new(lo, hi, 4).is_err(), "{lo} {hi}");
        }
        assert!(Histogram::new(0.0, 1.0, 0).is_err());
        assert!(Histogram::new(0.0, 1.0, usize::MAX).is_err());
    }
}
