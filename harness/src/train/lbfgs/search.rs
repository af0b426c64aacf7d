//! A line search for the strong Wolfe conditions.
//!
//! Algorithms 3.5 and 3.6 of J. Nocedal and S. Wright, "Numerical Optimization" (2nd edition, 2006): steps grow until an
//! interval holds good ones, which is then narrowed. Trial steps are the minima of cubics through values and slopes (eq. 3.59),
//! kept away from the ends of their interval.

use crate::error::Result;

/// The share of the decrease a straight line would promise that a step has to bring.
pub(super) const DECREASE: f64 = 1e-4;
/// The share of the slope at the start that may be left.
pub(super) const CURVATURE: f64 = 0.9;
/// Evaluations after which the best step so far has to do.
const MOST: usize = 25;
/// A trial step keeps this share of an interval from its ends.
const MARGIN: f64 = 0.1;
/// How many times longer the next trial step may be.
const GROWTH: f64 = 10.0;

/// The objective along the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trial {
    /// The step.
    pub(super) at: f64,
    /// The objective there.
    pub(super) value: f64,
    /// Its derivative by the step.
    pub(super) slope: f64,
}

/// A step from `start`, where the slope is negative, that satisfies the strong Wolfe conditions, or failing that one that brings
/// enough decrease; `None` where none was found. Mostly it is that of the last evaluation.
pub(super) fn search(start: Trial, first: f64, mut evaluate: impl FnMut(f64) -> Result<Trial>) -> Result<Option<f64>> {
    // Both are false where the value is no number.
    let decreases = |t: &Trial| t.value <= start.value + DECREASE * t.at * start.slope;
    let is_flat = |t: &Trial| t.slope.abs() <= -CURVATURE * start.slope;
    let (mut before, mut at) = (start, first);
    let mut left = MOST;
    let (mut low, mut high) = loop {
        let here = evaluate(at)?;
        left -= 1;
        if !decreases(&here) || (before.at > 0.0 && here.value >= before.value) {
            break (before, here);
        }
        if is_flat(&here) || left == 0 {
            return Ok(Some(at));
        }
        if here.slope >= 0.0 {
            break (here, before);
        }
        // Where the cubic has no minimum ahead, as far as may be.
        let ahead = minimum(before, here).filter(|&least| least > at).unwrap_or(GROWTH * at);
        at = ahead.clamp(at + (at - before.at), GROWTH * at);
        before = here;
    };
    // `low` decreases enough, or is the start; the steps looked for lie between it and `high`.
    while left > 0 {
        let (a, b) = (low.at.min(high.at), low.at.max(high.at));
        let margin = MARGIN * (b - a);
        let at = minimum(low, high).map_or(0.5 * (a + b), |at| at.clamp(a + margin, b - margin));
        if at <= a || at >= b {
            break;
        }
        let here = evaluate(at)?;
        left -= 1;
        if !decreases(&here) || here.value >= low.value {
            high = here;
            continue;
        }
        if is_flat(&here) {
            return Ok(Some(at));
        }
        if here.slope * (high.at - low.at) >= 0.0 {
            high = low;
        }
        low = here;
    }
    Ok((low.at > 0.0).then_some(low.at))
}

/// The minimum of the cubic with these values and slopes, where there is one.
fn minimum(a: Trial, b: Trial) -> Option<f64> {
    let (a, b) = if a.at < b.at { (a, b) } else { (b, a) };
    let width = b.at - a.at;
    let d1 = a.slope + b.slope - 3.0 * (b.value - a.value) / width;
    let d2 = (d1 * d1 - a.slope * b.slope).sqrt();
    let at = b.at - width * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
    at.is_finite().then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn along(f: impl Fn(f64) -> (f64, f64), first: f64) -> (Option<f64>, Vec<Trial>) {
        let mut seen = Vec::new();
        let trial = |at: f64| {
            let (value, slope) = f(at);
            Trial { at, value, slope }
        };
        let found = search(trial(0.0), first, |at| {
            seen.push(trial(at));
            Ok(trial(at))
        });
        (found.unwrap(), seen)
    }

    #[test]
    fn a_cubic_with_known_minimum_is_found_from_its_ends() {
        // (t − 2)²·(t + 4): minimum at 2.
        let f = |t: f64| Trial { at: t, value: (t - 2.0).powi(2) * (t + 4.0), slope: 3.0 * (t - 2.0) * (t + 2.0) };
        for (a, b) in [(0.0, 5.0), (5.0, 0.0), (1.0, 2.5), (3.0, 7.0)] {
            assert!((minimum(f(a), f(b)).unwrap() - 2.0).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn the_strong_wolfe_conditions_hold_whatever_the_first_step() {
        type Line = fn(f64) -> (f64, f64);
        let lines: [Line; 4] = [
            |t| ((t - 3.0).powi(2), 2.0 * (t - 3.0)),
            // Moré and Thuente's first: a long way down, and flat behind.
            |t| (-t / (t * t + 2.0), (t * t - 2.0) / (t * t + 2.0).powi(2)),
            // Waves on a slope.
            |t| ((4.0 * t).sin() / 8.0 - t + 0.1 * t * t, (4.0 * t).cos() / 2.0 - 1.0 + 0.2 * t),
            // Not defined from 7 on.
            |t| (-(7.0 - t).ln() + (t - 5.0).powi(2), 1.0 / (7.0 - t) + 2.0 * (t - 5.0)),
        ];
        for (i, line) in lines.into_iter().enumerate() {
            let (value, slope) = line(0.0);
            for first in [1e-3, 0.1, 1.0, 10.0, 1e3] {
                let (found, seen) = along(line, first);
                let found = found.unwrap_or_else(|| panic!("line {i}, first step {first}: nothing found"));
                let (there, left) = line(found);
                assert!(there <= value + DECREASE * found * slope, "line {i}, first step {first}: {found}");
                assert!(left.abs() <= CURVATURE * slope.abs(), "line {i}, first step {first}: {found}");
                assert_eq!(seen.last().unwrap().at, found);
                assert!(seen.len() <= MOST);
            }
        }
    }

    #[test]
    fn without_a_bottom_the_longest_step_has_to_do_and_uphill_there_is_none() {
        let (found, seen) = along(|t| (-t, -1.0), 1.0);
        assert_eq!(found, Some(seen.last().unwrap().at));
        assert_eq!(seen.len(), MOST);
        // A slope that the values contradict.
        assert_eq!(along(|t| (t, -1.0), 1.0).0, None);
    }
}
