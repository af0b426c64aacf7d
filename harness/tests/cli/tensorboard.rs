//! The event file of a run, read by TensorBoard itself, where `SAE_TENSORBOARD` names a Python that has it.

use std::process::Command;

use serde_json::Value;

use crate::common::{Sae, names};
use crate::found::number;

fn event_files(sae: &Sae, run: &str) -> Vec<String> {
    names(&sae.path(run)).into_iter().filter(|name| name.contains("tfevents")).collect()
}

#[test]
fn tensorboard_reads_what_was_measured() {
    let Some(python) = std::env::var_os("SAE_TENSORBOARD").filter(|path| !path.is_empty()) else {
        eprintln!(
            "skipped: SAE_TENSORBOARD names no Python with the package tensorboard (scripts/tensorboard makes one)"
        );
        return;
    };
    let sae = Sae::new();
    sae.done("train --model.d_hid 12 --train.epochs 3 --train.tensorboard_share 1 --train.gradient_norm_steps 5 --out run -q");
    assert_eq!(event_files(&sae, "run").len(), 1);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/read_events.py");
    let output = Command::new(python).arg(script).arg(sae.path("run")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();

    let log = std::fs::read_to_string(sae.path("run/metrics.jsonl")).unwrap();
    let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| log.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    for (tag, kind, key) in [
        ("loss/total", "step", "loss"),
        ("loss/reconstruction", "step", "reconstruction"),
        ("loss/sparsity", "step", "sparsity"),
        ("loss/weight_decay", "step", "weight_decay"),
        ("activity/rho_hat_mean", "step", "rho_hat_mean"),
        ("schedule/lr", "step", "lr"),
        ("gradient/norm", "step", "gradient_norm"),
        ("speed/samples_per_s", "step", "samples_per_s"),
        ("epoch/loss/total", "epoch", "loss"),
        ("validation/loss/total", "epoch", "val_loss"),
        ("validation/activity/active_percent", "epoch", "val_active_percent"),
    ] {
        let points = found["scalars"][tag].as_array().unwrap_or_else(|| panic!("{tag}: {found}"));
        let lines: Vec<_> = of(kind).into_iter().filter(|line| line.get(key).is_some()).collect();
        assert_eq!((points.len(), points.is_empty()), (lines.len(), false), "{tag}");
        for (point, line) in points.iter().zip(lines) {
            assert_eq!(point[0], line["step"], "{tag}");
            // An event holds a float.
            assert_eq!(point[1].as_f64().unwrap() as f32, number(line, key) as f32, "{tag}");
        }
    }
    let norms = found["scalars"]["gradient/norm"].as_array().unwrap();
    let steps: Vec<u64> = norms.iter().map(|point| point[0].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 6, 7, 11, 13, 16], "every fifth of 18, and the first of each epoch");
    let scalar = |tag: &str| found["scalars"][tag][0][1].as_f64().unwrap();
    // Ten operations a sample and weight: 64 x 12.
    let gflops = scalar("speed/samples_per_s") * 10.0 * 64.0 * 12.0 / 1e9;
    assert!((scalar("speed/gflops") - gflops).abs() <= 1e-6 * gflops, "two roundings to f32");
    assert!(scalar("speed/fraction_of_peak") > 0.0);

    for (tag, count) in [
        ("histograms/rho_hat", 12.0),
        ("histograms/weights_encoder", 768.0),
        ("histograms/weights_decoder", 768.0),
        ("histograms/activations", 128.0 * 12.0),
    ] {
        let histograms = found["histograms"][tag].as_array().unwrap_or_else(|| panic!("{tag}: {found}"));
        assert_eq!(histograms.len(), 3, "{tag}: one an epoch");
        assert!(histograms.iter().all(|h| number(h, "num") == count && number(h, "min") < number(h, "max")), "{tag}");
    }
    for tag in ["images/filters", "images/reconstructions"] {
        let images = found["images"][tag].as_array().unwrap_or_else(|| panic!("{tag}: {found}"));
        assert_eq!(images.len(), 3, "{tag}");
        assert!(images.iter().all(|image| image[0] == image[1]), "{tag}: the size is the PNG's");
    }
    assert!(found["texts"]["config"].as_str().unwrap().contains("d_hid = 12"), "{found}");
}

#[test]
fn a_run_without_tensorboard_leaves_no_events_and_the_same_model() {
    let sae = Sae::new();
    sae.done("train --model.d_hid 9 --train.epochs 2 --out with -q");
    sae.done("train --model.d_hid 9 --train.epochs 2 --train.tensorboard false --out without -q");
    assert_eq!((event_files(&sae, "with").len(), event_files(&sae, "without").len()), (1, 0));
    let weights = |run: &str| std::fs::read(sae.path(run).join("model.safetensors")).unwrap();
    assert_eq!(weights("with"), weights("without"), "looking at a model does not change it");
}
