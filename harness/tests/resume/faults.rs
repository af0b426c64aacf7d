//! Every call of a save that can fail, failing; every call of a run the last; and a file system that is full.
//!
//! `fault.c` is preloaded into the command and makes one call after the other fail. It is compiled here, on Linux and where
//! there is a C compiler.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sae_harness::checkpoint::Store;

use crate::common::Sae;
use crate::run::{Result, checkpoints};

/// Four saves: at steps 1 to 4.
const RUN: &str = "--model.d_hid 5 --train.max_steps 4 --train.checkpoint_steps 1 --threads 1 \
                   --train.tensorboard false";

/// What a call is made to do, as in `fault.c`.
const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EINTR: i32 = 4;
const EROFS: i32 = 30;
const SHORT_WRITE: i32 = -1;
const KILL_BEFORE: i32 = -2;
const KILL_WITHIN: i32 = -3;

/// Calls under some path, and one of them that fails.
struct Faults<'a> {
    sae: &'a Sae,
    shim: PathBuf,
    /// Part of the paths that count.
    path: &'a str,
}

impl<'a> Faults<'a> {
    /// Compiles the shim; `None`, with a message, where that cannot be done.
    fn new(sae: &'a Sae, path: &'a str) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            eprintln!("skipped: calls can be made to fail on Linux only");
            return None;
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resume/fault.c");
        let shim = sae.path("fault.so");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl");
        match cc.output() {
            Err(e) => {
                eprintln!("skipped: no C compiler ({e}); Debian: apt-get install gcc libc6-dev");
                None
            }
            Ok(output) if !output.status.success() => {
                panic!("fault.c does not compile: {}", String::from_utf8_lossy(&output.stderr))
            }
            Ok(_) => Some(Self { sae, shim, path }),
        }
    }

    /// Runs `line` with call `at` doing `kind`.
    fn run(&self, line: &str, at: usize, kind: i32) -> Output {
        let mut command = self.sae.command(line);
        command.env("LD_PRELOAD", &self.shim).env("FAULT_PATH", self.path);
        command.env("FAULT_AT", at.to_string()).env("FAULT_KIND", kind.to_string());
        command.output().unwrap()
    }

    /// The calls of `line` that count, where none fails.
    fn calls(&self, line: &str) -> Vec<String> {
        let log = self.sae.path("calls.log");
        let mut command = self.sae.command(line);
        command.env("LD_PRELOAD", &self.shim).env("FAULT_PATH", self.path).env("FAULT_LOG", &log);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(log).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

/// A run whose calls are to fail: what it ends in, how it is begun, and its calls.
struct Victim<'a> {
    faults: Faults<'a>,
    reference: Result,
    line: String,
    calls: Vec<String>,
}

impl<'a> Victim<'a> {
    /// With the calls under `path`; `None`, with a message, where they cannot be made to fail.
    fn new(sae: &'a Sae, path: &'a str) -> Option<Self> {
        let faults = Faults::new(sae, path)?;
        let reference = sae.reference(RUN);
        let line = format!("train {RUN} --out run -q");
        let calls = faults.calls(&line);
        std::fs::remove_dir_all(sae.path("run")).unwrap();
        Some(Self { faults, reference, line, calls })
    }
}

/// Goes on with what is in `run`, or begins where there is no run yet, and compares its end.
fn finish(sae: &Sae, reference: &Result, run: &str, what: &str) {
    let there = sae.path(run).join("config.toml").exists();
    let output = match there {
        true => sae.run(&format!("train --resume {run} -q")),
        false => sae.run(&format!("train {RUN} --out {run} -q")),
    };
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    reference.assert_same(&sae.path(run), what);
    let left: Vec<_> = ["", "checkpoints"]
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(sae.path(run).join(folder)).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{what}: {left:?}");
    std::fs::remove_dir_all(sae.path(run)).unwrap();
}

#[test]
fn a_save_brings_the_file_to_disk_before_it_has_its_name_and_the_name_before_an_older_one_goes() {
    let sae = Sae::new();
    let Some(faults) = Faults::new(&sae, "run/checkpoints") else { return };
    let calls = faults.calls(&format!("train {RUN} --out run -q"));
    let mut saves = calls.split_inclusive(|call| call.starts_with("opendir"));
    // The third save is the first that has a checkpoint to remove.
    let third: Vec<&str> = calls
        .iter()
        .skip_while(|call| !call.contains("step-0000000003"))
        .take_while(|call| !call.contains("step-0000000004"))
        .map(|call| call.split(' ').next().unwrap())
        .collect();
    let mut short = third.clone();
    short.dedup();
    assert_eq!(short, ["open", "write", "fsync", "rename", "fsync", "opendir", "unlink"], "{calls:?}");
    assert!(saves.next().unwrap()[0].starts_with("mkdir "), "{calls:?}");
    let removed = calls.iter().filter(|call| call.starts_with("unlink ") && !call.contains(".tmp")).count();
    assert_eq!((removed, checkpoints(&sae.path("run")).len()), (2, 2), "{calls:?}");
}

