//! Sources of disk images (HTTP, file, standard input, blank), the import that ties a source to a target, the two processes
//! that share an import, and the importer of a pod.

pub mod checksums;
pub mod import;
pub mod pod;
pub mod signals;
pub mod source;
pub mod split;
mod volume;
mod work;
