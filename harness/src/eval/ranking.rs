//! How well a score tells positives from negatives: areas under curves, and what a threshold finds.

use serde::Serialize;

use super::EvalError;

/// Scores with their truth, the highest first.
///
/// ```
/// use sae_harness::eval::ranking::Ranking;
///
/// let ranking = Ranking::new(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true])?;
/// assert_eq!(ranking.auroc(), 0.75);
/// let found = ranking.at(0.4);
/// assert_eq!((found.true_positives, found.false_positives), (1, 1));
/// # Ok::<(), sae_harness::eval::EvalError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// A distinct score each, descending, with the positives and the negatives that score as much or more.
    steps: Vec<(f64, u64, u64)>,
    positives: u64,
    negatives: u64,
}

/// What is found when everything that scores as much as the threshold or more counts as positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// The threshold.
    pub threshold: f64,
    /// Positives found.
    pub true_positives: u64,
    /// Negatives taken for positives.
    pub false_positives: u64,
    /// Positives missed.
    pub false_negatives: u64,
}

impl Detection {
    /// The share of what was found that is positive; 0 where nothing was found.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// The share of the positives that was found.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// The harmonic mean of precision and recall, `2·tp/(2·tp + fp + fn)`.
    pub fn f1(&self) -> f64 {
        ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
    }
}

/// 0 over 0 is 0.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Ranking {
    /// Sorts scores; `positive[i]` is the truth of `scores[i]`.
    ///
    /// # Errors
    /// If the lengths differ, a score is NaN, or there is no positive or no negative.
    pub fn new(scores: &[f64], positive: &[bool]) -> Result<Self, EvalError> {
        if positive.len() != scores.len() {
            let expected = format!("that of the scores, {}", scores.len());
            return Err(EvalError::Length { what: "truth", found: positive.len(), expected });
        }
        if let Some(index) = scores.iter().position(|s| s.is_nan()) {
            return Err(EvalError::NotFinite { what: "scores", index, found: "NaN".into() });
        }
        let mut order: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut steps: Vec<(f64, u64, u64)> = Vec::new();
        let (mut positives, mut negatives) = (0, 0);
        for (score, positive) in order {
            positives += u64::from(positive);
            negatives += u64::from(!positive);
            match steps.last_mut() {
                // −0 and 0 are one score.
                Some(last) if last.0 == score => *last = (last.0, positives, negatives),
                _ => steps.push((score, positives, negatives)),
            }
        }
        for (name, count) in [("positives", positives), ("negatives", negatives)] {
            if count == 0 {
                return Err(EvalError::Scalar { name, found: "0".into(), expected: "at least 1".into() });
            }
        }
        Ok(Self { steps, positives, negatives })
    }

    /// Positives and negatives.
    pub fn counts(&self) -> (u64, u64) {
        (self.positives, self.negatives)
    }

    /// The area under the receiver operating characteristic: the probability that a positive scores higher than a negative, ties
    /// counting half.
    pub fn auroc(&self) -> f64 {
        // In units of half a pair, exact below 2⁶³ pairs.
        let (mut halves, mut before) = (0u128, (0, 0));
        for &(_, positives, negatives) in &self.steps {
            let (above, level) = (before.0, positives - before.0);
            halves += u128::from(negatives - before.1) * u128::from(2 * above + level);
            before = (positives, negatives);
        }
        halves as f64 / 2.0 / (self.positives as f64 * self.negatives as f64)
    }

    /// The area under the precision-recall curve as average precision, `Σ (recall_i − recall_{i−1})·precision_i` over the distinct
    /// scores, without interpolation.
    pub fn average_precision(&self) -> f64 {
        let (mut sum, mut before) = (0.0, 0);
        for &(_, positives, negatives) in &self.steps {
            sum += (positives - before) as f64 * (positives as f64 / (positives + negatives) as f64);
            before = positives;
        }
        sum / self.positives as f64
    }

    /// What `threshold` finds.
    pub fn at(&self, threshold: f64) -> Detection {
        let found = self.steps.partition_point(|step| step.0 >= threshold);
        let (positives, negatives) =
            if found == 0 { (0, 0) } else { (self.steps[found - 1].1, self.steps[found - 1].2) };
        self.detection(threshold, positives, negatives)
    }

    /// The threshold of the highest F1, the highest of equals: what could be had if the truth were known.
    pub fn best_f1(&self) -> Detection {
        let all = self.steps.iter().map(|&(score, p, n)| self.detection(score, p, n));
        // There is a step: there are positives.
        all.reduce(|best, next| if next.f1() > best.f1() { next } else { best })
            .unwrap_or_else(|| self.at(f64::INFINITY))
    }

    fn detection(&self, threshold: f64, true_positives: u64, false_positives: u64) -> Detection {
        Detection { threshold, true_positives, false_positives, false_negatives: self.positives - true_positives }
    }
}

