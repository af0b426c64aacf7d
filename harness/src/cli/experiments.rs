//! `sae experiments`.

use serde_json::json;

use super::args::ExperimentsArgs;
use super::{output, system};
use crate::error::{Error, Result, nearest};
use crate::experiments::{Experiment, page};

/// The findings, beside the experiments.
const FINDINGS: &str = "FINDINGS.md";

pub(super) fn run(args: ExperimentsArgs) -> Result {
    let all = Experiment::all(&args.from)?;
    let names: Vec<&str> = all.iter().map(|experiment| experiment.name.as_str()).collect();
    if let Some(unknown) = args.names.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(Error::Setting {
            place: "sae experiments".to_owned(),
            found: format!("unknown experiment `{}`", crate::error::one_line(unknown)),
            expected: format!("one of: {}", names.join(", ")),
            nearest: nearest(unknown, names.iter().copied()).map(str::to_owned),
        });
    }
    std::fs::create_dir_all(&args.out)
        .map_err(|e| Error::Failed(format!("{}: cannot be written: {e}", args.out.display())))?;
    let pool = system::pool(args.threads)?;
    pool.install(|| {
        let mut missed = Vec::new();
        for experiment in all.iter().filter(|e| args.names.is_empty() || args.names.contains(&e.name)) {
            if !experiment.has_data(&args.data) {
                let needs = args.data.join(experiment.needs.as_deref().unwrap_or_default());
                output::say(&format!("{}: skipped: there is no {}", experiment.name, needs.display()));
                continue;
            }
            let outcome = experiment.run(&args.data, &args.out, output::say)?;
            outcome.save(&args.out)?;
            for judged in &outcome.gates {
                let said = if judged.holds { "holds" } else { "does not hold" };
                output::say(&format!("{}: the gate on {} {said}", outcome.name, judged.gate.value));
            }
            if !outcome.holds() {
                missed.push(outcome.name.clone());
            }
            if args.json {
                output::print_json(&json!(outcome))?;
            }
        }
        let findings =
            std::fs::read_to_string(args.from.join(FINDINGS)).unwrap_or_else(|_| "# Experiments\n".to_owned());
        page::write(&args.out, &findings)?;
        match missed.as_slice() {
            [] => Ok(()),
            missed => Err(Error::Failed(format!("gates that do not hold: {}", missed.join(", ")))),
        }
    })
}
