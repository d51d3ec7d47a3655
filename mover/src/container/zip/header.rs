//! The headers of a zip file (PKWARE APPNOTE 6.3.10): bytes to structs, every field that is used checked.
//!
//! ```text
//! [local header  name  extra  data  (descriptor)] ...  [central header  name  extra  comment] ...
//!                                                     (zip64 end, its locator)  end  comment
//! ```

/// Signature of a local header (§4.3.7).
pub(super) const LOCAL: &[u8; 4] = b"PK\x03\x04";
/// Signature of a data descriptor (§4.3.9), which may be left out.
pub(super) const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";
/// Signature of a central header (§4.3.12).
pub(super) const CENTRAL: &[u8; 4] = b"PK\x01\x02";
/// Signature of the zip64 end of the directory (§4.3.14).
pub(super) const END_64: &[u8; 4] = b"PK\x06\x06";
/// Signature of the locator of that end (§4.3.15).
pub(super) const LOCATOR: &[u8; 4] = b"PK\x06\x07";
/// Signature of the end of the directory (§4.3.16).
pub(super) const END: &[u8; 4] = b"PK\x05\x06";

/// Bytes of a local header before its name.
pub(super) const LOCAL_LEN: usize = 30;
/// Bytes of a central header before its name.
pub(super) const CENTRAL_LEN: usize = 46;
/// Bytes of the end before its comment.
pub(super) const END_LEN: usize = 22;
/// Bytes of the zip64 end before its extensible data.
pub(super) const END_64_LEN: usize = 56;
/// Bytes of the locator.
pub(super) const LOCATOR_LEN: usize = 20;

/// The size or offset stands in the zip64 extra field (§4.5.3).
const ELSEWHERE: u32 = u32::MAX;

/// What both headers of a member say. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// General purpose flags (§4.4.4).
    pub(super) flags: u16,
    /// Compression method (§4.4.5).
    pub(super) method: u16,
    /// CRC-32 of the data.
    pub(super) crc: u32,
    /// Size of the data in the file.
    pub(super) compressed: u64,
    /// Size of the data when it is extracted.
    pub(super) size: u64,
}

impl Facts {
    /// The data is encrypted, one way or another.
    pub(super) const fn is_encrypted(&self) -> bool {
        self.flags & (1 | 1 << 6 | 1 << 13) != 0
    }

    /// CRC and sizes follow the data.
    pub(super) const fn has_descriptor(&self) -> bool {
        self.flags & 1 << 3 != 0
    }
}

/// A local or central header and the lengths of what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// What it says; sizes may stand in the extra field.
    facts: Facts,
    /// Bytes of the name.
    pub(super) name: usize,
    /// Bytes of the extra field.
    pub(super) extra: usize,
    /// Bytes of a central header's comment.
    pub(super) comment: usize,
    /// A central header's offset of its local header.
    offset: u32,
}

/// Reads little-endian numbers that are known to be there.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u16(&self, at: usize) -> u16 {
        self.0.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) | u32::from(self.u16(at + 2)) << 16
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32
    }
}

impl Header {
    /// Reads the first [`LOCAL_LEN`] bytes of a local header; `None` if that is none.
    pub(super) fn local(bytes: &[u8]) -> Option<Self> {
        let fields = Fields(bytes.get(..LOCAL_LEN).filter(|bytes| bytes.starts_with(LOCAL))?);
        Some(Self { name: fields.u16(26).into(), extra: fields.u16(28).into(), ..Self::of(&fields, 6) })
    }

    /// Reads the first [`CENTRAL_LEN`] bytes of a central header; `None` if that is none.
    pub(super) fn central(bytes: &[u8]) -> Option<Self> {
        let fields = Fields(bytes.get(..CENTRAL_LEN).filter(|bytes| bytes.starts_with(CENTRAL))?);
        Some(Self {
            name: fields.u16(28).into(),
            extra: fields.u16(30).into(),
            comment: fields.u16(32).into(),
            offset: fields.u32(42),
            ..Self::of(&fields, 8)
        })
    }

