//! Which data a run was trained on, in a few bytes.

use std::convert::Infallible;
use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::Dataset;
use crate::bytes::in_pieces;

/// The size of a set and a hash of its values before preprocessing, row by row, as little-endian f32: XXH3-128.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Rows, held out ones included.
    pub rows: u64,
    /// Columns.
    pub cols: u64,
    /// The hash, 32 hexadecimal digits.
    pub hash: String,
}

impl Fingerprint {
    /// That of a set in memory.
    pub fn of(set: &Dataset) -> Self {
        let mut hasher = Hasher::default();
        hasher.add(&set.data);
        hasher.finish(set.rows as u64, set.cols as u64)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} with hash {}", self.rows, self.cols, self.hash)
    }
}

/// Hashes values as they come.
#[derive(Clone, Default)]
pub(crate) struct Hasher(Xxh3);

impl Hasher {
    /// Takes the next values.
    pub(crate) fn add(&mut self, values: &[f32]) {
        let fed: Result<(), Infallible> = in_pieces(values, |piece| {
            self.0.update(piece);
            Ok(())
        });
        let Ok(()) = fed;
    }

    /// What was taken, as a set of that size.
    pub(crate) fn finish(&self, rows: u64, cols: u64) -> Fingerprint {
        Fingerprint { rows, cols, hash: format!("{:032x}", self.0.digest128()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::digits;

    #[test]
    fn any_changed_value_or_shape_changes_it_and_pieces_do_not() {
        let set = digits().unwrap();
        let whole = Fingerprint::of(&set);
        let mut pieces = Hasher::default();
        set.data.chunks(1000).for_each(|piece| pieces.add(piece));
        assert_eq!(pieces.finish(set.rows as u64, set.cols as u64), whole);
        let mut other = set.clone();
        other.data[100] += 1.0;
        assert_ne!(Fingerprint::of(&other).hash, whole.hash);
        other.data[100] = set.data[100];
        assert_eq!(Fingerprint::of(&other), whole);
        other.data.swap(0, 5000);
        assert!(other.data[0] == other.data[5000] || Fingerprint::of(&other) != whole);
    }
}
