//! The framing of TensorFlow's record files.
//!
//! ```text
//! u64   length of the data, little-endian like all of these
//! u32   masked CRC-32C of those eight bytes
//! data
//! u32   masked CRC-32C of the data
//! ```
//!
//! A masked checksum is the checksum rotated right by 15 bits, plus a constant: a checksum stored among the bytes that another
//! one covers would weaken that one.

use std::io::{self, Write};

/// Appends one record.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut impl Write, data: &[u8]) -> io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked_crc(&length).to_le_bytes())?;
    out.write_all(data)?;
    out.write_all(&masked_crc(data).to_le_bytes())
}

/// The records in `bytes`, which have to be whole.
///
/// # Errors
/// A line that says at which byte what was found.
pub fn read(bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut records = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let cut = || format!("byte {at}: the record is cut off, expected it whole");
        let (length, after) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let (crc, after) = after.split_first_chunk::<4>().ok_or_else(cut)?;
        if u32::from_le_bytes(*crc) != masked_crc(length) {
            return Err(format!("byte {at}: the length has another checksum, expected that of its bytes"));
        }
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut())?;
        let (data, after) = after.split_at_checked(length).ok_or_else(cut)?;
        let (crc, after) = after.split_first_chunk::<4>().ok_or_else(cut)?;
        if u32::from_le_bytes(*crc) != masked_crc(data) {
            return Err(format!("byte {at}: the data have another checksum, expected that of their bytes"));
        }
        records.push(data);
        rest = after;
    }
    Ok(records)
}

fn masked_crc(bytes: &[u8]) -> u32 {
    const DELTA: u32 = 0xa282_ead8;
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(DELTA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32c() {
        // The check value of the catalogue of parametrised CRC algorithms, and RFC 3720's 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        // Rotated and moved by hand: 0x8a9136aa >> 15 | << 17 = 0x6d551522, + 0xa282ead8.
        assert_eq!(masked_crc(&[0; 32]), 0x0fd7_fffa);
    }

    #[test]
    fn records_come_back_and_every_single_flipped_bit_or_cut_is_noticed() {
        let mut bytes = Vec::new();
        let data: [&[u8]; 3] = [b"first", b"", &[7; 300]];
        for record in data {
            write(&mut bytes, record).unwrap();
        }
        assert_eq!(read(&bytes).unwrap(), data);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&damaged).is_err(), "bit {bit}");
        }
        // A file may end between two records: 16 + 5 and 16 bytes.
        for cut in (1..bytes.len()).filter(|cut| ![21, 37].contains(cut)) {
            assert!(read(&bytes[..cut]).unwrap_err().contains("cut off"), "{cut}");
        }
    }
}
