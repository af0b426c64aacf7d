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
    Bf16,
    F32,
    F64,
}

impl Element {
    /// Bytes a value takes.
    pub(crate) fn size(self) -> usize {
        match self.kind {
            Kind::Bool | Kind::U8 | Kind::I8 => 1,
            Kind::U16 | Kind::I16 | Kind::F16 | Kind::Bf16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::U64 | Kind::I64 | Kind::F64 => 8,
        }
    }

    /// Whether values have a fractional part.
    pub(crate) fn is_float(self) -> bool {
        matches!(self.kind, Kind::F16 | Kind::Bf16 | Kind::F32 | Kind::F64)
    }

    /// Reads the `array` from `reader`, each value rounded to the nearest `f32`, and then the end of `reader`.
    ///
    /// Takes the memory of the result at once: the size of the array has to have been held against the data before.
    ///
    /// # Errors
    /// [`Error::Input`] naming `file` where the stream is shorter or longer or a value is not finite,
    /// [`Error::Memory`].
    pub(crate) fn read_f32(self, reader: &mut dyn Read, array: &Array, file: &str) -> Result<Vec<f32>> {
        let mut values = reserved(array.count, file)?;
        if array.fortran {
            values.resize(array.count, 0.0);
            let mut places = array.places();
            self.finite(reader, array, file, |value| {
                // One place a value: there are as many.
                if let Some(place) = places.next() {
                    values[place] = value;
                }
            })?;
        } else {
            self.finite(reader, array, file, |value| values.push(value))?;
        }
        Ok(values)
    }

    /// Reads what [`Element::read_f32`] reads and keeps nothing.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn check_f32(self, reader: &mut dyn Read, array: &Array, file: &str) -> Result {
        self.finite(reader, array, file, |_| ())
    }

    fn finite(self, reader: &mut dyn Read, array: &Array, file: &str, mut take: impl FnMut(f32)) -> Result {
        let mut stored = 0;
        self.each(reader, array.count, file, |kind, bits| {
            let value = to_f32(kind, bits);
            if !value.is_finite() {
                let place = if array.fortran { array.places().nth(stored).unwrap_or(stored) } else { stored };
                return Err(not_finite(file, value, place, array.cols));
            }
            stored += 1;
            take(value);
            Ok(())
        })
    }

    /// Reads `count` labels, and then the end of `reader`; `None` where one is not a whole number.
    ///
    /// # Errors
    /// As [`Element::read_f32`].
    pub(crate) fn read_labels(self, reader: &mut dyn Read, count: usize, file: &str) -> Result<Option<Vec<i64>>> {
        let float = |v: f64| (v.fract() == 0.0 && v.abs() < 9e15).then_some(v as i64);
        let mut labels: Option<Vec<i64>> = Some(reserved(count, file)?);
        self.each(reader, count, file, |kind, bits| {
            let label = match kind {
                Kind::F64 => float(f64::from_bits(bits)),
                Kind::F32 | Kind::F16 | Kind::Bf16 => float(to_f32(kind, bits).into()),
                Kind::U64 => i64::try_from(bits).ok(),
                _ => Some(integer(kind, bits)),
            };
            match (label, &mut labels) {
                (Some(label), Some(labels)) => labels.push(label),
                _ => labels = None,
            }
            Ok(())
        })?;
        Ok(labels)
    }

    /// Appends the values stored in `bytes`, each rounded to the nearest `f32`; bytes of a value that is cut off are left out.
    pub(crate) fn append_f32(self, bytes: &[u8], out: &mut Vec<f32>) {
        /// One loop for each kind, so that what is done to a value is known outside of it.
        fn each<const N: usize>(element: Element, bytes: &[u8], out: &mut Vec<f32>, value: impl Fn(u64) -> f32) {
            let bits = |stored: &[u8; N]| {
                let mut bits = [0; 8];
                bits[..N].copy_from_slice(stored);
                bits
            };
            let stored = bytes.as_chunks::<N>().0.iter();
            if element.big_endian {
                out.extend(stored.map(|b| value(u64::from_be_bytes(bits(b)) >> (8 * (8 - N)))));
            } else {
                out.extend(stored.map(|b| value(u64::from_le_bytes(bits(b)))));
            }
        }
        match self.kind {
            Kind::F32 => each::<4>(self, bytes, out, |bits| to_f32(Kind::F32, bits)),
            Kind::F64 => each::<8>(self, bytes, out, |bits| to_f32(Kind::F64, bits)),
            Kind::F16 => each::<2>(self, bytes, out, |bits| to_f32(Kind::F16, bits)),
            Kind::Bf16 => each::<2>(self, bytes, out, |bits| to_f32(Kind::Bf16, bits)),
            Kind::U8 => each::<1>(self, bytes, out, |bits| to_f32(Kind::U8, bits)),
            kind => match self.size() {
                1 => each::<1>(self, bytes, out, |bits| to_f32(kind, bits)),
                2 => each::<2>(self, bytes, out, |bits| to_f32(kind, bits)),
                4 => each::<4>(self, bytes, out, |bits| to_f32(kind, bits)),
                _ => each::<8>(self, bytes, out, |bits| to_f32(kind, bits)),
            },
        }
    }

    /// Hands `take` the bits of `count` values, one after the other, and then expects the end of `reader`.
    fn each(
        self,
        reader: &mut dyn Read,
        count: usize,
        file: &str,
        mut take: impl FnMut(Kind, u64) -> Result,
    ) -> Result {
        let size = self.size();
        let mut buffer = vec![0u8; (count.saturating_mul(size)).clamp(1, 1 << 16).next_multiple_of(size)];
        let mut left = count;
        while left > 0 {
            let now = left.min(buffer.len() / size);
            let chunk = &mut buffer[..now * size];
            let got = fill(reader, chunk).map_err(|e| unreadable(file, &e))?;
            if got < chunk.len() {
                let arrived = (count - left) as u128 * size as u128 + got as u128;
                let claimed = count as u128 * size as u128;
                let found = format!("the data end after {arrived} bytes");
                return Err(Error::input(file, found, format!("the {claimed} bytes its header claims")));
            }
            for bytes in chunk.chunks_exact(size) {
                let fold = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
                let bits = if self.big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
                take(self.kind, bits)?;
            }
            left -= now;
        }
        if fill(reader, &mut buffer[..1]).map_err(|e| unreadable(file, &e))? > 0 {
            let claimed = count as u128 * size as u128;
            let found = format!("there are bytes behind the {claimed} its header claims");
            return Err(Error::input(file, found, "the end of the file there"));
        }
        Ok(())
    }
}

