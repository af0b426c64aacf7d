//! `sae eval`.

use serde_json::{Value, json};

use super::args::EvalArgs;
use super::{measures, output, system};
use crate::data::{Dataset, load};
use crate::error::{Error, Result};
use crate::eval::baseline::Pca;
use crate::eval::histogram::Histogram;
use crate::model::{Evaluation, Model, require_memory};

/// Bins of the histogram of mean activations.
const BINS: usize = 20;
/// Columns of its longest bar.
const BAR: usize = 40;

pub(super) fn run(args: EvalArgs) -> Result {
    if !args.threshold_active.is_finite() {
        return Err(Error::setting("--threshold-active", args.threshold_active.to_string(), "a finite number"));
    }
    let kind = args.on.backend.parse()?;
    let pool = system::pool(args.on.threads)?;
    pool.install(|| {
        let mut model = Model::load(&args.model, kind)?;
        let mut set = load(&args.data, args.seed)?;
        model.prepare(&mut set)?;
        let found = model.evaluate(&set.data, args.threshold_active)?;
        if !found.terms.loss.is_finite() {
            return Err(Error::Failed(format!(
                "{}: the loss is {}, expected a finite number",
                set.name, found.terms.loss
            )));
        }
        let baselines = if args.no_baselines { None } else { Some(Baselines::fit(&set, model.d_hid())?) };
        report(&model, &set, &found, baselines, &args)
    })
}

/// What the model has to beat.
struct Baselines {
    mean_mse: f64,
    pca_mse: f64,
    components: usize,
}

impl Baselines {
    fn fit(set: &Dataset, d_hid: usize) -> Result<Self> {
        // Three square matrices and the working space of the eigenvalues.
        let square = (set.cols as u128).saturating_pow(2).saturating_mul(size_of::<f64>() as u128);
        require_memory(
            "sae eval",
            "the principal components (--no-baselines leaves them out)",
            square.saturating_mul(6),
        )?;
        let pca = Pca::fit(&set.data, set.cols)?;
        let components = d_hid.min(set.cols);
        Ok(Self { mean_mse: pca.mse(&set.data, 0)?, pca_mse: pca.mse(&set.data, components)?, components })
    }
}

fn report(model: &Model, set: &Dataset, found: &Evaluation, baselines: Option<Baselines>, args: &EvalArgs) -> Result {
    let peak = measures::peak(model.preprocessing(), set.range());
    let rho_hat = found.activity.rho_hat();
    let low = rho_hat.iter().copied().fold(0.0, f64::min);
    let high = rho_hat.iter().copied().fold(low, f64::max);
    let high = if high > low { high } else { low + 1.0 };
    let mut histogram = Histogram::new(low, high, BINS)?;
    histogram.add(rho_hat);
    let (backend, isa) = model.backend();
    if args.json {
        let mut object = measures::to_json(found, peak)?;
        object["model"] = args.model.display().to_string().into();
        object["data"] = args.data.clone().into();
        object["d_in"] = model.d_in().into();
        object["d_hid"] = model.d_hid().into();
        object["backend"] = backend.name().into();
        object["isa"] = isa.name().into();
        object["threads"] = rayon::current_num_threads().into();
        object["rho_hat_histogram"] = json!({ "low": low, "high": high, "counts": histogram.counts() });
        object["baselines"] = baselines.map_or(
            Value::Null,
            |b| json!({ "mean_mse": b.mean_mse, "pca_mse": b.pca_mse, "pca_components": b.components }),
        );
        return output::print_json(&object);
    }
    let mut text = format!(
        "{} on {} ({} rows, {} x {}), {backend} on {isa}\n{}",
        args.model.display(),
        set.name,
        set.rows,
        model.d_in(),
        model.d_hid(),
        measures::table(&[("model", found)], peak)?
    );
    if let Some(b) = baselines {
        let line = |name: &str, mse: f64| format!("{name:<48}{:>10}  MSE\n", measures::short(mse));
        text += &line("mean of these rows", b.mean_mse);
        let exact = if b.components == set.cols { " (all: exact)" } else { "" };
        text += &line(&format!("their first {} principal components{exact}", b.components), b.pca_mse);
    }
    text += &format!(
        "mean activation of the {} hidden units ({} never above {}):\n{}",
        model.d_hid(),
        found.activity.dead().len(),
        args.threshold_active,
        histogram.render(BAR)
    );
    output::print(&text)
}
