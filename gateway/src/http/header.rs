//! Every `x-amz-` header name, once.

use ::http::HeaderName;

/// What the name of every user metadata header begins with.
pub const META_PREFIX: &str = "x-amz-meta-";
/// What the name of every header of an access grant begins with.
pub const GRANT_PREFIX: &str = "x-amz-grant-";
/// What the name of every object lock header begins with.
pub const OBJECT_LOCK_PREFIX: &str = "x-amz-object-lock-";
/// What the name of every checksum header begins with; the algorithm follows.
pub const CHECKSUM_PREFIX: &str = "x-amz-checksum-";
/// What all of these names begin with.
pub const AMZ_PREFIX: &str = "x-amz-";
/// The field of a form that names the algorithm of its signature.
pub const ALGORITHM_FIELD: &str = "x-amz-algorithm";
/// The field of a form that names who signed it.
pub const CREDENTIAL_FIELD: &str = "x-amz-credential";
/// The text of [`DATE`].
pub const DATE_NAME: &str = "x-amz-date";
/// The parameter of a presigned URL that has its signature.
pub const SIGNATURE_PARAMETER: &str = "x-amz-signature";
/// AWS's text for a body whose SHA-256 is another than [`CONTENT_SHA256`] says.
pub const CONTENT_SHA256_MISMATCH_TEXT: &str =
    "The provided 'x-amz-content-sha256' header does not match what was computed.";

/// Is this (lower-case) name one that a presigned URL is signed with, rather than a header in the query?
pub fn is_signing_parameter(name: &str) -> bool {
    matches!(
        name,
        "x-amz-algorithm"
            | "x-amz-credential"
            | "x-amz-date"
            | "x-amz-expires"
            | "x-amz-signedheaders"
            | "x-amz-signature"
            | "x-amz-security-token"
            | "x-amz-content-sha256"
    )
}

/// Beginnings of names of headers that protect data: what nobody knows of these is refused, since it might mean something. Other names
/// that nobody knows are ignored, as S3 does: clients send headers that are meant for something between them and S3.
pub const PROTECTING: [&str; 7] = [
    "x-amz-server-side-encryption",
    "x-amz-object-lock",
    "x-amz-checksum",
    "x-amz-copy-source",
    "x-amz-acl",
    "x-amz-grant",
    "x-amz-tagging",
];

/// Headers that say how an object is to be encrypted with a key of the gateway's.
pub const ENCRYPTION: [HeaderName; 4] = [SSE, SSE_KMS_KEY_ID, SSE_CONTEXT, SSE_BUCKET_KEY_ENABLED];

