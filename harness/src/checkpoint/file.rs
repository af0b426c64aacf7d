//! The format of a checkpoint: a safetensors file in which every bit is under a checksum.
//!
//! ```text
//! 8 bytes     length of the header, little-endian
//! header      JSON: "__metadata__" (text by name), then each tensor's dtype, shape and data_offsets; spaces up to a multiple of 8
//! data        tensor `checksums`, u64, then the others, f32, in the order of the header; all little-endian
//! ```
//!
//! `checksums [k + 2]` holds XXH3-64 hashes: of all before the data, of the bytes of each of the k other tensors, and of
//! the hashes before it. Whatever is flipped, cut off or appended, one of them disagrees.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3;

use crate::atomic;
use crate::bytes::in_pieces;

/// The name of the tensor with the hashes.
const CHECKSUMS: &str = "checksums";
/// The name under which safetensors keeps text.
const METADATA: &str = "__metadata__";
/// Bytes of the header's length.
const LENGTH: usize = 8;
/// The longest header that is read: as in the reference implementation of safetensors.
const LONGEST_HEADER: u64 = 100_000_000;

/// What a file holds: text and tensors by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sections {
    /// Text by name.
    pub text: BTreeMap<String, String>,
    /// Tensors, in the order of the file.
    pub tensors: Vec<Tensor>,
}

/// A tensor of `f32`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements.
    pub values: Vec<f32>,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file system refused.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is not as it was written.
    #[error("damaged: {0}")]
    Damaged(String),
}

/// A tensor's entry in the header.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl Sections {
    /// Writes the file, whole and on disk, or not at all.
    ///
    /// # Errors
    /// Whatever the file system reports; the message names the path.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let header = self.header()?;
        let mut checksums = vec![hash(&header)];
        checksums.extend(self.tensors.iter().map(|tensor| hash_values(&tensor.values)));
        checksums.push(hash(&bytes(&checksums)));
        atomic::replace(path, |out| {
            out.write_all(&header)?;
            out.write_all(&bytes(&checksums))?;
            for tensor in &self.tensors {
                in_pieces(&tensor.values, |piece| out.write_all(piece))?;
            }
            Ok(())
        })
    }

    /// The header with its length.
    fn header(&self) -> io::Result<Vec<u8>> {
        let mut header = Map::new();
        header.insert(METADATA.to_owned(), serde_json::to_value(&self.text)?);
        let mut end = 0;
        let mut place = |bytes: usize| {
            let start = end;
            end += bytes as u64;
            [start, end]
        };
        let count = self.tensors.len() + 2;
        let entry = Entry { dtype: "U64".to_owned(), shape: vec![count], data_offsets: place(8 * count) };
        header.insert(CHECKSUMS.to_owned(), serde_json::to_value(entry)?);
        for Tensor { name, shape, values } in &self.tensors {
            let entry = Entry { dtype: "F32".to_owned(), shape: shape.clone(), data_offsets: place(4 * values.len()) };
            header.insert(name.clone(), serde_json::to_value(entry)?);
        }
        let mut text = serde_json::to_vec(&header)?;
        text.resize(text.len().next_multiple_of(LENGTH), b' ');
        Ok([&(text.len() as u64).to_le_bytes()[..], &text].concat())
    }

    /// Reads a file and checks all of it.
    ///
    /// # Errors
    /// [`Unreadable::Damaged`] where a single bit is not as it was written.
    pub fn read(path: &Path) -> Result<Self, Unreadable> {
        let file = File::open(path)?;
        let actual = file.metadata()?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut header = exact(&mut file, LENGTH)?;
        let length = u64::from_le_bytes(header[..].try_into().expect("eight bytes were read"));
        if length > LONGEST_HEADER || length > actual.saturating_sub(LENGTH as u64) {
            return Err(damaged(format!("the header claims {length} bytes for itself, and the file has {actual}")));
        }
        header.extend(exact(&mut file, length as usize)?);
        let (text, entries) = parse(&header[LENGTH..])?;

        let mut end = 0u64;
        let mut sizes = Vec::with_capacity(entries.len());
        for (name, entry) in &entries {
            let size = entry.shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim as u64));
            let bytes = size.and_then(|size| size.checked_mul(if name == CHECKSUMS { 8 } else { 4 }));
            let next = bytes.and_then(|bytes| end.checked_add(bytes));
            match next {
                Some(next) if entry.data_offsets == [end, next] => {
                    sizes.push((next - end) as usize);
                    end = next;
                }
                _ => return Err(damaged(format!("the place of `{}` is wrong", crate::error::excerpt(name)))),
            }
        }
        let claimed = header.len() as u64 + end;
        if claimed != actual {
            return Err(damaged(format!("the file has {actual} bytes, expected {claimed}")));
        }

        let count = entries.len() + 1;
        match entries.first() {
            Some((name, entry)) if name == CHECKSUMS && entry.shape == [count] => {}
            _ => return Err(damaged("the checksums are missing".to_owned())),
        }
        let table = exact(&mut file, 8 * count)?;
        let (own, last) = table.split_at(8 * (count - 1));
        let checksums: Vec<u64> = own.as_chunks().0.iter().map(|&b| u64::from_le_bytes(b)).collect();
        if hash(own).to_le_bytes() != last {
            return Err(damaged("the checksum of the checksums disagrees".to_owned()));
        }
        if hash(&header) != checksums[0] {
            return Err(damaged("the checksum of the header disagrees".to_owned()));
        }
        let mut tensors = Vec::with_capacity(entries.len() - 1);
        for (((name, entry), size), checksum) in entries.into_iter().zip(sizes).skip(1).zip(&checksums[1..]) {
            let values = read_values(&mut file, size / 4)?;
            if hash_values(&values) != *checksum {
                return Err(damaged(format!("the checksum of `{name}` disagrees")));
            }
            tensors.push(Tensor { name, shape: entry.shape, values });
        }
        Ok(Self { text, tensors })
    }
}

