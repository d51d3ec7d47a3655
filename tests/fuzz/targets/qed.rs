//! A file is a QED image; its disk is walked in windows, and looked up at offsets that the file itself names.
//!
//! - Everything [`fuzz::opened`] checks.
//! - Nothing is kept behind the disk.
#![no_main]

use std::ops::Range;

use formats::probe::Format;
use fuzz::image::head;
use fuzz::opened::{File, check_lookup, open};
use libfuzzer_sys::fuzz_target;

/// Longest lookup: clusters of 4 KiB make 1024 extents of it at most.
const WINDOW: u64 = 4 << 20;

fuzz_target!(|bytes: &[u8]| {
    let read = |range: Range<u64>| bytes[range.start as usize..range.end as usize].to_vec();
    let file = File { len: bytes.len() as u64, read: &read };
    let Ok(mut opener) = Format::Qed.open(head(bytes), file.len) else { return };
    let mut map = open(opener.as_mut(), &file).expect("the header was valid");
    for window in 0..8 {
        check_lookup(map.as_mut(), &file, &(window * WINDOW..(window + 1) * WINDOW), 0);
    }
    for (number, offset) in bytes.rchunks_exact(8).take(8).enumerate() {
        let offset = u64::from_le_bytes(offset.try_into().expect("chunks have 8 bytes"));
        let inside = offset % map.virtual_size().max(1);
        check_lookup(map.as_mut(), &file, &(inside..inside.saturating_add(WINDOW >> number)), 0);
    }
});
