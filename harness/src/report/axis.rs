//! Axes: where they start and end, and which numbers stand on them.

/// Beyond these a number is drawn as missing, or as 0: differences and ratios of what is left stay finite.
const LARGEST: f64 = 1e100;
const SMALLEST: f64 = 1e-100;

/// One axis of a panel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    lo: f64,
    hi: f64,
    log: bool,
    /// Labelled positions.
    pub(super) ticks: Vec<Tick>,
    /// Positions between them, on a logarithmic axis.
    pub(super) minor: Vec<f64>,
    /// The labels are to be multiplied by 10 to this power.
    pub(super) exponent: i32,
}

/// A number on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

/// What an axis can show of a number: NaN where it is missing.
pub(super) fn clean(v: f64) -> f64 {
    match v.abs() {
        a if a < SMALLEST => 0.0,
        a if a <= LARGEST => v,
        _ => f64::NAN,
    }
}

impl Axis {
    /// An axis for measured values: logarithmic where they are positive and span more than a factor of twenty. It begins at 0 where that
    /// wastes little.
    pub(super) fn fitting(values: impl Iterator<Item = f64>) -> Self {
        let (lo, hi) = values
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
        if lo > hi {
            return Self::linear(0.0, 1.0, 5, false);
        }
        if lo > 0.0 && hi / lo > 20.0 {
            return Self::log(lo, hi);
        }
        // A smaller variation would need labels of many digits to show next to nothing.
        let flat = hi - lo <= 1e-3 * hi.abs().max(lo.abs());
        let pad = if !flat {
            0.05 * (hi - lo)
        } else if hi != 0.0 {
            0.1 * hi.abs()
        } else {
            1.0
        };
        let from_zero = lo >= 0.0 && (lo < 0.3 * hi || lo - pad < 0.0);
        Self::linear(if from_zero { 0.0 } else { lo - pad }, hi + pad, 5, false)
    }

    /// An axis from `lo` to `hi`, logarithmic where that is asked for and both are positive.
    pub(super) fn spanning(lo: f64, hi: f64, log: bool) -> Self {
        if log && lo > 0.0 { Self::log(lo, hi) } else { Self::linear(lo, hi, 5, false) }
    }

    /// An axis of whole numbers from 0.
    pub(super) fn counting(last: f64, ticks: usize) -> Self {
        Self::linear(0.0, last.max(1.0), ticks, true)
    }

    /// From `lo` to `hi`, with about `target` ticks at multiples of 1, 2 or 5 times a power of ten.
    fn linear(lo: f64, hi: f64, target: usize, whole: bool) -> Self {
        let rough = (hi - lo) / target as f64;
        let decade = 10f64.powf(rough.log10().floor());
        let nice = [1.0, 2.0, 5.0].into_iter().find(|m| m * decade >= 0.7 * rough).unwrap_or(10.0);
        let step = if whole { (nice * decade).max(1.0) } else { nice * decade };
        let largest = lo.abs().max(hi.abs());
        let exponent = if (1e-3..1e5).contains(&largest) { 0 } else { largest.log10().floor() as i32 };
        let unit = 10f64.powi(exponent);
        let decimals = (-(step / unit).log10().floor()).clamp(0.0, 12.0) as usize;
        let first = (lo / step - 1e-9).ceil() as i64;
        let last = (hi / step + 1e-9).floor() as i64;
        let ticks = (first..=last.min(first.saturating_add(20)))
            .map(|i| i as f64 * step)
            .map(|value| Tick { value, label: number(value / unit, decimals) })
            .collect();
        Self { lo, hi, log: false, ticks, minor: Vec::new(), exponent }
    }

    /// Whole decades around `lo` and `hi`, both positive.
    fn log(lo: f64, hi: f64) -> Self {
        // Room of a twentieth, without a new decade for a hair.
        let room = 0.03 * (hi / lo).log10();
        let (from, to) = (lo.log10() - room, hi.log10() + room);
        let (first, last) = (from.ceil() as i32, to.floor() as i32);
        let every = ((last - first) / 8 + 1).max(1);
        let plain = first >= -3 && last <= 4;
        let ticks = (first..=last)
            .step_by(every as usize)
            .map(|e| Tick {
                value: 10f64.powi(e),
                label: if plain {
                    number(10f64.powi(e), (-e).max(0) as usize)
                } else {
                    format!("10{}", superscript(e))
                },
            })
            .collect();
        let (lo, hi) = (10f64.powf(from), 10f64.powf(to));
        let minor = if every > 1 {
            (first..=last).map(|e| 10f64.powi(e)).collect()
        } else {
            (first - 1..=last).flat_map(|e| (2..10).map(move |m| f64::from(m) * 10f64.powi(e))).collect()
        };
        let minor = Vec::into_iter(minor).filter(|&v| v >= lo && v <= hi).collect();
        Self { lo, hi, log: true, ticks, minor, exponent: 0 }
    }

