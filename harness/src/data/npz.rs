//! NumPy's `.npz`: a zip archive of `.npy` arrays, stored or deflated.

use std::io::Read;

use zip::ZipArchive;
use zip::result::ZipError;

use super::element;
use super::npy::Header;
use super::source::{Bytes, Source};
use super::{Dataset, shown, some};
use crate::error::{Error, Result, excerpt, nearest, one_line};

/// Arrays are few; a list of more would be memory's, not a user's.
const MOST_ENTRIES: u16 = 10_000;

/// Loads the array `key`; without one, `X`, else the first of at least two dimensions with a fractional type, else the
/// first of at least two dimensions. Labels are the array `y`, where there is one and it holds whole numbers; beside an
/// explicit `key`, only where its length fits.
pub(super) fn load(mut source: Source, key: Option<&str>) -> Result<Dataset> {
    let short_name = source.short_name();
    let mut npz = Npz::open(&mut source)?;
    let wanted = match key {
        Some(key) => key.to_owned(),
        None => npz.choose()?,
    };
    let index = npz.position(&wanted).ok_or_else(|| npz.no_array(&wanted))?;
    let shape = npz.read(index, |header, reader, shown| {
        let shape = header.shape(shown)?;
        header.element.check_f32(reader, &shape.array, shown)?;
        Ok(shape)
    })?;
    let data = npz.read(index, |header, reader, shown| header.element.read_f32(reader, &shape.array, shown))?;
    let mut set = shape.dataset(if key.is_some() { format!("{short_name}:{wanted}") } else { short_name }, data);

    if let Some(index) = npz.position("y").filter(|_| wanted != "y")
        // Class names and the like are no labels, and no reason to refuse the samples.
        && npz.read(index, |header, _, _| Ok(header)).is_ok()
    {
        let rows = set.rows;
        set.labels = npz.read(index, |header, reader, shown_name| {
            if header.dims == [rows as u64] || header.dims == [rows as u64, 1] {
                return header.element.read_labels(reader, rows, shown_name);
            }
            if key.is_some() {
                return Ok(None);
            }
            let found = format!("the labels have shape {}", shown(&header.dims));
            Err(Error::input(shown_name, found, format!("[{rows}], a label for each row of {wanted}")))
        })?;
    }
    Ok(set)
}

/// An open archive.
struct Npz<'a> {
    archive: ZipArchive<&'a mut dyn Bytes>,
    /// Its name for messages, and its length.
    file: String,
    len: u64,
    /// The names and archive positions of the arrays, in the order of the archive.
    arrays: Vec<(String, usize)>,
}

impl<'a> Npz<'a> {
    fn open(source: &'a mut Source<'_>) -> Result<Self> {
        let (file, len) = (source.name.clone(), source.len);
        let claimed = claimed_entries(source)?;
        let reader: &'a mut dyn Bytes = source.start()?;
        let archive = ZipArchive::new(reader).map_err(|e| damaged(&file, &e))?;
        if !claimed.contains(&archive.len()) {
            let found = format!("its entries have {} names, and it claims {claimed:?}", archive.len());
            return Err(Error::input(&file, found, "a name for each entry"));
        }
        let arrays: Vec<(String, usize)> = (0..archive.len())
            .filter_map(|index| Some((archive.name_for_index(index)?.ok()?.strip_suffix(".npy")?.to_owned(), index)))
            .collect();
        if arrays.is_empty() {
            return Err(Error::input(&file, "there is no array in it", "a .npz archive of .npy arrays"));
        }
        Ok(Self { archive, file, len, arrays })
    }

    /// Where an array is in `arrays`.
    fn position(&self, name: &str) -> Option<usize> {
        self.arrays.iter().position(|(n, _)| n == name)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.iter().map(|(name, _)| name.as_str())
    }

    fn no_array(&self, wanted: &str) -> Error {
        Error::Setting {
            place: self.file.clone(),
            found: format!("no array `{}`", excerpt(wanted)),
            expected: format!("one of: {}", some(self.names())),
            nearest: nearest(wanted, self.names()).map(excerpt),
        }
    }

    /// The array to take where none was named.
    fn choose(&mut self) -> Result<String> {
        let mut whole_numbers = None;
        if self.position("X").is_some() {
            return Ok("X".to_owned());
        }
        for index in 0..self.arrays.len() {
            // An array that cannot be read (text, objects) is no candidate.
            match self.read(index, |header, _, _| Ok(header)) {
                Ok(header) if header.dims.len() >= 2 && header.element.is_float() => {
                    return Ok(self.arrays[index].0.clone());
                }
                Ok(header) if header.dims.len() >= 2 => {
                    whole_numbers = whole_numbers.or_else(|| Some(self.arrays[index].0.clone()));
                }
                _ => {}
            }
        }
        whole_numbers.ok_or_else(|| {
            let found = format!("none of its arrays ({}) has two dimensions of numbers", some(self.names()));
            Error::input(&self.file, found, "an array [rows, columns]")
        })
    }

