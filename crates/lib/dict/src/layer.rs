//! Key folding, UTF-8 checks and base64 values: what every table needs and none does itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bstr::{BStr, BString, ByteSlice};
use std::borrow::Cow;

use crate::table::{Answer, one_by_one};
use crate::{Flags, Lookup, LookupError, Owner, Table, shown};

/// Folds ASCII letters to lower case.
pub fn fold_ascii(key: &BStr) -> Cow<'_, BStr> {
    if key
        .iter()
        .fold(false, |any, byte| any | byte.is_ascii_uppercase())
    {
        Cow::Owned(BString::from(key.to_ascii_lowercase()))
    } else {
        Cow::Borrowed(key)
    }
}

/// Whether `key` is ASCII and without capitals: most are, and each key is asked.
fn is_folded(key: &[u8]) -> bool {
    // Pieces that the processor compares at once; the last one may overlap the one before it.
    if let Some(last) = key.last_chunk::<16>() {
        let (pieces, _) = key.as_chunks::<16>();
        return all_folded(pieces.iter().chain([last]));
    }
    match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => all_folded([first, last]),
        _ => all_folded(key.as_chunks::<1>().0),
    }
}

/// Whether none of the bytes is a capital or not ASCII.
#[inline]
fn all_folded<'a, const N: usize>(pieces: impl IntoIterator<Item = &'a [u8; N]>) -> bool {
    let mut others = [0; N];
    for piece in pieces {
        for (other, byte) in others.iter_mut().zip(piece) {
            *other |= (byte & 0x80) | u8::from(byte.wrapping_sub(b'A') < 26);
        }
    }
    others == [0; N]
}

/// Folds a key as the list code and the UTF-8 layer do: Unicode case folding for valid UTF-8,
/// ASCII folding otherwise.
pub fn fold_key(key: &BStr) -> Cow<'_, BStr> {
    if is_folded(key) {
        return Cow::Borrowed(key);
    }
    if key.is_ascii() {
        return fold_ascii(key);
    }
    match key.to_str() {
        Ok(text) => Cow::Owned(BString::from(
            unicase::UniCase::unicode(text).to_folded_case(),
        )),
        Err(_) => fold_ascii(key),
    }
}

/// What a key becomes before a table sees it.
enum Prepared<'a> {
    Key(Cow<'a, BStr>),
    NotUtf8,
}

/// A table with folding, UTF-8 checks and base64 decoding around it.
pub struct Layer {
    inner: Box<dyn Table>,
    request: Flags,
    utf8: bool,
    flags: Flags,
    /// Values that hold file contents stay as they are stored.
    keeps_base64: bool,
}

impl Layer {
    /// Puts the layer around `inner`. `utf8_enabled` is `smtputf8_enable`.
    pub fn new(inner: Box<dyn Table>, request: Flags, utf8_enabled: bool) -> Self {
        let mut layer = Self {
            inner,
            request,
            utf8: utf8_enabled,
            flags: Flags::NONE,
            keeps_base64: false,
        };
        layer.set_request(request);
        layer
    }

    /// The same around a member of a table that has a layer itself, which decodes for all.
    pub(crate) fn into_member(self) -> Self {
        Self {
            keeps_base64: true,
            ..self
        }
    }

    /// Exchanges the request flags, for a proxymap server that gets them with each request.
    pub fn set_request(&mut self, request: Flags) {
        self.request = request;
        self.flags = self.inner.flags() | request;
        if self.utf8_active() {
            self.flags |= Flags::UTF8_ACTIVE;
        }
    }

    fn utf8_active(&self) -> bool {
        self.utf8 && self.request.contains(Flags::UTF8_REQUEST)
    }

    fn prepare<'a>(&self, key: &'a BStr) -> Prepared<'a> {
        if is_folded(key) {
            return Prepared::Key(Cow::Borrowed(key));
        }
        let utf8 = self.utf8_active();
        if utf8 && !key.is_ascii() && key.to_str().is_err() {
            log::warn!(
                "{}: non-UTF-8 key \"{}\": malformed UTF-8 or invalid codepoint",
                self.inner.name(),
                shown(key)
            );
            return Prepared::NotUtf8;
        }
        let wanted = if self.flags.contains(Flags::FIXED) {
            Flags::FOLD_FIX
        } else {
            Flags::FOLD_MUL
        };
        Prepared::Key(match (self.request.contains(wanted), utf8) {
            (false, _) => Cow::Borrowed(key),
            (true, true) => fold_key(key),
            (true, false) => fold_ascii(key),
        })
    }
}

