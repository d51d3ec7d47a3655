//! Readers for formats whose blocks are plain bytes and whose tables lie in front, and qemu's tools on such images.

use std::path::Path;
use std::process::Command;

use formats::probe::Format;
use formats::{Error, GuestOffset, HostOffset, Kind, Lookup, Map, Open, Opening, Place, vhd};
use proptest::prelude::*;

use crate::reader::{Sizes, head};
use crate::tool::{Bench, run, text};

/// Longest range that a map may want.
const WANT: u64 = 64 * 1024;

/// Opens an image the way a caller that can read at random would.
pub(crate) fn open(format: Format, file: &[u8]) -> Result<Box<dyn Map>, Error> {
    if format != Format::Vhd {
        return format.map(head(file), file.len() as u64);
    }
    let mut open = vhd::Open::new(file.len() as u64);
    let mut asked = 0;
    loop {
        let wants = match open.step()? {
            Opening::Ready(map) => return Ok(map),
            Opening::Wants(wants) => wants,
        };
        asked += 1;
        assert!(asked <= 2, "an image is opened by its first bytes and one place more");
        for want in wants {
            open.feed(HostOffset(want.start), &file[want.start as usize..want.end as usize])?;
        }
    }
}

/// The disk as the map places it, by lookups of at most `window` bytes.
pub(crate) fn read_mapped(format: Format, file: &[u8], window: &mut Sizes) -> Result<Vec<u8>, Error> {
    let mut map = open(format, file)?;
    let (size, mut disk) = (map.virtual_size(), Vec::new());
    while (disk.len() as u64) < size {
        let start = disk.len() as u64;
        let end = (start + window.next()).min(size);
        let mut out = Vec::new();
        if let Lookup::Wants(wants) = map.lookup(start..end, &mut out)? {
            assert!(out.is_empty() && !wants.is_empty());
            assert!(wants.iter().all(|want| want.start < want.end && want.end - want.start <= WANT));
            for want in wants {
                map.feed(HostOffset(want.start), &file[want.start as usize..want.end as usize])?;
            }
            assert_eq!(map.lookup(start..end, &mut out)?, Lookup::Found, "there is one level of tables");
        }
        for extent in out {
            assert_eq!(extent.guest.0, disk.len() as u64, "extents follow each other");
            match extent.place {
                Place::Zero => disk.resize(disk.len() + extent.len as usize, 0),
                Place::Data(host) => disk.extend(&file[host.0 as usize..][..extent.len as usize]),
                Place::Encoded { .. } => unreachable!("nothing is encoded"),
            }
        }
        assert_eq!(disk.len() as u64, end, "extents cover what was asked for");
        map.release(GuestOffset(end));
    }
    assert_eq!(map.memory(), 0, "nothing is kept behind the disk");
    Ok(disk)
}

/// The disk as the forward decoder places it, from pushes of at most `chunk` fresh bytes.
pub(crate) fn read_streamed(format: Format, file: &[u8], chunk: &mut Sizes) -> Result<Vec<u8>, Error> {
    let mut stream = format.stream(head(file), None)?;
    let (mut disk, mut start, mut end) = (Vec::new(), 0, 0);
    while start < file.len() || file.is_empty() {
        end = (end + chunk.next() as usize).min(file.len());
        let (window, last, mut pieces) = (&file[start..end], end == file.len(), Vec::new());
        let consumed = stream.push(window, last, &mut pieces)?;
        let mut before = 0;
        for piece in pieces {
            assert!(piece.at >= before && piece.codec.is_none(), "pieces come in the order of the file");
            before = piece.at;
            let guest = piece.guest.0 as usize..(piece.guest.0 + piece.guest_len) as usize;
            disk.resize(disk.len().max(guest.end), 0);
            disk[guest].copy_from_slice(&window[piece.at..][..piece.host_len]);
        }
        assert!(window.len() - consumed <= stream.hold_back(), "no more is held back than was said");
        assert!(!last || consumed == window.len(), "at the end everything is consumed");
        start += consumed;
    }
    let size = stream.virtual_size().expect("at the end the size is known") as usize;
    assert!(disk.len() <= size, "nothing is placed behind the disk");
    disk.resize(size, 0);
    Ok(disk)
}

/// qemu's name for a format.
pub(crate) fn name(format: Format) -> &'static str {
    if format == Format::Vhd { "vpc" } else { format.name() }
}

/// The disk as qemu reads it, or why it does not.
pub(crate) fn read_by_qemu(bench: &Bench, format: Format, image: &Path) -> Result<Vec<u8>, String> {
    let raw = bench.path("read-by-qemu");
    let arguments = ["convert", "-f", name(format), "-O", "raw", text(image), text(&raw)];
    let output = Command::new("qemu-img").args(arguments).output().expect("qemu-utils is installed");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(std::fs::read(raw).expect("the converted disk can be read"))
}

