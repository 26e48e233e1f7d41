//! Operations on objects.

mod acl;
pub(super) mod annotation;
pub(super) mod archive;
mod attributes;
pub(super) mod copy;
mod delete;
mod delete_many;
pub mod encryption;
mod get;
mod lock;
pub(super) mod lookup;
mod post;
mod post_form;
pub(super) mod properties;
mod put;
pub(super) mod record_change;
mod rename;
pub mod rewrap;
mod tagging;
mod update_encryption;
pub mod verify;
pub(super) mod write;

pub use acl::{get_object_acl, put_object_acl};
pub use annotation::{
    delete_object_annotation, get_object_annotation, list_object_annotations, put_object_annotation,
};
pub use archive::restore_object;
pub use attributes::get_object_attributes;
pub use copy::copy_object;
pub use delete::delete_object;
pub use delete_many::delete_objects;
pub use get::{get_object, head_object};
pub use lock::{get_object_legal_hold, get_object_retention, put_object_legal_hold, put_object_retention};
pub use post::post_object;
pub use put::put_object;
pub(in crate::api::s3) use put::store;
pub use rename::rename_object;
pub use tagging::{delete_object_tagging, get_object_tagging, put_object_tagging};
pub use update_encryption::update_object_encryption;
