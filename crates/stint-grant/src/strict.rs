//! Strict reading of JSON objects.
//!
//! A serde derive takes a JSON array for a struct and a missing `Option` for `None`. In a signed document both are ways to say one
//! thing in two spellings, so documents are declared with [`document!`], which takes an object only, each field exactly once, and
//! no other field.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A key of an object, borrowed from the input where it holds no escapes.
pub(crate) struct Key<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }
            fn visit_borrowed_str<E: Error>(self, v: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(v)))
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Declares a struct that is read from a JSON object only: every field present exactly once, none unknown, never from an array.
macro_rules! document {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
        pub struct $name { $($(#[$field_meta])* pub $field: $ty),* }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ObjectVisitor;
                impl<'de> serde::de::Visitor<'de> for ObjectVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("an object (", stringify!($name), ")"))
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        use serde::de::Error as _;
                        $(let mut $field: Option<$ty> = None;)*
                        while let Some($crate::strict::Key(key)) = map.next_key()? {
                            match key.as_ref() {
                                $(stringify!($field) => {
                                    if $field.is_some() {
                                        return Err(A::Error::duplicate_field(stringify!($field)));
                                    }
                                    $field = Some(map.next_value()?);
                                })*
                                other => {
                                    return Err(A::Error::unknown_field(other, &[$(stringify!($field)),*]));
                                }
                            }
                        }
                        Ok($name {
                            $($field: $field.ok_or_else(|| A::Error::missing_field(stringify!($field)))?),*
                        })
                    }
                }
                deserializer.deserialize_map(ObjectVisitor)
            }
        }
    };
}
pub(crate) use document;

/// Reads an enum of plain words from a string only: serde's derive takes `{"expired":null}` for `"expired"` too.
macro_rules! word {
    ($name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match <String as serde::Deserialize>::deserialize(deserializer)?.as_str() {
                    $($word => Ok(Self::$variant),)*
                    other => Err(<D::Error as serde::de::Error>::unknown_variant(other, &[$($word),*])),
                }
            }
        }
    };
}
pub(crate) use word;

/// Reads an enum of one plain word and one object of one key: each in its own form only.
macro_rules! word_or_object {
    ($name:ident { $word_variant:ident = $word:literal, $variant:ident($ty:ty) = $key:literal }) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct WordOrObject;
                impl<'de> serde::de::Visitor<'de> for WordOrObject {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("\"", $word, "\", or an object with the one field `", $key, "`"))
                    }
                    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<$name, E> {
                        if word == $word {
                            Ok($name::$word_variant)
                        } else {
                            Err(E::unknown_variant(word, &[$word, $key]))
                        }
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        use serde::de::Error as _;
                        let Some($crate::strict::Key(key)) = map.next_key()? else {
                            return Err(A::Error::missing_field($key));
                        };
                        if key != $key {
                            return Err(A::Error::unknown_variant(&key, &[$word, $key]));
                        }
                        let value: $ty = map.next_value()?;
                        match map.next_key::<$crate::strict::Key<'_>>()? {
                            Some(_) => Err(A::Error::custom(concat!("`", $key, "` must stand alone"))),
                            None => Ok($name::$variant(value)),
                        }
                    }
                }
                deserializer.deserialize_any(WordOrObject)
            }
        }
    };
}
pub(crate) use word_or_object;
