//! A stack with a classifier, before and after fine-tuning, judged on a test set of its own.

use sae_kernels::BackendKind;

use super::{Context, Measured};
use crate::data::{Part, load_folder};
use crate::error::{Error, Result};
use crate::stack::{Stack, train};
use crate::train::{Silent, TrainingSet};

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let config = context.config(&[])?;
    let folder = context.path("mnist");
    let set = TrainingSet::new(&config, load_folder(&folder, Part::Train)?)?;
    let trained = train(&config, &set, &mut Silent, |_| Ok(()))?;
    let mut test = load_folder(&folder, Part::Test)?;
    let Some(labels) = test.labels.take() else {
        return Err(Error::input(folder.display(), "the test images have no labels", "labels"));
    };
    trained.after.prepare(&mut test)?;
    let accuracy =
        |stack: &Stack| -> Result<f64> { Ok(stack.judge(BackendKind::Fused, &test.data, &labels)?.accuracy) };
    let (before, after) = (accuracy(&trained.before)?, accuracy(&trained.after)?);
    let mut found = Measured::default();
    found.value("accuracy before fine-tuning", before);
    found.value("accuracy", after);
    found.value("gain", after - before);
    Ok(found)
}
