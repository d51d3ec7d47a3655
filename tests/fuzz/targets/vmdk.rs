//! A file is a VMDK: its disk is mapped, at random offsets too, and flows past the forward decoder in chunks that its last
//! byte chooses.
//!
//! - Everything [`fuzz::image::extents`] checks; data and encoded extents lie in the file, and no encoded one is longer than
//!   twice what it decodes to.
//! - A second lookup of the same range gives the same extents, with the tables in memory or read again.
//! - No more is held back than was said, and at the end everything is consumed; pieces lie in the bytes of their push.
//! - What the decoder places, the map places alike. What it refuses, the map may read: the map does not look at markers.
//!   Plain images have none, so there both refuse or a table came too late.
#![no_main]

use formats::probe::Format;
use formats::{ClusterCodec, Error, Extent, GuestOffset, Kind, Map, Place};
use fuzz::image::{extents, head};
use libfuzzer_sys::fuzz_target;

/// Longest lookup, and largest disk for which both are compared: grains of 512 bytes make 16384 extents of it at most.
const DISK: u64 = 8 << 20;

/// A placed run: guest offset and length, host offset and length, how it is encoded.
type Run = (u64, u64, u64, u64, Option<ClusterCodec>);

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
        assert!(!matches!(extent.place, Place::Encoded { .. }) || len <= 2 * map.max_encoded());
    }
    assert_eq!(extents(map, file, guest.clone()), first);
    map.release(GuestOffset(u64::MAX));
    assert_eq!(map.memory(), 0);
    assert_eq!(extents(map, file, guest), first);
}

fn streamed(file: &[u8], chunk: usize) -> Result<Vec<Run>, Error> {
    let mut stream = Format::Vmdk.stream(head(file), None)?;
    let (mut runs, mut start, mut end) = (Vec::new(), 0, 0);
    while end < file.len() {
        end = file.len().min(end.saturating_add(chunk));
        let last = end == file.len();
        let mut pieces = Vec::new();
        let consumed = stream.push(&file[start..end], last, &mut pieces)?;
        for piece in pieces {
            assert!(piece.host_len > 0 && piece.at + piece.host_len <= end - start);
            let host = (start + piece.at) as u64;
            runs.push((piece.guest.0, piece.guest_len, host, piece.host_len as u64, piece.codec));
        }
        start += consumed;
        assert!(start <= end && end - start <= stream.hold_back() && (!last || start == end));
    }
    Ok(joined(runs))
}

fn mapped(map: &mut dyn Map, file: &[u8]) -> Result<Vec<Run>, Error> {
    let size = map.virtual_size();
    let run = |extent: Extent| match extent.place {
        Place::Zero => None,
        Place::Data(host) => Some((extent.guest.0, extent.len, host.0, extent.len, None)),
        Place::Encoded { at, len, codec } => Some((extent.guest.0, extent.len, at.0, len.into(), Some(codec))),
    };
    Ok(joined(extents(map, file, 0..size)?.into_iter().filter_map(run).collect()))
}

/// In guest order, plain neighbours as one.
fn joined(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_unstable_by_key(|run| run.0);
    let mut out: Vec<Run> = Vec::new();
    for run in runs {
        match out.last_mut() {
            Some(last) if last.4.or(run.4).is_none() && last.0 + last.1 == run.0 && last.2 + last.3 == run.2 => {
                last.1 += run.1;
                last.3 += run.3;
            }
            _ => out.push(run),
        }
    }
    out
}

/// The map knows of an encoded run only where it ends at the latest.
fn is_alike(streamed: &Run, mapped: &Run) -> bool {
    let is_long_enough = if streamed.4.is_some() { streamed.3 <= mapped.3 } else { streamed.3 == mapped.3 };
    (streamed.0, streamed.1, streamed.2, streamed.4) == (mapped.0, mapped.1, mapped.2, mapped.4) && is_long_enough
}

fuzz_target!(|file: &[u8]| {
    let Some(&seed) = file.last() else { return };
    let Ok(mut map) = Format::Vmdk.map(head(file), file.len() as u64) else { return };
    for (number, offset) in file.rchunks_exact(8).take(8).enumerate() {
        let offset = u64::from_le_bytes(offset.try_into().expect("chunks have 8 bytes"));
        let inside = offset % map.virtual_size();
        check(map.as_mut(), file, inside, DISK >> number);
    }
    if map.virtual_size() > DISK {
        return;
    }
    let chunk = match seed {
        0 => usize::MAX >> 1,
        small => usize::from(small) * usize::from(small),
    };
    match (streamed(file, chunk), mapped(map.as_mut(), file)) {
        (Ok(streamed), Ok(mapped)) => {
            assert_eq!(streamed.len(), mapped.len());
            for (streamed, mapped) in streamed.iter().zip(&mapped) {
                assert!(is_alike(streamed, mapped), "stream {streamed:?}, map {mapped:?}");
            }
        }
        (Err(error), _) if error.kind() == Kind::Unplaced || map.max_encoded() > 0 => {}
        (Err(_), Err(_)) => {}
        (streamed, mapped) => panic!("stream {streamed:?}, map {mapped:?}"),
    }
});
