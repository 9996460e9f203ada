//! Writes a serde value as attributes.

use crate::{AttrError, DATA_NAME, Encoding};
use base64::Engine as _;
use serde::ser::{self, Impossible, Serialize};

/// Room for most lists.
const USUAL_SIZE: usize = 256;

/// The attributes of `list`, without the terminator.
pub(crate) fn attributes<T: Serialize>(encoding: Encoding, list: &T) -> Result<Vec<u8>, AttrError> {
    let mut out = Vec::with_capacity(USUAL_SIZE);
    let value = Value {
        out: &mut out,
        encoding,
        name: "",
        base64: false,
    };
    list.serialize(value)?;
    Ok(out)
}

/// Serializes what stands at one position of a list; `name` is the field's name.
struct Value<'a> {
    out: &'a mut Vec<u8>,
    encoding: Encoding,
    name: &'a str,
    base64: bool,
}

impl Value<'_> {
    fn attribute(self, value: &[u8]) -> Result<(), AttrError> {
        let delimiter = match self.encoding {
            Encoding::Null => b'\0',
            Encoding::Plain => b'\n',
        };
        let bad_name = self.name.is_empty() || self.name.as_bytes().contains(&delimiter);
        if bad_name || value.contains(&delimiter) {
            return Err(AttrError::Malformed(format!(
                "attribute {:?} has no name or holds a separator",
                self.name
            )));
        }
        let (middle, end) = match self.encoding {
            Encoding::Null => (0, 0),
            Encoding::Plain => (b'=', b'\n'),
        };
        self.out.extend_from_slice(self.name.as_bytes());
        self.out.push(middle);
        self.out.extend_from_slice(value);
        self.out.push(end);
        Ok(())
    }
}

fn brace(out: &mut Vec<u8>, encoding: Encoding, brace: u8) {
    out.extend_from_slice(&[brace, 0]);
    if encoding == Encoding::Plain {
        out.push(b'\n');
    }
}

fn unsupported<T>(what: &str) -> Result<T, AttrError> {
    Err(AttrError::Malformed(format!("{what} is no attribute type")))
}

impl<'a> ser::Serializer for Value<'a> {
    type Ok = ();
    type Error = AttrError;
    type SerializeSeq = Splice<'a>;
    type SerializeTuple = Splice<'a>;
    type SerializeTupleStruct = Splice<'a>;
    type SerializeTupleVariant = Impossible<(), AttrError>;
    type SerializeMap = Group<'a>;
    type SerializeStruct = Splice<'a>;
    type SerializeStructVariant = Impossible<(), AttrError>;

    fn serialize_bool(self, v: bool) -> Result<(), AttrError> {
        self.serialize_u32(u32::from(v))
    }
    fn serialize_i8(self, _: i8) -> Result<(), AttrError> {
        unsupported("i8")
    }
    fn serialize_i16(self, _: i16) -> Result<(), AttrError> {
        unsupported("i16")
    }
    fn serialize_i32(self, v: i32) -> Result<(), AttrError> {
        self.serialize_u32(u32::from_ne_bytes(v.to_ne_bytes()))
    }
    fn serialize_i64(self, v: i64) -> Result<(), AttrError> {
        self.serialize_u64(u64::from_ne_bytes(v.to_ne_bytes()))
    }
    fn serialize_u8(self, _: u8) -> Result<(), AttrError> {
        unsupported("u8 (use ByteString for strings)")
    }
    fn serialize_u16(self, _: u16) -> Result<(), AttrError> {
        unsupported("u16")
    }
    fn serialize_u32(self, v: u32) -> Result<(), AttrError> {
        self.attribute(v.to_string().as_bytes())
    }
    fn serialize_u64(self, v: u64) -> Result<(), AttrError> {
        self.attribute(v.to_string().as_bytes())
    }
    fn serialize_f32(self, _: f32) -> Result<(), AttrError> {
        unsupported("f32")
    }
    fn serialize_f64(self, _: f64) -> Result<(), AttrError> {
        unsupported("f64")
    }
    fn serialize_char(self, _: char) -> Result<(), AttrError> {
        unsupported("char")
    }
    fn serialize_str(self, v: &str) -> Result<(), AttrError> {
        self.attribute(v.as_bytes())
    }
    fn serialize_bytes(self, v: &[u8]) -> Result<(), AttrError> {
        if self.base64 {
            let text = base64::engine::general_purpose::STANDARD.encode(v);
            return self.attribute(text.as_bytes());
        }
        self.attribute(v)
    }
    fn serialize_none(self) -> Result<(), AttrError> {
        unsupported("Option")
    }
    fn serialize_some<T: ?Sized + Serialize>(self, _: &T) -> Result<(), AttrError> {
        unsupported("Option")
    }
    fn serialize_unit(self) -> Result<(), AttrError> {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), AttrError> {
        Ok(())
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), AttrError> {
        self.attribute(variant.as_bytes())
    }
    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), AttrError> {
        self.base64 = name == DATA_NAME;
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), AttrError> {
        unsupported("an enum with data")
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Splice<'a>, AttrError> {
        Ok(Splice(self))
    }
    fn serialize_tuple(self, _: usize) -> Result<Splice<'a>, AttrError> {
        Ok(Splice(self))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Splice<'a>, AttrError> {
        Ok(Splice(self))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, AttrError> {
        unsupported("an enum with data")
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Group<'a>, AttrError> {
        brace(self.out, self.encoding, b'{');
        Ok(Group {
            out: self.out,
            encoding: self.encoding,
            key: String::new(),
        })
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Splice<'a>, AttrError> {
        Ok(Splice(self))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, AttrError> {
        unsupported("an enum with data")
    }
}

