//! What JSON from outside has to be before it is turned into values: no key twice in an object, and not more values
//! than its length allows memory for.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Keys of one object.
const MOST_KEYS: usize = 20_000;
/// Values that a text of any length may have; beyond, one for each [`BYTES_A_VALUE`] bytes. A value takes 32 bytes in
/// memory, numbers with all their digits about 20 in the text.
const MOST_VALUES: usize = 1 << 20;
const BYTES_A_VALUE: usize = 16;

/// Goes through `text` and keeps nothing.
///
/// # Errors
/// With line and column, where it is no JSON, is nested more than 128 deep, has a key twice or too many values.
pub(crate) fn check(text: &[u8]) -> Result<(), serde_json::Error> {
    let mut left = MOST_VALUES.max(text.len() / BYTES_A_VALUE);
    let mut reader = serde_json::Deserializer::from_slice(text);
    Checked { left: &mut left }.deserialize(&mut reader)?;
    reader.end()
}

struct Checked<'a> {
    left: &'a mut usize,
}

impl Checked<'_> {
    fn inner(&mut self) -> Checked<'_> {
        Checked { left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Checked<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        *self.left = self.left.checked_sub(1).ok_or_else(|| D::Error::custom("too many values for its length"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut keys: HashSet<String> = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.len() == MOST_KEYS {
                return Err(A::Error::custom(format!("more than {MOST_KEYS} keys")));
            }
            if let Some(twice) = keys.replace(key) {
                return Err(A::Error::custom(format!("the key `{}` twice", crate::error::excerpt(&twice))));
            }
            map.next_value_seed(self.inner())?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self.inner())?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_without_surprises_passes() {
        for text in [r#"{"a":[1,-2,3.5e300,true,null,"x"],"b":{"a":{}}}"#, "0", " [] "] {
            check(text.as_bytes()).unwrap();
        }
        for text in ["", "{", "[1,]", "{} x", "nan"] {
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_that_stand_twice_are_named() {
        let error = check(br#"{"a":{"k":1,"k":2}}"#).unwrap_err().to_string();
        assert!(error.contains("`k` twice") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        assert!(check("[".repeat(1 << 20).as_bytes()).unwrap_err().to_string().contains("recursion"));
        let many = format!("[{}1]", "1,".repeat(MOST_VALUES));
        assert!(check(many.as_bytes()).unwrap_err().to_string().contains("too many values"));
        let long = format!("[{}1]", "0.12345678901234567,".repeat(MOST_VALUES));
        assert!(check(long.as_bytes()).is_ok());
        let keys: String = (0..=MOST_KEYS).map(|i| format!("\"{i}\":0,")).collect();
        assert!(check(format!("{{{keys}\"x\":0}}").as_bytes()).unwrap_err().to_string().contains("more than"));
    }
}
