//! What β, λ and ρ each do to reconstruction and sparsity, the others as they are.

use std::fmt::Write;
use std::sync::Arc;

use super::{Context, Measured};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::report::lines::{Line, Lines};
use crate::train::{Cohort, Observer, Part, Silent, Trainer, TrainingSet};

/// The keys, the list of their values among the settings, and their letters.
const KEYS: [(&str, &str, &str); 3] =
    [("sparsity.beta", "beta", "β"), ("loss.weight_decay", "lambda", "λ"), ("sparsity.rho", "rho", "ρ")];

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let (mut configs, mut lists) = (Vec::new(), Vec::new());
    for (key, list, _) in KEYS {
        let values = context.numbers(list)?;
        for value in &values {
            configs.push(context.config(&[(key, &value.to_string())])?);
        }
        lists.push(values);
    }
    let mut trainers = together(configs)?.into_iter();
    let mut found = Measured::default();
    let mut table = String::from("key,value,test_mse,rho_hat_mean,active_percent\n");
    for ((key, list, letter), values) in KEYS.into_iter().zip(lists) {
        let (mut errors, mut means) = (Vec::new(), Vec::new());
        for (value, mut trainer) in values.into_iter().zip(&mut trainers) {
            let Some(test) = trainer.evaluate(Part::Test)? else {
                return Err(Error::setting("data.test", "0", "rows to judge by"));
            };
            let (mean, active) = (test.activity.rho_hat_mean(), test.activity.active_percent());
            found.value(format!("{letter} {value}: test MSE"), test.mse);
            found.value(format!("{letter} {value}: mean activation"), mean);
            // Writing to a String cannot fail.
            let _ = writeln!(table, "{key},{value},{},{mean},{active}", test.mse);
            errors.push((value, test.mse));
            means.push((value, mean));
        }
        let ends = |points: &[(f64, f64)]| match points {
            [first, .., last] => last.1 / first.1,
            _ => f64::NAN,
        };
        found.value(format!("{letter}: MSE, last over first"), ends(&errors));
        found.value(format!("{letter}: mean activation, last over first"), ends(&means));
        if context.first {
            let lines = Lines {
                title: format!("Sensitivity to {letter} ({key})"),
                x: letter.to_owned(),
                log_x: errors.iter().all(|p| p.0 > 0.0),
                panels: vec![
                    ("test MSE".to_owned(), vec![Line { name: String::new(), points: errors }]),
                    ("mean activation".to_owned(), vec![Line { name: String::new(), points: means }]),
                ],
            };
            found.files.push((format!("{list}.svg"), lines.render().into_bytes()));
        }
    }
    if context.first {
        found.files.push(("table.csv".to_owned(), table.into_bytes()));
    }
    Ok(found)
}

/// Runs of one shape, trained on one pass over the data.
fn together(configs: Vec<Config>) -> Result<Vec<Trainer>> {
    let Some(first) = configs.first() else { return Ok(Vec::new()) };
    let set = Arc::new(TrainingSet::load(first)?);
    let mut silent = vec![Silent; configs.len()];
    let mut observers: Vec<&mut dyn Observer> = silent.iter_mut().map(|one| one as &mut dyn Observer).collect();
    let mut cohort = Cohort::new(configs, set)?;
    cohort.run(&mut observers)?;
    cohort.into_runs().into_iter().map(|(trainer, error)| error.map_or(Ok(trainer), Err)).collect()
}
