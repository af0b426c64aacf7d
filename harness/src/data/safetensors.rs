//! `.safetensors` as a data set: eight bytes with the length of a JSON header, the header, the tensors.
//!
//! Source: the format's description in the documentation of the crate `safetensors`.

use std::io::Read;

use safetensors::tensor::{Dtype, Metadata};

use super::element::{self, Element, Kind};
use super::shards::Place;
use super::source::Source;
use super::{Dataset, Shape, shown};
use crate::error::{Error, Result, excerpt, nearest, one_line};

/// Bytes of the header's length at the start of a file.
pub(crate) const LENGTH_BYTES: u64 = 8;
/// The longest header: a hundred thousand tensors fit in it.
pub(crate) const LONGEST_HEADER: u64 = 4 << 20;

/// Loads the tensor `key`; without one, `X`, else the only one that can be a set. Labels are the tensor `y`, where there
/// is one of whole numbers, a label a row.
pub(super) fn load(mut source: Source, key: Option<&str>) -> Result<Dataset> {
    let short_name = source.short_name();
    let (start, header) = open(&mut source)?;
    let file = source.name.clone();
    let wanted = choose(&header, key, &file)?;
    let name = if key.is_some() { format!("{short_name}:{wanted}") } else { short_name };

    let tensor = tensor(&header, &wanted, start, &file)?;
    let shown_name = format!("{file}:{}", excerpt(&wanted));
    let shape = Shape::new(&tensor.dims, false, tensor.element.size(), &shown_name)?;
    let data = tensor.element.read_f32(&mut tensor.bytes(&mut source)?, &shape.array, &shown_name)?;
    let mut set = shape.dataset(name, data);
    if let Some(labels) = header.info("y").filter(|_| wanted != "y").and(self::tensor(&header, "y", start, &file).ok())
        && (labels.dims == [set.rows as u64] || labels.dims == [set.rows as u64, 1])
    {
        let shown_name = format!("{file}:y");
        set.labels = labels.element.read_labels(&mut labels.bytes(&mut source)?, set.rows, &shown_name)?;
    }
    Ok(set)
}

/// Where the tensor is that [`load`] takes.
pub(super) fn place(source: &mut Source, key: Option<&str>) -> Result<Place> {
    let (start, header) = open(source)?;
    let file = source.name.clone();
    let wanted = choose(&header, key, &file)?;
    let Tensor { element, dims, offset, .. } = tensor(&header, &wanted, start, &file)?;
    let shape = Shape::new(&dims, false, element.size(), &format!("{file}:{}", excerpt(&wanted)))?;
    Ok(Place { shape, element, offset })
}

/// Where the data begin, and the header, held against the file's length.
fn open(source: &mut Source) -> Result<(u64, Metadata)> {
    let (file, len) = (source.name.clone(), source.len);
    let wrong = |found: String, expected: &str| Error::input(&file, found, expected);
    let mut head = [0; LENGTH_BYTES as usize];
    let reader = source.start()?;
    if element::fill(reader, &mut head).map_err(|e| element::unreadable(&file, &e))? < head.len() {
        let found = if len == 0 { "the file is empty".to_owned() } else { format!("it has {len} bytes") };
        return Err(wrong(found, "a safetensors file, of at least 8"));
    }
    let room = len - LENGTH_BYTES;
    let length = check_header_length(u64::from_le_bytes(head), room)
        .map_err(|expected| wrong(format!("its header claims {} bytes", u64::from_le_bytes(head)), &expected))?;
    let mut text = vec![0; length];
    if element::fill(reader, &mut text).map_err(|e| element::unreadable(&file, &e))? < length {
        return Err(wrong("it ends inside the header".to_owned(), "a whole file"));
    }
    let broken = |e: serde_json::Error| wrong(format!("its header is broken ({})", one_line(&e.to_string())), HEADER);
    crate::json::check(&text).map_err(broken)?;
    let header: Metadata = serde_json::from_slice(&text).map_err(broken)?;
    let (start, claimed) = (LENGTH_BYTES + length as u64, header.data_len() as u64);
    if claimed != room - length as u64 {
        let found = format!("its tensors take {claimed} bytes, and {} follow the header", room - length as u64);
        return Err(wrong(found, "a header that fits the data"));
    }
    Ok((start, header))
}

const HEADER: &str = "a JSON object of tensors that lie one behind the other";

/// A header's length that fits the `room` bytes behind it; else what would.
pub(crate) fn check_header_length(length: u64, room: u64) -> Result<usize, String> {
    if length > room {
        return Err(format!("at most the {room} bytes that follow it"));
    }
    if length > LONGEST_HEADER {
        return Err(format!("at most {LONGEST_HEADER} bytes"));
    }
    Ok(length as usize)
}

/// The name of the tensor to take.
fn choose(header: &Metadata, key: Option<&str>, file: &str) -> Result<String> {
    let names = header.offset_keys();
    if let Some(wanted) = key.or(header.info("X").map(|_| "X")) {
        if header.info(wanted).is_some() {
            return Ok(wanted.to_owned());
        }
        return Err(Error::Setting {
            place: file.to_owned(),
            found: format!("no tensor `{}`", excerpt(wanted)),
            expected: format!("one of: {}", super::some(names.iter().map(String::as_str))),
            nearest: nearest(wanted, names.iter().map(String::as_str)).map(excerpt),
        });
    }
    let can_be = |name: &&String| header.info(name).is_some_and(|t| t.shape.len() >= 2 && element(t.dtype).is_some());
    let candidates: Vec<&String> = names.iter().filter(can_be).collect();
    match candidates[..] {
        [only] => Ok(only.clone()),
        [] => {
            let found = format!(
                "none of its tensors ({}) has two dimensions of numbers",
                super::some(names.iter().map(String::as_str))
            );
            Err(Error::input(file, found, "a tensor [rows, columns]"))
        }
        _ => {
            let found = format!("it has {} tensors of two dimensions or more", candidates.len());
            let some = super::some(candidates.iter().map(|name| name.as_str()));
            Err(Error::input(file, found, format!("the name of one behind the file's, {file}:NAME, of {some}")))
        }
    }
}

