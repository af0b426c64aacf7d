//! How it compares with what it has to beat.

use maud::{Markup, html};

use super::parts::{note, short};
use crate::config::SparsityKind;
use crate::paths::file_name;
use crate::report::run::Run;

/// A row of the table.
struct Row {
    name: String,
    mse: f64,
    ours: bool,
}

pub(super) fn body(run: &Run) -> Markup {
    let (examined, baselines) = match (&run.examined, &run.baselines) {
        (Ok(examined), Some(baselines)) => (examined, baselines),
        (Err(why), _) => return note(&format!("Not shown: baselines. {why}")),
        _ => return note("Not shown: baselines."),
    };
    let row = |name: String, mse, ours| Row { name, mse, ours };
    let mut rows = vec![
        row("The mean training sample".into(), baselines.mean, false),
        row(format!("This autoencoder, {}", run.shape()), examined.evaluation.mse, true),
    ];
    for &(components, mse) in &baselines.pca {
        let exact = if components == run.model.d_in { " (all: exact)" } else { "" };
        let s = if components == 1 { "" } else { "s" };
        rows.push(row(format!("{components} principal component{s}{exact}"), mse, false));
    }
    if let Some(dense) = &baselines.dense {
        rows.push(row(
            format!("The same autoencoder without sparsity ({})", file_name(&dense.folder)),
            dense.mse,
            false,
        ));
    }
    rows.sort_by(|a, b| b.mse.total_cmp(&a.mse));
    let most = rows.iter().map(|r| r.mse).filter(|m| m.is_finite()).fold(0.0, f64::max);
    html! {
        p {
            "Mean squared error per input on the " (examined.part) " samples, preprocessed as in training. "
            @if !baselines.pca.is_empty() {
                "Principal components are fitted to " (baselines.rows) " training samples: as many as there are hidden units, at most "
                "as many as inputs, and as many as units are active on an average sample."
            } @else {
                "Principal components are left out above 1,024 inputs; " code { "sae eval" } " fits them."
            }
        }
        div.scroll {
            table {
                thead { tr { th scope="col" { "Reconstruction by" } th scope="col" { "MSE" } th scope="col" aria-label="as a bar" {} } }
                tbody {
                    @for r in &rows {
                        tr class=[r.ours.then_some("ours")] {
                            th scope="row" { (r.name) }
                            td { (short(r.mse)) }
                            td.share { span.bar style={ "width:" (format!("{:.1}", if most > 0.0 { 100.0 * r.mse / most } else { 0.0 })) "%" } {} }
                        }
                    }
                }
            }
        }
        @if baselines.dense.is_none() && run.config.sparsity.kind != SparsityKind::None {
            p {
                "To see what sparsity costs, train the same settings with " code { "--sparsity.kind none" }
                " into a folder beside this one and run " code { "sae report" } " again."
            }
        }
    }
}
