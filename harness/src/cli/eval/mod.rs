//! `sae eval`.

mod anomaly;
mod contender;
mod denoise;
mod plain;
mod probe;

use serde_json::{Value, json};

use super::args::EvalArgs;
use super::table::Table;
use super::{measures, output, stack, system};
use crate::data::{Dataset, Noise, load};
use crate::error::{Error, Result};
use crate::eval::baseline::Pca;
use crate::eval::histogram::Histogram;
use crate::eval::quality::{Quality, Samples};
use crate::eval::ranking::quantile;
use crate::model::{Evaluation, Model};
use crate::stack::Stack;
use contender::{fit_pca, reconstructors};

/// Bins of the histogram of mean activations.
const BINS: usize = 20;
/// Columns of its longest bar.
const BAR: usize = 40;
/// The quantiles of the mean activations that are told.
const QUANTILES: [(&str, f64); 5] = [("min", 0.0), ("q05", 0.05), ("median", 0.5), ("q95", 0.95), ("max", 1.0)];

/// What is evaluated, and what it is held against.
struct Evaluated<'a> {
    args: &'a EvalArgs,
    model: Model,
    /// The rows that are judged, preprocessed.
    set: Dataset,
    /// The rows of `--fit`, preprocessed.
    fit: Option<Dataset>,
    /// Of those, or else of the judged rows.
    pca: Option<Pca>,
    plain: Option<Model>,
    /// The range of preprocessed values.
    peak: f64,
}

impl Evaluated<'_> {
    fn samples(&self) -> Samples {
        let image = self.set.image.filter(|(height, width)| height * width == self.set.cols);
        Samples { d: self.set.cols, image, peak: self.peak }
    }

    /// The lowest and the highest value that noise makes.
    fn ends(&self) -> (f32, f32) {
        let (low, high) = self.set.range();
        if self.peak == 1.0 && low >= 0.0 { (0.0, 1.0) } else { (low, high) }
    }
}

pub(super) fn run(args: EvalArgs) -> Result {
    if !args.threshold_active.is_finite() {
        return Err(Error::setting("--threshold-active", args.threshold_active.to_string(), "a finite number"));
    }
    if !(0.0..=1.0).contains(&args.quantile) {
        return Err(Error::setting("--quantile", args.quantile.to_string(), "a number from 0 to 1"));
    }
    let kinds = args.noise.iter().map(|text| text.parse()).collect::<Result<Vec<Noise>>>()?;
    system::pool(args.on.threads)?.install(|| evaluate(&args, &kinds))
}

fn evaluate(args: &EvalArgs, kinds: &[Noise]) -> Result {
    if Stack::is_at(&args.of.model) {
        return stack::evaluate(&Stack::load(&args.of.model)?, args);
    }
    let kind = args.on.backend.parse()?;
    let mut model = Model::load(&args.of.model, kind)?;
    let prepared = |spec: &str| -> Result<Dataset> {
        let mut set = load(spec, args.seed)?;
        model.prepare(&mut set)?;
        Ok(set)
    };
    let set = prepared(&args.of.data)?;
    let fit = args.fit.as_deref().map(prepared).transpose()?;
    let found = model.evaluate(&set.data, args.threshold_active)?;
    if !found.terms.loss.is_finite() {
        let loss = found.terms.loss;
        return Err(Error::Failed(format!("{}: the loss is {loss}, expected a finite number", set.name)));
    }
    let pca = match args.no_baselines {
        true => None,
        false => Some(fit_pca(&fit.as_ref().unwrap_or(&set).data, set.cols)?),
    };
    let plain = if args.plain { Some(plain::train(&args.of.model, kind)?) } else { None };
    let peak = measures::peak(model.preprocessing(), set.range());
    let mut on = Evaluated { args, model, set, fit, pca, plain, peak };

    let report = Report {
        qualities: qualities(&mut on)?,
        activations: Activations::new(&found)?,
        probes: if args.probe { Some(probe::run(&mut on)?) } else { None },
        anomalies: args.anomaly.map(|label| anomaly::run(&mut on, label)).transpose()?,
        denoised: denoise::run(&mut on, kinds)?,
        found,
    };
    if args.json { output::print_json(&report.to_json(&on)?) } else { output::print(&report.words(&on)?) }
}

/// How near each reconstruction comes: that of the mean, of components, of models.
fn qualities(on: &mut Evaluated<'_>) -> Result<Vec<(String, &'static str, Quality)>> {
    let samples = on.samples();
    let mut found = Vec::new();
    if let Some(pca) = &on.pca {
        let mean = pca.reconstruct(&on.set.data, 0)?;
        found.push(("mean of the rows".to_owned(), "mean", samples.quality(&on.set.data, &mean)?));
    }
    for mut contender in reconstructors(on.pca.as_ref(), on.plain.as_mut(), &mut on.model) {
        let quality = samples.quality(&on.set.data, &contender.reconstruct(&on.set.data)?)?;
        found.push((contender.name(), contender.key(), quality));
    }
    Ok(found)
}

