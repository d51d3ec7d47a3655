//! A caller of both readers of a format whose blocks are plain bytes and whose tables lie in front of them.

use formats::probe::Format;
use formats::{Error, Extent, GuestOffset, Kind, Map, Place};

use crate::image::{extents, head};

/// Largest disk for which both readers are compared.
const DISK: u64 = 8 << 20;

/// Longest lookup: blocks of 4 KiB make 256 extents of it at most.
const WINDOW: u64 = 1 << 20;

/// A placed run: guest offset, host offset, length.
type Run = (u64, u64, u64);

/// Walks the disk in windows, and looks it up at offsets that the file itself names.
///
/// # Panics
/// When data lies outside the file, when a second lookup of a range gives other extents than the first, or when
/// something is kept behind the disk.
pub fn check_map(map: &mut dyn Map, file: &[u8]) {
    for window in 0..8 {
        check_lookup(map, file, window * WINDOW, WINDOW);
    }
    for (number, offset) in file.rchunks_exact(8).take(8).enumerate() {
        let offset = u64::from_le_bytes(offset.try_into().expect("chunks have 8 bytes"));
        let inside = offset % map.virtual_size().max(1);
        check_lookup(map, file, inside, WINDOW >> number);
    }
}

fn check_lookup(map: &mut dyn Map, file: &[u8], start: u64, len: u64) {
    let guest = start..start.saturating_add(len);
    let first = extents(map, file, guest.clone());
    for extent in first.iter().flatten() {
        match extent.place {
            Place::Zero => {}
            Place::Data(host) => assert!(host.0 + extent.len <= file.len() as u64),
            Place::Encoded { .. } => panic!("nothing is encoded"),
        }
    }
    assert_eq!(extents(map, file, guest.clone()), first);
    map.release(GuestOffset(u64::MAX));
    assert_eq!(map.memory(), 0);
    assert_eq!(extents(map, file, guest), first);
}

/// Lets the file flow past in chunks that its last byte chooses, and compares with the map.
///
/// # Panics
/// When more is held back than was said, when pieces lie outside their push or behind the disk, when the decoder places
/// something else than the map does without saying that a table came too late, or when only one of them refuses.
pub fn check_stream(format: Format, file: &[u8], map: Result<Box<dyn Map>, Error>) {
    let Some(&seed) = file.last() else { return };
    let chunk = match seed {
        0 => usize::MAX >> 1,
        small => usize::from(small) * usize::from(small),
    };
    if map.as_ref().is_ok_and(|map| map.virtual_size() > DISK) {
        // The header is what can be wrong without a large file.
        let _ = streamed(format, file, usize::MAX >> 1);
        return;
    }
    match (streamed(format, file, chunk), map.and_then(|map| mapped(map, file))) {
        (Ok(streamed), Ok(mapped)) => assert_eq!(streamed, mapped),
        (Err(error), _) if error.kind() == Kind::Unplaced => {}
        (Err(_), Err(_)) => {}
        (streamed, mapped) => panic!("stream {streamed:?}, map {mapped:?}"),
    }
}

fn streamed(format: Format, file: &[u8], chunk: usize) -> Result<(u64, Vec<Run>), Error> {
    let mut stream = format.stream(head(file), None)?;
    let (mut runs, mut start, mut end) = (Vec::new(), 0, 0);
    while end < file.len() {
        end = file.len().min(end.saturating_add(chunk));
        let last = end == file.len();
        let mut pieces = Vec::new();
        let consumed = stream.push(&file[start..end], last, &mut pieces)?;
        for piece in pieces {
            assert!(piece.host_len > 0 && piece.at + piece.host_len <= end - start && piece.codec.is_none());
            assert_eq!(piece.guest_len, piece.host_len as u64);
            runs.push((piece.guest.0, (start + piece.at) as u64, piece.guest_len));
        }
        start += consumed;
        assert!(start <= end && end - start <= stream.hold_back() && (!last || start == end));
    }
    let size = stream.virtual_size().expect("at the end the size is known");
    assert!(runs.iter().all(|run| run.0 + run.2 <= size));
    Ok((size, joined(runs)))
}

fn mapped(mut map: Box<dyn Map>, file: &[u8]) -> Result<(u64, Vec<Run>), Error> {
    let size = map.virtual_size();
    let run = |extent: Extent| match extent.place {
        Place::Data(host) => Some((extent.guest.0, host.0, extent.len)),
        _ => None,
    };
    Ok((size, joined(extents(map.as_mut(), file, 0..size)?.into_iter().filter_map(run).collect())))
}

/// In guest order, neighbours as one.
fn joined(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_unstable();
    let mut out: Vec<Run> = Vec::new();
    for run in runs {
        match out.last_mut() {
            Some(last) if last.0 + last.2 == run.0 && last.1 + last.2 == run.1 => last.2 += run.2,
            _ => out.push(run),
        }
    }
    out
}
