//! Half the units of an over-complete model removed, and what training on mends.

use sae_kernels::BackendKind;

use super::{Context, Measured, trained};
use crate::error::Result;
use crate::model::Model;
use crate::model::file::ModelFile;
use crate::prune::{Choice, Units, finetune, prune};
use crate::train::Silent;

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let trainer = trained(context.config(&[])?)?;
    let (file, set, config) = (trainer.model()?, trainer.set().clone(), trainer.config().clone());
    let mse = |file: &ModelFile| -> Result<f64> {
        let mut model = Model::new(file.clone(), BackendKind::Fused, "the model")?;
        Ok(model.evaluate(&set.test.data, config.train.threshold_active as f32)?.mse)
    };
    let mut model = Model::new(file.clone(), BackendKind::Fused, "the model")?;
    let units = Units::measure(&mut model, &file, &set.train.data)?;
    let keep = (file.d_hid as f64 * (1.0 - context.number("removed")?)).round() as usize;
    let choice = Choice { keep: Some(keep), ..Choice::default() };
    let removed = units.choose(&choice, &mut model, &file, &set.train.data)?;
    let cut = prune(&file, removed.clone(), false)?.model;
    let folded = prune(&file, removed, true)?.model;
    let epochs = context.number("finetune")? as usize;
    let tuned = finetune(&folded, &config, set.clone(), epochs, &mut Silent)?;
    // Training on helps the whole model, too: what is compared has seen as many epochs.
    let whole = finetune(&file, &config, set.clone(), epochs, &mut Silent)?;
    let (before, whole) = (mse(&file)?, mse(&whole)?);
    let mut found = Measured::default();
    found.value("units before", file.d_hid as f64);
    found.value("units after", folded.d_hid as f64);
    found.value("test MSE before", before);
    found.value("test MSE of the whole, trained on as long", whole);
    found.value("more MSE after removal", mse(&cut)? / before - 1.0);
    found.value("more MSE after removal, means folded", mse(&folded)? / before - 1.0);
    found.value("more MSE after fine-tuning", mse(&tuned)? / before - 1.0);
    found.value("more MSE than the whole trained on", mse(&tuned)? / whole - 1.0);
    Ok(found)
}
