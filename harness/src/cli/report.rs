//! `sae report`.

use std::path::PathBuf;

use serde_json::json;

use super::args::ReportArgs;
use super::{output, system};
use crate::atomic;
use crate::error::{Error, Result};
use crate::report::page;
use crate::report::pictures::REPORT_FILE;
use crate::report::run::Run;

/// The page of several runs, where nobody named another.
const COMPARISON_FILE: &str = "comparison.html";

pub(super) fn run(args: ReportArgs) -> Result {
    let pool = system::pool(args.threads)?;
    let runs = pool.install(|| args.runs.iter().map(|folder| Run::load(folder)).collect::<Result<Vec<_>>>())?;
    for run in &runs {
        if let Err(why) = &run.examined {
            output::say(&format!("warning: {}: without inputs and reconstructions: {why}", run.name));
        }
    }
    let out = args.out.unwrap_or_else(|| match args.runs.as_slice() {
        [folder] => folder.join(REPORT_FILE),
        _ => PathBuf::from(COMPARISON_FILE),
    });
    let html = page::render(&runs);
    atomic::write(&out, html.as_bytes()).map_err(|e| Error::Failed(format!("cannot be written: {e}")))?;
    if args.json {
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        return output::print_json(&json!({ "out": out.display().to_string(), "runs": names, "bytes": html.len() }));
    }
    output::print(&format!("{}\n", out.display()))
}
