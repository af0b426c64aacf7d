//! Dense layers that end in logits, forward and backward on the kernels.

use sae_kernels::ops::{
    Activation, Encode, GradSink, HiddenDelta, Hyper, Rule, TopK, UpdateMatrix, UpdateVector, WeightGrad,
};
use sae_kernels::step::Selection;
use sae_kernels::{Backend, Layout, MatRef, Matrix};

use crate::error::{Error, Result};

/// A layer `select(f(x·w + bias))`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// Width below.
    pub inputs: usize,
    /// Width above.
    pub outputs: usize,
    /// f.
    pub activation: Activation,
    /// Which activations of a row stay.
    pub selection: Selection,
    /// `[inputs, outputs]`.
    pub w: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

/// How a network is run.
#[derive(Clone, Copy, Debug)]
pub struct NetworkOptions {
    /// The most rows of a batch.
    pub max_batch: usize,
    /// Whether there is memory for gradients and the optimiser.
    pub trainable: bool,
    /// The [`panel`](Backend::panel) of the backend.
    pub panel: Option<usize>,
}

/// Layers with their optimiser, Adam, and the memory of a step.
///
/// ```text
/// forward    a_0 = x,  a_l = select_l(f_l(a_(l−1)·w_l + b_l)),  the last f the identity
/// loss       1/n Σ_i −log softmax(a_L)_(i, y_i) + ½ Σ_l λ_l·‖w_l‖²
/// backward   δ_L = (softmax(a_L) − onehot(y))/n,  δ_l = δ_(l+1)·w_(l+1)ᵀ ⊙ f_l', 0 where select_l has left 0
///            dw_l = a_(l−1)ᵀ·δ_l + λ_l·w_l,  db_l = Σ_rows δ_l
/// ```
#[derive(Clone, Debug)]
pub struct Network {
    layers: Vec<Layer>,
    /// Activations, one a layer.
    a: Vec<Matrix>,
    /// Gradients at the layers' outputs before f.
    delta: Vec<Matrix>,
    steps: u64,
}

#[derive(Clone, Debug)]
struct Layer {
    activation: Activation,
    selection: Selection,
    w: Matrix,
    bias: Vec<f32>,
    /// What training needs.
    training: Option<Training>,
}

#[derive(Clone, Debug)]
struct Training {
    w_t: Matrix,
    /// Moments.
    m: Matrix,
    v: Matrix,
    bias_m: Vec<f32>,
    bias_v: Vec<f32>,
    bias_grad: Vec<f32>,
}

impl Network {
    /// A network of these layers.
    ///
    /// # Errors
    /// [`Error::Failed`] where a layer does not fit the one below, or has not the numbers of its widths.
    pub fn new(layers: &[Dense], options: NetworkOptions) -> Result<Self> {
        let layout = |rows, cols| match options.panel {
            Some(panel) => Layout::panel_major(rows, cols, panel),
            None => Ok(Layout::row_major(rows, cols)),
        };
        let (mut a, mut delta, mut made) = (Vec::new(), Vec::new(), Vec::new());
        for (index, layer) in layers.iter().enumerate() {
            let Dense { inputs, outputs, activation, selection, ref w, ref bias } = *layer;
            let below = if index == 0 { inputs } else { layers[index - 1].outputs };
            if inputs != below || bias.len() != outputs || Some(w.len()) != inputs.checked_mul(outputs) {
                let found = format!("{} weights and {} biases on a width of {below}", w.len(), bias.len());
                return Err(Error::Failed(format!("layer {index}: {found}, expected {inputs} x {outputs}")));
            }
            a.push(Matrix::zeros(layout(options.max_batch, outputs)?)?);
            let mut training = None;
            if options.trainable {
                delta.push(Matrix::zeros(layout(options.max_batch, outputs)?)?);
                let mut w_t = Matrix::zeros(layout(outputs, inputs)?)?;
                let mut row = vec![0.0; inputs];
                for c in 0..outputs {
                    row.iter_mut().enumerate().for_each(|(r, t)| *t = w[r * outputs + c]);
                    w_t.row_from(0, c, &row);
                }
                let zeros = || Matrix::zeros(layout(inputs, outputs)?);
                let vector = || vec![0.0; outputs];
                let (m, v) = (zeros()?, zeros()?);
                training = Some(Training { w_t, m, v, bias_m: vector(), bias_v: vector(), bias_grad: vector() });
            }
            let w = Matrix::from_row_major(w, layout(inputs, outputs)?)?;
            made.push(Layer { activation, selection, w, bias: bias.clone(), training });
        }
        Ok(Self { layers: made, a, delta, steps: 0 })
    }

    /// The layers as they are.
    pub fn layers(&self) -> Vec<Dense> {
        let layers = self.layers.iter().map(|layer| Dense {
            inputs: layer.w.layout().rows(),
            outputs: layer.w.layout().cols(),
            activation: layer.activation,
            selection: layer.selection,
            w: layer.w.to_row_major(),
            bias: layer.bias.clone(),
        });
        layers.collect()
    }

