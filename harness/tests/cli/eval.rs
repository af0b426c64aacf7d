//! `sae eval` beyond its first table: probes, anomalies, noise, the plain autoencoder.

use serde_json::Value;

use crate::common::Sae;
use crate::found::number;

fn by<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|one| one[key] == name).unwrap_or_else(|| panic!("{name} in {list}"))
}

/// A `.npy` file of `f4` rows.
fn npy(rows: &[Vec<f32>]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows.len(), rows[0].len());
    let padded = (header.len() + 11).next_multiple_of(64) - 11;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((padded as u16 + 1).to_le_bytes());
    bytes.extend(format!("{header:<padded$}\n").bytes());
    bytes.extend(rows.iter().flatten().flat_map(|v| v.to_le_bytes()));
    bytes
}

#[test]
fn probes_read_labels_off_inputs_components_and_features() {
    let sae = Sae::new();
    sae.done("train --model.d_hid 32 --train.epochs 40 --sparsity.kind none --out run -q");
    let found = sae.json("eval run --data digits --probe");
    let probe = &found["probe"];
    assert_eq!((&probe["rows_fitted"], &probe["rows_judged"]), (&1438.into(), &359.into()));
    assert_eq!(probe["classes"].as_array().unwrap().len(), 10);
    for (name, width) in [("inputs", 64), ("pca", 32), ("model", 32)] {
        let one = by(&probe["on"], "features", name);
        assert_eq!(one["width"], width);
        let softmax = &one["softmax"];
        // Ten digits, a tenth of the rows each: logistic regression on these pixels is known to tell well over 90% apart.
        assert!(number(softmax, "accuracy") > 0.9 && number(softmax, "macro_f1") > 0.9, "{name} {softmax}");
        assert!(number(softmax, "auc") > 0.99 && number(&one["ridge"], "r2") > 0.5, "{name} {one}");
        let counts: u64 = softmax["confusion"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|r| r.as_array().unwrap())
            .map(|c| c.as_u64().unwrap())
            .sum();
        assert_eq!(counts, 359);
    }
    let mut alone = sae.json("eval run --data digits --probe --threads 1");
    alone["threads"] = found["threads"].clone();
    assert_eq!(found, alone, "the number of threads changes nothing");
    let text = sae.done("eval run --data digits --probe");
    for word in
        ["linear probes, fitted on 1438 rows and judged on 359", "macro F1", "inputs", "32 principal components"]
    {
        assert!(text.contains(word), "{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn probes_are_fitted_on_other_rows_where_some_are_given_and_predict_numbers() {
    let sae = Sae::new();
    let rows: Vec<Vec<f32>> = (0..240).map(|i| vec![(i % 7) as f32, (i % 11) as f32, (i % 5) as f32]).collect();
    // What is to be predicted is linear in the inputs, and the features are not the inputs.
    let targets: Vec<Vec<f32>> = rows.iter().map(|r| vec![2.0 * r[0] - r[1] + 3.0]).collect();
    for (name, rows) in [("a", &rows[..160]), ("b", &rows[160..])] {
        sae.write(&format!("{name}.npy"), &npy(rows));
    }
    for (name, rows) in [("ya", &targets[..160]), ("yb", &targets[160..])] {
        sae.write(&format!("{name}.npy"), &npy(rows));
    }
    sae.done("train --data a.npy --model.d_hid 2 --train.epochs 5 --out run -q");
    let line = "eval run --data b.npy --fit a.npy --probe";
    let found = sae.json(&format!("{line} --targets yb.npy --fit-targets ya.npy"));
    let probe = &found["probe"];
    assert_eq!(
        (&probe["rows_fitted"], &probe["rows_judged"], &probe["targets"]),
        (&160.into(), &80.into(), &"yb.npy".into())
    );
    let of = |name: &str| number(&by(&probe["on"], "features", name)["ridge"], "r2");
    assert!(of("inputs") > 0.999_999 && of("model") < of("inputs"), "{probe}");
    assert!(by(&probe["on"], "features", "inputs")["softmax"].is_null());

    sae.refused(line, &["--probe", "a.npy has no labels", "--targets"]);
    sae.refused(&format!("{line} --targets yb.npy"), &["--targets", "--fit-targets"]);
    sae.refused(&format!("{line} --targets ya.npy --fit-targets ya.npy"), &["ya.npy", "160 rows", "80"]);
    sae.refused("eval run --data a.npy --targets ya.npy", &["--probe"]);
}

#[test]
fn rows_unlike_those_trained_on_are_found_by_their_error() {
    let sae = Sae::new();
    // Ordinary rows lie on a line; the others beside it.
    let ordinary = |i: usize| format!("{0},{1},{2},0\n", i % 50, 50 - i % 50, 0.5 * (i % 50) as f32);
    let strange = |i: usize| format!("{0},{0},{1},1\n", 3 * i, 50 - i);
    let train: String = (0..200).map(ordinary).collect();
    let all: String = (0..100).map(ordinary).chain((0..10).map(strange)).collect();
    sae.write("train.csv", format!("a,b,c,label\n{train}").as_bytes());
    sae.write("all.csv", format!("a,b,c,label\n{all}").as_bytes());
    sae.done("train --data train.csv --model.d_hid 1 --train.epochs 5 --out run -q");
    let found = sae.json("eval run --data all.csv --fit train.csv --anomaly --quantile 1");
    let anomaly = &found["anomaly"];
    assert_eq!((&anomaly["rows"], &anomaly["anomalies"], &anomaly["label"]), (&110.into(), &10.into(), &1.into()));
    let pca = by(&anomaly["errors"], "by", "pca");
    assert_eq!((&pca["auroc"], &pca["auprc"], &pca["best_f1"]["f1"]), (&1.0.into(), &1.0.into(), &1.0.into()));
    assert_eq!(pca["at_quantile"]["recall"], 1.0);
    let model = by(&anomaly["errors"], "by", "model");
    assert!((0.0..=1.0).contains(&number(model, "auroc")) && number(&model["at_quantile"], "threshold") > 0.0);
    let text = sae.done("eval run --data all.csv --anomaly=0");
    assert!(text.contains("anomalies by their error: 100 of 110 rows"), "{text}");

    sae.refused("eval run --data all.csv --anomaly=7", &["--anomaly", "0 of 110 rows", "label 7"]);
    sae.refused("eval run --data synthetic:rows=9,d_in=3,atoms=2,active=1 --anomaly", &["--anomaly", "no labels"]);
}

#[test]
fn components_rank_the_anomalies_of_a_published_set_as_scikit_learns_do() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/anomaly/optdigits.npz");
    if !file.is_file() {
        eprintln!("skipped: there is no ../shared/data/anomaly/optdigits.npz");
        return;
    }
    let sae = Sae::new();
    let data = file.to_str().unwrap();
    sae.done(&format!("train --data {data} --model.d_hid 32 --train.epochs 10 --sparsity.beta 0.1 --out run -q"));
    let found = sae.json(&format!("eval run --data {data} --anomaly"));
    assert_eq!((&found["anomaly"]["rows"], &found["anomaly"]["anomalies"]), (&5216.into(), &150.into()));
    let pca = by(&found["anomaly"]["errors"], "by", "pca");
    // scikit-learn 1.9.1: PCA(32) on the same rows, roc_auc_score and average_precision_score of the mean squared errors. These anomalies
    // are one digit among others, and are reconstructed better than most. Reconstructions in f32 move few of 759,900 pairs.
    assert!(
        (number(pca, "auroc") - 0.434_882_2).abs() < 1e-5 && (number(pca, "auprc") - 0.023_670_9).abs() < 1e-5,
        "{pca}"
    );
    let model = by(&found["anomaly"]["errors"], "by", "model");
    assert!(number(model, "auroc") > 0.0 && number(model, "auroc") < 1.0, "{model}");
}

#[test]
fn noise_is_held_against_the_clean_inputs() {
    let sae = Sae::new();
    sae.done("train --model.d_hid 32 --train.epochs 60 --sparsity.kind none --out run -q");
    let found = sae.json("eval run --data digits --noise gaussian:0.5 --noise masking:0.3");
    let all = found["denoising"].as_array().unwrap();
    assert_eq!((all.len(), &all[0]["noise"], &all[1]["noise"]), (2, &"gaussian:0.5".into(), &"masking:0.3".into()));
    let of = |by: &str, key: &str| number(&all[0]["against_clean"][by], key);
    // σ² = 0.25 over 115,008 values: its estimate is within √(2/115008)·0.25 = 0.001, five times.
    assert!((of("noisy", "mse") - 0.25).abs() < 0.005);
    for by in ["pca", "model"] {
        // 32 of 64 directions drop half of the noise.
        assert!(
            of(by, "mse") < 0.2 && of(by, "psnr") > of("noisy", "psnr") && of(by, "ssim") > of("noisy", "ssim"),
            "{by}"
        );
    }
    assert_eq!(found["ssim_window"], "uniform 7x7");
    assert!(number(&found, "ssim") > of("model", "ssim"));
    let text = sae.done("eval run --data digits --noise salt_and_pepper:0.2");
    assert!(text.contains("salt_and_pepper:0.2 noise") && text.contains("noisy inputs"), "{text}");
    sae.refused("eval run --data digits --noise guassian:0.3", &["did you mean `gaussian`"]);
    sae.refused("eval run --data digits --noise masking:2", &["masking:SHARE, a number from 0 to 1"]);
}

#[test]
fn the_plain_autoencoder_is_the_run_without_its_sparsity_term() {
    let sae = Sae::new();
    let line = "train --model.d_hid 9 --train.epochs 4 -q";
    sae.done(&format!("{line} --out run"));
    sae.done(&format!("{line} --sparsity.kind none --out dense"));
    let found = sae.json("eval run --data digits --plain");
    let dense = sae.json("eval dense --data digits");
    let close = (number(&found["plain"], "mse") / number(&dense, "mse") - 1.0).abs();
    // One is a sum of squares by the kernels, the other of f32 reconstructions.
    assert!(close < 1e-5, "{found} {dense}");
    sae.refused("eval run/model.safetensors --data digits --quantile 2", &["--quantile"]);
    std::fs::remove_file(sae.path("run/config.toml")).unwrap();
    sae.refused("eval run --data digits --plain", &["config.toml", "--plain"]);
}

#[test]
fn explained_variance_l0_and_the_spread_of_mean_activations_fit_together() {
    let sae = Sae::new();
    sae.done("train --model.d_hid 12 --train.epochs 3 --out run -q");
    let found = sae.json("eval run --data digits --threshold-active 0.1");
    let explained = 1.0 - number(&found, "mse") / number(&found["baselines"], "mean_mse");
    assert!((number(&found, "explained_variance") - explained).abs() < 1e-5);
    assert!((number(&found, "l0") - 0.12 * number(&found, "active_percent")).abs() < 1e-9);
    let spread: Vec<f64> = ["min", "q05", "median", "q95", "max"].map(|q| number(&found["rho_hat"], q)).to_vec();
    assert!(
        spread.is_sorted()
            && spread[0] <= number(&found, "rho_hat_mean")
            && spread[4] >= number(&found, "rho_hat_mean")
    );
}
