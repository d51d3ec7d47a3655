//! A caller of an opener and its map that reads an image through a function, so that a large file need not be one.

use std::ops::Range;

use formats::{Error, Extent, GuestOffset, HostOffset, Lookup, Map, Open, Opening, Place};

/// An image that is read at random.
pub struct File<'a> {
    /// Its length in bytes.
    pub len: u64,
    /// The bytes of a range of it.
    pub read: &'a dyn Fn(Range<u64>) -> Vec<u8>,
}

/// Steps after which every image is open: headers, log, table, items.
const STEPS: usize = 6;

/// The map of an image.
///
/// # Errors
/// What the opener refuses.
///
/// # Panics
/// When the opener breaks a promise: wants are in the file, ascend, are at most 64 KiB long and end after a few steps.
pub fn open(opener: &mut dyn Open, file: &File<'_>) -> Result<Box<dyn Map>, Error> {
    for _ in 0..STEPS {
        match opener.step()? {
            Opening::Ready(map) => return Ok(map),
            Opening::Wants(wants) => {
                check(&wants, file);
                for want in wants {
                    opener.feed(HostOffset(want.start), &(file.read)(want.clone()))?;
                }
            }
        }
    }
    panic!("an image is open or refused after {STEPS} steps");
}

fn check(wants: &[Range<u64>], file: &File<'_>) {
    assert!(!wants.is_empty());
    let mut end = 0;
    for want in wants {
        assert!(want.start >= end && want.start < want.end && want.end - want.start <= 64 * 1024);
        end = want.end;
    }
    assert!(end <= file.len);
}

/// The extents of `guest`.
///
/// # Errors
/// What the map refuses.
///
/// # Panics
/// When the map breaks a promise: as in [`open`]; extents are not empty, follow each other, cover the range exactly and lie
/// in the file.
pub fn extents(map: &mut dyn Map, file: &File<'_>, guest: Range<u64>) -> Result<Vec<Extent>, Error> {
    let mut out = Vec::new();
    for round in 0.. {
        let answer = map.lookup(guest.clone(), &mut out);
        if answer != Ok(Lookup::Found) {
            assert!(out.is_empty(), "nothing is appended before the answer is complete");
        }
        let Lookup::Wants(wants) = answer? else { break };
        assert!(round < 2, "tables are asked for once a level");
        check(&wants, file);
        for want in wants {
            map.feed(HostOffset(want.start), &(file.read)(want.clone()))?;
        }
    }
    let mut next = guest.start;
    for extent in &out {
        assert!(extent.len > 0 && extent.guest.0 == next);
        next += extent.len;
        match extent.place {
            Place::Zero => {}
            Place::Data(host) => assert!(host.0 + extent.len <= file.len),
            Place::Encoded { .. } => panic!("nothing is encoded"),
        }
    }
    assert_eq!(next, guest.end.min(map.virtual_size()).max(guest.start));
    Ok(out)
}

/// Looks `guest` up three times: as it is, again, and with the tables read again.
///
/// # Panics
/// When the answers differ, or a table is kept behind the disk; `kept` is what the map held when it was made.
pub fn check_lookup(map: &mut dyn Map, file: &File<'_>, guest: &Range<u64>, kept: usize) {
    let first = extents(map, file, guest.clone());
    assert_eq!(extents(map, file, guest.clone()), first);
    map.release(GuestOffset(u64::MAX));
    assert_eq!(map.memory(), kept);
    assert_eq!(extents(map, file, guest.clone()), first);
}
