//! The identity of a volume, without which a record found on it is not believed.
//!
//! In a pod it is the claim's owner (`OWNER_UID`, set by the controller). For the command it is a nonce in the user's
//! state directory: a record that another user or an earlier owner of a device left carries another one.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Identity of the volume at `target`; `None` if the user has no state directory that can be written, and then an import
/// cannot be taken up.
pub(crate) fn identity(target: &Path) -> Option<[u8; 32]> {
    if let Some(owner) = std::env::var_os("OWNER_UID").filter(|owner| !owner.is_empty()) {
        return Some(blake3::hash(owner.as_encoded_bytes()).into());
    }
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".local/state")))?;
    nonce(&state.join("gantry/volumes"), target).ok()
}

/// The nonce kept for `target` in `directory`, made if there is none.
fn nonce(directory: &Path, target: &Path) -> std::io::Result<[u8; 32]> {
    fs::create_dir_all(directory)?;
    let name = blake3::hash(absolute(target)?.as_os_str().as_encoded_bytes()).to_hex();
    let path = directory.join(&name[..32]);
    if let Ok(kept) = fs::read(&path)
        && let Ok(nonce) = kept.try_into()
    {
        return Ok(nonce);
    }
    let mut nonce = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut nonce)?;
    fs::write(&path, nonce)?;
    Ok(nonce)
}

/// One name for one target, whether it exists yet or not.
fn absolute(target: &Path) -> std::io::Result<PathBuf> {
    if let Ok(existing) = fs::canonicalize(target) {
        return Ok(existing);
    }
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(fs::canonicalize(directory)?.join(target.file_name().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_keeps_its_nonce_and_shares_it_with_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let (state, disk) = (directory.path().join("state"), directory.path().join("disk.img"));
        let first = nonce(&state, &disk).unwrap();
        fs::write(&disk, "now it exists").unwrap();
        assert_eq!(nonce(&state, &disk).unwrap(), first);
        assert_ne!(nonce(&state, &directory.path().join("other.img")).unwrap(), first);
    }
}