    /// Opens the array at `index`, holds its header against its length in the archive, and hands it to `use_it` with its
    /// name.
    fn read<T>(&mut self, index: usize, use_it: impl FnOnce(Header, &mut dyn Read, &str) -> Result<T>) -> Result<T> {
        let (array, at) = &self.arrays[index];
        let shown = format!("{}:{}", self.file, excerpt(array));
        let mut entry = self.archive.by_index(*at).map_err(|e| damaged(&shown, &e))?;
        let size = entry.size();
        // There cannot be more packed bytes than the file has, whatever is claimed.
        element::check_inflation(entry.compressed_size().min(self.len), size, &shown)?;
        let header = Header::read(&mut entry, &shown)?;
        header.check_length(size, &shown)?;
        use_it(header, &mut entry, &shown)
    }
}

/// The numbers of entries that the archive's end may claim, none above [`MOST_ENTRIES`]: asked before a list of them is
/// made.
///
/// The end is the record `PK 05 06`, 22 bytes and a comment; its number of entries is at byte 10 (APPNOTE.TXT 4.3.16).
/// Bytes that look like it can stand before it.
fn claimed_entries(source: &mut Source) -> Result<Vec<usize>> {
    const END: usize = 22;
    const LONGEST_COMMENT: u64 = 65_535;
    let from = source.len.saturating_sub(END as u64 + LONGEST_COMMENT);
    let mut tail = Vec::new();
    let read = source.at(from)?.take(END as u64 + LONGEST_COMMENT).read_to_end(&mut tail);
    read.map_err(|e| element::unreadable(&source.name, &e))?;
    let ends = tail.windows(END).filter(|end| end.starts_with(b"PK\x05\x06"));
    let claimed: Vec<u16> = ends.map(|end| u16::from_le_bytes([end[10], end[11]])).collect();
    match claimed.iter().find(|&&entries| entries > MOST_ENTRIES) {
        None => Ok(claimed.into_iter().map(usize::from).collect()),
        Some(entries) => {
            let found = format!("the archive claims {entries} entries");
            Err(Error::input(&source.name, found, format!("at most {MOST_ENTRIES}")))
        }
    }
}

