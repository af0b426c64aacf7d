//! The machine: its instruction sets, its threads, its memory.

use sae_kernels::{ISA_VARIABLE, Isa};

use crate::error::{Error, Result, nearest, one_line};

/// The most threads taken for meant; that of the config key `threads`.
const MOST_THREADS: usize = 4096;

/// Refuses a `SAE_KERNELS_ISA` that is no instruction set or not this processor's.
///
/// # Errors
/// [`Error::Setting`].
pub(super) fn check_isa() -> Result {
    let refuse = |found: String, expected: Vec<&'static str>, nearest: Option<&str>| {
        let expected = format!("one of: {}", expected.join(", "));
        Err(Error::Setting { place: ISA_VARIABLE.to_owned(), found, expected, nearest: nearest.map(str::to_owned) })
    };
    let Some(text) = std::env::var_os(ISA_VARIABLE).filter(|text| !text.is_empty()) else { return Ok(()) };
    let text = one_line(&text.to_string_lossy());
    let names = Isa::ALL.map(Isa::name);
    match text.parse::<Isa>() {
        Err(_) => refuse(format!("unknown instruction set `{text}`"), names.to_vec(), nearest(&text, names)),
        Ok(isa) if !isa.is_available() => {
            let available = Isa::available().into_iter().map(Isa::name).collect();
            refuse(format!("{isa} is not available on this processor"), available, None)
        }
        Ok(_) => Ok(()),
    }
}

/// A pool of `threads` threads; 0 for as many as the machine has.
///
/// # Errors
/// [`Error::Setting`] for a number that cannot be meant, [`Error::Failed`] where the system refuses.
pub(super) fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    if threads > MOST_THREADS {
        return Err(Error::setting("--threads", threads.to_string(), format!("at most {MOST_THREADS} (0: all)")));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| Error::Failed(format!("{threads} threads cannot be started: {e}")))
}

/// The most memory this process has held at once, in MiB, where the system says.
pub(super) fn peak_rss_mib() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}
