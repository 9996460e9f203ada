//! The part of BER that LDAP uses: one-byte tags and definite lengths (RFC 4511 §5.1).

/// Tags that LDAP messages share.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const OCTETS: u8 = 0x04;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
}

/// The bytes are not what LDAP allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed BER")]
pub(crate) struct BerError;

/// Reads elements one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element: its tag and contents.
    pub(crate) fn any(&mut self) -> Result<(u8, &'a [u8]), BerError> {
        let (&tag, rest) = self.rest.split_first().ok_or(BerError)?;
        let (&first, rest) = rest.split_first().ok_or(BerError)?;
        let count = length_bytes(first)?;
        let (length, rest) = rest.split_at_checked(count).ok_or(BerError)?;
        let length = length_value(first, length)?;
        let (contents, rest) = rest.split_at_checked(length).ok_or(BerError)?;
        self.rest = rest;
        Ok((tag, contents))
    }

    /// The contents of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<&'a [u8], BerError> {
        match self.any()? {
            (found, contents) if found == tag => Ok(contents),
            _ => Err(BerError),
        }
    }

    /// A number with this tag, of at most four bytes.
    pub(crate) fn number(&mut self, tag: u8) -> Result<i32, BerError> {
        let contents = self.expect(tag)?;
        let (&first, _) = contents.split_first().ok_or(BerError)?;
        if contents.len() > 4 {
            return Err(BerError);
        }
        let fill = if first & 0x80 == 0 { 0 } else { 0xff };
        let mut bytes = [fill; 4];
        let target = bytes.get_mut(4 - contents.len()..).ok_or(BerError)?;
        target.copy_from_slice(contents);
        Ok(i32::from_be_bytes(bytes))
    }
}

/// How many bytes of length follow the first one.
pub(crate) fn length_bytes(first: u8) -> Result<usize, BerError> {
    match first {
        0..=0x7f => Ok(0),
        0x81..=0x84 => Ok(usize::from(first - 0x80)),
        _ => Err(BerError),
    }
}

/// The length that the first byte and those after it say.
pub(crate) fn length_value(first: u8, more: &[u8]) -> Result<usize, BerError> {
    if more.is_empty() {
        return Ok(usize::from(first));
    }
    let value = more
        .iter()
        .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    usize::try_from(value).map_err(|_| BerError)
}

/// Appends an element.
pub(crate) fn put(out: &mut Vec<u8>, tag: u8, contents: &[u8]) {
    out.push(tag);
    match u8::try_from(contents.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = contents.len().to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let bytes = bytes.get(zeros..).unwrap_or_default();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(0x7f));
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(contents);
}

/// Appends a number.
pub(crate) fn put_number(out: &mut Vec<u8>, tag: u8, value: i32) {
    let bytes = value.to_be_bytes();
    // Leading bytes that only repeat the sign are left out.
    let needless = bytes
        .windows(2)
        .take_while(|pair| {
            matches!(pair, [0, low] if low & 0x80 == 0)
                || matches!(pair, [0xff, low] if low & 0x80 != 0)
        })
        .count();
    put(out, tag, bytes.get(needless..).unwrap_or_default());
}

/// Appends an element whose contents `fill` writes.
pub(crate) fn put_with(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut contents = Vec::new();
    fill(&mut contents);
    put(out, tag, &contents);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        #[rustfmt::skip]
        let cases: &[(i32, &[u8])] = &[
            (0, &[2, 1, 0]), (127, &[2, 1, 127]), (128, &[2, 2, 0, 128]), (-1, &[2, 1, 0xff]),
            (-128, &[2, 1, 0x80]), (-129, &[2, 2, 0xff, 0x7f]), (i32::MAX, &[2, 4, 0x7f, 0xff, 0xff, 0xff]),
        ];
        for (value, want) in cases {
            let mut out = Vec::new();
            put_number(&mut out, tag::INTEGER, *value);
            assert_eq!(&out, want);
            assert_eq!(Reader::new(&out).number(tag::INTEGER), Ok(*value));
        }
    }

    #[test]
    fn broken_elements_are_refused() {
        #[rustfmt::skip]
        let cases: &[&[u8]] = &[
            &[], &[4], &[4, 1], &[4, 0x80], &[4, 0x81], &[4, 0x85, 0, 0, 0, 0, 0], &[4, 0x84, 0xff, 0xff, 0xff, 0xff],
        ];
        for case in cases {
            assert_eq!(Reader::new(case).any(), Err(BerError), "{case:?}");
        }
        assert_eq!(Reader::new(&[2, 0]).number(2), Err(BerError));
        assert_eq!(Reader::new(&[2, 5, 0, 0, 0, 0, 1]).number(2), Err(BerError));
        assert_eq!(Reader::new(&[4, 0]).expect(2), Err(BerError));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(length in prop_oneof![0usize..300, 65_000usize..66_000], byte: u8) {
            let contents = vec![byte; length];
            let mut out = Vec::new();
            put(&mut out, tag::OCTETS, &contents);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.expect(tag::OCTETS).unwrap(), contents.as_slice());
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = Reader::new(&bytes);
            while reader.any().is_ok() {}
        }
    }
}
