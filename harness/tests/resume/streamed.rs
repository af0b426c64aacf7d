//! Runs over data that are not in memory together.

use std::io::Write;

use crate::common::Sae;
use crate::run::checkpoints;

/// Rows of 32 values in three files of two formats: 4.4 MiB as f32, streamed in windows of a few hundred KiB.
fn shards(sae: &Sae) {
    std::fs::create_dir(sae.path("acts")).unwrap();
    sae.write("acts/part-0.npy", &npy(0, 12_000));
    sae.write("acts/part-1.npy", &npy(1, 12_000));
    sae.write("acts/part-2.safetensors", &safetensors(2, 12_000));
}

/// Value `i` of a shard: a whole number that bf16 holds too.
fn value(shard: usize, i: usize) -> f32 {
    ((i * i + 13 * i + 101 * shard) % 251) as f32
}

fn npy(shard: usize, rows: usize) -> Vec<u8> {
    let values: Vec<u8> = (0..rows * 32).flat_map(|i| value(shard, i).to_le_bytes()).collect();
    [npy_header("<f4", &format!("({rows}, 32)")), values].concat()
}

fn npy_header(element: &str, shape: &str) -> Vec<u8> {
    let mut header = format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}");
    header.push_str(&" ".repeat(117 - header.len()));
    header.push('\n');
    [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes()].concat()
}

fn safetensors(shard: usize, rows: usize) -> Vec<u8> {
    let values: Vec<u8> =
        (0..rows * 32).flat_map(|i| ((value(shard, i).to_bits() >> 16) as u16).to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, vec![rows, 32], &values).unwrap();
    safetensors::serialize([("resid", view)], None).unwrap()
}

const RUN: &str = "--data acts --data.buffer_mib 4 --data.validation 0.02 --data.test 0.02 --model.d_hid 8 --train.batch 100 \
                   --train.epochs 3 --train.checkpoint_steps 40 --train.tensorboard false";

#[test]
fn a_streamed_run_killed_again_and_again_ends_as_one_never_stopped() {
    let sae = Sae::new();
    shards(&sae);
    let reference = sae.reference(RUN);
    assert!(reference.steps() == 3 * 346, "{}", reference.steps());
    let mut line = format!("train {RUN} --out run -q");
    let mut killed = 0;
    loop {
        let mut process = sae.spawn(&line);
        let before = checkpoints(&sae.path("run"));
        // At the second checkpoint that it writes itself, somewhere in a window.
        let ended = loop {
            if let Some(status) = process.try_wait().unwrap() {
                break Some(status);
            }
            let now = checkpoints(&sae.path("run"));
            if now.last() > before.last() && killed < 6 {
                break None;
            }
            std::thread::sleep(std::time::Duration::from_micros(300));
        };
        match ended {
            Some(status) => {
                assert!(status.success());
                break;
            }
            None => {
                process.kill().unwrap();
                process.wait().unwrap();
                killed += 1;
                line = "train --resume run -q".to_owned();
            }
        }
    }
    assert!(killed >= 3, "killed {killed} times");
    reference.assert_same(&sae.path("run"), "killed");
}

