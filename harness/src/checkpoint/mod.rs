//! Checkpoints: all that a run needs to go on bit for bit, in files that are whole and checked, or not there.
//!
//! [`Checkpoint`] is the content, [`mod@file`] the format, [`Store`] the folder `checkpoints/` of a run with its older ones.
//! `docs/LONG_RUNS.md` describes them for whoever reads them with another program.

pub mod file;
mod store;

pub use store::{FOLDER, Found, Store};

use std::collections::BTreeMap;

use sae_kernels::step::{Parameters, State};

use crate::error::{Error, Result};
use file::{Sections, Tensor};

/// What the format calls itself.
const FORMAT: &str = "sae-checkpoint";
/// The version of the format that this code writes, and the only one it reads.
const VERSION: &str = "1";

/// A run between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Input width.
    pub d_in: usize,
    /// Hidden width.
    pub d_hid: usize,
    /// Updates done.
    pub step: u64,
    /// The version of the program that wrote it.
    pub program: String,
    /// The settings as resolved, TOML.
    pub config: String,
    /// Which data, JSON.
    pub data: String,
    /// The preprocessing fitted on the training rows, JSON.
    pub preprocessing: String,
    /// How far the run is, JSON: the training loop's own.
    pub run: String,
    /// The weights.
    pub weights: Parameters,
    /// What the optimiser and the moving average remember.
    pub optimizer: State,
    /// The best weights so far, where the run keeps them.
    pub best: Option<Parameters>,
    /// What L-BFGS remembers, the oldest first: a move of all parameters, and how the gradient changed by it.
    pub moves: Vec<[Vec<f32>; 2]>,
}

impl Checkpoint {
    /// As text and tensors.
    ///
    /// # Errors
    /// [`Error::Failed`] where a weight is not finite: no run could go on from there.
    pub fn into_sections(self) -> Result<Sections> {
        let (d_in, d_hid) = (self.d_in, self.d_hid);
        for (name, values) in self.weights.tensors() {
            if let Some(at) = values.iter().position(|v| !v.is_finite()) {
                let found = values[at];
                return Err(Error::Failed(format!(
                    "step {}: {name} has {found} at element {at}, expected finite weights",
                    self.step
                )));
            }
        }
        let text = [
            ("format", FORMAT.to_owned()),
            ("format_version", VERSION.to_owned()),
            ("program", self.program),
            ("d_in", d_in.to_string()),
            ("d_hid", d_hid.to_string()),
            ("step", self.step.to_string()),
            ("optimizer_step", self.optimizer.step.to_string()),
            ("config", self.config),
            ("data", self.data),
            ("preprocessing", self.preprocessing),
            ("run", self.run),
        ];
        let mut tensors = Vec::new();
        let groups =
            [("", Some(self.weights)), ("m.", self.optimizer.m), ("v.", self.optimizer.v), ("best.", self.best)];
        for (prefix, parameters) in groups {
            tensors.extend(parameters.into_iter().flat_map(|parameters| named(prefix, parameters, d_in, d_hid)));
        }
        if let Some(values) = self.optimizer.rho_hat {
            tensors.push(Tensor { name: RHO_HAT.to_owned(), shape: vec![d_hid], values });
        }
        for (index, pair) in self.moves.into_iter().enumerate() {
            let pair = MOVES.into_iter().zip(pair);
            tensors.extend(pair.map(|(kind, values)| Tensor {
                name: move_name(kind, index),
                shape: vec![values.len()],
                values,
            }));
        }
        Ok(Sections { text: text.into_iter().map(|(name, text)| (name.to_owned(), text)).collect(), tensors })
    }

    /// From text and tensors; the problem in words where they are no checkpoint.
    ///
    /// # Errors
    /// What is wrong.
    pub fn from_sections(sections: Sections) -> Result<Self, String> {
        let Sections { mut text, tensors } = sections;
        let mut take = |name: &str| text.remove(name).ok_or_else(|| format!("it lacks `{name}`"));
        let (format, version) = (take("format")?, take("format_version")?);
        if (format.as_str(), version.as_str()) != (FORMAT, VERSION) {
            let found = crate::error::excerpt(&format!("{format} {version}"));
            return Err(format!("its format is {found}, expected {FORMAT} {VERSION}"));
        }
        let mut number = |name: &str| take(name)?.parse::<u64>().map_err(|e| format!("`{name}`: {e}"));
        let (d_in, d_hid) = (number("d_in")? as usize, number("d_hid")? as usize);
        let (step, optimizer_step) = (number("step")?, number("optimizer_step")?);
        let mut tensors: BTreeMap<String, Tensor> = tensors.into_iter().map(|t| (t.name.clone(), t)).collect();
        let weights = parameters("", &mut tensors, d_in, d_hid)?.ok_or("it lacks the weights")?;
        let (m, v) = (parameters("m.", &mut tensors, d_in, d_hid)?, parameters("v.", &mut tensors, d_in, d_hid)?);
        let best = parameters("best.", &mut tensors, d_in, d_hid)?;
        let rho_hat = tensors.remove(RHO_HAT).map(|tensor| tensor.values);
        let mut moves = Vec::new();
        while let Some(moved) = tensors.remove(&move_name(MOVES[0], moves.len())) {
            let name = move_name(MOVES[1], moves.len());
            let changed = tensors.remove(&name).ok_or_else(|| format!("it lacks `{name}`"))?;
            moves.push([moved.values, changed.values]);
        }
        if let Some(name) = tensors.keys().next() {
            return Err(format!("it has a tensor `{}`, which is none of a checkpoint's", crate::error::excerpt(name)));
        }
        Ok(Self {
            d_in,
            d_hid,
            step,
            program: take("program")?,
            config: take("config")?,
            data: take("data")?,
            preprocessing: take("preprocessing")?,
            run: take("run")?,
            weights,
            optimizer: State { step: optimizer_step, m, v, rho_hat },
            best,
            moves,
        })
    }
}

