//! How many steps a run has, and which rows each of them sees.

use crate::config::TrainConfig;
use crate::error::{Error, Result};

/// The steps of a run over a training set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows of a full batch: at most those there are.
    pub batch: usize,
    /// Steps of a whole epoch.
    pub steps_per_epoch: u64,
    /// Steps of the whole run.
    pub steps: u64,
}

impl Plan {
    /// The plan of `config` over `rows` training rows.
    ///
    /// # Errors
    /// [`Error::Setting`] where `drop_last` leaves no batch, or there is nothing that ends the run.
    pub fn new(config: &TrainConfig, rows: usize) -> Result<Self> {
        if config.drop_last && rows < config.batch {
            let found = format!("{} with train.drop_last true and {rows} training rows", config.batch);
            return Err(Error::setting("train.batch", found, "at most the number of training rows"));
        }
        let batch = config.batch.min(rows).max(1);
        let steps_per_epoch = if config.drop_last { rows / batch } else { rows.div_ceil(batch) } as u64;
        let limit = if config.max_steps == 0 { u64::MAX } else { config.max_steps };
        let epochs = if config.epochs == 0 { u64::MAX } else { config.epochs as u64 };
        let steps = steps_per_epoch.saturating_mul(epochs).min(limit);
        if steps == u64::MAX {
            return Err(Error::setting("train.epochs", "0", "at least 1, or train.max_steps above 0"));
        }
        Ok(Self { batch, steps_per_epoch, steps })
    }

    /// The rows of step `index` of an epoch, out of the epoch's `order`.
    pub fn rows<'a>(&self, order: &'a [usize], index: u64) -> &'a [usize] {
        let start = (index as usize).saturating_mul(self.batch).min(order.len());
        &order[start..(start + self.batch).min(order.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(batch: usize, epochs: usize, max_steps: u64, drop_last: bool) -> TrainConfig {
        TrainConfig { batch, epochs, max_steps, drop_last, ..TrainConfig::default() }
    }

    #[test]
    fn every_row_is_in_one_batch_and_the_last_is_short_or_dropped() {
        let order: Vec<usize> = (0..10).collect();
        let keep = Plan::new(&config(4, 3, 0, false), 10).unwrap();
        assert_eq!(keep, Plan { batch: 4, steps_per_epoch: 3, steps: 9 });
        let all: Vec<usize> = (0..3).flat_map(|i| keep.rows(&order, i).to_vec()).collect();
        assert_eq!(all, order);
        assert_eq!(keep.rows(&order, 2), [8, 9]);
        assert!(keep.rows(&order, 3).is_empty());
        let drop = Plan::new(&config(4, 3, 0, true), 10).unwrap();
        assert_eq!((drop.steps_per_epoch, drop.steps), (2, 6));
    }

    #[test]
    fn steps_end_a_run_within_or_without_epochs() {
        assert_eq!(Plan::new(&config(4, 3, 7, false), 10).unwrap().steps, 7);
        assert_eq!(Plan::new(&config(4, 0, 7, false), 10).unwrap().steps, 7);
        assert_eq!(Plan::new(&config(4, 1, 7, false), 10).unwrap().steps, 3);
        assert!(Plan::new(&config(4, 0, 0, false), 10).is_err());
    }

    #[test]
    fn a_batch_larger_than_the_set_is_the_set_unless_it_would_be_dropped() {
        assert_eq!(Plan::new(&config(400, 1, 0, false), 10).unwrap().batch, 10);
        let error = Plan::new(&config(400, 1, 0, true), 10).unwrap_err();
        assert!(error.to_string().contains("400") && error.is_usage(), "{error}");
    }
}
