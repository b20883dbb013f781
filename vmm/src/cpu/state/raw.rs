//! The kernel's structures as byte strings of their exact size.
//!
//! This is what keeps the wire form stable: it is the kernel's own ABI, which does not change, and
//! nobody's field names or serde implementations.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// One structure of the kernel's ABI.
#[derive(Clone, Copy, Debug)]
pub struct Raw<T>(pub T);

impl<T: FromZeros> Default for Raw<T> {
    fn default() -> Self {
        Self(T::new_zeroed())
    }
}

impl<T: IntoBytes + Immutable> PartialEq for Raw<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl<T: IntoBytes + Immutable> Serialize for Raw<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_bytes())
    }
}

impl<'de, T: FromBytes> Deserialize<'de> for Raw<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(RawVisitor(PhantomData))
    }
}

struct RawVisitor<T>(PhantomData<T>);

impl<T: FromBytes> Visitor<'_> for RawVisitor<T> {
    type Value = Raw<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} bytes of {}", size_of::<T>(), name::<T>())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Raw<T>, E> {
        T::read_from_bytes(bytes)
            .map(Raw)
            .map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

/// At most `MAX` structures of the kernel's ABI, one after the other.
#[derive(Clone, Debug)]
pub struct RawList<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for RawList<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> RawList<T, MAX> {
    /// The list, if it is not too long.
    #[must_use]
    pub fn new(items: Vec<T>) -> Option<Self> {
        (items.len() <= MAX).then_some(Self(items))
    }

    /// The structures.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The structures, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T: IntoBytes + Immutable, const MAX: usize> PartialEq for RawList<T, MAX> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl<T: IntoBytes + Immutable, const MAX: usize> Serialize for RawList<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_bytes())
    }
}

impl<'de, T: FromBytes, const MAX: usize> Deserialize<'de> for RawList<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

impl<T: FromBytes, const MAX: usize> Visitor<'_> for ListVisitor<T, MAX> {
    type Value = RawList<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = size_of::<T>();
        write!(f, "at most {MAX} times the {each} bytes of {}", name::<T>())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<RawList<T, MAX>, E> {
        let wrong = || E::invalid_length(bytes.len(), &self);
        let each = size_of::<T>();
        if !bytes.len().is_multiple_of(each) || bytes.len() / each > MAX {
            return Err(wrong());
        }
        let items = bytes.chunks_exact(each).map(T::read_from_bytes);
        let items: Result<_, _> = items.collect();
        items.map(RawList).map_err(|_| wrong())
    }
}

/// The structure's name without its path.
fn name<T>() -> &'static str {
    type_name::<T>().rsplit("::").next().unwrap_or_default()
}

#[cfg(test)]
#[path = "raw_test.rs"]
mod tests;
