//! The headers of the .xz file format (version 1.2.1, §2 and §3): bytes to structs, all validation.
//!
//! ```text
//! stream header  magic (6) | flags (2) | CRC-32 of the flags (4)
//! block header   size (1) | flags (1) | [compressed size] | [uncompressed size] | filters (1 to 4) | zeros | CRC-32 (4)
//! filter         id | length of properties | properties      (sizes, ids and lengths have 1 to 9 bytes of 7 bits each)
//! stream footer  CRC-32 of what follows (4) | backward size (4) | flags (2) | magic (2)
//! ```

use crate::{Error, Kind};

/// Bytes of a stream's header, and of its footer.
pub(super) const STREAM_HEADER: usize = 12;
/// The longest header of a block: its size is one byte and counts in fours.
pub(super) const LONGEST_BLOCK_HEADER: usize = 1024;
/// The first bytes of a stream.
pub(super) const MAGIC: [u8; 6] = *b"\xfd7zXZ\0";

const FOOTER_MAGIC: [u8; 2] = *b"YZ";
/// The largest value of a size in this format.
const LARGEST: u64 = (1 << 63) - 1;

/// The check value that stands behind each block of a stream (§2.1.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing but the sizes can be checked.
    None,
    /// CRC-32.
    Crc32,
    /// CRC-64, what `xz` writes unless told otherwise.
    Crc64,
    /// SHA-256.
    Sha256,
}

impl Check {
    /// The check with the number `id` in a stream's flags.
    ///
    /// # Errors
    /// A number that the format reserves: data that cannot be checked is not taken.
    pub fn from_id(id: u8) -> Result<Self, Error> {
        match id {
            0 => Ok(Self::None),
            1 => Ok(Self::Crc32),
            4 => Ok(Self::Crc64),
            10 => Ok(Self::Sha256),
            _ => Err(Error::new(Kind::Unsupported, format!("xz integrity check {id} is not known"))),
        }
    }

    /// The number of the check in a stream's flags.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Crc32 => 1,
            Self::Crc64 => 4,
            Self::Sha256 => 10,
        }
    }

    /// Bytes of the check value.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::None => 0,
            Self::Crc32 => 4,
            Self::Crc64 => 8,
            Self::Sha256 => 32,
        }
    }
}

/// What a block's header says (§3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Bytes of the header itself.
    pub length: usize,
    /// Bytes of compressed data behind the header, where stated (`xz -T1` does not).
    pub compressed: Option<u64>,
    /// Bytes the block decodes to, where stated.
    pub uncompressed: Option<u64>,
    /// Bytes of history a decoder must keep.
    pub dictionary: u64,
}

/// The twelve bytes that begin a stream with `check`.
pub(super) fn encode_stream_header(check: Check) -> [u8; STREAM_HEADER] {
    let flags = [0, check.id()];
    let mut header = [0; STREAM_HEADER];
    header[..6].copy_from_slice(&MAGIC);
    header[6..8].copy_from_slice(&flags);
    header[8..].copy_from_slice(&crc32fast::hash(&flags).to_le_bytes());
    header
}

/// Takes a stream's header apart.
///
/// # Errors
/// No magic, a wrong CRC, reserved flags or an unknown check.
pub(super) fn parse_stream_header(bytes: &[u8; STREAM_HEADER]) -> Result<Check, Error> {
    let (magic, rest) = bytes.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(Error::new(Kind::Corrupt, "no xz stream begins here"));
    }
    let (flags, crc) = rest.split_at(2);
    check_crc("stream header", flags, crc)?;
    if flags[0] != 0 || flags[1] > 0xf {
        let what = format!("xz stream flags {:#04x} {:#04x} are reserved", flags[0], flags[1]);
        return Err(Error::new(Kind::Unsupported, what));
    }
    Check::from_id(flags[1])
}

/// The twelve bytes that end a stream with `check` and an index of `index` bytes; `None` if its size has no place there.
pub(super) fn encode_stream_footer(check: Check, index: u64) -> Option<[u8; STREAM_HEADER]> {
    let backward = u32::try_from((index / 4).checked_sub(1)?).ok()?;
    let mut footer = [0; STREAM_HEADER];
    footer[4..8].copy_from_slice(&backward.to_le_bytes());
    footer[9] = check.id();
    footer[10..].copy_from_slice(&FOOTER_MAGIC);
    let crc = crc32fast::hash(&footer[4..10]);
    footer[..4].copy_from_slice(&crc.to_le_bytes());
    Some(footer)
}

/// Verifies a stream's footer against its header and the `index` bytes before it; all of it follows from them.
///
/// # Errors
/// What differs, by name.
pub(super) fn check_stream_footer(bytes: &[u8; STREAM_HEADER], check: Check, index: u64) -> Result<(), Error> {
    let [c0, c1, c2, c3, b0, b1, b2, b3, f0, f1, m0, m1] = *bytes;
    if [m0, m1] != FOOTER_MAGIC {
        return Err(Error::new(Kind::Corrupt, format!("xz stream footer ends with {m0:#04x} {m1:#04x}, not with YZ")));
    }
    check_crc("stream footer", &bytes[4..10], &[c0, c1, c2, c3])?;
    if [f0, f1] != [0, check.id()] {
        let what = format!("xz stream flags are {f0:#04x} {f1:#04x} in the footer and 0x00 {:#04x} before", check.id());
        return Err(Error::new(Kind::Corrupt, what));
    }
    let backward = (u64::from(u32::from_le_bytes([b0, b1, b2, b3])) + 1) * 4;
    if backward != index {
        let what = format!("xz index has {backward} bytes by the footer and {index} in the file");
        return Err(Error::new(Kind::Corrupt, what));
    }
    Ok(())
}

