//! Parts that not every machine has, behind those that every one has: so a machine without them is
//! encoded as it ever was, and a peer that does not know one refuses the machine.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::snapshot::SectionKind;

/// The parts, by the number of the section that has them in a snapshot.
#[derive(Debug, Default)]
pub(super) struct ExtraParts(Vec<(u32, Vec<u8>)>);

/// Bytes that are not what this program writes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They end too early, or are no such value.
    #[error(transparent)]
    Postcard(#[from] postcard::Error),
    /// A part that only a newer program knows.
    #[error("the machine has a part (kind {0}) that this vmm does not know")]
    Unknown(u32),
    /// Something follows the last part.
    #[error("{0} bytes follow the machine's last part")]
    Rest(usize),
}

impl ExtraParts {
    /// Adds one, if the machine has it.
    pub(super) fn add<T: Serialize>(
        &mut self,
        kind: SectionKind,
        part: Option<&T>,
    ) -> Result<(), Error> {
        if let Some(part) = part {
            self.0.push((kind.number(), postcard::to_stdvec(part)?));
        }
        Ok(())
    }

    /// Takes one out.
    pub(super) fn take<T: DeserializeOwned>(
        &mut self,
        kind: SectionKind,
    ) -> Result<Option<T>, Error> {
        let Some(at) = self
            .0
            .iter()
            .position(|(number, _)| *number == kind.number())
        else {
            return Ok(None);
        };
        let (_, bytes) = self.0.remove(at);
        let (part, rest) = postcard::take_from_bytes(&bytes)?;
        if rest.is_empty() {
            Ok(Some(part))
        } else {
            Err(Error::Rest(rest.len()))
        }
    }

    /// Nothing may be left that nobody took.
    pub(super) fn finish(self) -> Result<(), Error> {
        match self.0.first() {
            None => Ok(()),
            Some((number, _)) => Err(Error::Unknown(*number)),
        }
    }

    /// `common`, and the parts if there are any.
    pub(super) fn behind(self, common: &impl Serialize) -> Result<Vec<u8>, Error> {
        let mut bytes = postcard::to_stdvec(common)?;
        if !self.0.is_empty() {
            bytes.extend(postcard::to_stdvec(&self.0)?);
        }
        Ok(bytes)
    }

    /// What [`Self::behind`] put together.
    pub(super) fn split<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Self), Error> {
        let (common, rest) = postcard::take_from_bytes(bytes)?;
        if rest.is_empty() {
            return Ok((common, Self::default()));
        }
        let (parts, rest) = postcard::take_from_bytes(rest)?;
        if rest.is_empty() {
            Ok((common, Self(parts)))
        } else {
            Err(Error::Rest(rest.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_parts_nothing_is_added() {
        let bytes = ExtraParts::default().behind(&7_u32).unwrap();
        assert_eq!(bytes, postcard::to_stdvec(&7_u32).unwrap());
        let (common, parts): (u32, _) = ExtraParts::split(&bytes).unwrap();
        assert_eq!(common, 7);
        parts.finish().unwrap();
    }

    #[test]
    fn a_part_comes_back_and_one_that_nobody_takes_is_an_error() {
        let mut parts = ExtraParts::default();
        parts.add(SectionKind::Pc, None::<&u32>).unwrap();
        parts.add(SectionKind::Xen, Some(&"xen")).unwrap();
        let bytes = parts.behind(&7_u32).unwrap();
        let (_, mut parts) = ExtraParts::split::<u32>(&bytes).unwrap();
        let part: Option<String> = parts.take(SectionKind::Xen).unwrap();
        assert_eq!(part.as_deref(), Some("xen"));
        parts.finish().unwrap();
        let (_, untaken) = ExtraParts::split::<u32>(&bytes).unwrap();
        assert!(matches!(untaken.finish(), Err(Error::Unknown(8))));
    }

    #[test]
    fn nothing_may_follow() {
        let mut parts = ExtraParts::default();
        parts.add(SectionKind::Xen, Some(&1_u8)).unwrap();
        let mut bytes = parts.behind(&7_u32).unwrap();
        bytes.push(0);
        let split = ExtraParts::split::<u32>(&bytes);
        assert!(matches!(split, Err(Error::Rest(1))));
        bytes.truncate(2);
        assert!(ExtraParts::split::<u32>(&bytes).is_err());
    }
}
