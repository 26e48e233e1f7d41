//! What every engine must do, whoever wrote it: run these suites over it. A failed check panics.

pub mod blob;
pub mod kv;