/// Complains of a value that is not UTF-8, in a table where that matters.
fn check_value(table: &str, key: &BStr, value: &[u8]) -> Result<(), LookupError> {
    if value.is_ascii() || value.to_str().is_ok() {
        return Ok(());
    }
    let text = format!(
        "key \"{key}\": non-UTF-8 value \"{}\": malformed UTF-8 or invalid codepoint",
        shown(value)
    );
    log::warn!("{table}: {text}");
    Err(LookupError::config(table, text))
}

/// Decodes a value that holds file contents. A value that is not base64 is logged.
pub fn decode_base64(table: &str, key: &BStr, value: &BStr) -> Result<BString, LookupError> {
    STANDARD.decode(value).map(BString::from).map_err(|_| {
        let shown = BStr::new(value.get(..30).unwrap_or(value));
        let text = format!("key {key}: malformed BASE64 value: {shown}");
        log::warn!("table {table}: {text}");
        LookupError::config(table, text)
    })
}

impl Table for Layer {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        let mut value = BString::default();
        Ok(self.lookup_into(key, &mut value)?.then_some(value))
    }
    fn lookup_into(&mut self, key: &BStr, value: &mut BString) -> Result<bool, LookupError> {
        let Prepared::Key(folded) = self.prepare(key) else {
            return Ok(false);
        };
        if !self.inner.lookup_into(folded.as_ref(), value)? {
            return Ok(false);
        }
        if self.utf8_active() {
            check_value(self.inner.name(), key, value)?;
        }
        if self.request.contains(Flags::SRC_RHS_IS_FILE) && !self.keeps_base64 {
            *value = decode_base64(self.inner.name(), key, value.as_bstr())?;
        }
        Ok(true)
    }
    fn lookup_all(&mut self, keys: &[&BStr], answer: &mut Answer<'_>) -> Result<(), LookupError> {
        let is_plain =
            !self.request.contains(Flags::SRC_RHS_IS_FILE) && keys.iter().all(|key| is_folded(key));
        if !is_plain {
            return one_by_one(self, keys, answer);
        }
        let (name, is_checked) = (self.inner.name().to_owned(), self.utf8_active());
        self.inner.lookup_all(keys, &mut |key, value| {
            if let Some(value) = value
                && is_checked
            {
                check_value(&name, key, value)?;
            }
            answer(key, value)
        })
    }
    fn update(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        match self.prepare(key) {
            Prepared::Key(folded) => self.inner.update(folded.as_ref(), value),
            Prepared::NotUtf8 => Ok(()),
        }
    }
    fn delete(&mut self, key: &BStr) -> Result<bool, LookupError> {
        match self.prepare(key) {
            Prepared::Key(folded) => self.inner.delete(folded.as_ref()),
            Prepared::NotUtf8 => Ok(true),
        }
    }
    fn gather(&mut self) {
        self.inner.gather();
    }
    fn flush(&mut self) -> Result<(), LookupError> {
        self.inner.flush()
    }
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        self.inner.sequence(restart)
    }
    fn changed(&self) -> bool {
        self.inner.changed()
    }
    fn owner(&self) -> Owner {
        self.inner.owner()
    }
    fn registered_name(&self) -> String {
        self.inner.registered_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_folded_wherever_the_capital_is() {
        for length in 0..40 {
            for byte in 0..=u8::MAX {
                for at in 0..length {
                    let mut key = vec![b'@'; length];
                    key[at] = byte;
                    let want = byte.is_ascii() && !byte.is_ascii_uppercase();
                    assert_eq!(is_folded(&key), want, "{length} {byte} {at}");
                }
            }
        }
        assert!(is_folded(b""));
        assert_eq!(fold_key(BStr::new("x[Z]`{")), BStr::new("x[z]`{"));
        assert_eq!(fold_key(BStr::new("ÄÖ")), BStr::new("äö"));
        assert_eq!(fold_key(BStr::new(b"\xffA")), BStr::new(b"\xffa"));
    }
}
