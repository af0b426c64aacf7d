//! Every command does what its help says.

use crate::common::Sae;
use crate::found::{number, run_names};
use serde_json::Value;

const FILES: [&str; 12] = [
    ".lock",
    "cfg.json",
    "checkpoints",
    "config.toml",
    "curves.svg",
    "filters.png",
    "metrics.jsonl",
    "model.safetensors",
    "reconstructions.png",
    "report.html",
    "rho_hat.svg",
    "run.json",
];

#[test]
fn train_leaves_a_run_and_eval_and_encode_take_it() {
    let sae = Sae::new();
    let trained = sae.json("train --model.d_hid 12 --train.epochs 3 --out run -q");
    assert_eq!(run_names(&sae.path("run")), FILES);
    let mut named: Vec<&str> = trained["files"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, FILES[1..], "the summary names everything but the lock");
    assert_eq!((number(&trained, "epochs"), number(&trained, "steps")), (3.0, 18.0));
    // 1797 rows: a tenth, 180, to validate and to test, the rest in 6 batches of at most 256.
    assert_eq!(number(&trained["train"], "rows"), 1437.0);
    let log = std::fs::read_to_string(sae.path("run/metrics.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 18 + 3);
    for line in log.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        for key in [
            "step",
            "epoch",
            "loss",
            "reconstruction",
            "sparsity",
            "weight_decay",
            "rho_hat_mean",
            "lr",
            "samples_per_s",
        ] {
            assert!(number(&record, key).is_finite());
        }
        assert_eq!(record.get("val_loss").is_some(), record["kind"] == "epoch");
    }

    for model in ["run", "run/model.safetensors"] {
        let found = sae.json(&format!("eval {model} --data digits"));
        for key in
            ["loss", "reconstruction", "sparsity", "weight_decay", "mse", "psnr", "rho_hat_mean", "active_percent"]
        {
            assert!(number(&found, key).is_finite());
        }
        assert_eq!(number(&found, "rows"), 1797.0);
        let terms = number(&found, "reconstruction") + number(&found, "sparsity") + number(&found, "weight_decay");
        assert_eq!(number(&found, "loss"), terms);
        // 12 components cannot be worse than none.
        assert!(number(&found["baselines"], "pca_mse") < number(&found["baselines"], "mean_mse"));
        let counts = found["rho_hat_histogram"]["counts"].as_array().unwrap();
        assert_eq!(counts.iter().map(|c| c.as_u64().unwrap()).sum::<u64>(), 12);
    }
    assert!(sae.json("eval run --data digits --no-baselines")["baselines"].is_null());
    let text = sae.done("eval run --data digits");
    for word in ["MSE", "PSNR", "principal components", "mean of the rows", "mean activation"] {
        assert!(text.contains(word), "{text}");
    }

    sae.done("encode run --data digits --out h.npy");
    let h = npyz::NpyFile::new(std::fs::File::open(sae.path("h.npy")).map(std::io::BufReader::new).unwrap()).unwrap();
    assert_eq!(h.shape(), [1797, 12]);
    let h: Vec<f32> = h.into_vec().unwrap();
    let mean = h.iter().map(|&v| f64::from(v)).sum::<f64>() / h.len() as f64;
    // The same f32 activations summed in another order, in f64: 21,564 roundings of sums below 21,564.
    let found = number(&sae.json("eval run --data digits"), "rho_hat_mean");
    assert!((mean - found).abs() <= 21_564.0 * 2f64.powi(-53) * 2.0, "{mean} {found}");
}

#[test]
fn features_do_not_depend_on_backend_beyond_rounding_nor_on_threads_at_all() {
    let sae = Sae::new();
    sae.done("train --model.d_hid 12 --train.epochs 3 --out run -q");
    let encode = |options: &str| -> Vec<f32> {
        sae.done(&format!("encode run --data digits --out h.npy {options}"));
        let file = std::fs::File::open(sae.path("h.npy")).unwrap();
        npyz::NpyFile::new(std::io::BufReader::new(file)).unwrap().into_vec().unwrap()
    };
    let fused = encode("--threads 1");
    assert_eq!(fused, encode("--threads 3"));
    let naive = encode("--backend naive");
    // Both chains round each of 64 multiply-adds once, of partial sums below Σ|x·w| ≤ 64·max|w|; Xavier's limit is
    // √(6/76) = 0.28 and 18 Adam steps of 1e-3 move a weight by less than 0.02 (|m̂|/√v̂ stays below 1.1): 64·0.3 = 19.2.
    // The sigmoid has slope 1/4 at most and adds a few ulp of 1.
    let bound = 2.0 * 65.0 * 19.2 * 2f32.powi(-24) / 4.0 + 4.0 * 2f32.powi(-24);
    for (a, b) in fused.iter().zip(&naive) {
        assert!((a - b).abs() <= bound, "{a} {b}");
    }
}

#[test]
fn runs_without_a_name_are_numbered_and_resolved_settings_repeat_them() {
    let sae = Sae::new();
    let options = "--train.epochs 2 --seed 7 --model.d_hid=9";
    assert_eq!(sae.json(&format!("train -q {options}"))["out"], "runs/digits-1");
    assert_eq!(sae.json(&format!("train -q {options} --threads 2"))["out"], "runs/digits-2");
    assert_eq!(sae.json("train -q --config runs/digits-1/config.toml")["out"], "runs/digits-3");
    sae.done(&format!("train -q {options} --seed 8 --out other").replacen("--seed 7 ", "", 1));
    let weights = |run: &str| std::fs::read(sae.path(run).join("model.safetensors")).unwrap();
    assert_eq!(weights("runs/digits-1"), weights("runs/digits-2"));
    assert_eq!(weights("runs/digits-1"), weights("runs/digits-3"));
    assert_ne!(weights("runs/digits-1"), weights("other"));
}

#[test]
fn a_run_from_a_file_in_the_order_of_the_file_needs_no_seed() {
    let sae = Sae::new();
    sae.done("train -q --train.max_steps 1 --model.d_hid 9 --out init");
    let line = "train -q --model.init init/model.safetensors --model.d_hid 9 --train.shuffle false --data.validation 0 \
                --data.test 0 --train.epochs 1";
    sae.done(&format!("{line} --seed 1 --out a"));
    sae.done(&format!("{line} --seed 2 --out b"));
    let weights = |run: &str| std::fs::read(sae.path(run).join("model.safetensors")).unwrap();
    assert_eq!(weights("a"), weights("b"));
    assert!(!std::fs::read_to_string(sae.path("a/metrics.jsonl")).unwrap().contains("val_loss"));
}

#[test]
fn progress_goes_to_stderr_a_line_an_epoch_and_quiet_silences_it() {
    let sae = Sae::new();
    let output = sae.run("train --train.epochs 3 --optimizer.lr 1e-2 --sparsity.kind none --out a");
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(err.lines().filter(|line| line.starts_with("epoch ")).count(), 3, "{err}");
    assert!(!out.contains("epoch 1/") && out.contains("Left in a:\n  config.toml"), "{out}");
    let output = sae.run("train --train.epochs 3 --optimizer.lr 1e-2 --sparsity.kind none --out b --quiet");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn the_summary_is_one_screen_of_80_columns() {
    let sae = Sae::new();
    let text = sae.done("train --train.epochs 2 --out run -q");
    assert!(text.lines().count() <= 24, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    for part in ["samples/s", "GFLOP/s", "of peak", "validation", "test", "PSNR", "report.html", "run.json"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn json_is_a_line_an_epoch_and_one_that_sums_up() {
    let sae = Sae::new();
    let text = sae.done("train --train.epochs 3 --out run -q --json");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    let log = std::fs::read_to_string(sae.path("run/metrics.jsonl")).unwrap();
    let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let epochs: Vec<&Value> = log.iter().filter(|line| line["kind"] == "epoch").collect();
    assert_eq!(lines[..3].iter().collect::<Vec<_>>(), epochs, "the lines of the log");
    assert_eq!((&lines[3]["kind"], number(&lines[3], "epochs")), (&"summary".into(), 3.0));
    assert!(number(&lines[3], "fraction_of_peak") > 0.0);
}

#[test]
fn shells_get_completions_and_man_a_page() {
    let sae = Sae::new();
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef sae"), ("fish", "complete -c sae")] {
        let text = sae.done(&format!("completions {shell}"));
        assert!(text.contains(part) && text.contains("report") && text.contains("quiet"), "{shell}: {text}");
    }
    sae.refused("completions bsh", &["unknown shell `bsh`", "did you mean `bash`?"]);
    let page = sae.done("man");
    assert!(page.contains(".TH sae") && page.contains("report") && page.contains("SAE_KERNELS_ISA"), "{page}");
    assert!(sae.done("man train").contains("--train.epochs") || sae.done("man train").contains("train.epochs"));
    sae.refused("man trian", &["unknown command `trian`", "did you mean `train`?"]);
}

#[test]
fn settings_that_are_probably_not_meant_are_told() {
    let sae = Sae::new();
    let told = |line: &str| String::from_utf8(sae.run(line).stderr).unwrap();
    let text = told("train -q --train.max_steps 1 --loss.convention per_element --out a");
    assert!(text.contains("warning: sparsity.beta 3 with loss.convention per_element"), "{text}");
    let text = told("train -q --train.max_steps 1 --data.preprocess none --out b");
    assert!(text.contains("warning: preprocessed data lie in [0, 16]"), "{text}");
    // One step from random weights does not beat the mean.
    let text = told("train -q --train.max_steps 1 --out c");
    assert!(text.contains("is not below that of the mean training row"), "{text}");
}

#[test]
fn bench_has_every_documented_key_for_every_operation() {
    let sae = Sae::new();
    for op in ["peak", "sigmoid", "encode", "decode", "backward", "step", "gemm"] {
        let found = sae.json(&format!("bench {op} --batch 16 --d-in 24 --d-hid 20 --threads 2 --reps 2"));
        assert_eq!((found["op"].as_str(), found["backend"].as_str()), (Some(op), Some("fused")));
        assert_eq!((found["dtype"].as_str(), number(&found, "threads")), (Some("f32"), 2.0));
        assert_eq!(["batch", "d_in", "d_hid", "reps"].map(|key| number(&found, key)), [16.0, 24.0, 20.0, 2.0]);
        assert!(found["isa"].is_string());
        for key in ["median_ms", "min_ms", "gflops", "peak_gflops", "fraction_of_peak", "samples_per_s"] {
            assert!(number(&found, key) > 0.0, "{op} {key}");
        }
        assert!(number(&found, "min_ms") <= number(&found, "median_ms"));
        let product = number(&found, "fraction_of_peak") * number(&found, "peak_gflops");
        // A quotient and a product round once each.
        assert!((product - number(&found, "gflops")).abs() <= 2f64.powi(-52) * product);
        if cfg!(target_os = "linux") {
            assert!(number(&found, "peak_rss_mib") > 0.0);
        }
    }
    let text = sae.done("bench gemm --batch 16 --d-in 24 --d-hid 20 --reps 2 --backend naive");
    assert!(text.contains("GFLOP/s") && text.contains("naive gemm"), "{text}");
}

#[test]
fn info_names_what_there_is_and_what_runs() {
    let sae = Sae::new();
    let found = sae.json("info");
    let chosen: Vec<&Value> = found["kernels"].as_array().unwrap().iter().filter(|k| k["chosen"] == true).collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(chosen[0]["isa"], found["isa"]);
    let output = sae.command("info --json").env("SAE_KERNELS_ISA", "portable").output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["isa"], "portable");
    let text = sae.done("info");
    for word in ["processor", "caches", "isa", "(chosen)", "backends", "fused", "blas", "portable"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn help_has_an_example_for_every_command() {
    let sae = Sae::new();
    for command in
        ["train", "eval", "encode", "prune", "stack", "bench", "report", "experiments", "info", "completions", "man"]
    {
        let text = sae.done(&format!("{command} --help"));
        assert!(text.contains(&format!("Example:\n  sae {command}")), "{text}");
    }
    assert!(sae.done("--help").contains("Example:\n  sae train"));
    assert!(sae.done("--version").starts_with("sae "));
    assert_eq!(sae.run("").status.code(), Some(2));
}
