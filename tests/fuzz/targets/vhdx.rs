//! The input patches a small valid VHDX image, which then is opened and looked up in windows.
//!
//! ```text
//! flags (1 byte), then patches: offset (4 bytes) | length (1 byte) | bytes
//! flags: 1 sign headers and region tables, 2 sign the log entry at the beginning of the log
//! ```
//!
//! Whole files of some MiB with checksums over kilobytes would hardly ever get past the first check. The image is kept as
//! pages of 4 KiB, and what no patch touches costs nothing.
//!
//! - Everything [`fuzz::opened`] checks.
//! - Behind the disk nothing is kept but the log.
#![no_main]

use std::collections::BTreeMap;
use std::ops::Range;

use formats::probe::Format;
use fuzz::opened::{File, check_lookup, open};
use libfuzzer_sys::fuzz_target;

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
const LEN: u64 = 8 * MIB;
/// Longest lookup: 64 blocks of 1 MiB.
const WINDOW: u64 = 64 * MIB;

#[derive(Default)]
struct Image {
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Image {
    fn read(&self, range: Range<u64>) -> Vec<u8> {
        let mut out = vec![0; (range.end - range.start) as usize];
        for (&page, bytes) in self.pages.range(range.start / PAGE..range.end.div_ceil(PAGE)) {
            let both = (page * PAGE).max(range.start)..((page + 1) * PAGE).min(range.end);
            let from = &bytes[(both.start - page * PAGE) as usize..(both.end - page * PAGE) as usize];
            out[(both.start - range.start) as usize..(both.end - range.start) as usize].copy_from_slice(from);
        }
        out
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        for (at, &byte) in (at..LEN).zip(bytes) {
            self.pages.entry(at / PAGE).or_insert_with(|| vec![0; PAGE as usize])[(at % PAGE) as usize] = byte;
        }
    }

    /// Writes the checksum of the structure of `len` bytes at `at`.
    fn sign(&mut self, at: u64, len: u64) {
        self.write(at + 4, &[0; 4]);
        let sum = crc(&self.read(at..at + len));
        self.write(at + 4, &sum.to_le_bytes());
    }
}

/// CRC-32C bit by bit; zeros, which most of a table is, byte by byte would be as slow.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

/// Headers, log at 1 MiB, BAT at 2 MiB, metadata at 3 MiB, a disk of 200 MiB.
fn base() -> Image {
    let mut image = Image::default();
    image.write(0, b"vhdxfile");
    for (at, sequence) in [(64 << 10, 1), (128 << 10, 2)] {
        image.write(at, b"head");
        image.write(at + 8, &[sequence]);
        image.write(at + 66, &[1, 0, 0, 0, 0x10, 0, 0, 0, 0x10]);
    }
    let regions: [(&[u8], u8); 2] = [
        (b"\x66\x77\xc2\x2d\x23\xf6\x00\x42\x9d\x64\x11\x5e\x9b\xfd\x4a\x08", 2),
        (b"\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e", 3),
    ];
    for table in [192 << 10, 256 << 10] {
        image.write(table, b"regi\0\0\0\0\x02");
        for (entry, (guid, mib)) in (table + 16..).step_by(32).zip(regions) {
            image.write(entry, guid);
            image.write(entry + 16, &[0, 0, mib << 4, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 1]);
        }
    }
    let items: [(&[u8], u8, u8, &[u8]); 5] = [
        (b"\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b", 0, 8, &[0, 0, 0x10, 0, 0, 0, 0, 0]),
        (b"\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8", 8, 8, &[0, 0, 0x80, 0x0c]),
        (b"\xab\x12\xca\xbe\xe6\xb2\x23\x45\x93\xef\xc3\x09\xe0\x00\xc7\x46", 16, 16, &[7]),
        (b"\x1d\xbf\x41\x81\x6f\xa9\x09\x47\xba\x47\xf2\x33\xa8\xfa\xab\x5f", 32, 4, &[0, 2]),
        (b"\xc7\x48\xa3\xcd\x5d\x44\x71\x44\x9c\xc9\xe9\x88\x52\x51\xc5\x56", 36, 4, &[0, 2]),
    ];
    image.write(3 * MIB, b"metadata\0\0\x05");
    for (entry, (guid, offset, len, value)) in (3 * MIB + 32..).step_by(32).zip(items) {
        image.write(entry, guid);
        image.write(entry + 16, &[offset, 0, 1, 0, len, 0, 0, 0, 4]);
        image.write(3 * MIB + (64 << 10) + u64::from(offset), value);
    }
    image
}

fn patched(input: &[u8]) -> Image {
    let mut image = base();
    let (flags, mut rest) = input.split_first().unwrap_or((&0, &[]));
    while let [a, b, c, d, len, bytes @ ..] = rest {
        let (patch, behind) = bytes.split_at(bytes.len().min((*len).into()));
        image.write(u64::from(u32::from_le_bytes([*a, *b, *c, *d])) % LEN, patch);
        rest = behind;
    }
    if flags & 2 != 0 {
        let entry = image.read(MIB..MIB + PAGE);
        let len = u32::from_le_bytes([entry[8], entry[9], entry[10], entry[11]]);
        image.sign(MIB, u64::from(len).clamp(8, 16 * PAGE));
    }
    if flags & 1 != 0 {
        [64 << 10, 128 << 10].into_iter().for_each(|at| image.sign(at, PAGE));
        [192 << 10, 256 << 10].into_iter().for_each(|at| image.sign(at, 64 << 10));
    }
    image
}

fuzz_target!(|input: &[u8]| {
    let image = patched(input);
    let read = |range: Range<u64>| image.read(range);
    let file = File { len: LEN, read: &read };
    let Ok(mut opener) = Format::Vhdx.open(&image.read(0..64 << 10), LEN) else { return };
    let Ok(mut map) = open(opener.as_mut(), &file) else { return };
    let (size, kept) = (map.virtual_size(), map.memory());
    assert!(size <= 64 << 40);
    for start in [0, WINDOW, 2 * WINDOW, size / 2, size.saturating_sub(WINDOW), size.saturating_sub(1)] {
        check_lookup(map.as_mut(), &file, &(start..start.saturating_add(WINDOW)), kept);
    }
});
