//! A file is an image; its disk is walked in windows, and looked up at offsets that the file itself names.
//!
//! - Everything [`fuzz::image::extents`] checks.
//! - Data and encoded extents lie in the file.
//! - A second lookup of the same range gives the same extents, with the tables in memory or read again.
//! - Nothing is kept behind the disk.
#![no_main]

use formats::probe::Format;
use formats::{GuestOffset, Map, Place};
use fuzz::image::{extents, head};
use libfuzzer_sys::fuzz_target;

/// Longest lookup: 512-byte clusters make 2048 extents of it at most.
const WINDOW: u64 = 1 << 20;

fn check(map: &mut dyn Map, file: &[u8], start: u64, len: u64) {
    let guest = start..start.saturating_add(len);
    let first = extents(map, file, guest.clone());
    for extent in first.iter().flatten() {
        let (at, len) = match extent.place {
            Place::Zero => continue,
            Place::Data(host) => (host.0, extent.len),
            Place::Encoded { at, len, .. } => (at.0, len.into()),
        };
        assert!(len > 0 && at + len <= file.len() as u64);
    }
    assert_eq!(extents(map, file, guest.clone()), first);
    map.release(GuestOffset(u64::MAX));
    assert_eq!(map.memory(), 0);
    assert_eq!(extents(map, file, guest), first);
}

fuzz_target!(|file: &[u8]| {
    let Ok(mut map) = Format::Qcow2.map(head(file), file.len() as u64) else { return };
    for window in 0..8 {
        check(map.as_mut(), file, window * WINDOW, WINDOW);
    }
    for (number, offset) in file.rchunks_exact(8).take(8).enumerate() {
        let offset = u64::from_le_bytes(offset.try_into().expect("chunks have 8 bytes"));
        let inside = offset % map.virtual_size().max(1);
        check(map.as_mut(), file, inside, WINDOW >> number);
    }
});
