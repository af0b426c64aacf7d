//! NumPy's `.npy`: a header that is a Python literal, then the elements.
//!
//! `\x93NUMPY`, major and minor version, the header's length (`u16` in version 1, `u32` in 2 and 3, little-endian), the
//! header `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, then the data. Source: NumPy Enhancement
//! Proposal 1, and `numpy.lib.format` for versions 2 and 3.
//!
//! The header is read here, not by a crate, because a hostile one (nested a thousand deep, a shape whose product
//! overflows) has to end in an error.

use std::io::Read;

use super::element::{self, Element, Kind};
use super::shards::Place;
use super::source::Source;
use super::{Dataset, Shape, shown};
use crate::error::{Error, Result, excerpt};

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) element: Element,
    pub(super) fortran: bool,
    pub(super) dims: Vec<u64>,
    /// Bytes before the data.
    pub(super) len: u64,
}

/// Loads an array of numbers of at least two dimensions; the first counts the rows.
pub(super) fn load(mut source: Source) -> Result<Dataset> {
    let Place { shape, element, offset } = place(&mut source)?;
    let file = source.name.clone();
    let data = element.read_f32(source.at(offset)?, &shape.array, &file)?;
    Ok(shape.dataset(source.short_name(), data))
}

/// Where the array is, by the header.
pub(super) fn place(source: &mut Source) -> Result<Place> {
    let (file, len) = (source.name.clone(), source.len);
    let header = Header::read(source.start()?, &file)?;
    header.check_length(len, &file)?;
    Ok(Place { shape: header.shape(&file)?, element: header.element, offset: header.len })
}

impl Header {
    /// Reads the header and leaves `reader` at the data.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub(super) fn read(reader: &mut dyn Read, file: &str) -> Result<Self> {
        /// NumPy's own limit for headers it does not trust.
        const LONGEST: usize = 10_000;
        let short = || Error::input(file, "it ends inside the header", "a NumPy array");
        let mut take = |n: usize| -> Result<Vec<u8>> {
            let mut bytes = vec![0; n];
            let got = element::fill(reader, &mut bytes).map_err(|e| element::unreadable(file, &e))?;
            if got < n { Err(short()) } else { Ok(bytes) }
        };
        let start = take(8)?;
        if &start[..6] != b"\x93NUMPY" {
            let found = format!("the first bytes are {:02x?}", &start[..6]);
            return Err(Error::input(file, found, "a NumPy array, which begins with 93 NUMPY"));
        }
        let (text_len, before) = match start[6] {
            1 => (take(2)?.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)), 10),
            2 | 3 => (take(4)?.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)), 12),
            version => {
                return Err(Error::input(file, format!("the .npy version is {version}"), "1, 2 or 3"));
            }
        };
        if text_len > LONGEST {
            let found = format!("the header claims {text_len} bytes for itself");
            return Err(Error::input(file, found, format!("at most {LONGEST}")));
        }
        let text = take(text_len)?;
        let (element, fortran, dims) =
            Literal { text: &text, at: 0 }.header().map_err(|(found, expected)| Error::input(file, found, expected))?;
        Ok(Self { element, fortran, dims, len: before + text_len as u64 })
    }

    /// Holds what the header claims against the `actual` length of the whole file.
    pub(super) fn check_length(&self, actual: u64, file: &str) -> Result {
        let claimed = element::element_count(&self.dims, self.element.size())
            .and_then(|count| self.len.checked_add((count * self.element.size()) as u64))
            .ok_or_else(|| {
                Error::input(file, format!("its shape is {}", shown(&self.dims)), "a size that fits in memory")
            })?;
        if claimed == actual {
            return Ok(());
        }
        let found = format!("the header claims a file of {claimed} bytes, and it has {actual}");
        Err(Error::input(file, found, "a header that fits the data"))
    }

    /// The array as samples.
    pub(super) fn shape(&self, file: &str) -> Result<Shape> {
        Shape::new(&self.dims, self.fortran, self.element.size(), file)
    }
}

/// What was found and what was expected.
type Wrong = (String, &'static str);

/// A reader of the one kind of Python literal a header is: a flat dictionary. It does not recurse.
struct Literal<'a> {
    text: &'a [u8],
    at: usize,
}

