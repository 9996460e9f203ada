//! Reads a serde value from attributes. `deserialize_struct` is told the field names, and the
//! names drive a `visit_seq`: so order decides, and two fields may have the same name.

use crate::{AttrError, ByteString, DATA_NAME, Data, scan::Scanner};
use base64::Engine as _;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor, value::StringDeserializer};
use std::io::BufRead;

/// The whole list.
pub(crate) struct Root<'s, 'a, R: BufRead>(pub(crate) &'s mut Scanner<'a, R>);

/// What stands at one position of a list.
struct Field<'s, 'a, 'n, R: BufRead> {
    scanner: &'s mut Scanner<'a, R>,
    name: &'n str,
}

impl<'de, R: BufRead> de::Deserializer<'de> for Root<'_, '_, R> {
    type Error = AttrError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, AttrError> {
        let text = "a list is a struct, tuple, map or unit".to_owned();
        Err(AttrError::Malformed(text))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, AttrError> {
        self.field().deserialize_struct(name, fields, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, AttrError> {
        self.field().deserialize_tuple(len, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        self.field().deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        self.field().deserialize_map(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, AttrError> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option
        unit_struct tuple_struct enum identifier ignored_any
    }
}

impl<'s, 'a, R: BufRead> Root<'s, 'a, R> {
    fn field(self) -> Field<'s, 'a, 'static, R> {
        Field {
            scanner: self.0,
            name: "",
        }
    }
}

impl<R: BufRead> Field<'_, '_, '_, R> {
    fn value(self) -> Result<ByteString, AttrError> {
        self.scanner.value_of(self.name)
    }

    fn text(self) -> Result<String, AttrError> {
        let name = self.name;
        let value = self.value()?;
        String::from_utf8(value.into()).map_err(|error| {
            let value = ByteString::from(error.into_bytes());
            AttrError::Malformed(format!("attribute {name} is not UTF-8: {value:?}"))
        })
    }

    fn int(self) -> Result<u32, AttrError> {
        let value = self.value()?;
        let number = number(&value, u64::from(u32::MAX), 1 << 31);
        // Negative text is taken modulo 2^32, as a C unsigned int would.
        let number = number.and_then(|n| u32::try_from(n & i128::from(u32::MAX)).ok());
        number.ok_or(AttrError::BadNumber(value))
    }

    fn long(self) -> Result<u64, AttrError> {
        let value = self.value()?;
        let number = number(&value, u64::MAX, 1 << 63);
        let number = number.and_then(|n| u64::try_from(n & i128::from(u64::MAX)).ok());
        number.ok_or(AttrError::BadNumber(value))
    }
}

/// What `scanf("%lu")` takes: blanks, a sign, digits; nothing may follow.
fn number(text: &[u8], max: u64, max_negative: u64) -> Option<i128> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 64 {
        return None;
    }
    let mut magnitude: u64 = 0;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        magnitude = magnitude.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    match negative {
        true if magnitude <= max_negative => Some(-i128::from(magnitude)),
        false if magnitude <= max => Some(i128::from(magnitude)),
        _ => None,
    }
}

impl<'de, R: BufRead> de::Deserializer<'de> for Field<'_, '_, '_, R> {
    type Error = AttrError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, AttrError> {
        let name = self.name;
        Err(AttrError::Malformed(format!(
            "the type of {name:?} is no attribute type"
        )))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_bool(self.int()? != 0)
    }
    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_i32(i32::from_ne_bytes(self.int()?.to_ne_bytes()))
    }
    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_u32(self.int()?)
    }
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_i64(i64::from_ne_bytes(self.long()?.to_ne_bytes()))
    }
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_u64(self.long()?)
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_string(self.text()?)
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_string(self.text()?)
    }
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_byte_buf(self.value()?.into())
    }
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_byte_buf(self.value()?.into())
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_unit()
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, AttrError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, AttrError> {
        if name != DATA_NAME {
            return visitor.visit_newtype_struct(self);
        }
        let value = self.value()?;
        match base64::engine::general_purpose::STANDARD.decode(&*value) {
            Ok(bytes) => visitor.visit_byte_buf(bytes),
            Err(_) => Err(AttrError::BadBase64(value)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, AttrError> {
        visitor.visit_seq(Fields {
            scanner: self.scanner,
            names: fields.iter(),
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, AttrError> {
        visitor.visit_seq(Repeated {
            scanner: self.scanner,
            name: self.name,
            left: Some(len),
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, AttrError> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_seq(Repeated {
            scanner: self.scanner,
            name: self.name,
            left: None,
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        let pairs = self.scanner.group()?.into_iter();
        let pairs = pairs.map(|(key, value)| (Bytes(key), Bytes(value)));
        visitor.visit_map(de::value::MapDeserializer::new(pairs))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, AttrError> {
        let variant: StringDeserializer<AttrError> = self.text()?.into_deserializer();
        visitor.visit_enum(variant)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 u8 u16 f32 f64 char option identifier ignored_any
    }
}

/// The fields of a struct, in order.
struct Fields<'s, 'a, R: BufRead> {
    scanner: &'s mut Scanner<'a, R>,
    names: std::slice::Iter<'static, &'static str>,
}

impl<'de, R: BufRead> de::SeqAccess<'de> for Fields<'_, '_, R> {
    type Error = AttrError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, AttrError> {
        let Some(name) = self.names.next() else {
            return Ok(None);
        };
        let scanner = &mut *self.scanner;
        seed.deserialize(Field { scanner, name }).map(Some)
    }
}

/// Elements under one name: a known number, or up to the end of the list.
struct Repeated<'s, 'a, 'n, R: BufRead> {
    scanner: &'s mut Scanner<'a, R>,
    name: &'n str,
    left: Option<usize>,
}

impl<'de, R: BufRead> de::SeqAccess<'de> for Repeated<'_, '_, '_, R> {
    type Error = AttrError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, AttrError> {
        match &mut self.left {
            Some(0) => return Ok(None),
            Some(left) => *left -= 1,
            None if !self.scanner.more()? => return Ok(None),
            None => {}
        }
        let (scanner, name) = (&mut *self.scanner, self.name);
        seed.deserialize(Field { scanner, name }).map(Some)
    }
}

/// A key or value of a group.
struct Bytes(ByteString);

impl IntoDeserializer<'_, AttrError> for Bytes {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> de::Deserializer<'de> for Bytes {
    type Error = AttrError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AttrError> {
        visitor.visit_byte_buf(self.0.into())
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Takes the decoded bytes of a [`Data`].
pub(crate) struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("binary data")
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Data, E> {
        Ok(Data(bytes))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Data, E> {
        Ok(Data(bytes.to_vec()))
    }
}
