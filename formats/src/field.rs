//! Fields in bytes whose length the caller has checked, big and little endian.

/// The big-endian 16-bit field at `at`; 0 where the bytes do not reach.
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    array(bytes, at).map_or(0, u16::from_be_bytes)
}

/// The big-endian 32-bit field at `at`; 0 where the bytes do not reach.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    array(bytes, at).map_or(0, u32::from_be_bytes)
}

/// The big-endian 64-bit field at `at`; 0 where the bytes do not reach.
pub(crate) fn be64(bytes: &[u8], at: usize) -> u64 {
    array(bytes, at).map_or(0, u64::from_be_bytes)
}

/// The little-endian 16-bit field at `at`; 0 where the bytes do not reach.
pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    array(bytes, at).map_or(0, u16::from_le_bytes)
}

/// The little-endian 32-bit field at `at`; 0 where the bytes do not reach.
pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    array(bytes, at).map_or(0, u32::from_le_bytes)
}

/// The little-endian 64-bit field at `at`; 0 where the bytes do not reach.
pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    array(bytes, at).map_or(0, u64::from_le_bytes)
}

/// The `N` bytes at `at`; zeros where the bytes do not reach.
pub(crate) fn bytes<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    array(bytes, at).unwrap_or([0; N])
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Text from an image for an error message: quoted, escaped, at most 256 bytes of it.
pub(crate) fn quoted(text: &[u8]) -> String {
    const SHOWN: usize = 256;
    let shown = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]);
    let more = if text.len() > SHOWN { "..." } else { "" };
    format!("{shown:?}{more}")
}
