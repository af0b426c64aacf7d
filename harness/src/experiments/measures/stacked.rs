//! A stack with a classifier, before and after fine-tuning, judged on a test set of its own.

use super::{Context, Measured, judged, labels};
use crate::error::Result;
use crate::stack::{Stack, train};
use crate::train::Silent;

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let config = context.config(&[])?;
    let (set, test) = judged(&config)?;
    let trained = train(&config, &set, &mut Silent, |_| Ok(()))?;
    let accuracy =
        |stack: &Stack| -> Result<f64> { Ok(stack.judge(config.backend, &test.data, labels(&test)?)?.accuracy) };
    let (before, after) = (accuracy(&trained.before)?, accuracy(&trained.after)?);
    let mut found = Measured::default();
    found.value("accuracy before fine-tuning", before);
    found.value("accuracy", after);
    found.value("gain", after - before);
    Ok(found)
}
