//! IDX, the format of MNIST, gzipped or not.
//!
//! Two zero bytes, a byte for the element type, a byte for the number of dimensions `k`, `k` big-endian `u32`
//! dimensions, then the elements, big-endian, last dimension fastest. Source: "The MNIST database", Y. LeCun,
//! C. Cortes, C. Burges.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::element::{self, Element, Kind};
use super::source::Source;
use super::{Dataset, Shape, shown};
use crate::error::{Error, Result};

/// An IDX stream behind its header, whose claims have been held against the stream's length.
struct Idx<'a> {
    element: Element,
    dims: Vec<u64>,
    gzipped: bool,
    data: Box<dyn Read + 'a>,
}

/// Loads an IDX file of at least two dimensions, and the labels beside it where there are any.
pub(super) fn load(mut source: Source) -> Result<Dataset> {
    let name = source.short_name();
    let mut set = samples(&mut source, name)?;
    if let Some(path) = labels_beside(&source.path) {
        set.labels = Some(labels(&mut Source::open(&path)?, set.rows, &source.name)?);
    }
    Ok(set)
}

/// The samples, one a first index.
pub(super) fn samples(source: &mut Source, name: String) -> Result<Dataset> {
    let file = source.name.clone();
    let mut stream = Idx::open(source)?;
    let shape = Shape::new(&stream.dims, false, stream.element.size(), &file)?;
    if stream.gzipped {
        stream.element.check_f32(&mut stream.data, &shape.array, &file)?;
        drop(stream);
        stream = Idx::open(source)?;
    }
    let data = stream.element.read_f32(&mut stream.data, &shape.array, &file)?;
    Ok(shape.dataset(name, data))
}

/// The labels of the `rows` samples of the file `images`.
pub(super) fn labels(source: &mut Source, rows: usize, images: &str) -> Result<Vec<i64>> {
    let file = source.name.clone();
    let mut stream = Idx::open(source)?;
    if stream.dims != [rows as u64] {
        let found = format!("the labels have shape {}", shown(&stream.dims));
        return Err(Error::input(&file, found, format!("[{rows}], a label for each row of {images}")));
    }
    let labels = stream.element.read_labels(&mut stream.data, rows, &file)?;
    labels.ok_or_else(|| Error::input(&file, "a label is not a whole number", "whole numbers"))
}

impl<'a> Idx<'a> {
    /// Reads the header, gzipped or not.
    fn open(source: &'a mut Source) -> Result<Self> {
        let (file, len) = (source.name.clone(), source.len);
        let file = file.as_str();
        let damaged = |e: std::io::Error| element::unreadable(file, &e);
        let mut start = [0u8; 2];
        let got = element::fill(source.start()?, &mut start).map_err(damaged)?;
        let gzipped = start[..got] == [0x1F, 0x8B];
        let reader = source.start()?;
        let mut data: Box<dyn Read + 'a> =
            if gzipped { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };

        let mut magic = [0u8; 4];
        if element::fill(&mut data, &mut magic).map_err(damaged)? < 4 {
            return Err(Error::input(file, "it ends inside the header", "an IDX file"));
        }
        let [0, 0, code, rank] = magic else {
            let found = format!("the first bytes are {magic:02x?}");
            return Err(Error::input(file, found, "an IDX file, which begins with 00 00"));
        };
        let kind = match code {
            0x08 => Kind::U8,
            0x09 => Kind::I8,
            0x0B => Kind::I16,
            0x0C => Kind::I32,
            0x0D => Kind::F32,
            0x0E => Kind::F64,
            _ => {
                let expected = "08 (u8), 09 (i8), 0b (i16), 0c (i32), 0d (f32) or 0e (f64)";
                return Err(Error::input(file, format!("the IDX element type is {code:02x}"), expected));
            }
        };
        let mut dims = vec![0u8; 4 * usize::from(rank)];
        if element::fill(&mut data, &mut dims).map_err(damaged)? < dims.len() {
            return Err(Error::input(file, "it ends inside the header", format!("{rank} dimensions")));
        }
        let dims: Vec<u64> =
            dims.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]).into()).collect();

        let element = Element { kind, big_endian: true };
        let header = 4 + 4 * u64::from(rank);
        let claimed = element::element_count(&dims, element.size())
            .map_or(u64::MAX, |count| header.saturating_add((count * element.size()) as u64));
        if gzipped {
            element::check_inflation(len, claimed, file)?;
        } else if claimed != len {
            let found = format!("the header claims a file of {claimed} bytes, and it has {len}");
            return Err(Error::input(file, found, "a header that fits the data"));
        }
        Ok(Self { element, dims, gzipped, data })
    }
}