/// Both readers agree with qemu on an image that it made.
pub(crate) fn check(bench: &Bench, format: Format, image: &Path, seed: u64) -> Vec<u8> {
    let file = std::fs::read(image).expect("the image can be read");
    let disk = read_by_qemu(bench, format, image).expect("qemu reads what it wrote");
    let mapped = read_mapped(format, &file, &mut Sizes::new(seed, 3 << 20)).expect("the map reads the image");
    assert!(mapped == disk, "the map differs from qemu, {} and {} bytes", mapped.len(), disk.len());
    let streamed = read_streamed(format, &file, &mut Sizes::new(seed, 700_000)).expect("the stream reads the image");
    assert!(streamed == disk, "the stream differs from qemu, {} and {} bytes", streamed.len(), disk.len());
    disk
}

/// An empty image.
pub(crate) fn create(bench: &Bench, format: Format, options: &str, size: u64) -> std::path::PathBuf {
    let (path, size) = (bench.path("image"), size.to_string());
    let mut arguments = vec!["create", "-q", "-f", name(format)];
    if !options.is_empty() {
        arguments.extend(["-o", options]);
    }
    arguments.extend([text(&path), &size]);
    run("qemu-img", &arguments);
    path
}

/// qemu-io commands, one process for all of them.
pub(crate) fn io(format: Format, image: &Path, commands: &[String]) {
    let mut arguments = vec!["-f", name(format)];
    arguments.extend(commands.iter().flat_map(|command| ["-c", command.as_str()]));
    arguments.push(text(image));
    run("qemu-io", &arguments);
}

/// A byte patch that a test makes; positions are parts of what may be changed.
pub(crate) struct Mutator {
    chance: Sizes,
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: Sizes::new(seed, 1 << 30) }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.chance.next() % bound as u64) as usize
    }

    /// Changes one to four bytes, or one number, in `file[range]`.
    pub(crate) fn mutate(&mut self, file: &mut [u8], ranges: &[std::ops::Range<usize>]) {
        for _ in 0..=self.below(3) {
            let range = ranges[self.below(ranges.len())].clone();
            let at = range.start + self.below(range.len());
            match self.below(4) {
                0 => file[at] ^= 1 << self.below(8),
                1 => file[at] = [0, 1, 2, 3, 4, 0x7f, 0x80, 0xff][self.below(8)],
                2 => file[at & !3..][..4].fill([0, 0xff][self.below(2)]),
                _ => file[at] = self.below(256) as u8,
            }
        }
    }
}

/// How mutants went: (read by us, refused by us).
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) read: usize,
    pub(crate) refused: usize,
}

/// Checks one mutated file: it is refused by both readers, or both read it as `qemu` does. `excused` says for which words
/// of qemu's it may refuse what is read here.
pub(crate) fn check_mutant(bench: &Bench, format: Format, file: &[u8], excused: &[&str], tally: &mut Tally) {
    /// Disks that a flipped bit made larger are only opened.
    const LARGEST: u64 = 16 << 20;
    match open(format, file) {
        Ok(map) if map.virtual_size() > LARGEST => {
            let _ = format.stream(head(file), None);
            return;
        }
        _ => {}
    }
    let mapped = read_mapped(format, file, &mut Sizes::new(3, 1 << 30));
    let streamed = read_streamed(format, file, &mut Sizes::new(5, 300_000));
    match (&mapped, &streamed) {
        (Ok(mapped), Ok(streamed)) => assert!(mapped == streamed, "map and stream differ"),
        (_, Err(error)) if error.kind() == Kind::Unplaced => {}
        (mapped, streamed) => {
            let both = mapped.is_err() && streamed.is_err();
            assert!(both, "only one of both refuses: {:?} {:?}", mapped.as_ref().err(), streamed.as_ref().err());
        }
    }
    let Ok(mapped) = mapped else {
        tally.refused += 1;
        return;
    };
    tally.read += 1;
    let image = bench.raw("mutant", file);
    match read_by_qemu(bench, format, &image) {
        Ok(disk) => assert!(disk == mapped, "qemu reads other bytes, {} and {}", disk.len(), mapped.len()),
        Err(why) => assert!(excused.iter().any(|words| why.contains(words)), "only qemu refuses: {why}"),
    }
}

/// Writes of data and of zeros at parts of 65536 of a disk.
pub(crate) fn writes(size: u64) -> impl Strategy<Value = Vec<String>> {
    let part = move |part: u16| size * u64::from(part) / 65536 / 512 * 512;
    let write = (any::<bool>(), 1..=255_u8, any::<u16>(), 1..20000_u16).prop_map(move |(zero, byte, at, len)| {
        let (at, len) = (part(at), part(len).max(512));
        let len = len.min(size - at);
        if zero { format!("write -z {at} {len}") } else { format!("write -P {byte} {at} {len}") }
    });
    prop::collection::vec(write, 0..12)
}

/// Bytes of which some repeat and some are zeros.
pub(crate) fn mixed(len: usize) -> Vec<u8> {
    let mut noise = Sizes::new(7, 256);
    let byte = |at: usize| match at / 700_000 % 4 {
        0 => (at / 3000) as u8,
        1 => (noise.next() - 1) as u8,
        _ => 0,
    };
    (0..len).map(byte).collect()
}
