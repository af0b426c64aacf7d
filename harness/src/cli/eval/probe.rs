//! What can be read off the features by a linear map.

use serde_json::{Value, json};

use super::Evaluated;
use super::contender::{Contender, fit_pca, reconstructors};
use crate::cli::table::Table;
use crate::data::{Dataset, Split, load};
use crate::error::{Error, Result};
use crate::eval::probe::{ClassScore, RidgeOptions, RidgeProbe, SoftmaxOptions, SoftmaxProbe, r2};

/// The share of the rows that probes are judged on, where none but those are given.
const JUDGED: f64 = 0.2;
/// The most classes whose confusions are shown.
const SHOWN: usize = 20;

/// Rows to fit on, or to judge on.
struct Part {
    x: Dataset,
    /// What a ridge regression predicts, `[rows, targets]`.
    y: Vec<f64>,
}

/// What the probes found.
pub(super) struct Probes {
    rows: [usize; 2],
    targets: String,
    classes: Vec<i64>,
    found: Vec<Found>,
}

struct Found {
    name: String,
    key: &'static str,
    width: usize,
    softmax: Option<(ClassScore, f64)>,
    r2: f64,
    r2_l2: f64,
}

pub(super) fn run(on: &mut Evaluated<'_>) -> Result<Probes> {
    let (fit, judge, targets, width) = parts(on)?;
    let d = fit.x.cols;
    // Components of the rows the probes are fitted on, and of no others.
    let own = if on.fit.is_none() && on.pca.is_some() { Some(fit_pca(&fit.x.data, d)?) } else { None };
    let pca = own.as_ref().or(on.pca.as_ref());
    let others = reconstructors(pca, on.plain.as_mut(), &mut on.model);
    let (mut found, mut classes) = (Vec::new(), Vec::new());
    for mut contender in std::iter::once(Contender::Raw).chain(others) {
        let (x, k) = contender.features(&fit.x.data, d)?;
        let (x_judge, _) = contender.features(&judge.x.data, d)?;
        let softmax = match (&fit.x.labels, &judge.x.labels) {
            (Some(labels), Some(judged)) => {
                let options = SoftmaxOptions { seed: on.args.seed, ..SoftmaxOptions::default() };
                let probe = SoftmaxProbe::fit(&x, k, labels, &options)?;
                classes = probe.classes().to_vec();
                Some((probe.score(&x_judge, judged)?, probe.l2()))
            }
            _ => None,
        };
        let options = RidgeOptions { seed: on.args.seed, ..RidgeOptions::default() };
        let ridge = RidgeProbe::fit(&x, k, &fit.y, width, &options)?;
        let r2 = r2(&judge.y, &ridge.predict(&x_judge)?, width)?;
        found.push(Found { name: contender.name(), key: contender.key(), width: k, softmax, r2, r2_l2: ridge.l2() });
    }
    Ok(Probes { rows: [fit.x.rows, judge.x.rows], targets, classes, found })
}

