//! What is read from outside, when it is hostile: refused by the command, in one line that says what, where and what was
//! expected; at no cost of memory; and the corpora of the fuzz targets, gone through once.

mod build;
#[path = "../../../fuzz/src/checks.rs"]
#[allow(unreachable_pub, reason = "a crate of their own, the fuzz targets, calls them by name")]
mod checks;
mod files;
mod saved;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use files::{File, hostile, right};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

/// Writes a file, or the two of a model, and says how the command is to read it.
fn arguments(file: &File, folder: &Path) -> Vec<String> {
    let path = folder.join(file.name);
    let shown = path.display().to_string();
    let out = folder.join("out").display().to_string();
    let line: &[&str] = match file.target {
        "model" | "preprocess" | "stack" => {
            let end = file.bytes.iter().position(|&b| b == 0).unwrap();
            let (text, tensors) = (&file.bytes[..end], &file.bytes[end + 1..]);
            std::fs::create_dir(&path).unwrap();
            let write = |name: &str, bytes: &[u8]| std::fs::write(path.join(name), bytes).unwrap();
            match file.target {
                "model" => {
                    write("cfg.json", text);
                    write("model.safetensors", tensors);
                }
                "stack" => {
                    write("stack.json", text);
                    write("stack.safetensors", tensors);
                }
                _ => {
                    let text = String::from_utf8_lossy(text);
                    write("cfg.json", build::CFG.replace(r#"{ "kind": "none" }"#, &text).as_bytes());
                    write("model.safetensors", &build::weights());
                    write("preprocess.safetensors", tensors);
                }
            }
            std::fs::write(folder.join("two.csv"), "1,2\n3,4\n").unwrap();
            &["encode", &shown, "--data", &folder.join("two.csv").display().to_string(), "--out", &format!("{out}.npy")]
        }
        "config" => {
            std::fs::write(&path, &file.bytes).unwrap();
            &["train", "--config", &shown, "--train.max_steps", "1", "-q", "--out", &out]
        }
        _ => {
            std::fs::write(&path, &file.bytes).unwrap();
            &[
                "train",
                "--data",
                &shown,
                "--data.validation",
                "0",
                "--data.test",
                "0",
                "--train.max_steps",
                "1",
                "-q",
                "--out",
                &out,
            ]
        }
    };
    line.iter().map(|&word| word.to_owned()).collect()
}

fn sae(arguments: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sae")).args(arguments).env("RAYON_NUM_THREADS", "1").output().unwrap()
}

/// How long a refusal may take, the process included.
const QUICK: Duration = Duration::from_millis(100);

fn timed(arguments: &[String]) -> (Duration, Output) {
    let start = Instant::now();
    let output = sae(arguments);
    (start.elapsed(), output)
}

#[test]
fn a_folder_of_hostile_files_is_refused_file_by_file_in_one_clear_line() {
    let files = hostile();
    assert!(files.len() >= 150, "{}", files.len());
    let mut slowest = (Duration::ZERO, "");
    let mut wrong = Vec::new();
    for file in &files {
        let folder = tempfile::tempdir().unwrap();
        let arguments = arguments(file, folder.path());
        let (mut took, output) = timed(&arguments);
        // What keeps the processor from this one is not the file's fault: the shortest of a few times counts.
        for _ in 0..4 {
            if took > QUICK {
                took = took.min(timed(&arguments).0);
            }
        }
        slowest = slowest.max((took, file.name));
        let text = String::from_utf8_lossy(&output.stderr);
        // Of settings and models, what has to be said names the place.
        let name = if matches!(file.target, "model" | "preprocess" | "stack" | "config") { "" } else { file.name };
        let fits = output.status.code() == Some(2)
            && output.stdout.is_empty()
            && text.starts_with("error: ")
            && text.lines().count() == 1
            && text.len() < 1000
            && text.contains(name)
            && text.contains(file.told)
            && text.matches(", expected ").count() <= 1
            && !folder.path().join("out").exists();
        if !fits {
            wrong.push(format!(
                "{} {}: {:?}, `{}` expected: {text}",
                file.target,
                file.name,
                output.status.code(),
                file.told
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n"));
    // A test has no timing; the part of `make soak` takes this line.
    let slow = u8::from(slowest.0 > QUICK);
    println!("soak: cases={} faults={slow} slowest_ms={} file={}", files.len(), slowest.0.as_millis(), slowest.1);
}

#[test]
fn right_files_are_taken() {
    for file in right() {
        let folder = tempfile::tempdir().unwrap();
        let output = sae(&arguments(&file, folder.path()));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {}: {text}", file.target, file.name);
    }
}

/// Each byte where a small file may end, and each with any of its bits wrong: no panic, and the checks of its target.
#[test]
fn small_files_cut_off_anywhere_or_with_any_bit_flipped_end_in_a_set_or_a_refusal() {
    let checks = BTreeMap::from(checks::ALL);
    for file in right() {
        let check = checks[file.target];
        let framed = |bytes: &[u8]| framed(file.target, bytes);
        for end in 0..=file.bytes.len() {
            check(&framed(&file.bytes[..end]));
        }
        for at in 0..file.bytes.len() {
            for bit in 0..8 {
                let mut bytes = file.bytes.clone();
                bytes[at] ^= 1 << bit;
                check(&framed(&bytes));
            }
        }
    }
}

/// A truncated file is never taken for a whole one, except where what is left is whole: of CSV and TOML, some lines.
#[test]
fn no_binary_file_is_taken_when_it_is_cut_off() {
    for file in right() {
        let whole = match file.target {
            "csv" | "config" | "model" | "preprocess" | "stack" => continue,
            // What follows the end of an image is not its own.
            "png" => file.bytes.windows(4).position(|w| w == b"IEND").unwrap() + 8,
            _ => file.bytes.len(),
        };
        // The second member of a gzip file may be missing only if the first is whole, and it is not.
        for end in 0..whole {
            let taken = sae_harness::data::from_bytes(file.name, &file.bytes[..end]);
            assert!(taken.is_err(), "{}: {end} of {} bytes", file.name, file.bytes.len());
        }
    }
}

#[test]
fn the_corpora_of_the_fuzz_targets_pass_their_checks() {
    for (target, check) in checks::ALL {
        let folder = corpus().join(target);
        let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 5, "{}: {}", folder.display(), files.len());
        for path in files {
            eprintln!("{}", path.display());
            check(&std::fs::read(&path).unwrap());
        }
    }
}

/// Some targets have a first byte that says how the rest is meant: even, as it is.
fn framed(target: &str, bytes: &[u8]) -> Vec<u8> {
    match target {
        "gzip" | "npz" => [&[0], bytes].concat(),
        _ => bytes.to_vec(),
    }
}

/// `cargo test -p sae-harness --test hostile -- --ignored` writes the seeds of the corpora anew.
#[test]
#[ignore = "writes files into fuzz/corpus"]
fn write_the_seeds() {
    const LONGEST: usize = 4096;
    for file in right().into_iter().chain(hostile()).filter(|file| file.bytes.len() <= LONGEST) {
        let folder = corpus().join(file.target);
        std::fs::create_dir_all(&folder).unwrap();
        let stem = file.name.replace('.', "-");
        let kind = if file.told.is_empty() { "right" } else { "wrong" };
        std::fs::write(folder.join(format!("{kind}-{stem}")), framed(file.target, &file.bytes)).unwrap();
        // And the content of what is packed, to be packed by the target.
        if file.told.is_empty() {
            let inside = match file.target {
                "idx" => Some(("gzip", 1)),
                "npy" => Some(("npz", 3)),
                _ => None,
            };
            if let Some((target, first)) = inside {
                let folder = corpus().join(target);
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join(format!("packed-{stem}")), [&[first], &file.bytes[..]].concat()).unwrap();
            }
        }
    }
}
