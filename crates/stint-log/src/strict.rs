//! JSON that can be read in one way only.
//!
//! Serde's derive takes a struct from a JSON array, and `serde_json::Value` takes the last of two equal keys without a
//! word. An [`Object`] is a JSON object and nothing else, without doubled keys and without floats at any depth; types
//! are built from it, so these checks cannot be forgotten on one path.

use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Deeper than any document here, and far from where recursion costs anything.
const MAX_DEPTH: u8 = 8;

/// A JSON object that was read strictly.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object(pub(crate) Map<String, Value>);

impl Object {
    /// Reads the whole input as one object; trailing data is refused.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Builds `T` from the object.
    pub(crate) fn build<T: DeserializeOwned>(self) -> Result<T, serde_json::Error> {
        serde_json::from_value(Value::Object(self.0))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor { depth: MAX_DEPTH }).map(Self)
    }
}

struct ObjectVisitor {
    depth: u8,
}

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let depth = deeper(self.depth)?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(format_args!(
                    "the field `{}` stands twice",
                    key.escape_debug()
                )));
            }
            let value = access.next_value_seed(ValueSeed { depth })?;
            map.insert(key, value);
        }
        Ok(map)
    }
}

fn deeper<E: de::Error>(depth: u8) -> Result<u8, E> {
    depth.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))
}

struct ValueSeed {
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value without floats")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("a float, or an integer out of range, where only integers may stand"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let depth = deeper(self.depth)?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(ValueSeed { depth })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        ObjectVisitor { depth: self.depth }.visit_map(access).map(Value::Object)
    }
}

/// For an `Option` field that must be written, as `null` where there is nothing.
///
/// Derive alone takes a missing field for `None`; named in `deserialize_with`, this makes it an error.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Object::parse(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn a_plain_object_is_read() {
        let object = Object::parse(br#"{"a":1,"b":[true,null,{"c":"d"}],"e":-1}"#).unwrap();
        assert_eq!(Value::Object(object.0).to_string(), r#"{"a":1,"b":[true,null,{"c":"d"}],"e":-1}"#);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["[1]", "1", "null", "\"a\"", "", "true"] {
            refusal(text);
        }
    }

    #[test]
    fn doubled_keys_are_refused_at_any_depth() {
        assert!(refusal(r#"{"a":1,"a":1}"#).contains("stands twice"));
        assert!(refusal(r#"{"x":[{"a":1,"\u0061":2}]}"#).contains("stands twice"));
    }

    #[test]
    fn floats_and_integers_out_of_range_are_refused() {
        for number in ["1.0", "1e3", "-0", "18446744073709551616", "-9223372036854775809"] {
            assert!(refusal(&format!(r#"{{"a":{number}}}"#)).contains("float"), "{number}");
        }
    }

    #[test]
    fn trailing_data_and_a_byte_order_mark_are_refused() {
        refusal("{} {}");
        refusal("{}x");
        refusal("\u{feff}{}");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(8), "]".repeat(8));
        assert!(refusal(&deep).contains("too deeply"));
        let fits = format!("{{\"a\":{}1{}}}", "[".repeat(7), "]".repeat(7));
        assert!(Object::parse(fits.as_bytes()).is_ok());
    }
}
