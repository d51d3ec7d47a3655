//! The header of an LZ4 frame (LZ4 frame format 1.6.4, "Frame Descriptor"): bytes to a struct, all validation.
//!
//! ```text
//! frame      magic (4) | FLG (1) | BD (1) | [content size (8)] | [dictionary (4)] | second byte of the xxh32 (1)
//! skippable  magic (4) | length (4) | that many bytes to skip
//! legacy     magic (4)
//! ```

use twox_hash::XxHash32;

use super::LEGACY_BLOCK;
use crate::{Error, Kind};

/// The longest header of a frame.
pub(super) const LONGEST: usize = 19;

const MAGIC: u32 = 0x184d_2204;
const LEGACY: u32 = 0x184c_2102;
const SKIPPABLE: u32 = 0x184d_2a50;

const HAS_DICTIONARY: u8 = 1;
const RESERVED_FLAG: u8 = 1 << 1;
const HAS_CONTENT_CHECKSUM: u8 = 1 << 2;
const HAS_CONTENT_SIZE: u8 = 1 << 3;
const HAS_BLOCK_CHECKSUM: u8 = 1 << 4;
const ARE_BLOCKS_INDEPENDENT: u8 = 1 << 5;

/// What stands at the start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Frame(Frame),
    /// A frame of another program's data: 8 bytes of header and `length` bytes to skip.
    Skippable {
        length: u32,
    },
}

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes a block decodes to at most.
    pub(super) block_limit: usize,
    /// Blocks do not refer to bytes of those before.
    pub(super) independent: bool,
    pub(super) block_checksum: bool,
    pub(super) content_checksum: bool,
    /// Bytes the frame decodes to, where stated.
    pub(super) content: Option<u64>,
    /// The frame of before 2013: no end mark, no checksum, blocks of 8 MiB.
    pub(super) legacy: bool,
}

const LEGACY_FRAME: Frame = Frame {
    block_limit: LEGACY_BLOCK,
    independent: true,
    block_checksum: false,
    content_checksum: false,
    content: None,
    legacy: true,
};

/// Whether `word` is the magic of some frame.
pub(super) const fn is_magic(word: u32) -> bool {
    word == MAGIC || word == LEGACY || word & !0xf == SKIPPABLE
}

/// How many bytes the header that starts with `head` has, as far as `head` tells: more than `head.len()` if more is needed.
pub(super) fn length(head: &[u8]) -> usize {
    let Some((magic, rest)) = head.split_first_chunk::<4>() else { return 4 };
    match (u32::from_le_bytes(*magic), rest.first()) {
        (MAGIC, None) => 5,
        (MAGIC, Some(flags)) => {
            let size = if flags & HAS_CONTENT_SIZE != 0 { 8 } else { 0 };
            let dictionary = if flags & HAS_DICTIONARY != 0 { 4 } else { 0 };
            7 + size + dictionary
        }
        (LEGACY, _) => 4,
        _ => 8,
    }
}

/// Takes a header apart; `None` if `head` does not hold all of it.
///
/// # Errors
/// No frame, a wrong checksum, a reserved bit, a block size that is not known, or a dictionary.
pub(super) fn parse(head: &[u8]) -> Result<Option<Header>, Error> {
    check_magic(&head[..head.len().min(4)])?;
    let Some(header) = head.get(..length(head)) else { return Ok(None) };
    let Some((magic, rest)) = header.split_first_chunk::<4>() else { return Ok(None) };
    match u32::from_le_bytes(*magic) {
        MAGIC => parse_frame(rest).map(|frame| Some(Header::Frame(frame))),
        LEGACY => Ok(Some(Header::Frame(LEGACY_FRAME))),
        _ => {
            let length = u32::try_from(little_endian(rest)).expect("four bytes");
            Ok(Some(Header::Skippable { length }))
        }
    }
}

/// Refuses what cannot become a frame, from its first bytes (the magic or a part of it).
fn check_magic(start: &[u8]) -> Result<(), Error> {
    let begins = |magic: u32| magic.to_le_bytes().starts_with(start);
    if begins(MAGIC) || begins(LEGACY) || (SKIPPABLE..=SKIPPABLE + 0xf).any(begins) {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, format!("no lz4 frame begins here (the bytes are {start:02x?})")))
}

/// `rest` is what follows the magic, exactly as long as its first byte says.
fn parse_frame(rest: &[u8]) -> Result<Frame, Error> {
    let Some((&stored, descriptor)) = rest.split_last() else { return Err(reserved("flags are missing")) };
    let checksum = XxHash32::oneshot(0, descriptor).to_le_bytes()[1];
    if stored != checksum {
        let what = format!("lz4 header checksum is {stored:#04x}, its bytes give {checksum:#04x}");
        return Err(Error::new(Kind::Corrupt, what));
    }
    let [flags, sizes, fields @ ..] = descriptor else { return Err(reserved("flags are missing")) };
    if flags >> 6 != 1 {
        return Err(reserved(&format!("version {} is not 1", flags >> 6)));
    }
    if flags & RESERVED_FLAG != 0 || sizes & 0x8f != 0 {
        return Err(reserved(&format!("flags {flags:#04x} {sizes:#04x} are reserved")));
    }
    let block_limit = match sizes >> 4 {
        size @ 4..=7 => 1 << (8 + 2 * size),
        size => return Err(reserved(&format!("block size {size} is reserved"))),
    };
    let (content, dictionary) = fields.split_at(if flags & HAS_CONTENT_SIZE != 0 { 8 } else { 0 });
    if !dictionary.is_empty() {
        let what = format!("the frame needs dictionary {}", little_endian(dictionary));
        return Err(Error::new(Kind::Unsupported, what));
    }
    Ok(Frame {
        block_limit,
        independent: flags & ARE_BLOCKS_INDEPENDENT != 0,
        block_checksum: flags & HAS_BLOCK_CHECKSUM != 0,
        content_checksum: flags & HAS_CONTENT_CHECKSUM != 0,
        content: (!content.is_empty()).then(|| little_endian(content)),
        legacy: false,
    })
}

fn reserved(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("lz4 frame {what}"))
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}
