//! Every `x-amz-` header name, once.

use ::http::HeaderName;

macro_rules! names {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
        $( $(#[$doc])* pub const $constant: HeaderName = HeaderName::from_static($name); )*
    };
}

names! {
    /// The request's id.
    REQUEST_ID = "x-amz-request-id";
    /// The request's extended id.
    ID_2 = "x-amz-id-2";
    /// Hash of the payload, or how it is signed.
    CONTENT_SHA256 = "x-amz-content-sha256";
    /// When a request was signed.
    DATE = "x-amz-date";
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
    /// The token of temporary credentials.
    SECURITY_TOKEN = "x-amz-security-token";
    /// The signature of an aws-chunked body's trailers; itself a trailer.
    TRAILER_SIGNATURE = "x-amz-trailer-signature";
}
