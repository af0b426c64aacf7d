use sae_kernels::ops::Activation;
use sae_kernels::step::Selection;
use sae_kernels::{Fused, MatRef, Naive};

use super::*;
use crate::config::Config;
use crate::data::digits;
use crate::train::{Silent, TrainingSet};

fn values(n: usize, scale: f32, shift: usize) -> Vec<f32> {
    (0..n).map(|i| (((i * 37 + shift * 11) % 101) as f32 / 101.0 - 0.5) * scale).collect()
}

fn dense(inputs: usize, outputs: usize, activation: Activation) -> Dense {
    let (w, bias) = (values(inputs * outputs, 1.5, inputs), values(outputs, 1.0, outputs));
    Dense { inputs, outputs, activation, selection: Selection::All, w, bias }
}

/// What stays of the activations of a row.
fn select(selection: Selection, a: &mut [f64]) {
    let cut = match selection {
        Selection::All => return,
        Selection::Threshold { threshold } => f64::from(threshold),
        Selection::TopK { k } => {
            let mut sorted = a.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            a.iter_mut().filter(|v| **v < sorted[k - 1]).for_each(|v| *v = 0.0);
            return;
        }
    };
    a.iter_mut().filter(|v| v.abs() <= cut).for_each(|v| *v = 0.0);
}

/// The loss of `layers` in f64: the cross-entropy of the rows of `x`, and half of λ times the squared weights; and which
/// activations are 0.
fn loss(layers: &[Dense], x: &[f32], classes: &[usize], decay: &[f32]) -> (f64, Vec<bool>) {
    let f = |activation: Activation, z: f64| match activation {
        Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
        Activation::Tanh => z.tanh(),
        Activation::Relu => z.max(0.0),
        Activation::Identity => z,
    };
    let d_in = layers[0].inputs;
    let (mut total, mut zeros) = (0.0, Vec::new());
    for (row, &class) in x.chunks_exact(d_in).zip(classes) {
        let mut a: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
        for layer in layers {
            let unit = |j: usize| {
                let products = a.iter().enumerate().map(|(i, v)| v * f64::from(layer.w[i * layer.outputs + j]));
                f(layer.activation, products.sum::<f64>() + f64::from(layer.bias[j]))
            };
            a = (0..layer.outputs).map(unit).collect();
            select(layer.selection, &mut a);
            zeros.extend(a.iter().map(|&v| v == 0.0));
        }
        let sum: f64 = a.iter().map(|z| z.exp()).sum();
        total -= (a[class].exp() / sum).ln() / classes.len() as f64;
    }
    let squares = layers
        .iter()
        .zip(decay)
        .map(|(layer, &lambda)| 0.5 * f64::from(lambda) * layer.w.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>());
    (total + squares.sum::<f64>(), zeros)
}

#[test]
fn a_step_follows_the_gradient_of_the_cross_entropy_through_every_layer() {
    let layers = [dense(7, 6, Activation::Sigmoid), dense(6, 5, Activation::Tanh), dense(5, 4, Activation::Identity)];
    follows_the_gradient(&layers);
    let [first, second, last] = layers;
    follows_the_gradient(&[
        Dense { selection: Selection::TopK { k: 2 }, ..first },
        Dense { selection: Selection::Threshold { threshold: 0.22 }, ..second },
        last,
    ]);
}

fn follows_the_gradient(layers: &[Dense; 3]) {
    let (x, classes) = (values(9 * 7, 2.0, 3), [0, 3, 1, 2, 2, 0, 1, 3, 1]);
    let decay = [0.3, 0.1, 0.2];
    let options = NetworkOptions { max_batch: 12, trainable: true, panel: None };
    let mut network = Network::new(layers, options).unwrap();
    let lr = 1e-3;
    let view = MatRef::row_major(&x, 9, 7).unwrap();
    let told = network.train_step(&mut Naive, view, &classes, &decay, lr).unwrap();
    // f32 activations and logits of a few: a relative error of some 2⁻²⁴ each.
    assert!((told - loss(layers, &x, &classes, &[0.0; 3]).0).abs() < 1e-5, "{told}");
    // Adam's first step is lr·g/(|g| + ε·√…): the sign of the gradient, of every element.
    let after = network.layers();
    for (l, (before, after)) in layers.iter().zip(&after).enumerate() {
        for (part, (before_values, after_values)) in
            [(&before.w, &after.w), (&before.bias, &after.bias)].into_iter().enumerate()
        {
            for i in 0..before_values.len() {
                let shifted = |by: f32| {
                    let mut layers = layers.clone();
                    let values = if part == 0 { &mut layers[l].w } else { &mut layers[l].bias };
                    values[i] += by;
                    loss(&layers, &x, &classes, &decay)
                };
                let h = 1.0 / 1024.0;
                let ((above, zeros), (below, same)) = (shifted(h), shifted(-h));
                assert!(zeros == same, "a shift decides which activations stay: no derivative");
                let gradient = (above - below) / (2.0 * f64::from(h));
                // Below this the sign is the difference quotient's, of error h²: 1e-6 times third derivatives of order 1.
                if gradient.abs() > 1e-3 {
                    let moved = f64::from(after_values[i] - before_values[i]);
                    let expected = -f64::from(lr) * gradient.signum();
                    assert!((moved - expected).abs() < 1e-5, "layer {l} part {part} {i}: {moved} {gradient}");
                }
            }
        }
    }
}

