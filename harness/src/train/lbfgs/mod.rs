//! Limited-memory BFGS on the whole set at once: the optimiser of the classic sparse autoencoder's published settings.
//!
//! The two-loop recursion of J. Nocedal, "Updating quasi-Newton matrices with limited storage" (1980), with a line search for
//! the strong Wolfe conditions. The libraries for it own the loop and what they remember; a run here is watched after every
//! iteration, and saved and continued between any two of them, so it is done here.
//!
//! Positions, gradients and what is remembered are f32, as the weights are; products of them are summed in f64. An
//! iteration is a function of the position and of what is remembered, and of nothing else.

mod search;

use std::collections::VecDeque;

use sae_kernels::step::StepReport;

use crate::error::Result;
use search::{Trial, search};

/// A position with its objective.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) x: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    /// `loss` is the objective.
    pub(super) report: StepReport,
}

impl Point {
    /// The largest element of the gradient.
    pub(super) fn steepness(&self) -> f64 {
        self.gradient.iter().fold(0.0, |most, g| f64::from(g.abs()).max(most))
    }
}

/// What the last iterations have told of the curvature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lbfgs {
    most: usize,
    pairs: VecDeque<Pair>,
}

/// A move, and how the gradient changed by it.
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    s: Vec<f32>,
    y: Vec<f32>,
}

/// The sine of the largest angle beyond 90° that a move and its change of the gradient may make, negated: below, the pair says
/// nothing of the curvature but rounding.
const LEAST_CURVATURE: f64 = 1e-9;

impl Lbfgs {
    /// Remembers nothing yet, and at most `most` moves.
    pub(super) fn new(most: usize) -> Self {
        Self { most, pairs: VecDeque::new() }
    }

    /// The moves remembered, the oldest first, each with the change of the gradient.
    pub(super) fn moves(&self) -> Vec<[Vec<f32>; 2]> {
        self.pairs.iter().map(|Pair { s, y }| [s.clone(), y.clone()]).collect()
    }

    /// Remembers these moves instead of its own, the latest of them where they are more than it may.
    pub(super) fn set_moves(&mut self, moves: &[[Vec<f32>; 2]]) {
        let first = moves.len().saturating_sub(self.most);
        self.pairs = moves[first..].iter().map(|[s, y]| Pair { s: s.clone(), y: y.clone() }).collect();
    }

    /// One iteration from `from`: the position it leads to; `None` where no step in f32 lowers the objective any more.
    ///
    /// # Errors
    /// Those of `evaluate`.
    pub(super) fn iterate(
        &mut self,
        from: &Point,
        evaluate: &mut dyn FnMut(Vec<f32>) -> Result<Point>,
    ) -> Result<Option<Point>> {
        let mut found = self.along(from, &self.direction(&from.gradient), evaluate)?;
        if found.is_none() && !self.pairs.is_empty() {
            // The curvature remembered is of no use here.
            self.pairs.clear();
            found = self.along(from, &self.direction(&from.gradient), evaluate)?;
        }
        if let Some(to) = &found {
            let difference = |to: &[f32], from: &[f32]| to.iter().zip(from).map(|(to, from)| to - from).collect();
            self.remember(Pair { s: difference(&to.x, &from.x), y: difference(&to.gradient, &from.gradient) });
        }
        Ok(found)
    }

    fn along(
        &self,
        from: &Point,
        direction: &[f64],
        evaluate: &mut dyn FnMut(Vec<f32>) -> Result<Point>,
    ) -> Result<Option<Point>> {
        let slope = |point: &Point| point.gradient.iter().zip(direction).map(|(&g, d)| f64::from(g) * d).sum::<f64>();
        let start = Trial { at: 0.0, value: from.report.loss, slope: slope(from) };
        // Also where it is no number.
        if !start.slope.is_sign_negative() || start.slope == 0.0 || start.slope.is_nan() {
            return Ok(None);
        }
        let first = match self.pairs.is_empty() {
            true => (1.0 / from.gradient.iter().map(|&g| f64::from(g.abs())).sum::<f64>()).min(1.0),
            false => 1.0,
        };
        let moved = |at: f64| from.x.iter().zip(direction).map(|(&x, d)| (f64::from(x) + at * d) as f32).collect();
        let mut last = None;
        let found = search(start, first, |at| {
            let point = evaluate(moved(at))?;
            let trial = Trial { at, value: point.report.loss, slope: slope(&point) };
            last = Some((at, point));
            Ok(trial)
        })?;
        let Some(found) = found else { return Ok(None) };
        let point = match last {
            Some((at, point)) if at == found => point,
            // An earlier trial turned out to be the one to take.
            _ => evaluate(moved(found))?,
        };
        Ok((point.x != from.x).then_some(point))
    }

