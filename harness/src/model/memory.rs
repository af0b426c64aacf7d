//! What a training step takes of memory.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_holds_weights_moments_and_samples() {
        assert_eq!(step_bytes(3, 2, 4, 1), 4 * (5 * 6 + 4 * 2 * 5));
        assert!(step_bytes(usize::MAX, usize::MAX, usize::MAX, 2) > u128::from(u64::MAX));
    }
}