impl Literal<'_> {
    fn header(&mut self) -> Result<(Element, bool, Vec<u64>), Wrong> {
        let (mut element, mut fortran, mut dims) = (None, None, None);
        self.expect(b'{')?;
        while !self.eat(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            let seen = match key.as_str() {
                "descr" => element.is_some(),
                "fortran_order" => fortran.is_some(),
                "shape" => dims.is_some(),
                _ => false,
            };
            if seen {
                return Err((format!("the header has the key {key} twice"), "each key once"));
            }
            match key.as_str() {
                "descr" => element = Some(self.descr()?),
                "fortran_order" => fortran = Some(self.boolean()?),
                "shape" => dims = Some(self.shape()?),
                _ => return Err(self.wrong("the keys descr, fortran_order and shape")),
            }
            if !self.eat(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.wrong("the end of the header"));
        }
        match (element, fortran, dims) {
            (Some(element), Some(fortran), Some(dims)) => Ok((element, fortran, dims)),
            _ => Err(("the header lacks a key".to_owned(), "descr, fortran_order and shape")),
        }
    }

    fn descr(&mut self) -> Result<Element, Wrong> {
        const EXPECTED: &str = "numbers: bool, int8 to int64, uint8 to uint64, float16, float32 or float64";
        if matches!(self.peek(), Some(b'[' | b'(')) {
            return Err(("it is a structured array".to_owned(), EXPECTED));
        }
        let descr = self.string()?;
        let (order, code) = match descr.as_bytes() {
            [order @ (b'<' | b'>' | b'|' | b'='), code @ ..] => (*order, code),
            code => (b'=', code),
        };
        let kind = match code {
            b"b1" | b"?" => Kind::Bool,
            b"u1" => Kind::U8,
            b"i1" => Kind::I8,
            b"u2" => Kind::U16,
            b"i2" => Kind::I16,
            b"u4" => Kind::U32,
            b"i4" => Kind::I32,
            b"u8" => Kind::U64,
            b"i8" => Kind::I64,
            b"f2" => Kind::F16,
            b"f4" => Kind::F32,
            b"f8" => Kind::F64,
            [b'O', ..] => return Err(("it holds pickled Python objects (dtype object)".to_owned(), EXPECTED)),
            [b'c', ..] => return Err((format!("it holds complex numbers (dtype {})", excerpt(&descr)), EXPECTED)),
            _ => return Err((format!("its dtype is `{}`", excerpt(&descr)), EXPECTED)),
        };
        // NumPy writes `<` or `>` wherever the order matters; `=` would be that of the writer's processor.
        Ok(Element { kind, big_endian: order == b'>' })
    }

    fn shape(&mut self) -> Result<Vec<u64>, Wrong> {
        self.expect(b'(')?;
        let mut dims = Vec::new();
        while !self.eat(b')') {
            self.skip_space();
            let digits: Vec<u8> = self.text[self.at..].iter().copied().take_while(u8::is_ascii_digit).collect();
            let number = std::str::from_utf8(&digits).ok().and_then(|d| d.parse().ok());
            dims.push(number.ok_or_else(|| self.wrong("a dimension below 2⁶⁴"))?);
            self.at += digits.len();
            // Python 2 wrote long integers so.
            self.eat(b'L');
            if !self.eat(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(dims)
    }

    fn boolean(&mut self) -> Result<bool, Wrong> {
        self.skip_space();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.wrong("True or False"))
    }

    fn string(&mut self) -> Result<String, Wrong> {
        let Some(quote @ (b'\'' | b'"')) = self.peek() else { return Err(self.wrong("a quoted string")) };
        let rest = &self.text[self.at + 1..];
        let Some(end) = rest.iter().position(|&b| b == quote) else { return Err(self.wrong("a closing quote")) };
        let text = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + 2;
        Ok(text)
    }

    fn skip_space(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Wrong> {
        let expected = match byte {
            b'{' => "`{`",
            b'}' => "`}`",
            b'(' => "`(`",
            b')' => "`)`",
            _ => "`:`",
        };
        if self.eat(byte) { Ok(()) } else { Err(self.wrong(expected)) }
    }

    fn wrong(&self, expected: &'static str) -> Wrong {
        let rest = String::from_utf8_lossy(&self.text[self.at.min(self.text.len())..]).into_owned();
        (format!("the header at byte {} is `{}`", self.at, excerpt(rest.trim_end())), expected)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use npyz::WriterBuilder;

    use super::*;

    /// A `.npy` file as an independent writer makes it.
    pub(crate) fn npy<T: npyz::AutoSerialize + npyz::Serialize + Copy>(
        shape: &[u64],
        values: &[T],
        order: npyz::Order,
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder = npyz::WriteOptions::new().default_dtype().shape(shape).order(order).writer(&mut bytes);
        let mut writer = builder.begin_nd().unwrap();
        writer.extend(values.iter().copied()).unwrap();
        writer.finish().unwrap();
        bytes
    }

    /// A version 1 file with the header text as given.
    pub(crate) fn with_header(text: &str, data: &[u8]) -> Vec<u8> {
        let len = u16::try_from(text.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &len[..], text.as_bytes(), data].concat()
    }

    fn read(bytes: &[u8]) -> Result<Dataset> {
        load(Source::of_bytes("test", bytes))
    }

    fn error(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_another_writer_wrote_is_read_back_in_every_type() {
        macro_rules! check {
            ($($t:ty),*) => {$(
                let values: Vec<$t> = (0..6u8).map(<$t>::from).collect();
                let set = read(&npy(&[2, 3], &values, npyz::Order::C)).unwrap();
                assert_eq!((set.rows, set.cols, set.data), (2, 3, vec![0., 1., 2., 3., 4., 5.]), stringify!($t));
            )*};
        }
        check!(u8, u16, i16, u32, i32, u64, i64, f32, f64);
    }

    #[test]
    fn big_endian_and_half_precision_are_read() {
        let text = "{'descr': '>f4', 'fortran_order': False, 'shape': (1, 2), }\n";
        let set = read(&with_header(text, &[1.5f32, -2.0].map(f32::to_be_bytes).concat())).unwrap();
        assert_eq!(set.data, [1.5, -2.0]);
        let text = "{'descr': '<f2', 'fortran_order': False, 'shape': (1L, 2L)}";
        assert_eq!(read(&with_header(text, &[0, 0x3C, 0, 0xC0])).unwrap().data, [1.0, -2.0]);
    }

    #[test]
    fn fortran_order_gives_the_same_array() {
        let stored: Vec<f32> = vec![0., 3., 1., 4., 2., 5.];
        let set = read(&npy(&[2, 3], &stored, npyz::Order::Fortran)).unwrap();
        assert_eq!(set.data, [0., 1., 2., 3., 4., 5.]);
        // Three dimensions: element (i, j, k) of [2, 3, 4] holds 100i + 10j + k.
        let mut stored = Vec::new();
        for k in 0..4u16 {
            for j in 0..3 {
                for i in 0..2 {
                    stored.push(100 * i + 10 * j + k);
                }
            }
        }
        let set = read(&npy(&[2, 3, 4], &stored, npyz::Order::Fortran)).unwrap();
        assert_eq!(set.image, Some((3, 4)));
        assert_eq!(set.row(1)[..5], [100., 101., 102., 103., 110.]);
    }

    #[test]
    fn a_file_cut_off_anywhere_or_followed_by_anything_is_refused() {
        let whole = npy(&[2, 3], &[1f32; 6], npyz::Order::C);
        read(&whole).unwrap();
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        assert!(error(&[&whole[..], &[0]].concat()).contains("claims a file of"));
    }

    #[test]
    fn lying_shapes_are_refused_before_memory_is_taken() {
        for shape in ["(1000000000000, 1000)", "(18446744073709551615, 18446744073709551615)", "(4, 4)"] {
            let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}");
            read(&with_header(&text, &[0; 8])).unwrap_err();
        }
        let mut huge = b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec();
        huge.extend([b' '; 64]);
        assert!(error(&huge).contains("for itself"));
    }

    #[test]
    fn dtypes_that_are_no_numbers_are_refused_by_name() {
        for (descr, found) in [
            ("'|O'", "pickled Python objects"),
            ("'O'", "pickled Python objects"),
            ("'<c8'", "complex"),
            ("'<U7'", "`<U7`"),
            ("'|S3'", "`|S3`"),
            ("[('a', '<f4'), ('b', '<f4')]", "structured"),
            ("'<M8[ns]'", "`<M8[ns]`"),
        ] {
            let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1, 1)}}");
            assert!(error(&with_header(&text, &[0; 8])).contains(found), "{descr}");
        }
    }

    #[test]
    fn malformed_headers_are_errors_and_deep_ones_do_not_recurse() {
        let deep = format!("{{'descr': {}", "(".repeat(9_000));
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "{'descr': '<f4'}",
            "{'descr': '<f4', 'fortran_order': 1, 'shape': (1, 1)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 1)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 1)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)} x",
            "{'other': '<f4', 'fortran_order': False, 'shape': (1, 1)}",
            "{'descr",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), 'descr': '<f4'}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), 'shape': (1, 1)}",
            &deep,
        ] {
            assert!(read(&with_header(text, &[0; 4])).is_err(), "{text}");
        }
    }

    #[test]
    fn nan_infinity_and_what_f32_cannot_hold_are_refused_with_their_place() {
        for bad in [f64::NAN, f64::INFINITY, 1e300] {
            let message = error(&npy(&[2, 2], &[0.0, 1.0, bad, 2.0], npyz::Order::C));
            assert!(message.contains("row 1, column 0"), "{message}");
        }
    }

    #[test]
    fn one_dimension_or_none_or_nothing_is_refused() {
        assert!(error(&npy(&[3], &[1f32; 3], npyz::Order::C)).contains("its shape is [3]"));
        assert!(error(&npy(&[], &[1f32], npyz::Order::C)).contains("two dimensions"));
        assert!(error(&npy::<f32>(&[0, 3], &[], npyz::Order::C)).contains("at least one row"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[b"\x93NUMPY\x01\x00\x60\x00", &bytes[..]].concat());
        }

        #[test]
        fn no_header_text_makes_it_panic(text in "[{}()\\[\\]'a-z0-9:, <>|L]{0,80}") {
            let _ = read(&with_header(&text, &[0; 4]));
            let _ = read(&with_header(&format!("{{'shape': ({text}"), &[0; 4]));
        }
    }
}
