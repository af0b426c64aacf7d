//! A matrix among constants that are otherwise read by people.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A row-major matrix of f64, in JSON `{"rows": …, "cols": …, "base64": …}`, little-endian: exact, and short enough to pass
/// through. Beside a model's weights it is a tensor of its own instead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowMajor {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// `[rows, cols]`, all finite.
    pub values: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    rows: usize,
    cols: usize,
    base64: String,
}

impl RowMajor {
    /// A matrix from its little-endian bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_bytes(rows: usize, cols: usize, bytes: &[u8]) -> Result<Self, String> {
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || rows.checked_mul(cols) != Some(words.len()) {
            return Err(format!("{} bytes for {rows} x {cols} numbers of 8 bytes", bytes.len()));
        }
        let values: Vec<f64> = words.iter().map(|&word| f64::from_le_bytes(word)).collect();
        match values.iter().find(|v| !v.is_finite()) {
            None => Ok(Self { rows, cols, values }),
            Some(bad) => Err(format!("a number is {bad}, expected a finite one")),
        }
    }

    /// Its numbers, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
}

impl Serialize for RowMajor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Text { rows: self.rows, cols: self.cols, base64: STANDARD.encode(self.to_bytes()) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RowMajor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        let bytes = STANDARD.decode(&text.base64).map_err(serde::de::Error::custom)?;
        Self::from_bytes(text.rows, text.cols, &bytes).map_err(serde::de::Error::custom)
    }
}