/// Attributes of a struct or of the elements of a sequence, in place.
struct Splice<'a>(Value<'a>);

impl Splice<'_> {
    fn put<T: ?Sized + Serialize>(&mut self, name: &str, value: &T) -> Result<(), AttrError> {
        value.serialize(Value {
            out: self.0.out,
            encoding: self.0.encoding,
            name,
            base64: false,
        })
    }

    fn element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), AttrError> {
        let name = self.0.name;
        self.put(name, value)
    }
}

impl ser::SerializeStruct for Splice<'_> {
    type Ok = ();
    type Error = AttrError;
    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), AttrError> {
        self.put(key, value)
    }
    fn end(self) -> Result<(), AttrError> {
        Ok(())
    }
}

impl ser::SerializeSeq for Splice<'_> {
    type Ok = ();
    type Error = AttrError;
    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), AttrError> {
        self.element(value)
    }
    fn end(self) -> Result<(), AttrError> {
        Ok(())
    }
}

impl ser::SerializeTuple for Splice<'_> {
    type Ok = ();
    type Error = AttrError;
    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), AttrError> {
        self.element(value)
    }
    fn end(self) -> Result<(), AttrError> {
        Ok(())
    }
}

impl ser::SerializeTupleStruct for Splice<'_> {
    type Ok = ();
    type Error = AttrError;
    fn serialize_field<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), AttrError> {
        self.element(value)
    }
    fn end(self) -> Result<(), AttrError> {
        Ok(())
    }
}

/// A `{`…`}` group.
struct Group<'a> {
    out: &'a mut Vec<u8>,
    encoding: Encoding,
    key: String,
}

impl ser::SerializeMap for Group<'_> {
    type Ok = ();
    type Error = AttrError;
    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), AttrError> {
        // A key is written as the value of a scratch attribute `k`, then cut out again: this
        // accepts every string type without a second serializer.
        let mut scratch = Vec::new();
        key.serialize(Value {
            out: &mut scratch,
            encoding: Encoding::Null,
            name: "k",
            base64: false,
        })?;
        let text = scratch.get(2..scratch.len().saturating_sub(1));
        self.key = std::str::from_utf8(text.unwrap_or_default())
            .map_err(|_| AttrError::Malformed("group key is not UTF-8".to_owned()))?
            .to_owned();
        Ok(())
    }
    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), AttrError> {
        value.serialize(Value {
            out: self.out,
            encoding: self.encoding,
            name: &self.key,
            base64: false,
        })
    }
    fn end(self) -> Result<(), AttrError> {
        brace(self.out, self.encoding, b'}');
        Ok(())
    }
}