    /// `−H·gradient`, H the inverse of the Hessian as far as it is remembered.
    fn direction(&self, gradient: &[f32]) -> Vec<f64> {
        let mut q: Vec<f64> = gradient.iter().map(|&g| -f64::from(g)).collect();
        let mut factors = Vec::with_capacity(self.pairs.len());
        for Pair { s, y } in self.pairs.iter().rev() {
            let factor = dot(s, &q) / inner(s, y);
            add(&mut q, -factor, y);
            factors.push(factor);
        }
        if let Some(Pair { s, y }) = self.pairs.back() {
            let scale = inner(s, y) / inner(y, y);
            q.iter_mut().for_each(|q| *q *= scale);
        }
        for (Pair { s, y }, factor) in self.pairs.iter().zip(factors.into_iter().rev()) {
            let change = factor - dot(y, &q) / inner(s, y);
            add(&mut q, change, s);
        }
        q
    }

    fn remember(&mut self, pair: Pair) {
        let Pair { s, y } = &pair;
        if inner(s, y) > LEAST_CURVATURE * (inner(s, s) * inner(y, y)).sqrt() {
            if self.pairs.len() == self.most {
                self.pairs.pop_front();
            }
            self.pairs.push_back(pair);
        }
    }
}

/// Sums that are kept in flight.
const CHAINS: usize = 8;

fn sum_of(len: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut sums = [0.0; CHAINS];
    let whole = len - len % CHAINS;
    for at in (0..whole).step_by(CHAINS) {
        sums.iter_mut().enumerate().for_each(|(i, sum)| *sum += term(at + i));
    }
    sums.into_iter().sum::<f64>() + (whole..len).map(term).sum::<f64>()
}

fn inner(a: &[f32], b: &[f32]) -> f64 {
    sum_of(a.len().min(b.len()), |i| f64::from(a[i]) * f64::from(b[i]))
}

fn dot(a: &[f32], b: &[f64]) -> f64 {
    sum_of(a.len().min(b.len()), |i| f64::from(a[i]) * b[i])
}

