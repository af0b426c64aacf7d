//! Whether something fits in memory, asked before it is allocated.

use crate::error::{Error, Result};

/// Refuses what needs more than the machine has to spare; `place` is the setting that decides.
///
/// # Errors
/// [`Error::Setting`] with both numbers.
pub fn require(place: &str, what: &str, bytes: u128) -> Result {
    let refuse =
        |limit: String| Err(Error::setting(place, format!("{what} needs {} MiB of memory", bytes >> 20), limit));
    match available() {
        Some(available) if bytes > u128::from(available) => {
            refuse(format!("at most the {} MiB that are available", available >> 20))
        }
        // Where the system does not say, its allocator does.
        None if usize::try_from(bytes).is_ok_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok()) => Ok(()),
        None => refuse("what the system gives".to_owned()),
        Some(_) => Ok(()),
    }
}

/// Bytes of memory that can be had without swapping, where the system says.
pub fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_fit_is_refused_with_both_numbers() {
        require("model.d_hid", "a step", 1).unwrap();
        if available().is_some() {
            let error = require("model.d_hid", "a step", 1 << 80).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().starts_with("model.d_hid: a step needs "), "{error}");
            assert!(error.to_string().contains(" MiB that are available"), "{error}");
        }
    }
}
