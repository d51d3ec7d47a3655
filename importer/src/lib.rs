//! Sources of disk images (HTTP, file, standard input, blank) and the import that ties a source to a target.

pub mod import;
pub mod source;
mod volume;
