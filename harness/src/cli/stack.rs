//! `sae stack`, and what `sae eval` says of a stack.

use serde_json::{Value, json};

use super::args::{EvalArgs, StackArgs};
use super::overrides::Overrides;
use super::run_dir::RunDir;
use super::{measures, output, system};
use crate::config::{Config, DataConfig, StackConfig};
use crate::data::{Dataset, load};
use crate::error::{Error, Result};
use crate::stack::{Judged, Stack, Stage, train};
use crate::train::{Silent, TrainingSet};

pub(super) fn run(args: StackArgs, overrides: Overrides) -> Result {
    let settings = args.settings.pairs(overrides);
    let config = Config::load(args.settings.config.as_deref(), &settings)?;
    if config.stack.layers.is_empty() {
        return Err(Error::setting("stack.layers", "[]", "the width of each layer, as in --stack.layers 200,200"));
    }
    let pool = system::pool(config.threads)?;
    pool.install(|| {
        let layers = StackConfig { layers: Vec::new(), ..config.stack.clone() };
        // A classifier needs labels, and every layer the features of all rows.
        let data = DataConfig { buffer_mib: 0, ..config.data.clone() };
        let set = TrainingSet::load(&Config { stack: layers, data, ..config.clone() })?;
        for warning in &set.warnings {
            output::say(&format!("warning: {warning}"));
        }
        if set.train.labels.is_none() {
            output::say(&format!("warning: {} has no labels: the stack gets no classifier", set.train.name));
        }
        let dir = RunDir::create(args.out.as_deref(), &format!("{}-stack", set.train.name), &config)?;
        let trained = train(&config, &set, &mut Silent, |stage| {
            if !args.quiet {
                tell(stage, &config);
            }
            Ok(())
        })?;
        trained.after.save(&dir.path)?;
        let kind = config.backend;
        let (part, judged) = if set.test.rows > 0 { ("test", &set.test) } else { ("train", &set.train) };
        let judge = |stack: &Stack| match &judged.labels {
            Some(labels) if stack.head.is_some() => stack.judge(kind, &judged.data, labels).map(Some),
            _ => Ok(None),
        };
        let (before, after) = (judge(&trained.before)?, judge(&trained.after)?);
        if args.json {
            let layers = trained.greedy.iter().map(|layer| {
                let last = &layer.summary.last;
                json!({ "d_hid": layer.units, "loss": last.train.loss, "val_mse": last.validation.val_mse })
            });
            return output::print_json(&json!({
                "out": dir.path.display().to_string(),
                "layers": layers.collect::<Vec<_>>(),
                "part": part,
                "before": before.as_ref().map(object),
                "after": after.as_ref().map(object),
            }));
        }
        let mut text = String::new();
        for (index, layer) in trained.greedy.iter().enumerate() {
            let loss = measures::short(layer.summary.last.train.loss);
            text += &format!("layer {}: {} units, loss {loss}\n", index + 1, layer.units);
        }
        if let (Some(before), Some(after)) = (&before, &after) {
            text += &format!(
                "on {part}: accuracy {:.2}% before fine-tuning, {:.2}% after; cross-entropy {}, then {}\n",
                100.0 * before.accuracy,
                100.0 * after.accuracy,
                measures::short(before.cross_entropy),
                measures::short(after.cross_entropy),
            );
        }
        output::print(&format!("{text}left in {}\n", dir.path.display()))
    })
}

fn tell(stage: Stage, config: &Config) {
    let line = match stage {
        Stage::Layer { index, units } => {
            format!("layer {} of {}: {units} units", index + 1, config.stack.layers.len())
        }
        Stage::Head { epoch, loss } => {
            format!("classifier: epoch {} of {}, loss {loss:.4}", epoch + 1, config.stack.head_epochs)
        }
        Stage::Finetune { epoch, loss } => {
            format!("fine-tuning: epoch {} of {}, loss {loss:.4}", epoch + 1, config.stack.finetune_epochs)
        }
    };
    output::say(&line);
}

fn object(judged: &Judged) -> Value {
    let cross_entropy = judged.cross_entropy.is_finite().then_some(judged.cross_entropy);
    json!({ "accuracy": judged.accuracy, "cross_entropy": cross_entropy, "confusion": judged.confusion })
}

/// `sae eval` of a stack: how well it classifies.
pub(super) fn evaluate(stack: &Stack, args: &EvalArgs) -> Result {
    let mut set: Dataset = load(&args.of.data, args.seed)?;
    let Some(labels) = set.labels.take() else {
        return Err(Error::input(&set.name, "there are no labels", "labelled rows, to evaluate a stack on"));
    };
    stack.prepare(&mut set)?;
    let judged = stack.judge(args.on.backend.parse()?, &set.data, &labels)?;
    let known = stack.head.as_ref().map_or(&[][..], |head| &head.labels);
    if args.json {
        let mut value = object(&judged);
        value["model"] = args.of.model.display().to_string().into();
        value["data"] = args.of.data.clone().into();
        value["rows"] = set.rows.into();
        value["labels"] = known.into();
        return output::print_json(&value);
    }
    let mut text = format!(
        "{} on {} ({} rows)\naccuracy       {:.2}%\ncross-entropy  {}\n\nrows of each label, by the label predicted\n{:>8}",
        args.of.model.display(),
        set.name,
        set.rows,
        100.0 * judged.accuracy,
        measures::short(judged.cross_entropy),
        ""
    );
    known.iter().for_each(|label| text += &format!("{label:>6}"));
    for (label, row) in known.iter().zip(&judged.confusion) {
        text += &format!("\n{label:>8}");
        row.iter().for_each(|count| text += &format!("{count:>6}"));
    }
    output::print(&format!("{text}\n"))
}