#[test]
fn a_streamed_run_says_how_it_streams_and_how_long_it_waited_and_knows_its_data() {
    let sae = Sae::new();
    shards(&sae);
    let output = sae.run(&format!("train {RUN} --train.max_steps 10 --out run"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("streamed: ") && text.contains(" windows of "), "{text}");
    let summary = String::from_utf8_lossy(&output.stdout);
    assert!(summary.contains(" s of them waiting for data, "), "{summary}");
    let log = std::fs::read_to_string(sae.path("run/metrics.jsonl")).unwrap();
    assert!(log.lines().all(|line| line.contains("\"stall_ms\":")), "{log}");
    // The same files by a pattern, and others.
    sae.done("train --resume run --data acts/part-* -q");
    sae.write("acts/part-1.npy", &npy(5, 12_000));
    let told = ["acts is 36000 x 32 with hash ", " and was 36000 x 32 with hash ", "--force"];
    sae.refused("train --resume run --data acts", &told);
    sae.refused("train --resume run --data acts --data.buffer_mib 5", &["data.buffer_mib was 4 and is 5"]);
    sae.write("acts/part-1.npy", &npy(1, 12_000)[..1000]);
    sae.refused("train --resume run --data acts", &["part-1.npy: the header claims"]);
    std::fs::remove_file(sae.path("acts/part-1.npy")).unwrap();
    sae.refused("train --resume run --data acts", &["acts is 24000 x 32 with hash "]);
}

#[test]
fn a_shard_that_lies_is_named_and_refused_before_the_first_step() {
    let sae = Sae::new();
    shards(&sae);
    let whole = npy(1, 12_000);
    let narrow = [npy_header("<f4", "(24000, 16)"), whole[128..].to_vec()].concat();
    let strings = [npy_header("<U4", "(12000, 32)"), whole[128..].to_vec()].concat();
    let mut fortran = whole.clone();
    let order = whole.windows(7).position(|bytes| bytes == b"False, ").unwrap();
    fortran[order..order + 7].copy_from_slice(b"True,  ");
    let mut nan = whole.clone();
    nan[128 + 4 * (32 * 11_000 + 7)..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut huge = whole.clone();
    huge[..128].copy_from_slice(&npy_header("<f4", "(288230376151711744, 32)"));
    let cases: [(&[u8], &str); 8] = [
        (&narrow, "part-1.npy: its rows have 16 columns, expected 32, as in acts/part-0.npy"),
        (&whole[..whole.len() - 1], "part-1.npy: the header claims"),
        (&[&whole[..], b"x"].concat(), "part-1.npy: the header claims"),
        (&strings, "part-1.npy: "),
        (&fortran, "part-1.npy: it is stored column by column (fortran_order)"),
        (&nan, "part-1.npy: row 11000, column 7 (counted from 0) is NaN"),
        (&huge, "part-1.npy: "),
        (b"", "part-1.npy: "),
    ];
    for (bytes, told) in cases {
        sae.write("acts/part-1.npy", bytes);
        sae.refused(&format!("train {RUN} --out run"), &[told]);
        assert!(!sae.path("run").exists(), "{told}");
    }
    sae.write("acts/part-1.npy", &whole);
    let good = safetensors(2, 12_000);
    for cut in [0, 7, 20, good.len() - 1] {
        sae.write("acts/part-2.safetensors", &good[..cut]);
        sae.refused(&format!("train {RUN} --out run"), &["part-2.safetensors: "]);
    }
    sae.write("acts/part-2.safetensors", &good);
    let of = |data: &str| format!("{} --out run", RUN.replace("--data acts", &format!("train --data {data}")));
    sae.refused(&of("acts/*.safetensors:other"), &["part-2.safetensors", "resid"]);
    sae.refused(&of("acts/nothing-*.npy"), &["nothing-*.npy: no file matches"]);
    sae.refused(&format!("train {RUN} --data.preprocess patches --out run"), &["data.preprocess: patches, expected "]);
}

/// What the system counts, with everything that a run does: the survey, training, evaluations, the report.
#[test]
fn a_file_many_times_the_limit_takes_no_more_memory_than_the_limit() {
    let sae = Sae::new();
    let write = |name: &str, rows: usize| {
        let mut file = std::io::BufWriter::new(std::fs::File::create(sae.path(name)).unwrap());
        file.write_all(&npy_header("<f4", &format!("({rows}, 256)"))).unwrap();
        (0..rows * 256).for_each(|i| file.write_all(&value(0, i).to_le_bytes()).unwrap());
    };
    const LIMIT: f64 = 12.0;
    write("small.npy", 750);
    // 122 MiB.
    write("large.npy", 125_000);
    let peak = |data: &str| {
        let line = format!(
            "train --data {data} --data.buffer_mib {LIMIT} --data.validation 0.005 --data.test 0.005 --model.d_hid 8 \
             --train.batch 500 --train.epochs 1 --out {data}.run"
        );
        let text = sae.done(&format!("{line} --json"));
        let summary: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        (summary["peak_rss_mib"].as_f64().unwrap(), summary["stall_seconds"].is_number())
    };
    let ((small, in_memory), (large, streamed)) = (peak("small.npy"), peak("large.npy"));
    assert!(!in_memory && streamed);
    // 750 rows of 256 are 0.7 MiB. A thread's stack and what its allocator keeps come on top.
    assert!(large - small <= LIMIT + 4.0, "{small} MiB for a small file, {large} MiB for a large one");
    assert!(large - small >= LIMIT / 3.0, "{small} {large}: the limit is made use of");
}
