//! The texts that are told of a request, one behind the other in a buffer: none has memory of its own, and none holds what the connection
//! reads into.

/// The first size of a buffer, in bytes: most requests' texts have room in it.
const USUAL_LEN: usize = 512;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// The path of the target, as it was sent.
    Path,
    /// Its query, likewise.
    Query,
    /// `Host`, or the authority of HTTP/2, as it was sent.
    Host,
    /// `Referer`.
    Referer,
    /// `User-Agent`.
    UserAgent,
    /// `traceparent`: the trace that it belongs to.
    TraceParent,
    /// `x-amz-request-id` of the answer.
    RequestId,
    /// `x-amz-id-2` of the answer, where the service has one.
    HostId,
    /// The bucket that the request names.
    Bucket,
    /// The account of that bucket, if there is one.
    BucketOwner,
    /// The object that it names.
    Object,
    /// The version that it names, or that it wrote.
    VersionId,
}

const COUNT: usize = Text::VersionId as usize + 1;

/// Texts, at most one of each kind.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    /// Of each kind where it begins and ends.
    places: [Option<(u32, u32)>; COUNT],
}

impl Texts {
    /// A text as bytes; `None`: there is none.
    pub fn bytes(&self, text: Text) -> Option<&[u8]> {
        let (begin, end) = self.places[text as usize]?;
        self.bytes.get(begin as usize..end as usize)
    }

    /// A text; `None`: there is none, or it is no text.
    pub fn text(&self, text: Text) -> Option<&str> {
        std::str::from_utf8(self.bytes(text)?).ok()
    }

    /// Takes a text, in place of a former one. None is as long as 4 GiB: those of heads of requests are bounded, as names are.
    pub fn set(&mut self, text: Text, value: impl AsRef<[u8]>) {
        let begin = self.bytes.len();
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(USUAL_LEN);
        }
        self.bytes.extend_from_slice(value.as_ref());
        let place = (u32::try_from(begin), u32::try_from(self.bytes.len()));
        if let (Ok(begin), Ok(end)) = place {
            self.places[text as usize] = Some((begin, end));
        }
    }

    /// Wipes all of them (a query may have a session's token), but keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.fill(0);
        self.bytes.clear();
        self.places = Default::default();
    }

    /// The length that the buffer has room for, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_as_it_was_set_last() {
        let mut texts = Texts::default();
        assert_eq!(texts.bytes(Text::Path), None);
        texts.set(Text::Path, "/bucket/key");
        texts.set(Text::VersionId, "first");
        texts.set(Text::Host, b"h\xff");
        texts.set(Text::VersionId, "second");
        texts.set(Text::Query, "");
        assert_eq!(texts.text(Text::Path), Some("/bucket/key"));
        assert_eq!(texts.text(Text::VersionId), Some("second"));
        assert_eq!(texts.text(Text::Query), Some(""));
        assert_eq!((texts.bytes(Text::Host), texts.text(Text::Host)), (Some(&b"h\xff"[..]), None));
        assert_eq!(texts.bytes(Text::Referer), None);
        texts.clear();
        assert_eq!((texts.bytes(Text::Path), texts.bytes(Text::VersionId)), (None, None));
        assert!(texts.capacity() > 0);
    }
}
