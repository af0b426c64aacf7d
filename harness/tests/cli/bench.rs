//! `sae bench`: what it measures beside speed.

use crate::common::Sae;
use crate::found::number;
use sae_harness::model::step_bytes;

const PHASES: [&str; 8] =
    ["encode", "penalty", "decode", "hidden_delta", "weight_grad_dec", "weight_grad_enc", "biases", "other"];

#[test]
fn phases_has_every_key_for_every_part_of_a_step() {
    let sae = Sae::new();
    let found = sae.json("bench step --phases --batch 200 --d-in 150 --d-hid 180 --threads 2 --reps 2");
    assert_eq!(found["op"], "step");
    let (peak, bandwidth) = (number(&found, "peak_gflops"), number(&found, "bandwidth_gb_s"));
    let phases = found["phases"].as_array().unwrap();
    assert_eq!(phases.iter().map(|phase| phase["phase"].as_str().unwrap()).collect::<Vec<_>>(), PHASES);
    for phase in phases {
        let keys = ["median_ms", "share", "gflops", "fraction_of_peak", "bytes", "intensity", "roof_gflops", "bound"];
        for key in keys {
            assert!(phase.get(key).is_some(), "{key} is not in {phase}");
        }
        if matches!(phase["phase"].as_str(), Some("penalty" | "biases" | "other")) {
            assert!(phase["gflops"].is_null() && phase["bound"].is_null(), "{phase}");
            continue;
        }
        let flops = 2.0 * 200.0 * 150.0 * 180.0;
        // A handful of operations, rounded once each.
        let same = |a: f64, b: f64| assert!((a - b).abs() <= 16.0 * 2f64.powi(-53) * b, "{a} {b} in {phase}");
        same(number(phase, "gflops") * number(phase, "median_ms") * 1e6, flops);
        same(number(phase, "intensity") * number(phase, "bytes"), flops);
        same(number(phase, "roof_gflops"), peak.min(number(phase, "intensity") * bandwidth));
        assert_eq!(phase["bound"] == "arithmetic", number(phase, "roof_gflops") == peak);
    }
    let text = sae.done("bench step --phases --batch 16 --d-in 24 --d-hid 20 --reps 2 --backend naive");
    assert!(PHASES.iter().all(|phase| text.contains(phase)), "{text}");
    sae.refused("bench gemm --phases", &["--phases", "gemm", "step"]);
}

/// Of `sae bench step` beside the formula: the program with its threads' stacks, 8 MiB, and up to 2 MiB for each of 14
/// matrices (seven of weights and moments, four of samples, one of scratch, two to start from), which begin and end on huge
/// pages or are padded to whole panels.
#[cfg(target_os = "linux")]
const BESIDE_MIB: f64 = 8.0 + 14.0 * 2.0;

#[cfg(target_os = "linux")]
#[test]
fn memory_follows_its_formula() {
    let sae = Sae::new();
    // Weights decide in one, samples in the other.
    for (n, d_in, d_hid) in [(64, 1024, 4096), (8192, 256, 384)] {
        let found = sae.json(&format!("bench step --batch {n} --d-in {d_in} --d-hid {d_hid} --threads 2 --reps 1"));
        let rss = number(&found, "peak_rss_mib");
        // Adam has two moments.
        let step = step_bytes(d_in, d_hid, n, 2) as f64;
        // Unfinished sums of the largest product whose k may be cut.
        let products = [(d_in, n * d_hid), (d_hid, n * d_in), (n, d_in * d_hid)];
        let scratch = products.iter().filter(|(k, _)| *k > 256).map(|(_, result)| *result).max().unwrap_or(0);
        // The row-major weights to start from.
        let start = 2 * d_in * d_hid;
        let beside = size_of::<f32>() as f64 * (scratch + start) as f64;
        let (least, most) = (step / 2f64.powi(20), (step + beside) / 2f64.powi(20) + BESIDE_MIB);
        assert!(least < rss && rss < most, "({n}, {d_in}, {d_hid}): {rss} MiB, not between {least} and {most}");
    }
}
