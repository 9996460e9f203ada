//! The parameter declarations, by area. One line declares name, type, default, bounds and meaning.

use std::marker::PhantomData;

/// A declared main.cf parameter whose value has type `T`: `String` (str and raw), `bool` (bool and
/// nbool), `i32` (int and nint), `i64` (long), [`std::time::Duration`] (time).
#[derive(Debug)]
pub struct Param<T> {
    /// Everything but the Rust type.
    pub info: &'static ParamInfo,
    /// Marks the value type.
    pub value: PhantomData<fn() -> T>,
}

impl<T> Clone for Param<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Param<T> {}

/// Type-erased declaration, for postconf and the documentation.
#[derive(Debug)]
pub struct ParamInfo {
    /// Name in main.cf.
    pub name: &'static str,
    /// Default text before expansion.
    pub default: &'static str,
}

/// Types a parameter may have.
pub trait Value: Sized {}
impl Value for String {}
impl Value for bool {}
impl Value for i32 {}
impl Value for i64 {}
impl Value for std::time::Duration {}
