//! Runs that are asked to stop, that fail, or that somebody else wants to write to.

use std::process::{Child, Command, Output};
use std::time::Duration;

use crate::common::{Sae, names, refused};
use crate::run::checkpoints;

/// About a second, checkpoints now and then.
const RUN: &str =
    "--model.d_hid 24 --train.batch 16 --train.epochs 12 --train.checkpoint_steps 25 --sparsity.rho_hat ema";

/// Waits for something that has to come.
fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if happened() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{what}: did not happen in a minute");
}

/// Whether the process has a handler for the signal; without /proc, after a while.
fn catches(process: &Child, signal: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", process.id())) else {
        std::thread::sleep(Duration::from_secs(2));
        return true;
    };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

fn send(process: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn ended(process: Child) -> (Output, String) {
    let output = process.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, text)
}

#[test]
#[cfg(unix)]
fn a_signal_ends_a_run_with_a_checkpoint_and_its_exit_code_and_the_run_goes_on() {
    let sae = Sae::new();
    let reference = sae.reference(RUN);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let run = format!("run{code}");
        let mut process = sae.spawn(&format!("train {RUN} --out {run} -q"));
        wait_until("a checkpoint", || {
            assert!(process.try_wait().unwrap().is_none(), "the run ended before it was stopped");
            !checkpoints(&sae.path(&run)).is_empty()
        });
        send(&process, signal);
        let (output, text) = ended(process);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains("stopped after step ") && text.contains(&format!("--resume {run}")), "{text}");
        assert!(!text.contains("error") && text.lines().count() == 1, "{text}");
        let newest = checkpoints(&sae.path(&run)).pop().unwrap();
        let step: u64 = newest["step-".len()..][..10].parse().unwrap();
        assert!(text.contains(&format!("after step {step};")), "{text} {newest}");
        assert!(!sae.path(&format!("{run}/model.safetensors")).exists());
        let output = sae.run(&format!("train --resume {run}"));
        assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("goes on after step {step} of ")));
        reference.assert_same(&sae.path(&run), signal);
        // A run that is done stays as it is.
        sae.done(&format!("train --resume {run} -q"));
        reference.assert_same(&sae.path(&run), "resumed after its end");
    }
}

#[test]
#[cfg(unix)]
fn a_second_signal_ends_a_run_at_once() {
    let sae = Sae::new();
    // A step takes many seconds.
    let process = sae.spawn("train --backend naive --model.d_hid 40000 --train.max_steps 2 --out run -q");
    wait_until("a handler", || catches(&process, 2) && catches(&process, 15));
    send(&process, "-TERM");
    std::thread::sleep(Duration::from_millis(50));
    send(&process, "-INT");
    let (output, text) = ended(process);
    assert_eq!((output.status.code(), text.as_str()), (Some(130), ""));
    assert!(checkpoints(&sae.path("run")).is_empty());
}

#[test]
fn a_second_run_in_the_same_folder_is_refused() {
    let sae = Sae::new();
    let mut process = sae.spawn(&format!("train {RUN} --train.max_steps 0 --train.epochs 100000 --out run -q"));
    wait_until("a checkpoint", || !checkpoints(&sae.path("run")).is_empty());
    let told = format!("process {} is training here", process.id());
    sae.refused("train --resume run", &["--resume run", &told]);
    sae.refused("train --out run", &["--out run", "this folder is not empty", "--resume"]);
    process.kill().unwrap();
    process.wait().unwrap();
    // The lock went with the process.
    sae.refused("train --resume run --model.d_hid 5", &["model.d_hid was 24 and is 5"]);
}