/// Bytes of the block header that begins with `first`, which is not 0 (that would be an index).
pub(super) const fn block_header_length(first: u8) -> usize {
    (first as usize + 1) * 4
}

/// Takes a block's header apart; `bytes` is as long as its first byte says.
///
/// # Errors
/// A wrong CRC, reserved flags, a size out of range, filters that are not known or in an impossible order.
pub(super) fn parse_block_header(bytes: &[u8]) -> Result<BlockHeader, Error> {
    let Some((body, crc)) = bytes.split_last_chunk::<4>() else { return Err(damaged("ends early")) };
    check_crc("block header", body, crc)?;
    let [_, flags, rest @ ..] = body else { return Err(damaged("ends early")) };
    if flags & 0b0011_1100 != 0 {
        return Err(Error::new(Kind::Unsupported, format!("xz block flags {flags:#04x} are reserved")));
    }
    let mut fields = Fields { rest };
    let compressed = (flags & 0x40 != 0).then(|| fields.number()).transpose()?;
    let uncompressed = (flags & 0x80 != 0).then(|| fields.number()).transpose()?;
    if compressed == Some(0) {
        return Err(damaged("states a compressed size of 0"));
    }
    let dictionary = parse_filters(&mut fields, (flags & 3) + 1)?;
    if fields.rest.iter().any(|&byte| byte != 0) {
        return Err(Error::new(Kind::Unsupported, "xz block header has fields behind its filters"));
    }
    Ok(BlockHeader { length: bytes.len(), compressed, uncompressed, dictionary })
}

/// The dictionary of `count` filters, of which the last must be LZMA2 (§5.3.1) and the others are passed over.
fn parse_filters(fields: &mut Fields<'_>, count: u8) -> Result<u64, Error> {
    const DELTA: u64 = 3;
    const RISCV: u64 = 11;
    const LZMA2: u64 = 0x21;
    for place in 1..=count {
        let id = fields.number()?;
        let length = fields.number()?;
        let properties = fields.take(length)?;
        match (id, place == count) {
            (LZMA2, true) => return dictionary(properties),
            (DELTA..=RISCV, false) => {}
            (LZMA2 | DELTA..=RISCV, _) => {
                return Err(Error::new(
                    Kind::Unsupported,
                    format!("xz filter {id:#x} cannot be number {place} of {count}"),
                ));
            }
            _ => return Err(Error::new(Kind::Unsupported, format!("xz filter {id:#x} is not known"))),
        }
    }
    Err(damaged("has no filter"))
}

/// The size of the dictionary, in the one byte of properties that LZMA2 has: 2^n or 3 * 2^n, and 4 GiB less one.
fn dictionary(properties: &[u8]) -> Result<u64, Error> {
    match *properties {
        [40] => Ok(u64::from(u32::MAX)),
        [bits @ 0..40] => Ok(u64::from(2 | bits & 1) << (bits / 2 + 11)),
        _ => Err(Error::new(Kind::Unsupported, format!("xz dictionary size {properties:02x?} is reserved"))),
    }
}

fn check_crc(of: &str, bytes: &[u8], stored: &[u8]) -> Result<(), Error> {
    let crc = crc32fast::hash(bytes).to_le_bytes();
    if crc == stored {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, format!("xz {of} has CRC-32 {stored:02x?}, its bytes give {crc:02x?}")))
}

/// Refuses padding that is not zero.
pub(super) fn check_zeros(of: &str, bytes: &[u8]) -> Result<(), Error> {
    if bytes.iter().all(|&byte| byte == 0) {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, format!("padding of an xz {of} is {bytes:02x?}, not zeros")))
}

fn damaged(what: &str) -> Error {
    Error::new(Kind::Corrupt, format!("xz block header {what}"))
}

/// Fields of a block's header that are still to be read.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        let taken = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (field, rest) = taken.ok_or_else(|| damaged("ends inside a field"))?;
        self.rest = rest;
        Ok(field)
    }

    /// A number of 7 bits a byte, lowest first, of at most 9 bytes and in its shortest form (§1.2).
    fn number(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for place in 0..9_u32 {
            let [byte] = *self.take(1)? else { break };
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return if byte == 0 && place > 0 { Err(damaged("has a number in a longer form")) } else { Ok(value) };
            }
        }
        Err(damaged(&format!("has a number above {LARGEST}")))
    }
}

/// A number in the format's own form: the bytes of which the first so many count.
pub(super) const fn encode_number(mut value: u64) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    let mut length = 0;
    loop {
        let low = (value & 0x7f).to_le_bytes()[0];
        value >>= 7;
        bytes[length] = if value == 0 { low } else { low | 0x80 };
        length += 1;
        if value == 0 {
            return (bytes, length);
        }
    }
}
