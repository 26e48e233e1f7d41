//! Where an object lies in its store: its name tells the blob's id, and the id the name.

use object_store::path::Path;

use crate::name::BlobId;
use crate::session::{SessionId, in_pack, is_packed, pack_and_place};

/// The folder of what is in quarantine.
const QUARANTINE: &str = "quarantine";

/// The beginning of an id: its session, where it tells one.
pub(super) fn session_of(id: BlobId) -> SessionId {
    let [a, b, c, d, ..] = *id.as_bytes();
    SessionId(u32::from_be_bytes([a, b, c, d]))
}

/// Hexadecimal digits of a place in a pack, at the end of names.
const PLACE_DIGITS: usize = 6;
/// Places that the name of a tombstone has at the most: file systems below some stores take 255 letters.
pub(super) const PLACES_PER_NAME: usize = 30;

/// What the name of an object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// It is this blob, or this pack.
    Object(BlobId),
    /// What begins at these places of a pack is deleted.
    Tombstone(BlobId, Vec<u32>),
}

/// Names below a prefix.
#[derive(Debug, Clone)]
pub(super) struct Places {
    prefix: Path,
}

impl Places {
    pub fn new(prefix: Path) -> Self {
        Self { prefix }
    }

    /// `PREFIX/REST`, where `rest` has only letters that stand for themselves in a name.
    fn below(&self, rest: &str) -> Path {
        let prefix = self.prefix.as_ref();
        let whole = if prefix.is_empty() { rest.to_owned() } else { format!("{prefix}/{rest}") };
        Path::parse(whole).expect("a name of hexadecimal digits below a sound prefix")
    }

    /// All names.
    pub fn root(&self) -> &Path {
        &self.prefix
    }

    /// The object of a blob.
    pub fn of(&self, id: BlobId) -> Path {
        let bytes = id.as_bytes();
        let [session, rest] = [&bytes[..4], &bytes[5..]].map(hex::encode);
        self.below(&format!("{:02x}/{session}/{rest}", bytes[4]))
    }

    /// The object that a blob lies in, and where it begins there.
    pub fn lies(&self, id: BlobId) -> (Path, u64) {
        match pack_and_place(&id) {
            Some((pack, place)) => (self.of(pack), u64::from(place)),
            None => (self.of(id), 0),
        }
    }

    /// The tombstone of what begins at these places of a pack, at most [`PLACES_PER_NAME`]. It sorts right behind the pack.
    pub fn tombstone(&self, pack: BlobId, places: &[u32]) -> Path {
        let bytes = pack.as_bytes();
        let [session, number] = [&bytes[..4], &bytes[5..13]].map(hex::encode);
        let mut name = format!("{:02x}/{session}/{number}", bytes[4]);
        for place in places {
            name.push_str(&format!("{place:06x}"));
        }
        self.below(&name)
    }

    /// What this object is; `None`: nothing of blobs.
    pub fn named(&self, object: &Path) -> Option<Name> {
        let mut parts = object.prefix_match(&self.prefix)?;
        let [shard, session, rest] = [parts.next()?, parts.next()?, parts.next()?];
        if parts.next().is_some() {
            return None;
        }
        let rest = rest.as_ref();
        let (first, more) = rest.split_at_checked(22)?;
        let mut id = [0; 16];
        hex::decode_to_slice(session.as_ref(), &mut id[..4]).ok()?;
        hex::decode_to_slice(shard.as_ref(), &mut id[4..5]).ok()?;
        hex::decode_to_slice(first, &mut id[5..]).ok()?;
        let id = BlobId::from_bytes(id);
        // Digits in upper case are another name.
        if !is_packed(&id) || (more.is_empty() && pack_and_place(&id).is_none()) {
            return (self.of(id) == *object).then_some(Name::Object(id));
        }
        let digits = rest.as_bytes()[16..].chunks(PLACE_DIGITS);
        let places: Option<Vec<u32>> =
            digits.map(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()).collect();
        let (pack, places) = (in_pack(id, 0), places?);
        (self.tombstone(pack, &places) == *object).then_some(Name::Tombstone(pack, places))
    }

