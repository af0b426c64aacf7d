//! Where batches come from.

use serde::{Deserialize, Serialize};

use super::{Plan, TrainingSet};
use crate::data::epoch_order;
use crate::error::Result;
use crate::model::Batch;

/// Which batch of a run is next. With the seed, it decides what is in the batch, whatever was fetched before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Batches of it that are done.
    pub batch: u64,
}

/// Training rows in batches. What batch a position has depends on the settings and the set alone, so that a run can be
/// taken up at any of them; asking for one after the other is what is fast.
pub trait Feed: Send {
    /// Puts the rows at `at` into `batch`.
    ///
    /// # Errors
    /// Where data cannot be read, or `at` is behind the last batch of an epoch.
    fn fetch(&mut self, set: &TrainingSet, at: Position, batch: &mut Batch) -> Result;

    /// The rows of the batch that was fetched last, as the data number them, from 0.
    fn rows(&self, set: &TrainingSet) -> Vec<u64>;

    /// Seconds of the last [`Feed::fetch`] in which it waited for rows to arrive; `None` where rows are in memory.
    fn waited(&self) -> Option<f64>;
}

/// The rows in memory, every epoch in an order of its own.
#[derive(Debug)]
pub(super) struct InMemory {
    plan: Plan,
    shuffle: bool,
    seed: u64,
    /// The order of the epoch that was fetched from last.
    order: Option<(u64, Vec<usize>)>,
    last: Position,
}

impl InMemory {
    pub(super) fn new(plan: Plan, shuffle: bool, seed: u64) -> Self {
        Self { plan, shuffle, seed, order: None, last: Position::default() }
    }
}

impl Feed for InMemory {
    fn fetch(&mut self, set: &TrainingSet, at: Position, batch: &mut Batch) -> Result {
        let order = match self.order.take() {
            Some((epoch, order)) if epoch == at.epoch => order,
            _ => epoch_order(set.train.rows, self.shuffle, self.seed, at.epoch),
        };
        let (_, order) = self.order.insert((at.epoch, order));
        self.last = at;
        batch.gather(&set.train.data, self.plan.rows(order, at.batch))
    }

    fn rows(&self, set: &TrainingSet) -> Vec<u64> {
        let Some((_, order)) = &self.order else { return Vec::new() };
        let rows = self.plan.rows(order, self.last.batch);
        rows.iter().map(|&row| set.origin.get(row).copied().unwrap_or(row) as u64).collect()
    }

    fn waited(&self) -> Option<f64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_position_has_its_batch_whatever_was_fetched_before() {
        let config = Config::parse("[train]\nbatch = 100", "test", &[]).unwrap();
        let set = TrainingSet::load(&config).unwrap();
        let plan = Plan::new(&config.train, set.train.rows).unwrap();
        let mut batch = Batch::new(plan.batch, set.train.cols, None).unwrap();
        let mut rows = |feed: &mut InMemory, epoch, index| {
            feed.fetch(&set, Position { epoch, batch: index }, &mut batch).unwrap();
            let view = batch.view().unwrap();
            let values: Vec<f32> = (0..view.rows()).map(|r| view.at(0, r, 20)).collect();
            (feed.rows(&set), values)
        };
        let mut in_order = InMemory::new(plan, true, 3);
        let mut all = Vec::new();
        for epoch in 0..3 {
            for index in 0..plan.steps_per_epoch {
                all.push(((epoch, index), rows(&mut in_order, epoch, index)));
            }
        }
        let mut at_will = InMemory::new(plan, true, 3);
        for ((epoch, index), expected) in all.iter().rev() {
            assert_eq!(&rows(&mut at_will, *epoch, *index), expected);
        }
        let mut seen: Vec<u64> = all[..15].iter().flat_map(|(_, (rows, _))| rows.clone()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), set.train.rows, "an epoch has every training row once");
        assert_eq!(seen.iter().map(|&row| row as usize).collect::<Vec<_>>(), {
            let mut origin = set.origin.clone();
            origin.sort_unstable();
            origin
        });
    }
}
