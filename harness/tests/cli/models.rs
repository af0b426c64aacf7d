//! Pruned models, stacks, whitening and patches, and experiments, as their user meets them.

use crate::common::Sae;

const QUICK: &str = "--model.d_hid 24 --train.epochs 30 --train.batch 64 --train.tensorboard false --sparsity.kind none --optimizer.lr 1e-2 --quiet";

#[test]
fn a_pruned_model_is_smaller_and_is_taken_where_any_model_is() {
    let sae = Sae::new();
    sae.done(&format!("train --data digits --out run {QUICK}"));
    let told = sae.json("prune run --data digits --keep 12 --finetune 20 --out small");
    assert_eq!((&told["units_before"], &told["units_after"], &told["part"]), (&24.into(), &12.into(), &"test".into()));
    assert_eq!(told["removed"].as_array().unwrap().len(), 12);
    let mse = |part: &str| told[part]["mse"].as_f64().unwrap();
    assert!(mse("fine_tuned") < mse("pruned") && mse("before") < mse("pruned"), "{told}");
    let features = sae.json("encode small --data digits --out small.npy");
    assert_eq!(features["d_hid"], 12);
    let again = sae.done("prune small --data digits --threshold 1e-9 --duplicates 0.999 --out smaller --no-fold");
    assert!(again.contains("MSE") && again.contains("left in smaller"), "{again}");
    sae.refused("prune run --data digits --out none", &["--threshold, --duplicates or --keep"]);
    sae.refused("prune run --data digits --out none --threshold 2", &["--threshold", "so that a unit is left"]);
    sae.refused("prune run --data digits --out none --duplicates 1.5", &["--duplicates", "a cosine"]);
    sae.refused("prune run --data synthetic --out none --keep 3 --seed 1 --threshold nan", &["--threshold", "finite"]);
    sae.refused("prune run --data digits --out small --keep 3", &["not empty"]);
}

#[test]
fn a_stack_is_trained_kept_and_taken_by_eval_and_encode() {
    let sae = Sae::new();
    let told = sae.json(
        "stack --data digits --stack.layers 32,16 --train.epochs 20 --train.batch 64 --loss.weight_decay 1e-4 \
         --sparsity.rho 0.1 --optimizer.lr 1e-2 --stack.head_epochs 20 --stack.finetune_epochs 40 \
         --stack.finetune_lr 1e-2 --out run --quiet",
    );
    assert!(told["after"]["accuracy"].as_f64().unwrap() > told["before"]["accuracy"].as_f64().unwrap(), "{told}");
    let judged = sae.json("eval run --data digits");
    assert!(judged["accuracy"].as_f64().unwrap() > 0.8, "{judged}");
    assert_eq!((&judged["rows"], judged["confusion"].as_array().unwrap().len()), (&1797.into(), 10));
    assert!(sae.done("eval run --data digits").contains("accuracy"));
    assert_eq!(sae.json("encode run --data digits --out h.npy")["d_hid"], 16);
    sae.refused("eval run --data synthetic:d_in=64", &["no labels"]);
    sae.refused("encode run --data synthetic:d_in=32 --out h.npy", &["rows have 32 columns, expected 64"]);
    sae.refused("stack --data digits --out other", &["stack.layers"]);
    sae.refused("stack --data digits --stack.layers a --out other", &["stack.layers", "a list of whole numbers"]);
    sae.refused("stack --data digits --stack.layer 3 --out other", &["did you mean `stack.layers`"]);
}

#[test]
fn whitening_and_patches_are_kept_with_the_model_and_applied_to_raw_data() {
    let sae = Sae::new();
    for (name, settings, width) in [
        ("zca", "--data.preprocess zca --model.output identity", 64),
        ("pca", "--data.preprocess pca --data.components 20 --data.epsilon 0.01 --model.output identity", 20),
        ("patches", "--data.preprocess patches --data.patch 4 --data.patches 2000", 16),
    ] {
        let line = format!("train --data digits --out {name} {settings} {QUICK}");
        let trained = sae.json(&line);
        assert_eq!(trained["d_in"], width, "{name}");
        let cfg = std::fs::read_to_string(sae.path(name).join("cfg.json")).unwrap();
        assert!(cfg.len() < 20_000, "{name}: the matrix is beside it");
        assert_eq!(sae.path(name).join("preprocess.safetensors").is_file(), name != "patches");
        let judged = sae.json(&format!("eval {name} --data digits"));
        let rows = if name == "patches" { 4 * 1797 } else { 1797 };
        assert_eq!((&judged["rows"], &judged["d_in"]), (&rows.into(), &width.into()), "{name}");
        // Nine tenths of these rows are those it was trained on.
        let (all, train) = (judged["mse"].as_f64().unwrap(), trained["train"]["mse"].as_f64().unwrap());
        assert!((all / train - 1.0).abs() < 0.2, "{name}: {all} {train}");
        let features = sae.json(&format!("encode {name} --data digits --out {name}.npy"));
        assert_eq!(features["rows"], rows);
    }
    std::fs::write(sae.path("zca").join("preprocess.safetensors"), b"12345678").unwrap();
    sae.refused("eval zca --data digits", &["preprocess.safetensors"]);
    std::fs::remove_file(sae.path("zca").join("preprocess.safetensors")).unwrap();
    sae.refused("eval zca --data digits", &["preprocess.safetensors"]);
    sae.refused("train --data digits --data.preprocess pca --data.components 65 --out x", &["data.components: 65"]);
    sae.refused("train --data digits --data.preprocess patches --data.patch 9 --out x", &["data.patch: 9", "8 x 8"]);
}

#[test]
fn experiments_leave_records_and_a_page_and_a_missed_gate_is_a_failure() {
    let sae = Sae::new();
    std::fs::create_dir(sae.path("from")).unwrap();
    let text = r#"
measure = "linear"
title = "Small"
published = "none"
seeds = [0]
[[gates]]
value = "excess"
at_most = 100.0
[run.model]
d_hid = 4
hidden = "identity"
output = "identity"
[run.sparsity]
kind = "none"
[run.train]
epochs = 3
"#;
    sae.write("from/small.toml", text.as_bytes());
    sae.write("from/other.toml", text.replace("seeds", "needs = \"no-such-data\"\nseeds").as_bytes());
    sae.write("from/run.toml", b"[data]\nsource = \"digits\"\n");
    let output = sae.run("experiments --from from --out out --data data");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("other: skipped") && said.contains("excess holds"), "{said}");
    let page = std::fs::read_to_string(sae.path("out/README.md")).unwrap();
    assert!(page.contains("## small") && !page.contains("## other"), "{page}");
    sae.refused("experiments smal --from from --out out", &["did you mean `small`"]);
    sae.write("from/small.toml", text.replace("100.0", "-1.0").as_bytes());
    let output = sae.run("experiments small --from from --out out");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("gates that do not hold: small"), "{said}");
}
