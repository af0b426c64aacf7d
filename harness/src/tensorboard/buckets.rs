//! A histogram as TensorBoard draws it: buckets whose widths grow away from 0.

use super::wire::Message;

/// The smallest limit above 0, and how much each limit is above the one before.
const SMALLEST: f64 = 1e-12;
const GROWTH: f64 = 1.1;
/// Limits above 0: up to 10²⁰.
const POSITIVE: usize = 774;

/// Counts in buckets that lie symmetrically about 0; a bucket holds what is below its limit and not below the one before.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    min: f64,
    max: f64,
    sum: f64,
    sum_squares: f64,
    counts: Vec<u64>,
}

/// Bucket i ends at `limit(i)`: negative ones, 0, positive ones, and all that is left.
const BUCKETS: usize = 2 * POSITIVE + 2;

fn limit(bucket: usize) -> f64 {
    let above = |i: usize| SMALLEST * GROWTH.powi(i as i32);
    match bucket {
        b if b < POSITIVE => -above(POSITIVE - 1 - b),
        POSITIVE => 0.0,
        b if b < BUCKETS - 1 => above(b - POSITIVE - 1),
        _ => f64::MAX,
    }
}

/// The bucket of `v`: by its logarithm, put right where that is rounded across a limit.
fn bucket(v: f64) -> usize {
    let steps = (v.abs() / SMALLEST).log(GROWTH).floor().clamp(-1.0, POSITIVE as f64) as isize;
    let guess = match v {
        v if v >= 0.0 => POSITIVE as isize + 2 + steps,
        _ => POSITIVE as isize - 1 - steps,
    };
    let mut bucket = guess.clamp(0, BUCKETS as isize - 1) as usize;
    while bucket > 0 && v < limit(bucket - 1) {
        bucket -= 1;
    }
    while bucket < BUCKETS - 1 && v >= limit(bucket) {
        bucket += 1;
    }
    bucket
}

impl FromIterator<f64> for Buckets {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut all =
            Self { min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, sum_squares: 0.0, counts: vec![0; BUCKETS] };
        for v in values.into_iter().filter(|v| v.is_finite()) {
            all.min = all.min.min(v);
            all.max = all.max.max(v);
            all.sum += v;
            all.sum_squares += v * v;
            all.counts[bucket(v)] += 1;
        }
        all
    }
}

impl Buckets {
    /// Writes a `HistogramProto`: the buckets from the first that holds something to the last.
    pub(super) fn encode(&self, histogram: &mut Message) {
        let used = |i: &usize| self.counts[*i] > 0;
        let Some((first, last)) = (0..BUCKETS).find(used).zip((0..BUCKETS).rfind(used)) else { return };
        // The empty bucket before the first says where that one begins.
        let range = first.saturating_sub(1)..=last;
        histogram.double(1, self.min);
        histogram.double(2, self.max);
        histogram.double(3, self.counts.iter().sum::<u64>() as f64);
        histogram.double(4, self.sum);
        histogram.double(5, self.sum_squares);
        histogram.doubles(6, &range.clone().map(limit).collect::<Vec<_>>());
        histogram.doubles(7, &range.map(|i| self.counts[i] as f64).collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_below_its_limit_and_not_below_the_one_before() {
        assert!((0..BUCKETS).map(limit).is_sorted_by(|a, b| a < b));
        let mut values: Vec<f64> = (-400..400).map(|e| 10f64.powf(f64::from(e) / 19.0)).collect();
        values.extend((0..BUCKETS).map(limit));
        values.extend([0.0, -0.0, f64::MIN_POSITIVE, 1e300, f64::MAX]);
        for v in values.iter().flat_map(|&v| [v, -v]) {
            let b = bucket(v);
            assert!(v < limit(b) || b == BUCKETS - 1, "{v} {b}");
            assert!(b == 0 || v >= limit(b - 1), "{v} {b}");
        }
    }

    #[test]
    fn moments_are_those_of_the_finite_values() {
        let all: Buckets = [1.0, -3.0, f64::NAN, 0.5, f64::INFINITY].into_iter().collect();
        assert_eq!((all.min, all.max, all.sum, all.sum_squares), (-3.0, 1.0, -1.5, 10.25));
        assert_eq!(all.counts.iter().sum::<u64>(), 3);
    }

    #[test]
    fn a_histogram_of_nothing_is_an_empty_message() {
        let mut message = Message::default();
        Buckets::from_iter([f64::NAN]).encode(&mut message);
        assert!(message.into_bytes().is_empty());
    }
}
