//! How the learning rate goes.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::config::{Config, ScheduleConfig, ScheduleKind};

/// The learning rate of every step: PyTorch's schedules, counted in steps, in closed form.
///
/// With `lr` the setting `optimizer.lr`, t the updates done before the step, w = `warmup_steps`, and for t ≥ w the count
/// u = t − w; T is `steps`, or, where that is 0, all that follow the warm-up:
///
/// | `schedule.kind` | rate | PyTorch |
/// | --- | --- | --- |
/// | any, t < w | `lr·(f + (1 − f)·t/w)`, f = `warmup_factor` | `LinearLR(f, 1, w)` |
/// | `constant` | `lr` | |
/// | `linear` | `lr·(1 + (e − 1)·min(u, T)/T)`, e = `end_factor` | `LinearLR(1, e, T)` |
/// | `step` | `lr·gamma^⌊u/step_size⌋` | `StepLR` |
/// | `cosine` | `min_lr + (lr − min_lr)·(1 + cos(π·min(u, T)/T))/2` | `CosineAnnealingLR`, which goes up again behind T |
/// | `plateau` | `lr`, times `factor` after `patience` epochs without a better validation loss | `ReduceLROnPlateau` |
///
/// `plateau` calls a loss better where it is below `best·(1 − threshold)`, and stays at or above `min_lr`.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    lr: f64,
    config: ScheduleConfig,
    /// T.
    steps: u64,
}

/// What `plateau` remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// The best validation loss.
    best: Option<f64>,
    /// Epochs since then, or since the last reduction.
    bad_epochs: u64,
    /// Epochs that are still not counted.
    cooldown: u64,
    /// The rate, once it was reduced.
    lr: Option<f64>,
}

impl Schedule {
    /// The schedule of a run of `steps` steps.
    pub fn new(config: &Config, steps: u64) -> Self {
        let schedule = config.schedule.clone();
        let rest = steps.saturating_sub(schedule.warmup_steps);
        let steps = if schedule.steps == 0 { rest } else { schedule.steps }.max(1);
        Self { lr: config.optimizer.lr, config: schedule, steps }
    }

    /// The rate of the step after `done` updates.
    pub fn rate(&self, done: u64, plateau: &Plateau) -> f64 {
        let config = &self.config;
        if done < config.warmup_steps {
            let share = done as f64 / config.warmup_steps as f64;
            return self.lr * (config.warmup_factor + (1.0 - config.warmup_factor) * share);
        }
        let done = done - config.warmup_steps;
        let share = done.min(self.steps) as f64 / self.steps as f64;
        match config.kind {
            ScheduleKind::Constant => self.lr,
            ScheduleKind::Linear => self.lr * (1.0 + (config.end_factor - 1.0) * share),
            ScheduleKind::Step => {
                let times = i32::try_from(done / config.step_size).unwrap_or(i32::MAX);
                self.lr * config.gamma.powi(times)
            }
            ScheduleKind::Cosine => config.min_lr + (self.lr - config.min_lr) * (1.0 + (PI * share).cos()) / 2.0,
            ScheduleKind::Plateau => plateau.lr.unwrap_or(self.lr),
        }
    }

