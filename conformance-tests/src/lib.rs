//! What black-box tests and the benchmark share: a launcher of the built gateway, a signer, real clients.

pub mod installed;
pub mod server;
pub mod signer;
