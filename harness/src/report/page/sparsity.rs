//! How sparse it is.

use maud::{Markup, html};

use super::parts::{note, plot, short};
use crate::report::rho_hat::RhoHatPlot;
use crate::report::run::Run;

pub(super) fn body(run: &Run) -> Markup {
    let examined = match &run.examined {
        Ok(examined) => examined,
        Err(why) => return note(&format!("Not shown: mean activations. {why}")),
    };
    let activity = &examined.evaluation.activity;
    let (rho_hat, dead) = (activity.rho_hat(), activity.dead());
    let threshold = run.config.train.threshold_active;
    let title = format!("Mean activations on {}", examined.part);
    let figure = RhoHatPlot { title: &title, rho_hat: &rho_hat, dead: &dead, threshold, rho: run.rho() };
    let units = rho_hat.len();
    let active = activity.active_percent();
    html! {
        p {
            "On an average " (examined.part) " sample " (format!("{:.1}", active / 100.0 * units as f64)) " of " (units) " units ("
            (format!("{active:.2}%")) ") are above " (threshold) ". The mean activation is " (short(activity.rho_hat_mean()))
            @if let Some(rho) = run.rho() { ", the target ρ " (rho) } ". "
            @if dead.is_empty() { "Every unit is active on some sample." }
            @else { (dead.len()) " units are active on none." }
        }
        div.one { (plot(&figure.render(), "Hidden units by their mean activation ρ̂ over all samples.")) }
    }
}
