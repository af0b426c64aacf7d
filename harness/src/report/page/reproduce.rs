//! How to repeat it: command, settings, versions, machine, hashes.

use maud::{Markup, html};

use super::parts::count;
use crate::report::run::Run;

pub(super) fn body(run: &Run) -> Markup {
    let record = &run.record;
    let settings = run.config.to_toml().unwrap_or_default();
    let data = &record.data;
    let unknown = |text: &str| if text.is_empty() { "not recorded".to_owned() } else { text.to_owned() };
    let [train, validation, test] = data.rows.map(|n| count(n as u64));
    let facts = [
        ("Data", format!("{}: {train} rows to train on, {validation} to validate, {test} to test", run.data_name())),
        ("Program", format!("sae {}", unknown(&record.version))),
        ("Processor", unknown(&record.machine.processor)),
        ("System", unknown(&record.machine.target)),
        (
            "Kernels",
            format!(
                "{} on {}, {} threads",
                unknown(&record.machine.backend),
                unknown(&record.machine.isa),
                record.machine.threads
            ),
        ),
    ];
    html! {
        @if !record.command.is_empty() { pre.wrap { code { (record.command_line()) } } }
        p {
            "or, with the settings below in a file, " code { "sae train --config config.toml" } ". "
            @if record.machine.backend == "fused" {
                "With the fused backend the same data and settings give the same model bit for bit, for any number of threads, "
                "on AVX-512, AVX2 and NEON."
            }
        }
        div.scroll { table { tbody { @for (name, value) in &facts { tr { th scope="row" { (name) } td.text { (value) } } } } } }
        details { summary { "All settings" } pre { code { (settings) } } }
        details {
            summary { "Hashes (SHA-256)" }
            div.scroll {
                table {
                    tbody {
                        @if !data.sha256.is_empty() {
                            tr { th scope="row" { "data, as trained on" } td class="text mono" { (data.sha256) } }
                        }
                        @for (name, hash) in &run.hashes { tr { th scope="row" { (name) } td class="text mono" { (hash) } } }
                    }
                }
            }
        }
    }
}
