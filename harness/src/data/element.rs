//! The element types of binary array files, and how a stream of them becomes `f32`.

use std::io::{self, Read};

use crate::error::{Error, Result};

/// A number format: what a value is, and in which order its bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) kind: Kind,
    pub(crate) big_endian: bool,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

impl Element {
    /// Bytes a value takes.
    pub(crate) fn size(self) -> usize {
        match self.kind {
            Kind::Bool | Kind::U8 | Kind::I8 => 1,
            Kind::U16 | Kind::I16 | Kind::F16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::U64 | Kind::I64 | Kind::F64 => 8,
        }
    }

    /// Whether values have a fractional part.
    pub(crate) fn is_float(self) -> bool {
        matches!(self.kind, Kind::F16 | Kind::F32 | Kind::F64)
    }

    /// Reads `count` values, each rounded to the nearest `f32`, and then the end of `reader`.
    ///
    /// Memory grows with what really arrives, so a header that promises more than the stream holds costs nothing.
    ///
    /// # Errors
    /// [`Error::Input`] naming `file` where the stream is shorter or longer, [`Error::Memory`].
    pub(crate) fn read_f32(self, reader: &mut dyn Read, count: usize, file: &str) -> Result<Vec<f32>> {
        self.read(reader, count, file, |kind, bits| match kind {
            Kind::F64 => f64::from_bits(bits) as f32,
            Kind::F32 => f32::from_bits(bits as u32),
            Kind::F16 => half(bits as u16),
            Kind::U64 => bits as f32,
            _ => integer(kind, bits) as f32,
        })
    }

    /// Reads `count` labels, and then the end of `reader`; `None` where one is not a whole number.
    ///
    /// # Errors
    /// As [`Element::read_f32`].
    pub(crate) fn read_labels(self, reader: &mut dyn Read, count: usize, file: &str) -> Result<Option<Vec<i64>>> {
        let float = |v: f64| (v.fract() == 0.0 && v.abs() < 9e15).then_some(v as i64);
        let labels = self.read(reader, count, file, |kind, bits| match kind {
            Kind::F64 => float(f64::from_bits(bits)),
            Kind::F32 => float(f32::from_bits(bits as u32).into()),
            Kind::F16 => float(half(bits as u16).into()),
            Kind::U64 => i64::try_from(bits).ok(),
            _ => Some(integer(kind, bits)),
        })?;
        Ok(labels.into_iter().collect())
    }

    fn read<T>(
        self,
        reader: &mut dyn Read,
        count: usize,
        file: &str,
        convert: impl Fn(Kind, u64) -> T,
    ) -> Result<Vec<T>> {
        let size = self.size();
        let mut values: Vec<T> = Vec::new();
        let mut buffer = vec![0u8; 1 << 16];
        let mut left = count;
        while left > 0 {
            let take = left.min(buffer.len() / size);
            let chunk = &mut buffer[..take * size];
            let got = fill(reader, chunk).map_err(|e| unreadable(file, &e))?;
            if got < chunk.len() {
                let arrived = (count - left) as u128 * size as u128 + got as u128;
                let claimed = count as u128 * size as u128;
                let found = format!("the data end after {arrived} bytes");
                return Err(Error::input(file, found, format!("the {claimed} bytes its header claims")));
            }
            reserve(&mut values, take, count, file)?;
            values.extend(chunk.chunks_exact(size).map(|bytes| {
                let fold = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
                let bits = if self.big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
                convert(self.kind, bits)
            }));
            left -= take;
        }
        if fill(reader, &mut buffer[..1]).map_err(|e| unreadable(file, &e))? > 0 {
            let claimed = count as u128 * size as u128;
            let found = format!("there are bytes behind the {claimed} its header claims");
            return Err(Error::input(file, found, "the end of the file there"));
        }
        Ok(values)
    }
}

/// Makes room for `more` values of `total`, by doubling and never beyond `total`.
fn reserve<T>(values: &mut Vec<T>, more: usize, total: usize, file: &str) -> Result {
    if values.capacity() - values.len() < more {
        let target = values.capacity().saturating_mul(2).max(values.len() + more).min(total);
        values
            .try_reserve_exact(target - values.len())
            .map_err(|_| Error::Memory { what: file.to_owned(), bytes: target as u128 * size_of::<T>() as u128 })?;
    }
    Ok(())
}

/// Reads until `buffer` is full or the stream ends; the number of bytes read.
pub(crate) fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// A stream that breaks off or does not decompress.
pub(crate) fn unreadable(file: &str, error: &io::Error) -> Error {
    let found = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
        _ => format!("it is damaged ({})", crate::error::one_line(&error.to_string())),
    };
    Error::input(file, found, "a complete file")
}

