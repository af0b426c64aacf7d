//! How it went: every part of the loss over the steps.

use maud::{Markup, html};

use super::parts::{bare_plot, key};
use crate::report::curves::{self, CurvesOptions};
use crate::report::run::Run;

pub(super) fn body(run: &Run) -> Markup {
    let options = CurvesOptions { title: String::new(), per: per(run), rho: run.rho(), best: run.best() };
    let (legend, panels) = curves::documents(&run.records, &options);
    html! {
        p { (sentence(run)) }
        (key(legend.iter().map(|(svg, label)| (svg.as_str(), label.as_str()))))
        div.grid { @for svg in &panels { (bare_plot(svg)) } }
    }
}

/// What losses are averaged over.
pub(super) fn per(run: &Run) -> String {
    run.config.loss.convention.name().trim_start_matches("per_").to_owned()
}

fn sentence(run: &Run) -> String {
    let loss = &run.config.loss;
    let decay = if loss.weight_decay > 0.0 {
        format!(", and weight decay with λ = {}", loss.weight_decay)
    } else {
        String::new()
    };
    let kept = run.record.best.as_ref().map_or(String::new(), |best| {
        let why = match run.record.stopped_early {
            true => format!("ended after {} epochs without a better one", run.config.early_stopping.patience),
            false => "came to its last epoch".to_owned(),
        };
        format!(" The run {why}; the model is that of epoch {}, the best by validation loss.", best.epoch + 1)
    });
    format!(
        "The loss is the {} reconstruction error per {}, the sparsity penalty{decay}. Training is measured before each update; \
         validation, on samples held out, after each epoch.{kept}",
        loss.reconstruction,
        per(run)
    )
}