/// `to += by·v`.
fn add(to: &mut [f64], by: f64, v: &[f32]) {
    to.iter_mut().zip(v).for_each(|(to, &v)| *to += by * f64::from(v));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The objective in f64 at an f32 position, its gradient rounded to f32.
    fn point(x: Vec<f32>, f: impl Fn(&[f64]) -> (f64, Vec<f64>)) -> Point {
        let at: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let (loss, gradient) = f(&at);
        let report = StepReport { loss, ..StepReport::default() };
        Point { x, gradient: gradient.into_iter().map(|g| g as f32).collect(), report }
    }

    fn rosenbrock(x: &[f64]) -> (f64, Vec<f64>) {
        let mut gradient = vec![0.0; x.len()];
        let mut value = 0.0;
        for i in 0..x.len() - 1 {
            let (a, b) = (1.0 - x[i], x[i + 1] - x[i] * x[i]);
            value += a * a + 100.0 * b * b;
            gradient[i] += -2.0 * a - 400.0 * x[i] * b;
            gradient[i + 1] += 200.0 * b;
        }
        (value, gradient)
    }

    /// Eigenvalues from 1 to `condition`.
    fn quadratic(condition: f64) -> impl Fn(&[f64]) -> (f64, Vec<f64>) {
        move |x| {
            let eigenvalue = |i: usize| condition.powf(i as f64 / (x.len() - 1) as f64);
            let value = x.iter().enumerate().map(|(i, x)| 0.5 * eigenvalue(i) * (x - 1.0).powi(2)).sum();
            (value, x.iter().enumerate().map(|(i, x)| eigenvalue(i) * (x - 1.0)).collect())
        }
    }

    /// The positions' objectives up to a steepness, and the evaluations.
    fn minimise(
        f: impl Fn(&[f64]) -> (f64, Vec<f64>),
        start: Vec<f32>,
        most: usize,
        steepness: f64,
    ) -> (Vec<f64>, usize, Point) {
        let mut lbfgs = Lbfgs::new(most);
        let mut here = point(start, &f);
        let (mut values, mut evaluations) = (vec![here.report.loss], 0);
        while here.steepness() > steepness && values.len() < 500 {
            let next = lbfgs.iterate(&here, &mut |x| {
                evaluations += 1;
                Ok(point(x, &f))
            });
            let Some(next) = next.unwrap() else { break };
            here = next;
            values.push(here.report.loss);
        }
        (values, evaluations, here)
    }

    #[test]
    fn rosenbrocks_valley_is_followed_to_its_end() {
        for dims in [2, 10] {
            let (values, evaluations, end) = minimise(rosenbrock, [-1.2, 1.0].repeat(dims / 2), 10, 1e-3);
            assert!(values.windows(2).all(|w| w[1] < w[0]), "every iteration lowers the objective");
            assert!(end.x.iter().all(|x| (x - 1.0).abs() < 2e-3), "{:?}", end.x);
            assert!(values.len() < 120 && evaluations < 2 * values.len(), "{} {evaluations}", values.len());
        }
    }

    /// `H ← (I − s·yᵀ/sᵀy)·H·(I − y·sᵀ/sᵀy) + s·sᵀ/sᵀy` for each pair, written out as matrices, H₀ = sᵀy/yᵀy of the last.
    #[test]
    fn the_direction_is_that_of_the_inverse_hessian_written_out() {
        let n = 6;
        let number = |i: usize| ((i * 7919 % 1009) as f32 / 1009.0 - 0.5) * 2.0;
        let vector = |shift: usize| (0..n).map(|i| number(n * shift + i)).collect::<Vec<f32>>();
        let mut lbfgs = Lbfgs::new(4);
        for pair in 0..4 {
            let s = vector(pair);
            // Of positive curvature.
            let y: Vec<f32> = s.iter().zip(vector(pair + 10)).map(|(s, more)| 2.0 * s + 0.3 * more).collect();
            lbfgs.remember(Pair { s, y });
            assert_eq!(lbfgs.pairs.len(), pair + 1);
        }
        let last = lbfgs.pairs.back().unwrap();
        let scale = inner(&last.s, &last.y) / inner(&last.y, &last.y);
        let mut h: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| if i == j { scale } else { 0.0 }).collect()).collect();
        for Pair { s, y } in &lbfgs.pairs {
            let (s, y): (Vec<f64>, Vec<f64>) =
                (s.iter().map(|&s| s.into()).collect(), y.iter().map(|&y| y.into()).collect());
            let curvature: f64 = s.iter().zip(&y).map(|(s, y)| s * y).sum();
            let left = |i: usize, j: usize| f64::from(u8::from(i == j)) - s[i] * y[j] / curvature;
            let sum = |f: &dyn Fn(usize) -> f64| (0..n).map(f).sum::<f64>();
            let half: Vec<Vec<f64>> =
                (0..n).map(|i| (0..n).map(|j| sum(&|k| left(i, k) * h[k][j])).collect()).collect();
            h = (0..n)
                .map(|i| (0..n).map(|j| sum(&|k| half[i][k] * left(j, k)) + s[i] * s[j] / curvature).collect())
                .collect();
        }
        let gradient = vector(30);
        for (row, found) in h.iter().zip(lbfgs.direction(&gradient)) {
            let expected = -row.iter().zip(&gradient).map(|(h, &g)| h * f64::from(g)).sum::<f64>();
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    /// SciPy 1.17's L-BFGS-B takes so many iterations from the same start to the same gradient (`minimize(f, zeros(50), jac=True,
    /// method="L-BFGS-B", options=dict(maxcor=most, gtol=1e-2, ftol=0))`). It differs in its line search: a tenth is allowed.
    #[test]
    fn more_memory_takes_fewer_iterations_and_as_many_as_another_implementation_takes() {
        for (most, expected) in [(5, 453), (10, 380), (20, 327), (50, 230)] {
            let found = minimise(quadratic(1e4), vec![0.0; 50], most, 1e-2).0.len() - 1;
            assert!(found.abs_diff(expected) <= expected / 10, "{found} with {most} moves remembered, not {expected}");
        }
    }

    /// With all moves remembered and exact line searches it would be the conjugate gradient method: n iterations. Inexact
    /// ones cost a few more.
    #[test]
    fn a_small_quadratic_is_solved_in_about_as_many_iterations_as_it_has_dimensions() {
        let (values, _, end) = minimise(quadratic(100.0), vec![0.0; 5], 20, 1e-4);
        assert!(values.len() <= 25, "{}", values.len());
        assert!(end.x.iter().all(|x| (x - 1.0).abs() < 1e-4));
    }

    #[test]
    fn where_f32_sees_no_lower_objective_it_says_so() {
        let (_, _, end) = minimise(quadratic(10.0), vec![0.0; 7], 5, 0.0);
        assert!(end.x.iter().all(|x| (x - 1.0).abs() < 1e-5), "{:?}", end.x);
        let flat = point(vec![1.0, 2.0], |_| (3.0, vec![0.0, 0.0]));
        assert!(Lbfgs::new(5).iterate(&flat, &mut |_| panic!("nothing to evaluate")).unwrap().is_none());
        let nan = point(vec![1.0], |_| (3.0, vec![f64::NAN]));
        assert!(Lbfgs::new(5).iterate(&nan, &mut |_| panic!("nothing to evaluate")).unwrap().is_none());
    }

    #[test]
    fn what_is_remembered_and_the_position_decide_the_next_iteration() {
        let mut lbfgs = Lbfgs::new(4);
        let mut here = point(vec![-1.2, 1.0, 0.5], rosenbrock);
        for _ in 0..12 {
            let mut restored = lbfgs.clone();
            let again = point(here.x.clone(), rosenbrock);
            let other = restored.iterate(&again, &mut |x| Ok(point(x, rosenbrock))).unwrap().unwrap();
            here = lbfgs.iterate(&here, &mut |x| Ok(point(x, rosenbrock))).unwrap().unwrap();
            assert_eq!(other.x, here.x);
            assert_eq!(restored, lbfgs);
            assert!(lbfgs.pairs.len() <= 4);
        }
    }
}
