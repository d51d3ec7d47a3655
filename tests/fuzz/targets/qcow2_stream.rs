//! A file flows past a forward decoder, in chunks that its last byte chooses, and is mapped at random as well.
//!
//! - No more is held back than was said, and at the end everything is consumed.
//! - Pieces lie in the bytes of their push.
//! - The decoder places exactly what the map places, or says that a table came too late; what one of them refuses for
//!   another reason, the other refuses too.
#![no_main]

use formats::probe::Format;
use formats::{Error, Extent, Kind, Place};
use fuzz::image::{extents, head};
use libfuzzer_sys::fuzz_target;

/// Largest disk for which both are compared.
const DISK: u64 = 8 << 20;

/// A placed run: guest offset and length, host offset and length, whether it is encoded.
type Run = (u64, u64, u64, u64, bool);

fn streamed(file: &[u8], chunk: usize) -> Result<Vec<Run>, Error> {
    let mut stream = Format::Qcow2.stream(head(file), None)?;
    let (mut runs, mut start, mut end) = (Vec::new(), 0, 0);
    while end < file.len() {
        end = file.len().min(end + chunk);
        let last = end == file.len();
        let mut pieces = Vec::new();
        let consumed = stream.push(&file[start..end], last, &mut pieces)?;
        for piece in pieces {
            assert!(piece.host_len > 0 && piece.at + piece.host_len <= end - start);
            let host = (start + piece.at) as u64;
            runs.push((piece.guest.0, piece.guest_len, host, piece.host_len as u64, piece.codec.is_some()));
        }
        start += consumed;
        assert!(start <= end && end - start <= stream.hold_back() && (!last || start == end));
    }
    Ok(joined(runs))
}

fn mapped(file: &[u8]) -> Result<Vec<Run>, Error> {
    let mut map = Format::Qcow2.map(head(file), file.len() as u64)?;
    let size = map.virtual_size();
    let run = |extent: Extent| match extent.place {
        Place::Zero => None,
        Place::Data(host) => Some((extent.guest.0, extent.len, host.0, extent.len, false)),
        Place::Encoded { at, len, .. } => Some((extent.guest.0, extent.len, at.0, len.into(), true)),
    };
    Ok(joined(extents(map.as_mut(), file, 0..size)?.into_iter().filter_map(run).collect()))
}

/// In guest order, plain neighbours as one.
fn joined(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_unstable();
    let mut out: Vec<Run> = Vec::new();
    for run in runs {
        match out.last_mut() {
            Some(last) if !last.4 && !run.4 && last.0 + last.1 == run.0 && last.2 + last.3 == run.2 => {
                last.1 += run.1;
                last.3 += run.3;
            }
            _ => out.push(run),
        }
    }
    out
}

fuzz_target!(|file: &[u8]| {
    let Some(&seed) = file.last() else { return };
    let chunk = match seed {
        0 => usize::MAX >> 1,
        small => usize::from(small) * usize::from(small),
    };
    let too_large = |stream: Box<dyn formats::Stream>| stream.virtual_size().is_none_or(|size| size > DISK);
    if Format::Qcow2.stream(head(file), None).is_ok_and(too_large) {
        return;
    }
    match (streamed(file, chunk), mapped(file)) {
        (Ok(streamed), Ok(mapped)) => assert_eq!(streamed, mapped),
        (Err(error), _) if error.kind() == Kind::Unplaced => {}
        (Err(_), Err(_)) => {}
        (streamed, mapped) => panic!("stream {streamed:?}, map {mapped:?}"),
    }
});
