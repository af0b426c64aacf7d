//! Whether a model fits in memory, asked before anything is allocated.

use crate::error::{Error, Result};

/// Bytes of an element.
const F32: u128 = size_of::<f32>() as u128;

/// Bytes a training step holds: weights, the transposed decoder, `moments` tensors beside each weight matrix (what the
/// optimiser keeps; a gradient that is stored) and `batch` samples with their activations and errors.
pub fn step_bytes(d_in: usize, d_hid: usize, batch: usize, moments: usize) -> u128 {
    let (d_in, d_hid, batch) = (d_in as u128, d_hid as u128, batch as u128);
    let matrix = d_in.saturating_mul(d_hid);
    let weights = matrix.saturating_mul(3 + 2 * moments as u128);
    let samples = batch.saturating_mul(2 * (d_in + d_hid));
    weights.saturating_add(samples).saturating_mul(F32)
}

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
        assert_eq!(step_bytes(3, 2, 4, 1), 4 * (5 * 6 + 4 * 2 * 5));
        require("model.d_hid", "a step", 1).unwrap();
        if available().is_some() {
            let bytes = step_bytes(1 << 28, 1 << 28, 1 << 28, 2);
            let error = require("model.d_hid", "a step", bytes).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().starts_with("model.d_hid: a step needs "), "{error}");
        }
        assert!(step_bytes(usize::MAX, usize::MAX, usize::MAX, 2) > u128::from(u64::MAX));
    }
}
