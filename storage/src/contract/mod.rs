//! What every engine must do, whoever wrote it: run these suites over it.

pub mod blob;