/// The `q`-th quantile of `values`, by linear interpolation between the two nearest ranks.
///
/// # Errors
/// If there are no values, one is NaN, or `q` is outside [0, 1].
pub fn quantile(values: &[f64], q: f64) -> Result<f64, EvalError> {
    if !(0.0..=1.0).contains(&q) {
        return Err(EvalError::Scalar { name: "quantile", found: q.to_string(), expected: "0 to 1".into() });
    }
    if let Some(index) = values.iter().position(|s| s.is_nan()) {
        return Err(EvalError::NotFinite { what: "values", index, found: "NaN".into() });
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return Err(EvalError::Length { what: "values", found: 0, expected: "at least 1".into() });
    };
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Ok(if low == high { low } else { low + (high - low) * at.fract() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_perfect_a_reversed_and_a_constant_score() {
        let truth = [false, true, false, true];
        let of = |scores: &[f64]| Ranking::new(scores, &truth).unwrap();
        let perfect = of(&[0.0, 2.0, 1.0, 3.0]);
        assert_eq!((perfect.auroc(), perfect.average_precision(), perfect.best_f1().f1()), (1.0, 1.0, 1.0));
        assert_eq!(perfect.best_f1().threshold, 2.0);
        assert_eq!(of(&[3.0, 1.0, 2.0, 0.0]).auroc(), 0.0);
        let constant = of(&[7.0; 4]);
        assert_eq!((constant.auroc(), constant.average_precision()), (0.5, 0.5));
        assert_eq!(of(&[0.0, -0.0, 0.0, -0.0]).auroc(), 0.5, "−0 is 0");
    }

    #[test]
    fn a_threshold_takes_what_scores_as_much_or_more() {
        let ranking = Ranking::new(&[1.0, 2.0, 2.0, 3.0], &[true, false, true, false]).unwrap();
        let found = ranking.at(2.0);
        assert_eq!((found.true_positives, found.false_positives, found.false_negatives), (1, 2, 1));
        assert_eq!((found.precision(), found.recall(), found.f1()), (1.0 / 3.0, 0.5, 0.4));
        let none = ranking.at(3.5);
        assert_eq!((none.precision(), none.recall(), none.f1()), (0.0, 0.0, 0.0));
        assert_eq!(ranking.at(f64::NEG_INFINITY).recall(), 1.0);
    }

    #[test]
    fn quantiles_interpolate() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!([0.0, 0.5, 1.0].map(|q| quantile(&values, q).unwrap()), [1.0, 2.5, 4.0]);
        assert_eq!(quantile(&[f64::INFINITY; 2], 0.5).unwrap(), f64::INFINITY);
        assert!(quantile(&[], 0.5).is_err() && quantile(&values, 1.1).is_err() && quantile(&[f64::NAN], 0.5).is_err());
    }

    #[test]
    fn what_cannot_be_ranked_is_an_error() {
        for (scores, truth) in [(&[1.0][..], &[true][..]), (&[1.0, 2.0], &[false; 2]), (&[1.0], &[true, false])] {
            assert!(Ranking::new(scores, truth).is_err());
        }
        assert!(Ranking::new(&[f64::NAN, 1.0], &[true, false]).is_err());
    }

    proptest! {
        #[test]
        fn auroc_is_the_share_of_pairs_in_the_right_order(
            rows in prop::collection::vec((0u8..6, any::<bool>()), 2..40),
        ) {
            let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
            let truth: Vec<bool> = rows.iter().map(|r| r.1).collect();
            prop_assume!(truth.iter().any(|&t| t) && truth.iter().any(|&t| !t));
            let (mut right, mut pairs) = (0.0, 0.0);
            for (a, &positive) in scores.iter().zip(&truth) {
                for (b, &other) in scores.iter().zip(&truth) {
                    if positive && !other {
                        pairs += 1.0;
                        right += if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
                    }
                }
            }
            let ranking = Ranking::new(&scores, &truth).unwrap();
            // Both are exact counts of halves, divided once.
            prop_assert_eq!(ranking.auroc(), right / pairs);
            for threshold in scores {
                prop_assert!(ranking.best_f1().f1() >= ranking.at(threshold).f1());
            }
        }
    }
}
