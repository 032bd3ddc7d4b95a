//! Checks of JSON that others wrote.

use alloc::{collections::BTreeSet, format, string::String};
use core::fmt;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Refuses a JSON text in which an object has a key twice: a reader would keep one of the values and drop the other in silence.
///
/// # Errors
/// The first such key, or invalid JSON, with its line and column.
pub fn unique_keys(json: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<Unique>(json).map(drop)
}

/// Any value whose objects have each key once.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unique)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<Self>()?;
            if let Some(twice) = keys.replace(key) {
                return Err(A::Error::custom(format!("the key {twice:?} comes twice")));
            }
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_key_that_comes_twice_is_named() {
        let plain = r#"{"a": {"b": 1, "c": [{"b": null}, {"b": true}]}, "b": "a", "d": [-1.5, 18446744073709551615]}"#;
        assert!(unique_keys(plain).is_ok());
        for (json, key) in [
            (r#"{"a": 1, "a": 1}"#, "a"),
            (r#"{"a": 1, "\u0061": 2}"#, "a"),
            (r#"[{"x": {"": 0, "y": 1, "": 0}}]"#, ""),
            (r#"{"x": [{"y": {"z": 1, "z": 2}}]}"#, "z"),
        ] {
            let error = unique_keys(json).unwrap_err().to_string();
            assert!(error.contains(&format!("the key {key:?} comes twice")), "{error}");
        }
        assert!(unique_keys("{\"a\": ").is_err());
    }
}