    /// The fields that both kinds have in the same order, from the flags on.
    fn of(fields: &Fields<'_>, at: usize) -> Self {
        let facts = Facts {
            flags: fields.u16(at),
            method: fields.u16(at + 2),
            crc: fields.u32(at + 8),
            compressed: fields.u32(at + 12).into(),
            size: fields.u32(at + 16).into(),
        };
        Self { facts, name: 0, extra: 0, comment: 0, offset: 0 }
    }

    /// What the header says with its extra field, the offset of the local header, and whether sizes have 64 bits; `None` if
    /// the extra field lacks what the header leaves to it.
    pub(super) fn with_extra(&self, extra: &[u8]) -> Option<(Facts, u64, bool)> {
        let (mut facts, mut offset) = (self.facts, u64::from(self.offset));
        let zip64 = zip64(extra);
        let fields = Fields(zip64.unwrap_or_default());
        let mut at = 0;
        for field in [&mut facts.size, &mut facts.compressed, &mut offset] {
            if *field == u64::from(ELSEWHERE) {
                if at + 8 > fields.0.len() {
                    return None;
                }
                *field = fields.u64(at);
                at += 8;
            }
        }
        Some((facts, offset, zip64.is_some()))
    }
}

/// The zip64 extra field.
fn zip64(mut extra: &[u8]) -> Option<&[u8]> {
    while let [k0, k1, l0, l1, rest @ ..] = extra {
        let (data, next) = rest.split_at_checked(u16::from_le_bytes([*l0, *l1]).into())?;
        if u16::from_le_bytes([*k0, *k1]) == 1 {
            return Some(data);
        }
        extra = next;
    }
    None
}

/// Where the central directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    /// Offset of its first header.
    pub(super) offset: u64,
    /// Bytes of all its headers.
    pub(super) len: u64,
    /// Number of its headers.
    pub(super) members: u64,
    /// All of it is in this file.
    pub(super) is_whole: bool,
}

impl Directory {
    /// Reads an end of [`END_LEN`] bytes; `None` if that is none.
    pub(super) fn end(bytes: &[u8]) -> Option<Self> {
        let fields = Fields(bytes.get(..END_LEN).filter(|bytes| bytes.starts_with(END))?);
        let is_whole = fields.u16(4) == fields.u16(6) && fields.u16(8) == fields.u16(10);
        let (members, len, offset) = (fields.u16(10).into(), fields.u32(12).into(), fields.u32(16).into());
        Some(Self { offset, len, members, is_whole: is_whole && matches!(fields.u16(4), 0 | u16::MAX) })
    }

    /// Whether a field stands in the zip64 end.
    pub(super) fn is_elsewhere(&self) -> bool {
        let all = u64::from(ELSEWHERE);
        self.members == u64::from(u16::MAX) || self.len == all || self.offset == all
    }

    /// Reads a zip64 end of [`END_64_LEN`] bytes; `None` if that is none.
    pub(super) fn end_64(bytes: &[u8]) -> Option<Self> {
        let fields = Fields(bytes.get(..END_64_LEN).filter(|bytes| bytes.starts_with(END_64))?);
        let is_whole = fields.u32(16) == 0 && fields.u32(20) == 0 && fields.u64(24) == fields.u64(32);
        Some(Self { offset: fields.u64(48), len: fields.u64(40), members: fields.u64(32), is_whole })
    }
}

/// Offset of the zip64 end, from its locator of [`LOCATOR_LEN`] bytes; `None` if that is none.
pub(super) fn locator(bytes: &[u8]) -> Option<u64> {
    Some(Fields(bytes.get(..LOCATOR_LEN).filter(|bytes| bytes.starts_with(LOCATOR))?).u64(8))
}

