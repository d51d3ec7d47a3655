//! The header of a zstd frame (RFC 8878 §3.1): what it says about size and memory before anything is decoded.
//!
//! ```text
//! frame      magic (4) | descriptor (1) | window (0, 1) | dictionary (0, 1, 2, 4) | content size (0, 1, 2, 4, 8)
//! skippable  magic (4) | length (4) | that many bytes to skip
//! ```

use std::ops::RangeInclusive;

use crate::{Error, Kind};

/// The longest header of a frame.
pub(super) const LONGEST: usize = 18;

const MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE: u32 = 0x184d_2a50;
/// The magics of the formats before 0.8, which no writer has produced since 2016.
const OLD: RangeInclusive<u32> = 0xfd2f_b522..=0xfd2f_b527;

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
    /// Bytes of history a decoder must keep.
    pub(super) window: u64,
    /// Bytes the frame decodes to, where stated.
    pub(super) content: Option<u64>,
    /// The dictionary it needs; 0 is none.
    pub(super) dictionary: u32,
}

/// How many bytes the header that starts with `head` has, as far as `head` tells: more than `head.len()` if more is needed.
pub(super) fn length(head: &[u8]) -> usize {
    let Some((magic, rest)) = head.split_first_chunk::<4>() else { return 5 };
    if u32::from_le_bytes(*magic) != MAGIC {
        return 8;
    }
    match rest.first() {
        None => 5,
        Some(&descriptor) => 5 + window_bytes(descriptor) + dictionary_bytes(descriptor) + content_bytes(descriptor),
    }
}

/// Refuses what cannot become a frame, from its first bytes (the magic or a part of it).
///
/// # Errors
/// No magic begins so, or only one of the formats before 0.8 does.
fn check_magic(start: &[u8]) -> Result<(), Error> {
    let begins = |magic: u32| magic.to_le_bytes().starts_with(start);
    if begins(MAGIC) || (SKIPPABLE..=SKIPPABLE + 0xf).any(begins) {
        return Ok(());
    }
    if OLD.clone().any(begins) {
        return Err(Error::new(Kind::Unsupported, "this zstd format is older than 0.8"));
    }
    Err(Error::new(Kind::Corrupt, format!("no zstd frame here (it begins with {start:02x?})")))
}

/// Takes a header apart; `None` if `head` does not hold all of it.
///
/// # Errors
/// No frame, an old format, or a reserved bit.
pub(super) fn parse(head: &[u8]) -> Result<Option<Header>, Error> {
    check_magic(&head[..head.len().min(4)])?;
    let Some(&magic) = head.first_chunk::<4>() else { return Ok(None) };
    let needed = length(head);
    let Some(header) = head.get(..needed) else { return Ok(None) };
    if u32::from_le_bytes(magic) != MAGIC {
        return Ok(Some(Header::Skippable { length: u32::try_from(little_endian(&header[4..])).expect("four bytes") }));
    }
    parse_frame(header).map(|frame| Some(Header::Frame(frame)))
}

/// `header` is exactly as long as its descriptor says.
fn parse_frame(header: &[u8]) -> Result<Frame, Error> {
    let descriptor = header[4];
    if descriptor & 0b1000 != 0 {
        return Err(Error::new(Kind::Unsupported, "zstd frame uses a reserved bit"));
    }
    let (window, rest) = header[5..].split_at(window_bytes(descriptor));
    let (dictionary, content) = rest.split_at(dictionary_bytes(descriptor));
    // A two-byte size starts at 256: smaller ones have one byte (RFC 8878 §3.1.1.1.4).
    let base = if content.len() == 2 { 256 } else { 0 };
    let content = (!content.is_empty()).then(|| little_endian(content) + base);
    let window = match window.first() {
        Some(&byte) => {
            let power = 1_u64 << (10 + (byte >> 3));
            power + power / 8 * u64::from(byte & 7)
        }
        None => content.unwrap_or(0),
    };
    let dictionary = u32::try_from(little_endian(dictionary)).expect("at most four bytes");
    Ok(Frame { window, content, dictionary })
}

const fn is_single_segment(descriptor: u8) -> bool {
    descriptor & 0b10_0000 != 0
}

const fn window_bytes(descriptor: u8) -> usize {
    if is_single_segment(descriptor) { 0 } else { 1 }
}

const fn dictionary_bytes(descriptor: u8) -> usize {
    [0, 1, 2, 4][(descriptor & 3) as usize]
}

const fn content_bytes(descriptor: u8) -> usize {
    let shortest = if is_single_segment(descriptor) { 1 } else { 0 };
    [shortest, 2, 4, 8][(descriptor >> 6) as usize]
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}
