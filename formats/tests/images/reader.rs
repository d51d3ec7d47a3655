//! The smallest caller of [`Map`] and [`Stream`], which also checks what their documentation promises.

use formats::probe::{Format, HEAD};
use formats::{ClusterCodec, Error, Extent, GuestOffset, HostOffset, Kind, Lookup, Map, Place};

use crate::tool::Mapped;

/// Longest range that a map may want.
const WANT: u64 = 64 * 1024;

/// Sizes that differ from step to step, without a source of chance: the low bits of a counter times a prime.
pub(crate) struct Sizes {
    state: u64,
    max: u64,
}

impl Sizes {
    pub(crate) fn new(seed: u64, max: u64) -> Self {
        Self { state: seed, max: max.max(1) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % self.max + 1
    }
}

pub(crate) fn head(file: &[u8]) -> &[u8] {
    &file[..file.len().min(HEAD)]
}

/// All extents of an image, by lookups of at most `window` bytes.
pub(crate) fn extents(file: &[u8], window: &mut Sizes) -> Result<Vec<Extent>, Error> {
    let mut map = Format::Qcow2.map(head(file), file.len() as u64)?;
    let mut all: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < map.virtual_size() {
        // Encoded clusters are not cut, so windows are whole ones.
        let len = window.next().next_multiple_of(map.max_encoded());
        let end = (at + len).min(map.virtual_size());
        let found = lookup(map.as_mut(), file, at..end)?;
        let mut next = at;
        for extent in &found {
            assert_eq!(extent.guest.0, next, "extents follow each other");
            assert_ne!(extent.len, 0, "no extent is empty");
            next += extent.len;
        }
        assert_eq!(next, end, "extents cover what was asked for");
        all.extend(found);
        map.release(GuestOffset(end));
        at = end;
    }
    assert_eq!(map.memory(), 0, "nothing is kept behind the disk");
    Ok(all)
}

fn lookup(map: &mut dyn Map, file: &[u8], guest: std::ops::Range<u64>) -> Result<Vec<Extent>, Error> {
    let mut out = Vec::new();
    for round in 0.. {
        match map.lookup(guest.clone(), &mut out)? {
            Lookup::Found => break,
            Lookup::Wants(wants) => {
                assert!(out.is_empty() && !wants.is_empty() && round < 2, "tables are wanted level by level");
                assert!(wants.iter().all(|want| want.start < want.end && want.end - want.start <= WANT));
                assert!(wants.windows(2).all(|pair| pair[0].end <= pair[1].start), "wants ascend");
                for want in wants {
                    feed(map, file, want)?;
                }
            }
        }
    }
    Ok(out)
}

/// Feeds a range in two pieces and with a neighbour's bytes, as a caller that reads in its own blocks would.
fn feed(map: &mut dyn Map, file: &[u8], want: std::ops::Range<u64>) -> Result<(), Error> {
    let (start, end) = (want.start as usize, want.end as usize);
    let before = start.saturating_sub(100);
    let middle = start + (end - start) / 3;
    map.feed(HostOffset(before as u64), &file[before..middle])?;
    map.feed(HostOffset(middle as u64), &file[middle..(end + 100).min(file.len())])
}

/// The disk as the map places it.
pub(crate) fn read_mapped(file: &[u8], window: &mut Sizes) -> Result<Vec<u8>, Error> {
    let cluster = Format::Qcow2.map(head(file), file.len() as u64)?.max_encoded();
    let mut disk = Vec::new();
    for extent in extents(file, window)? {
        let bytes = match extent.place {
            Place::Zero => vec![0; extent.len as usize],
            Place::Data(host) => file[host.0 as usize..][..extent.len as usize].to_vec(),
            Place::Encoded { at, len, codec } => {
                decoded(&file[at.0 as usize..][..len as usize], codec, cluster, extent.len)
            }
        };
        disk.extend(bytes);
    }
    Ok(disk)
}

/// The disk as the forward decoder places it, from pushes of at most `chunk` fresh bytes.
pub(crate) fn read_streamed(file: &[u8], chunk: &mut Sizes) -> Result<Vec<u8>, Error> {
    let mut stream = Format::Qcow2.stream(head(file), None)?;
    let mut disk = vec![None; stream.virtual_size().expect("a header names the size") as usize / 512];
    let mut content = vec![0; disk.len() * 512];
    let (mut start, mut end) = (0, 0);
    while start < file.len() || file.is_empty() {
        end = (end + chunk.next() as usize).min(file.len());
        let last = end == file.len();
        let mut pieces = Vec::new();
        let window = &file[start..end];
        let consumed = stream.push(window, last, &mut pieces)?;
        for piece in pieces {
            let host = &window[piece.at..][..piece.host_len];
            let guest = piece.guest.0 as usize..(piece.guest.0 + piece.guest_len) as usize;
            for sector in &mut disk[guest.start / 512..guest.end.div_ceil(512)] {
                assert_eq!(sector.replace(()), None, "no guest byte is placed twice");
            }
            match piece.codec {
                None => content[guest].copy_from_slice(host),
                Some(codec) => {
                    let bytes = decoded(host, codec, stream.max_encoded(), piece.guest_len);
                    content[guest].copy_from_slice(&bytes);
                }
            }
        }
        assert!(window.len() - consumed <= stream.hold_back(), "no more is held back than was said");
        assert!(!last || consumed == window.len(), "at the end everything is consumed");
        start += consumed;
    }
    Ok(content)
}

fn decoded(bytes: &[u8], codec: ClusterCodec, cluster: u64, wanted: u64) -> Vec<u8> {
    let codec = match codec {
        ClusterCodec::Deflate => codecs::ClusterCodec::Deflate,
        ClusterCodec::Zstd => codecs::ClusterCodec::Zstd,
        ClusterCodec::Zlib { at_least } => codecs::ClusterCodec::Zlib { at_least },
    };
    let mut out = vec![0; cluster as usize];
    codecs::ClusterDecoder::new().decode(codec, bytes, &mut out).expect("qemu wrote this cluster");
    out.truncate(wanted as usize);
    out
}

/// Both readers agree with the disk as qemu reads it; the stream may say that the image cannot be placed on the fly.
pub(crate) fn check(file: &[u8], disk: &[u8], seed: u64) -> Streamed {
    let mapped = read_mapped(file, &mut Sizes::new(seed, 3 << 20)).expect("the map reads the image");
    assert!(mapped == disk, "the map differs from qemu at byte {:?}", first_difference(&mapped, disk));
    match read_streamed(file, &mut Sizes::new(seed, 700_000)) {
        Ok(streamed) => {
            let difference = first_difference(&streamed, disk);
            assert!(streamed == disk, "the stream differs from qemu at byte {difference:?}");
            Streamed::Placed
        }
        Err(error) => {
            assert_eq!(error.kind(), Kind::Unplaced, "{error}");
            println!("{error}");
            Streamed::Unplaced
        }
    }
}

/// How a valid image went through the forward decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streamed {
    Placed,
    Unplaced,
}