/// How the values of a set lie in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Array {
    /// None is 0; their product is `count`.
    pub(crate) dims: Vec<usize>,
    pub(crate) count: usize,
    /// Values a row.
    pub(crate) cols: usize,
    /// The first dimension runs fastest, not the last.
    pub(crate) fortran: bool,
}

impl Array {
    /// Where the values of a Fortran array, in the order they are stored, go in an array whose last dimension runs fastest.
    fn places(&self) -> impl Iterator<Item = usize> {
        let dims = self.dims.clone();
        let mut strides = vec![1; dims.len()];
        for axis in (1..dims.len()).rev() {
            strides[axis - 1] = strides[axis] * dims[axis];
        }
        let (mut index, mut at) = (vec![0; dims.len()], 0);
        (0..self.count).map(move |_| {
            let place = at;
            for axis in 0..dims.len() {
                index[axis] += 1;
                at += strides[axis];
                if index[axis] < dims[axis] {
                    break;
                }
                at -= strides[axis] * dims[axis];
                index[axis] = 0;
            }
            place
        })
    }
}

/// An empty vector with room for `count` values.
pub(crate) fn reserved<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(count)
        .map_err(|_| Error::Memory { what: what.to_owned(), bytes: count as u128 * size_of::<T>() as u128 })?;
    Ok(values)
}

