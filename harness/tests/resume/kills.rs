//! Runs that are killed at random moments, many of them while they save, and taken up again.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::common::Sae;

/// A checkpoint every other step, so that much of the time is spent in saves.
const RUN: &str = "--model.d_hid 40 --train.batch 64 --train.epochs 6 --train.checkpoint_steps 2 --optimizer.kind adam \
                   --sparsity.rho_hat ema --schedule.kind cosine --early_stopping.patience 50 --train.tensorboard false";

/// What the kills hit.
#[derive(Debug, Default)]
struct Count {
    kills: u64,
    /// Those that left the temporary file of a save behind.
    in_a_save: u64,
    /// Runs that came to their end, each after many kills, and were compared.
    runs: u64,
    faults: u64,
}

/// Whether a save of the run is under way, or was when it was killed.
fn saving(sae: &Sae, run: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(sae.path(run).join("checkpoints")) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(".tmp"))
}

/// Kills runs until `enough`, and compares each that comes to its end with one that was never stopped.
fn kill_runs(seed: u64, enough: impl Fn(&Count) -> bool) -> Count {
    let sae = Sae::new();
    let reference = sae.reference(RUN);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut below = move |n: u64| rng.next_u64() % n;
    let mut count = Count::default();
    while !enough(&count) {
        let run = format!("run{}", count.runs);
        let mut line = format!("train {RUN} --out {run} -q");
        loop {
            let mut process = sae.spawn(&line);
            let started = Instant::now();
            // Half of them a while after a save has begun, the others at any moment.
            let aim = below(2) == 0;
            let wait = Duration::from_micros(if aim { below(3_000) } else { below(250_000) });
            let ended = loop {
                if let Some(status) = process.try_wait().unwrap() {
                    break Some(status);
                }
                if aim && started.elapsed() > Duration::from_millis(20) && saving(&sae, &run) {
                    std::thread::sleep(wait);
                    break None;
                }
                if !aim && started.elapsed() >= wait {
                    break None;
                }
                std::thread::sleep(Duration::from_micros(100));
            };
            let Some(status) = ended else {
                process.kill().unwrap();
                process.wait().unwrap();
                count.kills += 1;
                count.in_a_save += u64::from(saving(&sae, &run));
                if sae.path(&run).join("config.toml").exists() {
                    line = format!("train --resume {run} -q");
                }
                if enough(&count) {
                    let output = sae.run(&line);
                    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                    break;
                }
                continue;
            };
            let text = std::io::read_to_string(process.stderr.take().unwrap()).unwrap();
            assert!(status.success(), "seed {seed}, after {} kills: {text}", count.kills);
            break;
        }
        reference.assert_same(&sae.path(&run), &format!("seed {seed}, {} kills", count.kills));
        std::fs::remove_dir_all(sae.path(&run)).unwrap();
        count.runs += 1;
    }
    count
}

#[test]
fn a_run_killed_at_random_moments_ends_as_one_never_stopped() {
    // On a machine with other work, few kills hit a save: then there are more of them.
    let count = kill_runs(1, |count| count.kills >= 36 && (count.in_a_save >= 5 || count.kills >= 360));
    eprintln!("{count:?}");
    assert!(count.in_a_save >= 5, "{count:?}");
}

/// `SOAK_KILLS` of them, at least 1,000 unless set, from `SOAK_SEED`; as long as `SOAK_SECONDS` allow.
#[test]
#[ignore = "the long proof: scripts/soak kills"]
fn a_thousand_kills() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (kills, seed, seconds) = (number("SOAK_KILLS", 1000), number("SOAK_SEED", 1), number("SOAK_SECONDS", 1500));
    let started = Instant::now();
    let mut total = Count::default();
    // Parts, so that a fault in one is counted and the others go on.
    for part in 0.. {
        if total.kills >= kills || started.elapsed().as_secs() >= seconds {
            break;
        }
        let outcome = std::panic::catch_unwind(|| kill_runs(seed << 32 | part, |count| count.kills >= 100));
        match outcome {
            Ok(count) => {
                total.kills += count.kills;
                total.in_a_save += count.in_a_save;
                total.runs += count.runs;
            }
            Err(_) => {
                total.kills += 1;
                total.faults += 1;
            }
        }
    }
    let Count { kills, in_a_save, runs, faults } = total;
    println!("soak: cases={kills} faults={faults} {in_a_save} kills inside a save; {runs} runs compared");
    assert_eq!(faults, 0);
}
