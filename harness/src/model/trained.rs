//! A model that was read from a file, ready to run.

use std::path::{Path, PathBuf};

use sae_kernels::step::{Parameters, Selection};
use sae_kernels::{Backend, BackendKind, Isa, MatMut, Step, backend};
use serde::Deserialize;

use super::file::{CONFIG_FILE, ModelConfig, ModelFile, WEIGHTS_FILE};
use super::file_error::short;
use super::objective::saved_objective;
use super::{Batch, Evaluation, Seen, evaluate, reconstruct, step_bytes, unreadable};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::memory;
use crate::paths::missing;
use crate::preprocess::Fitted;

/// Samples taken at a time.
const BATCH: usize = 1024;

/// A model with its preprocessing and a backend to run it on.
pub struct Model {
    step: Step,
    backend: Box<dyn Backend>,
    batch: Batch,
    cfg: ModelConfig,
    preprocessing: Fitted,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("cfg", &self.cfg).field("backend", &self.backend.kind()).finish_non_exhaustive()
    }
}

impl Model {
    /// Reads a run directory, or a `.safetensors` file with its `cfg.json` beside it.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Read`], [`Error::Input`] for what is not there or no model, and those of the backend.
    pub fn load(path: &Path, kind: BackendKind) -> Result<Self> {
        const EXPECTED: &str = "a run directory, or a model.safetensors with its cfg.json beside it";
        if !path.exists() {
            return Err(missing(path, &[], EXPECTED));
        }
        let parts: [PathBuf; 2] = match path.is_dir() {
            true => [path.join(CONFIG_FILE), path.join(WEIGHTS_FILE)],
            false => [path.with_file_name(CONFIG_FILE), path.to_owned()],
        };
        if let Some(absent) = parts.iter().find(|part| !part.is_file()) {
            return Err(Error::Missing { path: absent.clone(), nearest: None, expected: EXPECTED });
        }
        let file = ModelFile::load(path).map_err(|e| unreadable(path, e))?;
        Self::new(file, kind, &parts[0].display().to_string())
    }

    /// A model from its file's content; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Input`] for an objective or a preprocessing that cannot be, and those of the backend.
    pub fn new(file: ModelFile, kind: BackendKind, name: &str) -> Result<Self> {
        let ModelFile { w_enc, b_enc, w_dec, b_dec, d_in, d_hid, cfg } = file;
        let preprocessing = fitted(&cfg.preprocessing, name)?;
        preprocessing.check(d_in, name)?;
        let objective = saved_objective(&cfg, name)?;
        memory::require(name, "the model", step_bytes(d_in, d_hid, BATCH, 0))?;
        let backend = backend(kind)?;
        let mut step = Step::new(d_in, d_hid, BATCH, backend.panel(), objective)
            .map_err(|e| Error::input(name, e.to_string(), "an objective that can be computed"))?;
        step.set_weights(&Parameters { w_enc, b_enc, w_dec, b_dec })
            .map_err(|e| Error::input(name, e.to_string(), "weights as `sae train` writes them"))?;
        let batch = Batch::new(BATCH, d_in, backend.panel())?;
        Ok(Self { step, backend, batch, cfg, preprocessing })
    }

    /// Input width.
    pub fn d_in(&self) -> usize {
        self.step.d_in()
    }

    /// Hidden width.
    pub fn d_hid(&self) -> usize {
        self.step.d_hid()
    }

    /// All that is not a weight.
    pub fn config(&self) -> &ModelConfig {
        &self.cfg
    }

    /// Which activations of a sample stay.
    pub fn selection(&self) -> Selection {
        self.step.config().selection
    }

    /// The map from raw data to inputs.
    pub fn preprocessing(&self) -> &Fitted {
        &self.preprocessing
    }

    /// Who carries the operations out, and on which instruction set.
    pub fn backend(&self) -> (BackendKind, Isa) {
        (self.backend.kind(), self.backend.isa())
    }

    /// Turns raw data into inputs, by the map fitted in training.
    ///
    /// # Errors
    /// [`Error::Input`] where its rows are not as long as the model's inputs.
    pub fn prepare(&self, set: &mut Dataset) -> Result {
        self.preprocessing.prepare(set)?;
        if set.cols != self.d_in() {
            let expected = format!("{}, the input width of the model", self.d_in());
            return Err(Error::input(&set.name, format!("rows have {} columns", set.cols), expected));
        }
        Ok(())
    }

    /// Evaluates the model on prepared data.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn evaluate(&mut self, data: &[f32], threshold: f32) -> Result<Evaluation> {
        evaluate(&mut self.step, &mut *self.backend, &mut self.batch, data, threshold)
    }

    /// What the model makes of prepared data, batch by batch.
    ///
    /// # Errors
    /// As [`reconstruct`].
    pub fn reconstruct(&mut self, data: &[f32], each: impl FnMut(Seen<'_>) -> Result) -> Result {
        reconstruct(&mut self.step, &mut *self.backend, &mut self.batch, data, each)
    }

    /// What the model makes of prepared data, all of it `[n, d_in]`.
    ///
    /// # Errors
    /// As [`reconstruct`].
    pub fn reconstructions(&mut self, data: &[f32]) -> Result<Vec<f32>> {
        let mut x_hat = Vec::with_capacity(data.len());
        self.reconstruct(data, |seen| {
            x_hat.extend_from_slice(seen.x_hat);
            Ok(())
        })?;
        Ok(x_hat)
    }

    /// The features of prepared data, all of them `[n, d_hid]`.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn features(&mut self, data: &[f32]) -> Result<Vec<f32>> {
        let mut features = Vec::with_capacity(data.len() / self.d_in() * self.d_hid());
        self.encode(data, |h| {
            features.extend_from_slice(h);
            Ok(())
        })?;
        Ok(features)
    }

    /// The features of prepared data, batch by batch: `each` gets `h [n, d_hid]`, row-major.
    ///
    /// # Errors
    /// Those of the backend and of `each`.
    pub fn encode(&mut self, data: &[f32], mut each: impl FnMut(&[f32]) -> Result) -> Result {
        let (d_in, d_hid) = (self.d_in(), self.d_hid());
        let most = self.batch.max_rows().min((data.len() / d_in).max(1));
        let mut h = vec![0.0; most * d_hid];
        for part in data.chunks(most * d_in) {
            let n = part.len() / d_in;
            self.batch.take(part)?;
            let out = MatMut::row_major(&mut h, n, d_hid)?;
            self.step.encode(&mut *self.backend, self.batch.view()?, out)?;
            each(&h[..n * d_hid])?;
        }
        Ok(())
    }
}

/// The map in a model file.
fn fitted(value: &serde_json::Value, name: &str) -> Result<Fitted> {
    if value.is_null() {
        return Ok(Fitted::None {});
    }
    Fitted::deserialize(value).map_err(|e| {
        Error::input(name, format!("sae.preprocessing: {}", short(&e.to_string())), "a map as `sae train` writes it")
    })
}
