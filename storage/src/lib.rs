//! Records and blobs behind two traits, and S3's nouns written once above them.
//!
//! This crate holds no plaintext key and no cipher: what it stores was sealed before it came here
//! (catalog values by a [`kv::KeyValue`] decorator of the gateway, blobs by the gateway's sealer).

pub mod blob;
pub mod catalog;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod digest;
pub mod figures;
pub mod head;
pub mod kv;
pub mod name;
pub mod open;
pub mod random;
pub mod reclaim;
pub mod session;
pub mod transfer;

fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