    /// The last layer's output for the batch `x`.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn forward(&mut self, backend: &mut dyn Backend, x: MatRef<'_>) -> Result<MatRef<'_>> {
        let n = x.rows();
        for (index, layer) in self.layers.iter().enumerate() {
            let (below, above) = self.a.split_at_mut(index);
            let threshold = match layer.selection {
                Selection::Threshold { threshold } => Some([threshold]),
                Selection::All | Selection::TopK { .. } => None,
            };
            backend.encode(Encode {
                x: match below.last() {
                    None => x,
                    Some(below) => below.top(n)?,
                },
                w: layer.w.view(),
                bias: &layer.bias,
                activation: layer.activation,
                threshold: threshold.as_ref().map(<[f32; 1]>::as_slice),
                h: above[0].top_mut(n)?,
                col_sums: None,
            })?;
            if let Selection::TopK { k } = layer.selection {
                backend.top_k(TopK { k: &[k], h: above[0].top_mut(n)?, col_sums: None })?;
            }
        }
        match self.a.last() {
            Some(last) => Ok(last.top(n)?),
            None => Err(Error::Failed("a network without layers, expected one at least".to_owned())),
        }
    }

    /// One step on the batch `x` with the classes of its rows; `decay` has a λ for each layer. The mean cross-entropy before it.
    ///
    /// # Errors
    /// Those of the backend, and [`Error::Failed`] where the network is not trainable or a class not there.
    pub fn train_step(
        &mut self,
        backend: &mut dyn Backend,
        x: MatRef<'_>,
        classes: &[usize],
        decay: &[f32],
        lr: f32,
    ) -> Result<f64> {
        self.forward(backend, x)?;
        let loss = self.backward(backend, classes)?;
        self.steps += 1;
        let n = x.rows();
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let Some(training) = &mut layer.training else { return Err(untrainable()) };
            let below = match index {
                0 => x,
                _ => self.a[index - 1].top(n)?,
            };
            let lambda = decay.get(index).copied().unwrap_or(0.0);
            let hyper = |decay| Hyper { rule: Rule::adam(), lr, decay, decoupled: false, step: self.steps, clip: None };
            let sink = GradSink::Update(UpdateMatrix {
                hyper: &[hyper(lambda)],
                w: layer.w.view_mut(),
                w_t: Some(training.w_t.view_mut()),
                m: Some(training.m.view_mut()),
                v: Some(training.v.view_mut()),
            });
            backend.weight_grad(WeightGrad { a: below, delta: self.delta[index].top(n)?, sink })?;
            backend.update_vector(UpdateVector {
                hyper: &[hyper(0.0)],
                w: &mut layer.bias,
                grad: &training.bias_grad,
                m: Some(&mut training.bias_m),
                v: Some(&mut training.bias_v),
            })?;
        }
        Ok(loss)
    }

    /// The gradients at every layer, from the last forward pass.
    fn backward(&mut self, backend: &mut dyn Backend, classes: &[usize]) -> Result<f64> {
        let n = classes.len();
        let last = self.layers.len() - 1;
        let loss = self.softmax(classes)?;
        for index in (1..=last).rev() {
            let (below, above) = self.layers.split_at_mut(index);
            let (delta_below, delta_above) = self.delta.split_at_mut(index);
            let (Some(layer), Some(training)) = (below.last_mut(), &above[0].training) else {
                return Err(untrainable());
            };
            let Some(lower) = &mut layer.training else { return Err(untrainable()) };
            backend.hidden_delta(HiddenDelta {
                delta_out: delta_above[0].top(n)?,
                w_t: training.w_t.view(),
                h: self.a[index - 1].top(n)?,
                activation: layer.activation,
                support: layer.selection != Selection::All,
                gate: None,
                row_term: None,
                l1: None,
                delta_hid: delta_below[index - 1].top_mut(n)?,
                bias_grad: Some(&mut lower.bias_grad),
            })?;
        }
        Ok(loss)
    }

    /// The mean cross-entropy of the logits, and its gradient at them.
    fn softmax(&mut self, classes: &[usize]) -> Result<f64> {
        let n = classes.len();
        let (Some(layer), Some(a), Some(delta)) = (self.layers.last_mut(), self.a.last(), self.delta.last_mut()) else {
            return Err(untrainable());
        };
        let Some(training) = &mut layer.training else { return Err(untrainable()) };
        let logits = a.top(n)?;
        let width = logits.cols();
        let mut row = vec![0.0; width];
        let mut sums = vec![0f64; width];
        let mut loss = 0.0;
        for (r, &class) in classes.iter().enumerate() {
            if class >= width {
                return Err(Error::Failed(format!("row {r}: class is {class}, expected below {width}")));
            }
            row.iter_mut().enumerate().for_each(|(c, z)| *z = logits.at(0, r, c));
            loss -= log_probability(&row, class);
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f64 = row.iter().map(|&z| f64::from(z - largest).exp()).sum();
            for (c, z) in row.iter_mut().enumerate() {
                let p = f64::from(*z - largest).exp() / total;
                let gradient = (p - f64::from(u8::from(c == class))) / n as f64;
                sums[c] += gradient;
                *z = gradient as f32;
            }
            delta.row_from(0, r, &row);
        }
        training.bias_grad.iter_mut().zip(&sums).for_each(|(to, &sum)| *to = sum as f32);
        Ok(loss / n as f64)
    }
}

/// `log softmax(logits)_class`.
pub(super) fn log_probability(logits: &[f32], class: usize) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let total: f64 = logits.iter().map(|&z| (f64::from(z) - largest).exp()).sum();
    f64::from(logits[class]) - largest - total.ln()
}

fn untrainable() -> Error {
    Error::Failed("a network that is not trainable, expected one made with `trainable`".to_owned())
}
