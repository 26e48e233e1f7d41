//! What black-box tests and the benchmark share: a launcher of the built gateway, a signer and who signs with it, real
//! clients, a directory.

pub mod caller;
pub mod installed;
pub mod server;
pub mod signer;
pub mod slapd;
