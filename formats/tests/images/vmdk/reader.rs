//! The smallest caller of map and stream for images whose compressed grains may be damaged.

use formats::probe::Format;
use formats::{ClusterCodec, Error, Extent, GuestOffset, HostOffset, Kind, Lookup, Map, Place};

use crate::reader::{Sizes, head};

/// Longest range that a map may want.
const WANT: u64 = 64 * 1024;

/// Largest disk that the tests read as a whole.
const DISK: u64 = 64 << 20;

/// Why an image is not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Image(Error),
    /// A grain does not decode.
    Grain(String),
    /// More than a test wants to hold; never a fault.
    Large,
}

impl Refusal {
    /// The error of the format itself.
    pub(crate) fn error(&self) -> &Error {
        let error = if let Self::Image(error) = self { Some(error) } else { None };
        error.expect("the image itself is refused")
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Image(error)
    }
}

pub(crate) fn map(file: &[u8]) -> Result<Box<dyn Map>, Error> {
    Format::Vmdk.map(head(file), file.len() as u64)
}

/// All extents, by lookups of at most `window` bytes, and the rounds of wants that they cost.
pub(crate) fn extents(file: &[u8], window: &mut Sizes) -> Result<(Vec<Extent>, usize), Refusal> {
    let mut map = map(file)?;
    if map.virtual_size() > DISK {
        return Err(Refusal::Large);
    }
    let (mut all, mut at, mut rounds) = (Vec::new(), 0, 0);
    while at < map.virtual_size() {
        let end = (at + window.next().next_multiple_of(map.max_encoded().max(1))).min(map.virtual_size());
        let (found, asked) = lookup(map.as_mut(), file, at..end)?;
        let mut next = at;
        for extent in &found {
            assert_eq!(extent.guest.0, next, "extents follow each other");
            assert_ne!(extent.len, 0, "no extent is empty");
            next += extent.len;
        }
        assert_eq!(next, end, "extents cover what was asked for");
        all.extend(found);
        rounds += asked;
        map.release(GuestOffset(end));
        at = end;
    }
    assert_eq!(map.memory(), 0, "nothing is kept behind the disk");
    Ok((all, rounds))
}

fn lookup(map: &mut dyn Map, file: &[u8], guest: std::ops::Range<u64>) -> Result<(Vec<Extent>, usize), Error> {
    let mut out = Vec::new();
    for round in 0.. {
        let Lookup::Wants(wants) = map.lookup(guest.clone(), &mut out)? else { return Ok((out, round)) };
        assert!(out.is_empty() && !wants.is_empty() && round < 3, "footer, directory and tables are wanted in turn");
        assert!(wants.iter().all(|want| want.start < want.end && want.end - want.start <= WANT));
        assert!(wants.windows(2).all(|pair| pair[0].end <= pair[1].start), "wants ascend");
        for want in wants {
            let (start, end) = (want.start as usize, want.end as usize);
            let middle = start + (end - start) / 3;
            let before = start.saturating_sub(100);
            map.feed(HostOffset(before as u64), &file[before..middle])?;
            map.feed(HostOffset(middle as u64), &file[middle..(end + 100).min(file.len())])?;
        }
    }
    unreachable!("rounds are counted")
}

/// The disk as the map places it.
pub(crate) fn read_mapped(file: &[u8], window: &mut Sizes) -> Result<Vec<u8>, Refusal> {
    let grain = map(file)?.max_encoded();
    let mut disk = Vec::new();
    for extent in extents(file, window)?.0 {
        match extent.place {
            Place::Zero => disk.resize(disk.len() + extent.len as usize, 0),
            Place::Data(host) => disk.extend(&file[host.0 as usize..][..extent.len as usize]),
            Place::Encoded { at, len, codec } => {
                assert!(u64::from(len) <= 2 * grain, "a caller has room for twice a grain");
                disk.extend(decoded(&file[at.0 as usize..][..len as usize], codec, grain, extent.len)?);
            }
        }
    }
    Ok(disk)
}

/// The disk as the forward decoder places it, from pushes of at most `chunk` fresh bytes.
pub(crate) fn read_streamed(file: &[u8], chunk: &mut Sizes) -> Result<Vec<u8>, Refusal> {
    let mut stream = Format::Vmdk.stream(head(file), None)?;
    let size = stream.virtual_size().expect("a header names the size");
    if size > DISK {
        return Err(Refusal::Large);
    }
    let (mut placed, mut content) = (vec![false; size as usize / 512], vec![0; size as usize]);
    let (mut start, mut end) = (0, 0);
    while start < file.len() {
        end = (end + chunk.next() as usize).min(file.len());
        let (window, last) = (&file[start..end], end == file.len());
        let mut pieces = Vec::new();
        let consumed = stream.push(window, last, &mut pieces)?;
        for piece in pieces {
            let host = &window[piece.at..][..piece.host_len];
            let guest = piece.guest.0 as usize..(piece.guest.0 + piece.guest_len) as usize;
            for sector in &mut placed[guest.start / 512..guest.end.div_ceil(512)] {
                assert!(!std::mem::replace(sector, true), "no guest byte is placed twice");
            }
            match piece.codec {
                None => content[guest].copy_from_slice(host),
                Some(codec) => {
                    content[guest].copy_from_slice(&decoded(host, codec, stream.max_encoded(), piece.guest_len)?);
                }
            }
        }
        assert!(window.len() - consumed <= stream.hold_back(), "no more is held back than was said");
        assert!(!last || consumed == window.len(), "at the end everything is consumed");
        start += consumed;
    }
    Ok(content)
}

fn decoded(bytes: &[u8], codec: ClusterCodec, grain: u64, wanted: u64) -> Result<Vec<u8>, Refusal> {
    let at_least = u32::try_from(wanted).expect("a compressed grain has at most 2 MiB");
    assert_eq!(codec, ClusterCodec::Zlib { at_least }, "grains are zlib streams");
    let mut out = vec![0; grain as usize];
    codecs::ClusterDecoder::new()
        .decode(codecs::ClusterCodec::Zlib { at_least }, bytes, &mut out)
        .map_err(|error| Refusal::Grain(error.to_string()))?;
    out.truncate(wanted as usize);
    Ok(out)
}

/// Both readers give `disk`.
pub(crate) fn check(file: &[u8], disk: &[u8], seed: u64) {
    let mapped = read_mapped(file, &mut Sizes::new(seed, 3 << 20)).expect("the map reads the image");
    assert!(mapped == disk, "the map differs at byte {:?}", first_difference(&mapped, disk));
    let streamed = read_streamed(file, &mut Sizes::new(seed, 300_000)).expect("the stream reads the image");
    assert!(streamed == disk, "the stream differs at byte {:?}", first_difference(&streamed, disk));
}

/// Both readers refuse the image; the map's error, and the stream's.
pub(crate) fn refused(file: &[u8]) -> [(Kind, Option<u64>, String); 2] {
    let said = |result: Result<Vec<u8>, Refusal>| {
        let refusal = result.expect_err("the image is refused");
        let error = refusal.error();
        (error.kind(), error.offset(), error.to_string())
    };
    [said(read_mapped(file, &mut Sizes::new(3, 1 << 20))), said(read_streamed(file, &mut Sizes::new(3, 5000)))]
}

pub(crate) fn first_difference(left: &[u8], right: &[u8]) -> Option<usize> {
    (0..left.len().max(right.len())).find(|&at| left.get(at) != right.get(at))
}