/// Text, and the tensors in the order of their places.
type Parsed = (BTreeMap<String, String>, Vec<(String, Entry)>);

fn parse(text: &[u8]) -> Result<Parsed, Unreadable> {
    let wrong = |e: serde_json::Error| damaged(format!("the header is not as it was written ({e})"));
    let mut header: Map<String, Value> = serde_json::from_slice(text).map_err(wrong)?;
    let metadata = header.remove(METADATA).ok_or_else(|| damaged(format!("the header lacks {METADATA}")))?;
    let metadata = serde_json::from_value(metadata).map_err(wrong)?;
    let mut entries = Vec::with_capacity(header.len());
    for (name, value) in header {
        entries.push((name, serde_json::from_value::<Entry>(value).map_err(wrong)?));
    }
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    Ok((metadata, entries))
}

fn damaged(what: String) -> Unreadable {
    Unreadable::Damaged(what)
}

/// The next `count` bytes. No memory is taken for more than the file turned out to have.
fn exact(file: &mut impl Read, count: usize) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    file.take(count as u64).read_to_end(&mut bytes)?;
    if bytes.len() < count { Err(damaged("it is cut off".to_owned())) } else { Ok(bytes) }
}

fn read_values(file: &mut impl Read, count: usize) -> Result<Vec<f32>, Unreadable> {
    let mut values = Vec::with_capacity(count);
    let mut buffer = [0u8; 1 << 16];
    while values.len() < count {
        let piece = &mut buffer[..4 * (count - values.len()).min(1 << 14)];
        file.read_exact(piece).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => damaged("it is cut off".to_owned()),
            _ => e.into(),
        })?;
        values.extend(piece.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)));
    }
    Ok(values)
}

fn hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

fn hash_values(values: &[f32]) -> u64 {
    let mut hash = Xxh3::new();
    let fed: Result<(), std::convert::Infallible> = in_pieces(values, |piece| {
        hash.update(piece);
        Ok(())
    });
    let Ok(()) = fed;
    hash.digest()
}

fn bytes(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sample() -> Sections {
        let tensor = |name: &str, shape: &[usize]| Tensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values: (0..shape.iter().product()).map(|i| 0.1 * i as f32 - 0.3).collect(),
        };
        Sections {
            text: [("config", "seed = 1\n[model]\nd_hid = 2"), ("step", "7")].map(|(k, v)| (k.into(), v.into())).into(),
            tensors: vec![tensor("W_enc", &[3, 2]), tensor("b_enc", &[2]), tensor("W_dec", &[2, 3])],
        }
    }

    #[test]
    fn what_was_written_is_read_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let mut sections = sample();
        sections.tensors[0].values = vec![-0.0, f32::MIN_POSITIVE / 2.0, f32::MAX, 1.0, 0.1, f32::INFINITY];
        sections.write(&path).unwrap();
        let read = Sections::read(&path).unwrap();
        assert_eq!(read, sections);
        assert_eq!(read.tensors[0].values[0].to_bits(), (-0.0f32).to_bits());
        Sections::default().write(&path).unwrap();
        assert_eq!(Sections::read(&path).unwrap(), Sections::default());
    }

    #[test]
    fn any_reader_of_safetensors_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        sample().write(&path).unwrap();
        let file = fs::read(&path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
        let w_enc = tensors.tensor("W_enc").unwrap();
        assert_eq!(w_enc.shape(), [3, 2]);
        assert_eq!(w_enc.data(), sample().tensors[0].values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&file).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["step"], "7");
    }

    #[test]
    fn a_file_cut_off_at_any_length_or_longer_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        sample().write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(Sections::read(&path), Err(Unreadable::Damaged(_))), "{length}");
        }
        fs::write(&path, [&whole[..], b" "].concat()).unwrap();
        assert!(matches!(Sections::read(&path), Err(Unreadable::Damaged(_))));
    }

    #[test]
    fn a_file_with_any_bit_flipped_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        sample().write(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(Sections::read(&path), Err(Unreadable::Damaged(_))), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Sections::read(&path).unwrap(), sample());
    }
}