macro_rules! names {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
        $( $(#[$doc])* pub const $constant: HeaderName = HeaderName::from_static($name); )*

        /// Is it one of these names?
        pub fn is_known(name: &str) -> bool {
            matches!(name, $($name)|*)
        }
    };
}

/// The text of [`CONTENT_SHA256`].
pub const CONTENT_SHA256_NAME: &str = "x-amz-content-sha256";

names! {
    /// The operation of a JSON protocol.
    TARGET = "x-amz-target";
    /// The id of a request of KMS, IAM or STS.
    AMZN_REQUEST_ID = "x-amzn-requestid";
    /// The request's id.
    REQUEST_ID = "x-amz-request-id";
    /// The request's extended id.
    ID_2 = "x-amz-id-2";
    /// Hash of the payload, or how it is signed.
    CONTENT_SHA256 = "x-amz-content-sha256";
    /// When a request was signed.
    DATE = "x-amz-date";
    /// Why a request was denied, sealed for DecodeAuthorizationMessage.
    AUTHORIZATION_MESSAGE = "x-sealgate-authorization-message";
    /// The token of temporary credentials.
    SECURITY_TOKEN = "x-amz-security-token";
    /// Plain length of an aws-chunked body.
    DECODED_CONTENT_LENGTH = "x-amz-decoded-content-length";
    /// Names of the headers that trail an aws-chunked body.
    TRAILER = "x-amz-trailer";
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    SSE = "x-amz-server-side-encryption";
    /// Key id, key ARN, alias name or alias ARN.
    SSE_KMS_KEY_ID = "x-amz-server-side-encryption-aws-kms-key-id";
    /// Base64 of a JSON object of strings.
    SSE_CONTEXT = "x-amz-server-side-encryption-context";
    /// `true` or `false`.
    SSE_BUCKET_KEY_ENABLED = "x-amz-server-side-encryption-bucket-key-enabled";
    /// `AES256`.
    SSE_C_ALGORITHM = "x-amz-server-side-encryption-customer-algorithm";
    /// Base64 of a 256-bit key.
    SSE_C_KEY = "x-amz-server-side-encryption-customer-key";
    /// Base64 of the key's MD5.
    SSE_C_KEY_MD5 = "x-amz-server-side-encryption-customer-key-md5";
    /// As [`SSE_C_ALGORITHM`], for the source of a copy.
    COPY_SOURCE_SSE_C_ALGORITHM = "x-amz-copy-source-server-side-encryption-customer-algorithm";
    /// As [`SSE_C_KEY`], for the source of a copy.
    COPY_SOURCE_SSE_C_KEY = "x-amz-copy-source-server-side-encryption-customer-key";
    /// As [`SSE_C_KEY_MD5`], for the source of a copy.
    COPY_SOURCE_SSE_C_KEY_MD5 = "x-amz-copy-source-server-side-encryption-customer-key-md5";
    /// Base64 of the content's CRC32.
    CHECKSUM_CRC32 = "x-amz-checksum-crc32";
    /// Base64 of the content's CRC32C.
    CHECKSUM_CRC32C = "x-amz-checksum-crc32c";
    /// Base64 of the content's CRC64NVME.
    CHECKSUM_CRC64NVME = "x-amz-checksum-crc64nvme";
    /// Base64 of the content's SHA1.
    CHECKSUM_SHA1 = "x-amz-checksum-sha1";
    /// Base64 of the content's SHA256.
    CHECKSUM_SHA256 = "x-amz-checksum-sha256";
    /// Base64 of the content's SHA512.
    CHECKSUM_SHA512 = "x-amz-checksum-sha512";
    /// Base64 of the content's MD5.
    CHECKSUM_MD5 = "x-amz-checksum-md5";
    /// Base64 of the content's XXHASH64.
    CHECKSUM_XXHASH64 = "x-amz-checksum-xxhash64";
    /// Base64 of the content's XXHASH3.
    CHECKSUM_XXHASH3 = "x-amz-checksum-xxhash3";
    /// Base64 of the content's XXHASH128.
    CHECKSUM_XXHASH128 = "x-amz-checksum-xxhash128";
    /// The signature of an aws-chunked body's trailers; itself a trailer.
    TRAILER_SIGNATURE = "x-amz-trailer-signature";
    /// The source of a copy: `bucket/key`, percent-encoded.
    COPY_SOURCE = "x-amz-copy-source";
    /// `If-Match` on the source of a copy.
    COPY_SOURCE_IF_MATCH = "x-amz-copy-source-if-match";
    /// `If-None-Match` on the source of a copy.
    COPY_SOURCE_IF_NONE_MATCH = "x-amz-copy-source-if-none-match";
    /// `If-Modified-Since` on the source of a copy.
    COPY_SOURCE_IF_MODIFIED_SINCE = "x-amz-copy-source-if-modified-since";
    /// `If-Unmodified-Since` on the source of a copy.
    COPY_SOURCE_IF_UNMODIFIED_SINCE = "x-amz-copy-source-if-unmodified-since";
    /// The range of the source that becomes a part.
    COPY_SOURCE_RANGE = "x-amz-copy-source-range";
    /// The version that was copied.
    COPY_SOURCE_VERSION_ID = "x-amz-copy-source-version-id";
    /// `COPY` or `REPLACE`.
    METADATA_DIRECTIVE = "x-amz-metadata-directive";
    /// `COPY` or `REPLACE`.
    TAGGING_DIRECTIVE = "x-amz-tagging-directive";
    /// `COPY` or `EXCLUDE`.
    ANNOTATION_DIRECTIVE = "x-amz-object-annotation-directive";
    /// The storage class of an object.
    STORAGE_CLASS = "x-amz-storage-class";
    /// Tags of an object, form-encoded.
    TAGGING = "x-amz-tagging";
    /// How many tags an object has.
    TAGGING_COUNT = "x-amz-tagging-count";
    /// Where a website endpoint sends the reader on to.
    WEBSITE_REDIRECT_LOCATION = "x-amz-website-redirect-location";
    /// A canned ACL.
    ACL = "x-amz-acl";
    /// An access grant.
    GRANT_FULL_CONTROL = "x-amz-grant-full-control";
    /// An access grant.
    GRANT_READ = "x-amz-grant-read";
    /// An access grant.
    GRANT_READ_ACP = "x-amz-grant-read-acp";
    /// An access grant.
    GRANT_WRITE = "x-amz-grant-write";
    /// An access grant.
    GRANT_WRITE_ACP = "x-amz-grant-write-acp";
    /// Append at this offset.
    WRITE_OFFSET_BYTES = "x-amz-write-offset-bytes";
    /// Object lock mode.
    OBJECT_LOCK_MODE = "x-amz-object-lock-mode";
    /// Object lock until.
    OBJECT_LOCK_RETAIN_UNTIL_DATE = "x-amz-object-lock-retain-until-date";
    /// Legal hold.
    OBJECT_LOCK_LEGAL_HOLD = "x-amz-object-lock-legal-hold";
    /// Hold until an event.
    OBJECT_LOCK_EVENT_HOLD = "x-amz-object-lock-event-hold";
    /// How many days the retention has that follows the hold.
    OBJECT_LOCK_EVENT_HOLD_DAYS = "x-amz-object-lock-event-hold-duration-days";
    /// How many years the retention has that follows the hold.
    OBJECT_LOCK_EVENT_HOLD_YEARS = "x-amz-object-lock-event-hold-duration-years";
    /// The token that once was needed to turn object lock on.
    OBJECT_LOCK_TOKEN = "x-amz-bucket-object-lock-token";
    /// When the object expires, and by which rule.
    EXPIRATION = "x-amz-expiration";
    /// When a lifecycle rule aborts an upload: by which rule.
    ABORT_RULE_ID = "x-amz-abort-rule-id";
    /// Is an archived object restored, and until when?
    RESTORE = "x-amz-restore";
    /// The version of the object that an annotation is of.
    OBJECT_VERSION_ID = "x-amz-object-version-id";
    /// Only if the object has this tag.
    OBJECT_IF_MATCH = "x-amz-object-if-match";
    /// The object's size, after an append.
    OBJECT_SIZE = "x-amz-object-size";
    /// A request may take rights from the bucket policy away from its own account.
    CONFIRM_REMOVE_SELF_BUCKET_ACCESS = "x-amz-confirm-remove-self-bucket-access";
    /// Make a bucket with object lock.
    BUCKET_OBJECT_LOCK_ENABLED = "x-amz-bucket-object-lock-enabled";
    /// Who owns the objects of a new bucket.
    OBJECT_OWNERSHIP = "x-amz-object-ownership";
    /// The namespace that a new bucket's name is of.
    BUCKET_NAMESPACE = "x-amz-bucket-namespace";
    /// Delete in spite of a governance retention.
    BYPASS_GOVERNANCE_RETENTION = "x-amz-bypass-governance-retention";
    /// A second factor.
    MFA = "x-amz-mfa";
    /// `requester`.
    REQUEST_PAYER = "x-amz-request-payer";
    /// The account that must own the bucket.
    EXPECTED_BUCKET_OWNER = "x-amz-expected-bucket-owner";
    /// The account that must own the source's bucket.
    SOURCE_EXPECTED_BUCKET_OWNER = "x-amz-source-expected-bucket-owner";
    /// Delete only if it was last modified then.
    IF_MATCH_LAST_MODIFIED_TIME = "x-amz-if-match-last-modified-time";
    /// Delete only if it has this size.
    IF_MATCH_SIZE = "x-amz-if-match-size";
    /// Abort only if it was initiated then.
    IF_MATCH_INITIATED_TIME = "x-amz-if-match-initiated-time";
    /// `ENABLED`: answer with the stored checksum.
    CHECKSUM_MODE = "x-amz-checksum-mode";
    /// The algorithm of an upload or a copy.
    CHECKSUM_ALGORITHM = "x-amz-checksum-algorithm";
    /// `COMPOSITE` or `FULL_OBJECT`.
    CHECKSUM_TYPE = "x-amz-checksum-type";
    /// The algorithm that the SDK used for the body.
    SDK_CHECKSUM_ALGORITHM = "x-amz-sdk-checksum-algorithm";
    /// The length that the completed object must have.
    MP_OBJECT_SIZE = "x-amz-mp-object-size";
    /// How many parts an object has.
    MP_PARTS_COUNT = "x-amz-mp-parts-count";
    /// How many metadata values can't be told in headers.
    MISSING_META = "x-amz-missing-meta";
    /// What GetObjectAttributes is to tell.
    OBJECT_ATTRIBUTES = "x-amz-object-attributes";
    /// How many parts GetObjectAttributes is to tell of.
    MAX_PARTS = "x-amz-max-parts";
    /// Behind which part GetObjectAttributes begins.
    PART_NUMBER_MARKER = "x-amz-part-number-marker";
    /// What a listing is to tell beside the usual.
    OPTIONAL_OBJECT_ATTRIBUTES = "x-amz-optional-object-attributes";
    /// The region of a bucket.
    BUCKET_REGION = "x-amz-bucket-region";
    /// The ARN of a bucket.
    BUCKET_ARN = "x-amz-bucket-arn";
    /// Is the bucket's name an access point's alias?
    ACCESS_POINT_ALIAS = "x-amz-access-point-alias";
    /// The version that an answer is about.
    VERSION_ID = "x-amz-version-id";
    /// The answer is about a delete marker.
    DELETE_MARKER = "x-amz-delete-marker";
    /// When a lifecycle rule aborts an upload.
    ABORT_DATE = "x-amz-abort-date";
    /// The default size below which lifecycle rules move no object.
    TRANSITION_DEFAULT_MINIMUM_OBJECT_SIZE = "x-amz-transition-default-minimum-object-size";
    /// What a browser's SDK says instead of `User-Agent`.
    USER_AGENT = "x-amz-user-agent";
    /// A content delivery network's id of the request.
    CF_ID = "x-amz-cf-id";
    /// The source of a rename.
    RENAME_SOURCE = "x-amz-rename-source";
    /// `If-Match` on the source of a rename.
    RENAME_SOURCE_IF_MATCH = "x-amz-rename-source-if-match";
    /// `If-None-Match` on the source of a rename.
    RENAME_SOURCE_IF_NONE_MATCH = "x-amz-rename-source-if-none-match";
    /// `If-Modified-Since` on the source of a rename.
    RENAME_SOURCE_IF_MODIFIED_SINCE = "x-amz-rename-source-if-modified-since";
    /// `If-Unmodified-Since` on the source of a rename.
    RENAME_SOURCE_IF_UNMODIFIED_SINCE = "x-amz-rename-source-if-unmodified-since";
    /// Makes a rename that is sent again one rename.
    CLIENT_TOKEN = "x-amz-client-token";
}
