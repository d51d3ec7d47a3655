//! A caller of a map that reads an image from memory.

use std::ops::Range;

use formats::{Error, Extent, HostOffset, Lookup, Map, probe};

/// The bytes a probe and a header want.
pub fn head(file: &[u8]) -> &[u8] {
    &file[..file.len().min(probe::HEAD)]
}

/// The extents of `guest`.
///
/// # Errors
/// What the map refuses.
///
/// # Panics
/// When the map breaks a promise: wants are in the file, ascend, are at most 64 KiB long and are asked for at most once a
/// level; extents are not empty, follow each other and cover the range; the tables in memory are no larger than the file.
pub fn extents(map: &mut dyn Map, file: &[u8], guest: Range<u64>) -> Result<Vec<Extent>, Error> {
    let mut out = Vec::new();
    for round in 0.. {
        let answer = map.lookup(guest.clone(), &mut out);
        if answer != Ok(Lookup::Found) {
            assert!(out.is_empty(), "nothing is appended before the answer is complete");
        }
        let Lookup::Wants(wants) = answer? else { break };
        assert!(round < 3 && !wants.is_empty());
        let mut end = 0;
        for want in wants {
            assert!(want.start >= end && want.start < want.end && want.end - want.start <= 64 * 1024);
            end = want.end;
            map.feed(HostOffset(want.start), &file[want.start as usize..want.end as usize])?;
        }
        // Each part of a table is counted with its place in a tree, all levels may lie on the same bytes, and tables of 2 KiB
        // that begin at any sector (vmdk) on each other.
        assert!(map.memory() <= 6 * file.len() + 4096, "{} for {}", map.memory(), file.len());
    }
    let end = guest.end.min(map.virtual_size());
    let mut next = guest.start;
    for extent in &out {
        let is_first = next == guest.start;
        assert!(extent.len > 0 && (extent.guest.0 == next || is_first && extent.guest.0 < next));
        next = extent.guest.0 + extent.len;
    }
    assert!(if guest.start < end { next >= end } else { out.is_empty() });
    Ok(out)
}
