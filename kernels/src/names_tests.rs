//! Names are part of configs, files and the command line.

use crate::ops::{Activation, Loss, Rule};
use crate::step::{Convention, Selection};
use crate::{BackendKind, Isa};

#[test]
fn names_are_those_that_configs_and_files_have() {
    assert_eq!(Activation::ALL.map(Activation::name), ["sigmoid", "relu", "tanh", "identity"]);
    assert_eq!(Loss::ALL.map(Loss::name), ["squared", "bce"]);
    assert_eq!(Convention::ALL.map(Convention::name), ["per_element", "per_sample"]);
    assert_eq!(
        Rule::<f32>::all().map(|rule| rule.name()),
        ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
    );
    assert_eq!(BackendKind::ALL.map(BackendKind::name), ["fused", "openblas", "matrixmultiply", "naive"]);
    assert_eq!(Isa::ALL.map(Isa::name), ["avx512", "avx2", "neon", "portable"]);
    let selections = [Selection::All, Selection::TopK { k: 1 }, Selection::Threshold { threshold: 0.5f32 }];
    assert_eq!(selections.map(|selection| selection.name()), ["all", "top-k", "threshold"]);
}
