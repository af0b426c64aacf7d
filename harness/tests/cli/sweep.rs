//! `sae sweep`: what it leaves, that its runs are those of `sae train`, and how it goes on.

use std::fs;

use crate::common::{Sae, names};
use crate::found::number;

const SETTINGS: &str = "[train]\nepochs = 2\nbatch = 200\n[sweep]\ntogether = 4\n[sweep.keys]\n\
                        sparsity.beta = [0.1, 3]\nmodel.d_hid = [8, 12]\nsparsity.rho = [0.05, 0.2]\n";

fn sweep() -> Sae {
    let sae = Sae::new();
    sae.write("sweep.toml", SETTINGS.as_bytes());
    sae
}

#[test]
fn a_sweep_leaves_a_table_plots_and_runs_that_are_those_of_training_alone() {
    let sae = sweep();
    let found = sae.json("sweep --config sweep.toml --loss.weight_decay 1e-3 --out out -q");
    assert_eq!((number(&found, "runs"), number(&found, "done"), number(&found, "failed")), (8.0, 8.0, 0.0));
    assert_eq!(found["speed"].as_array().unwrap().len(), 2);
    assert!(found["speed"].as_array().unwrap().iter().all(|group| number(group, "runs") == 4.0));
    let mut files = names(&sae.path("out"));
    files.retain(|name| !name.starts_with("run-"));
    let expected = [
        "README.md",
        "results.csv",
        "sensitivity-model.d_hid.svg",
        "sensitivity-sparsity.beta.svg",
        "sensitivity-sparsity.rho.svg",
        "speed.jsonl",
        "sweep.toml",
        "tradeoff.svg",
    ];
    assert_eq!(files, expected);
    for name in files.iter().filter(|name| name.ends_with(".svg")) {
        let svg = fs::read_to_string(sae.path("out").join(name)).unwrap();
        roxmltree::Document::parse(&svg).unwrap();
    }
    let page = fs::read_to_string(sae.path("out/README.md")).unwrap();
    assert!(page.contains("| run-8 | 12 | 3 | 0.2 |") && page.contains("times as fast"), "{page}");
    let csv = fs::read_to_string(sae.path("out/results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 9);
    assert!(csv.starts_with("run,model.d_hid,sparsity.beta,sparsity.rho,status,part,"), "{csv}");

    for run in ["run-2", "run-7"] {
        sae.done(&format!("train --config out/{run}/config.toml --out alone-{run} -q"));
        let model = |folder: String| fs::read(sae.path(&folder).join("model.safetensors")).unwrap();
        assert!(model(format!("out/{run}")) == model(format!("alone-{run}")), "{run} has other bits");
    }
    // Its folders are those of runs.
    sae.done("eval out/run-1 --data digits --json");
    sae.done("report out/run-1 out/run-8");
}

#[test]
fn a_sweep_that_was_stopped_goes_on_with_what_is_missing() {
    let sae = sweep();
    sae.done("sweep --config sweep.toml --out out -q");
    let read = |name: &str| fs::read(sae.path("out").join(name)).unwrap();
    let (done, model) = (read("run-1/run.json"), read("run-2/model.safetensors"));
    fs::remove_file(sae.path("out/run-2/run.json")).unwrap();
    fs::remove_dir_all(sae.path("out/run-5")).unwrap();
    let found = sae.json("sweep --resume out -q");
    assert_eq!(number(&found, "done"), 8.0);
    assert!(read("run-1/run.json") == done, "a run that was done is left alone");
    assert!(read("run-2/model.safetensors") == model, "the same bits in another group");
    // Nothing is left to train: the table comes again.
    fs::remove_file(sae.path("out/README.md")).unwrap();
    assert!(sae.done("sweep --resume out -q").contains("8 of 8 runs are done, 0 failed"));
    assert!(sae.path("out/README.md").exists());
    let config = String::from_utf8(read("run-3/config.toml")).unwrap().replace("beta = 3.0", "beta = 4.0");
    fs::write(sae.path("out/run-3/config.toml"), config).unwrap();
    sae.refused("sweep --resume out", &["run-3/config.toml", "these are other settings"]);
}

#[test]
fn a_run_that_diverges_is_told_and_the_others_are_trained() {
    let sae = Sae::new();
    let settings = "[model]\nd_hid = 8\noutput = 'identity'\n[optimizer]\nkind = 'sgd'\n[train]\nepochs = 2\n\
                    [sweep.keys]\noptimizer.lr = [1e30, 1e-3]\n";
    sae.write("sweep.toml", settings.as_bytes());
    let found = sae.json("sweep --config sweep.toml --out out -q");
    assert_eq!((number(&found, "done"), number(&found, "failed")), (1.0, 1.0));
    let page = fs::read_to_string(sae.path("out/README.md")).unwrap();
    assert!(page.contains("failed: step ") && page.contains("expected a finite number"), "{page}");
}

#[test]
fn what_is_no_sweep_is_refused() {
    let sae = sweep();
    sae.write("plain.toml", b"[train]\nepochs = 2\n");
    sae.refused("sweep", &["--config", "there is none"]);
    sae.refused("sweep --config plain.toml", &["plain.toml", "there is no [sweep]"]);
    sae.refused("sweep --config sweep.toml --sparsity.beta 1", &["--sparsity.beta", "the sweep tries values"]);
    sae.refused("sweep --config sweep.toml --sparsity.bta 1", &["did you mean `sparsity.beta`?"]);
    sae.refused("sweep --config no.toml", &["no.toml", "no such file"]);
    sae.refused("sweep --resume no", &["no"]);
    sae.write("full", b"");
    sae.refused("sweep --config sweep.toml --out full", &["--out full"]);
    sae.refused("sweep --config sweep.toml --out .", &["this folder is not empty", "--resume"]);
}
