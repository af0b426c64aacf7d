//! `machine.txt`: what the results were taken on, and with which versions.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use sae_kernels::{Isa, openblas_config};

use crate::Args;
use crate::cblas::Cblas;
use crate::frameworks::versions;

/// The file's name.
pub(crate) const FILE: &str = "machine.txt";

/// The other libraries whose versions are recorded.
const CRATES: [&str; 7] = ["faer", "private-gemm-x86", "gemm", "gemmkit", "matrixmultiply", "openblas-src", "rayon"];

/// A line of a command's output, where there is such a command.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The commit that is checked out, marked where files differ from it.
pub(crate) fn commit() -> String {
    let Some(commit) = output("git", &["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    // Results are written while parts are measured: they are no change of the program.
    let changes = output("git", &["status", "--porcelain", "--untracked-files=no", "--", ":!results"]);
    if changes.is_some_and(|changes| !changes.is_empty()) { format!("{commit}+changes") } else { commit }
}

/// The day, in UTC.
pub(crate) fn date() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_secs());
    let (year, month, day) = civil((seconds / 86_400) as i64);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar: whole 400-year cycles first, in
/// years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (400 * cycle + year + i64::from(month < 3), month, day)
}

/// The processor's name, with its family and model where it has such: some processors of one name differ by these alone.
fn processor() -> String {
    let name = sae_harness::measure::processor();
    match sae_harness::measure::family_and_model() {
        Some((family, model)) => format!("{name}, family {family}, model {model}"),
        None => name,
    }
}

/// The same as a folder's name.
pub(crate) fn slug() -> String {
    slug_of(&processor())
}

fn slug_of(processor: &str) -> String {
    let processor = processor.replace(", family ", " family").replace(", model ", " model");
    let mut slug = String::new();
    for c in processor.chars() {
        match c.is_ascii_alphanumeric() {
            true => slug.push(c.to_ascii_lowercase()),
            false if !slug.ends_with('-') => slug.push('-'),
            false => {}
        }
    }
    slug.trim_matches('-').to_owned()
}

/// The first processor's caches, where the system lists them.
fn caches() -> Vec<String> {
    let read = |index: usize, what: &str| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{what}");
        fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    };
    (0..8)
        .filter_map(|i| {
            let (level, kind, size) = (read(i, "level")?, read(i, "type")?, read(i, "size")?);
            let shared = read(i, "shared_cpu_list").map_or_else(String::new, |cpus| format!(", of processors {cpus}"));
            Some(format!("L{level} {}: {size}{shared}", kind.to_lowercase()))
        })
        .collect()
}

/// The version of a crate in the lock file this was built with.
fn version(name: &str) -> Option<&'static str> {
    let lock = include_str!("../../Cargo.lock");
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

/// All of it. Of libraries and frameworks that take no part now, what an earlier part left in the folder.
///
/// # Errors
/// Where a library cannot be loaded.
pub(crate) fn describe(commit: &str, args: &Args, folder: &Path) -> Result<String> {
    let old = fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    let kept = |kind: &str| -> Vec<String> {
        old.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(": ")).map(str::to_owned).collect()
    };
    let mut cblas = args.cblas.iter().map(|path| Ok(Cblas::load(path)?.1)).collect::<Result<Vec<_>>>()?;
    if cblas.is_empty() {
        cblas = kept("cblas");
    }
    let python = args.python.as_deref().map_or_else(|| kept("python"), versions);
    let mut text = String::new();
    let mut line = |name: &str, value: &str| writeln!(text, "{name}: {value}").expect("a String takes it");
    line("date", &date());
    line("commit", commit);
    line("processor", &processor());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    line("cores", &cores.to_string());
    for cache in caches() {
        line("cache", &cache);
    }
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if let Some(total) = memory.lines().find_map(|l| l.strip_prefix("MemTotal:")) {
        line("memory", total.trim());
    }
    if let Ok(release) = fs::read_to_string("/proc/sys/kernel/osrelease") {
        line("system", &format!("{} {}", std::env::consts::OS, release.trim()));
    }
    let isas: Vec<_> = Isa::available().into_iter().map(Isa::name).collect();
    line("instruction sets", &isas.join(", "));
    for rustc in output("rustc", &["-vV"]).unwrap_or_default().lines().filter(|l| !l.is_empty()) {
        line("compiler", rustc);
    }
    for name in CRATES {
        if let Some(version) = version(name) {
            line("crate", &format!("{name} {version}"));
        }
    }
    if let Some(config) = openblas_config() {
        line("openblas", config.trim());
    }
    for library in cblas {
        line("cblas", &library);
    }
    for version in python {
        line("python", &version);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(-1), (1969, 12, 31));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_777), (2026, 11, 20));
    }

    #[test]
    fn processors_of_one_name_have_folders_of_their_own() {
        assert_eq!(slug_of("AMD EPYC, family 25, model 17"), "amd-epyc-family25-model17");
        assert_eq!(slug_of("Intel(R) Xeon(R) CPU @ 2.10GHz"), "intel-r-xeon-r-cpu-2-10ghz");
    }

    #[test]
    fn every_recorded_crate_has_a_version() {
        for name in CRATES {
            assert!(version(name).is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit())), "{name}");
        }
    }
}