/// The refusal of a value, by its row and column, both counted from 0.
fn not_finite(file: &str, value: f32, place: usize, cols: usize) -> Error {
    let found = format!("row {}, column {} (counted from 0) is {value} as f32", place / cols, place % cols);
    Error::input(file, found, "a finite number")
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
fn most_inflated(compressed: u64) -> u64 {
    compressed.saturating_mul(1032)
}

/// Refuses a packed stream of `packed` bytes that claims to hold `claimed`, where it cannot, or where so much comes of
/// so little that it was made to fill memory.
pub(crate) fn check_inflation(packed: u64, claimed: u64, file: &str) -> Result {
    /// Up to here nothing is asked.
    const HARMLESS: u64 = 64 << 20;
    /// Images and activations shrink to a half or a tenth.
    const MOST: u64 = 100;
    if claimed > most_inflated(packed) {
        let found = format!("the header claims {claimed} bytes, and {packed} compressed bytes cannot hold them");
        return Err(Error::input(file, found, "a header that fits the data"));
    }
    if claimed > HARMLESS && claimed > packed.saturating_mul(MOST) {
        let found = format!("{packed} compressed bytes would become {claimed}");
        return Err(Error::input(file, found, format!("at most {MOST} times as many, or the file unpacked")));
    }
    Ok(())
}

fn to_f32(kind: Kind, bits: u64) -> f32 {
    match kind {
        Kind::F64 => f64::from_bits(bits) as f32,
        Kind::F32 => f32::from_bits(bits as u32),
        Kind::F16 => half(bits as u16),
        // The upper half of an f32.
        Kind::Bf16 => f32::from_bits((bits as u32) << 16),
        Kind::U64 => bits as f32,
        _ => integer(kind, bits) as f32,
    }
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

    fn array(dims: &[usize], fortran: bool) -> Array {
        Array { dims: dims.to_vec(), count: dims.iter().product(), cols: dims[1..].iter().product(), fortran }
    }

    fn one(kind: Kind, big_endian: bool, bytes: &[u8]) -> f32 {
        let element = Element { kind, big_endian };
        element.read_f32(&mut &bytes[..], &array(&[bytes.len() / element.size()], false), "test").unwrap()[0]
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
            (Kind::Bf16, vec![0xBF, 0xC0], -1.5),
            (Kind::F32, (-1.5f32).to_be_bytes().to_vec(), -1.5),
            (Kind::F64, 0.1f64.to_be_bytes().to_vec(), 0.1),
        ] {
            assert_eq!(one(kind, true, &bytes), value, "{kind:?}");
            let reversed: Vec<u8> = bytes.into_iter().rev().collect();
            assert_eq!(one(kind, false, &reversed), value, "{kind:?}");
        }
    }

    #[test]
    fn bytes_at_hand_become_what_a_stream_of_them_becomes() {
        let bytes: Vec<u8> = (0..64u8).map(|i| i.wrapping_mul(97) & 0x3F).collect();
        for kind in [
            Kind::Bool,
            Kind::U8,
            Kind::I8,
            Kind::U16,
            Kind::I16,
            Kind::U32,
            Kind::I32,
            Kind::U64,
            Kind::I64,
            Kind::F16,
            Kind::Bf16,
            Kind::F32,
            Kind::F64,
        ] {
            for big_endian in [false, true] {
                let element = Element { kind, big_endian };
                let expected =
                    element.read_f32(&mut &bytes[..], &array(&[64 / element.size()], false), "test").unwrap();
                let mut found = vec![7.0];
                element.append_f32(&bytes[..40], &mut found);
                element.append_f32(&bytes[40..], &mut found);
                assert_eq!(found[0], 7.0);
                assert_eq!(found[1..], expected, "{element:?}");
            }
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
    fn a_stream_that_is_shorter_or_longer_is_refused() {
        let element = Element { kind: Kind::F32, big_endian: false };
        for (len, told) in [(7, "end after 7 bytes"), (9, "behind the 8")] {
            let error = element.read_f32(&mut &vec![0u8; len][..], &array(&[2, 1], false), "test").unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        assert!(matches!(reserved::<f32>(usize::MAX / 8, "test"), Err(Error::Memory { .. })));
    }

    #[test]
    fn the_first_dimension_of_a_fortran_array_runs_fastest() {
        let element = Element { kind: Kind::U8, big_endian: false };
        let (i, j, k) = (2, 3, 4);
        let mut stored = Vec::new();
        for c in 0..k {
            for b in 0..j {
                stored.extend((0..i).map(|a| (100 * a + 10 * b + c) as u8));
            }
        }
        let read = element.read_f32(&mut &stored[..], &array(&[i, j, k], true), "test").unwrap();
        let expected =
            (0..i).flat_map(|a| (0..j).flat_map(move |b| (0..k).map(move |c| (100 * a + 10 * b + c) as f32)));
        assert_eq!(read, expected.collect::<Vec<_>>());
    }

    #[test]
    fn values_that_are_not_finite_are_named_by_row_and_column() {
        let element = Element { kind: Kind::F32, big_endian: false };
        let bytes = [0.0, 1.0, 2.0, 3.0, f32::NAN, 5.0].map(f32::to_le_bytes).concat();
        for (fortran, told) in [(false, "row 2, column 0"), (true, "row 1, column 1")] {
            let array = array(&[3, 2], fortran);
            let error = element.check_f32(&mut &bytes[..], &array, "test").unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("NaN"), "{error}");
        }
    }

    #[test]
    fn what_would_fill_memory_out_of_nothing_is_refused() {
        let check = |packed: u64, claimed: u64| check_inflation(packed, claimed, "test");
        assert!(check(1 << 10, 1 << 20).is_ok(), "most_inflated is 1032");
        assert!(check(1 << 10, 1 << 21).is_err());
        assert!(check(1 << 16, 1 << 26).is_ok(), "64 MiB are harmless");
        assert!(check(1 << 17, 1 << 27).unwrap_err().to_string().contains("would become"));
        assert!(check(10 << 20, 1000 << 20).is_ok() && check(u64::MAX, u64::MAX).is_ok());
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
