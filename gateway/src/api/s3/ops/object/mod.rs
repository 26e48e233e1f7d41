//! Operations on objects.

mod attributes;
pub(super) mod copy;
mod delete;
mod delete_many;
pub(super) mod found;
mod get;
mod put;
pub mod rewrap;
mod update_encryption;
mod write;

pub use attributes::get_object_attributes;
pub use copy::copy_object;
pub use delete::delete_object;
pub use delete_many::delete_objects;
pub use get::{get_object, head_object};
pub use put::put_object;
pub use update_encryption::update_object_encryption;