fn damaged(file: &str, error: &ZipError) -> Error {
    Error::input(file, one_line(&error.to_string()), "an undamaged .npz archive, stored or deflated")
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};
    use std::path::Path;

    use npyz::Order::C;
    use zip::CompressionMethod;
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::super::npy::tests::{npy, with_header};
    use super::*;
    use crate::data::load;

    fn npz(arrays: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in arrays {
            writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    /// Writes `bytes` to a file and loads it, or the array `key` of it.
    fn read(bytes: &[u8], key: &str) -> Result<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        std::fs::write(&path, bytes).unwrap();
        load(&format!("{}{key}", path.display()), 0)
    }

    fn arrays() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("names.npy", with_header("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2)}", &[0; 9])),
            ("counts.npy", npy(&[2, 2], &[9u8; 4], C)),
            ("first.npy", npy(&[2, 2], &[1f32, 2., 3., 4.], C)),
            ("second.npy", npy(&[3, 1], &[5f64, 6., 7.], C)),
            ("y.npy", npy(&[2], &[1i64, 0], C)),
        ]
    }

    #[test]
    fn stored_and_deflated_archives_give_the_first_array_of_fractions_and_its_labels() {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let set = read(&npz(&arrays(), method), "").unwrap();
            assert_eq!((set.data, set.labels), (vec![1., 2., 3., 4.], Some(vec![1, 0])));
            assert_eq!(set.name, "a.npz");
        }
    }

    #[test]
    fn x_goes_before_others_and_a_key_before_x() {
        let mut arrays = arrays();
        arrays.push(("X.npy", npy(&[2, 1], &[8f32, 9.], C)));
        let bytes = npz(&arrays, CompressionMethod::Deflated);
        assert_eq!(read(&bytes, "").unwrap().data, [8., 9.]);
        let set = read(&bytes, ":second").unwrap();
        assert_eq!((set.data, set.labels, set.name), (vec![5., 6., 7.], None, "a.npz:second".to_owned()));
        assert_eq!(read(&bytes, ":counts").unwrap().data, [9.; 4]);
        assert_eq!(read(&bytes[..], ":counts").unwrap().labels, Some(vec![1, 0]));
        let error = read(&bytes, ":secnod").unwrap_err();
        assert!(error.to_string().contains("did you mean `second`"), "{error}");
        assert!(read(&bytes, ":names").unwrap_err().to_string().contains("pickled"));
    }

    #[test]
    fn labels_of_another_length_are_refused() {
        let arrays = [("X.npy", npy(&[2, 1], &[8f32, 9.], C)), ("y.npy", npy(&[3], &[8u8; 3], C))];
        let error = read(&npz(&arrays, CompressionMethod::Stored), "").unwrap_err().to_string();
        assert!(error.contains("a.npz:y") && error.contains("[3]") && error.contains("[2]"), "{error}");
    }

    #[test]
    fn labels_that_are_no_numbers_are_left_out() {
        let x = npy(&[2, 1], &[8f32, 9.], C);
        let names = with_header("{'descr': '<U1', 'fortran_order': False, 'shape': (2,)}", &[0; 8]);
        for y in [names, npy(&[2], &[0.5f32, 1.0], C)] {
            let set = read(&npz(&[("X.npy", x.clone()), ("y.npy", y)], CompressionMethod::Stored), "").unwrap();
            assert_eq!((set.rows, set.labels), (2, None));
        }
    }

    #[test]
    fn no_flipped_byte_makes_it_panic_or_change_the_samples() {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let whole = npz(&[("X.npy", npy(&[2, 2], &[1f32, 2., 3., 4.], C))], method);
            let expected = read(&whole, "").unwrap().data;
            for at in 0..whole.len() {
                for bits in [0x01, 0x80, 0xFF] {
                    let mut bytes = whole.clone();
                    bytes[at] ^= bits;
                    // A flip in a date or a version is harmless; one in the data is caught by the checksum.
                    if let Ok(set) = read(&bytes, "") {
                        assert_eq!(set.data, expected, "byte {at} of {}", whole.len());
                    }
                }
            }
        }
    }

    #[test]
    fn an_archive_cut_off_anywhere_is_refused() {
        let arrays = [("X.npy", npy(&[2, 1], &[8f32, 9.], C))];
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let whole = npz(&arrays, method);
            for end in 0..whole.len() {
                assert!(read(&whole[..end], "").is_err(), "{end} of {}", whole.len());
            }
        }
    }

    #[test]
    fn damaged_data_are_noticed_by_their_checksum() {
        let mut bytes = npz(&[("X.npy", npy(&[1, 64], &[8f32; 64], C))], CompressionMethod::Stored);
        // Inside the array: its 256 bytes begin before byte 256 of the archive and end after it.
        bytes[256] ^= 1;
        assert!(read(&bytes, "").is_err());
    }

    #[test]
    fn an_array_longer_or_shorter_than_its_header_says_is_refused() {
        let mut long = npy(&[2, 1], &[8f32, 9.], C);
        long.extend([0; 1 << 20]);
        let bomb = npz(&[("X.npy", long)], CompressionMethod::Deflated);
        assert!(read(&bomb, "").unwrap_err().to_string().contains("claims a file of"));
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}";
        let short = npz(&[("X.npy", with_header(text, &[0; 8]))], CompressionMethod::Deflated);
        assert!(read(&short, "").unwrap_err().to_string().contains("claims a file of"));
    }

    #[test]
    fn archives_without_a_matrix_are_refused() {
        assert!(read(&npz(&[], CompressionMethod::Stored), "").is_err());
        assert!(read(&npz(&[("a.txt", b"x".to_vec())], CompressionMethod::Stored), "").is_err());
        let vector = npz(&[("a.npy", npy(&[3], &[1f32; 3], C))], CompressionMethod::Stored);
        assert!(read(&vector, "").unwrap_err().to_string().contains("none of its arrays (a)"));
    }

    #[test]
    fn published_archives_are_read() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
        // The second is stored in Fortran order.
        for (name, rows, cols) in [("activations/resnet18-cifar10.npz", 5263, 512), ("anomaly/optdigits.npz", 5216, 64)]
        {
            let path = folder.join(name);
            if !path.is_file() {
                eprintln!("skipped: {} is not there", path.display());
                continue;
            }
            let set = load(path.to_str().unwrap(), 0).unwrap();
            assert_eq!((set.rows, set.cols, set.labels.as_ref().unwrap().len()), (rows, cols, rows));
            if cols == 64 {
                // The first of the 8×8 pixels is blank in every digit, the fourth is not.
                assert!((0..rows).all(|r| set.row(r)[0] == 0.0) && (0..rows).any(|r| set.row(r)[3] != 0.0));
            }
        }
    }
}
