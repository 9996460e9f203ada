//! Values by key for a table that is in memory as a whole: a text, a place for each entry, and an
//! index; three pieces of memory, however many entries there are.

use std::io;

use crate::hash::Seed;

/// One entry: where its key and its value are in the text.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u32,
    key: u32,
    key_length: u32,
    value: u32,
    value_length: u32,
}

/// A slot of the index: part of the hash, and the entry counted from 1; 0 for none.
type Slot = (u32, u32);

/// The entries.
#[derive(Debug)]
pub(crate) struct Strings {
    text: Vec<u8>,
    places: Vec<Place>,
    /// A power of two, at most half of which is in use.
    slots: Vec<Slot>,
    seed: Seed,
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A position or length; more than 4 GiB are refused.
fn small(number: usize) -> io::Result<u32> {
    u32::try_from(number).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

/// The half of a hash that is remembered.
fn short(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(0)
}

impl Strings {
    /// No entries, with room for `bytes` of keys and values.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            places: Vec::new(),
            slots: vec![(0, 0); 16],
            seed: Seed::random(),
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let place = self.places.get(self.find(self.hash(key), key).ok()?)?;
        self.part(place.value, place.value_length)
    }

    /// The key and the value of the entry that came as number `entry`.
    pub(crate) fn entry(&self, entry: usize) -> Option<(&[u8], &[u8])> {
        let place = self.places.get(entry)?;
        Some((
            self.part(place.key, place.key_length)?,
            self.part(place.value, place.value_length)?,
        ))
    }

    /// Adds an entry; `false` when the key has one already, which stays.
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) -> io::Result<bool> {
        let hash = self.hash(key);
        let Err(slot) = self.find(hash, key) else {
            return Ok(false);
        };
        let place = Place {
            hash,
            key: self.keep(key)?,
            key_length: small(key.len())?,
            value: self.keep(value)?,
            value_length: small(value.len())?,
        };
        self.places.push(place);
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = (hash, small(self.places.len())?);
        }
        if self.places.len() * 2 > self.slots.len() {
            self.grow()?;
        }
        Ok(true)
    }

    /// Gives `key`, which has an entry, another value.
    pub(crate) fn replace(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let (start, length) = (self.keep(value)?, small(value.len())?);
        if let Ok(entry) = self.find(self.hash(key), key)
            && let Some(place) = self.places.get_mut(entry)
        {
            (place.value, place.value_length) = (start, length);
        }
        Ok(())
    }

    fn hash(&self, key: &[u8]) -> u32 {
        short(self.seed.hash(key))
    }

    fn part(&self, start: u32, length: u32) -> Option<&[u8]> {
        self.text.get(index(start)..)?.get(..index(length))
    }

    fn keep(&mut self, bytes: &[u8]) -> io::Result<u32> {
        let start = small(self.text.len())?;
        self.text.extend_from_slice(bytes);
        Ok(start)
    }

    /// The entry with `key`, or else the free slot for it.
    fn find(&self, hash: u32, key: &[u8]) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = index(hash) & mask;
        // Half of the slots are free.
        while let Some(&(stored, number)) = self.slots.get(slot) {
            let Some(entry) = number.checked_sub(1) else {
                break;
            };
            let entry = index(entry);
            if stored == hash
                && let Some(place) = self.places.get(entry)
                && self.part(place.key, place.key_length) == Some(key)
            {
                return Ok(entry);
            }
            slot = (slot + 1) & mask;
        }
        Err(slot)
    }

    fn grow(&mut self) -> io::Result<()> {
        let mask = self.slots.len() * 4 - 1;
        let mut slots: Vec<Slot> = vec![(0, 0); mask + 1];
        for (entry, place) in self.places.iter().enumerate() {
            let mut at = index(place.hash) & mask;
            while slots.get(at).is_some_and(|slot| slot.1 != 0) {
                at = (at + 1) & mask;
            }
            if let Some(slot) = slots.get_mut(at) {
                *slot = (place.hash, small(entry + 1)?);
            }
        }
        self.slots = slots;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn entries_are_found_replaced_and_kept_in_order() {
        let mut strings = Strings::with_room(0);
        let mut model = BTreeMap::new();
        for n in 0..5000_u32 {
            let (key, value) = (format!("key{}", n % 3000), format!("value{n}"));
            let is_new = strings.insert(key.as_bytes(), value.as_bytes()).unwrap();
            assert_eq!(is_new, !model.contains_key(&key), "{key}");
            if !is_new && n % 2 == 0 {
                strings.replace(key.as_bytes(), value.as_bytes()).unwrap();
            }
            if is_new || n % 2 == 0 {
                model.insert(key, value);
            }
        }
        assert_eq!(strings.len(), model.len());
        for (key, value) in &model {
            assert_eq!(strings.get(key.as_bytes()), Some(value.as_bytes()), "{key}");
        }
        assert_eq!(strings.get(b"key3000"), None);
        assert_eq!(strings.get(b""), None);
        assert_eq!(strings.entry(7).map(|entry| entry.0), Some(&b"key7"[..]));
        assert_eq!(strings.entry(3000), None);
        assert!(strings.insert(b"", b"").unwrap());
        assert_eq!(strings.get(b""), Some(&b""[..]));
    }
}
