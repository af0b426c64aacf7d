//! What a person does wrong is answered with exit code 2 and one line that says what, where and what was expected.

use crate::common::{Sae, names, refused};
use crate::found::run_names;

#[test]
fn commands_and_options_that_are_not_there() {
    let sae = Sae::new();
    sae.refused("trian", &["unknown command `trian`", "did you mean `train`?"]);
    sae.refused("prune m --data digits --out x --keep 3", &["m: no such file or folder"]);
    sae.refused("train --resume runs/x", &["runs/x: no such file or folder", "with its config.toml"]);
    sae.refused("train --force", &["--resume <DIR>"]);
    sae.refused("train --resume a --out b", &["--resume", "--out"]);
    sae.refused("train --quite", &["--quite", "`--quiet`"]);
    sae.refused("eval", &["--data <SPEC>", "<MODEL>"]);
    sae.refused("info --what", &["--what"]);
}

#[test]
fn keys_and_values_that_are_not_there() {
    let sae = Sae::new();
    sae.refused("train --model.d_hdi 3", &["--model.d_hdi", "did you mean `model.d_hid`?"]);
    sae.refused("train --epochs 3", &["--epochs", "did you mean `train.epochs`?"]);
    sae.refused("train --modle.d_hid 3", &["unknown section `modle`", "`model`"]);
    sae.refused("train --model.d_hid", &["--model.d_hid", "there is no value"]);
    sae.refused("train --model.d_hid many", &["--model.d_hid", "many", "a whole number"]);
    sae.refused("train --model.d_hid=-3", &["-3", "a whole number, at least 0"]);
    sae.refused("train --optimizer.kind adma", &["unknown `adma`", "did you mean `adam`?"]);
    sae.refused("train --sparsity.rho 1", &["sparsity.rho: 1, expected"]);
    sae.refused("train --model.hidden relu", &["kl with model.hidden relu"]);
    sae.refused("train --sparsity.kind topk --sparsity.k 1000", &["sparsity.k", "1000", "model.d_hid"]);
    sae.refused("train --backend fusde", &["did you mean `fused`?"]);
    sae.refused("train --seed -1", &["-1"]);
    sae.write("run.toml", b"seed = 1\n[model]\nd_hdi = 3\n");
    sae.refused("train --config run.toml", &["run.toml:3", "did you mean `model.d_hid`?"]);
    sae.write("broken.toml", b"[model\n");
    sae.refused("train --config broken.toml", &["broken.toml:1"]);
    sae.refused("train --config none.toml", &["none.toml: no such file"]);
    assert_eq!(names(sae.folder.path()), ["broken.toml", "run.toml"]);
}

#[test]
fn threads_from_all_to_too_many() {
    let sae = Sae::new();
    sae.done("train --threads 0 --train.max_steps 1 -q --out all");
    sae.done("train --threads 3 --train.max_steps 1 -q --out three");
    for line in ["train --threads 100000", "bench peak --threads 100000", "eval m --data digits --threads 100000"] {
        sae.refused(line, &["threads: 100000, expected at most 4096"]);
    }
    sae.refused("train --threads -1", &["threads"]);
    sae.refused("bench peak --threads -1", &["--threads"]);
    sae.refused("bench peak --threads x", &["--threads"]);
}