/// Where a tensor is in the file, and what.
struct Tensor {
    element: Element,
    dims: Vec<u64>,
    offset: u64,
    len: u64,
}

impl Tensor {
    /// Its bytes and no others.
    fn bytes<'a, 'b>(&self, source: &'a mut Source<'b>) -> Result<impl Read + use<'a, 'b>> {
        Ok(source.at(self.offset)?.take(self.len))
    }
}

fn tensor(header: &Metadata, name: &str, start: u64, file: &str) -> Result<Tensor> {
    let Some(info) = header.info(name) else {
        return Err(Error::input(file, format!("no tensor `{}`", excerpt(name)), "one of that name"));
    };
    let dims: Vec<u64> = info.shape.iter().map(|&d| d as u64).collect();
    let Some(element) = element(info.dtype) else {
        let found = format!("tensor {} has dtype {} and shape {}", excerpt(name), info.dtype, shown(&dims));
        return Err(Error::input(file, found, "BOOL, U8 to U64, I8 to I64, F16, BF16, F32 or F64"));
    };
    let (from, to) = info.data_offsets;
    Ok(Tensor { element, dims, offset: start + from as u64, len: (to - from) as u64 })
}

fn element(dtype: Dtype) -> Option<Element> {
    let kind = match dtype {
        Dtype::BOOL => Kind::Bool,
        Dtype::U8 => Kind::U8,
        Dtype::I8 => Kind::I8,
        Dtype::U16 => Kind::U16,
        Dtype::I16 => Kind::I16,
        Dtype::U32 => Kind::U32,
        Dtype::I32 => Kind::I32,
        Dtype::U64 => Kind::U64,
        Dtype::I64 => Kind::I64,
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::Bf16,
        Dtype::F32 => Kind::F32,
        Dtype::F64 => Kind::F64,
        _ => return None,
    };
    Some(Element { kind, big_endian: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::from_bytes;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    fn of(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            (*name, safetensors::tensor::TensorView::new(*dtype, shape.to_vec(), data).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    fn error(bytes: &[u8]) -> String {
        from_bytes("a.safetensors", bytes).unwrap_err().to_string()
    }

    #[test]
    fn the_only_matrix_is_read_with_its_labels() {
        let x = [1f32, 2., 3., 4.].map(f32::to_le_bytes).concat();
        let y = [7i64, 9].map(i64::to_le_bytes).concat();
        let bytes = of(&[("a", Dtype::F32, &[2, 2], &x), ("y", Dtype::I64, &[2], &y)]);
        let set = from_bytes("a.safetensors", &bytes).unwrap();
        assert_eq!((set.data, set.labels), (vec![1., 2., 3., 4.], Some(vec![7, 9])));
        let half = [0x3F80u16, 0xC000].map(u16::to_le_bytes).concat();
        let set = from_bytes("a.safetensors", &of(&[("a", Dtype::BF16, &[1, 2], &half)])).unwrap();
        assert_eq!(set.data, [1.0, -2.0]);
    }

    #[test]
    fn of_several_matrices_one_has_to_be_named() {
        let bytes = of(&[("a", Dtype::U8, &[1, 2], &[1, 2]), ("b", Dtype::U8, &[2, 1], &[3, 4])]);
        assert!(error(&bytes).contains("a.safetensors:NAME, of a, b"), "{}", error(&bytes));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        std::fs::write(&path, &bytes).unwrap();
        let load = |key: &str| crate::data::load(&format!("{}:{key}", path.display()), 0);
        assert_eq!(load("b").unwrap().data, [3.0, 4.0]);
        assert!(load("c").unwrap_err().to_string().contains("one of: a, b"));
        let x = of(&[("a", Dtype::U8, &[1, 2], &[1, 2]), ("X", Dtype::U8, &[2, 1], &[3, 4])]);
        assert_eq!(from_bytes("a.safetensors", &x).unwrap().data, [3.0, 4.0]);
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let tensor = |offsets: &str| format!(r#"{{"a":{{"dtype":"U8","shape":[1,2],"data_offsets":{offsets}}}}}"#);
        assert_eq!(from_bytes("a.safetensors", &file(&tensor("[0,2]"), &[1, 2])).unwrap().data, [1.0, 2.0]);
        for bytes in [
            file(&tensor("[0,2]"), &[1]),
            file(&tensor("[0,2]"), &[1, 2, 3]),
            file(&tensor("[1,3]"), &[1, 2, 3]),
            file(&tensor("[2,0]"), &[1, 2]),
            file(&tensor("[0,18446744073709551615]"), &[1, 2]),
            file(&tensor("[0,2]").replace("[1,2]", "[4294967296,4294967296,4294967296]"), &[1, 2]),
            file(&tensor("[0,2]").replace("U8", "F8_E4M3"), &[1, 2]),
            file(&tensor("[0,2]").replace("\"a\":", "\"a\":{},\"a\":"), &[1, 2]),
            file(&"[".repeat(100_000), &[]),
            file("{}", &[]),
            u64::MAX.to_le_bytes().to_vec(),
            [&(LONGEST_HEADER + 1).to_le_bytes()[..], &vec![b' '; LONGEST_HEADER as usize + 1]].concat(),
        ] {
            assert!(error(&bytes).starts_with("a.safetensors"), "{}", error(&bytes));
        }
    }
}
