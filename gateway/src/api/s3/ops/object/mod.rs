//! Objects.

pub mod attributes;
pub mod copy;
pub mod delete;
pub mod delete_many;
mod found;
pub mod get;
pub mod put;
mod write;
