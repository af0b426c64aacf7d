//! What was trained on what, and what came out, in a glance.

use maud::{Markup, html};

use super::parts::{Fact, count, duration, facts, short};
use crate::report::run::Run;

pub(super) fn head(run: &Run) -> Markup {
    html! {
        h1 { (run.name) }
        p.lead { (sentence(run)) }
        (facts(&all(run)))
    }
}

fn sentence(run: &Run) -> String {
    let (config, record) = (&run.config, &run.record);
    let rows = record.data.rows[0];
    let rows = if rows > 0 { format!("{} samples of ", count(rows as u64)) } else { String::new() };
    let kind = match (config.sparsity.kind.name(), run.rho()) {
        ("none", _) => "An autoencoder without a sparsity term".to_owned(),
        ("kl", Some(rho)) => format!("A sparse autoencoder (KL penalty, ρ = {rho}, β = {})", config.sparsity.beta),
        ("topk", _) => format!("A k-sparse autoencoder ({} of each sample’s activations stay)", config.sparsity.k),
        ("threshold", _) => format!("A sparse autoencoder (activations above {} stay)", config.sparsity.threshold),
        (name, _) => format!("A sparse autoencoder ({name} penalty, β = {})", config.sparsity.beta),
    };
    let weights = if config.model.tied { ", tied weights" } else { "" };
    let noise = match config.noise.kind.name() {
        "none" => String::new(),
        "gaussian" => format!(" with gaussian noise of σ = {}", config.noise.sigma),
        name => format!(" with {} noise on {} of the values", name.replace('_', "-"), config.noise.fraction),
    };
    format!(
        "{kind} with {} {} hidden units{weights} and {} outputs, trained on {rows}{}{noise} by {} for {} steps ({} epochs).",
        count(run.model.d_hid as u64),
        config.model.hidden,
        config.model.output,
        run.data_name(),
        config.optimizer.kind,
        count(last_step(run)),
        record
            .epochs
            .max(run.records.iter().filter(|r| matches!(r, crate::train::metrics::Record::Epoch(_))).count() as u64),
    )
}

fn last_step(run: &Run) -> u64 {
    run.records.last().map_or(run.record.steps, crate::train::metrics::Record::step)
}

fn all(run: &Run) -> Vec<Fact> {
    let record = &run.record;
    let mut all = vec![Fact::new("Network", run.shape(), "inputs–hidden–outputs")];
    if let Ok(examined) = &run.examined {
        let (evaluation, part) = (&examined.evaluation, examined.part);
        let versus = run.baselines.as_ref().filter(|b| b.mean > 0.0);
        let versus =
            versus.map_or(String::new(), |b| format!("{:.1}% of the mean sample’s", 100.0 * evaluation.mse / b.mean));
        all.push(Fact::new(
            "Mean squared error",
            short(evaluation.mse),
            format!("on {part}; {versus}").trim_end_matches("; "),
        ));
        let target = run.rho().map_or(String::new(), |rho| format!("target {rho}"));
        all.push(Fact::new("Mean activation ρ̂", short(evaluation.activity.rho_hat_mean()), target));
        let threshold = run.config.train.threshold_active;
        all.push(Fact::new(
            "Active",
            format!("{:.2}%", evaluation.activity.active_percent()),
            format!("of activations above {threshold}"),
        ));
        let dead = evaluation.activity.dead().len();
        all.push(Fact::new(
            "Dead units",
            count(dead as u64),
            format!("of {}, never above {threshold}", examined.order.len()),
        ));
    }
    if record.seconds > 0.0 {
        let speed = format!("{} samples/s", count(record.samples_per_s.round() as u64));
        all.push(Fact::new("Training time", duration(record.seconds), speed));
    }
    if let Some(fraction) = record.fraction_of_peak() {
        let gflops = format!("{:.0} GFLOP/s on {} threads", record.gflops(), record.machine.threads);
        all.push(Fact::new("Of the processor’s peak", format!("{:.0}%", 100.0 * fraction), gflops));
    }
    all
}
