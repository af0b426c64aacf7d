//! What β, λ and ρ each do to reconstruction and sparsity, the others as they are.

use std::fmt::Write;

use super::{Context, Measured, trained};
use crate::error::{Error, Result};
use crate::report::lines::{Line, Lines};
use crate::train::Part;

/// The keys, the list of their values among the settings, and their letters.
const KEYS: [(&str, &str, &str); 3] =
    [("sparsity.beta", "beta", "β"), ("loss.weight_decay", "lambda", "λ"), ("sparsity.rho", "rho", "ρ")];

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let mut found = Measured::default();
    let mut table = String::from("key,value,test_mse,rho_hat_mean,active_percent\n");
    for (key, list, letter) in KEYS {
        let (mut errors, mut means) = (Vec::new(), Vec::new());
        for value in context.numbers(list)? {
            let mut trainer = trained(context.config(&[(key, &value.to_string())])?)?;
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
