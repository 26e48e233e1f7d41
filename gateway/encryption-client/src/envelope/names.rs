//! The names of an envelope's entries. In S3 they are user metadata: `x-amz-meta-` stands before them on the wire.

pub(crate) const KEY_V1: &str = "x-amz-key";
pub(crate) const KEY_V2: &str = "x-amz-key-v2";
pub(crate) const KEY_V3: &str = "x-amz-3";
pub(crate) const IV: &str = "x-amz-iv";
pub(crate) const SUITE: &str = "x-amz-cek-alg";
pub(crate) const SUITE_V3: &str = "x-amz-c";
pub(crate) const WRAP: &str = "x-amz-wrap-alg";
pub(crate) const WRAP_V3: &str = "x-amz-w";
pub(crate) const DESCRIPTION: &str = "x-amz-matdesc";
pub(crate) const DESCRIPTION_V3: &str = "x-amz-m";
pub(crate) const CONTEXT_V3: &str = "x-amz-t";
pub(crate) const TAG_LEN: &str = "x-amz-tag-len";
pub(crate) const COMMITMENT: &str = "x-amz-d";
pub(crate) const MESSAGE_ID: &str = "x-amz-i";
pub(crate) const PLAIN_LEN: &str = "x-amz-unencrypted-content-length";
pub(crate) const PLAIN_MD5: &str = "x-amz-unencrypted-content-md5";
pub(crate) const INSTRUCTION_FILE: &str = "x-amz-crypto-instr-file";

/// What V3 keeps with the object, always.
pub(crate) const CONTENT_V3: [&str; 3] = [SUITE_V3, COMMITMENT, MESSAGE_ID];
/// What only V3 has.
pub(crate) const ONLY_V3: [&str; 7] =
    [SUITE_V3, COMMITMENT, MESSAGE_ID, KEY_V3, WRAP_V3, DESCRIPTION_V3, CONTEXT_V3];
/// What V1 and V2 share.
pub(crate) const BEFORE_V3: [&str; 5] = [IV, SUITE, WRAP, DESCRIPTION, TAG_LEN];
/// All of them.
pub(crate) const ALL: [&str; 17] = [
    KEY_V1,
    KEY_V2,
    KEY_V3,
    IV,
    SUITE,
    SUITE_V3,
    WRAP,
    WRAP_V3,
    DESCRIPTION,
    DESCRIPTION_V3,
    CONTEXT_V3,
    TAG_LEN,
    COMMITMENT,
    MESSAGE_ID,
    PLAIN_LEN,
    PLAIN_MD5,
    INSTRUCTION_FILE,
];