/// The label file that belongs to an image file: `images` and `idx3` in its name become `labels` and `idx1`.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    if !name.contains("images") {
        return None;
    }
    let wanted = name.replace("images", "labels").replace("idx3", "idx1");
    let plain = wanted.strip_suffix(".gz").unwrap_or(&wanted);
    [wanted.clone(), plain.to_owned(), format!("{plain}.gz")]
        .into_iter()
        .map(|name| images.with_file_name(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::data::load;

    fn idx(code: u8, dims: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, code, dims.len() as u8];
        dims.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Dataset> {
        samples(&mut Source::of_bytes("test", bytes), "test".into())
    }

    #[test]
    fn plain_and_gzipped_files_read_alike() {
        let bytes = idx(8, &[2, 2, 3], &[0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255]);
        let set = read(&bytes).unwrap();
        assert_eq!((set.rows, set.cols, set.image), (2, 6, Some((2, 3))));
        assert_eq!(set.row(1), [250.0, 251.0, 252.0, 253.0, 254.0, 255.0]);
        assert_eq!(read(&gzip(&bytes)).unwrap(), set);
    }

    #[test]
    fn every_element_type_is_read() {
        for (code, data) in [
            (0x08, vec![1, 2]),
            (0x09, vec![1, 2]),
            (0x0B, [1i16, 2].map(i16::to_be_bytes).concat()),
            (0x0C, [1i32, 2].map(i32::to_be_bytes).concat()),
            (0x0D, [1f32, 2.0].map(f32::to_be_bytes).concat()),
            (0x0E, [1f64, 2.0].map(f64::to_be_bytes).concat()),
        ] {
            assert_eq!(read(&idx(code, &[1, 2], &data)).unwrap().data, [1.0, 2.0], "{code:x}");
        }
        assert!(read(&idx(0x0A, &[1, 2], &[1, 2])).is_err());
    }

    #[test]
    fn a_file_cut_off_anywhere_or_followed_by_anything_is_refused() {
        let plain = idx(8, &[2, 3], &[1, 2, 3, 4, 5, 6]);
        for whole in [plain.clone(), gzip(&plain)] {
            read(&whole).unwrap();
            for end in 0..whole.len() {
                assert!(read(&whole[..end]).is_err(), "{end} of {}", whole.len());
            }
            assert!(read(&[&whole[..], &[0]].concat()).is_err());
        }
        assert!(read(&gzip(&[&plain[..], &[0]].concat())).is_err());
    }

    #[test]
    fn a_lying_header_is_refused_before_memory_is_taken() {
        let huge = idx(8, &[u32::MAX, u32::MAX], &[1, 2, 3]);
        for bytes in [huge.clone(), gzip(&huge)] {
            assert!(read(&bytes).unwrap_err().to_string().contains("claims"));
        }
        // 255 dimensions of 2³²−1: the product overflows everything.
        let most = idx(8, &[u32::MAX; 255], &[]);
        assert!(read(&most).is_err() && read(&gzip(&most)).is_err());
    }

    #[test]
    fn a_gzip_bomb_is_left_after_the_bytes_its_header_claims() {
        // 16 MiB of zeros behind a header of 2×3 bytes.
        let bomb = gzip(&idx(8, &[2, 3], &vec![0; 16 << 20]));
        let error = read(&bomb).unwrap_err().to_string();
        assert!(error.contains("bytes behind the 6"), "{error}");
    }

    #[test]
    fn a_flipped_bit_in_a_gzipped_file_is_noticed() {
        let mut bytes = gzip(&idx(8, &[2, 3], &[1, 2, 3, 4, 5, 6]));
        let crc = bytes.len() - 8;
        bytes[crc] ^= 1;
        assert!(read(&bytes).is_err());
    }

    #[test]
    fn labels_beside_images_are_found_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("a-images.idx3-ubyte");
        std::fs::write(&images, idx(8, &[2, 1, 2], &[1, 2, 3, 4])).unwrap();
        let spec = images.to_str().unwrap();
        assert_eq!(load(spec, 0).unwrap().labels, None);
        let labels = folder.path().join("a-labels.idx1-ubyte.gz");
        std::fs::write(&labels, gzip(&idx(8, &[2], &[7, 9]))).unwrap();
        assert_eq!(load(spec, 0).unwrap().labels, Some(vec![7, 9]));
        std::fs::write(&labels, idx(8, &[3], &[7, 9, 1])).unwrap();
        let error = load(spec, 0).unwrap_err().to_string();
        assert!(error.contains("a-labels") && error.contains("[3]") && error.contains("[2]"), "{error}");
    }

    #[test]
    fn labels_given_as_data_are_refused() {
        let error = read(&idx(8, &[3], &[1, 2, 3])).unwrap_err().to_string();
        assert!(error.contains("at least two dimensions"), "{error}");
    }

    #[test]
    fn nan_is_refused_with_its_place() {
        let data = [0.0f32, f32::NAN].map(f32::to_be_bytes).concat();
        let error = read(&idx(0x0D, &[1, 2], &data)).unwrap_err().to_string();
        assert!(error.contains("row 0, column 1"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60), code in 8u8..15) {
            let _ = read(&bytes);
            let _ = read(&[&[0, 0, code], &bytes[..]].concat());
            let _ = read(&gzip(&[&[0, 0, code], &bytes[..]].concat()));
            let _ = read(&[&[0x1F, 0x8B, 8], &bytes[..]].concat());
        }
    }
}
