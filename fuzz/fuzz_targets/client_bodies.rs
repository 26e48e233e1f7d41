//! The bodies of client-side encryption: in whatever pieces they come and whatever became of them, all ways of opening one agree, and only
//! what was sealed opens.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use s3_encryption_client::keyring::AesKeyring;
use s3_encryption_client::{
    CommitmentPolicy, ContentSuite, Description, ObjectCipher, OpeningKey, SealingKey, Settings,
};

/// Keys of one body: what seals it, and what opens it.
fn keys(suite: ContentSuite) -> (SealingKey, OpeningKey) {
    let policy = if suite.commits() {
        CommitmentPolicy::RequireEncryptRequireDecrypt
    } else {
        CommitmentPolicy::ForbidEncryptAllowDecrypt
    };
    let keyring = Arc::new(AesKeyring::new(&[7; 32]).expect("a key"));
    let settings = Settings::new().suite(suite).commitment_policy(policy);
    let cipher = ObjectCipher::new(keyring, settings).expect("they fit");
    let none = Description::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (sealing, envelope) = runtime.block_on(cipher.seal(&none)).expect("a key");
    let opening = runtime.block_on(cipher.open(&envelope, &none)).expect("the same key");
    (sealing, opening)
}

/// Pieces of these lengths, again and again.
fn pieces<'a>(mut body: &'a [u8], lens: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lens = lens.iter().cycle();
    std::iter::from_fn(move || {
        let len = lens.next().map_or(body.len(), |len| usize::from(*len) * 7 + 1).min(body.len());
        let (piece, rest) = body.split_at(len);
        body = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

// The suite, the lengths of pieces, what happens to the sealed body: a byte that changes, how much is cut off; then the body.
fuzz_target!(|input: (bool, Vec<u8>, u16, u8, u8, &[u8])| {
    let (commits, lens, at, flip, cut, body) = input;
    let suite = if commits { ContentSuite::Aes256GcmHkdfSha512CommitKey } else { ContentSuite::Aes256Gcm };
    let (sealing, opening) = keys(suite);
    let (mut sealer, mut sealed) = (sealing.sealer().expect("a sealer"), Vec::new());
    pieces(body, &lens).for_each(|piece| sealer.update(piece, &mut sealed).expect("it is short"));
    sealer.finish(&mut sealed);
    let mut stored = sealed.clone();
    let at = usize::from(at) % stored.len();
    stored[at] ^= flip;
    stored.truncate(stored.len().saturating_sub(usize::from(cut)));

    let mut whole = stored.clone();
    let opened = opening.open(&mut whole).is_ok();
    assert_eq!(opened, stored == sealed, "what was sealed opens, and nothing else");
    assert!(!opened || whole == body);
    let (mut opener, mut plain) = (opening.opener().expect("an opener"), Vec::new());
    let mut verifier = opening.verifier().expect("a verifier").expect("it authenticates");
    for piece in pieces(&stored, &lens) {
        opener.update(piece, &mut plain).expect("it is short");
        verifier.update(piece).expect("it is short");
    }
    assert_eq!(opener.finish(&mut plain).is_ok(), opened);
    assert_eq!(verifier.finish().is_ok(), opened);
    assert!(!opened || plain == body);
});
