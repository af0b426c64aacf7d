//! Numbers as the bytes they have in files.

/// The bytes of `values`, little-endian, a piece at a time.
pub(crate) fn in_pieces<E>(values: &[f32], mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut buffer = [0u8; 1 << 16];
    for piece in values.chunks(buffer.len() / 4) {
        let (to, _) = buffer.as_chunks_mut();
        for (to, value) in to.iter_mut().zip(piece) {
            *to = value.to_le_bytes();
        }
        take(&buffer[..4 * piece.len()])?;
    }
    Ok(())
}
