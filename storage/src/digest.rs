//! A digest over all records: one number for the whole set, kept up to date by adding what is new and taking away what was
//! there before. One record that is put back, removed, added or rotten gives another digest.
//!
//! The sum says nothing to who does not know the elements, so elements are made under a secret by whoever owns one, and the
//! digest itself lies sealed: who could see two digests would know the difference of two records, and could put one back.

/// The part that one record has in a digest.
pub type Element = [u8; 32];

/// The sum of the elements of a set, lane by lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest([u64; 4]);

impl Digest {
    /// A record is new.
    pub fn add(&mut self, element: &Element) {
        self.each(element, u64::wrapping_add);
    }

    /// A record is gone.
    pub fn take_away(&mut self, element: &Element) {
        self.each(element, u64::wrapping_sub);
    }

    /// The digest of both sets together.
    pub fn join(&mut self, other: &Digest) {
        self.add(&other.to_bytes());
    }

    fn each(&mut self, element: &Element, step: impl Fn(u64, u64) -> u64) {
        for (lane, bytes) in self.0.iter_mut().zip(element.chunks_exact(8)) {
            let bytes = bytes.try_into().unwrap_or_default();
            *lane = step(*lane, u64::from_le_bytes(bytes));
        }
    }

    /// 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (out, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            out.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }

    /// What [`Digest::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut digest = Self::default();
        digest.add(bytes);
        digest
    }
}

/// Makes elements, and seals digests. An engine asks it and holds no secret itself.
pub trait Digester: Send + Sync + 'static {
    /// The element of a record: of its name, and of all that the engine keeps as its value.
    fn element(&self, name: &[u8], value: &[&[u8]]) -> Element;

    /// Seals a digest, bound to the number of the commit that it was true after. At most 128 bytes.
    fn seal(&self, number: u64, digest: &Digest) -> Vec<u8>;

    /// Opens what [`Digester::seal`] made for the same number; `None` if it did not.
    fn open(&self, number: u64, sealed: &[u8]) -> Option<Digest>;
}

/// Elements without a secret: they find what the medium does, and not who writes the medium. For tests and measurements.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unkeyed;

impl Digester for Unkeyed {
    fn element(&self, name: &[u8], value: &[&[u8]]) -> Element {
        use std::hash::{Hash, Hasher};
        let mut element = Element::default();
        for (out, lane) in element.chunks_exact_mut(8).zip(0u64..) {
            let mut hasher = std::hash::DefaultHasher::new();
            (lane, name).hash(&mut hasher);
            value.iter().for_each(|piece| hasher.write(piece));
            out.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        element
    }

    fn seal(&self, number: u64, digest: &Digest) -> Vec<u8> {
        [&number.to_le_bytes()[..], &digest.to_bytes()].concat()
    }

    fn open(&self, number: u64, sealed: &[u8]) -> Option<Digest> {
        let (of, digest) = sealed.split_first_chunk::<8>()?;
        (u64::from_le_bytes(*of) == number).then_some(())?;
        Some(Digest::from_bytes(digest.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_sets_apart_and_not_their_history() {
        let element = |name: &str, value: &str| Unkeyed.element(name.as_bytes(), &[value.as_bytes()]);
        let mut one = Digest::default();
        one.add(&element("a", "1"));
        one.add(&element("b", "1"));
        let mut other = Digest::default();
        other.add(&element("b", "0"));
        other.add(&element("a", "1"));
        assert_ne!(one, other);
        other.take_away(&element("b", "0"));
        other.add(&element("b", "1"));
        assert_eq!(one, other);
        assert_eq!(Digest::from_bytes(&one.to_bytes()), one);
        let sealed = Unkeyed.seal(7, &one);
        assert_eq!(Unkeyed.open(7, &sealed), Some(one));
        assert_eq!(Unkeyed.open(8, &sealed), None);
    }
}