    /// Takes the validation loss of an epoch in. One that is not finite is never better.
    pub(super) fn observe(&self, loss: f64, plateau: &mut Plateau) {
        /// Reductions below this are left out, as in PyTorch.
        const LEAST: f64 = 1e-8;
        let config = &self.config;
        if config.kind != ScheduleKind::Plateau {
            return;
        }
        if loss.is_finite() && plateau.best.is_none_or(|best| loss < best * (1.0 - config.threshold)) {
            plateau.best = Some(loss);
            plateau.bad_epochs = 0;
        } else {
            plateau.bad_epochs += 1;
        }
        if plateau.cooldown > 0 {
            plateau.cooldown -= 1;
            plateau.bad_epochs = 0;
        }
        if plateau.bad_epochs > config.patience {
            let old = plateau.lr.unwrap_or(self.lr);
            let new = (old * config.factor).max(config.min_lr);
            if old - new > LEAST {
                plateau.lr = Some(new);
            }
            plateau.cooldown = config.cooldown;
            plateau.bad_epochs = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(steps: u64, change: impl FnOnce(&mut ScheduleConfig)) -> Schedule {
        let mut config = Config::default();
        config.optimizer.lr = 0.1;
        change(&mut config.schedule);
        Schedule::new(&config, steps)
    }

    fn rates(schedule: &Schedule, steps: u64) -> Vec<f64> {
        (0..steps).map(|t| schedule.rate(t, &Plateau::default())).collect()
    }

    /// A few roundings of numbers up to 0.1, and where a recursion is followed one more each step.
    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (t, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((a - b).abs() <= 0.1 * f64::EPSILON * (8 + 4 * t) as f64, "step {t}: {a} {b}");
        }
    }

    #[test]
    fn constant_stays_and_warms_up_along_a_line() {
        assert_eq!(rates(&schedule(3, |_| {}), 3), [0.1; 3]);
        let warm = schedule(10, |s| (s.warmup_steps, s.warmup_factor) = (4, 0.2));
        assert_close(&rates(&warm, 6), &[0.02, 0.04, 0.06, 0.08, 0.1, 0.1]);
    }

    #[test]
    fn linear_and_step_follow_the_recursions_of_pytorch() {
        // LinearLR: lr ← lr·(1 + (e − 1)/(T·1 + (t − 1)·(e − 1))), t = 1, 2, …, T.
        let (e, total) = (0.25, 8);
        let mut expected = vec![0.1];
        for t in 1..=total {
            let last = expected[t - 1];
            expected.push(last * (1.0 + (e - 1.0) / (total as f64 + (t as f64 - 1.0) * (e - 1.0))));
        }
        expected.extend([expected[total]; 2]);
        let linear = schedule(100, |s| (s.kind, s.steps, s.end_factor) = (ScheduleKind::Linear, 8, e));
        assert_close(&rates(&linear, 11), &expected);
        let step = schedule(100, |s| (s.kind, s.step_size, s.gamma) = (ScheduleKind::Step, 3, 0.5));
        assert_close(&rates(&step, 8), &[0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025]);
    }

    #[test]
    fn cosine_follows_the_recursion_of_pytorch_and_ends_at_its_lowest() {
        // CosineAnnealingLR: lr ← η + (lr − η)·(1 + cos(πt/T))/(1 + cos(π(t − 1)/T)), T = 10 − 2 of warm-up.
        let (min, total) = (0.01, 8.0);
        let mut expected = vec![0.05, 0.075, 0.1];
        for t in 1..8 {
            let (now, before) = ((PI * t as f64 / total).cos(), (PI * (t as f64 - 1.0) / total).cos());
            expected.push(min + (expected[t + 1] - min) * (1.0 + now) / (1.0 + before));
        }
        let cosine = schedule(10, |s| {
            (s.kind, s.min_lr, s.warmup_steps, s.warmup_factor) = (ScheduleKind::Cosine, min, 2, 0.5);
        });
        assert_close(&rates(&cosine, 10), &expected);
        assert_eq!(cosine.rate(10, &Plateau::default()), min);
        assert_eq!(cosine.rate(u64::MAX, &Plateau::default()), min);
    }

    #[test]
    fn plateau_waits_reduces_and_rests() {
        let plateau = schedule(100, |s| {
            (s.kind, s.factor, s.patience, s.cooldown, s.min_lr) = (ScheduleKind::Plateau, 0.5, 1, 1, 0.02);
        });
        let mut state = Plateau::default();
        let rates: Vec<f64> = [5.0, 4.0, 4.0, 3.9999, 4.0, 4.0, 4.0, 4.0, f64::NAN, 4.0, 4.0, 3.0]
            .into_iter()
            .map(|loss| {
                plateau.observe(loss, &mut state);
                plateau.rate(7, &state)
            })
            .collect();
        // Better: 5, 4. 3.9999 is not below 4·(1 − 1e-4). Two bad epochs reduce; the one after a reduction is not counted.
        let expected = [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.02, 0.02, 0.02];
        assert_eq!(rates, expected);
    }
}
