//! Objects that point to each other by number instead of by reference. A number is never used
//! again for another object, so a stale one is noticed.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// The number of a `T`.
pub(crate) struct Id<T> {
    slot: u32,
    generation: u32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.slot, self.generation) == (other.slot, other.generation)
    }
}
impl<T> Eq for Id<T> {}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.slot, self.generation).hash(state);
    }
}
impl<T> std::fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}.{}", self.slot, self.generation)
    }
}

/// The objects of one type.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Arena<T> {
    pub(crate) fn insert(&mut self, value: T) -> Id<T> {
        self.len += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.slots[slot as usize];
        place.1 = Some(value);
        Id {
            slot,
            generation: place.0,
            kind: PhantomData,
        }
    }

    pub(crate) fn remove(&mut self, id: Id<T>) -> Option<T> {
        self.get(id)?;
        let place = self.slots.get_mut(id.slot as usize)?;
        place.0 = place.0.wrapping_add(1);
        self.free.push(id.slot);
        self.len -= 1;
        place.1.take()
    }

    pub(crate) fn get(&self, id: Id<T>) -> Option<&T> {
        match self.slots.get(id.slot as usize) {
            Some((generation, value)) if *generation == id.generation => value.as_ref(),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        match self.slots.get_mut(id.slot as usize) {
            Some((generation, value)) if *generation == id.generation => value.as_mut(),
            _ => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn ids(&self) -> Vec<Id<T>> {
        let slots = (0u32..).zip(&self.slots);
        let used = slots.filter(|(_, (_, value))| value.is_some());
        used.map(|(slot, (generation, _))| Id {
            slot,
            generation: *generation,
            kind: PhantomData,
        })
        .collect()
    }
}

/// A wrong number is a defect of this program. It ends the process; the next one starts from the
/// queue directories, where nothing is lost.
impl<T> Index<Id<T>> for Arena<T> {
    type Output = T;
    fn index(&self, id: Id<T>) -> &T {
        match self.get(id) {
            Some(value) => value,
            None => panic!("stale object number {id:?}"),
        }
    }
}

impl<T> IndexMut<Id<T>> for Arena<T> {
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        match self.get_mut(id) {
            Some(value) => value,
            None => panic!("stale object number {id:?}"),
        }
    }
}