fn first_difference(left: &[u8], right: &[u8]) -> Option<usize> {
    (0..left.len().max(right.len())).find(|&at| left.get(at) != right.get(at))
}

/// Every sector lies where `qemu-img map` says.
pub(crate) fn check_places(file: &[u8], lines: &[Mapped]) {
    let extents = extents(file, &mut Sizes::new(1, 1 << 30)).expect("the map reads the image");
    let mut extents = extents.iter().peekable();
    for line in lines {
        for sector in (line.start..line.start + line.length).step_by(512) {
            while extents.next_if(|extent| extent.guest.0 + extent.len <= sector).is_some() {}
            let extent = extents.peek().expect("the map covers the disk");
            let inside = sector - extent.guest.0;
            let place = line.offset.map(|offset| offset + (sector - line.start));
            let agrees = match extent.place {
                // qemu looks for holes in the file behind clusters that were allocated ahead.
                Place::Data(host) => place == Some(host.0 + inside),
                Place::Encoded { .. } => line.data && place.is_none(),
                // The file may end inside a cluster.
                Place::Zero => !line.data || place.is_some_and(|place| place >= file.len() as u64),
            };
            assert!(agrees, "sector at {sector:#x} is {:?}, qemu says {line:?}", extent.place);
        }
    }
}