    /// The shard of this folder, if it is one.
    pub fn shard_in(&self, folder: &Path) -> Option<u8> {
        let mut parts = folder.prefix_match(&self.prefix)?;
        let (name, rest) = (parts.next()?, parts.next());
        let mut shard = [0];
        hex::decode_to_slice(name.as_ref(), &mut shard).ok()?;
        (rest.is_none() && name.as_ref() == format!("{:02x}", shard[0])).then_some(shard[0])
    }

    /// The folder of a shard.
    pub fn shard(&self, shard: u8) -> Path {
        self.below(&format!("{shard:02x}"))
    }

    /// The folder of a session in a shard.
    pub fn session(&self, shard: u8, session: SessionId) -> Path {
        self.below(&format!("{shard:02x}/{:08x}", session.0))
    }

    /// A name before everything of a session in a shard, and behind the session before. Not the folder itself: SeaweedFS takes what lies
    /// in a folder for listed with it.
    pub fn before_session(&self, shard: u8, session: SessionId) -> Path {
        self.below(&format!("{shard:02x}/{:08x}/-", session.0))
    }

    /// A name behind everything of a session in a shard, and before the next session.
    pub fn behind_session(&self, shard: u8, session: SessionId) -> Path {
        self.below(&format!("{shard:02x}/{:08x}/g", session.0))
    }

    /// The folder of what is in quarantine.
    pub fn quarantine(&self) -> Path {
        self.below(QUARANTINE)
    }

    /// What an object in quarantine is called: the blob, when it came there in unix milliseconds, and why.
    pub fn quarantined(&self, id: BlobId, since_ms: u64, why: &str) -> Path {
        self.below(&format!("{QUARANTINE}/{id}-{since_ms}-{why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{alone_in_shard, packed_in_shard, unpacked};

    #[test]
    fn a_name_tells_the_id_and_no_other_does() {
        for prefix in ["", "blobs", "a/b c/ü"] {
            let places = Places::new(Path::from(prefix));
            for id in [
                alone_in_shard(SessionId(7), 0xa, 1),
                alone_in_shard(SessionId(u32::MAX), 255, u64::MAX),
                packed_in_shard(SessionId(7), 0xa, 1, 0),
                unpacked(packed_in_shard(SessionId(7), 0xa, 1, 99)),
                BlobId::from_bytes([0xab; 16]),
            ] {
                let name = places.of(id);
                assert_eq!(places.named(&name), Some(Name::Object(id)), "{name}");
                let upper = name.as_ref().to_uppercase();
                let upper = Path::parse(upper).ok().and_then(|upper| places.named(&upper));
                // Digits alone are the same in both.
                assert!(upper.is_none() || name.as_ref().to_uppercase() == name.as_ref());
                assert_eq!(places.named(&places.quarantined(id, 5, "u")), None);
            }
            assert_eq!(places.shard_in(&places.shard(0x1f)), Some(0x1f));
            assert_eq!(places.shard_in(&places.quarantine()), None);
        }
        let id = alone_in_shard(SessionId(0x0102_0304), 5, 9);
        assert_eq!(session_of(id), SessionId(0x0102_0304));
        assert_eq!(crate::session::BlobIds::parse(&id), Some((SessionId(0x0102_0304), 9)));
        let name = Places::new(Path::from("p")).of(id);
        assert_eq!(name.as_ref(), "p/05/01020304/0000000000000000000009");
    }

    #[test]
    fn a_tombstone_sorts_behind_its_pack_and_before_the_next() {
        let places = Places::new(Path::from("p"));
        let [pack, next] = [9, 10].map(|number| packed_in_shard(SessionId(0x0102_0304), 5, number, 0));
        assert_eq!(places.of(pack).as_ref(), "p/05/01020304/0100000000000009000000");
        assert_eq!(places.lies(in_pack(pack, 0x40)), (places.of(pack), 0x40));
        for dead in [vec![0x40], vec![0x40, 0x1_2345, 0xff_ffff]] {
            let name = places.tombstone(pack, &dead);
            assert_eq!(places.named(&name), Some(Name::Tombstone(pack, dead)));
            assert!(places.of(pack) < name && name < places.of(next));
            assert_eq!(places.named(&places.below(&format!("{}7", &name.as_ref()[2..]))), None);
        }
        let name = places.tombstone(pack, &[0x40]);
        assert_eq!(name.as_ref(), "p/05/01020304/0100000000000009000040");
        assert_eq!(places.of(in_pack(pack, 0x40)), name, "no object lies there");
    }
}
