//! What is left of noise after a reconstruction.

use serde_json::{Value, json};

use super::Evaluated;
use super::contender::reconstructors;
use crate::cli::measures::short;
use crate::cli::table::Table;
use crate::data::{Noise, Stream, rng_at};
use crate::error::Result;
use crate::eval::quality::Quality;

/// One kind of noise: what is left of it by each.
pub(super) struct Denoised {
    noise: Noise,
    /// The noisy inputs first.
    found: Vec<(String, &'static str, Quality)>,
}

pub(super) fn run(on: &mut Evaluated<'_>, kinds: &[Noise]) -> Result<Vec<Denoised>> {
    let (samples, ends) = (on.samples(), on.ends());
    let mut all = Vec::new();
    for (i, &noise) in kinds.iter().enumerate() {
        let mut noisy = on.set.data.clone();
        noise.corrupt(&mut noisy, ends, &mut rng_at(on.args.seed, Stream::Noise, i as u64));
        let mut found = vec![("noisy inputs".to_owned(), "noisy", samples.quality(&on.set.data, &noisy)?)];
        for mut contender in reconstructors(on.pca.as_ref(), on.plain.as_mut(), &mut on.model) {
            let quality = samples.quality(&on.set.data, &contender.reconstruct(&noisy)?)?;
            found.push((contender.name(), contender.key(), quality));
        }
        all.push(Denoised { noise, found });
    }
    Ok(all)
}

pub(super) fn to_json(all: &[Denoised]) -> Value {
    let each = |one: &Denoised| {
        let by: serde_json::Map<String, Value> =
            one.found.iter().map(|(_, key, quality)| ((*key).to_owned(), json!(quality))).collect();
        json!({ "noise": one.noise.to_string(), "against_clean": by })
    };
    all.iter().map(each).collect()
}

pub(super) fn words(all: &[Denoised]) -> String {
    let mut text = String::new();
    for one in all {
        text += &format!("{} noise, against the clean inputs\n", one.noise);
        let mut table = Table::new(["", "MSE", "PSNR, dB", "SSIM"]);
        for (name, _, quality) in &one.found {
            let ssim = quality.ssim.map_or("-".to_owned(), |v| format!("{v:.4}"));
            table.row([name.clone(), short(quality.mse), format!("{:.2}", quality.psnr), ssim]);
        }
        text += &table.render();
    }
    text
}
