//! Whether the atoms of synthetic data are found again.

use super::{Context, Measured, test_mse, trained};
use crate::data::Synthetic;
use crate::error::{Error, Result};

pub(super) fn run(context: &Context<'_>) -> Result<Measured> {
    let mut trainer = trained(context.config(&[])?)?;
    let source = trainer.config().data.source.clone();
    let Some(parameters) = source.strip_prefix("synthetic:") else {
        return Err(Error::setting("data.source", source, "synthetic:…, whose dictionary is known"));
    };
    let atoms = Synthetic::parse(parameters)?.dictionary(context.seed)?;
    let file = trainer.model()?;
    let best = best_cosines(&atoms, &file.w_dec, file.d_in);
    let least = context.number("cosine")?;
    let matched = best.iter().filter(|cosine| **cosine >= least).count();
    let mut found = Measured::default();
    found.value("matched", matched as f64 / best.len() as f64);
    found.value("mean cosine", best.iter().sum::<f64>() / best.len() as f64);
    found.value("least cosine", best.iter().copied().fold(1.0, f64::min));
    found.value("test MSE", test_mse(&mut trainer)?);
    Ok(found)
}

/// For each atom, the largest cosine with a row of `w_dec`.
fn best_cosines(atoms: &[f32], w_dec: &[f32], d: usize) -> Vec<f64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let norms: Vec<f64> = w_dec.chunks_exact(d).map(|row| dot(row, row).sqrt().max(f64::MIN_POSITIVE)).collect();
    let best = atoms.chunks_exact(d).map(|atom| {
        let rows = w_dec.chunks_exact(d).zip(&norms);
        rows.map(|(row, norm)| dot(atom, row) / norm).fold(-1.0, f64::max) / dot(atom, atom).sqrt()
    });
    best.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atom_is_found_whatever_the_order_and_the_scale() {
        let atoms = [1.0, 0.0, 0.6, 0.8];
        let near = |found: &[f64], expected: [f64; 2]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-7);
        let best = best_cosines(&atoms, &[0.0, -3.0, 1.2, 1.6, 5.0, 0.0], 2);
        assert!(near(&best, [1.0, 1.0]), "{best:?}");
        let best = best_cosines(&atoms, &[0.0, 2.0], 2);
        assert!(near(&best, [0.0, 0.8]), "{best:?}");
    }
}