#[test]
fn a_loss_that_is_not_finite_names_step_and_rows_and_keeps_the_last_checkpoint() {
    let sae = Sae::new();
    // One value so large that its square is not an f32: the epoch's order decides in which batch it is.
    let rows: Vec<String> =
        (0..40).map(|r| if r == 17 { "3e20,1".to_owned() } else { format!("{}.5,1", r % 7) }).collect();
    sae.write("data.csv", (rows.join("\n") + "\n").as_bytes());
    let line = "train --data data.csv --data.preprocess none --model.output identity --model.d_hid 2 --data.test 0 \
                --data.validation 0 --train.batch 4 --train.checkpoint_steps 1 --optimizer.kind sgd --seed 4 --out run -q";
    let output = sae.run(line);
    let text = String::from_utf8_lossy(&output.stderr);
    let error = text.lines().last().unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(error.starts_with("error: step ") && error.contains("expected a finite number"), "{text}");
    let rows = error.split("rows ").nth(1).unwrap().split(')').next().unwrap();
    assert!(rows.split(", ").any(|row| row == "17") && rows.split(", ").count() == 4, "{text}");
    let step: u64 = error["error: step ".len()..].split(' ').next().unwrap().parse().unwrap();
    match step {
        1 => assert!(error.contains("there was no checkpoint yet")),
        _ => assert!(
            error.contains(&format!("the last good checkpoint is run/checkpoints/step-{:010}", step - 1)),
            "{text}"
        ),
    }
    assert!(!sae.path("run/model.safetensors").exists());
}

#[test]
fn changed_settings_and_data_are_named_and_refused_or_forced() {
    let sae = Sae::new();
    let rows: String = (0..50).map(|r| format!("{},{},{}\n", r % 7, r % 5, r % 3)).collect();
    sae.write("data.csv", rows.as_bytes());
    sae.done("train --data data.csv --model.d_hid 2 --train.max_steps 3 --out run -q");
    let reference = crate::run::Result::of(&sae.path("run"));
    sae.refused("train --resume run --optimizer.lr 0.01", &["optimizer.lr was 0.001 and is 0.01", "--force"]);
    sae.refused("train --resume run --seed 1 --train.batch 8", &["seed was 0 and is 1; train.batch was 256 and is 8"]);
    sae.refused("train --resume run --model.d_hid 3 --force", &["cannot be forced"]);
    let config = std::fs::read_to_string(sae.path("run/config.toml")).unwrap();
    sae.write("run/config.toml", config.replace("rho = 0.05", "rho = 0.06").as_bytes());
    sae.refused("train --resume run", &["sparsity.rho was 0.05 and is 0.06"]);
    sae.write("run/config.toml", config.as_bytes());
    // Another place for the same data, another number of threads: nothing a result depends on.
    sae.write("moved.csv", rows.as_bytes());
    sae.done("train --resume run --data moved.csv --threads 1 --train.keep 1 -q");
    reference.assert_same(&sae.path("run"), "moved data");
    sae.write("moved.csv", rows.replacen('6', "5", 1).as_bytes());
    let told = ["moved.csv is 50 x 3 with hash ", "and was 50 x 3 with hash ", "--force"];
    sae.refused("train --resume run", &told);
    sae.done("train --resume run --train.max_steps 5 --force -q");
    assert_eq!(crate::run::Result::of(&sae.path("run")).steps(), 5);
    sae.write("moved.csv", b"1,2\n3,4\n5,6\n7,8\n");
    refused("shape", &sae.run("train --resume run --force"), &["cannot be forced"]);
}

#[test]
fn a_longer_run_can_be_had_from_one_that_is_done() {
    let sae = Sae::new();
    let reference = sae.reference("--model.d_hid 9 --train.epochs 7");
    sae.done("train --model.d_hid 9 --train.epochs 7 --train.max_steps 11 --out run -q");
    sae.done("train --resume run --train.max_steps 0 --force -q");
    reference.assert_same(&sae.path("run"), "11 steps, then the rest");
}

#[test]
fn a_folder_has_as_many_checkpoints_as_it_should_and_nothing_else() {
    let sae = Sae::new();
    sae.done("train --model.d_hid 3 --train.max_steps 10 --train.checkpoint_steps 4 --train.keep 3 --out run -q");
    let expected = ["step-0000000004.safetensors", "step-0000000008.safetensors", "step-0000000010.safetensors"];
    assert_eq!(names(&sae.path("run/checkpoints")), expected);
    sae.done("train --model.d_hid 3 --train.max_steps 10 --train.checkpoint_steps 4 --train.keep 1 --out one -q");
    assert_eq!(names(&sae.path("one/checkpoints")), expected[2..]);
}
