//! What every engine must do, whoever wrote it: run these suites over it. A failed check panics.

pub mod blob;
mod counter;
pub mod kv;
