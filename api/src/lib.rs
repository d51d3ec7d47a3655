//! The kinds of CDI as types, and the names that its parts agree on.
//!
//! Types follow the JSON field by field. Reading is lenient: an absent field is its default, an unknown one is skipped, and what
//! the schema calls an enumeration is a plain string here, so that one odd object never makes a whole list unreadable. Writing
//! is exact: what is unset is left out, so that server-side apply owns only what was meant.
//!
//! [`crds`] makes the `CustomResourceDefinition`s from the same types; `schema/cdi.txt` lists the structure they must have.

pub mod annotation;
pub mod cdi;
pub mod condition;
mod crd;
pub mod forklift;
pub mod label;
pub mod phase;
pub mod render;
pub mod rights;
pub mod upload;
pub mod volume;

pub use crd::{GUARD, crds, guard};

/// The namespace the product lives in.
pub const NAMESPACE: &str = "cdi";