    /// Where `v` lies: 0 at the start, 1 at the end.
    pub(super) fn position(&self, v: f64) -> f64 {
        if self.log {
            (v.log10() - self.lo.log10()) / (self.hi.log10() - self.lo.log10())
        } else {
            (v - self.lo) / (self.hi - self.lo)
        }
    }

    /// Whether the axis is logarithmic.
    pub(super) fn is_log(&self) -> bool {
        self.log
    }
}

/// A number with a minus sign, not a hyphen, and thousands apart.
fn number(v: f64, decimals: usize) -> String {
    let digits = format!("{:.decimals$}", v.abs());
    let negative = v < 0.0 && digits.bytes().any(|b| b.is_ascii_digit() && b != b'0');
    let (whole, rest) = digits.split_once('.').map_or((digits.as_str(), ""), |(w, r)| (w, r));
    let mut text = String::from(if negative { "−" } else { "" });
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    if !rest.is_empty() {
        text.push('.');
        text.push_str(rest);
    }
    text
}

/// A power of ten's exponent, raised.
pub(super) fn superscript(exponent: i32) -> String {
    let raised = |c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        '9' => '⁹',
        _ => '⁰',
    };
    exponent.to_string().chars().map(raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|t| t.label.as_str()).collect()
    }

    #[test]
    fn linear_ticks_are_round_numbers_with_the_decimals_they_need() {
        assert_eq!(labels(&Axis::fitting([0.0, 1.0].into_iter())), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::fitting([9.0, 10.0].into_iter())), ["9.0", "9.2", "9.4", "9.6", "9.8", "10.0"]);
        assert_eq!(labels(&Axis::fitting([-3.0, 3.0].into_iter())), ["−3", "−2", "−1", "0", "1", "2", "3"]);
        assert_eq!(
            labels(&Axis::counting(60_000.0, 6)),
            ["0", "10,000", "20,000", "30,000", "40,000", "50,000", "60,000"]
        );
        assert_eq!(labels(&Axis::counting(3.0, 6)), ["0", "1", "2", "3"]);
        assert_eq!(labels(&Axis::counting(0.0, 6)), ["0", "1"]);
    }

    #[test]
    fn numbers_too_large_or_small_to_print_share_an_exponent() {
        let axis = Axis::counting(2_500_000.0, 5);
        assert_eq!((labels(&axis), axis.exponent), (vec!["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"], 6));
        let axis = Axis::fitting([2e-7, 4e-7].into_iter());
        assert_eq!(axis.exponent, -7);
        assert_eq!(superscript(axis.exponent), "⁻⁷");
    }

    #[test]
    fn more_than_a_factor_of_twenty_makes_a_logarithmic_axis() {
        let axis = Axis::fitting([0.05, 20.0].into_iter());
        assert!(axis.is_log());
        assert_eq!(labels(&axis), ["0.1", "1", "10"]);
        assert!(axis.minor.contains(&0.05) && axis.minor.contains(&20.0), "{:?}", axis.minor);
        assert!(!Axis::fitting([0.5, 10.0].into_iter()).is_log());
        assert!(!Axis::fitting([0.0, 50.0].into_iter()).is_log());
        assert!(!Axis::fitting([-1.0, 1000.0].into_iter()).is_log());
        assert_eq!(labels(&Axis::fitting([1e-9, 1e-6].into_iter())), ["10⁻⁹", "10⁻⁸", "10⁻⁷", "10⁻⁶"]);
    }

    #[test]
    fn every_value_lies_on_its_axis_and_every_axis_has_ticks() {
        let cases: [&[f64]; 12] = [
            &[],
            &[0.0],
            &[5.0],
            &[-5.0, -5.0],
            &[1.0, 1.0 + 1e-15],
            &[1e100, -1e100],
            &[1e-100, 1e100],
            &[1e-100],
            &[7.0, 701.0],
            &[f64::NAN, 2.0, 3.0],
            &[99.9, 100.1],
            &[-1e-5, 0.0],
        ];
        for values in cases {
            let axis = Axis::fitting(values.iter().copied());
            assert!((1..=21).contains(&axis.ticks.len()), "{values:?} {axis:?}");
            for v in values.iter().filter(|v| v.is_finite()) {
                assert!((0.0..=1.0).contains(&axis.position(*v)), "{v} {axis:?}");
            }
            for tick in &axis.ticks {
                // A tick at the very end may be rounded past it.
                assert!((-1e-6..=1.0 + 1e-6).contains(&axis.position(tick.value)), "{tick:?} {axis:?}");
            }
            let mut different = labels(&axis);
            different.dedup();
            assert_eq!(different.len(), axis.ticks.len(), "{axis:?}");
        }
    }

    #[test]
    fn what_no_axis_can_show_is_missing_or_zero() {
        assert!(clean(f64::INFINITY).is_nan() && clean(f64::NAN).is_nan() && clean(f64::MAX).is_nan());
        assert_eq!(clean(f64::MIN_POSITIVE), 0.0);
        assert_eq!(clean(-2.5), -2.5);
    }
}
