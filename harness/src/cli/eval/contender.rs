//! What is held against each other: the inputs themselves, principal components, and models.

use crate::error::{Error, Result};
use crate::eval::baseline::Pca;
use crate::memory;
use crate::model::Model;

/// The share of the variance that principal components hold, where hidden units are as many as inputs.
const SHARE: f64 = 0.95;
/// What the model that is judged is called.
const MODEL: &str = "model";

/// What makes features of inputs, and reconstructions.
pub(super) enum Contender<'a> {
    /// The inputs themselves.
    Raw,
    /// Principal components.
    Pca { pca: &'a Pca, components: usize },
    /// A model, by its name.
    Model { name: &'static str, model: &'a mut Model },
}

impl Contender<'_> {
    /// What it is called in tables.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Raw => "inputs".to_owned(),
            Self::Pca { components: 1, .. } => "1 principal component".to_owned(),
            Self::Pca { components, .. } => format!("{components} principal components"),
            Self::Model { name, .. } => (*name).to_owned(),
        }
    }

    /// What it is called in JSON.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Self::Raw => "inputs",
            Self::Pca { .. } => "pca",
            Self::Model { name: MODEL, .. } => "model",
            Self::Model { .. } => "plain",
        }
    }

    /// Features of `x [n, d]`, `[n, width]`, and their width.
    pub(super) fn features(&mut self, x: &[f32], d: usize) -> Result<(Vec<f32>, usize)> {
        match self {
            Self::Raw => Ok((x.to_vec(), d)),
            Self::Pca { pca, components } => Ok((pca.features(x, *components)?, *components)),
            Self::Model { model, .. } => {
                let width = model.d_hid();
                let bytes = (x.len() / d) as u128 * width as u128 * size_of::<f32>() as u128;
                memory::require("sae eval", "the features of all rows", bytes)?;
                Ok((model.features(x)?, width))
            }
        }
    }

    /// What it makes of `x [n, d]`.
    pub(super) fn reconstruct(&mut self, x: &[f32]) -> Result<Vec<f32>> {
        match self {
            Self::Raw => Ok(x.to_vec()),
            Self::Pca { pca, components } => Ok(pca.reconstruct(x, *components)?),
            Self::Model { model, .. } => model.reconstructions(x),
        }
    }
}

/// Those of principal components and of models, the model that is judged last.
pub(super) fn reconstructors<'a>(
    pca: Option<&'a Pca>,
    plain: Option<&'a mut Model>,
    model: &'a mut Model,
) -> Vec<Contender<'a>> {
    let components = pca.map(|pca| Contender::Pca { pca, components: components(pca, model.d_hid()) });
    let plain = plain.map(|model| Contender::Model { name: "plain autoencoder", model });
    components.into_iter().chain(plain).chain([Contender::Model { name: MODEL, model }]).collect()
}

/// As many components as hidden units where those are fewer than inputs, else as many as hold nearly all of the variance.
fn components(pca: &Pca, d_hid: usize) -> usize {
    if d_hid < pca.mean().len() { d_hid } else { pca.components_for(SHARE).max(1) }
}

/// Components of `x [n, d]`, where there is memory for them.
pub(super) fn fit_pca(x: &[f32], d: usize) -> Result<Pca> {
    // Three square matrices and the working space of the eigenvalues.
    let square = (d as u128).saturating_pow(2).saturating_mul(size_of::<f64>() as u128);
    memory::require("sae eval", "the principal components (--no-baselines leaves them out)", square.saturating_mul(6))?;
    Pca::fit(x, d).map_err(Error::from)
}