/// Bytes of a zip64 end, from its first [`END_64_LEN`]; `None` if that is none.
pub(super) fn end_64_len(bytes: &[u8]) -> Option<u64> {
    Fields(bytes.get(..END_64_LEN).filter(|bytes| bytes.starts_with(END_64))?).u64(4).checked_add(12)
}

/// Bytes of the comment behind an end of [`END_LEN`] bytes.
pub(super) fn comment_len(end: &[u8]) -> usize {
    Fields(end).u16(20).into()
}

/// Bytes of the descriptor at the beginning of `bytes` that says `crc` and sizes and is followed by another header.
///
/// Its signature may be missing and its sizes may have 32 or 64 bits, whatever other fields say (§4.3.9).
pub(super) fn descriptor(bytes: &[u8], facts: &Facts) -> Option<usize> {
    let is_followed = |len: usize| bytes.get(len..len + 2) == Some(b"PK");
    [(4, 8), (4, 4), (0, 8), (0, 4)].into_iter().find_map(|(signature, width)| {
        let len = signature + 4 + 2 * width;
        let fields = Fields(bytes.get(..len)?);
        let size = |at: usize| if width == 8 { fields.u64(at) } else { fields.u32(at).into() };
        let says = (fields.u32(signature), size(signature + 4), size(signature + 4 + width));
        // Sizes above 4 GiB in 32 bits are written modulo 2^32 by no tool that is known.
        let is_it =
            (signature == 0 || bytes.starts_with(DESCRIPTOR)) && says == (facts.crc, facts.compressed, facts.size);
        (is_it && is_followed(len)).then_some(len)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(compressed: u64, size: u64) -> Facts {
        Facts { flags: 8, method: 8, crc: 0x0102_0304, compressed, size }
    }

    #[test]
    fn a_descriptor_is_found_with_and_without_signature_in_both_widths() {
        let crc = 0x0102_0304_u32.to_le_bytes();
        let (narrow, wide) = (|n: u32| n.to_le_bytes().to_vec(), |n: u64| n.to_le_bytes().to_vec());
        for (sizes, len) in [([narrow(7), narrow(9)].concat(), 12), ([wide(7), wide(9)].concat(), 20)] {
            let bare = [&crc[..], &sizes, b"PK\x01\x02"].concat();
            assert_eq!(descriptor(&bare, &facts(7, 9)), Some(len));
            let signed = [DESCRIPTOR, &bare[..]].concat();
            assert_eq!(descriptor(&signed, &facts(7, 9)), Some(len + 4));
            for wrong in [facts(8, 9), facts(7, 8), Facts { crc: 0, ..facts(7, 9) }] {
                assert_eq!(descriptor(&signed, &wrong), None);
            }
            for cut in 0..signed.len() - 3 {
                assert_eq!(descriptor(&signed[..cut], &facts(7, 9)), None);
            }
        }
    }

    #[test]
    fn sizes_of_64_bits_come_in_their_order_and_only_where_they_are_left_out() {
        let mut bytes = [0; CENTRAL_LEN];
        bytes[..4].copy_from_slice(CENTRAL);
        bytes[20..24].copy_from_slice(&[5, 0, 0, 0]);
        bytes[24..28].copy_from_slice(&[0xff; 4]);
        bytes[42..46].copy_from_slice(&[0xff; 4]);
        let header = Header::central(&bytes).unwrap();
        let extra =
            [&b"\x99\x99\x02\0ab\x01\0\x10\0"[..], &(1_u64 << 33).to_le_bytes(), &(1_u64 << 34).to_le_bytes()].concat();
        let (facts, offset, _) = header.with_extra(&extra).unwrap();
        assert_eq!((facts.compressed, facts.size, offset), (5, 1 << 33, 1 << 34));
        for cut in 0..extra.len() {
            assert!(header.with_extra(&extra[..cut]).is_none(), "{cut}");
        }
    }
}