/// What to fit on and what to judge on; what the targets of the ridge regression are, and how many.
fn parts(on: &Evaluated<'_>) -> Result<(Part, Part, String, usize)> {
    let args = on.args;
    let numbers = |spec: &Option<String>, rows: usize| -> Result<Option<Dataset>> {
        let Some(spec) = spec else { return Ok(None) };
        let set = load(spec, args.seed)?;
        if set.rows != rows {
            return Err(Error::input(
                &set.name,
                format!("{} rows of targets", set.rows),
                format!("{rows}, one a row of the data"),
            ));
        }
        Ok(Some(set))
    };
    let of = numbers(&args.targets, on.set.rows)?;
    let (fit, judge, fit_of, judge_of) = match &on.fit {
        Some(fit) => {
            if of.is_some() != args.fit_targets.is_some() {
                return Err(Error::setting("--targets", "with --fit, only one of two", "--fit-targets as well"));
            }
            (fit.clone(), on.set.clone(), numbers(&args.fit_targets, fit.rows)?, of)
        }
        None => {
            let split = Split::new(on.set.rows, 0.0, JUDGED, true, args.seed)?;
            let half = |rows: &[usize]| of.as_ref().map(|of| of.select(rows));
            (on.set.select(&split.train), on.set.select(&split.test), half(&split.train), half(&split.test))
        }
    };
    if let (Some(fit_of), Some(judge_of)) = (fit_of, judge_of) {
        if fit_of.cols != judge_of.cols {
            let found = format!("{} columns", fit_of.cols);
            return Err(Error::input(&fit_of.name, found, format!("{}, as in --targets", judge_of.cols)));
        }
        let wide = |set: &Dataset| set.data.iter().map(|&v| f64::from(v)).collect();
        let (name, width) = (judge_of.name.clone(), judge_of.cols);
        return Ok((Part { x: fit, y: wide(&fit_of) }, Part { x: judge, y: wide(&judge_of) }, name, width));
    }
    let (Some(labels), Some(judged)) = (&fit.labels, &judge.labels) else {
        let set = if fit.labels.is_none() { &fit } else { &judge };
        return Err(Error::setting("--probe", format!("{} has no labels", set.name), "data with labels, or --targets"));
    };
    let mut classes = labels.clone();
    classes.sort_unstable();
    classes.dedup();
    if classes.len() < 2 {
        return Err(Error::setting("--probe", format!("{} has only one label", fit.name), "at least two"));
    }
    let indicators = |labels: &[i64]| -> Vec<f64> {
        labels.iter().flat_map(|l| classes.iter().map(move |c| f64::from(u8::from(l == c)))).collect()
    };
    let (y, y_judge) = (indicators(labels), indicators(judged));
    Ok((Part { x: fit, y }, Part { x: judge, y: y_judge }, "labels".to_owned(), classes.len()))
}

impl Probes {
    pub(super) fn to_json(&self) -> Result<Value> {
        let each = |f: &Found| {
            let softmax = match &f.softmax {
                None => Value::Null,
                Some((score, l2)) => {
                    let mut object = serde_json::to_value(score).map_err(|e| Error::Failed(e.to_string()))?;
                    object["l2"] = (*l2).into();
                    object
                }
            };
            let ridge = json!({ "r2": f.r2, "l2": f.r2_l2 });
            Ok(json!({ "features": f.key, "width": f.width, "softmax": softmax, "ridge": ridge }))
        };
        let found = self.found.iter().map(each).collect::<Result<Vec<_>>>()?;
        let [fitted, judged] = self.rows;
        Ok(json!({
            "rows_fitted": fitted, "rows_judged": judged, "classes": self.classes, "targets": self.targets, "on": found,
        }))
    }

    pub(super) fn words(&self) -> String {
        let [fitted, judged] = self.rows;
        let what = if self.targets == "labels" { "of the labels’ indicators" } else { "of the targets" };
        let mut text = format!("linear probes, fitted on {fitted} rows and judged on {judged}; R² {what}\n");
        let mut table = Table::new(["features", "width", "accuracy", "macro F1", "AUC", "R²"]);
        for f in &self.found {
            let score = |of: &dyn Fn(&ClassScore) -> Option<f64>| {
                f.softmax.as_ref().and_then(|(score, _)| of(score)).map_or("-".to_owned(), |v| format!("{v:.4}"))
            };
            table.row([
                f.name.clone(),
                f.width.to_string(),
                score(&|s| Some(s.accuracy)),
                score(&|s| Some(s.macro_f1)),
                score(&|s| s.auc),
                format!("{:.4}", f.r2),
            ]);
        }
        text += &table.render();
        if let Some((score, _)) = self.found.last().and_then(|f| f.softmax.as_ref())
            && self.classes.len() <= SHOWN
        {
            let label = |i: usize| self.classes.get(i).map_or("other".to_owned(), i64::to_string);
            let names: Vec<String> = (0..score.confusion.rows().count()).map(label).collect();
            let mut table = Table::new(std::iter::once("label").chain(names.iter().map(String::as_str)));
            for (name, row) in names.iter().zip(score.confusion.rows()) {
                table.row(std::iter::once(name.clone()).chain(row.iter().map(u64::to_string)));
            }
            text += &format!("what the model’s features are taken for, a row a label:\n{}", table.render());
        }
        text
    }
}
