//! How fast it was, and where the time of a step went.

use maud::{Markup, html};

use super::parts::{Fact, count, duration, facts, note};
use crate::report::run::Run;

pub(super) fn body(run: &Run) -> Markup {
    let record = &run.record;
    if record.seconds <= 0.0 {
        return note("Not shown: the run left no run.json.");
    }
    let machine = &record.machine;
    let mut all = vec![
        Fact::new(
            "Samples per second",
            count(record.samples_per_s.round() as u64),
            format!("batches of {}", run.config.train.batch),
        ),
        Fact::new("Arithmetic", format!("{:.1} GFLOP/s", record.gflops()), "10 operations a weight and sample"),
        Fact::new("Time in steps", duration(record.seconds), format!("{} steps", count(record.steps))),
    ];
    if let (Some(peak), Some(fraction)) = (machine.peak_gflops, record.fraction_of_peak()) {
        all.push(Fact::new(
            "Of peak",
            format!("{:.0}%", 100.0 * fraction),
            format!("{peak:.0} GFLOP/s, the better of beginning and end"),
        ));
    }
    if let Some(stall) = record.stall_seconds {
        let share = format!("{:.1}%", 100.0 * stall / record.seconds);
        all.push(Fact::new("Waiting for data", share, format!("{}; rows are streamed", duration(stall))));
    }
    html! {
        (facts(&all))
        p { (machine.backend) " on " (machine.isa) ", " (machine.threads) " threads, " (machine.processor) "." }
        (phases(&record.phases))
    }
}

/// What a part of the step does.
fn meaning(phase: &str) -> &str {
    match phase {
        "data" => "fetching the batch",
        "encode" => "x·W_enc, bias, activation",
        "penalty" => "mean activations, sparsity",
        "decode" => "h·W_dec, loss and its gradient",
        "hidden_delta" => "gradient of the hidden layer",
        "weight_grad_dec" => "gradient and update of W_dec",
        "weight_grad_enc" => "gradient and update of W_enc",
        "biases" => "update of the biases",
        _ => "",
    }
}

fn phases(phases: &[(String, f64)]) -> Markup {
    let total: f64 = phases.iter().map(|(_, seconds)| seconds).sum();
    html! {
        @if total > 0.0 {
            div.scroll {
                table {
                    caption { "Where the time of the steps went" }
                    thead { tr { th scope="col" { "Part" } th scope="col" { "Time" } th scope="col" { "Share" } th scope="col" aria-label="as a bar" {} } }
                    tbody {
                        @for (name, seconds) in phases {
                            tr {
                                th scope="row" { (name.replace('_', " ")) @if !meaning(name).is_empty() { ": " (meaning(name)) } }
                                td { (duration(*seconds)) }
                                td { (format!("{:.1}%", 100.0 * seconds / total)) }
                                td.share { span.bar style={ "width:" (format!("{:.1}", 100.0 * seconds / total)) "%" } {} }
                            }
                        }
                    }
                }
            }
        }
    }
}
