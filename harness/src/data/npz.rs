//! NumPy's `.npz`: a zip archive of `.npy` arrays, stored or deflated.

use std::fs::File;
use std::io::BufReader;

use zip::ZipArchive;
use zip::result::ZipError;

use super::element;
use super::npy::Header;
use super::{Dataset, Source};
use crate::error::{Error, Result, nearest, one_line};

type Archive = ZipArchive<BufReader<File>>;

/// Loads the array `key`; without one, `X`, else the first of at least two dimensions with a fractional type, else the
/// first of at least two dimensions. Labels are the array `y`, where there is one and it holds whole numbers; beside an
/// explicit `key`, only where its length fits.
pub(super) fn load(source: Source, key: Option<&str>) -> Result<Dataset> {
    let short_name = source.short_name();
    let Source { name: file, file: handle, .. } = source;
    let mut archive = ZipArchive::new(BufReader::new(handle)).map_err(|e| damaged(&file, &e))?;
    let arrays = list(&mut archive, &file)?;

    let names = || arrays.iter().map(|(name, _)| name.as_str());
    let wanted = match key {
        Some(key) => key.to_owned(),
        None => choose(&mut archive, &arrays, &file)?,
    };
    let Some(index) = position(&arrays, &wanted) else {
        return Err(Error::Setting {
            place: file.clone(),
            found: format!("no array `{}`", one_line(&wanted)),
            expected: format!("one of: {}", one_line(&names().collect::<Vec<_>>().join(", "))),
            nearest: nearest(&wanted, names()).map(str::to_owned),
        });
    };
    let name = if key.is_some() { format!("{short_name}:{wanted}") } else { short_name };
    let mut set =
        read(&mut archive, index, &file, &wanted, |header, reader, shown| header.into_dataset(reader, name, shown))?;

    if let Some(index) = position(&arrays, "y").filter(|_| wanted != "y")
        // Class names and the like are no labels, and no reason to refuse the samples.
        && read(&mut archive, index, &file, "y", |header, _, _| Ok(header)).is_ok()
    {
        let rows = set.rows;
        set.labels = read(&mut archive, index, &file, "y", |header, reader, shown| {
            if header.dims == [rows as u64] || header.dims == [rows as u64, 1] {
                return header.element.read_labels(reader, rows, shown);
            }
            if key.is_some() {
                return Ok(None);
            }
            let found = format!("the labels have shape {:?}", header.dims);
            Err(Error::input(shown, found, format!("[{rows}], a label for each row of {wanted}")))
        })?;
    }
    Ok(set)
}

fn position(arrays: &[(String, usize)], name: &str) -> Option<usize> {
    arrays.iter().find(|(n, _)| n == name).map(|&(_, index)| index)
}

/// The names and archive positions of the arrays, in the order of the archive.
fn list(archive: &mut Archive, file: &str) -> Result<Vec<(String, usize)>> {
    let mut arrays = Vec::new();
    for index in 0..archive.len() {
        if let Some(Ok(name)) = archive.name_for_index(index)
            && let Some(array) = name.strip_suffix(".npy")
        {
            arrays.push((array.to_owned(), index));
        }
    }
    if arrays.is_empty() {
        return Err(Error::input(file, "there is no array in it", "a .npz archive of .npy arrays"));
    }
    Ok(arrays)
}

/// The array to take where none was named.
fn choose(archive: &mut Archive, arrays: &[(String, usize)], file: &str) -> Result<String> {
    if let Some((name, _)) = arrays.iter().find(|(name, _)| name == "X") {
        return Ok(name.clone());
    }
    let mut whole_numbers = None;
    for (name, index) in arrays {
        // An array that cannot be read (text, objects) is no candidate.
        let header = read(archive, *index, file, name, |header, _, _| Ok(header));
        match header {
            Ok(header) if header.dims.len() >= 2 && header.element.is_float() => return Ok(name.clone()),
            Ok(header) if header.dims.len() >= 2 => whole_numbers = whole_numbers.or(Some(name.clone())),
            _ => {}
        }
    }
    whole_numbers.ok_or_else(|| {
        let names = arrays.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let found = format!("none of its arrays ({}) has two dimensions of numbers", one_line(&names));
        Error::input(file, found, "an array [rows, columns]")
    })
}

/// Opens one array, holds its header against its length in the archive, and hands it to `use_it` with its name.
fn read<T>(
    archive: &mut Archive,
    index: usize,
    file: &str,
    array: &str,
    use_it: impl FnOnce(Header, &mut dyn std::io::Read, &str) -> Result<T>,
) -> Result<T> {
    let shown = one_line(&format!("{file}:{array}"));
    let mut entry = archive.by_index(index).map_err(|e| damaged(&shown, &e))?;
    let (size, compressed) = (entry.size(), entry.compressed_size());
    if size > element::most_inflated(compressed) {
        let found = format!("the archive claims {size} bytes, and {compressed} compressed bytes cannot hold them");
        return Err(Error::input(&shown, found, "a size that fits the data"));
    }
    let header = Header::read(&mut entry, &shown)?;
    header.check_length(size, &shown)?;
    use_it(header, &mut entry, &shown)
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
