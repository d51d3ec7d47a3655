//! Unix sockets that outlive nobody: a stale one is replaced, and only root may connect.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

use crate::run::Failure;

/// Listens at `path`. A socket that is there is a former process's: the pool's lock keeps a second one out.
pub(crate) fn listen(path: &Path) -> Result<UnixListenerStream, Failure> {
    let listen = || {
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else than a socket is there")),
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(UnixListenerStream::new(listener))
    };
    listen().map_err(|source| Failure::Socket { path: path.to_owned(), source })
}

/// Removes a socket at the end; the next start would, too.
pub(crate) fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}
