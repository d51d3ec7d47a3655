//! What tar and zip have in common: members one after the other, each with a name and data that can be read or left.

use contract::Failure;

use super::input::Input;

/// Headers of an archive, at most: an archive of a disk has a handful, and over a network each may cost a round trip.
pub(super) const MAX_MEMBERS: u64 = 4096;
/// Bytes of a name, as Linux has it.
pub(super) const MAX_NAME: usize = 4096;

/// One member, at the beginning of its data.
pub(super) struct Entry {
    /// The name as messages show it.
    pub(super) name: String,
    /// Bytes of its data when it is extracted, if that is known before.
    pub(super) size: Option<u64>,
    /// Not a directory, link or device.
    pub(super) is_file: bool,
    /// The data is compressed inside the archive.
    pub(super) is_deflated: bool,
    /// Why the data cannot be read; the member can still be passed over.
    pub(super) refusal: Option<Failure>,
}

/// An archive that is walked through from its front.
pub(super) trait Members: Send {
    /// The next member, however much of the last was read; `None` at the end of the archive.
    ///
    /// # Errors
    /// The archive cannot be read, or is none.
    fn next(&mut self) -> Result<Option<Entry>, Failure>;

    /// Reads at least one byte of the member's data, or 0 at its end, where it was found whole.
    ///
    /// # Errors
    /// The archive cannot be read, or the data is damaged.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure>;

    /// The bytes of the archive.
    fn input(&mut self) -> &mut Input;
}

/// A name as messages show it and `--disk` is compared with: without what terminals act on, and without `./` before it.
pub(super) fn shown(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let mut shown = String::with_capacity(name.len());
    for letter in name.trim_start_matches("./").chars() {
        if letter.is_control() { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    shown
}

/// The first `most` bytes of the member's data, or all of it.
pub(super) fn beginning(members: &mut dyn Members, most: usize) -> Result<Vec<u8>, Failure> {
    let mut head = vec![0; most];
    let mut filled = 0;
    while filled < most {
        match members.read(&mut head[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    head.truncate(filled);
    Ok(head)
}