#[test]
fn backends_and_short_batches_train_alike() {
    let layers = [dense(70, 66, Activation::Sigmoid), dense(66, 10, Activation::Identity)];
    let x = values(20 * 70, 2.0, 5);
    let classes: Vec<usize> = (0..20).map(|i| i * 7 % 10).collect();
    let run = |backend: &mut dyn Backend| {
        let options = NetworkOptions { max_batch: 64, trainable: true, panel: backend.panel() };
        let mut network = Network::new(&layers, options).unwrap();
        let mut batch = Batch::new(64, 70, backend.panel()).unwrap();
        batch.take(&x).unwrap();
        let losses: Vec<f64> = (0..30)
            .map(|_| network.train_step(backend, batch.view().unwrap(), &classes, &[0.0; 2], 1e-3).unwrap())
            .collect();
        losses
    };
    let (fused, naive) = (run(&mut Fused::new().unwrap()), run(&mut Naive));
    assert!(fused[29] < 0.7 * fused[0], "{fused:?}");
    for (a, b) in fused.iter().zip(&naive) {
        // Rounding of some 2⁻²⁴ a step, which Adam's division may raise where a gradient is near 0: thousandfold.
        assert!((a - b).abs() < 1e-3 * b, "{a} {b}");
    }
}

fn trained(settings: &str) -> (Trained, TrainingSet) {
    let config = Config::parse(settings, "test", &[]).unwrap();
    let set = TrainingSet::new(&config, digits().unwrap()).unwrap();
    (train(&config, &set, &mut Silent, |_| Ok(())).unwrap(), set)
}

const SETTINGS: &str = "[sparsity]\nrho = 0.1\n[loss]\nweight_decay = 1e-4\n[optimizer]\nlr = 1e-2\n\
                        [train]\nepochs = 30\nbatch = 64\n\
                        [stack]\nlayers = [40, 20]\nhead_epochs = 20\nfinetune_epochs = 40\nfinetune_lr = 1e-2";

#[test]
fn fine_tuning_makes_a_stack_of_the_digits_better() {
    let (trained, set) = trained(SETTINGS);
    let labels = set.test.labels.as_ref().unwrap();
    let judge = |stack: &Stack| stack.judge(BackendKind::Fused, &set.test.data, labels).unwrap();
    let (before, after) = (judge(&trained.before), judge(&trained.after));
    assert!(after.accuracy > before.accuracy && after.cross_entropy < before.cross_entropy, "{before:?} {after:?}");
    assert!(after.accuracy > 0.9, "{}", after.accuracy);
    assert_eq!(trained.after.layers.iter().map(|l| (l.inputs, l.outputs)).collect::<Vec<_>>(), [(64, 40), (40, 20)]);
    let right: u64 = (0..10).map(|i| after.confusion[i][i]).sum();
    assert_eq!(right as f64 / labels.len() as f64, after.accuracy);
    assert_eq!(after.confusion.iter().flatten().sum::<u64>(), labels.len() as u64);
}