/// The moving average of the mean activations.
const RHO_HAT: &str = "rho_hat";

/// L-BFGS's moves, and the changes of the gradient.
const MOVES: [&str; 2] = ["s", "y"];

fn move_name(kind: &str, index: usize) -> String {
    format!("lbfgs.{index}.{kind}")
}

/// The names of a group's tensors, behind its prefix, in the order of [`Parameters::tensors`].
const NAMES: [&str; 4] = ["W_enc", "b_enc", "W_dec", "b_dec"];

fn shapes(d_in: usize, d_hid: usize) -> [Vec<usize>; 4] {
    [vec![d_in, d_hid], vec![d_hid], vec![d_hid, d_in], vec![d_in]]
}

fn named(prefix: &str, parameters: Parameters, d_in: usize, d_hid: usize) -> Vec<Tensor> {
    let Parameters { w_enc, b_enc, w_dec, b_dec } = parameters;
    let parts = NAMES.into_iter().zip(shapes(d_in, d_hid)).zip([w_enc, b_enc, w_dec, b_dec]);
    parts.map(|((name, shape), values)| Tensor { name: format!("{prefix}{name}"), shape, values }).collect()
}

/// A group of four tensors, or none where its first is not there.
fn parameters(
    prefix: &str,
    tensors: &mut BTreeMap<String, Tensor>,
    d_in: usize,
    d_hid: usize,
) -> Result<Option<Parameters>, String> {
    if !tensors.contains_key(&format!("{prefix}{}", NAMES[0])) {
        return Ok(None);
    }
    let mut parameters = Parameters::default();
    let Parameters { w_enc, b_enc, w_dec, b_dec } = &mut parameters;
    for ((name, shape), to) in NAMES.into_iter().zip(shapes(d_in, d_hid)).zip([w_enc, b_enc, w_dec, b_dec]) {
        let name = format!("{prefix}{name}");
        let tensor = tensors.remove(&name).ok_or_else(|| format!("it lacks `{name}`"))?;
        if tensor.shape != shape {
            return Err(format!("the shape of `{name}` is {:?}, expected {shape:?}", tensor.shape));
        }
        *to = tensor.values;
    }
    Ok(Some(parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let filled = |start: f32| {
            let mut parameters = Parameters::zeros(3, 2);
            let all = parameters.tensors_mut().into_iter().flat_map(|(_, values)| values);
            all.enumerate().for_each(|(i, v)| *v = start + i as f32);
            parameters
        };
        Checkpoint {
            d_in: 3,
            d_hid: 2,
            step: 5,
            program: "0.1.0".to_owned(),
            config: "seed = 1".to_owned(),
            data: "{}".to_owned(),
            preprocessing: "{}".to_owned(),
            run: "{}".to_owned(),
            weights: filled(0.0),
            optimizer: State { step: 5, m: Some(filled(100.0)), v: Some(filled(200.0)), rho_hat: Some(vec![0.1, 0.2]) },
            best: Some(filled(300.0)),
            moves: vec![[vec![1.0; 15], vec![2.0; 15]], [vec![3.0; 15], vec![4.0; 15]]],
        }
    }

    #[test]
    fn sections_hold_all_of_a_checkpoint_or_of_one_with_less() {
        let full = sample();
        assert_eq!(Checkpoint::from_sections(full.clone().into_sections().unwrap()).unwrap(), full);
        let plain = Checkpoint { optimizer: State { step: 5, ..State::default() }, best: None, moves: vec![], ..full };
        assert_eq!(Checkpoint::from_sections(plain.clone().into_sections().unwrap()).unwrap(), plain);
    }

    #[test]
    fn what_is_no_checkpoint_is_told() {
        let told = |change: fn(&mut Sections)| {
            let mut sections = sample().into_sections().unwrap();
            change(&mut sections);
            Checkpoint::from_sections(sections).unwrap_err()
        };
        assert!(told(|s| s.text.clear()).contains("lacks `format`"));
        assert!(told(|s| *s.text.get_mut("format_version").unwrap() = "9".into()).contains("sae-checkpoint 9"));
        assert!(told(|s| *s.text.get_mut("d_in").unwrap() = "4".into()).contains("shape of `W_enc` is [3, 2]"));
        assert!(told(|s| *s.text.get_mut("step").unwrap() = "x".into()).contains("`step`"));
        assert!(told(|s| drop(s.tensors.remove(5))).contains("lacks `m.b_enc`"));
        assert!(told(|s| s.tensors[16].name = "who".into()).contains("`who`"));
        assert!(told(|s| drop(s.tensors.remove(18))).contains("lacks `lbfgs.0.y`"));
        assert!(told(|s| s.tensors.clear()).contains("the weights"));
    }

    #[test]
    fn weights_that_are_not_finite_are_not_kept() {
        let mut checkpoint = sample();
        checkpoint.weights.w_dec[3] = f32::NAN;
        let error = checkpoint.into_sections().unwrap_err().to_string();
        assert!(error.contains("step 5: w_dec has NaN at element 3"), "{error}");
    }
}
