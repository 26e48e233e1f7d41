//! What black-box tests and the benchmark share: a launcher of the built gateway, a signer and who signs with it, real
//! clients, a directory, a database with a standby, a network that fails.

pub mod caller;
pub mod cluster;
pub mod installed;
pub mod patroni;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod random;
pub mod seaweedfs;
pub mod server;
pub mod signer;
pub mod slapd;
