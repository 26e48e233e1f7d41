//! What only logs and traces tell of a request.

use std::cell::RefCell;
use std::sync::Arc;

use http::Version;
use kms_core::policy::Subject;
use serde_json::Value;

use super::bucket_log::LogSource;
use super::texts::{Text, Texts};

/// What only logs and traces tell of a request.
#[derive(Debug, Clone, Default)]
pub struct RequestDetail {
    /// Its target, what its head and its answer's tell, and the names that it is about.
    pub texts: Texts,
    /// The version of HTTP.
    pub version: Version,
    /// Plain bytes of the object that it reads or writes, as far as they are known.
    pub object_len: Option<u64>,
    /// How the object is encrypted: `x-amz-server-side-encryption` of the answer, or `SSE-C`.
    pub sse: Option<&'static str>,
    /// Who asks; `None`: nobody who is known.
    pub requester: Option<Requester>,
    /// How it is signed; `None`: not at all.
    pub signature: Option<Signature>,
    /// Was an ACL what allowed it?
    pub is_by_acl: bool,
    /// The connection's TLS; `None`: it has none.
    pub tls: Option<Arc<TlsSession>>,
    /// The error's message, as the client was told.
    pub error_message: Option<String>,
    /// Does anybody want `parameters` and `response`?
    pub wants_parameters: bool,
    /// Parameters that are not in the target, by the names that CloudTrail has for them, as far as they may be told: no secrets.
    pub parameters: Vec<(String, Value)>,
    /// What an answer that told of a change told, likewise.
    pub response: Vec<(String, Value)>,
    /// The objects that a multi-object delete was about.
    pub deleted: Vec<DeletedObject>,
    /// What a copy reads.
    pub copied: Option<Box<CopiedObject>>,
    /// Its bucket and the setting of that one's access logging, where that is on.
    pub log_source: Option<Box<LogSource>>,
}

thread_local! {
    /// Details that tell nothing any more: their memory is used for the requests that come next. As lines of logs are made of many
    /// requests together, these go in shoals, which an allocator has no place at hand for.
    #[allow(clippy::vec_box)] // It is the boxes that are used again.
    pub(super) static KEPT: RefCell<Vec<Box<RequestDetail>>> = const { RefCell::new(Vec::new()) };
}

impl RequestDetail {
    /// How many a thread keeps.
    pub(super) const MAX_KEPT: usize = 64;
    /// The longest texts that one of them has room for, in bytes.
    const MAX_KEPT_LEN: usize = 4 << 10;

    pub(super) fn new() -> Box<Self> {
        let kept = KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten();
        kept.unwrap_or_default()
    }

    pub(super) fn keep(mut self: Box<Self>) {
        let mut texts = std::mem::take(&mut self.texts);
        texts.clear();
        let is_large = texts.capacity() > Self::MAX_KEPT_LEN;
        *self = Self { texts, ..Self::default() };
        // A thread that ends keeps none any more.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if !is_large && kept.len() < Self::MAX_KEPT {
                kept.push(self);
            }
        });
    }

    /// The request's id as text; empty: it has none.
    pub fn request_id(&self) -> &str {
        self.texts.text(Text::RequestId).unwrap_or_default()
    }

    /// The host's id as text; empty: it has none.
    pub fn host_id(&self) -> &str {
        self.texts.text(Text::HostId).unwrap_or_default()
    }

    /// The bucket's name as text.
    pub fn bucket(&self) -> Option<&str> {
        self.texts.text(Text::Bucket)
    }

    /// The account of the bucket.
    pub fn bucket_owner(&self) -> Option<&str> {
        self.texts.text(Text::BucketOwner)
    }

    /// The object's name as text.
    pub fn object(&self) -> Option<&str> {
        self.texts.text(Text::Object)
    }
}

/// An object that a multi-object delete was about.
#[derive(Debug, Clone)]
pub struct DeletedObject {
    /// Its name.
    pub object: String,
    /// The version that was named, or the delete marker that was made.
    pub version_id: Option<String>,
    /// The status that a delete of it alone would have been answered.
    pub status: u16,
    /// Why it was not deleted.
    pub error_code: Option<&'static str>,
}

/// An object that a copy reads.
#[derive(Debug, Clone)]
pub struct CopiedObject {
    /// Its bucket.
    pub bucket: String,
    /// The account of that.
    pub bucket_owner: String,
    /// Its name.
    pub object: String,
    /// The version that is named.
    pub version_id: Option<String>,
    /// Its plain bytes, once it was found.
    pub object_len: Option<u64>,
    /// Its bucket and the setting of that one's access logging, where that is on.
    pub log_source: Option<LogSource>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Requester {
    /// As policies see it: ARN, account and, among the values of condition keys, `aws:principaltype` and `aws:userid`.
    pub subject: Arc<Subject>,
    /// The account that he acts for, 12 digits; `None`: his own.
    pub acts_for: Option<String>,
    /// The access key that signed.
    pub access_key_id: Arc<str>,
}

impl Requester {
    /// The account, 12 digits.
    pub fn account(&self) -> &str {
        self.acts_for.as_deref().unwrap_or(&self.subject.account)
    }
}

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Where the signature was.
    pub place: SignaturePlace,
    /// 2 or 4.
    pub version: u8,
}

/// Where a signature was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignaturePlace {
    /// In the header `Authorization`.
    Header,
    /// In the query.
    Query,
    /// In a form.
    Form,
}

/// The TLS of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSession {
    /// `1.2`, `1.3`.
    pub version: Option<&'static str>,
    /// The cipher suite by its name in the registry of IANA.
    pub cipher: Option<&'static str>,
    /// The host that the client asked for (SNI).
    pub server_name: Option<String>,
}
