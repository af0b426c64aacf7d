//! How well classes are told apart.

use super::EvalError;
use super::ranking::{Ranking, ratio};

/// How often each class was taken for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `[classes, classes]`: a row is what was true, a column what was said.
    counts: Vec<u64>,
}

impl Confusion {
    /// Counts the rows of `truth` and `said`, numbers of classes below `classes`.
    ///
    /// # Errors
    /// If the lengths differ or are 0, or a number is no class.
    pub fn new(classes: usize, truth: &[usize], said: &[usize]) -> Result<Self, EvalError> {
        if truth.is_empty() || truth.len() != said.len() {
            let expected = format!("that of the truth, {}, at least 1", truth.len());
            return Err(EvalError::Length { what: "predictions", found: said.len(), expected });
        }
        if let Some(&bad) = truth.iter().chain(said).find(|&&class| class >= classes) {
            let expected = format!("below the number of classes, {classes}");
            return Err(EvalError::Scalar { name: "class", found: bad.to_string(), expected });
        }
        let mut counts = vec![0; classes * classes];
        truth.iter().zip(said).for_each(|(&t, &s)| counts[t * classes + s] += 1);
        Ok(Self { classes, counts })
    }

    /// One row a true class, `[classes, classes]`.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes)
    }

    /// The share of the rows that were told right.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|c| self.counts[c * (self.classes + 1)]).sum();
        ratio(right, self.counts.iter().sum())
    }

    /// The mean of the classes' F1; a class that neither occurs nor was said is left out.
    pub fn macro_f1(&self) -> f64 {
        let scores = (0..self.classes).filter_map(|c| {
            let right = self.counts[c * (self.classes + 1)];
            let occurs: u64 = self.counts[c * self.classes..][..self.classes].iter().sum();
            let said: u64 = self.counts.iter().skip(c).step_by(self.classes).sum();
            (occurs + said > 0).then(|| ratio(2 * right, occurs + said))
        });
        let (sum, count) = scores.fold((0.0, 0u64), |(sum, count), f1| (sum + f1, count + 1));
        sum / count as f64
    }
}

/// The mean over the classes of the area under the receiver operating characteristic of each against all others. `scores [n, classes]`;
/// a class that is true of no row, or of every row, is left out.
///
/// # Errors
/// If the lengths do not fit, a score is NaN, or no class is left.
pub fn macro_auc(scores: &[f64], classes: usize, truth: &[usize]) -> Result<f64, EvalError> {
    if classes == 0 || scores.len() != truth.len() * classes {
        let expected = format!("{} rows of {classes} classes", truth.len());
        return Err(EvalError::Length { what: "scores", found: scores.len(), expected });
    }
    let (mut sum, mut count) = (0.0, 0u64);
    for class in 0..classes {
        let of: Vec<f64> = scores.iter().skip(class).step_by(classes).copied().collect();
        let positive: Vec<bool> = truth.iter().map(|&t| t == class).collect();
        if positive.iter().any(|&p| p != positive[0]) {
            sum += Ranking::new(&of, &positive)?.auroc();
            count += 1;
        }
    }
    if count == 0 {
        return Err(EvalError::Scalar {
            name: "classes in the truth",
            found: "1".into(),
            expected: "at least 2".into(),
        });
    }
    Ok(sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hand_computed_case() {
        let confusion = Confusion::new(4, &[0, 0, 1, 1, 1, 2], &[0, 1, 1, 1, 0, 2]).unwrap();
        let rows: Vec<&[u64]> = confusion.rows().collect();
        assert_eq!(rows, [&[1, 1, 0, 0][..], &[1, 2, 0, 0], &[0, 0, 1, 0], &[0; 4]]);
        assert_eq!(confusion.accuracy(), 4.0 / 6.0);
        // F1: 2·1/(2+2), 2·2/(3+3), 1; the fourth class is left out. Two roundings of a sum below 4, one of a quotient.
        assert!((confusion.macro_f1() - (0.5 + 4.0 / 6.0 + 1.0) / 3.0).abs() <= 2.0 * f64::EPSILON);
    }

    #[test]
    fn auc_is_the_mean_over_the_classes_that_can_be_ranked() {
        // Class 0 against the others is ranked without a fault, class 1 with one of two pairs; class 2 does not occur.
        let scores = [0.9, 0.1, 0.0, 0.5, 0.4, 0.1, 0.1, 0.3, 0.6];
        assert_eq!(macro_auc(&scores, 3, &[0, 1, 1]).unwrap(), 1.0);
        assert_eq!(macro_auc(&scores, 3, &[0, 1, 0]).unwrap(), (0.5 + 1.0) / 2.0);
        assert!(macro_auc(&scores, 3, &[1, 1, 1]).is_err());
        assert!(macro_auc(&scores, 3, &[0, 1]).is_err());
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(Confusion::new(2, &[], &[]).is_err());
        assert!(Confusion::new(2, &[0], &[0, 1]).is_err());
        assert!(Confusion::new(2, &[2], &[0]).is_err());
    }
}