#[test]
fn a_stack_comes_back_bit_for_bit_and_damage_is_named() {
    let short = SETTINGS.replace("epochs = 30", "epochs = 1").replace("_epochs = 40", "_epochs = 1");
    let (trained, set) =
        trained(&format!("[data]\npreprocess = \"pca\"\ncomponents = 30\n[model]\noutput = \"identity\"\n{short}"));
    let dir = tempfile::tempdir().unwrap();
    let stack = trained.after;
    stack.save(dir.path()).unwrap();
    assert!(Stack::is_at(dir.path()));
    let back = Stack::load(dir.path()).unwrap();
    assert_eq!(back, stack);
    let mut raw = digits().unwrap();
    back.prepare(&mut raw).unwrap();
    assert_eq!(raw.cols, 30);
    let mut features = Vec::new();
    let first = &set.train.data[..30];
    back.encode(BackendKind::Fused, first, |h| {
        features.extend_from_slice(h);
        Ok(())
    })
    .unwrap();
    assert_eq!(features.len(), 20);
    let path = dir.path().join(STACK_CONFIG_FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, told) in [
        ("\"format_version\": 1", "\"format_version\": 2", "format_version is 2"),
        ("\"d_hid\": 20", "\"d_hid\": 21", "F32"),
        ("sigmoid", "sigmod", "sigmod"),
        ("\"d_in\": 30", "\"d_in\": 31", "another length"),
        ("\"rows\": 30", "\"rows\": 29", "F64"),
    ] {
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = Stack::load(dir.path()).unwrap_err();
        assert!(error.to_string().contains(told) && error.exit_code() == 2, "{error}");
    }
    std::fs::write(&path, &text).unwrap();
    std::fs::write(dir.path().join(STACK_WEIGHTS_FILE), b"12345678").unwrap();
    assert_eq!(Stack::load(dir.path()).unwrap_err().exit_code(), 2);
}

#[test]
fn layers_that_select_do_so_in_the_stack() {
    let short = SETTINGS.replace("epochs = 30", "epochs = 1").replace("_epochs = 40", "_epochs = 1");
    let top_k = short.replace("rho = 0.1", "kind = \"topk\"\nk = 5");
    let threshold = short.replace("rho = 0.1", "kind = \"threshold\"\nthreshold = 0.45");
    for settings in [top_k, threshold] {
        let (trained, set) = trained(&settings);
        let dir = tempfile::tempdir().unwrap();
        trained.after.save(dir.path()).unwrap();
        let stack = Stack::load(dir.path()).unwrap();
        assert_eq!(stack, trained.after);
        let data = &set.test.data;
        stack
            .encode(BackendKind::Fused, data, |h| {
                for row in h.chunks(20) {
                    match stack.layers[1].selection {
                        Selection::TopK { k } => assert_eq!(row.iter().filter(|&&h| h != 0.0).count(), k),
                        Selection::Threshold { threshold } => assert!(row.iter().all(|&h| h == 0.0 || h > threshold)),
                        Selection::All => panic!("the layers were trained to select"),
                    }
                }
                assert!(h.contains(&0.0));
                Ok(())
            })
            .unwrap();
        let path = dir.path().join(STACK_CONFIG_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"k\": 5", "\"k\": 0").replace("\"threshold\": ", "\"threshold\": -"))
            .unwrap();
        let error = Stack::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("layer 0: k is 0") || error.contains("layer 0: threshold is -0.45"), "{error}");
    }
}

#[test]
fn rows_without_labels_make_a_stack_without_a_head() {
    let config = Config::parse("[stack]\nlayers = [8]\n[train]\nepochs = 1", "test", &[]).unwrap();
    let mut raw = digits().unwrap();
    raw.labels = None;
    let set = TrainingSet::new(&config, raw).unwrap();
    let stack = train(&config, &set, &mut Silent, |_| Ok(())).unwrap().after;
    assert_eq!(stack.head, None);
    let error = stack.judge(BackendKind::Fused, &set.train.data[..64], &[1]).unwrap_err();
    assert!(error.to_string().contains("no classifier"), "{error}");
    let none = Config::parse("", "test", &[]).unwrap();
    assert!(train(&none, &set, &mut Silent, |_| Ok(())).unwrap_err().to_string().contains("stack.layers"));
}

#[test]
fn labels_that_training_did_not_have_count_as_wrong() {
    let config = Config::parse("[stack]\nlayers = [8]\nfinetune_epochs = 0\n[train]\nepochs = 1", "test", &[]).unwrap();
    let set = TrainingSet::new(&config, digits().unwrap()).unwrap();
    let Trained { before, after, .. } = train(&config, &set, &mut Silent, |_| Ok(())).unwrap();
    assert_eq!(before, after);
    let judged = after.judge(BackendKind::Fused, &set.train.data[..128], &[77, 78]).unwrap();
    assert_eq!((judged.accuracy, judged.cross_entropy), (0.0, f64::INFINITY));
}
