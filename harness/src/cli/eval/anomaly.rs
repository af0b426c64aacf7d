//! Anomalies, found by the error of their reconstruction.

use serde_json::{Value, json};

use super::Evaluated;
use super::contender::reconstructors;
use crate::cli::measures::short;
use crate::cli::table::Table;
use crate::error::{Error, Result};
use crate::eval::quality::errors;
use crate::eval::ranking::{Detection, Ranking, quantile};

/// What each detector found.
pub(super) struct Anomalies {
    label: i64,
    rows: usize,
    anomalies: u64,
    quantile: f64,
    fitted: bool,
    found: Vec<Found>,
}

struct Found {
    name: String,
    key: &'static str,
    auroc: f64,
    auprc: f64,
    chosen: Detection,
    best: Detection,
}

pub(super) fn run(on: &mut Evaluated<'_>, label: i64) -> Result<Anomalies> {
    let place = "--anomaly";
    let Some(labels) = &on.set.labels else {
        return Err(Error::setting(
            place,
            format!("{} has no labels", on.set.name),
            "data whose labels tell anomalies",
        ));
    };
    let truth: Vec<bool> = labels.iter().map(|&l| l == label).collect();
    let anomalies = truth.iter().filter(|&&t| t).count();
    if anomalies == 0 || anomalies == truth.len() {
        let found = format!("{anomalies} of {} rows of {} have the label {label}", truth.len(), on.set.name);
        return Err(Error::setting(place, found, "some, and not all (--anomaly=LABEL names another)"));
    }
    let d = on.set.cols;
    let mut found = Vec::new();
    for mut contender in reconstructors(on.pca.as_ref(), on.plain.as_mut(), &mut on.model) {
        let scores = errors(&on.set.data, &contender.reconstruct(&on.set.data)?, d)?;
        let usual = match &on.fit {
            Some(fit) => errors(&fit.data, &contender.reconstruct(&fit.data)?, d)?,
            None => scores.clone(),
        };
        let ranking = Ranking::new(&scores, &truth)?;
        found.push(Found {
            name: contender.name(),
            key: contender.key(),
            auroc: ranking.auroc(),
            auprc: ranking.average_precision(),
            chosen: ranking.at(quantile(&usual, on.args.quantile)?),
            best: ranking.best_f1(),
        });
    }
    let (rows, anomalies) = (truth.len(), anomalies as u64);
    Ok(Anomalies { label, rows, anomalies, quantile: on.args.quantile, fitted: on.fit.is_some(), found })
}

fn detection(d: &Detection) -> Value {
    json!({
        "threshold": d.threshold,
        "precision": d.precision(),
        "recall": d.recall(),
        "f1": d.f1(),
        "true_positives": d.true_positives,
        "false_positives": d.false_positives,
        "false_negatives": d.false_negatives,
    })
}

impl Anomalies {
    pub(super) fn to_json(&self) -> Value {
        let each = |f: &Found| {
            json!({
                "by": f.key,
                "auroc": f.auroc,
                "auprc": f.auprc,
                "at_quantile": detection(&f.chosen),
                "best_f1": detection(&f.best),
            })
        };
        json!({
            "label": self.label,
            "rows": self.rows,
            "anomalies": self.anomalies,
            "quantile": self.quantile,
            "errors": self.found.iter().map(each).collect::<Vec<_>>(),
        })
    }

    pub(super) fn words(&self) -> String {
        let of = if self.fitted { "the rows of --fit" } else { "these rows" };
        let text = format!(
            "anomalies by their error: {} of {} rows; the threshold is the {} quantile of the errors of {of}\n",
            self.anomalies, self.rows, self.quantile
        );
        let mut table = Table::new(["error of", "AUROC", "AUPRC", "threshold", "precision", "recall", "F1", "best F1"]);
        for f in &self.found {
            let digits =
                [f.chosen.precision(), f.chosen.recall(), f.chosen.f1(), f.best.f1()].map(|v| format!("{v:.4}"));
            let [precision, recall, f1, best] = digits;
            let (auroc, auprc) = (format!("{:.4}", f.auroc), format!("{:.4}", f.auprc));
            table.row([f.name.clone(), auroc, auprc, short(f.chosen.threshold), precision, recall, f1, best]);
        }
        text + &table.render()
    }
}
