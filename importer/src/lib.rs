//! Sources of disk images (HTTP, file, standard input, blank), the import that ties a source to a target, and the importer
//! of a pod.

pub mod checksums;
pub mod import;
pub mod pod;
pub mod signals;
pub mod source;
mod volume;