/// The product of dimensions, where it and its size in bytes can be addressed.
pub(crate) fn element_count(dims: &[u64], size: usize) -> Option<usize> {
    let count = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim))?;
    let bytes = count.checked_mul(size.max(4) as u64)?;
    (bytes <= isize::MAX as u64).then_some(count as usize)
}

/// The largest size that `compressed` bytes of deflate can expand to.
///
/// A stored symbol costs at least 2 bits and yields at most 258 bytes (RFC 1951, §3.2.5), a factor of at most 1032.
pub(crate) fn most_inflated(compressed: u64) -> u64 {
    compressed.saturating_mul(1032)
}

/// The integer kinds, sign-extended; a bool is 0 or 1.
fn integer(kind: Kind, bits: u64) -> i64 {
    match kind {
        Kind::Bool => i64::from(bits != 0),
        Kind::I8 => i64::from(bits as u8 as i8),
        Kind::I16 => i64::from(bits as u16 as i16),
        Kind::I32 => i64::from(bits as u32 as i32),
        _ => bits as i64,
    }
}

/// IEEE 754 binary16, exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: Kind, big_endian: bool, bytes: &[u8]) -> f32 {
        let element = Element { kind, big_endian };
        element.read_f32(&mut &bytes[..], bytes.len() / element.size(), "test").unwrap()[0]
    }

    #[test]
    fn every_kind_is_read_in_both_byte_orders() {
        for (kind, bytes, value) in [
            (Kind::Bool, vec![1], 1.0),
            (Kind::U8, vec![200], 200.0),
            (Kind::I8, vec![0xFE], -2.0),
            (Kind::U16, vec![0xFF, 0xFE], 65534.0),
            (Kind::I16, vec![0xFF, 0xFE], -2.0),
            (Kind::U32, vec![0x80, 0, 0, 0], 2_147_483_648.0),
            (Kind::I32, vec![0xFF, 0xFF, 0xFF, 0xFE], -2.0),
            (Kind::U64, vec![0x80, 0, 0, 0, 0, 0, 0, 0], 9_223_372_036_854_775_808.0),
            (Kind::I64, (-3i64).to_be_bytes().to_vec(), -3.0),
            (Kind::F16, vec![0x3C, 0x01], 1.0009766),
            (Kind::F32, (-1.5f32).to_be_bytes().to_vec(), -1.5),
            (Kind::F64, 0.1f64.to_be_bytes().to_vec(), 0.1),
        ] {
            assert_eq!(one(kind, true, &bytes), value, "{kind:?}");
            let reversed: Vec<u8> = bytes.into_iter().rev().collect();
            assert_eq!(one(kind, false, &reversed), value, "{kind:?}");
        }
    }

    #[test]
    fn half_precision_covers_subnormals_and_extremes() {
        // 2⁻²⁴, the largest finite value, and the infinities of binary16.
        assert_eq!(half(0x0001), 2f32.powi(-24));
        assert_eq!(half(0x0400), 2f32.powi(-14));
        assert_eq!(half(0xFBFF), -65504.0);
        assert_eq!(half(0x7C00), f32::INFINITY);
        assert_eq!(half(0xFC00), f32::NEG_INFINITY);
        assert!(half(0x7C01).is_nan());
        assert!(half(0x8000).is_sign_negative() && half(0x8000) == 0.0);
    }

    #[test]
    fn a_promise_the_stream_does_not_keep_allocates_nothing() {
        let element = Element { kind: Kind::F32, big_endian: false };
        let error = element.read_f32(&mut &[0u8; 7][..], usize::MAX / 8, "test").unwrap_err();
        assert!(error.to_string().contains("end after 7 bytes"), "{error}");
    }

    #[test]
    fn fractions_and_huge_numbers_are_no_labels() {
        let element = Element { kind: Kind::F64, big_endian: false };
        let read = |v: f64| element.read_labels(&mut &v.to_le_bytes()[..], 1, "test").unwrap();
        assert_eq!(read(-4.0), Some(vec![-4]));
        for bad in [0.5, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(read(bad), None);
        }
    }

    #[test]
    fn sizes_that_overflow_are_none() {
        assert_eq!(element_count(&[3, 4], 8), Some(12));
        assert_eq!(element_count(&[u64::MAX, 2], 1), None);
        assert_eq!(element_count(&[1 << 62], 1), None);
        assert_eq!(element_count(&[0, u64::MAX], 8), Some(0));
    }
}
