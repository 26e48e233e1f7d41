//! What black-box tests and the benchmark share: a launcher of the built gateway.

pub mod server;
pub mod signer;
