//! Where an object lies in its store: its name tells the blob's id, and the id the name.

use object_store::path::Path;

use crate::name::BlobId;
use crate::session::SessionId;

/// The folder of what is in quarantine.
const QUARANTINE: &str = "quarantine";

/// The beginning of an id: its session, where it tells one.
pub(super) fn session_of(id: BlobId) -> SessionId {
    let [a, b, c, d, ..] = *id.as_bytes();
    SessionId(u32::from_be_bytes([a, b, c, d]))
}

/// The id of a session's blob of this number in a shard.
pub(super) fn id_in_shard(session: SessionId, shard: u8, number: u64) -> BlobId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&session.0.to_be_bytes());
    id[4] = shard;
    id[8..].copy_from_slice(&number.to_be_bytes());
    BlobId::from_bytes(id)
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

    /// The blob whose object this is.
    pub fn id_in(&self, object: &Path) -> Option<BlobId> {
        let mut parts = object.prefix_match(&self.prefix)?;
        let [shard, session, rest] = [parts.next()?, parts.next()?, parts.next()?];
        if parts.next().is_some() {
            return None;
        }
        let mut id = [0; 16];
        hex::decode_to_slice(session.as_ref(), &mut id[..4]).ok()?;
        hex::decode_to_slice(shard.as_ref(), &mut id[4..5]).ok()?;
        hex::decode_to_slice(rest.as_ref(), &mut id[5..]).ok()?;
        let id = BlobId::from_bytes(id);
        // Digits in upper case are another name.
        (self.of(id) == *object).then_some(id)
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

    #[test]
    fn a_name_tells_the_id_and_no_other_does() {
        for prefix in ["", "blobs", "a/b c/ü"] {
            let places = Places::new(Path::from(prefix));
            for id in [
                id_in_shard(SessionId(7), 0xa, 1),
                id_in_shard(SessionId(u32::MAX), 255, u64::MAX),
                BlobId::from_bytes([0xab; 16]),
            ] {
                let name = places.of(id);
                assert_eq!(places.id_in(&name), Some(id), "{name}");
                let upper = name.as_ref().to_uppercase();
                assert_ne!(Path::parse(upper).ok().and_then(|upper| places.id_in(&upper)), Some(id));
                assert_eq!(places.id_in(&places.quarantined(id, 5, "u")), None);
            }
            assert_eq!(places.shard_in(&places.shard(0x1f)), Some(0x1f));
            assert_eq!(places.shard_in(&places.quarantine()), None);
        }
        let id = id_in_shard(SessionId(0x0102_0304), 5, 9);
        assert_eq!(session_of(id), SessionId(0x0102_0304));
        assert_eq!(crate::session::BlobIds::parse(&id), Some((SessionId(0x0102_0304), 9)));
        let name = Places::new(Path::from("p")).of(id);
        assert_eq!(name.as_ref(), "p/05/01020304/0000000000000000000009");
    }
}