#[test]
fn data_files_that_are_missing_or_lie() {
    let sae = Sae::new();
    let idx =
        |count: u32| [&[0u8, 0, 8, 3][..], &count.to_be_bytes(), &2u32.to_be_bytes(), &2u32.to_be_bytes()].concat();
    let npy = |header: &str, data: &[u8]| {
        let header = format!("{header:<117}\n");
        [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    };
    let shape =
        |descr: &str, shape: &str| format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let whole = [1f32; 6].map(f32::to_le_bytes).concat();
    let nan = [1.0, f32::NAN, 1.0, 1.0, 1.0, 1.0].map(f32::to_le_bytes).concat();

    sae.refused("train --data none.npy", &["none.npy: no such file or folder"]);
    sae.refused("train --data digist", &["did you mean `digits`?"]);
    for (name, bytes, told) in [
        ("short.idx", [idx(3), vec![0; 11]].concat(), "short.idx"),
        ("liar.idx", [idx(u32::MAX), vec![0; 12]].concat(), "liar.idx"),
        ("cut.idx", vec![0, 0, 8, 3, 0], "cut.idx"),
        ("short.npy", npy(&shape("<f4", "(3, 2)"), &whole[..20]), "short.npy"),
        ("liar.npy", npy(&shape("<f4", "(999999999999, 999999999)"), &whole), "liar.npy"),
        ("cut.npy", npy(&shape("<f4", "(3, 2)"), &whole)[..40].to_vec(), "cut.npy"),
        ("nan.npy", npy(&shape("<f4", "(3, 2)"), &nan), "row 0, column 1"),
        ("dtype.npy", npy(&shape("<c8", "(3, 2)"), &[whole.clone(), whole.clone()].concat()), "c8"),
        ("vector.npy", npy(&shape("<f4", "(6,)"), &whole), "two dimensions"),
        ("words.csv", b"1,2\n3,four\n".to_vec(), "words.csv"),
        ("uneven.csv", b"1,2\n3\n".to_vec(), "uneven.csv"),
        ("empty.csv", vec![], "empty.csv"),
        ("picture.png", b"\x89PNG\r\n\x1a\n".to_vec(), "picture.png: it is damaged"),
    ] {
        sae.write(name, &bytes);
        sae.refused(&format!("train --data {name} --out run"), &[told]);
    }
    assert!(!sae.path("run").exists(), "a run that could not begin leaves no folder");
}

#[test]
fn outputs_that_cannot_be_written() {
    let sae = Sae::new();
    sae.write("file", b"x");
    sae.refused("train --out file", &["--out file: this is not a folder"]);
    sae.refused("train --out file/run", &["--out file/run"]);
    sae.done("train --out run --train.max_steps 1 -q");
    let before = std::fs::read(sae.path("run/model.safetensors")).unwrap();
    sae.refused("train --out run --train.max_steps 2 -q", &["--out run: this folder is not empty"]);
    assert_eq!(std::fs::read(sae.path("run/model.safetensors")).unwrap(), before);
    sae.refused("encode run --data digits --out file/f.npy", &["--out file/f.npy"]);
    sae.refused("encode run --data digits --out none/f.npy", &["its folder does not exist"]);
    sae.refused("encode run --data digits --out f.txt", &["does not end in .npy"]);
    std::fs::create_dir(sae.path("folder.npy")).unwrap();
    sae.refused("encode run --data digits --out folder.npy", &["this is a folder"]);
    assert_eq!(names(sae.folder.path()), ["file", "folder.npy", "run"]);
}

#[test]
fn models_that_are_missing_damaged_or_of_another_width() {
    let sae = Sae::new();
    sae.done("train --out run --train.max_steps 1 -q");
    sae.write("four.csv", b"1,2,3,4\n5,6,7,8\n");
    for command in ["eval run --data four.csv", "encode run --data four.csv --out f.npy"] {
        sae.refused(command, &["four.csv: rows have 4 columns, expected 64, the input width of the model"]);
    }
    sae.refused("eval rnu --data digits", &["rnu: no such file or folder", "did you mean `run`?"]);
    sae.refused("eval run --data none.npy", &["none.npy"]);
    sae.refused("eval run --data digits --backend x", &["unknown backend `x`"]);
    sae.refused("eval run --data digits --threshold-active nan", &["--threshold-active"]);
    let weights = std::fs::read(sae.path("run/model.safetensors")).unwrap();
    for cut in [0, 7, 100, weights.len() - 1] {
        std::fs::write(sae.path("run/model.safetensors"), &weights[..cut]).unwrap();
        sae.refused("eval run --data digits", &["model.safetensors"]);
    }
    std::fs::write(sae.path("run/model.safetensors"), &weights).unwrap();
    let config = std::fs::read_to_string(sae.path("run/cfg.json")).unwrap();
    for (from, to, told) in [
        ("\"kl\"", "\"ksvd\"", "sae.sparsity"),
        ("\"range\"", "\"zca\"", "sae.preprocessing"),
        ("\"d_in\": 64", "\"d_in\": 63", "cfg.json"),
        ("{", "", "cfg.json"),
    ] {
        assert!(config.contains(from), "{config}");
        std::fs::write(sae.path("run/cfg.json"), config.replace(from, to)).unwrap();
        sae.refused("eval run --data digits", &[]);
        if told != "cfg.json" {
            sae.refused("eval run --data digits", &[told]);
        }
    }
    std::fs::remove_file(sae.path("run/cfg.json")).unwrap();
    sae.refused("eval run/model.safetensors --data digits", &["cfg.json: no such file"]);
    sae.write("bad.safetensors", b"no");
    sae.refused("train --model.init bad.safetensors", &["bad.safetensors"]);
    sae.refused("train --model.init none.safetensors", &["none.safetensors: no such file"]);
    sae.refused("train --model.init run/model.safetensors --model.d_hid 5", &["W_enc", "[64, 5]"]);
}

#[test]
fn benchmarks_that_cannot_be() {
    let sae = Sae::new();
    sae.refused("bench stp", &["unknown operation `stp`", "did you mean `step`?"]);
    sae.refused("bench", &["<OP>"]);
    sae.refused("bench step --dtype f64", &["--dtype: f64, expected f32"]);
    sae.refused("bench step --backend blas", &["unknown backend `blas`"]);
    for option in ["--batch", "--d-in", "--d-hid", "--reps"] {
        sae.refused(&format!("bench step {option} 0"), &[&format!("{option}: 0, expected 1 to")]);
        sae.refused(&format!("bench step {option} -1"), &[option]);
        sae.refused(&format!("bench step {option} 99999999999999999999"), &[option]);
    }
    sae.refused("bench step --d-in 200000000 --d-hid 200000000", &["MiB of memory"]);
    sae.refused("train --model.d_hid 268435456 --train.batch 268435456", &["model.d_hid", "MiB of memory"]);
}

#[test]
fn instruction_sets_that_are_not_there() {
    let sae = Sae::new();
    let with = |isa: &str, line: &str| sae.command(line).env("SAE_KERNELS_ISA", isa).output().unwrap();
    for line in ["info", "train", "bench step", "eval m --data digits", "encode m --data digits --out f.npy"] {
        refused(
            line,
            &with("avx", line),
            &["SAE_KERNELS_ISA: unknown instruction set `avx`", "avx512, avx2, neon, portable"],
        );
    }
    let absent = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    refused("info", &with(absent, "info"), &[absent, "is not available on this processor", "portable"]);
    assert!(with("portable", "info").status.success());
    assert!(with("", "info").status.success(), "an empty value is none");
}

#[test]
fn losses_that_the_data_do_not_allow() {
    let sae = Sae::new();
    sae.refused("train --data.preprocess none --loss.reconstruction bce", &["bce with preprocessed data in [0, 16]"]);
    sae.refused("train --data.validation 0.6 --data.test 0.5", &["a sum below 1"]);
    sae.refused("train --train.drop_last true --train.batch 5000", &["train.batch: 5000", "training rows"]);
}

#[test]
fn work_that_fails_exits_with_1_and_keeps_what_was_measured() {
    let sae = Sae::new();
    let line =
        "train --optimizer.kind sgd --optimizer.lr 1e30 --model.output identity --sparsity.kind none --out run -q";
    let output = sae.run(line);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.lines().count() == 1 && text.starts_with("error: step "), "{text}");
    assert!(text.contains("expected a finite number"), "{text}");
    assert_eq!(run_names(&sae.path("run")), [".lock", "config.toml", "metrics.jsonl"]);
    assert!(std::fs::read_to_string(sae.path("run/metrics.jsonl")).unwrap().lines().count() > 1);
}
