//! The files that a run leaves to be looked at; each stands alone.

use std::fmt::Display;

use super::curves::{self, CurvesOptions};
use super::figure::Figure;
use super::filters::{FilterOptions, FilterSheet, Scale};
use super::page;
use super::palette::Palette;
use super::rho_hat::RhoHatPlot;
use super::run::Run;
use crate::atomic;
use crate::error::{Error, Result};

/// What the hidden units look for.
pub const FILTERS_FILE: &str = "filters.png";
/// Inputs above their reconstructions.
pub const RECONSTRUCTIONS_FILE: &str = "reconstructions.png";
/// How the losses went.
pub const CURVES_FILE: &str = "curves.svg";
/// How often the units are active.
pub const RHO_HAT_FILE: &str = "rho_hat.svg";
/// All of it on one page.
pub const REPORT_FILE: &str = "report.html";

/// Writes all of them into the run's folder; their names. Those that need data are left out where there are none.
///
/// # Errors
/// [`Error::Failed`] where a file cannot be written.
pub fn save(run: &Run) -> Result<Vec<&'static str>> {
    let mut written = vec![CURVES_FILE, FILTERS_FILE];
    let options = CurvesOptions {
        title: format!("{}, {}", run.data_name(), run.shape()),
        per: run.config.loss.convention.name().trim_start_matches("per_").to_owned(),
        rho: run.rho(),
        best: run.best(),
    };
    curves::save(&run.folder.join(CURVES_FILE), &run.records, &options).map_err(failed)?;
    filters(run)?;
    if run.examined.is_ok() {
        reconstructions(run)?;
        rho_hat(run)?;
        written.extend([RECONSTRUCTIONS_FILE, RHO_HAT_FILE]);
    }
    let html = page::render(std::slice::from_ref(run));
    atomic::write(&run.folder.join(REPORT_FILE), html.as_bytes()).map_err(failed)?;
    written.push(REPORT_FILE);
    Ok(written)
}

fn filters(run: &Run) -> Result {
    let model = &run.model;
    let order = run.examined.as_ref().map_or(Vec::new(), |examined| examined.order.clone());
    let sorted =
        if order.is_empty() { "in the order of the file" } else { "the unit of the highest mean activation first" };
    let palette = Palette::BlueYellow;
    let options = FilterOptions { image: model.cfg.image, palette, order, ..FilterOptions::default() };
    let sheet = FilterSheet::draw(&model.w_enc, model.d_in, model.d_hid, &options).map_err(failed)?;
    let drawn = match sheet.drawn < sheet.total {
        true => format!("The first {} of {} columns", sheet.drawn, sheet.total),
        false => format!("All {} columns", sheet.total),
    };
    let form = if model.cfg.image.is_some() { "as images" } else { "as bars, one an input" };
    let figure = Figure {
        title: &format!("Filters of {}, {}", run.data_name(), run.shape()),
        caption: &[
            format!("{drawn} of W_enc {form}, {sorted}; rows begin with the rank."),
            "Each is divided by its largest magnitude.".to_owned(),
        ],
        sheet: &sheet,
        rows: (0..sheet.rows).map(|row| (1 + row * sheet.columns).to_string()).collect(),
        columns: Vec::new(),
        bar: (palette, ["+max|w|".into(), "0".into(), "−max|w|".into()]),
    };
    figure.draw().save(&run.folder.join(FILTERS_FILE)).map_err(failed)
}

/// The best and the worst, originals above reconstructions.
fn reconstructions(run: &Run) -> Result {
    let Ok(examined) = &run.examined else { return Ok(()) };
    let (best, worst) = (&examined.best, &examined.worst);
    let n = best.errors.len().min(worst.errors.len()).max(usize::from(worst.errors.is_empty()));
    let take = n * examined.d_in;
    let mut tiles = [&best.x[..take], &best.x_hat[..take]].concat();
    let mut rows = vec!["best", "reconstructed"];
    if !worst.errors.is_empty() {
        tiles.extend([&worst.x[..take], &worst.x_hat[..take]].concat());
        rows.extend(["worst", "reconstructed"]);
    }
    let (low, high) = examined.range;
    let options =
        FilterOptions { image: examined.image, scale: Scale::Range(low, high), columns: n, ..FilterOptions::default() };
    let sheet = FilterSheet::samples(&tiles, examined.d_in, &options).map_err(failed)?;
    let span = |errors: &[f64]| {
        let errors = &errors[..n.min(errors.len())];
        format!("{:.2e} to {:.2e}", errors.first().copied().unwrap_or(0.0), errors.last().copied().unwrap_or(0.0))
    };
    let ends =
        if examined.image.is_some() { (low, high) } else { (-low.abs().max(high.abs()), low.abs().max(high.abs())) };
    let label = |v: f32| format!("{v:.2}").replace('-', "−");
    let mut caption = vec![format!("Of {} {} samples; mean squared error", examined.evaluation.rows, examined.part)];
    caption.push(format!("best {}, worst {}, from left to right.", span(&best.errors), span(&worst.errors)));
    let figure = Figure {
        title: &format!("Reconstructions of {}, {}", run.data_name(), run.shape()),
        caption: &caption,
        sheet: &sheet,
        rows: rows.into_iter().map(str::to_owned).collect(),
        columns: Vec::new(),
        bar: (Palette::Grey, [label(ends.1), label(0.5 * (ends.0 + ends.1)), label(ends.0)]),
    };
    figure.draw().save(&run.folder.join(RECONSTRUCTIONS_FILE)).map_err(failed)
}

fn rho_hat(run: &Run) -> Result {
    let Ok(examined) = &run.examined else { return Ok(()) };
    let activity = &examined.evaluation.activity;
    let title = format!("{}, {}, on {}", run.data_name(), run.shape(), examined.part);
    let plot = RhoHatPlot {
        title: &title,
        rho_hat: &activity.rho_hat(),
        dead: &activity.dead(),
        threshold: run.config.train.threshold_active,
        rho: run.rho(),
    };
    plot.save(&run.folder.join(RHO_HAT_FILE)).map_err(failed)
}

fn failed(error: impl Display) -> Error {
    Error::Failed(format!("cannot be written: {error}"))
}