#[test]
fn every_call_of_a_save_that_fails_leaves_a_checkpoint_that_is_whole_and_a_run_that_goes_on() {
    let sae = Sae::new();
    let Some(Victim { faults, reference, line, calls }) = Victim::new(&sae, "run/checkpoints") else { return };
    assert!(calls.len() > 25, "{calls:?}");
    for kind in [ENOSPC, EIO, EINTR, EROFS, SHORT_WRITE] {
        for (at, call) in calls.iter().enumerate() {
            let what = format!("kind {kind}, call {}: {call}", at + 1);
            if kind == SHORT_WRITE && !call.starts_with("write ") {
                continue;
            }
            let output = faults.run(&line, at + 1, kind);
            let text = String::from_utf8_lossy(&output.stderr);
            // A checkpoint that cannot be written is told, and ends nothing.
            assert!(output.status.success(), "{what}: {text}");
            let harmless =
                kind == EINTR || kind == SHORT_WRITE || call.starts_with("unlink") || call.starts_with("opendir");
            assert_eq!(text.contains("warning: no checkpoint of step "), !harmless, "{what}: {text}");
            reference.assert_same(&sae.path("run"), &what);
            let found = Store::new(&sae.path("run"), 2).newest().unwrap().unwrap_or_else(|| panic!("{what}: none"));
            assert_eq!(found.unusable, Vec::<String>::new(), "{what}");
            assert!(found.checkpoint.step >= 3, "{what}");
            finish(&sae, &reference, "run", &what);
        }
    }
}

#[test]
fn a_run_killed_at_any_of_its_calls_ends_as_one_never_stopped() {
    let sae = Sae::new();
    let Some(Victim { faults, reference, line, calls }) = Victim::new(&sae, "run") else { return };
    for kind in [KILL_BEFORE, KILL_WITHIN] {
        for (at, call) in calls.iter().enumerate() {
            if kind == KILL_WITHIN && !call.starts_with("write ") {
                continue;
            }
            let what = format!("kind {kind}, call {} of {}: {call}", at + 1, calls.len());
            let output = faults.run(&line, at + 1, kind);
            assert_eq!(output.status.code(), None, "{what}: killed");
            finish(&sae, &reference, "run", &what);
        }
    }
}

#[test]
fn a_disk_that_is_full_at_any_call_of_a_run_is_told_in_one_line_and_the_run_goes_on_later() {
    let sae = Sae::new();
    let Some(Victim { faults, reference, line, calls }) = Victim::new(&sae, "run") else { return };
    for (at, call) in calls.iter().enumerate() {
        let what = format!("call {} of {}: {call}", at + 1, calls.len());
        let output = faults.run(&line, at + 1, ENOSPC);
        let text = String::from_utf8_lossy(&output.stderr);
        let told = text.lines().filter(|line| line.starts_with("error: ") || line.starts_with("warning: no ")).count();
        let harmless = ["unlink ", "opendir "].iter().any(|name| call.starts_with(name)) || output.status.success();
        assert!(harmless || told == 1, "{what}: {text}");
        assert!(!text.contains("panicked"), "{what}: {text}");
        finish(&sae, &reference, "run", &what);
    }
}

#[test]
fn a_small_file_system_that_fills_up_loses_nothing() {
    const RUN: &str = "--model.d_hid 100 --train.max_steps 40 --train.checkpoint_steps 5";
    let sae = Sae::new();
    let reference = sae.reference(RUN);
    let disk = sae.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |size: &str, more: &str| {
        let options = format!("{more}size={size}");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&disk);
        command.output().is_ok_and(|output| output.status.success())
    };
    if !mount("16k", "") {
        eprintln!("skipped: a tmpfs can be mounted by root only");
        return;
    }
    let mounted = Mounted(disk.clone());
    let mut seen = (0, 0);
    // A checkpoint has some 155 KiB, two are kept and a third is written beside them; the log and the rest need 60 KiB.
    for kib in (12..=480).step_by(52) {
        assert!(mount(&format!("{kib}k"), "remount,"));
        let output = sae.run(&format!("train {RUN} --out disk/run -q"));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("panicked"), "{kib} KiB: {text}");
        if !output.status.success() {
            let last = text.lines().last().unwrap();
            assert!(last.starts_with("error: ") && matches!(output.status.code(), Some(1 | 2)), "{kib} KiB: {text}");
            seen.0 += 1;
        }
        seen.1 += text.matches("warning: no checkpoint of step ").count();
        assert!(mount("4m", "remount,"));
        let there = sae.path("disk/run/config.toml").exists();
        match there {
            true => sae.done("train --resume disk/run -q"),
            false => sae.done(&format!("train {RUN} --out disk/run -q")),
        };
        reference.assert_same(&sae.path("disk/run"), &format!("{kib} KiB"));
        std::fs::remove_dir_all(sae.path("disk/run")).unwrap();
    }
    drop(mounted);
    assert!(seen.0 > 0 && seen.1 > 0, "the sizes were too large to fill up: {seen:?}");
}

/// A file system that goes with this.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