/// How the hidden units' mean activations are spread.
struct Activations {
    histogram: Histogram,
    low: f64,
    high: f64,
    quantiles: Vec<(&'static str, f64)>,
}

impl Activations {
    fn new(found: &Evaluation) -> Result<Self> {
        let rho_hat = found.activity.rho_hat();
        let low = rho_hat.iter().copied().fold(0.0, f64::min);
        let high = rho_hat.iter().copied().fold(low, f64::max);
        let high = if high > low { high } else { low + 1.0 };
        let mut histogram = Histogram::new(low, high, BINS)?;
        let of = |(name, q)| -> Result<(&'static str, f64)> { Ok((name, quantile(&rho_hat, q)?)) };
        let quantiles = QUANTILES.into_iter().map(of).collect::<Result<_>>()?;
        histogram.add(rho_hat);
        Ok(Self { histogram, low, high, quantiles })
    }
}

/// All that was measured.
struct Report {
    found: Evaluation,
    qualities: Vec<(String, &'static str, Quality)>,
    activations: Activations,
    probes: Option<probe::Probes>,
    anomalies: Option<anomaly::Anomalies>,
    denoised: Vec<denoise::Denoised>,
}

impl Report {
    fn quality(&self, key: &str) -> Option<&Quality> {
        self.qualities.iter().find(|(_, k, _)| *k == key).map(|(_, _, quality)| quality)
    }

    fn to_json(&self, on: &Evaluated<'_>) -> Result<Value> {
        let (args, model) = (on.args, &on.model);
        let (backend, isa) = model.backend();
        let mut object = measures::to_json(&self.found, on.peak)?;
        let ours = self.quality("model");
        let Activations { histogram, low, high, quantiles } = &self.activations;
        let quantiles: serde_json::Map<_, _> =
            quantiles.iter().map(|(name, v)| ((*name).to_owned(), json!(v))).collect();
        for (key, value) in [
            ("model", json!(args.of.model.display().to_string())),
            ("data", json!(args.of.data)),
            ("fit", json!(args.fit)),
            ("d_in", json!(model.d_in())),
            ("d_hid", json!(model.d_hid())),
            ("backend", json!(backend.name())),
            ("isa", json!(isa.name())),
            ("threads", json!(rayon::current_num_threads())),
            ("ssim", json!(ours.and_then(|q| q.ssim))),
            ("ssim_window", json!(on.samples().window().map(|w| w.name()))),
            ("explained_variance", json!(ours.and_then(|q| q.explained_variance))),
            ("threshold_active", json!(args.threshold_active)),
            ("rho_hat", Value::Object(quantiles)),
            ("rho_hat_histogram", json!({ "low": low, "high": high, "counts": histogram.counts() })),
            ("baselines", self.baselines(on)?),
            ("plain", json!(self.quality("plain"))),
            ("probe", self.probes.as_ref().map(probe::Probes::to_json).transpose()?.unwrap_or(Value::Null)),
            ("anomaly", self.anomalies.as_ref().map_or(Value::Null, anomaly::Anomalies::to_json)),
            ("denoising", denoise::to_json(&self.denoised)),
        ] {
            object[key] = value;
        }
        Ok(object)
    }

    /// `pca_mse` is of as many components as hidden units, at most as many as inputs; `pca` of those that reconstructions are held against.
    fn baselines(&self, on: &Evaluated<'_>) -> Result<Value> {
        let (Some(pca), Some(mean)) = (&on.pca, self.quality("mean")) else { return Ok(Value::Null) };
        let components = on.model.d_hid().min(on.set.cols);
        let pca_mse = pca.mse(&on.set.data, components)?;
        Ok(json!({
            "mean_mse": mean.mse,
            "pca_mse": pca_mse,
            "pca_components": components,
            "mean": mean,
            "pca": self.quality("pca"),
        }))
    }

    fn words(&self, on: &Evaluated<'_>) -> Result<String> {
        let (args, model, set, found) = (on.args, &on.model, &on.set, &self.found);
        let (backend, isa) = model.backend();
        let mut text = format!(
            "{} on {} ({} rows, {} x {}), {backend} on {isa}\n{}",
            args.of.model.display(),
            set.name,
            set.rows,
            model.d_in(),
            model.d_hid(),
            measures::table(&[("model", found)], on.peak)?
        );
        let of = if args.fit.is_some() { "the rows of --fit" } else { "these rows" };
        let fitted = if on.pca.is_some() { format!("; mean and components are of {of}") } else { String::new() };
        text += &format!("\nreconstruction{fitted}\n");
        let mut table = Table::new(["by", "MSE", "PSNR, dB", "SSIM", "explained"]);
        // Rounded first: what rounds to 0 has no sign.
        let number = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{:.4}", (v * 1e4).round() / 1e4 + 0.0));
        for (name, _, q) in &self.qualities {
            let psnr = format!("{:.2}", q.psnr);
            table.row([name.clone(), measures::short(q.mse), psnr, number(q.ssim), number(q.explained_variance)]);
        }
        text += &table.render();
        if let Some(probes) = &self.probes {
            text += &format!("\n{}", probes.words());
        }
        if let Some(anomalies) = &self.anomalies {
            text += &format!("\n{}", anomalies.words());
        }
        if !self.denoised.is_empty() {
            text += &format!("\n{}", denoise::words(&self.denoised));
        }
        let Activations { histogram, quantiles, .. } = &self.activations;
        let quantiles: Vec<String> =
            quantiles.iter().map(|(name, v)| format!("{name} {}", measures::short(*v))).collect();
        text += &format!(
            "\nmean activation of the {} hidden units, {} of them never above {}:\n{}\n{}",
            model.d_hid(),
            found.activity.dead().len(),
            args.threshold_active,
            quantiles.join(", "),
            histogram.render(BAR)
        );
        Ok(text)
    }
}
