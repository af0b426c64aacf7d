//! What a training leaves, when it lies or is damaged.

use crate::build::*;
use crate::files::{File, file, patched_text};

/// Matrices of a preprocessing.
pub(crate) fn maps() -> Vec<File> {
    let text = |from: &str, to: &str| model(&patched_text(WHITENING, from, to), &vectors());
    let header = |name: &str, dtype: &str, shape: &str| {
        let values = [1.0f64, 0.0, 0.0, 1.0].map(f64::to_le_bytes).concat();
        model(WHITENING, &safetensors(&format!("{{{}}}", tensor(name, dtype, shape, 0, 32)), &values))
    };
    let values = |v: f64| {
        let values = [1.0, 0.0, 0.0, v].map(f64::to_le_bytes).concat();
        model(WHITENING, &safetensors(&format!("{{{}}}", tensor("vectors", "F64", "[2,2]", 0, 32)), &values))
    };
    let twice = {
        let entry = tensor("vectors", "F64", "[2,2]", 0, 32);
        model(WHITENING, &safetensors(&format!("{{{entry},{entry}}}"), &[0; 32]))
    };
    vec![
        file("preprocess", "nothing", model(WHITENING, b""), "file length is 0"),
        file("preprocess", "length", model(WHITENING, &u64::MAX.to_le_bytes()), "header length"),
        file("preprocess", "cut", model(WHITENING, &vectors()[..vectors().len() - 1]), "preprocess.safetensors"),
        file("preprocess", "more", model(WHITENING, &[&vectors()[..], &[0]].concat()), "preprocess.safetensors"),
        file("preprocess", "deep", model(WHITENING, &safetensors(&"[".repeat(4000), b"")), "recursion"),
        file("preprocess", "twice", twice, "`vectors` twice"),
        file("preprocess", "tensor", header("vector", "F64", "[2,2]"), "vectors"),
        file("preprocess", "single", header("vectors", "F32", "[2,4]"), "vectors is F32 [2, 4]"),
        file("preprocess", "shape", header("vectors", "F64", "[4,1]"), "vectors is F64 [4, 1]"),
        file("preprocess", "rank", header("vectors", "F64", "[2,2,1]"), "vectors is F64 [2, 2, 1]"),
        file("preprocess", "nan", values(f64::NAN), "a number is NaN"),
        file("preprocess", "infinite", values(f64::INFINITY), "a number is inf"),
        file("preprocess", "rows", text("\"rows\": 2", "\"rows\": 18446744073709551615"), "vectors is F64 [2, 2]"),
        file("preprocess", "cols", text("\"cols\": 2", "\"cols\": -2"), "vectors is F64 [2, 2]"),
        file("preprocess", "means", text("[0.5, 1.5]", "[0.5, 1.5, 2.5]"), "3 means"),
        file("preprocess", "spreads", text("[2.0, 0.0]", "[2.0]"), "1 spreads"),
        file("preprocess", "negative", text("[2.0, 0.0]", "[2.0, -1.0]"), "spreads"),
        file("preprocess", "kind", text("pca", "lda"), "sae.preprocessing"),
        file("preprocess", "scale", text(WHITENING, r#"{ "kind": "range", "min": 0.0, "max": 1e39 }"#), "not finite"),
        file(
            "preprocess",
            "side",
            text(WHITENING, r#"{ "kind": "patches", "side": 0, "whiten": false, "limit": 0.5 }"#),
            "patches of side 0",
        ),
    ]
}

/// Stacks.
pub(crate) fn stacks() -> Vec<File> {
    let text = |from: &str, to: &str| model(&patched_text(STACK, from, to), &stack_weights());
    let header =
        |from: &str, to: &str| model(STACK, &safetensors(&patched_text(&stack_header(), from, to), &f32s(&[0.0; 17])));
    vec![
        file("stack", "empty", model("", &stack_weights()), "stack.json"),
        file("stack", "deep", model(&"[".repeat(4000), &stack_weights()), "recursion"),
        file("stack", "twice", text("\"d_in\": 2", "\"d_in\": 2, \"d_in\": 2"), "`d_in` twice"),
        file("stack", "unknown", text("\"d_in\": 2", "\"d_in\": 2, \"d\\nout\": 2"), "stack.json"),
        file("stack", "version", text("\"format_version\": 1", "\"format_version\": 2"), "format_version is 2"),
        file("stack", "no-width", text("\"d_in\": 2", "\"d_in\": 0"), "2 layers on 0 inputs"),
        file("stack", "d_in", text("\"d_in\": 2", "\"d_in\": 3"), "layers.0.W_enc is F32 [2, 3]"),
        file("stack", "huge", text("\"d_in\": 2", "\"d_in\": 18446744073709551615"), "stack."),
        file("stack", "no-units", text("\"d_hid\": 3", "\"d_hid\": 0"), "layer 0 has no units"),
        file("stack", "units", text("\"d_hid\": 1", "\"d_hid\": 2"), "layers.1.W_enc is F32 [3, 1]"),
        file("stack", "activation", text("sigmoid", "soft\\nmax"), "activation is `soft"),
        file("stack", "labels", text("[0, 7]", "[7, 0]"), "the labels are not ascending"),
        file("stack", "label", text("[0, 7]", "[7, 7]"), "the labels are not ascending"),
        file("stack", "classes", text("[0, 7]", "[0, 7, 8]"), "head.W is F32 [1, 2]"),
        file("stack", "image", text("\"image\": null", "\"image\": [18446744073709551615, 2]"), "image is"),
        file(
            "stack",
            "map",
            text("\"kind\": \"none\"", "\"kind\": \"minmax\", \"min\": [0], \"max\": [1]"),
            "rows of 2 columns, expected 1",
        ),
        file("stack", "no-map", text("\"kind\": \"none\"", "\"kind\": \"nothing\""), "preprocessing"),
        file("stack", "no-head", text("[0, 7]", "null"), "belongs to no layer"),
        file("stack", "tensor", header("layers.1.b_enc", "layers.2.b_enc"), "tensor layers.1.b_enc is missing"),
        file("stack", "double", header("\"F32\",\"shape\":[2,3]", "\"F64\",\"shape\":[1,3]"), "is F64 [1, 3]"),
        file("stack", "shape", header("[2,3]", "[3,2]"), "layers.0.W_enc is F32 [3, 2]"),
        file("stack", "cut", model(STACK, &stack_weights()[..stack_weights().len() - 1]), "stack.safetensors"),
        file("stack", "length", model(STACK, &u64::MAX.to_le_bytes()), "header length"),
        file("stack", "nothing", model(STACK, b""), "file length is 0"),
        file(
            "stack",
            "nan",
            model(STACK, &safetensors(&stack_header(), &f32s(&[f32::NAN; 17]))),
            "layers.0.W_enc holds NaN",
        ),
    ]
}

/// Models.
pub(crate) fn models() -> Vec<File> {
    let cfg = |from: &str, to: &str| model(&patched_text(CFG, from, to), &weights());
    let header = |from: &str, to: &str| {
        let header = patched_text(&weights_header(), from, to);
        model(CFG, &safetensors(&header, &f32s(&[0.0; 7])))
    };
    vec![
        file("model", "empty", model("", &weights()), "cfg.json"),
        file("model", "text", model("no JSON", &weights()), "cfg.json"),
        file("model", "deep", model(&"[".repeat(100_000), &weights()), "recursion"),
        file("model", "twice", cfg("\"d_in\": 2,", "\"d_in\": 2, \"d_in\": 2,"), "`d_in` twice"),
        file(
            "model",
            "twice-inside",
            cfg("\"kind\": \"none\"", "\"kind\": \"none\", \"kind\": \"none\""),
            "`kind` twice",
        ),
        file(
            "model",
            "many",
            cfg("{ \"kind\": \"none\" }", &format!("[{}1]", "1,".repeat(1 << 20))),
            "too many values",
        ),
        file("model", "d_in", cfg("\"d_in\": 2", "\"d_in\": 3"), "shape of W_enc"),
        file("model", "no-width", cfg("\"d_in\": 2", "\"d_in\": 0"), "at least 1"),
        file("model", "huge", cfg("\"d_in\": 2", "\"d_in\": 18446744073709551615"), "fits in memory"),
        file("model", "negative", cfg("\"d_in\": 2", "\"d_in\": -2"), "cfg.json"),
        file("model", "infinite", cfg("\"rho\": 0.05", "\"rho\": 1e999"), "cfg.json"),
        file("model", "version", cfg("\"format_version\": 1", "\"format_version\": 2"), "sae.format_version is 2"),
        file("model", "architecture", cfg("\"standard\"", "\"topk\""), "architecture"),
        file("model", "activation", cfg("\"hidden\": \"sigmoid\"", "\"hidden\": \"softmax\""), "sae.hidden"),
        file("model", "image", cfg("\"image\": null", "\"image\": [18446744073709551615, 2]"), "sae.image"),
        file(
            "model",
            "map",
            cfg("\"kind\": \"none\"", "\"kind\": \"minmax\", \"min\": [0], \"max\": [1]"),
            "rows of 2 columns, expected 1",
        ),
        file("model", "no-map", cfg("\"kind\": \"none\"", "\"kind\": \"nothing\""), "sae.preprocessing"),
        file("model", "tensor", header("b_enc", "b_end"), "b_end"),
        file("model", "double", header("\"F32\",\"shape\":[2,1]", "\"F64\",\"shape\":[1,1]"), "dtype of W_enc"),
        file("model", "shape", header("[2,1]", "[1,2]"), "shape of W_enc"),
        file("model", "header", header("{\"W_enc\"", "{\"W_enc\":0,\"W_enc\""), "`W_enc` twice"),
        file("model", "cut", model(CFG, &weights()[..weights().len() - 1]), "model.safetensors"),
        file("model", "length", model(CFG, &u64::MAX.to_le_bytes()), "header length"),
        file("model", "nothing", model(CFG, b""), "file length is 0"),
        file("model", "nan", model(CFG, &safetensors(&weights_header(), &f32s(&[f32::NAN; 7]))), "element 0 of W_enc"),
    ]
}
