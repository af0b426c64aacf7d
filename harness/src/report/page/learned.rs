//! What it learned: filters, the inputs that excite each unit, and reconstructions.

use maud::{Markup, html};

use super::parts::{note, short, tiles};
use crate::report::examine::{Examined, Pairs};
use crate::report::filters::{FilterOptions, FilterSheet, Scale};
use crate::report::palette::Palette;
use crate::report::run::Run;

/// The most filters on one sheet.
const FILTERS: usize = 400;

pub(super) fn body(run: &Run) -> Markup {
    html! {
        (filters(run))
        @match &run.examined {
            Ok(examined) => (excited(run, examined)),
            Err(why) => (note(&format!("Not shown: the inputs that excite each unit. {why}"))),
        }
    }
}

/// The sheet of filters, the most active unit first.
pub(super) fn filters(run: &Run) -> Markup {
    let order = run.examined.as_ref().map_or(Vec::new(), |e| e.order.clone());
    let sorted = if order.is_empty() { "in the order of the file" } else { "the most active unit first" };
    let options = FilterOptions { max_tiles: FILTERS, order, side: 28, ..filter_options(run) };
    let model = &run.model;
    let Ok(sheet) = FilterSheet::draw(&model.w_enc, model.d_in, model.d_hid, &options) else { return html! {} };
    let form = if model.cfg.image.is_some() { "an image" } else { "signed bars, one an input" };
    let drawn = if sheet.drawn < sheet.total {
        format!("{} of {} filters", sheet.drawn, sheet.total)
    } else {
        format!("All {} filters", sheet.total)
    };
    html! {
        figure {
            // As large as its tiles need, and no wider than the page.
            div style={ "max-width:" (sheet.columns * if model.cfg.image.is_some() { 66 } else { 130 }) "px" } {
                (tiles(&sheet, "wide", &format!("{drawn} as {form}")))
            }
            figcaption {
                (drawn) ", " (sorted) ": a unit’s weights from the inputs as " (form)
                ", each divided by its largest magnitude. Yellow is positive, blue negative, grey 0. Of all inputs of one length, "
                "‖x‖ = 1 say, the one that excites a unit most is x = w/‖w‖: this picture."
            }
        }
    }
}

fn filter_options(run: &Run) -> FilterOptions {
    FilterOptions { image: run.model.cfg.image, palette: Palette::BlueYellow, ..FilterOptions::default() }
}

fn excited(run: &Run, examined: &Examined) -> Markup {
    let class = if examined.image.is_some() { "units" } else { "units bars" };
    html! {
        h3 { "The inputs that excite each unit most" }
        p {
            "Filter and strongest training inputs of " (examined.excited.len()) " units"
            @if examined.excited.len() < examined.order.len() { ", evenly spread over the ranking by mean activation" }
            ", out of " (examined.searched) " samples. Under each number: mean activation, and the share of "
            (examined.part) " samples on which the unit is active. The bars count how often its activation is how high, from "
            (short(examined.span.0.into())) " to " (short(examined.span.1.into())) ", on a logarithmic scale."
        }
        ul class=(class) { @for unit in &examined.excited { li { (one(run, examined, unit)) } } }
    }
}

fn one(run: &Run, examined: &Examined, unit: &crate::report::examine::Excited) -> Markup {
    let model = &run.model;
    let own = FilterOptions { order: vec![unit.unit], side: 1, ..filter_options(run) };
    let filter = FilterSheet::draw(&model.w_enc, model.d_in, model.d_hid, &own);
    let inputs = FilterOptions { columns: unit.inputs.len(), ..sample_options(examined) };
    let inputs = FilterSheet::samples(&unit.samples, examined.d_in, &inputs);
    html! {
        div.filter { @if let Ok(sheet) = &filter { (tiles(sheet, "", &format!("Filter of unit {}", unit.unit))) }
            (histogram(&unit.histogram))
        }
        div.inputs {
            span { "Unit " (unit.unit) " · ρ̂ " (short(unit.rho_hat)) " · active " (format!("{:.1}%", 100.0 * unit.frequency)) }
            @if let Ok(sheet) = &inputs {
                (tiles(sheet, "", &format!("The {} inputs that excite unit {} most", unit.inputs.len(), unit.unit)))
            }
        }
    }
}

/// A histogram too small for axes; heights are logarithms of the counts.
fn histogram(counts: &[u64]) -> Markup {
    const HEIGHT: f64 = 20.0;
    let height = |count: u64| (1.0 + count as f64).ln();
    let most = counts.iter().map(|&c| height(c)).fold(1.0, f64::max);
    html! {
        svg.counts viewBox=(format!("0 0 {} {HEIGHT}", counts.len())) preserveAspectRatio="none" role="img" aria-label="How often its activation is how high" {
            @for (i, &count) in counts.iter().enumerate() {
                @let bar = HEIGHT * height(count) / most;
                @if count > 0 {
                    rect x=(i) y=(format!("{:.1}", HEIGHT - bar)) width="0.9" height=(format!("{bar:.1}")) {}
                }
            }
        }
    }
}

/// Samples on the scale of the training set.
fn sample_options(examined: &Examined) -> FilterOptions {
    let (low, high) = examined.range;
    FilterOptions { image: examined.image, scale: Scale::Range(low, high), side: 1, ..FilterOptions::default() }
}

pub(super) fn reconstructions(run: &Run) -> Markup {
    let examined = match &run.examined {
        Ok(examined) => examined,
        Err(why) => return note(&format!("Not shown: reconstructions. {why}")),
    };
    let (low, high) = examined.range;
    html! {
        p {
            "Out of " (examined.evaluation.rows) " " (examined.part) " samples. "
            @if examined.image.is_some() { "Black is " (short(low.into())) ", white " (short(high.into())) "." }
            @else { "Bars on one scale; the longest stands for " (short(f64::from(low.abs().max(high.abs())))) "." }
        }
        (pairs(examined, "The best", &examined.best))
        (pairs(examined, "The worst", &examined.worst))
    }
}

fn pairs(examined: &Examined, title: &str, pairs: &Pairs) -> Markup {
    let d_in = examined.d_in;
    let options = sample_options(examined);
    let tile = |values: &[f32], i: usize, alt: &str| {
        FilterSheet::samples(&values[i * d_in..][..d_in], d_in, &options)
            .map_or(html! {}, |sheet| tiles(&sheet, "", alt))
    };
    let numbers = 0..pairs.errors.len();
    html! {
        @if !pairs.errors.is_empty() {
            h3 { (title) }
            div class=(if examined.image.is_some() { "pairs" } else { "pairs bars" }) tabindex="0" role="region" aria-label={ (title) " reconstructed samples" } {
                table {
                    tbody {
                        tr { th scope="row" { "Original" } @for i in numbers.clone() { td { (tile(&pairs.x, i, "Original")) } } }
                        tr { th scope="row" { "Reconstruction" } @for i in numbers.clone() { td { (tile(&pairs.x_hat, i, "Reconstruction")) } } }
                        tr { th scope="row" { "Squared error" } @for i in numbers { td { (short(pairs.errors[i])) } } }
                    }
                }
            }
        }
    }
}
