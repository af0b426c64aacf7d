//! `report.html`: one file that says what was trained on what, how it went and what came out, and needs no network.
//!
//! Each section is a room of its own; `parts` has what they share.

mod beside;
mod comparison;
mod course;
mod learned;
mod overview;
mod parts;
mod reproduce;
mod sparsity;
mod speed;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::ink;
use super::run::Run;

const STYLE: &str = include_str!("style.css");

/// A heading with an address of its own, and what stands under it.
struct Section {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

/// The page of one run, or of several beside each other. Without a run it says so.
pub fn render(runs: &[Run]) -> String {
    let (title, head, sections) = match runs {
        [run] => (
            format!("{}: a sparse autoencoder on {}", run.name, run.data_name()),
            overview::head(run),
            vec![
                Section { id: "course", title: "How it went", body: course::body(run) },
                Section { id: "learned", title: "What it learned", body: learned::body(run) },
                Section {
                    id: "reconstructions",
                    title: "What it makes of its inputs",
                    body: learned::reconstructions(run),
                },
                Section { id: "sparsity", title: "How sparse it is", body: sparsity::body(run) },
                Section { id: "comparison", title: "How it compares", body: comparison::body(run) },
                Section { id: "speed", title: "How fast it was", body: speed::body(run) },
                Section { id: "reproduce", title: "How to repeat it", body: reproduce::body(run) },
            ],
        ),
        _ => (
            format!("{} runs beside each other", runs.len()),
            beside::head(runs),
            vec![
                Section { id: "results", title: "What came out", body: beside::results(runs) },
                Section { id: "course", title: "How they went", body: beside::course(runs) },
                Section { id: "learned", title: "What they learned", body: beside::learned(runs) },
                Section { id: "settings", title: "Where they differ", body: beside::settings(runs) },
            ],
        ),
    };
    document(&title, &head, &sections)
}

fn document(title: &str, head: &Markup, sections: &[Section]) -> String {
    let dark = format!("@media (prefers-color-scheme: dark) {{{}}}", ink::dark_rules());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "sae " (env!("CARGO_PKG_VERSION")) };
                // Browsers ask for an icon of every page; this one is empty.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(dark)) }
            }
            body {
                a.skip href="#main" { "Skip to the results" }
                div.page {
                    header {
                        (head)
                        nav aria-label="Sections" {
                            ul { @for s in sections { li { a href={ "#" (s.id) } { (s.title) } } } }
                        }
                    }
                    main id="main" {
                        @for s in sections {
                            section id=(s.id) aria-labelledby={ (s.id) "-title" } {
                                h2 id={ (s.id) "-title" } { (s.title) }
                                (s.body)
                            }
                        }
                    }
                    footer { "Written by sae " (env!("CARGO_PKG_VERSION")) "." }
                }
            }
        }
    }
    .into_string()
}
