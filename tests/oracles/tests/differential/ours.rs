//! The smallest caller of map and forward decoder for any format; what an image does to it is a disk or a refusal.

use formats::probe::{Format, HEAD};
use formats::{ClusterCodec, Error, Extent, GuestOffset, HostOffset, Lookup, Map, Opening, Place};

use crate::LARGEST;
use crate::chance::Chance;

/// Why an image is not read: the kind, and the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: String,
    pub(crate) what: String,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { kind: format!("{:?}", error.kind()), what: error.to_string() }
    }
}

/// What a reader makes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Disk(Vec<u8>),
    /// Opened; the disk has more bytes than a test wants to hold.
    Large(u64),
}

/// The disk as the map places it.
pub(crate) fn mapped(format: Format, file: &[u8], chance: &mut Chance) -> Result<Seen, Refusal> {
    let mut map = open(format, file)?;
    let size = map.virtual_size();
    if size > LARGEST {
        return Ok(Seen::Large(size));
    }
    let (unit, mut disk) = (map.max_encoded(), Disk::new(size, map.max_encoded()));
    let mut at = 0;
    while at < size {
        let window = (chance.below(3 << 20) as u64 + 1).next_multiple_of(unit.max(1));
        let end = (at + window).min(size);
        let mut next = at;
        for extent in lookup(map.as_mut(), file, at..end)? {
            assert_eq!(extent.guest.0, next, "extents follow each other");
            next += extent.len;
            disk.place(&extent, file)?;
        }
        assert_eq!(next, end, "extents cover what was asked for");
        map.release(GuestOffset(end));
        at = end;
    }
    Ok(Seen::Disk(disk.bytes))
}

/// The disk as the forward decoder places it, with what came before its table kept.
pub(crate) fn streamed(format: Format, file: &[u8], chance: &mut Chance) -> Result<Seen, Refusal> {
    let mut stream = format.stream(head(file), None)?;
    // A VHDX says its size behind its log, a raw or fixed disk at its end.
    let size = |stream: &dyn formats::Stream| stream.virtual_size().unwrap_or(file.len().next_multiple_of(512) as u64);
    if size(stream.as_ref()) > LARGEST {
        return Ok(Seen::Large(size(stream.as_ref())));
    }
    stream.keep();
    let most = [1000, 70_000, 3 << 20][chance.below(3)];
    let mut disk = Disk::new(0, stream.max_encoded());
    let (mut start, mut end) = (0, 0);
    loop {
        end = (end + chance.below(most) + 1).min(file.len());
        let (window, last, mut pieces) = (&file[start..end], end == file.len(), Vec::new());
        let consumed = stream.push(window, last, &mut pieces)?;
        let now = size(stream.as_ref());
        if now > LARGEST {
            return Ok(Seen::Large(now));
        }
        disk.grow(now);
        for piece in pieces {
            let host = HostOffset((start + piece.at) as u64);
            let place = match piece.codec {
                None => Place::Data(host),
                Some(codec) => Place::Encoded { at: host, len: piece.host_len as u32, codec },
            };
            disk.place(&Extent { guest: piece.guest, len: piece.guest_len, place }, &file[..end])?;
        }
        assert!(window.len() - consumed <= stream.hold_back(), "no more is held back than was said");
        assert!(!last || consumed == window.len(), "at the end everything is consumed");
        start += consumed;
        if last {
            break;
        }
    }
    while let Some(want) = stream.late()? {
        let mut extents = Vec::new();
        stream.feed_late(&file[want.start as usize..want.end as usize], &mut extents)?;
        extents.iter().try_for_each(|extent| disk.place(extent, file))?;
    }
    let size = stream.virtual_size().expect("at the end the size is known") as usize;
    disk.bytes.truncate(size);
    assert_eq!(disk.bytes.len(), size, "the disk has its size");
    Ok(Seen::Disk(disk.bytes))
}

fn head(file: &[u8]) -> &[u8] {
    &file[..file.len().min(HEAD)]
}

fn open(format: Format, file: &[u8]) -> Result<Box<dyn Map>, Error> {
    let mut opener = format.open(head(file), file.len() as u64)?;
    for _ in 0..8 {
        match opener.step()? {
            Opening::Ready(map) => return Ok(map),
            Opening::Wants(wants) => {
                for want in wants {
                    let bytes = &file[want.start as usize..want.end as usize];
                    opener.feed(HostOffset(want.start), bytes)?;
                }
            }
        }
    }
    panic!("an image is open after a few steps");
}

fn lookup(map: &mut dyn Map, file: &[u8], guest: std::ops::Range<u64>) -> Result<Vec<Extent>, Error> {
    let mut out = Vec::new();
    for _ in 0..4 {
        match map.lookup(guest.clone(), &mut out)? {
            Lookup::Found => return Ok(out),
            Lookup::Wants(wants) => {
                for want in wants {
                    assert!(want.end - want.start <= 64 * 1024, "tables are wanted in parts");
                    map.feed(HostOffset(want.start), &file[want.start as usize..want.end as usize])?;
                }
            }
        }
    }
    panic!("tables are wanted level by level");
}

/// A disk that fills.
struct Disk {
    bytes: Vec<u8>,
    unit: Vec<u8>,
    decoder: codecs::ClusterDecoder,
}

impl Disk {
    fn new(size: u64, unit: u64) -> Self {
        let decoder = codecs::ClusterDecoder::new();
        Self { bytes: vec![0; size as usize], unit: vec![0; unit as usize], decoder }
    }

    fn grow(&mut self, size: u64) {
        self.bytes.resize(self.bytes.len().max(size as usize), 0);
    }

    fn place(&mut self, extent: &Extent, file: &[u8]) -> Result<(), Refusal> {
        assert!(extent.len > 0, "no extent is empty");
        let guest = extent.guest.0 as usize..(extent.guest.0 + extent.len) as usize;
        match extent.place {
            Place::Zero => self.bytes[guest].fill(0),
            Place::Data(host) => self.bytes[guest].copy_from_slice(&file[host.0 as usize..][..extent.len as usize]),
            Place::Encoded { at, len, codec } => {
                self.decoder
                    .decode(known(codec), &file[at.0 as usize..][..len as usize], &mut self.unit)
                    .map_err(|error| Refusal { kind: format!("{:?}", error.kind()), what: error.to_string() })?;
                self.bytes[guest].copy_from_slice(&self.unit[..extent.len as usize]);
            }
        }
        Ok(())
    }
}

fn known(codec: ClusterCodec) -> codecs::ClusterCodec {
    match codec {
        ClusterCodec::Deflate => codecs::ClusterCodec::Deflate,
        ClusterCodec::Zstd => codecs::ClusterCodec::Zstd,
        ClusterCodec::Zlib { at_least } => codecs::ClusterCodec::Zlib { at_least },
    }
}
