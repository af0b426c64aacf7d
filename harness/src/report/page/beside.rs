//! Several runs beside each other.

use std::collections::BTreeMap;

use maud::{Markup, html};
use toml::{Table, Value};

use super::learned::filters;
use super::parts::{bare_plot, count, duration, key, short};
use crate::report::overlay::{self, Overlay};
use crate::report::run::Run;
use crate::train::metrics::{EpochMeasures, Measures};

pub(super) fn head(runs: &[Run]) -> Markup {
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    html! {
        h1 { (runs.len()) " runs" }
        p.lead { (names.join(", ")) "." }
    }
}

pub(super) fn results(runs: &[Run]) -> Markup {
    let part = |run: &Run| run.examined.as_ref().map_or("–", |e| e.part);
    html! {
        div.scroll tabindex="0" role="region" aria-label="Results of every run" {
            table {
                thead {
                    tr {
                        @for title in ["Run", "Data", "Network", "MSE", "on", "Mean ρ̂", "Active", "Dead", "Samples/s", "Of peak", "Time"] {
                            th scope="col" { (title) }
                        }
                    }
                }
                tbody { @for run in runs {
                    @let seen = run.examined.as_ref().ok().map(|e| &e.evaluation);
                    @let of = |f: &dyn Fn(&crate::model::Evaluation) -> String| seen.map_or("–".to_owned(), f);
                    tr {
                        th scope="row" { (run.name) }
                        td { (run.data_name()) }
                        td { (run.shape()) }
                        td { (of(&|e| short(e.mse))) }
                        td { (part(run)) }
                        td { (of(&|e| short(e.activity.rho_hat_mean()))) }
                        td { (of(&|e| format!("{:.2}%", e.activity.active_percent()))) }
                        td { (of(&|e| e.activity.dead().len().to_string())) }
                        td { (count(run.record.samples_per_s.round() as u64)) }
                        td { (run.record.fraction_of_peak().map_or("–".to_owned(), |f| format!("{:.0}%", 100.0 * f))) }
                        td { (duration(run.record.seconds)) }
                    }
                } }
            }
        }
    }
}

type Measure = (&'static str, &'static str, fn(&Measures) -> f64, fn(&EpochMeasures) -> Option<f64>);

pub(super) fn course(runs: &[Run]) -> Markup {
    let measures: [Measure; 5] = [
        ("Total loss", "loss", |m| m.loss, |e| e.validation.val_loss),
        ("Reconstruction", "loss", |m| m.reconstruction, |e| e.validation.val_reconstruction),
        ("Sparsity penalty", "loss", |m| m.sparsity, |e| e.validation.val_sparsity),
        ("Mean squared error", "MSE on validation", |_| f64::NAN, |e| e.validation.val_mse),
        ("Mean activation", "mean of ρ̂", |m| m.rho_hat_mean, |e| e.validation.val_rho_hat_mean),
    ];
    let named: Vec<Overlay<'_>> = runs.iter().map(|run| Overlay { records: &run.records }).collect();
    let lines = overlay::key(runs.len());
    html! {
        p { "On validation samples, or, where there are none, means over the training samples of each epoch. " (conventions(runs)) }
        (key(lines.iter().map(String::as_str).zip(runs.iter().map(|run| run.name.as_str()))))
        div.grid {
            @for (title, y, of, of_validation) in measures {
                (bare_plot(&overlay::render(title, y, &named, of, of_validation)))
            }
        }
    }
}

fn conventions(runs: &[Run]) -> String {
    let mut names: Vec<&str> = runs.iter().map(|run| run.config.loss.convention.name()).collect();
    names.sort_unstable();
    names.dedup();
    match names.len() {
        1 => String::new(),
        _ => "The runs’ losses are by different conventions and cannot be held against each other; mean squared errors can.".into(),
    }
}

pub(super) fn learned(runs: &[Run]) -> Markup {
    html! { @for run in runs { h3 { (run.name) } (filters(run)) } }
}

/// The settings in which the runs differ.
pub(super) fn settings(runs: &[Run]) -> Markup {
    let all: Vec<BTreeMap<String, String>> = runs.iter().map(flat).collect();
    let keys: Vec<&String> = all.first().map_or(Vec::new(), |first| first.keys().collect());
    let differ: Vec<&String> =
        keys.into_iter().filter(|key| all.iter().any(|other| other.get(*key) != all[0].get(*key))).collect();
    html! {
        @if differ.is_empty() { p { "Their settings are the same." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Settings in which the runs differ" {
                table {
                    thead { tr { th scope="col" { "Setting" } @for run in runs { th scope="col" { (run.name) } } } }
                    tbody { @for key in differ { tr {
                        th scope="row" { code { (key) } }
                        @for settings in &all { td { (settings.get(key).map_or("–", String::as_str)) } }
                    } } }
                }
            }
        }
    }
}

/// `section.key` and value of every setting.
fn flat(run: &Run) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (key, value) in Table::try_from(&run.config).unwrap_or_default() {
        match value {
            Value::Table(section) => {
                all.extend(section.into_iter().map(|(inner, v)| (format!("{key}.{inner}"), plain(&v))))
            }
            value => drop(all.insert(key, plain(&value))),
        }
    }
    all
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
